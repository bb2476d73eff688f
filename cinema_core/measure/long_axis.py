"""Measures from three long-axis landmarks: the two insertions of the mitral valve, and the apex.

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679 (definitions of length, GLS, MAPSE).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.errors import LabelError

VALVE = slice(0, 2)
APEX = 2
LANDMARK_NAMES = ("valve insertion 1", "valve insertion 2", "apex")


@dataclass(frozen=True, eq=False)
class LongAxisFunction:
    """What three landmarks over the cycle say.

    Attributes
    ----------
    lv_length_mm
        Middle of the valve plane to the apex, shape (t,).
    longest, shortest
        Frame indices, from 0.
    gls_pct
        Shortening of that length, (longest - shortest) / longest * 100: a two-point measure of the chamber, not the
        strain of the wall that feature tracking gives. None with a single phase.
    mapse_mm
        Mean way of the two insertions between these phases; None with a single phase.
    """

    lv_length_mm: NDArray[np.float64]
    longest: int
    shortest: int
    gls_pct: float | None
    mapse_mm: float | None


def lv_length_mm(points_yx: NDArray[np.float64], pixel_spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Distance from the middle between the valve's insertions to the apex.

    Parameters
    ----------
    points_yx
        Shape (..., 3, 2), in pixels: insertion 1, insertion 2, apex.
    pixel_spacing_mm
        Along y and x.

    Returns
    -------
    Shape (...).
    """
    points_mm = np.asarray(points_yx, dtype=np.float64) * np.asarray(pixel_spacing_mm)
    middle = points_mm[..., VALVE, :].mean(axis=-2)
    return np.asarray(np.linalg.norm(middle - points_mm[..., APEX, :], axis=-1))


def long_axis_function(points_yx: NDArray[np.float64], pixel_spacing_mm: tuple[float, float]) -> LongAxisFunction:
    """Length over the cycle, its shortening and the way of the valve plane.

    Parameters
    ----------
    points_yx
        Shape (t, 3, 2), in pixels.
    pixel_spacing_mm
        Along y and x.

    Raises
    ------
    LabelError
        If points are missing or coincide, so that there is no length.
    """
    points = np.asarray(points_yx, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (3, 2) or not len(points):
        raise LabelError(f"Landmarks have the shape {points.shape}; (phases, 3, 2) is expected.")
    lengths = lv_length_mm(points, pixel_spacing_mm)
    if not np.isfinite(lengths).all() or lengths.max() <= 0:
        raise LabelError("A landmark is missing, or valve and apex coincide. Set the landmarks of each phase.")
    longest, shortest = int(lengths.argmax()), int(lengths.argmin())
    if len(points) < 2:
        return LongAxisFunction(lengths, longest, shortest, None, None)
    gls = float((lengths[longest] - lengths[shortest]) / lengths[longest] * 100)
    way = (points[longest, VALVE] - points[shortest, VALVE]) * np.asarray(pixel_spacing_mm)
    return LongAxisFunction(lengths, longest, shortest, gls, float(np.linalg.norm(way, axis=-1).mean()))
