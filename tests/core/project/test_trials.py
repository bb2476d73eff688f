"""Models that wait for a decision: none is listed, none is lost once it was kept, whatever was killed in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cinema_core.cards import ModelCard, list_models, resolve_model, write_model_folder
from cinema_core.errors import ProjectError, StorageError
from cinema_core.project import Project, VersionRecord


def try_out(project: Project, name: str = "v001") -> VersionRecord:
    card = ModelCard(name=name, sha256="", kind="project")
    written = write_model_folder(project.trials_folder / name, b"weights", "{}", card)
    return VersionRecord(name, written.sha256, "bundled")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_trial_is_in_no_list(project: Project) -> None:
    try_out(project)
    assert "v001" not in [card.name for card in list_models(project.models_folder)]
    assert project.versions() == []


def test_a_kept_trial_is_a_version_like_any_other(project: Project) -> None:
    record = try_out(project)
    project.keep_trial(record)
    assert resolve_model("v001", project_models=project.models_folder).card.sha256 == record.model_sha256
    assert [version.name for version in project.versions()] == ["v001"]
    assert names(project.trials_folder) == []


def test_a_trial_that_nobody_decided_on_is_gone_when_the_project_is_opened_again(project: Project) -> None:
    try_out(project)
    (project.trials_folder / ".v002.0a1b2c3d.partial").mkdir()
    (project.trials_folder / ".v002.0a1b2c3d.partial" / "weights.safetensors").write_bytes(b"half")
    project.close()
    with Project.open(project.folder) as again:
        assert names(again.models_folder) == []


def test_a_kill_between_record_and_move_loses_no_kept_model(project: Project) -> None:
    project.add_version(try_out(project))  # the first half of keeping it
    project.close()
    with Project.open(project.folder) as again:
        assert names(again.models_folder) == ["v001"]
        assert (again.models_folder / "v001" / "weights.safetensors").read_bytes() == b"weights"


def test_a_kill_between_giving_up_a_version_and_its_files_leaves_none(project: Project) -> None:
    project.keep_trial(try_out(project))
    project.remove_version("v001")
    project.close()
    with Project.open(project.folder) as again:
        assert names(again.models_folder) == []


def test_keeping_is_repeated_after_a_full_disk(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record = try_out(project)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="v001 could not be put in its place"):
            project.keep_trial(record)
    project.keep_trial(record)
    assert names(project.models_folder) == [".trials", "v001"]
    assert len(project.versions()) == 1


def test_a_trial_without_files_is_not_kept(project: Project) -> None:
    with pytest.raises(ProjectError, match="files of model v001 are gone"):
        project.keep_trial(VersionRecord("v001", "a" * 64, "bundled"))
    assert project.versions() == []


def test_an_onlooker_leaves_the_trials_of_the_other_window(project: Project) -> None:
    try_out(project)
    with Project.open(project.folder) as second:
        second.clear_trials()
    assert names(project.trials_folder) == ["v001"]
