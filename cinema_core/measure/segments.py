"""Segments of the LV wall by the model of the American Heart Association, in a short-axis stack of any orientation.

The rules, in order:

* A slice counts as basal, mid or apical by where its middle lies along the ventricle: the length of all slices that
  show muscle all round a cavity at end-diastole is divided into equal thirds. A slice keeps its place through the
  beat, as the plane stays where it is while the heart moves through it.
* The septum lies between the two insertions of the RV. Its middle, half way between them as seen from the middle of
  the LV cavity, is where segments begin: six of 60 degrees on basal and mid slices, four of 90 degrees on apical ones.
* Which insertion is the anterior one follows from the direction from base to apex: seen from the apex, septum,
  anterior, lateral and inferior wall follow each other clockwise. That holds wherever the heart points.
* Segment 17, the cap beyond the cavity, has no wall that a short-axis slice cuts across.

References
----------
Cerqueira et al., Circulation 105:539 (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import Structure
from cinema_core.cine import Plane
from cinema_core.measure.ring import Points, Ring

N_SEGMENTS: Final = 17

APEX: Final = 17

SEGMENT_NAMES: Final = (
    "basal anterior",
    "basal anteroseptal",
    "basal inferoseptal",
    "basal inferior",
    "basal inferolateral",
    "basal anterolateral",
    "mid anterior",
    "mid anteroseptal",
    "mid inferoseptal",
    "mid inferior",
    "mid inferolateral",
    "mid anterolateral",
    "apical anterior",
    "apical septal",
    "apical inferior",
    "apical lateral",
    "apex",
)
"""Names of segments 1 to 17."""

REACH_PIXELS: Final = 2.0
"""How far from the epicardium the RV may lie and still touch it: labels may leave a line of pixels between them."""

LEAST_ARC_DEG: Final = 40.0
"""A shorter contact of the RV does not tell where the septum is; near the apex the RV ends."""

LARGEST_BREAK_DEG: Final = 20
"""Breaks in the contact that are no longer are bridged."""

ALONG_BODY: Final = 0.9999
"""Cosine of 0.8 degrees. The LV's axis points to the left, forwards and down at once (0.5 to 0.7 of each)."""

_BASAL: Final = np.array([2, 1, 6, 5, 4, 3])
_APICAL: Final = np.array([14, 13, 16, 15])
"""Segments from the middle of the septum on, towards the anterior wall; the first apical one lies across it."""

_DEGREES: Final = np.deg2rad(np.arange(360))


class Level(StrEnum):
    """Third of the ventricle."""

    BASAL = "basal"
    MID = "mid"
    APICAL = "apical"


def level_of(segment: int) -> Level | None:
    """Third that a segment (from 1) lies in; None for the cap of the apex."""
    if segment == APEX:
        return None
    return Level.BASAL if segment <= 6 else Level.MID if segment <= 12 else Level.APICAL


@dataclass(frozen=True)
class Insertions:
    """Where the RV's free wall meets the LV in one slice, in pixels (y, x) with whole numbers at pixel centres."""

    anterior_yx: tuple[float, float]
    inferior_yx: tuple[float, float]

    def septum_angle(self, centre_mm: Points, spacing_mm: tuple[float, float], sense: int) -> float:
        """Direction of the middle of the septum from the middle of the LV, radians from x towards y.

        Parameters
        ----------
        centre_mm
            Middle of the LV cavity, (x, y) in mm.
        spacing_mm
            Between pixels along y and x.
        sense
            1 if the angle grows from the septum to the anterior wall, else -1; see :func:`sense_of`.
        """
        step = np.array(spacing_mm)
        front, back = (
            float(np.arctan2(*(np.array(yx) * step - centre_mm[::-1]))) for yx in (self.anterior_yx, self.inferior_yx)
        )
        arc = (sense * (front - back)) % (2 * np.pi)  # from the inferior insertion through the septum
        return front - sense * arc / 2


