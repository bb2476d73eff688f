"""Landmarks in a project: append-only, the newest of a phase counts, and older projects get the table."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from cinema_core.cine import View
from cinema_core.errors import LabelError, PhaseError
from cinema_core.project import LandmarkSet, Project, Source

POINTS = np.array([[10.0, 20.5], [10.0, 40.25], [60.0, 30.0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "heart.cinema"
    with Project.open(path, create=True, reader="Dr Reader") as project:
        project.add_study("study-1", "c" * 64, tmp_path / "cine.nii.gz", "lax_4c", (3, 1, 80, 90), View.LAX_4C)
    return path


def test_the_newest_of_a_phase_counts(folder: Path) -> None:
    with Project.open(folder) as project:
        project.set_landmarks("study-1", [LandmarkSet(t, POINTS + t, Source.MODEL, "ab" * 32) for t in range(3)])
        project.set_landmarks("study-1", [LandmarkSet(1, POINTS - 1, Source.READER, "ab" * 32)])
    with Project.open(folder) as project:
        found = project.landmarks("study-1")
        assert [found[t].source for t in range(3)] == [Source.MODEL, Source.READER, Source.MODEL]
        np.testing.assert_allclose(found[1].points_yx, POINTS - 1)
        np.testing.assert_allclose(project.landmarks("study-1", Source.MODEL)[1].points_yx, POINTS + 1)
        assert project.landmarks("another") == {}


@pytest.mark.parametrize(
    ("t", "points", "error", "message"),
    [
        (3, POINTS, PhaseError, "Phase 4 was given landmarks, but the study has 3 phases"),
        (0, POINTS[:2], LabelError, "has no three landmarks"),
        (0, POINTS * np.nan, LabelError, "has no three landmarks"),
    ],
)
def test_all_or_none_are_kept(t: int, points: np.ndarray, error: type[Exception], message: str, folder: Path) -> None:
    with Project.open(folder) as project:
        with pytest.raises(error, match=message):
            project.set_landmarks(
                "study-1", [LandmarkSet(1, POINTS, Source.MODEL), LandmarkSet(t, points, Source.MODEL)]
            )
        assert project.landmarks("study-1") == {}


@pytest.mark.parametrize("change", ["UPDATE landmarks SET t = 2", "DELETE FROM landmarks"])
def test_landmarks_are_append_only(change: str, folder: Path) -> None:
    with Project.open(folder) as project:
        project.set_landmarks("study-1", [LandmarkSet(0, POINTS, Source.MODEL)])
    with sqlite3.connect(folder / "project.sqlite") as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(change)
    connection.close()


def as_format_1(folder: Path) -> None:
    """Take away what later formats added, and bring back what they dropped."""
    connection = sqlite3.connect(folder / "project.sqlite")
    connection.executescript(
        "DROP TABLE moved_points; DROP TABLE edit_step; DROP TABLE insertion_points; "
        "DROP TABLE landmarks; DROP TABLE import_choices; DROP TABLE slice_uncertainty; DROP TABLE version_title; "
        "DROP TABLE version_removed; DROP TABLE split_fold; DROP TABLE approval; DROP TABLE report_choices; "
        "PRAGMA user_version = 1;"
        "CREATE TABLE split_ledger (patient TEXT PRIMARY KEY, split TEXT NOT NULL, utc TEXT NOT NULL) STRICT;"
    )
    connection.close()


def test_a_project_of_format_1_is_brought_up(folder: Path) -> None:
    as_format_1(folder)
    with Project.open(folder) as project:
        project.set_landmarks("study-1", [LandmarkSet(0, POINTS, Source.READER)])
        assert len(project.landmarks("study-1")) == 1
        assert [study.study_id for study in project.studies()] == ["study-1"]


def test_a_project_of_format_1_that_is_only_read_has_none(folder: Path) -> None:
    with Project.open(folder):
        as_format_1(folder)
        with Project.open(folder) as onlooker:
            assert onlooker.read_only
            assert onlooker.landmarks("study-1") == {}
