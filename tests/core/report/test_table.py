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
from cinema_core.measure import ventricular_function
from cinema_core.phantom import PhantomStudy
from cinema_core.report import REPORT_COLUMNS, ReportRow, provenance, report_row, write_report

COLUMNS = """study_id, view, reader, status, convention, n_slices, n_phases, slice_step_mm, ed_phase, es_phase,
rv_ed_phase, rv_es_phase, lv_edv_ml, lv_esv_ml, lv_sv_ml, lv_ef_pct, lv_mass_g, rv_edv_ml, rv_esv_ml, rv_sv_ml,
rv_ef_pct, heart_rate_bpm, cardiac_output_l_min, bsa_m2, lv_edvi_ml_m2, lv_esvi_ml_m2, lv_svi_ml_m2, lv_massi_g_m2,
rv_edvi_ml_m2, rv_esvi_ml_m2, rv_svi_ml_m2, cardiac_index_l_min_m2, corrected_slices, accepted_slices, flags, model,
model_sha256, software_version, created_utc"""


@pytest.fixture
def row(phantom_study: PhantomStudy) -> ReportRow:
    cine = replace(phantom_study.cine, patient=Patient())
    function = ventricular_function(phantom_study.labels, cine)
    return report_row(
        "study-0a1b2c3d",
        cine,
        function,
        card=ModelCard(name="reader-1", sha256="f" * 64),
        corrected_slices=3,
        software_version="1.2.3",
        created_utc="2026-01-02T03:04:05+00:00",
    )


def written(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        (found,) = csv.DictReader(file)
    return found


def test_columns_are_the_agreed_ones() -> None:
    assert list(REPORT_COLUMNS) == [name.strip() for name in COLUMNS.replace("\n", " ").split(",")]


def test_what_is_not_known_is_empty(row: ReportRow, tmp_path: Path) -> None:
    write_report(tmp_path / "report.csv", [row])
    found = written(tmp_path / "report.csv")
    assert found["bsa_m2"] == found["lv_edvi_ml_m2"] == found["reader"] == ""
    assert float(found["lv_ef_pct"]) > 0


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
    with pytest.raises(StorageError, match=r"report\.csv: No space left on device.*free some space"):
        write_report(path, [row])
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.csv"]


def test_provenance_knows_input_and_model_by_their_content(phantom_study: PhantomStudy) -> None:
    cine, card = phantom_study.cine, ModelCard(name="reader-1", sha256="f" * 64)
    found = provenance(
        "study-1", cine, card=card, settings={"phases": "all"}, software_version="1", created_utc="2026-01-02"
    )
    assert found["cine"]["content_sha256"] == cine.content_sha256
    assert found["model"]["sha256"] == card.sha256
