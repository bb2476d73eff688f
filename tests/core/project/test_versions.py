"""Model versions: called something, given up, and kept where something rests on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cinema_core.anatomy import LabelState
from cinema_core.errors import ProjectError
from cinema_core.project import Project, SliceEdit, VersionRecord

MakeEdit = Callable[..., SliceEdit]
SHA256 = "e" * 64


@pytest.fixture
def version(project: Project) -> str:
    project.add_version(VersionRecord("v1", SHA256, "bundled"))
    return "v1"


def test_the_newest_title_counts_and_the_name_stays(project: Project, version: str) -> None:
    project.name_version(version, "first try")
    project.name_version(version, "  after ten slices ")
    (found,) = project.versions()
    assert (found.name, found.title) == ("v1", "after ten slices")


def test_a_title_too_long_is_refused(project: Project, version: str) -> None:
    with pytest.raises(ProjectError, match="61 characters"):
        project.name_version(version, "x" * 61)
    assert project.versions()[0].title == ""


def test_a_version_that_nothing_rests_on_is_removed_and_its_name_stays_taken(project: Project, version: str) -> None:
    assert project.what_rests_on(version) == ""
    project.remove_version(version)
    assert project.versions(removed=False) == []
    assert [found.removed for found in project.versions()] == [True]
    with pytest.raises(ProjectError, match="removed before"):
        project.remove_version(version)
    with pytest.raises(ProjectError, match="already"):
        project.add_version(VersionRecord("v1", "f" * 64, "bundled"))


def test_the_version_in_use_stays(project: Project, version: str) -> None:
    project.set_current_model(version, scope="study-1")
    with pytest.raises(ProjectError, match="v1 is in use"):
        project.remove_version(version)
    project.set_current_model("bundled", scope="study-1")
    project.remove_version(version)


def test_a_version_whose_labels_count_stays(project: Project, version: str, edit: MakeEdit) -> None:
    project.record(edit(state=LabelState.PREDICTED, tool="model", model_sha256=SHA256))
    with pytest.raises(ProjectError, match="1 slices of this project were drawn by v1"):
        project.remove_version(version)
    project.record(edit(state=LabelState.PREDICTED, tool="model", model_sha256="a" * 64))
    project.remove_version(version)


def test_a_version_that_a_report_may_cite_stays(project: Project, version: str, edit: MakeEdit) -> None:
    project.log_event("exported", {"format": "csv"})  # before it drew anything
    project.record(edit(state=LabelState.PREDICTED, tool="model", model_sha256=SHA256))
    project.log_event("exported", {"format": "csv"})
    project.record(edit(state=LabelState.PREDICTED, tool="model", model_sha256="a" * 64))
    with pytest.raises(ProjectError, match="may cite it"):
        project.remove_version(version)
    assert [found.removed for found in project.versions()] == [False]


def test_the_studies_of_a_version_are_those_that_its_recipe_names(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    project.add_version(VersionRecord("v2", SHA256, "bundled", journal_position=1, recipe={"studies": ("study-9",)}))
    assert project.studies_of_version("v2") == ("study-9",)


def test_where_no_recipe_names_them_they_are_those_that_had_labels_when_it_was_taught(
    project: Project, folder: Path, edit: MakeEdit
) -> None:
    for study_id in ("study-2", "study-3"):
        image = folder.parent / f"{study_id}.nii.gz"
        project.add_study(study_id, study_id[-1] * 64, image, "sax", project.study("study-1").shape, "sax")
    project.record(edit(state=LabelState.ACCEPTED))
    project.record(edit(study_id="study-2", state=LabelState.PREDICTED))
    then = project.journal_position()
    project.record(edit(study_id="study-3"))
    project.add_version(VersionRecord("v2", SHA256, "bundled", journal_position=then))
    assert project.studies_of_version("v2") == ("study-1",)


@pytest.mark.parametrize("call", ["remove_version", "what_rests_on", "studies_of_version"])
def test_a_version_that_is_not_there_is_named(call: str, project: Project) -> None:
    with pytest.raises(ProjectError, match="no model version v9"):
        getattr(project, call)("v9")


@pytest.mark.parametrize(
    "change", ["UPDATE version_title SET title = 'x'", "DELETE FROM version_title", "DELETE FROM version_removed"]
)
def test_what_was_decided_is_append_only(change: str, folder: Path, project: Project, version: str) -> None:
    project.name_version(version, "a")
    project.remove_version(version)
    project.close()
    connection = sqlite3.connect(folder / "project.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()
