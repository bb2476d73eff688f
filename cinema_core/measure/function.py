"""Ventricular function of one cine: ED, ES, volumes, ejection fraction, mass, output.

One formula per function, each with its source; :func:`ventricular_function` only calls them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import MYOCARDIAL_DENSITY_G_PER_ML, Structure
from cinema_core.cine import BsaFormula, Cine
from cinema_core.errors import LabelError, PhaseError
from cinema_core.measure.quality import BODY_SURFACE_M2, Flag, quality_flags
from cinema_core.measure.ventricle import at_phase, incomplete_phases, read_ventricle
from cinema_core.measure.volumes import (
    DEFAULT_METHOD,
    AreaRule,
    VolumeCurves,
    VolumeMethod,
    count_pixels,
    curves_of_areas,
    open_structures,
    outlined_pixels,
    segmented_phases,
)

CONVENTION: Final = "papillary muscles and trabeculae counted as cavity (smooth)"
"""Printed with every result: volumes and mass of the other conventions have other normal ranges."""

PAPILLARY_CONVENTION: Final = (
    "papillary muscles counted as muscle, by a threshold at {level:.2f} from wall to blood (papillary)"
)


@dataclass(frozen=True, eq=False)
class VentricularFunction:
    """What is reported of one cine; None is not known.

    Attributes
    ----------
    ed_phase, es_phase, rv_ed_phase, rv_es_phase
        Frame indices from 0; the first two are those of the LV.
    flags
        What a reader should look at, in stable words, the most serious first.
    curve
        Volumes of every measured phase.
    convention
        How papillary muscles were counted.
    method
        How areas became volumes.
    bsa_m2
        None also where height and weight give a body surface that nobody has; a flag then says so.
    bsa_formula
        How it follows from height and weight.
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
    flags: tuple[Flag, ...]
    curve: VolumeCurves
    convention: str = CONVENTION
    method: VolumeMethod = DEFAULT_METHOD
    bsa_formula: BsaFormula = BsaFormula.MOSTELLER


def myocardial_mass_g(volume_ml: float | None) -> float | None:
    """Mass of the LV myocardium at 1.05 g/ml; None if it was not drawn: 0 g would be a claim.

    References
    ----------
    Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020).
    """
    return MYOCARDIAL_DENSITY_G_PER_ML * volume_ml if volume_ml else None


def cardiac_output_l_min(sv_ml: float | None, heart_rate_bpm: float | None) -> float | None:
    """Blood ejected per minute: stroke volume (ml) times heart rate (1/min); None if one is not known."""
    return None if sv_ml is None or heart_rate_bpm is None else sv_ml * heart_rate_bpm / 1000


def indexed(value: float | None, bsa_m2: float | None) -> float | None:
    """Value per square metre of body surface; None if one is not known."""
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
    method: VolumeMethod = DEFAULT_METHOD,
    bsa_formula: BsaFormula = BsaFormula.MOSTELLER,
) -> VentricularFunction:
    """Measure the ventricles.

    ED is the phase of the largest LV cavity, ES that of the smallest, one for all slices; the RV has its own
    (Schulz-Menger et al., JCMR 22:19, 2020). Phases that are named ED and ES, and phases that the reader sets, win.
    A phase that shows a cavity on few slices only is not taken for ED or ES by itself: a model that lost the
    ventricle there would make it ES.

    Parameters
    ----------
    labels
        Values 0 to 3 in the measured phases, uint8, shape (t, z, y, x), on the grid of the cine; or those of
        :func:`~cinema_core.anatomy.outside_of` where only some structures were drawn: the others are not measured.
    cine
        Gives geometry, heart rate and body surface.
    phases
        Frames that are segmented from base to apex; None for all. Those in which a slice has no image are not
        measured: their volume would be too small.
    ed_phase, es_phase, rv_ed_phase, rv_es_phase
        Frames from 0, set by the reader. The RV follows the LV's where only those are set.
    method
        How areas become volumes.
    bsa_formula
        How body surface follows from height and weight.

    Raises
    ------
    LabelError
        If the labels are not on the grid of the cine, or a measured phase has unlabelled pixels or other values.
    PhaseError
        If a phase is not in the cine, or a set phase is not among the measured ones or has a gap.
    GeometryError
        If the distance between slices is not known, or the slices are no stack.
    """
    if labels.shape != cine.shape:
        raise LabelError(f"The labels have shape {labels.shape}; the cine {cine.id} has {cine.shape} (t, z, y, x).")
    gaps = cine.phases_with_gaps
    measured = tuple(t for t in segmented_phases(cine.n_phases, phases) if t not in gaps)
    for name, phase in (("ED", ed_phase), ("ES", es_phase), ("RV ED", rv_ed_phase), ("RV ES", rv_es_phase)):
        if phase is not None and phase in gaps:
            raise PhaseError(f"{name} is set to phase {phase + 1}, where a slice has no image. Set another phase.")
        if phase is not None and phase not in measured:
            raise PhaseError(f"{name} is set to phase {phase + 1}, which is not segmented. Segment it or set another.")
    named = {name: cine.phase_names.index(name) for name in ("ed", "es") if name in cine.phase_names}
    ed_phase = named.get("ed") if ed_phase is None else ed_phase
    es_phase = named.get("es") if es_phase is None else es_phase

    counts = count_pixels(labels, measured)
    areas = counts if method.areas is AreaRule.PIXELS else outlined_pixels(labels, measured)
    curve = curves_of_areas(areas, cine.geometry, measured, open_structures(labels, measured), method.ends)
    lv = read_ventricle(curve.lv_ml, incomplete_phases(counts, Structure.LV_CAVITY, measured), ed_phase, es_phase)
    rv = read_ventricle(
        curve.rv_ml,
        incomplete_phases(counts, Structure.RV_CAVITY, measured),
        ed_phase if rv_ed_phase is None else rv_ed_phase,
        es_phase if rv_es_phase is None else rv_es_phase,
    )
    mass_g = myocardial_mass_g(at_phase(curve.myo_ml, lv.ed_phase))
    rate, bsa = cine.timing.heart_rate_bpm, _believed(cine.patient.body_surface_m2(bsa_formula))
    output = cardiac_output_l_min(lv.sv_ml, rate)
    return VentricularFunction(
        ed_phase=lv.ed_phase,
        es_phase=lv.es_phase,
        rv_ed_phase=rv.ed_phase,
        rv_es_phase=rv.es_phase,
        lv_edv_ml=lv.edv_ml,
        lv_esv_ml=lv.esv_ml,
        lv_sv_ml=lv.sv_ml,
        lv_ef_pct=lv.ef_pct,
        rv_edv_ml=rv.edv_ml,
        rv_esv_ml=rv.esv_ml,
        rv_sv_ml=rv.sv_ml,
        rv_ef_pct=rv.ef_pct,
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
        flags=quality_flags(
            counts,
            curve,
            cine,
            lv,
            rv,
            measured=measured,
            phases_were_given=ed_phase is not None and es_phase is not None,
        ),
        curve=curve,
        method=method,
        bsa_formula=bsa_formula,
    )


def _believed(bsa_m2: float | None) -> float | None:
    """Body surface; None where it is nobody's, as height or weight was entered in other units."""
    return bsa_m2 if bsa_m2 is not None and BODY_SURFACE_M2[0] <= bsa_m2 <= BODY_SURFACE_M2[1] else None
