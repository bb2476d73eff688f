"""Insertion points of the RV that a reader set: kept by slice, taken back, and part of what is approved."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
from filelock import FileLock

from cinema_core.errors import LabelError, ProjectError
from cinema_core.measure import Insertions
from cinema_core.project import InsertionEdit, PhaseChoice, Project, SliceEdit, study_snapshot
from cinema_core.report import Status
from cinema_core.report.from_project import approval_state

MakeEdit = Callable[..., SliceEdit]

FIRST = Insertions((1.25, 2.5), (4.0, 3.0))
SECOND = Insertions((0.5, 2.0), (4.5, 3.5))
CHOICE = PhaseChoice(0, 2, 0, 2)


def set_points(project: Project, z: int, points: Insertions | None) -> None:
    project.record_step("study-1", [], insertions=InsertionEdit(z, points))


def test_the_newest_of_each_slice_counts_and_survives_a_restart(project: Project, folder: Path) -> None:
    set_points(project, 1, FIRST)
    set_points(project, 2, FIRST)
    set_points(project, 1, SECOND)
    set_points(project, 2, None)
    project.close()
    with Project.open(folder) as again:
        assert again.insertions("study-1") == {1: SECOND}
        assert study_snapshot(again, "study-1").insertions == {1: SECOND}


def test_undo_takes_them_back_in_the_order_of_all_edits(project: Project, edit: MakeEdit) -> None:
    set_points(project, 1, FIRST)
    project.record_step("study-1", [edit()])
    set_points(project, 1, SECOND)
    undone = project.undo("study-1")
    assert undone is not None and undone.insertions == InsertionEdit(1, FIRST) and undone.labels == ()
    labels = project.undo("study-1")
    assert labels is not None and labels.insertions is None and len(labels.labels) == 1
    project.undo("study-1")
    assert project.insertions("study-1") == {}
    project.redo("study-1")
    assert project.insertions("study-1") == {1: FIRST}
    project.redo("study-1")
    project.redo("study-1")
    assert project.insertions("study-1") == {1: SECOND}
    assert project.redo("study-1") is None


@pytest.mark.parametrize("points", [Insertions((-2.0, 1.0), (1.0, 1.0)), Insertions((1.0, 1.0), (1.0, 5.0))])
def test_a_point_beside_the_image_is_refused(project: Project, points: Insertions) -> None:
    with pytest.raises(LabelError, match="outside of the image; it was not saved"):
        set_points(project, 1, points)
    with pytest.raises(LabelError, match="has 3 slices"):
        set_points(project, 3, FIRST)
    assert project.insertions("study-1") == {}
    assert project.open_steps("study-1") == (0, 0)


def test_points_that_are_moved_make_an_approved_report_a_draft(project: Project, edit: MakeEdit) -> None:
    set_points(project, 1, FIRST)
    project.record_many(edit(t, z) for t in range(4) for z in range(3))
    project.approve("study-1", CHOICE)
    set_points(project, 1, SECOND)
    found = approval_state(project.approval("study-1"), CHOICE.all_phases)
    assert found.status is Status.DRAFT and "insertion points of the RV were moved. Approve again." in found.reason
    project.undo("study-1")
    assert approval_state(project.approval("study-1"), CHOICE.all_phases).status is Status.APPROVED


@pytest.mark.parametrize("statement", ["UPDATE insertion_points SET z = 0", "DELETE FROM insertion_points"])
def test_what_was_set_cannot_be_changed(project: Project, folder: Path, statement: str) -> None:
    set_points(project, 1, FIRST)
    project.close()
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            rows.execute(statement)


def as_format_8(folder: Path) -> None:
    steps = files("cinema_core.project").joinpath("steps.sql").read_text(encoding="utf-8")
    kept = "step_id, study_id, action, first_row, last_row, choice_id"
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        rows.executescript(
            f"CREATE TABLE was AS SELECT {kept} FROM edit_step; DROP TABLE edit_step; {steps}"
            f"INSERT INTO edit_step SELECT {kept} FROM was; DROP TABLE was; DROP TABLE insertion_points; "
            "ALTER TABLE approval DROP COLUMN insertion_position; DROP TABLE moved_points; "
            "ALTER TABLE slice_uncertainty DROP COLUMN disagreement; "
            "ALTER TABLE slice_uncertainty DROP COLUMN lv_spread_px; "
            "ALTER TABLE slice_uncertainty DROP COLUMN rv_spread_px; PRAGMA user_version = 8;"
        )


def test_a_project_of_format_8_keeps_its_steps_and_approval(project: Project, folder: Path, edit: MakeEdit) -> None:
    project.record_many(edit(t, z) for t in range(4) for z in range(3))
    project.record_step("study-1", [edit(1, 1, value=3)], CHOICE)
    project.record_step("study-1", [edit(1, 2, value=3)])
    project.undo("study-1")
    project.approve("study-1", CHOICE)
    project.close()
    as_format_8(folder)
    with FileLock(folder / "project.lock"), Project.open(folder) as onlooker:
        assert onlooker.read_only
        assert onlooker.insertions("study-1") == {}
        assert onlooker.open_steps("study-1") == (1, 1)
        record = onlooker.approval("study-1")
        assert record is not None and not record.insertions_changed
        with pytest.raises(ProjectError, match="Nothing was saved"):
            set_points(onlooker, 1, FIRST)
    with Project.open(folder, reader="Dr Reader") as again:
        assert again.open_steps("study-1") == (1, 1)
        assert approval_state(again.approval("study-1"), CHOICE.all_phases).status is Status.APPROVED
        set_points(again, 1, FIRST)
        assert again.insertions("study-1") == {1: FIRST}
        again.undo("study-1")
        again.undo("study-1")
        assert again.slices("study-1")[1, 1].mask.max() == 1
        assert again.open_steps("study-1") == (0, 2)


@pytest.mark.parametrize("text", ["[[1, 2]]", "[[1, 2], [3]]", "[[1, 2], 3]", "{", '[["a", 2], [3, 4]]'])
def test_a_damaged_row_is_named(project: Project, folder: Path, text: str) -> None:
    set_points(project, 1, FIRST)
    project.close()
    path = folder / "project.sqlite"
    kept = b"[[1.25, 2.5], [4.0, 3.0]]"
    content = path.read_bytes()
    assert kept in content
    path.write_bytes(content.replace(kept, text.encode().ljust(len(kept))))  # SQLite keeps no checksum
    with Project.open(folder) as again:
        with pytest.raises(ProjectError, match=r"Row 1 of the table insertion_points .* is damaged.*backup"):
            again.insertions("study-1")
