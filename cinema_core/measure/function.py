"""Ventricular function of one cine: ED, ES, volumes, ejection fraction, mass, output.

One formula per function, each with its source; :func:`ventricular_function` only calls them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import MYOCARDIAL_DENSITY_G_PER_ML
from cinema_core.cine import Cine
from cinema_core.errors import LabelError, PhaseError
from cinema_core.measure.quality import quality_flags
from cinema_core.measure.volumes import Curve, VolumeCurves, volume_curves

CONVENTION: Final = "papillary muscles and trabeculae counted as cavity (smooth)"
"""Printed with every result: volumes and mass of the other conventions have other normal ranges."""


@dataclass(frozen=True)
class VentricleVolumes:
    """Volumes of one ventricle in ml, ejection fraction in percent, and the phases (from 0) they were read at."""

    ed_phase: int | None = None
    es_phase: int | None = None
    edv_ml: float | None = None
    esv_ml: float | None = None
    sv_ml: float | None = None
    ef_pct: float | None = None


@dataclass(frozen=True, eq=False)
class VentricularFunction:
    """What is reported of one cine; None is not known.

    Attributes
    ----------
    ed_phase, es_phase, rv_ed_phase, rv_es_phase
        Frame indices from 0; the first two are those of the LV.
    flags
        What a reader should look at, one sentence each.
    curve
        Volumes of every measured phase.
    convention
        How papillary muscles were counted.
    """

    ed_phase: int | None
    es_phase: int | None
    rv_ed_phase: int | None
    rv_es_phase: int | None
    lv_edv_ml: float | None
    lv_esv_ml: float | None
    lv_sv_ml: float | None
    lv_ef_pct: float | None
    lv_mass_g: float | None
    rv_edv_ml: float | None
    rv_esv_ml: float | None
    rv_sv_ml: float | None
    rv_ef_pct: float | None
    heart_rate_bpm: float | None
    cardiac_output_l_min: float | None
    bsa_m2: float | None
    lv_edvi_ml_m2: float | None
    lv_esvi_ml_m2: float | None
    lv_svi_ml_m2: float | None
    lv_massi_g_m2: float | None
    rv_edvi_ml_m2: float | None
    rv_esvi_ml_m2: float | None
    rv_svi_ml_m2: float | None
    cardiac_index_l_min_m2: float | None
    flags: tuple[str, ...]
    curve: VolumeCurves
    convention: str = CONVENTION


def stroke_volume_ml(edv_ml: float | None, esv_ml: float | None) -> float | None:
    """EDV minus ESV."""
    return None if edv_ml is None or esv_ml is None else edv_ml - esv_ml


def ejection_fraction_pct(edv_ml: float | None, esv_ml: float | None) -> float | None:
    """Share of the end-diastolic volume that is ejected; None where that volume is zero."""
    return None if edv_ml is None or esv_ml is None or edv_ml <= 0 else 100 * (edv_ml - esv_ml) / edv_ml


def myocardial_mass_g(volume_ml: float | None) -> float | None:
    """Mass of the myocardium at 1.05 g/ml (Schulz-Menger et al., JCMR 22:19, 2020)."""
    return None if volume_ml is None else MYOCARDIAL_DENSITY_G_PER_ML * volume_ml


def cardiac_output_l_min(stroke_volume: float | None, heart_rate_bpm: float | None) -> float | None:
    """Stroke volume (ml) times heart rate (1/min)."""
    return None if stroke_volume is None or heart_rate_bpm is None else stroke_volume * heart_rate_bpm / 1000


def indexed(value: float | None, bsa_m2: float | None) -> float | None:
    """Value per square metre of body surface."""
    return None if value is None or not bsa_m2 else value / bsa_m2


def ventricular_function(
    labels: NDArray[np.uint8],
    cine: Cine,
    *,
    phases: Iterable[int] | None = None,
    ed_phase: int | None = None,
    es_phase: int | None = None,
    rv_ed_phase: int | None = None,
    rv_es_phase: int | None = None,
) -> VentricularFunction:
    """Measure the ventricles.

    ED is the phase of the largest LV cavity, ES that of the smallest, one for all slices; the RV has its own
    (Schulz-Menger et al., JCMR 22:19, 2020). Phases that are named ED and ES, and phases that the reader sets, win.

    Parameters
    ----------
    labels
        uint8, shape (t, z, y, x), on the grid of the cine.
    cine
        Gives geometry, heart rate and body surface.
    phases
        Frames that are segmented from base to apex; None for all.
    ed_phase, es_phase, rv_ed_phase, rv_es_phase
        Frames set by the reader. The RV follows the LV's where only those are set.

    Raises
    ------
    LabelError
        If the labels are not on the grid of the cine.
    PhaseError
        If a set phase is not among the measured ones.
    GeometryError
        If the distance between slices is not known.
    """
    if labels.shape != cine.shape:
        raise LabelError(f"The labels have shape {labels.shape}; the cine {cine.id} has {cine.shape} (t, z, y, x).")
    measured = tuple(sorted(set(range(cine.n_phases) if phases is None else phases)))
    for name, phase in (("ED", ed_phase), ("ES", es_phase), ("RV ED", rv_ed_phase), ("RV ES", rv_es_phase)):
        if phase is not None and phase not in measured:
            raise PhaseError(f"{name} is set to phase {phase + 1}, which is not segmented. Segment it or set another.")
    curve = volume_curves(labels, cine.geometry, measured)
    named = {name: cine.phase_names.index(name) for name in ("ed", "es") if name in cine.phase_names}
    ed_phase = named.get("ed") if ed_phase is None else ed_phase
    es_phase = named.get("es") if es_phase is None else es_phase
    lv = _read(curve.lv_ml, ed_phase, es_phase)
    rv = _read(
        curve.rv_ml,
        ed_phase if rv_ed_phase is None else rv_ed_phase,
        es_phase if rv_es_phase is None else rv_es_phase,
    )
    mass_g = myocardial_mass_g(_at(curve.myo_ml, lv.ed_phase))
    rate, bsa = cine.timing.heart_rate_bpm, cine.patient.bsa_m2
    output = cardiac_output_l_min(lv.sv_ml, rate)
    return VentricularFunction(
        ed_phase=lv.ed_phase,
        es_phase=lv.es_phase,
        rv_ed_phase=rv.ed_phase,
        rv_es_phase=rv.es_phase,
        **{f"lv_{name}": getattr(lv, name) for name in ("edv_ml", "esv_ml", "sv_ml", "ef_pct")},
        **{f"rv_{name}": getattr(rv, name) for name in ("edv_ml", "esv_ml", "sv_ml", "ef_pct")},
        lv_mass_g=mass_g,
        heart_rate_bpm=rate,
        cardiac_output_l_min=output,
        bsa_m2=bsa,
        lv_edvi_ml_m2=indexed(lv.edv_ml, bsa),
        lv_esvi_ml_m2=indexed(lv.esv_ml, bsa),
        lv_svi_ml_m2=indexed(lv.sv_ml, bsa),
        lv_massi_g_m2=indexed(mass_g, bsa),
        rv_edvi_ml_m2=indexed(rv.edv_ml, bsa),
        rv_esvi_ml_m2=indexed(rv.esv_ml, bsa),
        rv_svi_ml_m2=indexed(rv.sv_ml, bsa),
        cardiac_index_l_min_m2=indexed(output, bsa),
        flags=quality_flags(curve, cine, lv_phases=(lv.ed_phase, lv.es_phase), lv_sv_ml=lv.sv_ml, rv_sv_ml=rv.sv_ml),
        curve=curve,
    )


def _read(volume_ml: Curve, ed_phase: int | None, es_phase: int | None) -> VentricleVolumes:
    """Volumes at ED and ES; a ventricle that is nowhere drawn, or measured at one phase only, has none."""
    known = np.isfinite(volume_ml)
    if not known.any() or not np.nanmax(volume_ml) > 0:
        return VentricleVolumes()
    if known.sum() < 2 and (ed_phase is None or es_phase is None):
        return VentricleVolumes()
    ed = int(np.nanargmax(volume_ml)) if ed_phase is None else ed_phase
    es = int(np.nanargmin(volume_ml)) if es_phase is None else es_phase
    edv, esv = _at(volume_ml, ed), _at(volume_ml, es)
    return VentricleVolumes(ed, es, edv, esv, stroke_volume_ml(edv, esv), ejection_fraction_pct(edv, esv))


def _at(volume_ml: Curve, phase: int | None) -> float | None:
    return None if phase is None or not np.isfinite(volume_ml[phase]) else float(volume_ml[phase])


MEASURES: Final = tuple(field.name for field in fields(VentricularFunction) if field.type == "float | None")
"""Names of all measured values."""
