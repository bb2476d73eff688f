"""Boxes of voxels on the levels of a decoder: which part each level has to compute for a part of the image.

A region is one slice per axis, with whole, non-negative bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

Region = tuple[slice, ...]


@dataclass(frozen=True)
class DecoderPlan:
    """What a decoder computes, deepest level first.

    Attributes
    ----------
    deepest
        Part of the deepest features that goes in.
    computed
        Part that each block computes after up-sampling; right up to its reach from a border within the image.
    kept
        Part of it that is right, and goes on to the next block or out.
    """

    deepest: Region
    computed: tuple[Region, ...]
    kept: tuple[Region, ...]


def plan_decoder(window: Region, sizes: Sequence[Sequence[int]], reach: int) -> DecoderPlan:
    """Plan backwards from the part of the image that is wanted.

    Parameters
    ----------
    window
        Wanted part of the image.
    sizes
        Size of every level, deepest first, image last.
    reach
        How many voxels the convolutions of one block see to each side.
    """
    wanted = window
    computed: list[Region] = []
    kept: list[Region] = []
    for coarse, fine in reversed(list(pairwise(sizes))):
        factor = [n // m for n, m in zip(fine, coarse, strict=True)]
        below = coarsen(grow(wanted, reach, fine), factor)
        computed.insert(0, refine(below, factor))
        kept.insert(0, wanted)
        wanted = below
    return DecoderPlan(wanted, tuple(computed), tuple(kept))


def whole(size: Sequence[int]) -> Region:
    """Everything."""
    return tuple(slice(0, n) for n in size)


def grow(region: Region, by: int, size: Sequence[int]) -> Region:
    """Widen to every side, within the array."""
    return tuple(slice(max(0, s.start - by), min(n, s.stop + by)) for s, n in zip(region, size, strict=True))


def coarsen(region: Region, factor: Sequence[int]) -> Region:
    """Smallest region of a level below that covers this one."""
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(region, factor, strict=True))


def refine(region: Region, factor: Sequence[int]) -> Region:
    """Region of the level above that this one becomes."""
    return tuple(slice(s.start * f, s.stop * f) for s, f in zip(region, factor, strict=True))


def cut(x: Tensor, region: Region, of: Region | None = None) -> Tensor:
    """Cut a region out of features (b, c, ...) that cover ``of``, by default the whole level."""
    starts = [0] * len(region) if of is None else [s.start for s in of]
    part = tuple(slice(s.start - start, s.stop - start) for s, start in zip(region, starts, strict=True))
    return x[(slice(None), slice(None), *part)]
