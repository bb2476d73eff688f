"""What the frozen part of a large model makes of the labelled windows, computed once; the rest learns on parts of it.

The published base model has its encoder frozen while a reader waits. Its transformer has to see a whole stack, and is
asked once about each window and about a few changed images of it. The decoder, whose fine levels cost most, learns on
parts around the heart. That is exact: its norms look at one voxel, its convolutions reach a few, and each level
computes as much around a part as the ones above it look at (:mod:`cinema_core.models.region`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from cinema_core.anatomy import FOREGROUND, UNLABELLED
from cinema_core.learn.augment import Augmentation, Sample
from cinema_core.learn.settings import Tier
from cinema_core.models import ConvUNetR
from cinema_core.models.convunetr import EncodedView, HalfDecoded
from cinema_core.models.layout import laid_out
from cinema_core.models.region import Region
from cinema_core.predict.forward import choose_precision
from cinema_core.predict.heart_window import HeartWindow

State = EncodedView | HalfDecoded
"""What the frozen part made of one image, with a batch axis of one; kept in the computer's memory."""

LAST_BLOCKS: Final = 2

VARIANTS: Final = {"cuda": 8, "cpu": 2}
"""The image as it is and changed ones, by device: on two cores each costs as much as two steps."""

MOST_STATES: Final = {"cuda": 64, "cpu": 16}
"""So many images are affordable; of more windows only the image as it is."""

MOST_WINDOWS: Final = 160
"""With more windows nothing is kept: every step begins with the image."""

CROP_MM: Final = {"cuda": 128.0, "cpu": 96.0}
"""Side of a part. A dilated RV may be larger than the smaller one; parts then lie anywhere on the heart."""

SLICES_AROUND: Final = 2
"""To both sides of a labelled slice, for what the base says of those that nobody labelled."""

SURE: Final = 20.0
"""Logit of the background where nothing was looked at."""

ELSEWHERE: Final = 0.25
"""Share of the parts that lie anywhere, so that no heart is learned where none is."""


def can_be_kept(network: nn.Module, tier: Tier, window_slices: int, n_windows: int) -> bool:
    """Whether the frozen part of a network is worth asking only once: it takes stacks, and is large by that."""
    frozen = tier in (Tier.DECODER, Tier.LAST_BLOCKS)
    return isinstance(network, ConvUNetR) and frozen and window_slices > 1 and n_windows <= MOST_WINDOWS


class FrozenPart:
    """The part of a network that a tier does not train, asked as prediction asks it."""

    def __init__(self, network: nn.Module, tier: Tier, view: str) -> None:
        self._device = next(network.parameters()).device
        self._precision = choose_precision(network, self._device)
        on_cpu = self._device.type == "cpu"
        self._network = cast(ConvUNetR, laid_out(network, self._precision) if on_cpu else network).eval()
        self._tier = tier
        self._view = view

    @property
    def precision(self) -> str:
        """Precision in which it is asked."""
        return str(self._precision).removeprefix("torch.")

    @torch.no_grad()
    def __call__(self, image: Tensor) -> State:
        """Ask about an image (x, y, z)."""
        images = image[None, None].to(self._device)
        plain = self._precision is torch.float32
        with nullcontext() if plain else torch.autocast(self._device.type, dtype=self._precision):
            encoded = self._network.encode({self._view: images})[self._view]
            if self._tier is Tier.DECODER:
                state: State = encoded
            else:
                state = self._network.half_decode(self._view, encoded, LAST_BLOCKS)
        # It was rounded to this precision on the way, and takes half of the memory.
        return replace(_mapped(state, lambda x: x.to("cpu", self._precision)), image=image[None, None])


def finish(network: nn.Module, view: str, state: State, region: Region | None = None) -> Tensor:
    """Logits (1, c, *region) of a network whose frozen part was asked before, by default everywhere."""
    device = next(network.parameters()).device
    there = _mapped(state, lambda x: x.to(device, torch.float32))
    network = cast(ConvUNetR, network)
    if isinstance(there, HalfDecoded):
        return network.finish(view, there, region)
    return network.decode(view, there, region)


def heart_of(labels: Tensor, probabilities: Tensor) -> HeartWindow:
    """Where reader or base see a heart: labels (x, y, z) and probabilities (c, x, y, z)."""
    found = HeartWindow((labels.shape[0], labels.shape[1]))
    drawn = torch.isin(labels, torch.tensor(FOREGROUND, dtype=torch.uint8))
    found.see(probabilities[None].numpy())
    found.see((~drawn)[None, None].float().numpy())  # (1, background, x, y, z)
    return found


