"""Short axis with 2- and 4-chamber cines but no labels (Kaggle, Rescan): centred where the planes meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.volumes import (
    LAX_SIZE,
    LAX_SPACING_MM,
    SAX_SIZE,
    SAX_SPACING_MM,
    Frames,
    planes_meet_mm,
    resample,
    window_at,
)

VIEWS: Final = ("sax", "lax_2c", "lax_4c")


def meeting_point(cines: Mapping[str, Frames]) -> NDArray[np.float64]:
    """Point (LPS, mm) that the windows of all views are centred on.

    Raises
    ------
    GeometryError
        If the planes do not meet in one point.
    """
    return planes_meet_mm(*(cines[view][0] for view in VIEWS))


def cut_out(view: str, frames: Frames, centre_mm: NDArray[np.float64], *, labels: bool = False) -> Frames:
    """Resample a cine to the published spacing and cut the published window out about a point.

    Raises
    ------
    GeometryError
        If the point lies outside of the image.
    """
    spacing_mm = SAX_SPACING_MM if view == "sax" else LAX_SPACING_MM
    size = SAX_SIZE if view == "sax" else LAX_SIZE
    return [window_at(resample(frame, spacing_mm, labels=labels), centre_mm, size) for frame in frames]
