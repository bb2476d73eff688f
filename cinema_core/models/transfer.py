"""From the pretrained masked autoencoder to a network that is to be fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from cinema_core.errors import CheckpointError
from cinema_core.models.checkpoint import read_weights
from cinema_core.models.convunetr import ConvUNetR
from cinema_core.models.convvit import ConvViT

LEFT_BEHIND: Final = ("mask", "decoder", "_head", "dec_linear", "pos_embed")
"""Parts of a key that mark what belongs to pretraining alone, or to its grid."""
VIEW_PARTS: Final = ("enc_down_dict", "enc_fusion_dict")
FIRST_CONV: Final = "conv_blocks.0.patch_embed.conv.weight"


@dataclass(frozen=True)
class TransferReport:
    """Keys of the target that came from the pretrained file, and those that keep their fresh weights."""

    loaded: tuple[str, ...]
    not_loaded: tuple[str, ...]


def transfer_pretrained(target: nn.Module, pretrained: Path | str, *, freeze: bool = False) -> TransferReport:
    """Move the encoder of a pretrained masked autoencoder into a network, as published.

    The target keeps its own positions (of its own grid). A first convolution with more input channels than the
    pretrained one gets the single-channel weight once per channel, not divided by their number (a published quirk).

    Parameters
    ----------
    target
        :class:`ConvUNetR` or :class:`ConvViT`; changed in place.
    pretrained
        Weights of the masked autoencoder, safetensors.
    freeze
        Take every loaded parameter out of training.

    Raises
    ------
    CheckpointError
        If the target takes no pretrained encoder, or any tensor of the encoder is missing, left over or of
        another shape. The target is then unchanged.
    """
    if not isinstance(target, ConvUNetR | ConvViT):
        raise CheckpointError(
            f"A {type(target).__name__} takes no pretrained encoder; ConvUNetR and ConvViT models do."
        )
    name, wanted = Path(pretrained).name, target.state_dict()
    carried = {key: value.float() for key, value in read_weights(pretrained).items() if _belongs(key, target)}
    for key in carried:
        if key.endswith(FIRST_CONV) and key in wanted:
            carried[key] = _repeat_input(carried[key], wanted[key].shape[1])
    _check(carried, wanted, target, name)
    target.load_state_dict(carried, strict=False)
    if freeze:
        for key, parameter in target.named_parameters():
            if key in carried:
                parameter.requires_grad = False
    return TransferReport(tuple(sorted(carried)), tuple(sorted(set(wanted) - set(carried))))


def _belongs(key: str, target: ConvUNetR | ConvViT) -> bool:
    if any(part in key for part in LEFT_BEHIND):
        return False
    if "fusion" in key and not isinstance(target, ConvViT):
        return False
    part, _, rest = key.partition(".")
    return part not in VIEW_PARTS or rest.partition(".")[0] in target.view_inputs


def _repeat_input(weight: Tensor, chans: int) -> Tensor:
    return weight.repeat(1, chans, *[1] * (weight.ndim - 2)) if weight.shape[1] == 1 else weight


def _check(carried: dict[str, Tensor], wanted: dict[str, Tensor], target: nn.Module, name: str) -> None:
    encoder = [key for key in wanted if key.startswith(("enc_", "encoder.")) and not key.endswith("pos_embed")]
    missing = [key for key in encoder if key not in carried]
    extra = [key for key in carried if key not in wanted]
    reshaped = [key for key in carried if key in wanted and carried[key].shape != wanted[key].shape]
    if missing or extra or reshaped:
        first = (missing + extra + reshaped)[0]
        raise CheckpointError(
            f"{name} holds no encoder for this {type(target).__name__}: {len(missing)} tensors are missing, "
            f"{len(extra)} left over, {len(reshaped)} of another shape (first: {first}). "
            "Choose a masked autoencoder of the same size and views."
        )
