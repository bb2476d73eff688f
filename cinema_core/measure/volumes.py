"""Volumes by summation of discs: area of a structure on each slice times the length that slice stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from cinema_core.anatomy import FOREGROUND, OUTSIDE_VALUES, UNLABELLED, Structure, may_hold
from cinema_core.cine import PARALLEL_TOLERANCE_DEG, Geometry
from cinema_core.errors import GeometryError, LabelError, PhaseError
from cinema_core.measure.plane_rules import drawn_part
from cinema_core.rules import AreaRule as AreaRule
from cinema_core.rules import EndSliceRule as EndSliceRule

Curve = NDArray[np.float64]

SAME_POSITION_MM: Final = 0.1
"""Slices closer than this lie at one place: positions are written to 0.01 mm, slices are 4 mm apart and more."""


@dataclass(frozen=True)
class VolumeMethod:
    """How areas become a volume; printed with every result, because methods differ by some percent."""

    areas: AreaRule = AreaRule.PIXELS
    ends: EndSliceRule = EndSliceRule.FULL

    @property
    def description(self) -> str:
        """The method in one line."""
        areas = {
            AreaRule.PIXELS: "area by counted pixels",
            AreaRule.CONTOURS: "area within sub-pixel contours, muscle between epicardium and endocardium",
        }[self.areas]
        ends = {
            EndSliceRule.FULL: "end slices count in full",
            EndSliceRule.HALF: "end slices count by half",
        }[self.ends]
        return f"summation of discs, distance between slice centres; {areas}; {ends}"


DEFAULT_METHOD: Final = VolumeMethod()


@dataclass(frozen=True, eq=False)
class VolumeCurves:
    """Volume of each structure over the cycle, shape (t,), in ml; NaN where it was not drawn.

    Attributes
    ----------
    slice_ml
        What each slice adds, shape (t, z, structure), the last axis indexed by
        :class:`~cinema_core.anatomy.Structure`; background is 0.
    """

    lv_ml: Curve
    rv_ml: Curve
    myo_ml: Curve
    slice_ml: Curve


def volume_curves(
    labels: NDArray[np.uint8],
    geometry: Geometry,
    phases: Iterable[int] | None = None,
    method: VolumeMethod = DEFAULT_METHOD,
) -> VolumeCurves:
    """Volumes of every phase.

    A slice reaches half way to each neighbour, whatever their distances; on a regular stack that is area times
    slice step on every slice, the first and the last included unless the method says otherwise.

    Parameters
    ----------
    labels
        Values 0 to 3, shape (t, z, y, x); those of :func:`~cinema_core.anatomy.outside_of` where only some
        structures were drawn, which leaves the others without a volume.
    geometry
        Planes of the slices.
    phases
        Frames that are segmented; None for all.
    method
        How areas are found and how end slices count.

    Raises
    ------
    LabelError
        If the labels do not have the slices of the geometry, or a segmented frame holds another value, such as
        255 for unlabelled: its volume would be too small.
    PhaseError
        If a frame is not in the labels.
    GeometryError
        If the distance between slices is not known, or the slices are no stack: not parallel, not in order.

    References
    ----------
    Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020).
    """
    chosen = segmented_phases(len(labels), phases)
    counts = count_pixels(labels, chosen)
    areas = counts if method.areas is AreaRule.PIXELS else outlined_pixels(labels, chosen)
    return curves_of_areas(areas, geometry, chosen, open_structures(labels, chosen), method.ends)


def segmented_phases(n_phases: int, phases: Iterable[int] | None = None) -> tuple[int, ...]:
    """Frames in order, each once; all of them for None.

    Raises
    ------
    PhaseError
        If there is no such frame.
    """
    chosen = tuple(sorted(set(range(n_phases) if phases is None else phases)))
    outside = [t for t in chosen if not 0 <= t < n_phases]
    if outside:
        raise PhaseError(f"Phase {outside[0] + 1} was to be measured, but the cine has phases 1 to {n_phases}.")
    return chosen


def count_pixels(labels: NDArray[np.uint8], phases: Iterable[int]) -> NDArray[np.int64]:
    """Pixels of each structure on each slice.

    Parameters
    ----------
    labels
        Values 0 to 3, shape (t, z, y, x).
    phases
        Frames to count.

    Returns
    -------
    Shape (t, z, structure), the last axis indexed by :class:`~cinema_core.anatomy.Structure`; 0 in other frames.

    Raises
    ------
    LabelError
        If there are not four axes, or a counted frame holds a value that names no structure.
    """
    if labels.ndim != 4:
        raise LabelError(f"Labels have four axes (t, z, y, x); these have {labels.ndim}.")
    counts = np.zeros((*labels.shape[:2], len(Structure)), dtype=np.int64)
    phases = list(phases)
    rows, columns = drawn_part(labels, phases)
    for t in phases:
        for z, plane in enumerate(np.ascontiguousarray(labels[t][:, rows, columns])):
            # Plane by plane it stays in the processor's cache.
            drawn = [np.count_nonzero(plane == structure) for structure in _DRAWN]
            n_drawn = np.count_nonzero(plane != 0)
            counts[t, z] = [labels[t, z].size - n_drawn, *drawn]
            if sum(drawn) != n_drawn and not np.isin(plane, _COUNTED).all():
                raise LabelError(_unknown_value(plane, t, z))
    return counts


def outlined_pixels(labels: NDArray[np.uint8], phases: Iterable[int]) -> Curve:
    """Area within the outlines of each structure on each slice, in pixels.

    An outline runs through the border at half a pixel, so that it cuts the corners of the pixels' steps; holes are
    taken off. The LV myocardium is what lies between the outline of the whole ventricle and that of its cavity.

    Parameters
    ----------
    labels
        Values 0 to 3, shape (t, z, y, x).
    phases
        Frames to outline.

    Returns
    -------
    Shape (t, z, structure), like that of :func:`count_pixels`.
    """
    areas = np.zeros((*labels.shape[:2], len(Structure)))
    for t in phases:
        for z, plane in enumerate(labels[t]):
            lv, muscle = plane == Structure.LV_CAVITY, plane == Structure.LV_MYOCARDIUM
            cavity = _outlined(lv)
            areas[t, z, Structure.LV_CAVITY] = cavity
            areas[t, z, Structure.RV_CAVITY] = _outlined(plane == Structure.RV_CAVITY)
            if muscle.any():
                areas[t, z, Structure.LV_MYOCARDIUM] = _outlined(lv | muscle) - cavity
    return areas


def polygon_area(points: NDArray[np.floating[Any]]) -> float:
    """Signed area of a closed polygon of points, shape (n, 2): Gauss's trapezoid rule, in the square of their unit."""
    first, second = points[:, 0], points[:, 1]
    return float(np.sum(first * np.roll(second, -1) - np.roll(first, -1) * second)) / 2


