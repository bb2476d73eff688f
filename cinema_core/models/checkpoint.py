"""From files to a network: the published config form, safetensors, strict in every key and shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cinema_core.errors import CheckpointError
from cinema_core.model_config import (
    MAE,
    Config,
    architecture,
    n_frames,
    n_outputs,
    read_config,
    section_of,
    view_settings,
)
from cinema_core.model_files import refuse_pickle
from cinema_core.models.convunetr import ConvUNetR, ConvUNetRSettings
from cinema_core.models.convvit import ConvViT
from cinema_core.models.mae import MaskedAutoencoder
from cinema_core.models.resnet import ResNet
from cinema_core.models.unet import UNet, UNetSettings
from cinema_core.models.view_encoder import EncoderSettings, ViewInput
from cinema_core.models.vit import SIZES


def build_model(config: Path | str | Config) -> nn.Module:
    """Network of a config in the published form, with fresh weights, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the config is incomplete, or its architecture is not known.
    """
    settings = read_config(config)
    name = architecture(settings)
    if name not in BUILDERS:
        raise CheckpointError(
            f"There is no network {name!r} (model.name in the config); known are {', '.join(BUILDERS)}."
        )
    try:
        return BUILDERS[name](settings).eval()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"The config does not describe a {name} model: {type(error).__name__} {error}. "
            "Give the config.yaml that came with the weights."
        ) from error


def load_model(weights: Path | str, config: Path | str | Config) -> nn.Module:
    """Network with its weights, strictly: no key missing, none left over, every shape equal.

    Half-precision files are widened to float32.

    Raises
    ------
    CheckpointError
        If the weights are no safetensors file, or do not fit the config.
    """
    model = build_model(config)
    tensors = {
        key: value.float() if value.is_floating_point() else value for key, value in read_weights(weights).items()
    }
    check_fit(tensors, model.state_dict(), Path(weights).name)
    model.load_state_dict(tensors, strict=True)
    return model


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises
    ------
    CheckpointError
        If the file is absent, a pickle, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"The weights {path} are not there. Check the path, or run `cinema models list`.")
    refuse_pickle(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} is not a whole safetensors file ({error}). Download or copy it again."
        ) from None


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> None:
    """Compare keys and shapes of a file with those of a network.

    Raises
    ------
    CheckpointError
        With the count and the first name of what is missing, left over, or of another shape.
    """
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected]
    reshaped = [key for key in expected if key in tensors and tensors[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(expected)} tensors are missing (first: {missing[0]})")
    if extra:
        faults.append(f"{len(extra)} are left over (first: {extra[0]})")
    if reshaped:
        found, wanted = tuple(tensors[reshaped[0]].shape), tuple(expected[reshaped[0]].shape)
        faults.append(f"{len(reshaped)} have another shape (first: {reshaped[0]}, {found} instead of {wanted})")
    if faults:
        raise CheckpointError(
            f"{name} does not fit its config: {'; '.join(faults)}. Choose the config.yaml that came with these weights."
        )


def _build_convunetr(config: Config) -> nn.Module:
    section = section_of(section_of(config, "model"), "convunetr")
    settings = ConvUNetRSettings(
        encoder=_encoder_settings(config, section, "enc_"),
        dec_chans=tuple(section["dec_chans"]),
        dec_patch_size=tuple(section["dec_patch_size"]),
        dec_scale_factor=tuple(section["dec_scale_factor"]),
        dropout=float(section.get("dropout", 0.0)),
    )
    return ConvUNetR(_view_inputs(config, settings.encoder), settings, n_outputs(config))


def _build_convvit(config: Config) -> nn.Module:
    settings = _encoder_settings(config, section_of(section_of(config, "model"), "convvit"), "enc_")
    return ConvViT(_view_inputs(config, settings), settings, n_outputs(config))


def _build_mae(config: Config) -> nn.Module:
    settings = _encoder_settings(config, section_of(config, "model"), "")
    return MaskedAutoencoder(_view_inputs(config, settings), settings)


def _build_unet(config: Config) -> nn.Module:
    section = section_of(section_of(config, "model"), "unet")
    settings = UNetSettings(
        chans=tuple(section["chans"]),
        patch_size=tuple(section["patch_size"]),
        scale_factor=tuple(section["scale_factor"]),
        dropout=float(section.get("dropout", 0.0)),
    )
    view, view_input = _only_view(config)
    return UNet(view, view_input, settings, n_outputs(config))


def _build_resnet(config: Config) -> nn.Module:
    section = section_of(section_of(config, "model"), "resnet")
    view, view_input = _only_view(config)
    return ResNet(view, view_input, int(section["depth"]), tuple(section["layer_inplanes"]), n_outputs(config))


BUILDERS: Final[Mapping[str, Callable[[Config], nn.Module]]] = {
    "convunetr": _build_convunetr,
    "convvit": _build_convvit,
    "unet": _build_unet,
    "resnet": _build_resnet,
    MAE: _build_mae,
}


def _encoder_settings(config: Config, section: Config, prefix: str) -> EncoderSettings:
    size = str(section["size"])
    if size not in SIZES:
        raise CheckpointError(f"The config asks for the size {size!r}; known are {', '.join(SIZES)}.")
    return EncoderSettings(
        size=SIZES[size],
        patch_size=tuple(section[f"{prefix}patch_size"]),
        scale_factor=tuple(section[f"{prefix}scale_factor"]),
        conv_chans=tuple(section["enc_conv_chans"]),
        conv_n_blocks=int(section["enc_conv_n_blocks"]),
        drop_path=float(section.get("drop_path", 0.0)),
        grad_ckpt=bool(config.get("grad_ckpt", False)),
    )


def _view_inputs(config: Config, settings: EncoderSettings) -> dict[str, ViewInput]:
    inputs = {}
    for view, found in view_settings(config).items():
        patch = settings.effective_patch(len(found.patch_size))
        if any(size % p for size, p in zip(found.patch_size, patch, strict=True)):
            raise CheckpointError(
                f"The {view} size {found.patch_size} of the config is not a multiple of the patch {patch} "
                "in every axis."
            )
        inputs[view] = ViewInput(found.patch_size, found.in_chans * n_frames(config))
    return inputs


def _only_view(config: Config) -> tuple[str, ViewInput]:
    views = view_settings(config)
    if len(views) != 1:
        raise CheckpointError(f"A {architecture(config)} takes one view; the config names {', '.join(views)}.")
    ((view, found),) = views.items()
    return view, ViewInput(found.patch_size, found.in_chans * n_frames(config))
