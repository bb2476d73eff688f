"""What a reader should look at before trusting the figures: the flags, and those that volumes and timing raise.

Those that the pictures of the slices raise, and where each flag belongs, are in :mod:`cinema_core.measure.findings`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.measure.ventricle import VentricleVolumes, at_phase, incomplete_phases
from cinema_core.measure.volumes import Curve, VolumeCurves

STROKE_VOLUME_DIFFERENCE: Final = 0.2
"""Without shunt or regurgitation both ventricles eject the same; above this share of the larger it is worth a look."""

MASS_DIFFERENCE: Final = 0.25
"""Muscle keeps its mass through the beat. At 15 % experts' labels of 11 in 30 ACDC patients would be flagged, at
25 % those of 5."""

CURVE_JUMP: Final = 0.2
"""How far one phase may lie outside both its neighbours, relative to EDV: a smooth beat of 10 phases reaches 0.14."""

HIGHEST_EF_PCT: Final = 90.0
"""No ventricle empties further; a higher figure is a contour that was lost at ES."""

SYSTOLE_SHARE: Final = (0.2, 0.6)
"""Where in the cycle after ED the ES lies; in 30 ACDC patients 0.27 to 0.58."""

FEW_PHASES: Final = 10
"""With fewer phases per cycle ES falls between two of them."""

HEART_RATE_BPM: Final = (30.0, 180.0)
BODY_SURFACE_M2: Final = (0.3, 3.5)
"""Infant to very large adult; outside, height or weight was entered in other units."""


class Flag(StrEnum):
    """One thing to look at, in words that never change, the most serious first; how much is in the figures."""

    NO_LV = "no LV volume at ED and ES"
    NO_MYOCARDIUM = "no LV myocardium at ED"
    LV_NOT_SMALLER = "LV is not smaller at ES than at ED"
    LV_EF_TOO_HIGH = f"LV ejection fraction above {HIGHEST_EF_PCT:g} %"
    LV_GAP = "LV is missing on a slice between base and apex"
    LV_ONLY_AT_ES = "a slice shows LV at ES but not at ED"
    NO_RV = "no RV volume at ED and ES"
    RV_NOT_SMALLER = "RV is not smaller at ES than at ED"
    STROKE_VOLUMES_DIFFER = f"LV and RV stroke volumes differ by more than {100 * STROKE_VOLUME_DIFFERENCE:.0f} %"
    INCOMPLETE_PHASE = "a phase shows a ventricle on few slices and was not considered for ED and ES"
    CURVE_JUMPS = "LV volume jumps at one phase"
    MASS_CHANGES = f"LV mass differs between ED and ES by more than {100 * MASS_DIFFERENCE:.0f} %"
    ES_TIMING = f"ES is not {100 * SYSTOLE_SHARE[0]:.0f} to {100 * SYSTOLE_SHARE[1]:.0f} % of the cycle after ED"
    FEW_PHASES = f"ED and ES chosen among fewer than {FEW_PHASES} phases"
    HEART_RATE = f"heart rate outside {HEART_RATE_BPM[0]:g} to {HEART_RATE_BPM[1]:g} per minute"
    BODY_SURFACE = f"body surface outside {BODY_SURFACE_M2[0]:g} to {BODY_SURFACE_M2[1]:g} m2"
    UNEVEN_SLICES = "slices are not evenly spaced"
    RV_AWAY = "a piece of the RV lies away from the heart"
    RING_LOST = "the LV cavity lies outside its muscle"
    RV_TOUCHES_LV = "RV and LV cavity touch"
    RING_OPEN = "the ring of muscle around the LV is open"
    LV_PIECES = "the LV cavity is in several pieces"
    RV_PIECES = "the RV cavity is in several pieces"
    HOLE = "there is a hole in the heart"
    RV_GAP = "RV is missing on a slice between base and apex"
    AREA_JUMP = "the area of a cavity jumps from slice to slice"
    SEVERAL_MINIMA = "the LV volume curve has more than one minimum"
    UNSURE = "the model is unsure of the borders"
    EF_RESTS_ON_SLICE = "the LV ejection fraction rests on one slice"
    FEW_SLICES = "few slices show LV and muscle"
    PAPILLARY_NOT_SOUGHT = "papillary muscles could not be told from blood on a slice and count as cavity there"
    MISSING_IMAGES = "a slice has no image at some phases and these are not measured"


def quality_flags(
    counts: NDArray[np.int64],
    curve: VolumeCurves,
    cine: Cine,
    lv: VentricleVolumes,
    rv: VentricleVolumes,
    *,
    measured: tuple[int, ...],
    phases_were_given: bool,
) -> tuple[Flag, ...]:
    """Look for what does not fit; the most serious first, empty if nothing stands out.

    Parameters
    ----------
    counts
        Pixels of each structure on each slice, shape (t, z, structure).
    measured
        Frames that were segmented.
    phases_were_given
        Whether ED and ES of the LV were named or set, not found on the curve.
    """
    cavities = (Structure.LV_CAVITY, Structure.RV_CAVITY)
    ed_myo_ml, es_myo_ml = at_phase(curve.myo_ml, lv.ed_phase), at_phase(curve.myo_ml, lv.es_phase)
    shows_lv = [counts[t, :, Structure.LV_CAVITY] > 0 for t in (lv.ed_phase, lv.es_phase) if t is not None]
    holds = {
        Flag.NO_LV: lv.sv_ml is None,
        Flag.NO_MYOCARDIUM: lv.edv_ml is not None and not ed_myo_ml,
        Flag.LV_NOT_SMALLER: lv.sv_ml is not None and lv.sv_ml <= 0,
        Flag.LV_EF_TOO_HIGH: lv.ef_pct is not None and lv.ef_pct > HIGHEST_EF_PCT,
        Flag.LV_GAP: any(_has_gap(shown) for shown in shows_lv),
        Flag.LV_ONLY_AT_ES: len(shows_lv) == 2 and bool((shows_lv[1] & ~shows_lv[0]).any()),
        Flag.NO_RV: rv.sv_ml is None,
        Flag.RV_NOT_SMALLER: rv.sv_ml is not None and rv.sv_ml <= 0,
        Flag.STROKE_VOLUMES_DIFFER: _differ(lv.sv_ml, rv.sv_ml, STROKE_VOLUME_DIFFERENCE),
        Flag.INCOMPLETE_PHASE: any(incomplete_phases(counts, cavity, measured).any() for cavity in cavities),
        Flag.CURVE_JUMPS: not cine.phase_names and len(measured) >= FEW_PHASES and _jumps(curve.lv_ml),
        Flag.MASS_CHANGES: _differ(ed_myo_ml, es_myo_ml, MASS_DIFFERENCE),
        Flag.ES_TIMING: not cine.phase_names and cine.n_phases >= FEW_PHASES and _is_oddly_timed(lv, cine.n_phases),
        Flag.FEW_PHASES: not cine.phase_names
        and (cine.n_phases < FEW_PHASES or (len(measured) < FEW_PHASES and not phases_were_given)),
        Flag.HEART_RATE: _is_outside(cine.timing.heart_rate_bpm, HEART_RATE_BPM),
        Flag.BODY_SURFACE: _is_outside(cine.patient.bsa_m2, BODY_SURFACE_M2),
        Flag.UNEVEN_SLICES: not cine.geometry.is_regular,
    }
    return tuple(flag for flag in Flag if holds.get(flag))


def _has_gap(shown: NDArray[np.bool_]) -> bool:
    """Whether a slice is empty between two that are not; shown has shape (z,)."""
    slices = np.flatnonzero(shown)
    return bool(slices.size) and bool(slices[-1] - slices[0] + 1 != slices.size)


def _differ(one: float | None, other: float | None, share: float) -> bool:
    """Whether two positive values differ by more than a share of the larger."""
    if not one or not other or min(one, other) <= 0:
        return False
    return abs(one - other) > share * max(one, other)


def _jumps(volume_ml: Curve) -> bool:
    """Whether one phase stands out from both its neighbours; the last phase is followed by the first."""
    before, after = volume_ml - np.roll(volume_ml, 1), volume_ml - np.roll(volume_ml, -1)
    stands_out = np.where(before * after > 0, np.minimum(np.abs(before), np.abs(after)), 0.0)  # NaN compares false
    return bool(stands_out.max() > CURVE_JUMP * np.nanmax(volume_ml))


def _is_oddly_timed(lv: VentricleVolumes, n_phases: int) -> bool:
    if lv.ed_phase is None or lv.es_phase is None:
        return False
    return _is_outside((lv.es_phase - lv.ed_phase) % n_phases / n_phases, SYSTOLE_SHARE)


def _is_outside(value: float | None, limits: tuple[float, float]) -> bool:
    return value is not None and not limits[0] <= value <= limits[1]
