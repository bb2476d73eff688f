"""The curves of one slice and its label: one is made from the other, and a curve in the way of another yields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.spatial import KDTree
from skimage.measure import find_contours, points_in_poly

from cinema_app.contours.curve import SMALLEST_AREA, Contour, feet_on, signed_area
from cinema_app.contours.fitting import TIGHT, contour_of, evenly, fit
from cinema_core.anatomy import Structure
from cinema_core.io.contours import Outline, coverage

Curves = Mapping[Outline, Contour]
"""The curves of one slice; those that are not drawn are not in it."""

Mask = NDArray[np.uint8]
"""Label values of one slice, shape (y, x)."""

DRAWN_IN_ORDER: Final = (
    (Outline.RV_ENDO, Structure.RV_CAVITY),
    (Outline.LV_EPI, Structure.LV_MYOCARDIUM),
    (Outline.LV_ENDO, Structure.LV_CAVITY),
)
"""What each border encloses; the later ones cover the earlier."""

NEAR: Final = 2
"""Pixels around a change that are written too: a label's border lies up to half a pixel beside its curve, and what
is left of it would become a hole or an island when the curve moves away."""

OVERLAP: Final = 0.75
"""Pixels that two curves may overlap before one yields: borders that touch are fitted one by one, and a smooth curve
rounds the corner where it leaves another off. The label gives such pixels to the LV."""

STILL: Final = 0.1
"""Pixels by which a control point may miss the new course of its curve and stay what it was."""

FAR: Final = 4.0
"""Pixels from a curve beyond which its distance is not needed to find where two curves meet."""

_FINE: Final = 0.1


# ---------------------------------------------------------------- label and curves


def curves_of(mask: Mask) -> dict[Outline, Contour]:
    """Curves around the structures of a label."""
    found = {border: contour_of(region(mask, border)) for border in Outline}
    return {border: curve for border, curve in found.items() if curve is not None}


def region(mask: Mask, border: Outline) -> NDArray[np.bool_]:
    """Pixels that a border encloses, shape (y, x). The epicardium encloses the cavity too."""
    if border is Outline.RV_ENDO:
        return np.asarray(mask == Structure.RV_CAVITY)
    cavity, muscle = mask == Structure.LV_CAVITY, mask == Structure.LV_MYOCARDIUM
    if border is Outline.LV_ENDO:
        return np.asarray(cavity)
    return np.asarray(muscle | cavity if muscle.any() else muscle)


def painted(curves: Curves, shape: tuple[int, int]) -> Mask:
    """Label of some curves, nothing else on it: what two enclose belongs to the LV rather than the RV."""
    mask = np.zeros(shape, np.uint8)
    for border, structure in DRAWN_IN_ORDER:
        if border in curves:
            mask[inside(curves[border], shape)] = structure
    return mask


def inside(curve: Contour, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of which a curve covers more than half, and every second of those covered by half, shape (y, x)."""
    filled = np.zeros(shape, np.bool_)
    window, covered = coverage(curve.outline, shape)
    # All of the halves, or none, would let a contour grow or shrink each time it goes to a label and back.
    rows, columns = np.ogrid[window]
    filled[window] = (covered > 0.5) | ((covered == 0.5) & ((rows + columns) % 2 == 0))
    return filled


def written(mask: Mask, before: Curves, after: Curves, anew: Outline | None = None) -> Mask:
    """Label after an edit of its curves; what lies away from the edit stays as it is, pixel by pixel.

    Parameters
    ----------
    before, after
        The curves that fit the label, and those that it is to fit.
    anew
        Border that was drawn from nothing: everything within it is written.
    """
    old, new = painted(before, mask.shape), painted(after, mask.shape)
    edited = binary_dilation(old != new, iterations=NEAR)
    if anew is not None and anew in after:
        edited |= inside(after[anew], mask.shape)
    # Values that name no structure say what was left open around imported contours.
    is_structure = (mask >= Structure.RV_CAVITY) & (mask <= Structure.LV_CAVITY)
    others = mask[~is_structure]
    around = np.bincount(others).argmax() if others.size else Structure.BACKGROUND
    result = np.where(edited & is_structure, np.uint8(around), mask)
    drawn = edited & (new != Structure.BACKGROUND)
    result[drawn] = new[drawn]
    return result


