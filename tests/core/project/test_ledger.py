"""The split ledger of a project: the fold that a patient is held out with, from the first label on and for ever."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
from filelock import FileLock

from cinema_core.anatomy import LabelState
from cinema_core.project import Project, SliceEdit
from cinema_core.project.database import APPLICATION_ID

MakeEdit = Callable[..., SliceEdit]


def test_newcomers_are_dealt_evenly(project: Project) -> None:
    folds = [project.assign_fold(f"p{number}") for number in range(11)]
    assert folds[:3] == [0, 1, 2]
    assert sorted(Counter(folds).values()) == [3, 4, 4]


def test_a_fold_is_the_same_forever(project: Project, edit: MakeEdit) -> None:
    assert project.fold_of("study-1") is None
    project.record(edit())
    for number in range(20):
        project.assign_fold(f"p{number}")
        project.record(edit(z=number % 3))
    before = project.ledger()
    project.close()
    with Project.open(project.folder) as again:
        assert list(again.ledger().items()) == list(before.items())
        assert {name: again.assign_fold(name) for name in reversed(before)} == before
        assert next(iter(before.items())) == ("study-1", 0)


def test_a_prediction_decides_no_fold(project: Project, edit: MakeEdit) -> None:
    project.record(edit(state=LabelState.PREDICTED, tool="model"))
    assert project.ledger() == {}


def test_studies_of_one_patient_share_their_fold(project: Project, tmp_path: Path) -> None:
    project.assign_fold("first")
    for study_id in ("study-2", "study-3"):
        project.add_study(study_id, study_id, tmp_path / study_id, "sax", (4, 3, 6, 5), "sax", patient="p0")
        assert project.assign_fold(study_id) == 1
    assert project.fold_of("study-3") == project.fold_of("p0") == 1
    assert list(project.ledger()) == ["first", "p0"]


@pytest.fixture
def of_format_5(tmp_path: Path) -> Path:
    """A project as format 5 left it, with four patients in its ledger."""
    folder = tmp_path / "old.cinema"
    folder.mkdir()
    scripts = ("schema.sql", "landmarks.sql", "imports.sql", "uncertainty.sql", "versions.sql")
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows, rows:
        for script in scripts:
            rows.executescript(files("cinema_core.project").joinpath(script).read_text(encoding="utf-8"))
        for patient, split in (("z", "training"), ("a", "validation"), ("m", "training"), ("b", "training")):
            rows.execute("INSERT INTO split_ledger VALUES (?, ?, '')", (patient, split))
        rows.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        rows.execute("PRAGMA user_version = 5")
    return folder


def test_an_older_ledger_keeps_its_order(of_format_5: Path) -> None:
    with Project.open(of_format_5) as project:
        assert list(project.ledger().items()) == [("z", 0), ("a", 1), ("m", 2), ("b", 0)]
        assert project.assign_fold("new") == 1


def test_an_older_project_that_is_only_read_has_the_same_folds(of_format_5: Path) -> None:
    with FileLock(of_format_5 / "project.lock"), Project.open(of_format_5) as onlooker:
        assert onlooker.read_only
        assert list(onlooker.ledger().items()) == [("z", 0), ("a", 1), ("m", 2), ("b", 0)]
        assert onlooker.fold_of("m") == 2
