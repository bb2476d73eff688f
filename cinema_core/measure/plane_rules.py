"""What one slice of a heart looks like: one ring of muscle, one cavity in it, one RV beside it, and no holes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import FOREGROUND, Structure

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_RV, _MUSCLE, _LV = (int(structure) for structure in FOREGROUND)
"""Plain numbers: before numpy compares an array with an enum it asks that for a dozen attributes."""

_SIDES = tuple(
    (slice(1 + down, down - 1 or None), slice(1 + right, right - 1 or None))
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))
)
"""The four neighbours of every pixel, within an image with a margin of one."""

_TOUCHING = np.ones((3, 3))
"""Pixels that meet at a corner belong together."""


def shows_heart(labels: Labels) -> Mask:
    """Where one of the three structures is."""
    return np.asarray((labels >= _RV) & (labels <= _LV))


def drawn_part(labels: Labels, phases: Iterable[int]) -> tuple[slice, slice]:
    """Rows and columns outside which every label is background, of some phases of labels (t, z, y, x).

    A heart fills a tenth of its image; what is looked at pixel by pixel is quicker there.
    """
    drawn = np.zeros(labels.shape[2:], dtype=labels.dtype)
    for t in phases:
        drawn |= np.bitwise_or.reduce(labels[t], axis=0)
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def cut_to_heart(plane: Labels) -> Labels:
    """Part of a slice (y, x) that holds its heart; of size 0 if it shows none."""
    heart = shows_heart(plane)
    rows, columns = (np.flatnonzero(heart.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return plane[:0, :0]
    return np.ascontiguousarray(plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def open_share(plane: Labels, to: Structure | None = None) -> float:
    """Share of the LV cavity's border that touches something else than muscle, or one structure; plane is (y, x)."""
    framed = np.zeros((plane.shape[0] + 2, plane.shape[1] + 2), dtype=plane.dtype)
    framed[1:-1, 1:-1] = plane
    beside = framed != _LV
    outside = framed != _MUSCLE if to is None else framed == int(to)
    cavity = ~beside[1:-1, 1:-1]
    border = touched = 0
    for side in _SIDES:
        leaving = cavity & beside[side]
        border += int(np.count_nonzero(leaving))
        touched += int(np.count_nonzero(leaving & outside[side]))
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
    rv = plane == _RV
    lv = (plane == _LV) | (plane == _MUSCLE)
    if not rv.any() or not lv.any():
        return 0.0
    distance = ndimage.distance_transform_edt(~lv, sampling=spacing_mm)
    pieces, n = ndimage.label(rv, structure=_TOUCHING)
    return max(float(distance[pieces == k].min()) for k in range(1, n + 1))
