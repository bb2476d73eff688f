"""Scars and edema that are too small to be believed, taken out of what a MyoPS model drew, as published."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EDEMA: Final = 4
SCAR: Final = 5
SMALLEST: Final = (((SCAR,), 60), ((EDEMA, SCAR), 200))
"""Pixels that a part must have in its slice: first of scar, then of edema and scar together."""


def without_small_scars(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give parts that are too small the most frequent other label about them.

    Parts touch across corners, within a slice. Labels are counted in the box about a part with one pixel more on each
    side. The published rule looks past the border of the image there; here the box ends with it.

    Parameters
    ----------
    labels
        Shape (x, y, z), as the models count.
    """
    kept = labels.copy()
    for values, least in SMALLEST:
        for z in range(kept.shape[2]):
            _fill_small(kept[:, :, z], values, least)
    return kept


def _fill_small(plane: NDArray[np.uint8], values: tuple[int, ...], least: int) -> None:
    """Change a slice (x, y) in place."""
    parts, _ = ndimage.label(np.isin(plane, values), structure=np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = parts == number
        if part.sum() >= least:
            continue
        around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        others = plane[around][~np.isin(plane[around], values)]
        if others.size:
            plane[part] = np.bincount(others).argmax()