def sense_of(planes: Sequence[Plane], apex_first: bool) -> int:
    """Tell which way round the wall goes: 1 if septum, anterior, lateral and inferior wall follow from x towards y.

    Where the files do not tell - a single slice, or :func:`lies_along_body` - the image is taken to be seen from the
    apex, as scanners show it.
    """
    if len(planes) == 1 or lies_along_body(planes[0]):
        return 1
    to_apex = (planes[-1].origin_mm - planes[0].origin_mm) * (-1 if apex_first else 1)
    return 1 if float(planes[0].normal @ to_apex) < 0 else -1


def lies_along_body(plane: Plane) -> bool:
    """Whether a plane is square to an axis of the body, as no short axis is: the file has lost its orientation."""
    return float(np.abs(plane.normal).max()) > ALONG_BODY


def levels_of(positions_mm: Points, extents_mm: Points, shows_ring: NDArray[np.bool_]) -> tuple[Level | None, ...]:
    """Third of the ventricle that each slice belongs to; None outside it.

    Parameters
    ----------
    positions_mm
        Of the slices, growing towards the apex, shape (z,).
    extents_mm
        Length that each slice stands for, shape (z,).
    shows_ring
        Slices with muscle all round a cavity at end-diastole, shape (z,). Those between two of them belong too.
    """
    rings = np.flatnonzero(shows_ring)
    if not rings.size:
        return (None,) * len(positions_mm)
    first, last = int(rings[0]), int(rings[-1])
    base = positions_mm[first] - extents_mm[first] / 2
    length = positions_mm[last] + extents_mm[last] / 2 - base
    levels = tuple(Level)
    return tuple(
        levels[int(np.clip(3 * (position - base) / length, 0, 2))] if first <= z <= last else None
        for z, position in enumerate(positions_mm.tolist())
    )


def segments_around(level: Level, from_septum: Points) -> NDArray[np.int64]:
    """Segment (1 to 16) at each angle from the middle of the septum, radians, positive towards the anterior wall."""
    angle = np.rad2deg(from_septum) % 360
    if level is Level.APICAL:
        return np.asarray(_APICAL[((angle + 45) // 90).astype(np.int64) % 4])
    basal = np.asarray(_BASAL[(angle // 60).astype(np.int64) % 6])
    return basal if level is Level.BASAL else basal + 6


def find_insertions(
    plane: NDArray[np.uint8], ring: Ring, spacing_mm: tuple[float, float], sense: int
) -> Insertions | None:
    """Find the ends of the RV's contact with the LV.

    Parameters
    ----------
    plane
        Labels of one slice, shape (y, x).
    ring
        The LV wall in it.
    spacing_mm
        Between pixels along y and x.
    sense
        From :func:`sense_of`.

    Returns
    -------
    None where the RV is not there, or touches too little of the LV to tell.
    """
    rv = plane == Structure.RV_CAVITY
    if not rv.any():
        return None
    points = ring.epicardium.points_mm(_DEGREES)
    away_mm = ndimage.distance_transform_edt(~rv, sampling=spacing_mm)
    at = (points / np.array(spacing_mm[::-1])).T[::-1]  # (y, x) in pixels
    touching = ndimage.map_coordinates(away_mm, at, order=1, mode="nearest") <= REACH_PIXELS * max(spacing_mm)
    arc = _longest_arc(touching)
    if arc is None:
        return None
    first, last = (tuple(float(v) for v in at[:, k % 360]) for k in arc)
    front, back = (last, first) if sense > 0 else (first, last)
    return Insertions((front[0], front[1]), (back[0], back[1]))


def _longest_arc(touching: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last degree of the longest contact; None if it is short, or there is contact all round."""
    if touching.all() or not touching.any():
        return None
    start = int(np.flatnonzero(~touching)[0])
    closed = ndimage.binary_closing(
        np.tile(np.roll(touching, -start), 3), np.ones(LARGEST_BREAK_DEG + 1, dtype=np.bool_)
    )
    runs = ndimage.find_objects(ndimage.label(closed[360:720])[0])
    longest = max((run[0] for run in runs), key=lambda run: run.stop - run.start)
    if longest.stop - longest.start < LEAST_ARC_DEG:
        return None
    return longest.start + start, longest.stop - 1 + start
