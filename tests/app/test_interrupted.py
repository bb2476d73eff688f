"""A fine-tuning that the end of the program cut off, and its offer in the next window."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel

from cinema_app.interrupted import LabelsDifferError
from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_app.session import Session
from cinema_app.widgets.closing import CloseGuard
from cinema_app.widgets.workspace import Workspace
from cinema_core.engine.client import JobState
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project

SETTINGS = FineTuneSettings(budget_s=60, seed=7)


@pytest.fixture
def study_folder(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "study", phantom_study)


@pytest.fixture
def learning(
    project: Project, engine: Any, study_folder: Path, phantom_study: PhantomStudy, segmentation: Any
) -> Reading:
    """Reading of a study that lies on the disk, in the middle of a fine-tuning; ED and ES are the model's proposal."""
    reading = Reading(project, engine)
    reading.open(study_folder)
    reading.segment()
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert reading.phases is not None
    reading.accept([(reading.phases.ed_phase, 2), (reading.phases.es_phase, 2), (reading.phases.es_phase, 3)])
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    reading.learning.finetune(teaching, SETTINGS)
    return reading


@pytest.fixture
def next_window(project: Project) -> Iterator[Callable[[], Reading]]:
    """Kill the window, as far as its project goes, and make a reading for the next one."""
    opened: list[Project] = []

    def make(engine: Any) -> Reading:
        project.close()
        opened.append(Project.open(project.folder, reader="Dr Reader"))
        return Reading(opened[-1], engine)

    yield make
    for made in opened:
        made.close()


def change_record(project: Project, **changes: Any) -> None:
    record = project.pending_run()
    assert record is not None
    project.set_pending_run(record.model_copy(update=changes))


@pytest.mark.parametrize("steps", [None, 40])
@pytest.mark.parametrize("study_is_open", [False, True])
def test_the_next_window_starts_the_same_run_again(
    learning: Reading,
    engine: Any,
    next_window: Callable[..., Reading],
    study_folder: Path,
    steps: int | None,
    study_is_open: bool,
) -> None:
    job = engine.jobs[-1]
    job.steps = steps
    job.events.progressed.emit(0.3, "Learning from your labels")
    learning.correct(0, 1, np.full(learning.cine.shape[2:], 3, np.uint8))  # no part of the run
    learning.accept_phases()
    again = next_window(engine)
    if study_is_open:
        again.open(study_folder)
    assert again.learning.interrupted is not None
    assert (again.learning.interrupted.n_slices, again.learning.interrupted.steps) == (3, steps)
    teaching = again.learning.interrupted_collector()()
    teaching.load()
    again.learning.repeat_interrupted(teaching)

    asked, then = engine.jobs[-1].request, job.request
    assert engine.jobs[-1] is not job
    assert asked["settings"] == SETTINGS.model_copy(update={"steps": steps})
    for same in ("base", "out", "name", "project_models", "ledger"):
        assert asked[same] == then[same]
    assert len(asked["cases"]) == len(then["cases"]) == 2
    for one, other in zip(asked["cases"], then["cases"], strict=True):
        for same in ("case_id", "study_id", "patient", "phase", "heart_yx", "phase_index"):
            assert getattr(one, same) == getattr(other, same)
        assert {one.phase} <= {"ed", "es"}
        assert np.array_equal(one.image, other.image) and np.array_equal(one.labels, other.labels)
        assert one.geometry.pixel_spacing_mm == other.geometry.pixel_spacing_mm
    assert again.learning.interrupted is None
    record = again.project.pending_run()
    assert record is not None and record.settings["steps"] == steps  # a kill now is survived as well


def test_it_is_offered_until_it_is_put_away(
    learning: Reading, engine: Any, next_window: Callable[..., Reading]
) -> None:
    again = next_window(engine)
    again.learning.forget_interrupted()
    assert again.learning.interrupted is None
    assert Reading(again.project, engine).learning.interrupted is None


def end_well(job: Any, make: Callable[..., Any], reading: Reading) -> None:
    job.finish(make(job.request["out"] / job.request["name"], reading.study_id))


@pytest.mark.parametrize(
    ("end", "is_kept"),
    [
        (end_well, True),
        (lambda job, *_: job.cancel(), False),
        (lambda job, *_: job.fail("No space left on the disk."), False),
        (lambda job, *_: job.die(), True),
    ],
    ids=["undecided", "cancelled", "refused", "engine died"],
)
def test_only_what_did_not_end_is_kept(
    learning: Reading, engine: Any, fine_tuned: Any, project: Project, end: Any, is_kept: bool
) -> None:
    assert project.pending_run() is not None
    end(engine.jobs[-1], fine_tuned, learning)
    assert (project.pending_run() is not None) == is_kept


