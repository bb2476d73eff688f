"""Which parameters of a model are trained, where and in which precision: by its size, the labels and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from cinema_core.cases import TrainingCase, group_of, n_labelled_slices
from cinema_core.learn.settings import FEW_SLICES, LARGE_MODEL_PARAMETERS, Tier
from cinema_core.models.precision import multiplies_bfloat16

ENCODER_PREFIXES: Final = ("enc_down_dict.", "encoder.")

NEVER_TRAINED: Final = "pos_embed"
"""Position tables are stored in a checkpoint, not learned."""


def choose_precision(device: torch.device, window_slices: int) -> torch.dtype:
    """Precision of the activations: bfloat16 where the processor multiplies it, twice as fast there.

    Weights, their average and the loss are always float32. On a CPU windows of several slices are float32 all
    through: torch 2.13 then reads memory that nobody wrote for some weight gradients of 3-D convolutions in
    bfloat16 (seen as gradients of 1e16 to NaN once freed memory was filled with NaN; none in 2-D).
    """
    fast = multiplies_bfloat16(device) and (device.type != "cpu" or window_slices == 1)
    return torch.bfloat16 if fast else torch.float32


def choose_tier(network: nn.Module, device: torch.device, wish: Tier, view: str, *, few: bool) -> Tier:
    """How much of this model to tune on this machine while a reader waits; all of it if it lacks that part.

    Parameters
    ----------
    few
        Whether the labels are few (:func:`are_few`).
    """
    tier = _by_size(network, device, few=few) if wish is Tier.AUTO else wish
    return tier if has_tier(network, tier, view) else Tier.WHOLE


def are_few(cases: Sequence[TrainingCase]) -> bool:
    """Whether only few slices of several patients are labelled."""
    return len({group_of(case) for case in cases}) > 1 and n_labelled_slices(cases) <= FEW_SLICES


def has_tier(network: nn.Module, tier: Tier, view: str) -> bool:
    """Whether a model has parameters of a tier; the blocks of the last one are parts of ConvUNetR alone."""
    return any(_belongs(name, parameter, tier, network, view) for name, parameter in network.named_parameters())


def _by_size(network: nn.Module, device: torch.device, *, few: bool) -> Tier:
    size = sum(parameter.numel() for parameter in network.parameters())
    if size <= LARGE_MODEL_PARAMETERS:
        # Layer norms are what a vision transformer has and a UNet has not: for UNets it was not measured.
        transformer = any(isinstance(module, nn.LayerNorm) for module in network.modules())
        return Tier.NORMS if transformer and few else Tier.WHOLE
    return Tier.DECODER if device.type == "cuda" else Tier.LAST_BLOCKS


def freeze_all_but(network: nn.Module, tier: Tier, view: str) -> list[str]:
    """Let gradients reach the tier's parameters only.

    Returns
    -------
    Names of the parameters that are trained.
    """
    trained = []
    for name, parameter in network.named_parameters():
        wanted = NEVER_TRAINED not in name and _belongs(name, parameter, tier, network, view)
        parameter.requires_grad_(wanted)
        if wanted:
            trained.append(name)
    return trained


def _belongs(name: str, parameter: nn.Parameter, tier: Tier, network: nn.Module, view: str) -> bool:
    if tier is Tier.WHOLE:
        return True
    if tier is Tier.NORMS:
        return parameter.ndim <= 1
    if tier is Tier.DECODER:
        return not name.startswith(ENCODER_PREFIXES)
    n_blocks = len({key.split(".")[3] for key, _ in network.named_parameters() if key.startswith(_blocks_of(view))})
    last = tuple(f"{_blocks_of(view)}{n_blocks - k}." for k in (1, 2))
    return name.startswith((*last, f"dec_image_conv_block_dict.{view}.", f"pred_head_dict.{view}."))


def _blocks_of(view: str) -> str:
    return f"decoder_dict.{view}.blocks."
