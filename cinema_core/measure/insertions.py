"""Where a reader begins to set the RV's insertion points on a slice on which they were not found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.measure.ring import Border, Points, Ring, ring_of_labels
from cinema_core.measure.segments import Insertions, sense_of

HALF_SEPTUM: Final = np.pi / 3
"""Two of the six segments of a basal or mid slice are septal: 60 degrees to either side of its middle."""

LEFT: Final = np.pi
"""Direction of the septum on a short axis as scanners show it."""


def suggested_insertions(
    labels: NDArray[np.uint8], cine: Cine, z: int, known: Sequence[Insertions | None]
) -> Insertions | None:
    """Place both insertion points on the epicardium of a slice, for the reader to move.

    In the direction in which they lie on the nearest slice that has them; without any, to either side of where the RV
    lies; without an RV, to the left.

    Parameters
    ----------
    labels
        Of end-diastole, shape (z, y, x).
    known
        Insertion points of every slice, None where there are none.

    Returns
    -------
    None where the slice shows no muscle all round the LV cavity: there insertion points have no use.
    """
    plane = cine.geometry.planes[z]
    ring = ring_of_labels(labels[z], plane.spacing_mm)
    if not isinstance(ring, Ring):
        return None
    placed = [k for k, points in enumerate(known) if points is not None]
    if placed:
        points = known[min(placed, key=lambda k: abs(k - z))]
        assert points is not None
        angles = [_angle(_mm(yx, plane.spacing_mm), ring) for yx in (points.anterior_yx, points.inferior_yx)]
    else:
        middle, sense = _towards_rv(labels, z, ring, plane.spacing_mm), sense_of(cine.geometry.planes, cine.apex_first)
        angles = [middle + sense * HALF_SEPTUM, middle - sense * HALF_SEPTUM]
    anterior, inferior = (_on(ring.epicardium, angle, plane.spacing_mm) for angle in angles)
    return Insertions(anterior, inferior)


def _towards_rv(labels: NDArray[np.uint8], z: int, ring: Ring, spacing_mm: tuple[float, float]) -> float:
    """Direction of the RV from the middle of the LV cavity, on this slice or else on any, radians from x towards y."""
    for rv in (labels[z] == Structure.RV_CAVITY, (labels == Structure.RV_CAVITY).any(axis=0)):
        if rv.any():
            y, x = np.argwhere(rv).mean(axis=0)
            return _angle(_mm((float(y), float(x)), spacing_mm), ring)
    return LEFT


def _mm(yx: tuple[float, float], spacing_mm: tuple[float, float]) -> Points:
    """Place (x, y) in mm of a pixel (y, x)."""
    return np.array([yx[1] * spacing_mm[1], yx[0] * spacing_mm[0]])


def _angle(place_mm: Points, ring: Ring) -> float:
    dx, dy = place_mm - ring.centre_mm
    return float(np.arctan2(dy, dx))


def _on(border: Border, angle: float, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Pixel (y, x) of a border in a direction."""
    x, y = border.points_mm(np.array(angle))
    return float(y / spacing_mm[0]), float(x / spacing_mm[1])
