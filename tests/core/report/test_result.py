"""The result of a study: one number for every output, a reason where there is none."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from cinema_core.cine import Patient
from cinema_core.measure import ReportChoices, study_measures
from cinema_core.phantom import PhantomStudy
from cinema_core.report import (
    MeasureRow,
    Origin,
    StudyResult,
    measure_rows,
    report_row,
    result_provenance,
    write_report,
    write_rows,
)

ORIGIN = Origin(software_version="1.2.3", created_utc="2026-01-02T03:04:05+00:00")
PERSON = ReportChoices(sex="F", age_years=45, height_cm=170, weight_kg=65)


def result_of(phantom: PhantomStudy, choices: ReportChoices = PERSON) -> StudyResult:
    cine = replace(phantom.cine, patient=Patient())
    return StudyResult("study-1", cine, study_measures(phantom.labels, cine, choices=choices), ORIGIN)


def test_report_and_long_form_give_the_same_number(phantom_study: PhantomStudy, tmp_path: Path) -> None:
    result = result_of(phantom_study)
    write_report(tmp_path / "report.csv", [report_row(result)])
    write_rows(tmp_path / "measures.csv", MeasureRow, measure_rows(result))
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    with (tmp_path / "measures.csv").open(encoding="utf-8", newline="") as file:
        long = {line["measure"]: line["value"] for line in csv.DictReader(file)}
    shared = set(row) & set(long)
    assert {"lv_edv_ml", "rv_ef_pct", "lv_massi_g_m2", "bsa_m2"} <= shared
    assert {name: row[name] for name in shared} == {name: long[name] for name in shared}
    assert all(row[name] == result.values[name].text for name in shared)


def test_every_figure_has_a_value_or_a_reason(phantom_study: PhantomStudy) -> None:
    for choices in (PERSON, ReportChoices()):
        values = result_of(phantom_study, choices).values.values()
        assert all((value.value is None) == bool(value.reason) for value in values)


def test_without_height_and_weight_nothing_is_indexed(phantom_study: PhantomStudy) -> None:
    values = result_of(phantom_study, ReportChoices()).values
    assert values["lv_edvi_ml_m2"].reason == "height and weight are not known"
    assert values["lv_edv_height_ml_m"].reason == "height is not known"


def test_height_indexes_by_the_metre(phantom_study: PhantomStudy) -> None:
    result = result_of(phantom_study)
    assert result.measures.function.lv_edv_ml is not None
    assert result.value("lv_edv_height_ml_m") == pytest.approx(result.measures.function.lv_edv_ml / 1.70, abs=0.005)


def test_provenance_names_rules_and_reader(phantom_study: PhantomStudy) -> None:
    found = result_provenance(result_of(phantom_study))
    assert (found["method"], found["status"], found["reader"]) == (
        "summation of discs, distance between slice centres; area by counted pixels; end slices count in full",
        "draft",
        "",
    )
    assert not [text for text in ("170", "65.0", "45") if text in str(found["labels"]) + str(found["settings"])]
