"""From files to a network: the published config form, safetensors, strict in every key and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cinema_core.errors import CheckpointError
from cinema_core.models.convunetr import ConvUNetR, ConvUNetRSettings, ViewInput
from cinema_core.models.vit import SIZES

Config = Mapping[str, Any]

KNOWN_ARCHITECTURES: Final = ("convunetr", "convvit", "unet", "resnet", "mae")


@dataclass(frozen=True)
class ViewSettings:
    """What a model expects of one view: spacing in mm and size, both (x, y[, z]), and channels."""

    spacing_mm: tuple[float, ...]
    patch_size: tuple[int, ...]
    in_chans: int = 1


def read_config(config: Path | str | Config) -> Config:
    """Config as a mapping, from a YAML file or as given.

    Raises
    ------
    CheckpointError
        If the file is absent or holds no mapping.
    """
    if isinstance(config, Mapping):
        return config
    path = Path(config)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read as YAML"
        raise CheckpointError(f"The config {path} {reason}. Give the config.yaml that came with the weights.") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"The config {path} is empty or not a mapping. Give the one that came with the weights.")
    return content


def model_views(config: Config) -> tuple[str, ...]:
    """Name the views of the model, in config order."""
    model = _section(config, "model")
    views = model.get("views", model.get("view"))  # very old files say `view`
    if isinstance(views, str):
        return (views,)
    if not views:
        raise CheckpointError("The config names no views (model.views). Give the one that came with the weights.")
    return tuple(str(view) for view in views)


def view_settings(config: Config) -> dict[str, ViewSettings]:
    """Spacing, size and channels of each view of the model.

    ``sax`` reads ``data.sax``; long-axis views read ``data.lax``, or ``data.<view>`` where that is missing.
    """
    data = _section(config, "data")
    found = {}
    for view in model_views(config):
        key = "sax" if view == "sax" else ("lax" if "lax" in data else view)
        section = data.get(key)
        if not isinstance(section, Mapping) or "patch_size" not in section:
            raise CheckpointError(f"The config has no data.{key}.patch_size for the view {view}.")
        size = tuple(int(n) for n in section["patch_size"])
        spacing = tuple(float(s) for s in section.get("spacing", (1.0, 1.0, 10.0)[: len(size)]))
        found[view] = ViewSettings(spacing, size, int(section.get("in_chans", 1)))
    return found


def build_model(config: Path | str | Config) -> nn.Module:
    """Network of a config in the published form, with fresh weights, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the config is incomplete, or its architecture is not known.
    """
    settings = read_config(config)
    name = _section(settings, "model").get("name")
    if name != "convunetr":
        known = f"{name} models come in a later version" if name in KNOWN_ARCHITECTURES else f"{name!r} is not known"
        raise CheckpointError(f"This version builds convunetr models; {known} (model.name in the config).")
    try:
        return _build_convunetr(settings).eval()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"The config does not describe a convunetr model: {type(error).__name__} {error}. "
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
    tensors = {key: value.float() for key, value in read_weights(weights).items()}
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
    with path.open("rb") as file:
        head = file.read(2)
    # A zip ("PK") is torch.save's container, 0x80 starts a bare pickle; both can run code when opened.
    if path.suffix in {".pt", ".pth", ".ckpt", ".pkl", ".bin"} or head == b"PK" or head[:1] == b"\x80":
        raise CheckpointError(
            f"{path.name} is a pickle, which can run any program when it is opened. "
            "Ask for the weights as .safetensors, or convert them on a machine that holds no patient data."
        )
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


def _section(config: Config, name: str) -> Config:
    section = config.get(name)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The config has no section `{name}`. Give the config.yaml that came with the weights.")
    return section


def _build_convunetr(config: Config) -> ConvUNetR:
    model = _section(config, "model")
    section = _section(model, "convunetr")
    size = str(section["size"])
    if size not in SIZES:
        raise CheckpointError(f"The config asks for the size {size!r}; known are {', '.join(SIZES)}.")
    settings = ConvUNetRSettings(
        size=SIZES[size],
        enc_patch_size=tuple(section["enc_patch_size"]),
        enc_scale_factor=tuple(section["enc_scale_factor"]),
        enc_conv_chans=tuple(section["enc_conv_chans"]),
        enc_conv_n_blocks=int(section["enc_conv_n_blocks"]),
        dec_chans=tuple(section["dec_chans"]),
        dec_patch_size=tuple(section["dec_patch_size"]),
        dec_scale_factor=tuple(section["dec_scale_factor"]),
        dropout=float(section.get("dropout", 0.0)),
        drop_path=float(section.get("drop_path", 0.0)),
        grad_ckpt=bool(config.get("grad_ckpt", False)),
    )
    views = {view: ViewInput(found.patch_size, found.in_chans) for view, found in view_settings(config).items()}
    for view, view_input in views.items():
        _check_divisible(view, view_input.image_size, settings)
    return ConvUNetR(views, settings, int(model["out_chans"]))


def _check_divisible(view: str, image_size: tuple[int, ...], settings: ConvUNetRSettings) -> None:
    n_stages = len(settings.enc_conv_chans)
    factors = zip(settings.enc_patch_size, settings.enc_scale_factor, image_size, strict=False)
    patch = tuple(first * scale**n_stages for first, scale, _ in factors)
    if any(size % p for size, p in zip(image_size, patch, strict=True)):
        raise CheckpointError(
            f"The {view} size {image_size} of the config is not a multiple of the patch {patch} in every axis."
        )
