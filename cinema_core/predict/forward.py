"""Frames through a network in batches of windows: images in, class probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cinema_core.predict.windows import window_starts

Array = NDArray[np.float32]

CPU_BATCH_VOXELS: Final = 8 * 192 * 192
"""Eight slices a batch: on two cores a larger batch is no faster, and the reader's cancel has to wait for it."""

GPU_BATCH_VOXELS: Final = 256 * 192 * 192
"""Sixteen stacks of sixteen slices."""


@dataclass(frozen=True, eq=False)
class WindowedNetwork:
    """A network that looks at windows of a fixed depth, applied to stacks of any depth.

    Attributes
    ----------
    view
        Key of its input and output.
    depth
        Slices of a window. One: every slice is a sample of its own.
    """

    network: nn.Module
    view: str
    depth: int

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
        n_frames, columns, rows, n_slices = frames.shape
        missing = max(0, self.depth - n_slices)
        padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (0, missing)))  # at the end, as published
        starts = window_starts(n_slices, self.depth)
        seen = np.zeros(n_slices + missing, dtype=np.float32)  # windows over each slice
        for start in starts:
            seen[start : start + self.depth] += 1

        windows = [(t, start) for t in range(n_frames) for start in starts]
        size = self._batch_size(columns * rows)
        open_frames: dict[int, Array] = {}
        for first in range(0, len(windows), size):
            on_batch(first / len(windows))
            batch = windows[first : first + size]
            found = self._forward(np.stack([padded[t, ..., z : z + self.depth] for t, z in batch]))
            for (t, z), window in zip(batch, found, strict=True):
                if t not in open_frames:
                    open_frames[t] = np.zeros((len(window), *padded.shape[1:]), dtype=np.float32)
                open_frames[t][..., z : z + self.depth] += window
                if z == starts[-1]:
                    yield np.divide(open_frames.pop(t), seen, dtype=np.float32)[..., :n_slices]

    def _forward(self, windows: Array) -> Array:
        """Probabilities (b, c, x, y, z) of windows (b, x, y, z)."""
        device = self._device
        images = torch.from_numpy(windows)[:, None].to(device)  # (b, 1, x, y, z)
        with torch.inference_mode(), _precision(device):
            logits: Tensor = self.network({self.view: images})[self.view]
            found: Array = logits.float().softmax(dim=1).cpu().numpy()
        return found

    def _batch_size(self, plane_voxels: int) -> int:
        voxels = CPU_BATCH_VOXELS if self._device.type == "cpu" else GPU_BATCH_VOXELS
        return max(1, voxels // (plane_voxels * self.depth))

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def _precision(device: torch.device) -> AbstractContextManager[object]:
    """As published: bfloat16 on a GPU, float16 where it has none, float32 on a CPU."""
    if device.type != "cuda":
        return nullcontext()
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast("cuda", dtype=torch.bfloat16 if native else torch.float16)
