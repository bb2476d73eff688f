"""Which studies lay at a place that is gone, and what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cinema_app.moved_images import remember_place, studies_at, was_a_file
from cinema_core.errors import ProjectError
from cinema_core.io import Study
from cinema_core.phantom import PhantomStudy
from cinema_core.project import Project

SHAPE = (4, 3, 6, 5)


def test_one_study_is_asked_for_at_a_time(project: Project, tmp_path: Path) -> None:
    gone = tmp_path / "1.2.840" / "scans"
    for study_id in ("study-1", "study-1.lax_4c", "study-2"):
        project.add_study(study_id, study_id, gone, "sax", SHAPE, "sax")
    project.add_study("study-3", "c", tmp_path / "elsewhere", "sax", SHAPE, "sax")
    assert [record.study_id for record in studies_at(project, gone)] == ["study-1", "study-1.lax_4c"]
    assert [record.study_id for record in studies_at(project, gone, "study-2")] == ["study-2"]
    assert studies_at(project, gone, "study-3") == []
    assert studies_at(project, tmp_path / "never") == []
    gone.mkdir(parents=True)
    assert studies_at(project, gone) == []


def test_every_cine_must_be_there_with_its_content(
    project: Project, tmp_path: Path, phantom_study: PhantomStudy, study: Callable[..., Study]
) -> None:
    cine = phantom_study.cine
    gone = tmp_path / "gone"
    project.add_study("study-1", cine.content_sha256, gone, cine.id, cine.shape, cine.view)
    project.add_study("study-1.lax_4c", "other", gone, "lax_4c", SHAPE, "lax_4c")
    found = study(phantom_study, "study-1")
    with pytest.raises(ProjectError, match=r"labels of study-1\.lax_4c were drawn on: none of the 1 cines"):
        remember_place(project, project.studies(), found)
    assert {record.image_path for record in project.studies()} == {gone}
    remember_place(project, project.studies()[:1], found)
    assert project.study("study-1").image_path == found.path.absolute()


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("cine.nii.gz", True), ("scan.IMA", True), ("DICOMDIR", True), ("1.2.840.113", False), ("a", False)],
)
def test_a_folder_with_dots_is_no_file(name: str, is_file: bool) -> None:
    assert was_a_file(Path(name)) is is_file
