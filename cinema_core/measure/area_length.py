"""LV volumes from long-axis views by the area-length method: one view, or 2- and 4-chamber together.

References
----------
Dodge et al., Am Heart J 60:762 (1960), for two planes; Sandler and Dodge, Am Heart J 75:325 (1968), for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from cinema_core.anatomy import Structure, may_hold
from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, LabelError, PhaseError
from cinema_core.measure.long_axis import lv_length_mm
from cinema_core.measure.ventricle import ejection_fraction_pct, stroke_volume_ml

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LongAxisCavity:
    """LV cavity on one long-axis view.

    Attributes
    ----------
    area_mm2, length_mm
        Of every phase, shape (t,); NaN where it is not drawn, and a length also where no valve can be told.
    """

    area_mm2: Array
    length_mm: Array


@dataclass(frozen=True, eq=False)
class AreaLengthVolumes:
    """LV by the area-length method; None is not known.

    Attributes
    ----------
    method
        ``single plane`` or ``biplane``.
    volume_ml
        Of every phase, shape (t,); NaN where not known, and empty where the two views have other numbers of phases.
    ed_phases, es_phases
        Frames from 0 at which each view was read.
    """

    method: str
    volume_ml: Array
    ed_phases: tuple[int, ...]
    es_phases: tuple[int, ...]
    edv_ml: float | None
    esv_ml: float | None
    sv_ml: float | None
    ef_pct: float | None


def single_plane_ml(area_mm2: ArrayLike, length_mm: ArrayLike) -> Array:
    """Volume of a cavity that is as round across its axis as one view shows it wide: 8 A^2 / (3 pi L).

    Exact for an ellipsoid of revolution.

    Parameters
    ----------
    area_mm2, length_mm
        Of the cavity in the view, any one shape.

    Returns
    -------
    In ml, of the same shape.
    """
    return biplane_ml(area_mm2, length_mm, area_mm2, length_mm)


def biplane_ml(
    area_2c_mm2: ArrayLike, length_2c_mm: ArrayLike, area_4c_mm2: ArrayLike, length_4c_mm: ArrayLike
) -> Array:
    """Volume of an ellipsoid whose two other axes are those of the views: 8 A1 A2 / (3 pi L).

    Each view gives one axis across, 4 A / (pi L) of its own length. The ellipsoid is as long as the longer of the
    two, as a view that misses the apex is too short; which leaves the shorter one in the formula.

    Parameters
    ----------
    area_2c_mm2, length_2c_mm, area_4c_mm2, length_4c_mm
        Of the cavity in each view, any one shape.

    Returns
    -------
    In ml, of the same shape.
    """
    areas = np.asarray(area_2c_mm2, dtype=np.float64) * np.asarray(area_4c_mm2, dtype=np.float64)
    shorter = np.minimum(np.asarray(length_2c_mm, dtype=np.float64), np.asarray(length_4c_mm, dtype=np.float64))
    return np.asarray(8 * areas / (3 * np.pi * shorter) / 1000, dtype=np.float64)


def long_axis_cavity(
    labels: NDArray[np.uint8], cine: Cine, points_yx: NDArray[np.float64] | None = None
) -> LongAxisCavity:
    """Area and length of the LV cavity on every phase.

    Parameters
    ----------
    labels
        uint8, shape (t, 1, y, x), on the grid of the cine.
    cine
        Long-axis view of one slice.
    points_yx
        Landmarks, shape (t, 3, 2), in pixels: both insertions of the mitral valve and the apex. The length then runs
        from the middle of the valve to the apex. Without them the valve is the border of the cavity along which there
        is no muscle, and the length runs from its middle to the farthest point of the cavity.

    Raises
    ------
    LabelError
        If labels or landmarks do not fit the cine.
    GeometryError
        If the cine has more than one slice, or states no spacing.
    """
    if labels.shape != cine.shape:
        raise LabelError(f"The labels have shape {labels.shape}; the cine {cine.id} has {cine.shape} (t, z, y, x).")
    if cine.n_slices != 1 or not cine.geometry.spacing_is_stated:
        raise GeometryError("Area and length are measured on a long-axis cine of one slice that states its spacing.")
    spacing = cine.geometry.pixel_spacing_mm
    if points_yx is not None and points_yx.shape != (cine.n_phases, 3, 2):
        raise LabelError(f"Landmarks have the shape {points_yx.shape}; ({cine.n_phases}, 3, 2) is expected.")
    area, length = np.full(cine.n_phases, np.nan), np.full(cine.n_phases, np.nan)
    for t, plane in enumerate(labels[:, 0]):
        cavity = plane == Structure.LV_CAVITY
        if not cavity.any() or may_hold(plane, Structure.LV_CAVITY).any() or not cine.has_image(t, 0):
            continue
        area[t] = float(cavity.sum()) * spacing[0] * spacing[1]
        if points_yx is None:
            length[t] = _length_of_cavity_mm(cavity, plane == Structure.LV_MYOCARDIUM, spacing)
        else:
            length[t] = float(lv_length_mm(points_yx[t], spacing))
    return LongAxisCavity(area, length)


def area_length_volumes(*views: LongAxisCavity) -> AreaLengthVolumes:
    """Volumes and ejection fraction from one view, or from a 2- and a 4-chamber view.

    ED is where the cavity of a view has its largest area and ES where it has its smallest, in each view by itself:
    the views are different breath-holds.

    Raises
    ------
    PhaseError
        If there are not one or two views.
    """
    if len(views) not in (1, 2):
        raise PhaseError(f"Area-length takes one or two long-axis views, not {len(views)}.")
    known = [np.flatnonzero(np.isfinite(view.area_mm2) & np.isfinite(view.length_mm)) for view in views]
    method = "single plane" if len(views) == 1 else "biplane"
    same = len({len(view.area_mm2) for view in views}) == 1
    curve = _volume_ml([(view.area_mm2, view.length_mm) for view in views]) if same else np.empty(0)
    if any(len(phases) < 2 for phases in known):  # one phase alone is neither ED nor ES
        return AreaLengthVolumes(method, curve, (), (), None, None, None, None)
    ed = tuple(int(t[view.area_mm2[t].argmax()]) for view, t in zip(views, known, strict=True))
    es = tuple(int(t[view.area_mm2[t].argmin()]) for view, t in zip(views, known, strict=True))
    edv, esv = (
        float(_volume_ml([(view.area_mm2[t], view.length_mm[t]) for view, t in zip(views, chosen, strict=True)]))
        for chosen in (ed, es)
    )
    return AreaLengthVolumes(
        method, curve, ed, es, edv, esv, stroke_volume_ml(edv, esv), ejection_fraction_pct(edv, esv)
    )


def _volume_ml(views: list[tuple[ArrayLike, ArrayLike]]) -> Array:
    return single_plane_ml(*views[0]) if len(views) == 1 else biplane_ml(*views[0], *views[1])


def _length_of_cavity_mm(
    cavity: NDArray[np.bool_], muscle: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> float:
    """Middle of the border without muscle to the farthest edge of the cavity; NaN if muscle is all round, or none."""
    rim = cavity & ~ndimage.binary_erosion(cavity)
    # A rim pixel has muscle beside it, across a corner included, or looks into the atrium or the outflow tract.
    beside_muscle = ndimage.binary_dilation(muscle, structure=np.ones((3, 3), dtype=bool))
    opening = rim & ~beside_muscle
    if not opening.any() or not (rim & beside_muscle).any():
        return float("nan")
    valve = np.argwhere(opening).mean(axis=0) * spacing_mm
    away = np.argwhere(cavity) * np.array(spacing_mm) - valve
    distance = np.linalg.norm(away, axis=1)
    # Both ends are centres of pixels; the cavity ends at their edges, half a pixel further at each.
    direction = np.abs(away[distance.argmax()]) / max(float(distance.max()), 1e-9)
    return float(distance.max() + direction @ np.array(spacing_mm))