def shown_in_full(mask: Mask, curves: Curves) -> bool:
    """Whether the curves show all of a label: no second piece, no hole, nothing of more than two pixels' depth."""
    rest = painted(curves, mask.shape) != np.where(mask <= Structure.LV_CAVITY, mask, 0)
    depth = np.lib.stride_tricks.sliding_window_view(rest, (2, 2)).all(axis=(2, 3))
    return not bool(depth.any())


# ---------------------------------------------------------------- which curve yields


def settled(curves: Curves, held: Outline) -> dict[Outline, Contour]:
    """Let the curves yield that are in the way of the one in hand; a curve that nothing is left of goes.

    The epicardium lies around the endocardium: whichever is not in hand gives way. The RV lies outside of the LV
    and gives way to it in any case.
    """
    result = dict(curves)
    endo, epi = result.get(Outline.LV_ENDO), result.get(Outline.LV_EPI)
    if endo is not None and epi is not None and held is not Outline.RV_ENDO and _sticks_out(endo, epi):
        if held is Outline.LV_EPI:
            _put(result, Outline.LV_ENDO, _joined(endo, epi, lambda a, b: np.maximum(a, b)))
        else:
            _put(result, Outline.LV_EPI, _joined(epi, endo, lambda a, b: np.minimum(a, b)))
    lv, rv = result.get(Outline.LV_EPI, result.get(Outline.LV_ENDO)), result.get(Outline.RV_ENDO)
    if lv is not None and rv is not None and _overlap(rv, lv):
        _put(result, Outline.RV_ENDO, _joined(rv, lv, lambda a, b: np.maximum(a, -b)))
    return result


def _put(curves: dict[Outline, Contour], border: Outline, curve: Contour | None) -> None:
    if curve is None:
        del curves[border]
    else:
        curves[border] = curve


def _sticks_out(inner: Contour, outer: Contour) -> bool:
    out = inner.outline[~outer.contains(inner.outline)]
    return len(out) > 0 and float(feet_on(outer.outline, out)[1].max()) > OVERLAP


def _overlap(one: Contour, other: Contour) -> bool:
    for a, b in ((one, other), (other, one)):
        within = a.outline[b.contains(a.outline)]
        if len(within) and float(feet_on(b.outline, within)[1].max()) > OVERLAP:
            return True
    return False


def _joined(yielding: Contour, other: Contour, join: Any) -> Contour | None:
    """Course of a curve after it yielded, from the distances to both; its points that need not move stay."""
    corners = np.vstack([yielding.outline, other.outline])
    first = np.floor(corners.min(axis=0)).astype(int) - 3
    size = np.ceil(corners.max(axis=0)).astype(int) + 4 - first
    distance = join(*(signed_distance(curve, first, size, FAR) for curve in (yielding, other)))
    pieces = [piece[:-1] + first for piece in find_contours(distance, 0.0) if len(piece) > 3]
    course = max(pieces, key=lambda piece: abs(signed_area(piece)), default=None)
    if course is None or abs(signed_area(course)) < SMALLEST_AREA:
        return None
    still = feet_on(course, yielding.points)[1] <= STILL
    # Where the two meet the course has a corner, which a point close by would round off.
    still &= feet_on(other.outline, yielding.points)[1] > NEAR
    return fit(evenly(course), TIGHT, pinned=yielding.points[still])


def signed_distance(
    curve: Contour, first: NDArray[Any], size: NDArray[Any], far: float = np.inf
) -> NDArray[np.float64]:
    """Distance of pixel centres from a curve in pixels, negative inside.

    Parameters
    ----------
    first, size
        First row and column, and how many of them.
    far
        Distance beyond which all are this far.
    """
    places = np.indices((int(size[0]), int(size[1]))).reshape(2, -1).T + np.asarray(first, dtype=np.float64)
    distance = KDTree(evenly(curve.outline, _FINE)).query(places, distance_upper_bound=far)[0]
    within = points_in_poly(places, curve.outline)
    distance = np.minimum(distance, far)
    return np.where(within, -distance, distance).reshape(tuple(size))
