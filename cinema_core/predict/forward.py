"""Frames through a network in batches of windows: images in, class probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cinema_core.models import ConvUNetR
from cinema_core.models.layout import laid_out
from cinema_core.models.precision import multiplies_bfloat16
from cinema_core.models.region import Region
from cinema_core.predict.heart_window import HeartWindow, scouts
from cinema_core.predict.windows import window_starts

Array = NDArray[np.float32]

CPU_BATCH_VOXELS: Final = 8 * 192 * 192
"""Eight slices a batch: on two cores a larger batch is no faster, and the reader's cancel has to wait for it."""

GPU_BATCH_VOXELS: Final = 256 * 192 * 192
"""Sixteen stacks of sixteen slices."""

BFLOAT16_PARAMETERS: Final = 20_000_000
"""Networks of this size spend their time on products: the published ones have 100 M and more, the bundled one 5 M."""


@dataclass(frozen=True, eq=False)
class WindowedNetwork:
    """A network that looks at windows of a fixed depth, applied to stacks of any depth.

    What can be left out without changing the answer is left out: a ConvUNetR decodes only around the heart, and
    not the zeros below a short stack.

    Attributes
    ----------
    view
        Key of its input and output.
    depth
        Slices of a window. One: every slice is a sample of its own.
    mirrored
        Axes of (x, y) along which it is shown the mirror image; what it says is mirrored back.
    """

    network: nn.Module
    view: str
    depth: int
    mirrored: tuple[int, ...] = ()

    def probabilities(self, frames: Array, on_batch: Callable[[float], None]) -> Iterator[Array]:
        """Class probabilities of each frame, one after the other.

        Parameters
        ----------
        frames
            Shape (t, x, y, z) on the model's grid, of its size in x and y; values 0 to 1.
        on_batch
            Told the finished share before each batch; what it raises ends the work.

        Yields
        ------
        Shape (c, x, y, z). Where windows overlap, their mean, as published.
        """
        frames = np.flip(frames, tuple(1 + axis for axis in self.mirrored))
        n_frames, columns, rows, n_slices = frames.shape
        starts = window_starts(n_slices, self.depth)
        seen = np.zeros(n_slices, dtype=np.float32)  # windows over each slice
        for start in starts:
            seen[start : start + self.depth] += 1

        first_frames = scouts(n_frames)
        order = [*first_frames, *(t for t in range(n_frames) if t not in first_frames)]
        forward = _Forward(self, HeartWindow((columns, rows)))
        sums: dict[int, Array] = {}
        missing = dict.fromkeys(range(n_frames), len(starts))
        n_done = n_given = 0
        for batch in self._batches(order, len(first_frames), starts, columns * rows):
            on_batch(n_done / (n_frames * len(starts)))
            stacks = np.stack([frames[t, ..., z : z + self.depth] for t, z in batch])
            found = forward.whole(stacks) if batch[0][0] in first_frames else forward.around_heart(stacks)
            for (t, z), window in zip(batch, found, strict=True):
                if t not in sums:
                    sums[t] = np.zeros((len(window), columns, rows, n_slices), dtype=np.float32)
                sums[t][..., z : z + self.depth] += window
                missing[t] -= 1
            n_done += len(batch)
            while n_given in missing and not missing[n_given]:
                found_frame = np.divide(sums.pop(n_given), seen, dtype=np.float32)  # (c, x, y, z)
                yield np.flip(found_frame, tuple(1 + axis for axis in self.mirrored))
                n_given += 1

    def _batches(
        self, order: Sequence[int], n_scouts: int, starts: Sequence[int], plane_voxels: int
    ) -> Iterator[list[tuple[int, int]]]:
        """Frame and first slice of the windows of each batch; no batch mixes scouts with others."""
        device = next(self.network.parameters()).device
        voxels = CPU_BATCH_VOXELS if device.type == "cpu" else GPU_BATCH_VOXELS
        size = max(1, voxels // (plane_voxels * self.depth))
        for group in (order[:n_scouts], order[n_scouts:]):
            windows = [(t, start) for t in group for start in starts]
            yield from (windows[first : first + size] for first in range(0, len(windows), size))


def mean_probabilities(
    networks: Sequence[WindowedNetwork], frames: Array, on_batch: Callable[[float], None]
) -> Iterator[Array]:
    """Class probabilities of each frame, the mean of what several networks say; see :class:`WindowedNetwork`."""
    for found in all_probabilities(networks, frames, on_batch):
        yield np.asarray(np.mean(found, axis=0), dtype=np.float32)


def all_probabilities(
    networks: Sequence[WindowedNetwork], frames: Array, on_batch: Callable[[float], None]
) -> Iterator[tuple[Array, ...]]:
    """Class probabilities of each frame as each network says them, in their order; see :class:`WindowedNetwork`."""
    shares = [0.0] * len(networks)

    def told(k: int, share: float) -> None:
        shares[k] = share
        on_batch(sum(shares) / len(shares))

    asked = [network.probabilities(frames, partial(told, k)) for k, network in enumerate(networks)]
    yield from zip(*asked, strict=True)


class _Forward:
    """Batches of windows through the network, for one cine."""

    def __init__(self, windowed: WindowedNetwork, heart: HeartWindow) -> None:
        network = windowed.network
        self._device = next(network.parameters()).device
        self._precision = choose_precision(network, self._device)
        # In two dimensions there is nothing to gain by another layout.
        lay_out = self._device.type == "cpu" and windowed.depth > 1 and isinstance(network, ConvUNetR)
        self._network = laid_out(network, self._precision) if lay_out else network
        self._view = windowed.view
        self._depth = windowed.depth
        self._heart = heart

    def whole(self, stacks: Array) -> Array:
        """Probabilities (b, c, x, y, z) of stacks (b, x, y, z), which may be less deep than the window."""
        return self._run(stacks, None)

    def around_heart(self, stacks: Array) -> Array:
        """Probabilities as :meth:`whole` gives them, but background where no heart is expected."""
        return self._run(stacks, self._heart.region)

    def _run(self, stacks: Array, region: Region | None) -> Array:
        n_slices = stacks.shape[-1]
        padded = np.pad(stacks, ((0, 0), (0, 0), (0, 0), (0, self._depth - n_slices)))  # at the end, as published
        images = {self._view: torch.from_numpy(padded)[:, None].to(self._device)}  # (b, 1, x, y, z)
        with torch.inference_mode(), _autocast(self._precision, self._device):
            if not isinstance(self._network, ConvUNetR):
                return _softmax(self._network(images)[self._view])[..., :n_slices]
            encoded = self._network.encode(images)[self._view]
            columns, rows = stacks.shape[1:3]
            if region is not None:
                part = _softmax(self._network.decode(self._view, encoded, (*region, slice(0, n_slices))))
                if self._heart.holds(part, region):
                    return _amid_background(part, region, (columns, rows))
            everything = (slice(0, columns), slice(0, rows), slice(0, n_slices))
            found = _softmax(self._network.decode(self._view, encoded, everything))
        self._heart.see(found)
        return found


def choose_precision(network: nn.Module, device: torch.device) -> torch.dtype:
    """As published on a GPU: bfloat16, or float16 where it has none. On a CPU bfloat16 for a large ConvUNetR.

    A small network spends its time moving numbers, not multiplying them: bfloat16 makes the bundled one a fifth
    faster, which is not worth another answer.
    """
    if device.type == "cuda":
        return torch.bfloat16 if multiplies_bfloat16(device) else torch.float16
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    large = isinstance(network, ConvUNetR) and n_parameters >= BFLOAT16_PARAMETERS
    return torch.bfloat16 if large and multiplies_bfloat16(device) else torch.float32


def _autocast(precision: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    return nullcontext() if precision is torch.float32 else torch.autocast(device.type, dtype=precision)


def _softmax(logits: Tensor) -> Array:
    found: Array = logits.float().softmax(dim=1).cpu().numpy()
    return found


def _amid_background(part: Array, region: Region, size_xy: tuple[int, int]) -> Array:
    """Place a part (b, c, x, y, z) in its plane; the rest is background for sure."""
    found = np.zeros((*part.shape[:2], *size_xy, part.shape[-1]), dtype=np.float32)
    found[:, 0] = 1
    columns, rows = region
    found[:, :, columns, rows] = part
    return found
