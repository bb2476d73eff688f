"""From a label or a stroke of the hand to a curve with few points."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter, gaussian_filter1d, label
from skimage.measure import find_contours

from cinema_app.contours.curve import (
    SAMPLES,
    SMALLEST_AREA,
    Contour,
    Points,
    basis,
    length,
    outwards,
    signed_area,
)

TOLERANCE: Final = 0.3
"""Pixels, root mean square, by which a segment may miss its outline before it gets another point: the steps of a
label's border are as large, and following them would take twice as many points."""

TIGHT: Final = 0.12
"""The same for a curve that follows a smooth one."""

MAX_POINTS: Final = 20
FIRST_POINTS: Final = 6
BLUR: Final = 0.6
"""Pixels by which a label is blurred to find its border between the pixels; its area is kept."""

STROKE_BLUR: Final = 1.5
"""Pixels along the stroke over which a drawing hand's shaking is evened out."""

HALF_WAY_ROUNDS: Final = 12
"""Each makes the error of how far a place follows a pull at least 2.6 times smaller."""

SPACING: Final = 0.5
"""Pixels between the places at which an outline is compared with its curve."""


def contour_of(mask: NDArray[np.bool_]) -> Contour | None:
    """Curve around the largest piece of a mask (y, x), its holes filled; None if it is too small for one."""
    outline = outline_of(mask)
    if outline is None:
        return None
    curve = fit(outline)
    return curve.grown((abs(signed_area(outline)) - curve.area) / length(curve.outline))


def outline_of(mask: NDArray[np.bool_]) -> Points | None:
    """Border of the largest piece of a mask between the pixels, enclosing as much area as the piece has pixels."""
    pieces, n = label(mask)
    if n == 0:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    largest = int(sizes.argmax()) + 1
    window = find_objects(pieces)[largest - 1]
    piece = np.pad(binary_fill_holes(pieces[window] == largest), 3)
    area = float(piece.sum())
    if area < SMALLEST_AREA:
        return None
    # A blur as wide as the piece would leave nothing of it.
    blur = min(BLUR, 0.3 * float(np.sqrt(area / np.pi)))
    found = max(find_contours(gaussian_filter(piece.astype(np.float64), blur), 0.5), key=len)[:-1]
    corner = [window[0].start - 3, window[1].start - 3]
    return np.asarray(with_area(evenly(found), area) + corner)


def with_area(outline: Points, area: float) -> Points:
    """Move a closed outline along its normals until it encloses an area; undoes what a blur took."""
    missing = area - abs(signed_area(outline))
    return outline + outwards(outline) * missing / length(outline)