def _outlined(mask: NDArray[np.bool_]) -> float:
    if not mask.any():
        return 0.0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return _outlined_part(part.tobytes(), part.shape)


@lru_cache(maxsize=8192)
def _outlined_part(data: bytes, shape: tuple[int, int]) -> float:
    """Area within the outlines of a mask; by its bytes, for all but one slice are the same at the next edit."""
    mask = np.pad(np.frombuffer(data, dtype=np.bool_).reshape(shape), 1).astype(np.float64)
    # Outlines go one way round pixels and the other way round holes.
    return -sum(polygon_area(curve) for curve in find_contours(mask, 0.5))


def open_structures(labels: NDArray[np.uint8], phases: Iterable[int]) -> NDArray[np.bool_]:
    """Structures of which the labels leave open where they are, as who drew them drew others only.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    phases
        Frames to look at.

    Returns
    -------
    Shape (t, structure); such a structure has no volume in that frame. False in other frames.
    """
    is_open = np.zeros((len(labels), len(Structure)), dtype=np.bool_)
    for t in phases:
        if labels[t].max(initial=0) <= max(Structure):
            continue
        for structure in FOREGROUND:
            is_open[t, structure] = bool(may_hold(labels[t], structure).any())
    return is_open


def curves_of_areas(
    areas: NDArray[np.integer[Any]] | NDArray[np.floating[Any]],
    geometry: Geometry,
    phases: Iterable[int],
    is_open: NDArray[np.bool_] | None = None,
    ends: EndSliceRule = EndSliceRule.FULL,
) -> VolumeCurves:
    """Volumes from areas in pixels, shape (t, z, structure); NaN in frames that are not among ``phases``.

    Parameters
    ----------
    areas
        From :func:`count_pixels` or :func:`outlined_pixels`.
    is_open
        From :func:`open_structures`; None if every structure was drawn.
    ends
        What the outermost slices of each structure stand for.
    """
    if areas.shape[1] != geometry.n_slices:
        raise LabelError(
            f"The labels have {areas.shape[1]} slices; the cine has {geometry.n_slices} slices. "
            "Choose the labels that were drawn on this cine."
        )
    segmented = np.zeros(len(areas), dtype=bool)
    segmented[list(phases)] = True
    slice_ml = np.einsum("tzs,z->tzs", areas, pixel_volumes_ml(geometry))
    if ends is EndSliceRule.HALF:
        slice_ml = _with_half_ends(slice_ml)
    slice_ml[~segmented] = np.nan
    if is_open is not None:
        slice_ml = np.where(is_open[:, None, :], np.nan, slice_ml)
    slice_ml[..., Structure.BACKGROUND] = 0.0
    volumes_ml = slice_ml.sum(axis=1)  # (t, z, s) -> (t, s)
    return VolumeCurves(
        lv_ml=volumes_ml[:, Structure.LV_CAVITY],
        rv_ml=volumes_ml[:, Structure.RV_CAVITY],
        myo_ml=volumes_ml[:, Structure.LV_MYOCARDIUM],
        slice_ml=slice_ml,
    )


