"""How thick the phantom's LV wall is in one slice, from its exact borders, and where its RV begins.

Computed apart from :mod:`cinema_core.measure`, and by another definition, so that one can judge the other: thickness
is the diameter of the largest disc that fits between the borders, at every place along the middle of the wall. It
differs from a chord square to that middle by the cosine of the angle at which the borders converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import KDTree

from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.study import PhantomView

STEP_MM: Final = 0.1
"""Between the points that stand for a border; the distance to it is then right to 0.001 mm in a wall of 3 mm."""

BASE_MARGIN_MM: Final = 0.2
"""A tilted slice whose outline comes so near the mitral plane is cut by it."""

LEAST_RV_DEG: Final = 40.0
"""A tilted plane may meet one side of the RV's tip only."""


@dataclass(frozen=True, eq=False)
class TrueWall:
    """The ring of muscle in one slice at one phase; places are in pixels, (x, y).

    Attributes
    ----------
    middle_px, thickness_mm
        Places at even distances along the middle of the wall, shape (n, 2), and how thick it is there, shape (n,).
    cavity_px
        Middle of the cavity, shape (2,).
    insertions_px
        Where the RV begins, the anterior end first, shape (2, 2); None if the plane does not meet the RV, or only so
        little of its tip that it tells nothing of where the septum is.
    """

    middle_px: FloatArray
    thickness_mm: FloatArray
    cavity_px: FloatArray
    insertions_px: FloatArray | None


def true_wall(view: PhantomView, t: int, z: int) -> TrueWall | None:
    """Wall of a short-axis slice; None where its borders are not two closed curves, one within the other."""
    plane = view.cine.geometry.planes[z]
    curves = view.contours(t, z)
    inner, outer = curves["lv_endocardium"], curves["lv_epicardium"]
    if len(inner) != 1 or len(outer) != 1 or view.in_heart(z, outer[0])[1].min() < view.base_mm(t) + BASE_MARGIN_MM:
        return None
    step = np.array(plane.spacing_mm[::-1])
    endocardium, epicardium = (_dense(curve * step) for curve in (inner[0], outer[0]))
    to_inner, to_outer = KDTree(endocardium), KDTree(epicardium)
    # From each place on the endocardium towards the nearest on the epicardium lies one that is as far from both.
    start = endocardium[::5]
    way = epicardium[to_outer.query(start)[1]] - start
    low, high = np.zeros(len(start)), np.ones(len(start))
    for _ in range(14):
        share = (low + high) / 2
        place = start + share[:, None] * way
        nearer_inner = to_inner.query(place)[0] < to_outer.query(place)[0]
        low, high = np.where(nearer_inner, share, low), np.where(nearer_inner, high, share)
    place = _dense(np.concatenate([place, place[:1]]))[::5]
    thickness = np.asarray(to_inner.query(place)[0] + to_outer.query(place)[0])
    return TrueWall(place / step, thickness, _centroid(endocardium) / step, _insertions(view, epicardium / step, t, z))


def _insertions(view: PhantomView, epicardium_px: FloatArray, t: int, z: int) -> FloatArray | None:
    """Find the ends of the stretch of the epicardium that the RV lies on."""
    theta, z_mm = view.in_heart(z, epicardium_px)
    from_septum = np.mod(theta, 2 * np.pi) - np.pi  # positive: anterior
    beside = np.flatnonzero(view.rv_depth_mm(t, theta, z_mm) > 0)
    if not beside.size or np.ptp(from_septum[beside]) < np.deg2rad(LEAST_RV_DEG):
        return None
    ends = (beside[from_septum[beside].argmax()], beside[from_septum[beside].argmin()])
    return np.asarray(epicardium_px[list(ends)])


def _dense(curve: FloatArray) -> FloatArray:
    """Points at even distances along a closed curve."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    at = np.linspace(0, along[-1], int(along[-1] / STEP_MM), endpoint=False)
    return np.stack([np.interp(at, along, curve[:, k]) for k in range(2)], axis=1)


def _centroid(curve: FloatArray) -> FloatArray:
    """Middle of the area within a closed curve."""
    following = np.roll(curve, -1, axis=0)
    cross = curve[:, 0] * following[:, 1] - following[:, 0] * curve[:, 1]
    return np.asarray(((curve + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))