def test_what_was_decided_is_not_offered_again(
    learning: Reading, engine: Any, fine_tuned: Any, project: Project
) -> None:
    end_well(engine.jobs[-1], fine_tuned, learning)
    learning.learning.discard_trial()
    assert project.pending_run() is None


def test_a_model_that_the_reader_closed_undecided_is_not_offered_again(
    learning: Reading, engine: Any, fine_tuned: Any, next_window: Callable[..., Reading], project: Project
) -> None:
    end_well(engine.jobs[-1], fine_tuned, learning)
    session = Session(project, engine)
    session.reading = learning
    session.close()
    assert next_window(engine).learning.interrupted is None


def test_a_model_that_waited_when_the_program_was_killed_is_offered_again(
    learning: Reading, engine: Any, fine_tuned: Any, next_window: Callable[..., Reading]
) -> None:
    end_well(engine.jobs[-1], fine_tuned, learning)
    interrupted = next_window(engine).learning.interrupted
    assert interrupted is not None
    assert interrupted.n_slices == 3


def test_closing_the_window_in_the_middle_keeps_it_for_the_next(
    learning: Reading, engine: Any, next_window: Callable[..., Reading], project: Project
) -> None:
    session = Session(project, engine)
    session.reading = learning
    assert learning.learning.is_offered_again
    session.close()
    again = next_window(engine)
    (trial := again.project.trials_folder / "v001").mkdir(parents=True)  # of what the next window does
    engine.jobs[-1].cancel()  # as the engine ends its work, whose news comes late
    assert again.project.pending_run() is not None
    assert trial.is_dir()


def test_a_window_that_only_looks_offers_nothing(learning: Reading, engine: Any, project: Project) -> None:
    with Project.open(project.folder) as second:
        assert second.read_only
        assert Reading(second, engine).learning.interrupted is None
    assert project.pending_run() is not None


def test_a_full_disk_does_not_stop_the_run_and_is_said(
    learning: Reading, engine: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.jobs[-1].die()
    heard: list[Notice] = []
    learning.events.noticed.connect(heard.append)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        learning.learning.repeat_interrupted()
    assert learning.work.busy
    assert heard[-1].severity is Severity.WARNING
    assert "cannot be offered again" in heard[-1].text and "Make room" in heard[-1].text
    assert project.pending_run() is None  # nor is the earlier run, which this is not
    assert not learning.learning.is_offered_again


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"journal_position": 10**6}, "the journal ends before them, so this is an older copy"),
        ({"journal_position": 1}, "has 0 labelled slices instead of 3"),
        ({"label_set_sha256": "0" * 64}, "the same slices are drawn otherwise"),
    ],
)
def test_other_labels_than_then_are_not_learned_from(
    learning: Reading, engine: Any, next_window: Callable[..., Reading], changes: dict[str, Any], words: str
) -> None:
    change_record(learning.project, **changes)
    again = next_window(engine)
    with pytest.raises(LabelsDifferError, match=words):
        again.learning.interrupted_collector()()


def test_a_study_whose_images_are_gone_is_not_left_out_in_silence(
    learning: Reading, engine: Any, next_window: Callable[..., Reading], study_folder: Path
) -> None:
    n_jobs = len(engine.jobs)
    again = next_window(engine)
    teaching = again.learning.interrupted_collector()()
    teaching.load()
    teaching.left_out.append("study-00000002 was left out: it is gone.")
    with pytest.raises(Exception, match="was not started: study-00000002 was left out"):
        again.learning.repeat_interrupted(teaching)
    assert len(engine.jobs) == n_jobs
    assert again.learning.interrupted is not None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[:40], "cannot be read"),
        (lambda text: json.dumps(json.loads(text) | {"format": 99}), "Update napari-cinema"),
        (
            lambda text: json.dumps(json.loads(text) | {"settings": {"magic": 1}, "software_version": "9.9"}),
            "napari-cinema 9.9, whose settings this program does not know",
        ),
    ],
    ids=["cut off", "newer", "other settings"],
)
def test_a_record_that_cannot_be_used_is_a_clear_line(
    learning: Reading, engine: Any, next_window: Callable[..., Reading], spoil: Callable[[str], str], words: str
) -> None:
    path = learning.project.folder / "fine-tuning.json"
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    again = next_window(engine)
    assert again.learning.interrupted is not None
    assert words in again.learning.interrupted.trouble
    again.learning.forget_interrupted()
    assert not path.exists()


