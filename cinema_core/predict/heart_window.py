"""Where on the model's grid the heart lies, so that only there the costly levels of a decoder have to work."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.models.region import Region
from cinema_core.predict.uncertainty import BAND

Array = NDArray[np.float32]

N_SCOUTS: Final = 3
"""Frames decoded whole before the others, spread evenly over the beat: the heart fills and empties, and shifts."""

MARGIN: Final = 10
"""Pixels around all that the scouts show; 10 mm for the published grids."""

RIM: Final = 2
"""Heart in so many outermost pixels of the window may go on beyond it: then that frame is decoded whole."""

LARGEST_SHARE: Final = 0.8
"""A window with more of the plane than this saves nothing."""


def scouts(n_frames: int) -> list[int]:
    """Frames to decode whole; the first one, which is usually the largest heart, among them."""
    return sorted({i * n_frames // N_SCOUTS for i in range(N_SCOUTS)} & set(range(n_frames)))


class HeartWindow:
    """Box in x and y around the heart of one cine, learnt from what was decoded whole.

    A frame whose heart reaches the rim of the window must be decoded whole and seen again, so a ventricle that is
    larger than in all frames before is never cut. What could be missed is a part that touches nothing within the
    window and shows on no frame that was decoded whole.
    """

    def __init__(self, size_xy: tuple[int, int]) -> None:
        self._size = size_xy
        self._columns = np.zeros(size_xy[0], dtype=bool)
        self._rows = np.zeros(size_xy[1], dtype=bool)

    def see(self, probabilities: Array) -> None:
        """Take in frames or slices (b, c, x, y, z) that were decoded whole."""
        heart = _shows_heart(probabilities)
        self._columns |= heart.any(axis=1)
        self._rows |= heart.any(axis=0)

    @property
    def region(self) -> Region | None:
        """Columns and rows to decode; None: all of them."""
        if not self._columns.any():
            return None
        box = tuple(
            slice(max(0, int(seen[0]) - MARGIN), min(size, int(seen[-1]) + 1 + MARGIN))
            for seen, size in (
                (np.flatnonzero(self._columns), self._size[0]),
                (np.flatnonzero(self._rows), self._size[1]),
            )
        )
        share = (box[0].stop - box[0].start) * (box[1].stop - box[1].start) / (self._size[0] * self._size[1])
        return box if share <= LARGEST_SHARE else None

    def holds(self, probabilities: Array, region: Region) -> bool:
        """Whether the heart of frames (b, c, x, y, z), decoded in the region, ends within it."""
        heart = _shows_heart(probabilities)
        columns, rows = region
        # Where the region ends with the image there is nothing beyond it.
        rims = [heart[:RIM]] if columns.start > 0 else []
        rims += [heart[-RIM:]] if columns.stop < self._size[0] else []
        rims += [heart[:, :RIM]] if rows.start > 0 else []
        rims += [heart[:, -RIM:]] if rows.stop < self._size[1] else []
        return not any(rim.any() for rim in rims)


def _shows_heart(probabilities: Array) -> NDArray[np.bool_]:
    """Pixels (x, y) where some slice may show a structure; the same measure as that of the uncertainty."""
    return np.asarray((probabilities[:, 0] <= 1 - BAND).any(axis=(0, 3)))
