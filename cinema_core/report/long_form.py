"""Tables with one row per phase, and per segment and phase, for statistics programs; the report has one per study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinema_core.cine import Cine
from cinema_core.measure.findings import NOTHING_FOUND, Light
from cinema_core.measure.function import VentricularFunction
from cinema_core.measure.segments import N_SEGMENTS, SEGMENT_NAMES
from cinema_core.measure.wall import WallMeasures
from cinema_core.report.result import StudyResult


@dataclass(frozen=True)
class MeasureRow:
    """One figure of the report with its reference range; None is an empty field.

    Attributes
    ----------
    reason
        Why there is no value.
    position, z
        Where it lies in the range; ``no_verdict`` says why that is not told.
    range_of
        Whose range it is: table, sex, age, convention, number of persons, and how far it was checked.
    convention, method, body_surface_formula, heart_rate_source, reference_table
        What all figures of the study rest on.
    """

    study_id: str
    measure: str
    title: str
    unit: str
    value: float | None
    reason: str
    position: str
    z: float | None
    lower: float | None
    upper: float | None
    no_verdict: str
    range_of: str
    convention: str
    method: str
    body_surface_formula: str
    heart_rate_source: str
    reference_table: str


@dataclass(frozen=True)
class FindingRow:
    """One thing to look at; phases and slices count from 1. A study in which nothing was found has one green row."""

    study_id: str
    light: str
    flag: str
    detail: str
    phase: int | None
    slice: int | None


@dataclass(frozen=True)
class PhaseRow:
    """Volumes at one phase; phases count from 1, and None is an empty field.

    Attributes
    ----------
    time_ms
        After the R wave, where the files tell.
    """

    study_id: str
    phase: int
    time_ms: float | None
    lv_ml: float | None
    rv_ml: float | None
    lv_myocardium_ml: float | None


@dataclass(frozen=True)
class SegmentRow:
    """Wall of one AHA segment at one phase; phases and segments count from 1, and None is an empty field.

    Attributes
    ----------
    n_slices
        Slices that the means are of.
    thickening_pct, motion_mm
        Since end-diastole; see :class:`~cinema_core.measure.WallMeasures`.
    reason
        Why there is no thickness.
    method
        How thickness was measured.
    """

    study_id: str
    phase: int
    time_ms: float | None
    segment: int
    segment_name: str
    n_slices: int
    thickness_mm: float | None
    thickening_pct: float | None
    motion_mm: float | None
    reason: str
    method: str


def measure_rows(result: StudyResult) -> list[MeasureRow]:
    """One row for every figure, known or not."""
    function = result.measures.function
    rows = []
    for value in result.values.values():
        verdict = value.verdict
        found = verdict.range if verdict else None
        rows.append(
            MeasureRow(
                study_id=result.study_id,
                measure=value.name,
                title=value.title,
                unit=value.unit,
                value=value.value,
                reason=value.reason,
                position=str(verdict.position or "") if verdict else "",
                z=verdict.z if verdict else None,
                lower=found.lower if found else None,
                upper=found.upper if found else None,
                no_verdict=str(verdict.reason or "") if verdict else "",
                range_of=found.description if found else "",
                convention=function.convention,
                method=function.method.description,
                body_surface_formula=function.bsa_formula.value,
                heart_rate_source=result.heart_rate_source,
                reference_table=result.measures.choices.table,
            )
        )
    return rows


def finding_rows(result: StudyResult) -> list[FindingRow]:
    """One row for every finding, red first; a green one if there is none."""
    if not result.findings:
        return [FindingRow(result.study_id, Light.GREEN.value, "", NOTHING_FOUND, None, None)]
    return [
        FindingRow(
            study_id=result.study_id,
            light=finding.light.value,
            flag=finding.flag.value,
            detail=finding.detail,
            phase=None if finding.t is None else finding.t + 1,
            slice=None if finding.z is None else finding.z + 1,
        )
        for finding in result.findings
    ]


def phase_rows(study_id: str, cine: Cine, function: VentricularFunction) -> list[PhaseRow]:
    """One row for every phase of which a volume is known."""
    curve = function.curve
    volumes = np.stack([curve.lv_ml, curve.rv_ml, curve.myo_ml], axis=1)  # (t, 3)
    return [
        PhaseRow(study_id, t + 1, _time_ms(cine, t), *(_known(value) for value in volumes[t]))
        for t in np.flatnonzero(np.isfinite(volumes).any(axis=1)).tolist()
    ]


def segment_rows(study_id: str, cine: Cine, wall: WallMeasures) -> list[SegmentRow]:
    """Seventeen rows for every phase that was measured."""
    return [
        SegmentRow(
            study_id=study_id,
            phase=t + 1,
            time_ms=_time_ms(cine, t),
            segment=s,
            segment_name=SEGMENT_NAMES[s - 1],
            n_slices=int(np.isfinite(wall.slice_mm[t, :, s - 1]).sum()),
            thickness_mm=_known(wall.thickness_mm[t, s - 1]),
            thickening_pct=_known(wall.thickening_pct[t, s - 1]),
            motion_mm=_known(wall.motion_mm[t, s - 1]),
            reason=wall.why_unknown(t, s),
            method=wall.description,
        )
        for t in wall.phases
        for s in range(1, N_SEGMENTS + 1)
    ]


def _time_ms(cine: Cine, t: int) -> float | None:
    return None if cine.timing.trigger_ms is None else float(cine.timing.trigger_ms[t])


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