def evenly(outline: Points, spacing: float = SPACING) -> Points:
    """Places at equal distances along a closed outline."""
    closed = np.vstack([outline, outline[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    n = max(2 * FIRST_POINTS, round(along[-1] / spacing))
    at = np.arange(n) * along[-1] / n
    return np.stack([np.interp(at, along, closed[:, k]) for k in range(2)], axis=1)


def fit(outline: Points, tolerance: float = TOLERANCE, pinned: Points | None = None) -> Contour:
    """Curve along a closed outline, with points where they are needed.

    Parameters
    ----------
    outline
        Places at even distances, shape (n, 2).
    tolerance
        Root mean square of the pixels by which a segment may miss the outline before it gets another point.
    pinned
        Control points that stay exactly as they are, on the outline, shape (k, 2).
    """
    n = len(outline)
    at = np.arange(FIRST_POINTS) * n // FIRST_POINTS  # indices of the places that become points
    fixed: dict[int, Points] = {}
    if pinned is not None and len(pinned):
        places = np.linalg.norm(pinned[:, None] - outline, axis=2).argmin(axis=1)
        fixed = dict(zip(places.tolist(), pinned, strict=True))
        apart = np.abs((at[:, None] - places + n // 2) % n - n // 2).min(axis=1)
        at = np.unique(np.concatenate([places, at[apart > n / FIRST_POINTS]]))
    room_for = max(MAX_POINTS, len(fixed) + FIRST_POINTS)
    while True:
        curve, where, off = _between(outline, at, fixed)
        rows, worst, rms = np.arange(len(at)), off.argmax(axis=1), np.sqrt((off**2).mean(axis=1))
        # A stretch of less than four places has no room for a point in its middle.
        wanting = (rms > tolerance) & (np.diff(np.append(at, n + at[0])) >= 4)
        room = room_for - len(at)
        if room <= 0 or not wanting.any():
            return curve
        more = rows[wanting][np.argsort(-rms[wanting])][:room]
        at = np.unique(np.concatenate([at, where[more, np.clip(worst[more], 2, SAMPLES - 2)].astype(int) % n]))


def _between(
    outline: Points, at: NDArray[np.intp], fixed: dict[int, Points]
) -> tuple[Contour, NDArray[np.float64], NDArray[np.float64]]:
    """Curve between the places of an outline rather than through some of them: least squares.

    Returns
    -------
    The curve, the places compared (point, part), and how far the curve passes them by, to its side.
    """
    n = len(outline)
    parts = np.arange(SAMPLES) / SAMPLES
    where = at[:, None] + parts * np.diff(np.append(at, n + at[0]))[:, None]
    around = np.vstack([outline, outline[:1]])
    targets = np.stack([np.interp(where.ravel() % n, np.arange(n + 1), around[:, k]) for k in range(2)], axis=1)
    points = np.array([fixed.get(int(k), outline[k]) for k in at])
    weights = basis(points, parts).reshape(-1, len(at))
    free = np.array([int(k) not in fixed for k in at])
    rest = targets - weights[:, ~free] @ points[~free]
    points[free] = np.linalg.lstsq(weights[:, free], rest, rcond=None)[0]
    along = np.roll(targets, -1, axis=0) - np.roll(targets, 1, axis=0)
    miss = weights @ points - targets
    aside = np.abs(miss[:, 0] * along[:, 1] - miss[:, 1] * along[:, 0]) / np.maximum(np.hypot(*along.T), 1e-9)
    return Contour(points), where, aside.reshape(len(at), SAMPLES)


def pulled(curve: Contour, start: Points, to: Points, reach: float) -> Contour:
    """Pull or push the part of a curve around ``start`` to ``to``; points that are not reached stay as they are.

    Parameters
    ----------
    reach
        Distance in pixels at which the pull has faded away; nearer parts follow more.
    """
    grip = curve.nearest(start)[2]
    course = _carried(evenly(curve.outline), grip, to, reach)
    out_of_reach = np.linalg.norm(curve.points - grip, axis=1) >= reach
    return fit(evenly(course), TIGHT, pinned=curve.points[out_of_reach])


def _carried(places: Points, grip: Points, to: Points, reach: float) -> Points:
    """Places after those within reach of the grip followed it, the nearer the more.

    How much a place follows is taken half way, where a pull and the push back meet each other: so the push undoes
    the pull. Taken at the start, each to and fro would leave a bulge.
    """
    way = to - grip
    steps = max(1, int(np.ceil(2 * np.linalg.norm(way) / reach)))  # longer ones would have no single half way
    step = way / steps
    for _ in range(steps):
        follow = np.ones((len(places), 1))
        for _ in range(HALF_WAY_ROUNDS):
            half_way = places - grip - (1 - follow) * step / 2
            far = np.minimum(np.linalg.norm(half_way, axis=1, keepdims=True) / reach, 1.0)
            follow = (1 - far**2) ** 2
        places, grip = places + follow * step, grip + step
    return places


def drawn(stroke: Points) -> Contour | None:
    """Curve along a freehand stroke, closed from its end to its start; None if it encloses next to nothing."""
    if len(stroke) < 3:
        return None
    shaky = evenly(stroke)
    # A hand shakes at about every third pixel; a ventricle has no such corners.
    smooth = gaussian_filter1d(shaky, STROKE_BLUR / SPACING, axis=0, mode="wrap")
    area = abs(signed_area(shaky))
    return fit(evenly(with_area(smooth, area))) if area >= SMALLEST_AREA else None
