"""What to give up, one thing after the other, when fine-tuning does not fit in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from cinema_core.learn.settings import LARGE_MODEL_PARAMETERS, FineTuneSettings, Tier
from cinema_core.learn.tiers import choose_tier, has_tier

_OF_THE_ALLOCATOR: Final = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")
"""torch has an error class of its own for GPUs; the CPU's allocator raises a plain RuntimeError, and so do the GPU's
libraries (cuBLAS, cuDNN, cuSOLVER), which ask for room of their own and name their status code."""


@dataclass(frozen=True)
class Rung:
    """One way to fine-tune, and what it leaves out, for the reader; empty for the way that was asked for."""

    settings: FineTuneSettings
    words: str


def rungs(
    settings: FineTuneSettings, network: nn.Module, device: torch.device, view: str, *, few: bool, stacks: bool
) -> Iterator[Rung]:
    """Ways to fine-tune, each needing less of the device's memory than the one before; last the CPU.

    Parameters
    ----------
    device
        Where the first one runs.
    few
        Whether the labels are few (:func:`cinema_core.learn.tiers.are_few`).
    stacks
        Whether the model sees whole stacks, one at a time: then there is no smaller batch.
    """
    yield Rung(settings, "")
    size = settings.batch_size
    while not stacks and size > 1:
        size //= 2
        slices = "2 slices" if size == 2 else "one slice" if size == 1 else f"{size} slices"
        yield Rung(settings.model_copy(update={"batch_size": size}), f"{slices} at a time")
    large = sum(parameter.numel() for parameter in network.parameters()) > LARGE_MODEL_PARAMETERS
    smallest = settings.model_copy(update={"batch_size": 1})
    tiers = [Tier.DECODER, Tier.LAST_BLOCKS] if large else []
    first = choose_tier(network, device, settings.tier, view, few=few)
    if first in tiers:
        tiers = tiers[tiers.index(first) + 1 :]
    for tier in (tier for tier in tiers if has_tier(network, tier, view)):
        what = "the decoder alone" if tier is Tier.DECODER else "the decoder's last blocks alone"
        yield Rung(smallest.model_copy(update={"tier": tier}), what)
    if device.type != "cpu":
        yield Rung(settings.model_copy(update={"device": "cpu"}), "the processor instead of the GPU")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too small."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_THE_ALLOCATOR)


def give_back() -> None:
    """Let go of what a failed attempt holds; to be called outside of the ``except`` whose traceback pins it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
