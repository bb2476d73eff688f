"""What a reader should look at before trusting the figures."""

from __future__ import annotations

from typing import Final

import numpy as np

from cinema_core.cine import Cine
from cinema_core.measure.volumes import VolumeCurves

STROKE_VOLUME_DIFFERENCE: Final = 0.2
"""Without shunt or regurgitation both ventricles eject the same; above this share it is worth a look."""

FEW_PHASES: Final = 10
"""With fewer phases per cycle ES falls between two of them."""


def quality_flags(
    curve: VolumeCurves,
    cine: Cine,
    *,
    lv_phases: tuple[int | None, int | None],
    lv_sv_ml: float | None,
    rv_sv_ml: float | None,
) -> tuple[str, ...]:
    """Sentences for the reader, most serious first; empty if nothing stands out."""
    flags = []
    if lv_phases == (None, None):
        flags.append("no LV volume at ED and ES")
    if lv_sv_ml is not None and lv_sv_ml <= 0:
        flags.append("LV is not smaller at ES than at ED")
    if rv_sv_ml is None or not np.nanmax(curve.rv_ml, initial=0.0) > 0:
        flags.append("no RV volume at ED and ES")
    elif rv_sv_ml <= 0:
        flags.append("RV is not smaller at ES than at ED")
    elif lv_sv_ml is not None and lv_sv_ml > 0:
        difference = abs(lv_sv_ml - rv_sv_ml) / max(lv_sv_ml, rv_sv_ml)
        if difference > STROKE_VOLUME_DIFFERENCE:
            flags.append(f"LV and RV stroke volumes differ by {100 * difference:.0f} %")
    if not cine.phase_names and cine.n_phases < FEW_PHASES:
        flags.append(f"only {cine.n_phases} phases per cycle")
    if not cine.geometry.is_regular:
        flags.append("slices are not evenly spaced")
    return tuple(flags)
