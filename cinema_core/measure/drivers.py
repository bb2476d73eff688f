"""Which slices the ejection fraction rests on: what it would be if one of them were left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinema_core.anatomy import Structure
from cinema_core.measure.ventricle import VentricleVolumes, ejection_fraction_pct
from cinema_core.measure.volumes import Curve


@dataclass(frozen=True)
class EfDriver:
    """What one slice does to the ejection fraction; None where without it there is none.

    Attributes
    ----------
    z
        Slice, from 0.
    is_basal
        Whether it is the outermost drawn slice at the base, the one that readers differ on most.
    without_ed_pct, without_es_pct, without_pct
        Ejection fraction if the slice were not drawn at ED, at ES, at both.
    most_pct
        Largest change among these, in points, with its sign.
    """

    z: int
    is_basal: bool
    without_ed_pct: float | None
    without_es_pct: float | None
    without_pct: float | None
    most_pct: float


def ef_drivers(
    slice_ml: Curve, structure: Structure, volumes: VentricleVolumes, *, apex_first: bool = False
) -> tuple[EfDriver, ...]:
    """Slices by how far leaving one out would move the ejection fraction, most first.

    Parameters
    ----------
    slice_ml
        Shape (t, z, structure), as of :class:`~cinema_core.measure.volumes.VolumeCurves`.
    structure
        LV or RV cavity.
    volumes
        Of that ventricle.
    apex_first
        Whether z counts from the apex.
    """
    if volumes.ed_phase is None or volumes.es_phase is None or volumes.ef_pct is None:
        return ()
    ed, es = (slice_ml[t, :, structure] for t in (volumes.ed_phase, volumes.es_phase))
    shown = np.flatnonzero((ed > 0) | (es > 0))
    basal = shown[-1] if apex_first else shown[0]
    ef, edv, esv = volumes.ef_pct, float(ed.sum()), float(es.sum())
    drivers = []
    for z in shown.tolist():
        at_ed, at_es = float(ed[z]), float(es[z])
        without_ed = ejection_fraction_pct(edv - at_ed, esv)
        without_es = ejection_fraction_pct(edv, esv - at_es)
        without = ejection_fraction_pct(edv - at_ed, esv - at_es)
        changes = [value - ef for value in (without_ed, without_es, without) if value is not None]
        most = max(changes, key=abs, default=0.0)
        drivers.append(EfDriver(z, bool(z == basal), without_ed, without_es, without, most))
    return tuple(sorted(drivers, key=lambda driver: (-abs(driver.most_pct), driver.z)))
