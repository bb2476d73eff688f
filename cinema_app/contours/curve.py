"""A closed smooth curve through a handful of points, and what a hand does to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.measure import points_in_poly

Points = NDArray[np.float64]
"""Places (y, x) in pixels, shape (n, 2); pixel centres lie at whole numbers."""

MIN_POINTS: Final = 4
"""With three points a curve cannot tell an ellipse from a circle."""

SAMPLES: Final = 8
"""Corners per segment of the drawn outline: less than 0.02 pixels from the curve at any ventricle's size."""

SMALLEST_AREA: Final = 2.0
"""Square pixels; a smaller curve is not written to any pixel for sure, and could not be taken hold of."""

_LEAST_CHORD: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Contour:
    """Closed curve through its control points, sub-pixel.

    A centripetal Catmull-Rom spline: moving a point changes the two segments on either side and nothing else, and
    the curve makes no loops between points that lie unevenly.

    Parameters
    ----------
    points
        Control points in order around the curve, shape (n, 2), (y, x) in pixels.

    References
    ----------
    Yuksel, Schaefer and Keyser, Computer-Aided Design 43:747-755 (2011).
    """

    points: Points

    @cached_property
    def outline(self) -> Points:
        """The curve as a fine polygon, :data:`SAMPLES` corners per segment, the first at the first control point."""
        return basis(self.points, np.arange(SAMPLES) / SAMPLES).reshape(-1, len(self.points)) @ self.points

    @property
    def area(self) -> float:
        """Enclosed area in square pixels."""
        return abs(signed_area(self.outline))

    @property
    def centre(self) -> Points:
        """Centre of the enclosed area, shape (2,)."""
        y, x = self.outline.T
        cross = y * np.roll(x, -1) - np.roll(y, -1) * x
        total = cross.sum()
        if abs(total) < _LEAST_CHORD:
            return np.asarray(self.points.mean(axis=0))
        return np.array([((c + np.roll(c, -1)) * cross).sum() / (3 * total) for c in (y, x)])

    def contains(self, places: Points) -> NDArray[np.bool_]:
        """Whether each place lies inside, shape (n,)."""
        return np.asarray(points_in_poly(places, self.outline), dtype=np.bool_)

    def point_at(self, place: Points, within: float) -> int | None:
        """Return the control point nearest to a place, if it is within so many pixels."""
        distances = np.linalg.norm(self.points - place, axis=1)
        nearest = int(distances.argmin())
        return nearest if distances[nearest] <= within else None

    def nearest(self, place: Points) -> tuple[float, int, Points]:
        """Distance of the curve from a place, the control point before the nearest part, and that part."""
        foot, distance, edge = feet_on(self.outline, np.asarray(place, dtype=np.float64)[None])
        return float(distance[0]), int(edge[0]) // SAMPLES, foot[0]

    # ---------------------------------------------------------------- what a hand does; each returns a new curve

    def with_point_moved(self, index: int, to: Points) -> Contour:
        """Put a control point elsewhere."""
        points = self.points.copy()
        points[index] = to
        return Contour(points)

    def with_point_at(self, place: Points) -> tuple[Contour, int]:
        """Add a control point on the curve where it is nearest to a place; returns its index too."""
        _, before, foot = self.nearest(place)
        return Contour(np.insert(self.points, before + 1, foot, axis=0)), before + 1

    def without_point(self, index: int) -> Contour:
        """Take a control point away; the last :data:`MIN_POINTS` stay."""
        return self if len(self.points) <= MIN_POINTS else Contour(np.delete(self.points, index, axis=0))

    def shifted(self, by: Points) -> Contour:
        """Move the whole curve."""
        return Contour(self.points + by)

    def scaled(self, factor: float) -> Contour:
        """Make the whole curve larger or smaller about its centre."""
        centre = self.centre
        return Contour(centre + factor * (self.points - centre))

    def grown(self, by: float) -> Contour:
        """Move every part of the curve outwards by so many pixels, inwards if negative.

        A curve that would vanish or turn inside out stays as it is.
        """
        if -by >= 2 * self.area / length(self.outline):  # the radius, of a circle
            return self
        made = Contour(self.points + by * outwards(self.points))
        same_way = signed_area(made.outline) * signed_area(self.outline) > 0
        return made if same_way and made.area >= SMALLEST_AREA else self

    def smoothed(self) -> Contour:
        """Even out the curve: each point goes half way to where its neighbours put it, the area stays."""
        ahead, behind = np.roll(self.points, -1, axis=0), np.roll(self.points, 1, axis=0)
        made = Contour((2 * self.points + ahead + behind) / 4)
        return made.scaled((self.area / made.area) ** 0.5) if made.area >= SMALLEST_AREA else self


def basis(points: Points, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the control points in the curve, at the same parts of every segment.

    Parameters
    ----------
    points
        Control points, shape (n, 2); only the lengths of the chords between them matter.
    at
        Parts of a segment, 0 at its start and 1 at its end, shape (m,).

    Returns
    -------
    Shape (n, m, n): segment, part, control point. Times the points (n, 2) it gives the curve.
    """
    n = len(points)
    chord = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    step = np.sqrt(np.maximum(chord, _LEAST_CHORD))  # centripetal
    before = np.roll(step, 1)
    here, ahead, behind = np.eye(n), np.roll(np.eye(n), 1, axis=1), np.roll(np.eye(n), -1, axis=1)
    slope = (
        (here - behind) / before[:, None] - (ahead - behind) / (before + step)[:, None] + (ahead - here) / step[:, None]
    )
    u = at[None, :, None]
    start, end = (1 + 2 * u) * (1 - u) ** 2, u**2 * (3 - 2 * u)
    leaving, arriving = u * (1 - u) ** 2, u**2 * (u - 1)
    scale = step[:, None, None]
    return np.asarray(
        start * here[:, None]
        + end * ahead[:, None]
        + leaving * scale * slope[:, None]
        + arriving * scale * np.roll(slope, -1, axis=0)[:, None]
    )


def signed_area(polygon: Points) -> float:
    """Area of a polygon, positive if it turns from y to x."""
    y, x = polygon.T
    return float((y * np.roll(x, -1) - np.roll(y, -1) * x).sum() / 2)


def outwards(polygon: Points) -> Points:
    """Direction that leads out of a closed polygon at each corner, of length one, shape (n, 2)."""
    along = np.roll(polygon, -1, axis=0) - np.roll(polygon, 1, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), _LEAST_CHORD)
    return np.asarray(along[:, ::-1] * [1.0, -1.0] * np.sign(signed_area(polygon)))


def length(polygon: Points) -> float:
    """Way around a closed polygon."""
    return float(np.linalg.norm(np.roll(polygon, -1, axis=0) - polygon, axis=1).sum())


def feet_on(polygon: Points, places: Points) -> tuple[Points, NDArray[np.float64], NDArray[np.intp]]:
    """Nearest part of a closed polygon to each place, its distance, and the edge that it lies on."""
    along = np.roll(polygon, -1, axis=0) - polygon
    length2 = np.maximum((along**2).sum(axis=1), _LEAST_CHORD)
    part = ((places[:, None] - polygon) * along).sum(axis=2) / length2
    feet = polygon + np.clip(part, 0, 1)[..., None] * along  # (places, edges, 2)
    distance = np.linalg.norm(places[:, None] - feet, axis=2)
    edge = distance.argmin(axis=1)
    rows = np.arange(len(places))
    return feet[rows, edge], distance[rows, edge], edge
