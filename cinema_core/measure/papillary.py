"""Papillary muscles and trabeculae inside the LV's contour, found by a threshold: for mass instead of cavity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import Structure
from cinema_core.errors import InputError, LabelError
from cinema_core.measure.volumes import segmented_phases

HALF_WAY: Final = 0.5
"""Level from which a pixel counts as blood: 0 is as dark as the wall, 1 as bright as the blood."""

NEIGHBOURS: Final = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class PapillaryMuscles:
    """What is muscle inside the LV's contour.

    Attributes
    ----------
    pixels
        Bool, shape (t, z, y, x); true only where the labels say LV cavity.
    level
        Threshold by which they were found.
    left_alone
        Slices from 0 where none could be looked for: no wall is drawn there, or blood is not brighter than the wall.
    """

    pixels: NDArray[np.bool_]
    level: float
    left_alone: tuple[int, ...]


def find_papillary_muscles(
    image: NDArray[Any], labels: NDArray[np.uint8], *, level: float = HALF_WAY, phases: Iterable[int] | None = None
) -> PapillaryMuscles:
    """Find pixels of the LV cavity that are as dark as muscle.

    Each slice has one threshold for the whole cycle, between the medians of wall and cavity in the phase in which its
    cavity is largest: at the end of systole too little blood may be left to measure. Dark pixels along the contour
    that no dark pixel further inside touches are the half-filled pixels of the border, not muscle.

    Parameters
    ----------
    image
        Intensities of a bright-blood cine, shape (t, z, y, x).
    labels
        Values of :class:`~cinema_core.anatomy.Structure`, same shape, papillary muscles as cavity.
    level
        Between 0 (as dark as the wall) and 1 (as bright as the blood).
    phases
        Frames to look at; None for all.

    Raises
    ------
    LabelError
        If image and labels have not one shape with four axes.
    InputError
        If the level is not between 0 and 1.

    References
    ----------
    Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020): papillary muscles belong to the mass or to the volume;
    whichever it is must be the same throughout and be stated.
    """
    if image.shape != labels.shape or labels.ndim != 4:
        raise LabelError(f"Image {image.shape} and labels {labels.shape} must have one shape (t, z, y, x).")
    if not 0 < level < 1:
        raise InputError(f"The level of the papillary muscles is {level:g}; it lies between 0 (wall) and 1 (blood).")
    chosen = segmented_phases(len(labels), phases)
    found = np.zeros(labels.shape, dtype=np.bool_)
    left_alone = []
    for z in range(labels.shape[1]):
        cavity = {t: labels[t, z] == Structure.LV_CAVITY for t in chosen}
        if not any(area.any() for area in cavity.values()):
            continue
        threshold = _threshold(image[:, z], labels[:, z], cavity, level)
        if threshold is None:
            left_alone.append(z)
            continue
        for t, area in cavity.items():
            if (box := _box_around(area)) is not None:
                found[t, z][box] = _dark_inside(area[box], image[t, z][box] < threshold)
    return PapillaryMuscles(found, level, tuple(left_alone))


def with_papillary_muscles_as_wall(labels: NDArray[np.uint8], muscles: PapillaryMuscles) -> NDArray[np.uint8]:
    """Labels (t, z, y, x) that count papillary muscles as myocardium; those that came in stay as they are."""
    counted = labels.copy()
    counted[muscles.pixels] = Structure.LV_MYOCARDIUM
    return counted


def _threshold(
    image: NDArray[Any], labels: NDArray[np.uint8], cavity: dict[int, NDArray[np.bool_]], level: float
) -> float | None:
    """Intensity that parts muscle from blood on one slice; None if there is no wall or no contrast."""
    fullest = max(cavity, key=lambda t: int(cavity[t].sum()))
    wall = labels[fullest] == Structure.LV_MYOCARDIUM
    if not wall.any():
        return None
    muscle, blood = (float(np.median(image[fullest][area])) for area in (wall, cavity[fullest]))
    return muscle + level * (blood - muscle) if blood > muscle else None


def _box_around(area: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns of an area with a pixel to spare, for the cavity is small in the image; None if it is empty."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    if not rows.size:
        return None
    (top, left), (bottom, right) = (rows[0], columns[0]), (rows[-1], columns[-1])
    return slice(max(0, top - 1), bottom + 2), slice(max(0, left - 1), right + 2)


def _dark_inside(cavity: NDArray[np.bool_], dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dark pixels of a cavity (y, x), without those that only its border makes dark."""
    dark = dark & cavity
    core = dark & ndimage.binary_erosion(cavity, NEIGHBOURS)
    return np.asarray(dark & ndimage.binary_dilation(core, NEIGHBOURS), dtype=np.bool_)
