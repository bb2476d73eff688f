"""Everything that is measured of one short-axis study, in one object: what every output takes its figures from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Patient
from cinema_core.measure.choices import ReportChoices
from cinema_core.measure.drivers import EfDriver, ef_drivers
from cinema_core.measure.findings import Finding, Light, find, light_of
from cinema_core.measure.function import (
    PAPILLARY_CONVENTION,
    VentricularFunction,
    myocardial_mass_g,
    ventricular_function,
)
from cinema_core.measure.papillary import (
    PapillaryMuscles,
    find_papillary_muscles,
    with_papillary_muscles_as_wall,
)
from cinema_core.measure.quality import Flag
from cinema_core.measure.rates import FillingRates, filling_rates
from cinema_core.measure.reference import Verdict, verdicts
from cinema_core.measure.segments import Insertions
from cinema_core.measure.ventricle import VentricleVolumes, at_phase
from cinema_core.measure.wall import WallMeasures, wall_measures
from cinema_core.rules import PapillaryRule


@dataclass(frozen=True, eq=False)
class StudyMeasures:
    """What was measured of a study; None is not known.

    Attributes
    ----------
    function
        Volumes, ejection fraction, mass, output.
    choices
        Rules and table it was measured by.
    patient
        Who the person is: as entered, else as in the files.
    lv_rates, rv_rates
        Peak ejection and filling.
    lv_mass_es_g
        Mass at end-systole; that of the report is at end-diastole.
    lv_drivers, rv_drivers
        Slices by what leaving one out does to the ejection fraction.
    findings
        What to look at, red first.
    verdicts
        Where each measure lies in the reference table, by name.
    """

    function: VentricularFunction
    choices: ReportChoices
    patient: Patient
    lv_rates: FillingRates | None
    rv_rates: FillingRates | None
    lv_mass_es_g: float | None
    lv_drivers: tuple[EfDriver, ...]
    rv_drivers: tuple[EfDriver, ...]
    findings: tuple[Finding, ...]
    verdicts: Mapping[str, Verdict]
    _measure_wall: Callable[[], WallMeasures | None] = field(repr=False)

    @cached_property
    def wall(self) -> WallMeasures | None:
        """Thickness by segment at ED and ES, measured when it is first asked for; None where the LV has no ED."""
        return self._measure_wall()

    @property
    def light(self) -> Light:
        """Green if every rule was tried and none was broken."""
        return light_of(self.findings)

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Each flag once, red first."""
        return tuple(dict.fromkeys(finding.flag for finding in self.findings))

    @property
    def sv_difference_ml(self) -> float | None:
        """Stroke volume of the LV less that of the RV: equal without shunt and regurgitation."""
        lv, rv = self.function.lv_sv_ml, self.function.rv_sv_ml
        return None if lv is None or rv is None else lv - rv

    @property
    def sv_difference_pct(self) -> float | None:
        """The same, relative to the mean of both stroke volumes."""
        lv, rv, difference = self.function.lv_sv_ml, self.function.rv_sv_ml, self.sv_difference_ml
        if lv is None or rv is None or difference is None or lv + rv <= 0:
            return None
        return 100 * difference / ((lv + rv) / 2)

    def per_height(self, value: float | None) -> float | None:
        """Value per metre of height; None if one is not known."""
        return value / self.patient.height_m if value is not None and self.patient.height_m else None


