"""Tables by phase and by segment."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cinema_core.cine import Timing
from cinema_core.measure import ventricular_function, wall_measures
from cinema_core.phantom import PhantomStudy
from cinema_core.report import PhaseRow, SegmentRow, phase_rows, segment_rows, write_rows


def test_a_row_per_phase_with_its_time_and_volumes(phantom_study: PhantomStudy) -> None:
    function = ventricular_function(phantom_study.labels, phantom_study.cine)
    rows = phase_rows("study-1", phantom_study.cine, function)
    assert [row.phase for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.time_ms for row in rows] == pytest.approx(phantom_study.cine.timing.trigger_ms)
    assert [row.lv_ml for row in rows] == pytest.approx(function.curve.lv_ml)
    assert [row.lv_myocardium_ml for row in rows] == pytest.approx(function.curve.myo_ml)


def test_phases_that_were_not_measured_have_no_row(phantom_study: PhantomStudy) -> None:
    cine = replace(phantom_study.cine, timing=Timing())
    rows = phase_rows("study-1", cine, ventricular_function(phantom_study.labels, cine, phases=[0, 2]))
    assert [(row.phase, row.time_ms) for row in rows] == [(1, None), (3, None)]


def test_a_row_per_segment_with_the_reason_where_there_is_no_thickness(phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    wall = wall_measures(labels, phantom_study.cine, 0, phases=[0, 2])
    rows = segment_rows("study-1", phantom_study.cine, wall)
    assert [(row.phase, row.segment) for row in rows] == [(t, s) for t in (1, 3) for s in range(1, 18)]
    assert [row.thickness_mm for row in rows[:16]] == pytest.approx(wall.thickness_mm[0, :16])
    assert all(row.reason == "" and row.n_slices for row in rows[:16])
    assert {row.method for row in rows} == {wall.method}
    assert (rows[16].thickness_mm, rows[16].n_slices) == (None, 0)
    assert rows[16].reason == "short-axis slices do not cut across the cap of the apex"

    basal = [z for z, level in enumerate(wall.levels) if level == "basal"]
    labels[2, basal] = 0
    lost = segment_rows("study-1", phantom_study.cine, wall_measures(labels, phantom_study.cine, 0, phases=[0, 2]))
    assert {row.reason for row in lost[17:23]} == {"no cavity"}


def test_what_is_written_comes_back(phantom_study: PhantomStudy, tmp_path: Path) -> None:
    cine = phantom_study.cine
    function = ventricular_function(phantom_study.labels, cine)
    wall = wall_measures(phantom_study.labels, cine, 0)
    write_rows(tmp_path / "p.csv", PhaseRow, phase_rows("study-1", cine, function))
    write_rows(tmp_path / "s.csv", SegmentRow, segment_rows("study-1", cine, wall))
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [float(row["thickness_mm"]) if row["thickness_mm"] else np.nan for row in rows]
    np.testing.assert_allclose(found, wall.thickness_mm.ravel(), atol=0.0051)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["lv_ml"] == f"{function.curve.lv_ml[0]:.2f}"


def test_a_table_without_rows_has_its_heading(tmp_path: Path) -> None:
    write_rows(tmp_path / "s.csv", SegmentRow, [])
    assert (tmp_path / "s.csv").read_text(encoding="utf-8").startswith("study_id,phase,time_ms,segment,segment_name,")
