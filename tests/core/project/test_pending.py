"""What is kept of a fine-tuning under way: whole or not at all, and told when it cannot be read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cinema_core.errors import ProjectError, StorageError
from cinema_core.project import (
    PendingRun,
    PendingStudy,
    Project,
    SliceEdit,
    label_set_sha256,
    training_frames,
    training_slices,
)
from cinema_core.project.pending import FORMAT, PENDING

MakeEdit = Callable[..., SliceEdit]


@pytest.fixture
def run() -> PendingRun:
    return PendingRun(
        started_utc="2026-11-30T07:12:00+00:00",
        base="bundled",
        settings={"steps": None, "seed": 3},
        open_study_id="study-1",
        studies=(PendingStudy(study_id="study-1", n_slices=2, phases={0: "ed", 3: "es"}),),
        ledger={"study-1": 0},
        label_set_sha256="a" * 64,
        journal_position=2,
    )


def test_it_comes_back_as_it_was_in_the_next_opening(project: Project, run: PendingRun) -> None:
    project.set_pending_run(run)
    project.close()
    with Project.open(project.folder) as again:
        assert again.pending_run() == run
        again.clear_pending_run()
        assert again.pending_run() is None
        again.clear_pending_run()  # there is nothing to do


def test_a_full_disk_leaves_the_earlier_one(project: Project, run: PendingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    project.set_pending_run(run)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="The record of the fine-tuning could not be written"):
            project.set_pending_run(run.model_copy(update={"base": "other"}))
    assert project.pending_run() == run
    assert not list(project.folder.glob(f".{PENDING}.*"))


def test_what_a_kill_in_the_middle_of_writing_left_is_cleared(project: Project, run: PendingRun) -> None:
    project.set_pending_run(run)
    (project.folder / f".{PENDING}.0a1b2c3d").write_bytes(b'{"form')
    project.close()
    with Project.open(project.folder) as again:
        assert again.pending_run() == run
        assert not list(project.folder.glob(f".{PENDING}.*"))


def test_an_onlooker_changes_nothing(project: Project, run: PendingRun) -> None:
    project.set_pending_run(run)
    with Project.open(project.folder) as second:
        second.clear_pending_run()
        with pytest.raises(ProjectError, match="Read only"):
            second.set_pending_run(run)
    assert project.pending_run() == run


@pytest.mark.parametrize("data", [b"", b'{"format": 1, "ba', b"\xff\xfe\x00", b"[]", b"{}", b'{"format": 1}'])
def test_one_that_is_damaged_is_said_to_be(project: Project, data: bytes) -> None:
    (project.folder / PENDING).write_bytes(data)
    with pytest.raises(ProjectError, match=r"cannot be read: it is .*damaged"):
        project.pending_run()


def test_one_of_a_newer_program_asks_for_an_update(project: Project, run: PendingRun) -> None:
    newer = run.model_dump(mode="json") | {"format": FORMAT + 1, "what_we_do_not_know": 1}
    (project.folder / PENDING).write_text(json.dumps(newer), encoding="utf-8")
    with pytest.raises(ProjectError, match=r"newer napari-cinema.*Update"):
        project.pending_run()


def test_labels_of_an_earlier_position_are_those_of_then(project: Project, edit: MakeEdit, tmp_path: Path) -> None:
    project.record_many([edit(z=1), edit(t=2, z=0)])
    then, before = project.journal_position(), label_set_sha256(training_slices(project))
    project.record_many([edit(z=1, value=3), edit(z=2)])
    project.add_study("study-2", "b" * 64, tmp_path / "b", "sax", (4, 3, 6, 5), "sax")
    project.record(edit(study_id="study-2"))
    rows = training_slices(project, at=then)
    assert label_set_sha256(rows) == before
    assert label_set_sha256(training_slices(project)) != before
    assert [(frame.t, frame.slices, frame.labels[1].max()) for frame in training_frames(project, rows)] == [
        (0, (1,), 1),
        (2, (0,), 255),
    ]
    assert [row.study_id for row in training_slices(project, studies=["study-2"])] == ["study-2"]