def _with_half_ends(slice_ml: Curve) -> Curve:
    """Halve the outermost slices of each cavity and of the whole LV, whose muscle is what the cavity leaves."""
    lv = _halved(slice_ml[..., Structure.LV_CAVITY])
    whole_lv = _halved(slice_ml[..., Structure.LV_CAVITY] + slice_ml[..., Structure.LV_MYOCARDIUM])
    halved = np.zeros_like(slice_ml)
    halved[..., Structure.LV_CAVITY] = lv
    halved[..., Structure.RV_CAVITY] = _halved(slice_ml[..., Structure.RV_CAVITY])
    halved[..., Structure.LV_MYOCARDIUM] = whole_lv - lv
    return halved


def _halved(volume_ml: Curve) -> Curve:
    """Halve the first and the last slice that shows a structure, shape (t, z)."""
    shown = volume_ml > 0
    first = shown & (np.cumsum(shown, axis=1) == 1)
    last = shown & (np.cumsum(shown[:, ::-1], axis=1)[:, ::-1] == 1)
    return np.where(first | last, volume_ml / 2, volume_ml)


def pixel_volumes_ml(geometry: Geometry) -> Curve:
    """Volume that one pixel of each slice stands for; shape (z,), in ml.

    Raises
    ------
    GeometryError
        If the distance between slices is not known, or the slices are no stack: not parallel, not in order.
    """
    if not geometry.is_regular:
        refuse_what_is_no_stack(geometry)
    pixel_mm2 = np.array([plane.spacing_mm[0] * plane.spacing_mm[1] for plane in geometry.planes])
    return np.asarray(pixel_mm2 * geometry.slice_extent_mm() / 1000.0, dtype=np.float64)


def refuse_what_is_no_stack(geometry: Geometry) -> None:
    """Refuse planes that are not parallel or not in order: lengths along the ventricle mean nothing there.

    Raises
    ------
    GeometryError
        Which slices, and how they lie.
    """
    first = geometry.planes[0].normal
    for z, plane in enumerate(geometry.planes):
        tilt_deg = float(np.rad2deg(np.arccos(np.clip(abs(plane.normal @ first), 0.0, 1.0))))
        if tilt_deg > PARALLEL_TOLERANCE_DEG:
            raise GeometryError(
                f"Slice {z + 1} is tilted by {tilt_deg:.0f} degrees against slice 1, so areas do not add up to a "
                f"volume (limit {PARALLEL_TOLERANCE_DEG:g}). Choose a stack of parallel short-axis slices."
            )
    steps_mm = np.diff(geometry.positions_mm)
    direction = np.sign(np.median(steps_mm)) or 1.0
    for z, step_mm in enumerate(steps_mm):
        if step_mm * direction < SAME_POSITION_MM:
            where = "at the same position" if abs(step_mm) < SAME_POSITION_MM else "out of order"
            raise GeometryError(
                f"Slices {z + 1} and {z + 2} lie {where} ({step_mm * direction:.1f} mm apart), so volumes cannot be "
                "measured. Import the series again with each slice once, from base to apex."
            )


_DRAWN: Final = tuple(int(structure) for structure in FOREGROUND)
"""Plain numbers, as numpy is slow to compare with an enum; with background before them the order of the counts."""

_COUNTED: Final = (*Structure, *OUTSIDE_VALUES)


def _unknown_value(plane: NDArray[np.uint8], t: int, z: int) -> str:
    value = int(plane[~np.isin(plane, _COUNTED)][0])
    where = f"Phase {t + 1}, slice {z + 1}"
    if value == UNLABELLED:
        return f"{where} has unlabelled pixels (255), so its volume is not known. Label it, or leave the phase out."
    return f"{where} has the label {value}; known are 0 background, 1 RV, 2 myocardium, 3 LV. Choose other labels."
