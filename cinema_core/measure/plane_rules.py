"""What one slice of a heart looks like: one ring of muscle, one cavity in it, one RV beside it, and no holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import FOREGROUND, Structure

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_TOUCHING = np.ones((3, 3))
"""Pixels that meet at a corner belong together."""


def shows_heart(labels: Labels) -> Mask:
    """Where one of the three structures is."""
    return np.asarray((labels >= min(FOREGROUND)) & (labels <= max(FOREGROUND)))


def cut_to_heart(plane: Labels) -> Labels:
    """Part of a slice (y, x) that holds its heart; the slice must show one."""
    (box,) = ndimage.find_objects(shows_heart(plane).astype(np.uint8))
    return np.ascontiguousarray(plane[box])


def open_share(plane: Labels, to: Structure | None = None) -> float:
    """Share of the LV cavity's border that touches something else than muscle, or one structure; plane is (y, x)."""
    cavity = np.pad(plane == Structure.LV_CAVITY, 1)
    outside = np.pad(plane != Structure.LV_MYOCARDIUM if to is None else plane == to, 1, constant_values=to is None)
    border = touched = 0
    for axis in (0, 1):
        for step in (-1, 1):
            leaving = cavity & ~np.roll(cavity, step, axis)
            border += int(leaving.sum())
            touched += int((leaving & np.roll(outside, step, axis)).sum())
    return touched / border if border else 0.0


def share_apart(mask: Mask) -> float:
    """Share of a structure that is not in its largest piece."""
    pieces, n = ndimage.label(mask, structure=_TOUCHING)
    return 1 - float(np.bincount(pieces[mask]).max()) / float(mask.sum()) if n > 1 else 0.0


def hole_share(plane: Labels) -> float:
    """Background that the heart encloses, relative to the heart."""
    heart = shows_heart(plane)
    holes = ndimage.binary_fill_holes(heart) & ~heart
    return float(holes.sum() / heart.sum()) if heart.any() else 0.0


def farthest_piece_mm(plane: Labels, spacing_mm: tuple[float, float]) -> float:
    """How far the farthest piece of the RV lies from the LV; 0 without RV, or without LV to lie beside.

    Parameters
    ----------
    plane
        Labels, shape (y, x).
    spacing_mm
        Along y and x.
    """
    rv = plane == Structure.RV_CAVITY
    lv = (plane == Structure.LV_CAVITY) | (plane == Structure.LV_MYOCARDIUM)
    if not rv.any() or not lv.any():
        return 0.0
    distance = ndimage.distance_transform_edt(~lv, sampling=spacing_mm)
    pieces, n = ndimage.label(rv, structure=_TOUCHING)
    return float(np.max(ndimage.minimum(distance, pieces, np.arange(1, n + 1))))
