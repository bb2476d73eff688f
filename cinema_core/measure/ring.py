"""The ring of LV muscle in one short-axis plane: its two borders as smooth curves, and its thickness all round.

Thickness is measured by the centre-line method: chords square to a line that runs midway between the
borders. Rays from the centre of the cavity would cut a wall obliquely wherever it is not concentric with the cavity,
and so overstate it; the shortest distance from one border depends on which border one starts at.

References
----------
Sheehan et al., Circulation 74:293 (1986): chords square to a centre line, for wall motion. Götte et al., J Am Coll
Cardiol 37:808 (2001): wall thickness and thickening by such chords, in short-axis cine MR.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from cinema_core.anatomy import Structure

Points = NDArray[np.float64]

N_CHORDS: Final = 120
"""Chords of a ring: a multiple of 6 and 4, so that each segment has as many."""

SHORTEST_WAVE_PIXELS: Final = 16.0
"""Waves of a border that are shorter are steps of the pixels."""

FEWEST_WAVES: Final = 4
MOST_WAVES: Final = 16
"""Waves around a border, whatever its size."""

FEWEST_PIXELS: Final = 12
"""A smaller cavity has no shape: at 1.4 mm it is 5 mm wide, less than a chord is sure of."""

WORST_FIT_PIXELS: Final = 1.0
"""A curve that departs further from the edge of its mask, root mean square, does not describe it: the edge folds back
on itself. The pixels' own steps are 0.16 to 0.24; experts' labels of 30 ACDC patients reach 0.69."""

_ROUNDS: Final = 3
"""Of moving the line to the middle of its chords; a fourth changes no chord by more than 0.001 mm."""


@dataclass(frozen=True, eq=False)
class Border:
    """Closed curve about a centre: a radius at every angle, as a Fourier series.

    Attributes
    ----------
    centre_mm
        (x, y), shape (2,).
    cosines, sines
        Terms of the radius in mm, from the mean on, shape (k,); the first sine counts for nothing.
    """

    centre_mm: Points
    cosines: Points
    sines: Points

    @classmethod
    def through(cls, points_mm: Points, centre_mm: Points, n_waves: int) -> Border:
        """Fit a curve to points of a closed line, by least squares.

        Parameters
        ----------
        points_mm
            Shape (n, 2), (x, y), evenly spaced.
        n_waves
            Most waves around the curve.
        """
        away = points_mm - centre_mm
        angle, radius = np.arctan2(away[:, 1], away[:, 0]), np.hypot(away[:, 0], away[:, 1])
        phases = angle[:, None] * np.arange(n_waves + 1)  # (n, k)
        terms = np.concatenate([np.cos(phases), np.sin(phases[:, 1:])], axis=1)
        found = np.linalg.solve(terms.T @ terms, terms.T @ radius)
        return cls(centre_mm, found[: n_waves + 1], np.concatenate([[0.0], found[n_waves + 1 :]]))

    def radius_mm(self, angle: Points) -> Points:
        """Distance of the curve from the centre."""
        return _looked_up(self._radii, angle)

    def slope_mm(self, angle: Points) -> Points:
        """Change of the radius with the angle, mm per radian."""
        return _looked_up(self._slopes, angle)

    def points_mm(self, angle: Points) -> Points:
        """Points of the curve, shape (..., 2), (x, y)."""
        return np.asarray(self.centre_mm + self.radius_mm(angle)[..., None] * _unit(angle))

    @cached_property
    def _radii(self) -> Points:
        phases = _ANGLES[:, None] * np.arange(len(self.cosines))
        return np.asarray(np.cos(phases) @ self.cosines + np.sin(phases) @ self.sines)

    @cached_property
    def _slopes(self) -> Points:
        k = np.arange(len(self.cosines))
        phases = _ANGLES[:, None] * k
        return np.asarray(np.cos(phases) @ (k * self.sines) - np.sin(phases) @ (k * self.cosines))


_ANGLES: Final = np.arange(720) * (2 * np.pi / 720)


def _looked_up(table: Points, angle: Points) -> Points:
    """Value at each angle between those of a table over the circle; np.interp would sort it anew each time."""
    at = np.asarray(angle) * (len(table) / (2 * np.pi))
    below = np.floor(at)
    k = below.astype(np.int64) % len(table)
    return np.asarray(table[k] + (at - below) * (table[(k + 1) % len(table)] - table[k]))


@dataclass(frozen=True, eq=False)
class Chords:
    """Lines across the wall, square to its middle; arrays of shape (chord, ...).

    Attributes
    ----------
    inner_mm, outer_mm
        Ends on the endocardium and on the epicardium, (x, y), shape (chord, 2).
    """

    inner_mm: Points
    outer_mm: Points

    @property
    def thickness_mm(self) -> Points:
        """Length of each chord, shape (chord,)."""
        return np.asarray(np.linalg.norm(self.outer_mm - self.inner_mm, axis=1))

    @property
    def middle_mm(self) -> Points:
        """Points of the centre line, shape (chord, 2)."""
        return (self.inner_mm + self.outer_mm) / 2


@dataclass(frozen=True, eq=False)
class Ring:
    """The LV wall in one plane; both borders are about the middle of the cavity."""

    endocardium: Border
    epicardium: Border

    @property
    def centre_mm(self) -> Points:
        """Middle of the cavity, (x, y)."""
        return self.endocardium.centre_mm

    def chords(self, n_chords: int = N_CHORDS) -> Chords:
        """Measure across the wall, evenly along its middle.

        Parameters
        ----------
        n_chords
            How many; they begin in the direction of x and go round towards y.
        """
        angle: Points = np.arange(n_chords, dtype=np.float64) * (2 * np.pi / n_chords)
        inner, outer = self.endocardium.points_mm(angle), self.epicardium.points_mm(angle)
        for _ in range(_ROUNDS):
            middle = _evenly((inner + outer) / 2, self.centre_mm, n_chords)
            along = np.roll(middle, -1, axis=0) - np.roll(middle, 1, axis=0)
            outwards = np.stack([along[:, 1], -along[:, 0]], axis=1)  # the line goes from x to y
            outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
            inner = _meet(self.endocardium, middle, outwards)
            outer = _meet(self.epicardium, middle, outwards)
        return Chords(inner, outer)


class NoRing(StrEnum):
    """Why a plane shows no wall whose thickness has a meaning."""

    NO_IMAGE = "no image"
    NO_CAVITY = "no cavity"
    TINY_CAVITY = "cavity too small"
    OPEN = "muscle not all round"
    FOLDED = "border folds back on itself"


def ring_of_labels(plane: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> Ring | NoRing:
    """Borders of the LV wall, smoothed to what the pixels can tell.

    Of several pieces the largest counts, and holes in the cavity are cavity.

    Parameters
    ----------
    plane
        Labels of one slice, shape (y, x).
    spacing_mm
        Between pixel centres along y and x; the curves are in mm from the centre of pixel (0, 0).

    Returns
    -------
    Why there is none where the cavity is absent or not closed in by muscle all round: segments are those of
    "slices containing myocardium in all 360 degrees" (Cerqueira et al., Circulation 105:539, 2002).
    """
    wall_and_cavity = (plane == Structure.LV_MYOCARDIUM) | (plane == Structure.LV_CAVITY)
    if not wall_and_cavity.any():
        return NoRing.NO_CAVITY
    [box] = ndimage.find_objects(wall_and_cavity.astype(np.int8))
    corner = np.array([box[1].start, box[0].start]) - 1  # (x, y) of the part with a border of background
    plane = np.pad(plane[box], 1)
    cavity = _largest(plane == Structure.LV_CAVITY)
    if np.count_nonzero(cavity) < FEWEST_PIXELS:
        return NoRing.TINY_CAVITY if cavity.any() else NoRing.NO_CAVITY
    cavity = ndimage.binary_fill_holes(cavity)
    inside = cavity | (plane == Structure.LV_MYOCARDIUM)
    if (ndimage.binary_dilation(cavity) & ~inside).any():
        return NoRing.OPEN
    heart = ndimage.binary_fill_holes(_largest(inside))
    step = np.array(spacing_mm[::-1])  # (x, y)
    y, x = ndimage.center_of_mass(cavity)
    inner, outer = (_smooth_border(mask, corner, step, (np.array([x, y]) + corner) * step) for mask in (cavity, heart))
    return NoRing.FOLDED if inner is None or outer is None else Ring(inner, outer)


def ring_of_curves(endocardium_mm: Points, epicardium_mm: Points) -> Ring:
    """Wall between two closed lines that somebody drew; they are followed, not smoothed.

    Parameters
    ----------
    endocardium_mm, epicardium_mm
        Shape (n, 2), (x, y) in mm.
    """
    inner, outer = (_evenly_spaced(_closed(line), 720) for line in (endocardium_mm, epicardium_mm))
    centre_mm = inner.mean(axis=0)
    return Ring(*(Border.through(line, centre_mm, 2 * MOST_WAVES) for line in (inner, outer)))


def _smooth_border(
    mask: NDArray[np.bool_], corner: NDArray[np.int64], step: Points, centre_mm: Points
) -> Border | None:
    """Curve along the edge of a mask, without the steps of its pixels; None if no curve about the centre is one.

    ``corner`` is the pixel (x, y) of the slice at which the mask begins.
    """
    line = max(find_contours(mask.astype(np.float64), 0.5), key=len)[:, ::-1]  # (y, x) -> (x, y)
    line = (line + corner) * step
    around = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    pixel_mm = float(step.max())
    n_waves = int(np.clip(around / (SHORTEST_WAVE_PIXELS * pixel_mm), FEWEST_WAVES, MOST_WAVES))
    points = _evenly_spaced(line, max(64, int(4 * around / pixel_mm)))
    border = Border.through(points, centre_mm, n_waves)
    away = points - centre_mm
    misfit = np.hypot(away[:, 0], away[:, 1]) - border.radius_mm(np.arctan2(away[:, 1], away[:, 0]))
    return None if np.sqrt(np.mean(misfit**2)) > WORST_FIT_PIXELS * pixel_mm else border


def _meet(border: Border, start_mm: Points, direction: Points) -> Points:
    """Where lines from near a border meet it, by Newton's rule; all arrays have shape (chord, 2)."""
    from_centre = start_mm - border.centre_mm
    way = np.zeros(len(start_mm))
    for _ in range(5):
        away = from_centre + way[:, None] * direction
        radius = np.maximum(np.linalg.norm(away, axis=1), 0.1)
        angle = np.arctan2(away[:, 1], away[:, 0])
        turning = (away[:, 0] * direction[:, 1] - away[:, 1] * direction[:, 0]) / radius**2
        rate = (away * direction).sum(axis=1) / radius - border.slope_mm(angle) * turning
        # A step longer than the wall would leave this side of the ring.
        way -= np.clip((radius - border.radius_mm(angle)) / np.where(np.abs(rate) < 0.2, 0.2, rate), -5, 5)
    return np.asarray(start_mm + way[:, None] * direction)


def _evenly(middle_mm: Points, centre_mm: Points, n: int) -> Points:
    """Points at even distances along a closed line, the first in the direction of x from the centre."""
    away = middle_mm - centre_mm
    first = int(np.argmin(np.abs(np.arctan2(away[:, 1], away[:, 0]))))
    return _evenly_spaced(_closed(np.roll(middle_mm, -first, axis=0)), n)


def _evenly_spaced(line: Points, n: int) -> Points:
    """Points at even distances along a closed line, whose last point is its first; shape (n, 2)."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.arange(n) * (along[-1] / n)
    return np.stack([np.interp(at, along, line[:, i]) for i in range(2)], axis=1)


def _closed(line: Points) -> Points:
    return line if np.array_equal(line[0], line[-1]) else np.concatenate([line, line[:1]])


def _unit(angle: Points) -> Points:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, n = ndimage.label(mask)
    return mask if n < 2 else np.asarray(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())
