"""Labels between two drawn slices, by the shape of each structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, distance_transform_edt, shift

from cinema_app.contours.drawing import DRAWN_IN_ORDER, Mask, region


def between(first: Mask, last: Mask, part: float) -> Mask:
    """Label of a slice that lies between two others.

    The distances from each border are averaged, after both shapes were moved to where the middle between them lies.
    A structure that only one of the two has reaches half way.

    Parameters
    ----------
    first, last
        Labels, shape (y, x).
    part
        Where the slice lies, 0 at the first and 1 at the last.

    References
    ----------
    Raya and Udupa, IEEE Trans Med Imaging 9:32-42 (1990).
    """
    made = np.zeros(first.shape, np.uint8)
    for border, structure in DRAWN_IN_ORDER:
        made[_region_between(region(first, border), region(last, border), part)] = structure
    return made


def _region_between(first: NDArray[np.bool_], last: NDArray[np.bool_], part: float) -> NDArray[np.bool_]:
    if not (first.any() and last.any()):
        return first if part < 0.5 else last
    centres = np.array([center_of_mass(first), center_of_mass(last)])
    middle = (1 - part) * centres[0] + part * centres[1]
    one, other = (
        shift(mask_distance(mask), middle - centre, order=1, mode="nearest")
        for mask, centre in zip((first, last), centres, strict=True)
    )
    return np.asarray((1 - part) * one + part * other < 0)


def mask_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of pixel centres from the border of a mask, negative inside."""
    return np.asarray(distance_transform_edt(~mask) - distance_transform_edt(mask))
