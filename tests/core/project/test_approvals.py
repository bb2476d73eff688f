"""Approval: by name, for what is drawn, and no longer once that changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from cinema_core.anatomy import LabelState
from cinema_core.errors import ProjectError
from cinema_core.measure import ReportChoices
from cinema_core.project import PhaseChoice, Project, SliceEdit
from cinema_core.report import Approval, Status
from cinema_core.report.from_project import approval_state

MakeEdit = Callable[..., SliceEdit]

ED, ES = 0, 2
CHOICE = PhaseChoice(ED, ES, ED, ES)


@pytest.fixture
def approved(project: Project, edit: MakeEdit) -> Project:
    project.record_many(edit(t, z) for t in range(4) for z in range(3))
    project.approve("study-1", CHOICE)
    return project


def state(project: Project, choice: PhaseChoice = CHOICE) -> Approval:
    return approval_state(project.approval("study-1"), choice.all_phases)


def test_nothing_is_approved_by_itself(project: Project) -> None:
    assert project.approval("study-1") is None
    assert state(project).status is Status.DRAFT


def test_a_named_reader_approves(approved: Project) -> None:
    found = state(approved)
    assert (found.status, found.reader, found.reason) == (Status.APPROVED, "Dr Reader", "")
    assert found.utc.endswith("Z")


def test_a_reader_without_a_name_cannot(project: Project) -> None:
    project.reader = ""
    with pytest.raises(ProjectError, match="named reader"):
        project.approve("study-1", CHOICE)
    assert project.approval("study-1") is None


def test_an_edit_of_ed_makes_it_a_draft_and_says_where(approved: Project, edit: MakeEdit) -> None:
    approved.reader = "Dr Other"
    approved.record(edit(ED, 1, value=3))
    found = state(approved)
    assert (found.status, found.reader) == (Status.DRAFT, "")
    assert "Dr Reader approved on" in found.reason
    assert "slice 2 of phase 1 was edited by Dr Other. Approve again." in found.reason


def test_an_edit_that_is_undone_is_none(approved: Project, edit: MakeEdit) -> None:
    approved.record_step("study-1", [edit(ED, 1, value=3)])
    approved.undo("study-1")
    assert state(approved).status is Status.APPROVED


def test_a_slice_that_nobody_vouches_for_any_more_makes_it_a_draft(project: Project, edit: MakeEdit) -> None:
    project.record_many(edit(t, z, state=LabelState.ACCEPTED) for t in (ED, ES) for z in range(3))
    project.approve("study-1", CHOICE)
    project.record(edit(ES, 0, state=LabelState.PREDICTED, tool="undo"))
    assert "slice 1 of phase 3 was edited" in state(project).reason
    project.record(edit(ES, 0, state=LabelState.ACCEPTED, tool="accept"))
    assert state(project).status is Status.APPROVED


def test_an_edit_of_another_phase_changes_nothing_that_was_approved(approved: Project, edit: MakeEdit) -> None:
    approved.record(edit(3, 1, value=3))
    assert state(approved).status is Status.APPROVED


def test_other_phases_are_not_what_was_approved(approved: Project) -> None:
    found = state(approved, PhaseChoice(ED, 1, ED, 1))
    assert found.status is Status.DRAFT
    assert "other phases are ED or ES" in found.reason


def test_another_weight_is_another_report(approved: Project) -> None:
    approved.set_report_choices("study-1", ReportChoices(height_cm=170, weight_kg=70))
    assert "the person's data or the rules were changed" in state(approved).reason
    approved.approve("study-1", CHOICE)
    assert state(approved).status is Status.APPROVED


def test_several_edits_are_counted(approved: Project, edit: MakeEdit) -> None:
    approved.record_many(edit(ES, z, value=3) for z in range(3))
    assert "3 slices were edited, last slice 3 of phase 3" in state(approved).reason


def test_choices_come_back_and_are_written_once(project: Project, folder: Path) -> None:
    choices = ReportChoices(sex="F", age_years=50, table="SCMR2025")
    for _ in range(2):
        project.set_report_choices("study-1", choices)
    project.close()
    with Project.open(folder) as again:
        assert again.report_choices("study-1") == choices
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        assert rows.execute("SELECT count(*) FROM report_choices").fetchone()[0] == 1


@pytest.mark.parametrize("statement", ["UPDATE approval SET reader = 'x'", "DELETE FROM approval"])
def test_an_approval_cannot_be_changed(approved: Project, folder: Path, statement: str) -> None:
    approved.close()
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            rows.execute(statement)


def as_format_6(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        rows.executescript(
            "DROP TABLE moved_points; DROP TABLE edit_step; DROP TABLE insertion_points; DROP TABLE approval; "
            "DROP TABLE report_choices; ALTER TABLE slice_uncertainty DROP COLUMN disagreement; "
            "ALTER TABLE slice_uncertainty DROP COLUMN lv_spread_px; "
            "ALTER TABLE slice_uncertainty DROP COLUMN rv_spread_px; PRAGMA user_version = 6;"
        )


def test_a_project_of_format_6_is_brought_up(project: Project, folder: Path, edit: MakeEdit) -> None:
    project.record_many(edit(t, z) for t in range(4) for z in range(3))
    project.close()
    as_format_6(folder)
    with Project.open(folder, reader="Dr Reader") as again:
        assert state(again).status is Status.DRAFT
        again.approve("study-1", CHOICE)
        assert state(again).status is Status.APPROVED
        assert len(again.slices("study-1")) == 12


def test_a_project_of_format_6_that_is_only_read_has_no_approval(project: Project, folder: Path) -> None:
    project.close()
    as_format_6(folder)
    with FileLock(folder / "project.lock"), Project.open(folder) as onlooker:
        assert onlooker.read_only
        assert onlooker.approval("study-1") is None
        assert onlooker.report_choices("study-1") == ReportChoices()
