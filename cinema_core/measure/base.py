"""The base of a ventricle: what the ejection fraction would be with another slice in or out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.measure.ventricle import ejection_fraction_pct
from cinema_core.measure.volumes import pixel_volumes_ml

MEMBERS = {
    Structure.LV_CAVITY: (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM),
    Structure.RV_CAVITY: (Structure.RV_CAVITY,),
}
"""What leaves with a ventricle's cavity when a slice is left out of it."""


def basal_slice(labels: NDArray[np.uint8], cine: Cine, t: int, cavity: Structure) -> int | None:
    """Slice nearest to the base that shows a cavity at a phase; None if none does."""
    shown = np.flatnonzero((labels[t] == cavity).any(axis=(1, 2)))
    if not len(shown):
        return None
    return int(shown[-1] if cine.apex_first else shown[0])


def left_out(mask: NDArray[np.uint8], cavity: Structure) -> NDArray[np.uint8]:
    """Label of a slice (y, x) without a ventricle: the LV leaves with its muscle."""
    return np.where(np.isin(mask, MEMBERS[cavity]), np.uint8(Structure.BACKGROUND), mask)


def taken_in(mask: NDArray[np.uint8], earlier: NDArray[np.uint8], cavity: Structure) -> NDArray[np.uint8]:
    """Label of a slice (y, x) with a ventricle as it was drawn earlier; what is drawn there now stays."""
    back = np.isin(earlier, MEMBERS[cavity]) & (mask == Structure.BACKGROUND)
    return np.where(back, earlier, mask)


def ejection_fraction_with(
    labels: NDArray[np.uint8],
    cine: Cine,
    cavity: Structure,
    ed_phase: int,
    es_phase: int,
    masks: Mapping[tuple[int, int], NDArray[np.uint8]],
) -> float | None:
    """Ejection fraction in percent if some slices had another label; None if it is not known.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    cavity
        LV or RV cavity.
    ed_phase, es_phase
        Frames from 0 at which it is read, whatever the change does to the curve.
    masks
        Other labels (y, x) by (t, z).

    Raises
    ------
    GeometryError
        If the distance between slices is not known, or the slices are no stack.
    """
    per_pixel_ml = pixel_volumes_ml(cine.geometry)

    def volume_ml(t: int) -> float:
        areas_px = [np.count_nonzero(masks.get((t, z), plane) == cavity) for z, plane in enumerate(labels[t])]
        return float(np.asarray(areas_px) @ per_pixel_ml)

    return ejection_fraction_pct(volume_ml(ed_phase), volume_ml(es_phase))