def study_measures(
    labels: NDArray[np.uint8],
    cine: Cine,
    *,
    phases: Iterable[int] | None = None,
    ed_phase: int | None = None,
    es_phase: int | None = None,
    rv_ed_phase: int | None = None,
    rv_es_phase: int | None = None,
    choices: ReportChoices | None = None,
    uncertainty: NDArray[np.floating] | None = None,
    insertions: Mapping[int, Insertions] | None = None,
) -> StudyMeasures:
    """Measure a short-axis study.

    Where papillary muscles count as mass, wall thickness is still that of the drawn wall.

    Parameters
    ----------
    labels, cine, phases, ed_phase, es_phase, rv_ed_phase, rv_es_phase
        As for :func:`~cinema_core.measure.ventricular_function`, with its errors.
    choices
        What the reader entered and chose; None for nothing.
    uncertainty
        Of the model, shape (t, z); NaN where a reader vouched for the slice.
    insertions
        Where the RV meets the LV at ED, by slice, as the reader set them.
    """
    choices = choices or ReportChoices()
    patient = choices.patient(cine.patient)
    cine = replace(cine, patient=patient)
    muscles = _papillary_muscles(labels, cine, phases, choices)
    function = ventricular_function(
        labels if muscles is None else with_papillary_muscles_as_wall(labels, muscles),
        cine,
        phases=phases,
        ed_phase=ed_phase,
        es_phase=es_phase,
        rv_ed_phase=rv_ed_phase,
        rv_es_phase=rv_es_phase,
        method=choices.method,
        bsa_formula=choices.bsa_formula,
    )
    if muscles is not None:
        function = replace(function, convention=PAPILLARY_CONVENTION.format(level=muscles.level))
    curve = function.curve
    lv = VentricleVolumes(
        function.ed_phase,
        function.es_phase,
        function.lv_edv_ml,
        function.lv_esv_ml,
        function.lv_sv_ml,
        function.lv_ef_pct,
    )
    rv = VentricleVolumes(
        function.rv_ed_phase,
        function.rv_es_phase,
        function.rv_edv_ml,
        function.rv_esv_ml,
        function.rv_sv_ml,
        function.rv_ef_pct,
    )
    drivers = {
        structure: ef_drivers(curve.slice_ml, structure, volumes, apex_first=cine.apex_first)
        for structure, volumes in ((Structure.LV_CAVITY, lv), (Structure.RV_CAVITY, rv))
    }
    return StudyMeasures(
        function=function,
        choices=choices,
        patient=patient,
        lv_rates=_rates(curve.lv_ml, cine, lv),
        rv_rates=_rates(curve.rv_ml, cine, rv),
        lv_mass_es_g=myocardial_mass_g(at_phase(curve.myo_ml, lv.es_phase)),
        lv_drivers=drivers[Structure.LV_CAVITY],
        rv_drivers=drivers[Structure.RV_CAVITY],
        findings=find(
            labels,
            cine,
            function,
            drivers[Structure.LV_CAVITY],
            uncertainty,
            without_papillary=muscles.left_alone if muscles else (),
        ),
        verdicts=verdicts(function, patient, table=choices.table, ethnicity=choices.ethnicity or None),
        # A copy of these phases alone: the window edits its labels in place.
        _measure_wall=partial(_wall, _phases_of(labels, lv), cine, lv, insertions),
    )


def _papillary_muscles(
    labels: NDArray[np.uint8], cine: Cine, phases: Iterable[int] | None, choices: ReportChoices
) -> PapillaryMuscles | None:
    if choices.papillary is PapillaryRule.CAVITY:
        return None
    return find_papillary_muscles(cine.pixels, labels, level=choices.papillary_level, phases=phases)


def _rates(volume_ml: NDArray[np.float64], cine: Cine, ventricle: VentricleVolumes) -> FillingRates | None:
    # Named phases are two pictures, not a beat.
    if cine.phase_names:
        return None
    return filling_rates(volume_ml, cine.timing, ventricle.ed_phase, ventricle.es_phase)


def _phases_of(labels: NDArray[np.uint8], lv: VentricleVolumes) -> Mapping[int, NDArray[np.uint8]]:
    """Labels of ED and ES, copied; by frame."""
    return {t: labels[t].copy() for t in (lv.ed_phase, lv.es_phase) if t is not None}


def _wall(
    frames: Mapping[int, NDArray[np.uint8]],
    cine: Cine,
    lv: VentricleVolumes,
    insertions: Mapping[int, Insertions] | None,
) -> WallMeasures | None:
    if lv.ed_phase is None:
        return None
    labels = np.zeros(cine.shape, dtype=np.uint8)
    for t, frame in frames.items():
        labels[t] = frame
    return wall_measures(labels, cine, lv.ed_phase, phases=sorted(frames), insertions=insertions)
