"""The report: columns as agreed, empty where nothing is known, whole or not there."""

from __future__ import annotations

import csv
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cinema_core.cards import ModelCard
from cinema_core.cine import Patient
from cinema_core.errors import StorageError
from cinema_core.measure import AreaRule, EndSliceRule, ReportChoices, study_measures, ventricular_function
from cinema_core.phantom import PhantomStudy
from cinema_core.report import REPORT_COLUMNS, Origin, ReportRow, StudyResult, report_row, write_report

COLUMNS = """study_id, view, reader, status, convention, n_slices, n_phases, slice_step_mm, ed_phase, es_phase,
rv_ed_phase, rv_es_phase, lv_edv_ml, lv_esv_ml, lv_sv_ml, lv_ef_pct, lv_mass_g, rv_edv_ml, rv_esv_ml, rv_sv_ml,
rv_ef_pct, heart_rate_bpm, cardiac_output_l_min, bsa_m2, lv_edvi_ml_m2, lv_esvi_ml_m2, lv_svi_ml_m2, lv_massi_g_m2,
rv_edvi_ml_m2, rv_esvi_ml_m2, rv_svi_ml_m2, cardiac_index_l_min_m2, corrected_slices, accepted_slices, flags, model,
model_sha256, software_version, created_utc"""


@pytest.fixture
def row(phantom_study: PhantomStudy) -> ReportRow:
    cine = replace(phantom_study.cine, patient=Patient())
    origin = Origin(
        card=ModelCard(name="reader-1", sha256="f" * 64),
        corrected_slices=3,
        software_version="1.2.3",
        created_utc="2026-01-02T03:04:05+00:00",
    )
    return report_row(StudyResult("study-0a1b2c3d", cine, study_measures(phantom_study.labels, cine), origin))


def written(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        (found,) = csv.DictReader(file)
    return found


def test_columns_are_the_agreed_ones() -> None:
    assert list(REPORT_COLUMNS) == [name.strip() for name in COLUMNS.replace("\n", " ").split(",")]


def test_rules_that_are_not_the_usual_ones_are_told(phantom_study: PhantomStudy, row: ReportRow) -> None:
    choices = ReportChoices(areas=AreaRule.CONTOURS, ends=EndSliceRule.HALF)
    measures = study_measures(phantom_study.labels, phantom_study.cine, choices=choices)
    other = report_row(StudyResult("study-0a1b2c3d", phantom_study.cine, measures, Origin("1", "2026-01-02")))
    assert other.lv_edv_ml != row.lv_edv_ml
    assert other.convention == f"{row.convention}; {choices.method.description}"


def test_what_is_not_known_is_empty(row: ReportRow, tmp_path: Path) -> None:
    write_report(tmp_path / "report.csv", [row])
    found = written(tmp_path / "report.csv")
    assert found["bsa_m2"] == found["lv_edvi_ml_m2"] == found["reader"] == ""
    assert float(found["lv_ef_pct"]) > 0


@pytest.mark.parametrize(
    ("value", "text"), [(58.456, "58.46"), (60.0, "60.00"), (-0.001, "0.00"), (-12.5, "-12.50"), (float("nan"), "")]
)
def test_figures_have_two_decimals(row: ReportRow, tmp_path: Path, value: float, text: str) -> None:
    write_report(tmp_path / "report.csv", [replace(row, lv_ef_pct=value)])
    assert written(tmp_path / "report.csv")["lv_ef_pct"] == text


def test_stroke_volume_and_ejection_fraction_follow_from_the_table(row: ReportRow, tmp_path: Path) -> None:
    write_report(tmp_path / "report.csv", [row])
    found = written(tmp_path / "report.csv")
    edv, esv, sv, ef = (float(found[name]) for name in ("lv_edv_ml", "lv_esv_ml", "lv_sv_ml", "lv_ef_pct"))
    assert (edv - esv, 100 * (edv - esv) / edv) == (pytest.approx(sv, abs=0.02), pytest.approx(ef, abs=0.02))


def test_words_with_commas_quotes_and_umlauts_come_back(row: ReportRow, tmp_path: Path) -> None:
    reader = 'Dr. "Müller", Köln'
    write_report(tmp_path / "report.csv", [replace(row, reader=reader)])
    assert written(tmp_path / "report.csv")["reader"] == reader


def test_every_row_is_one_line(row: ReportRow, tmp_path: Path) -> None:
    write_report(tmp_path / "report.csv", [row, replace(row, study_id="study-2")])
    lines = (tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["study_id", "study-0a1b2c3d", "study-2"]


def test_flags_are_words_in_one_field(phantom_study: PhantomStudy, row: ReportRow) -> None:
    assert row.flags == "; ".join(study_measures(phantom_study.labels, phantom_study.cine).flags)
    assert "ED and ES chosen among fewer than 10 phases" in row.flags


def test_phases_count_from_one(row: ReportRow, phantom_study: PhantomStudy) -> None:
    function = ventricular_function(phantom_study.labels, phantom_study.cine)
    assert function.ed_phase is not None
    assert row.ed_phase == function.ed_phase + 1


def test_nobody_has_approved_unless_said(row: ReportRow) -> None:
    assert row.status == "draft"


def test_the_model_is_named_with_its_hash(row: ReportRow) -> None:
    assert (row.model, row.model_sha256, row.corrected_slices) == ("reader-1", "f" * 64, 3)


def test_a_full_disk_keeps_the_old_report(row: ReportRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.csv"
    path.write_text("old", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"report\.csv: No space left on device.*Make room"):
        write_report(path, [row])
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.csv"]


def test_a_rename_that_fails_leaves_nothing_behind(
    row: ReportRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_use(*_paths: Path) -> None:
        raise PermissionError(errno.EACCES, "The file is open in another program")

    monkeypatch.setattr(os, "replace", in_use)
    with pytest.raises(StorageError, match="open in another program"):
        write_report(tmp_path / "report.csv", [row])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["no such folder/report.csv", "a file/report.csv"])
def test_a_place_that_holds_no_files_is_said(row: ReportRow, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="choose another place"):
        write_report(tmp_path / place, [row])