def look(network: nn.Module, view: str, state: State, axes: Sequence[int], heart: HeartWindow | None) -> Tensor:
    """Logits (1, c, x, y, z) of a window whose mirror image along some axes of (x, y) the frozen part was asked about.

    Parameters
    ----------
    heart
        Where the fine levels of the decoder are worth their time. Elsewhere background is taken for sure, unless the
        network draws on to the rim. None: everywhere.
    """
    turned = [2 + axis for axis in axes]
    if heart is not None and heart.region is not None:
        size = state.image.shape[2:]
        region = (*heart.region, slice(0, size[2]))
        there = tuple(
            slice(n - part.stop, n - part.start) if axis in axes else part
            for axis, (part, n) in enumerate(zip(region, size, strict=True))
        )
        part = finish(network, view, state, there).flip(turned)
        if heart.holds(part.softmax(1).cpu().numpy(), heart.region):
            logits = part.new_zeros((*part.shape[:2], *size))
            logits[:, 0] = SURE
            logits[(slice(None), slice(None), *region)] = part
            return logits
    return finish(network, view, state).flip(turned)


def _mapped(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """Change all tensors of a state."""
    if isinstance(state, HalfDecoded):
        skips = tuple(None if skip is None else change(skip) for skip in state.skips)
        return HalfDecoded(change(state.image), change(state.features), skips)
    return EncodedView(change(state.image), tuple(map(change, state.stages)), change(state.tokens))


@dataclass(frozen=True, eq=False)
class Variant:
    """One image of a window, as it is or changed, and what the frozen part makes of it."""

    state: State
    sample: Sample


def variants_of(
    samples: Sequence[Sample],
    as_they_are: Sequence[State],
    ask: Callable[[Tensor], State],
    seed: int,
    pixel_mm: float,
    device: str,
) -> list[list[Variant]]:
    """Each window as it is and, if there are not too many, changed at random; repeatable from the seed.

    Parameters
    ----------
    samples, as_they_are
        The windows, and what the frozen part makes of them.
    ask
        The frozen part.
    device
        Kind of device, which decides how many variants are affordable.
    """
    found = [[Variant(state, sample)] for sample, state in zip(samples, as_they_are, strict=True)]
    augment = Augmentation(seed, with_base=samples[0].base is not None, pixel_mm=pixel_mm)
    for _ in range(min(VARIANTS[device], MOST_STATES[device] // len(samples)) - 1):
        for variants, sample in zip(found, samples, strict=True):
            changed = augment(sample)
            variants.append(Variant(ask(changed.image), changed))
    return found


@dataclass(frozen=True, eq=False)
class PartBatch:
    """A part of one window."""

    state: State
    region: Region
    labels: Tensor
    base: Tensor | None
    depth: int

    def ask(self, network: nn.Module, view: str) -> Tensor:
        """Logits (1, c, x, y, z) of a network, on its device."""
        return finish(network, view, self.state, self.region)


class PartBatches:
    """Endless parts of windows in an order fixed by the seed: every window once before any comes again."""

    def __init__(self, windows: Sequence[Sequence[Variant]], seed: int, side_px: int) -> None:
        self._windows = windows
        self._rng = np.random.default_rng(seed)
        self._side_px = side_px
        self._waiting: list[int] = []

    def draw(self) -> PartBatch:
        """Next part."""
        if not self._waiting:
            self._waiting = self._rng.permutation(len(self._windows)).tolist()
        variants = self._windows[self._waiting.pop()]
        variant = variants[int(self._rng.integers(len(variants)))]
        sample = variant.sample
        region = self._region(sample)
        base = None if sample.base is None else sample.base[(slice(None), *region)][None]
        return PartBatch(variant.state, region, sample.labels[region][None], base, sample.labels.shape[-1])

    def _region(self, sample: Sample) -> Region:
        labelled = sample.labels != UNLABELLED
        planes = np.flatnonzero(labelled.any(dim=0).any(dim=0).numpy())
        depth = sample.labels.shape[-1]
        z = int(self._rng.choice(planes)) if len(planes) else int(self._rng.integers(depth))
        slices = slice(max(0, z - SLICES_AROUND), min(depth, z + SLICES_AROUND + 1))
        heart = torch.isin(sample.labels, torch.tensor(FOREGROUND, dtype=torch.uint8)).any(dim=-1).numpy()
        anywhere = self._rng.random() < ELSEWHERE or not heart.any()
        x, y = (
            self._along(size, np.array([0, size - 1]) if anywhere else np.flatnonzero(heart.any(axis=other)))
            for size, other in zip(heart.shape, (1, 0), strict=True)
        )
        return x, y, slices

    def _along(self, size: int, seen: np.ndarray[tuple[int], np.dtype[np.integer]]) -> slice:
        """Place a part along one axis over what is to be seen, or on it if that is larger."""
        side = min(self._side_px, size)
        ends = int(seen[-1]) + 1 - side, int(seen[0])  # the least and the last start of a part that holds all of it
        first = int(self._rng.integers(min(ends), max(ends) + 1))
        first = min(max(first, 0), size - side)
        return slice(first, first + side)
