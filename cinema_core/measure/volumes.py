"""Volumes by summation of discs: area of a structure on each slice times the length that slice stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.cine import Geometry
from cinema_core.errors import LabelError

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VolumeCurves:
    """Volume of each structure over the cycle, shape (t,), in ml; NaN where not segmented."""

    lv_ml: Curve
    rv_ml: Curve
    myo_ml: Curve


def volume_curves(labels: NDArray[np.uint8], geometry: Geometry, phases: Iterable[int] | None = None) -> VolumeCurves:
    """Volumes of every phase.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    geometry
        Planes of the slices.
    phases
        Frames that are segmented; None for all.

    Raises
    ------
    LabelError
        If the labels do not have the slices of the geometry.
    GeometryError
        If the distance between slices is not known.
    """
    if labels.ndim != 4 or labels.shape[1] != geometry.n_slices:
        raise LabelError(f"The labels have shape {labels.shape}; the cine has {geometry.n_slices} slices.")
    pixel_mm2 = np.array([plane.spacing_mm[0] * plane.spacing_mm[1] for plane in geometry.planes])
    slice_ml = pixel_mm2 * geometry.slice_extent_mm() / 1000.0  # per pixel of each slice
    chosen = list(range(len(labels)) if phases is None else phases)

    def curve(structure: Structure) -> Curve:
        volume = np.full(len(labels), np.nan)
        volume[chosen] = (labels[chosen] == structure).sum(axis=(2, 3)) @ slice_ml
        return volume

    return VolumeCurves(curve(Structure.LV_CAVITY), curve(Structure.RV_CAVITY), curve(Structure.LV_MYOCARDIUM))