# ------------------------------------------------------------------ in the window


@pytest.fixture
def window(make_napari_viewer: Any, engine: Any) -> Iterator[Callable[[Reading], Workspace]]:
    made: list[Workspace] = []

    def make(reading: Reading) -> Workspace:
        session = Session(reading.project, engine)
        session.reading = reading
        viewer = make_napari_viewer(show=True)
        workspace = Workspace(viewer, session, "CPU")
        viewer.window.add_dock_widget(workspace, name="CineMA", area="right")
        CloseGuard.watch(viewer, workspace)
        made.append(workspace)
        workspace.show_tab("Fine-tune")
        QApplication.processEvents()
        return workspace

    yield make
    for workspace in made:
        workspace.close_session()


def words_in(panel: Any) -> str:
    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


def press(button: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: button.isVisible() and button.height() >= 10)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_panel_offers_it_and_runs_it_to_a_decision_before_any_study_is_open(
    learning: Reading,
    engine: Any,
    next_window: Callable[..., Reading],
    window: Callable[[Reading], Workspace],
    fine_tuned: Any,
    qtbot: Any,
) -> None:
    study_id, n_jobs = learning.study_id, len(engine.jobs)
    engine.jobs[-1].steps = 40
    engine.jobs[-1].events.progressed.emit(0.3, "Learning from your labels")
    workspace = window(next_window(engine))
    shown = words_in(workspace.train)
    assert "was interrupted: the program ended" in shown
    assert "the same 3 slices and the same seed and number of steps (40)" in shown
    workspace.window().resizeDocks([workspace.parent()], [workspace.minimumWidth()], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: workspace.width() < workspace.minimumWidth() + 20)
    words = next(label for label in workspace.train.findChildren(QLabel) if "was interrupted" in label.text())
    qtbot.waitUntil(lambda: words.geometry().bottom() < workspace.train.again.geometry().top())  # all lines in sight
    assert words.height() >= words.heightForWidth(words.width())
    assert workspace.tabs.height() >= workspace.tabs.heightForWidth(workspace.tabs.width())
    press(workspace.train.again, qtbot)
    qtbot.waitUntil(lambda: len(engine.jobs) > n_jobs)
    assert not workspace.train.again.isVisible()
    job = engine.jobs[-1]
    job.finish(fine_tuned(job.request["out"] / job.request["name"], study_id))
    assert workspace.train.trial.isVisible()
    assert not workspace.train.trial.keep_here.isEnabled()
    assert "Open that study to keep it" in workspace.train.trial.keep_here.toolTip()
    workspace.reading.learning.discard_trial()
    assert workspace.reading.project.pending_run() is None


def test_where_the_labels_differ_the_panel_offers_those_of_today(
    learning: Reading,
    engine: Any,
    next_window: Callable[..., Reading],
    window: Callable[[Reading], Workspace],
    study_folder: Path,
    qtbot: Any,
) -> None:
    change_record(learning.project, label_set_sha256="0" * 64)
    n_jobs = len(engine.jobs)
    workspace = window(next_window(engine))
    workspace.reading.open(study_folder)
    press(workspace.train.again, qtbot)
    qtbot.waitUntil(lambda: workspace.train.again.text() == "Start with today's labels")
    assert "the same slices are drawn otherwise" in words_in(workspace.train)
    press(workspace.train.again, qtbot)
    qtbot.waitUntil(lambda: len(engine.jobs) > n_jobs)
    assert engine.jobs[-1].request["settings"] == FineTuneSettings()
    assert not workspace.train.again.isVisible()
    engine.jobs[-1].cancel()


def test_closing_a_window_that_learns_says_that_it_is_offered_again(
    learning: Reading, engine: Any, window: Callable[[Reading], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.jobs[-1].state = JobState.RUNNING
    workspace = window(learning)
    asked: list[str] = []
    monkeypatch.setattr(CloseGuard, "give_up", lambda _, lost: asked.append(lost) or False)
    main = workspace._viewer.window._qt_window
    main.close()
    assert main.isVisible()
    assert "closing stops it. It is offered again when the project is opened the next time." in asked[0]
