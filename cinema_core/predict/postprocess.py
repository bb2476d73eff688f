"""From probabilities to labels: the likeliest structure, without stray islands."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import FOREGROUND, Structure

Array = NDArray[np.float32]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

JOIN_MM: Final = 5.0
"""Parts this close in plane are one: breath-holds shift neighbouring slices, and an apex may then not overlap."""

TINY_SHARE: Final = 0.05
"""RV and myocardium lose islands below this share of their largest part; larger ones may be the outflow tract."""


def label_frame(probabilities: Array, pixel_spacing_mm: tuple[float, float]) -> Labels:
    """Label one frame.

    Each voxel takes its likeliest structure. There is one LV cavity, so of that only the largest part stays; of
    RV and myocardium only tiny islands go. What goes takes the likeliest of the other structures: a speck of
    LV within the RV becomes RV.

    Parameters
    ----------
    probabilities
        Shape (c, z, y, x), background first. Where they add up to zero the model saw nothing: background.
    pixel_spacing_mm
        Along y and x.

    Returns
    -------
    Shape (z, y, x).
    """
    labels: Labels = probabilities.argmax(axis=0).astype(np.uint8)
    box = _bounding_box(labels > 0)
    if box is None:
        return labels
    inside = labels[box]
    shares = probabilities[(slice(None), *box)]
    stray = np.zeros(inside.shape, dtype=bool)
    for structure in FOREGROUND:
        keep_share = 1.0 if structure is Structure.LV_CAVITY else TINY_SHARE
        stray |= islands(inside == structure, keep_share, pixel_spacing_mm)
    if stray.any():
        others = shares[:, stray]  # (c, stray voxels)
        others[inside[stray], np.arange(others.shape[1])] = -1.0
        inside[stray] = others.argmax(axis=0)
    return labels


def islands(mask: Mask, keep_share: float, pixel_spacing_mm: tuple[float, float]) -> Mask:
    """Find the parts of a structure that are smaller than a share of its largest part.

    Parameters
    ----------
    mask
        Shape (z, y, x). Parts touch across slices and corners, and if they are within :data:`JOIN_MM` in plane.
    keep_share
        1 leaves the largest part only.
    """
    reach = [round(JOIN_MM / 2 / spacing) for spacing in pixel_spacing_mm]
    size = (1, *(2 * r + 1 for r in reach))
    # A part at the border of the array has nothing beyond it to touch.
    grown = ndimage.maximum_filter(mask, size=size, mode="constant", cval=0)
    parts, n_parts = ndimage.label(grown, structure=np.ones((3, 3, 3)))
    if n_parts < 2:
        return np.zeros_like(mask)
    sizes = np.bincount(parts[mask], minlength=n_parts + 1)
    small = sizes < keep_share * sizes.max()
    if keep_share >= 1:
        small = np.arange(len(sizes)) != sizes.argmax()
    return np.asarray(mask & small[parts], dtype=bool)


def _bounding_box(mask: Mask) -> tuple[slice, ...] | None:
    found: list[tuple[slice, ...]] = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else None
