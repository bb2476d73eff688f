"""The loop as a reader goes through it, twice and with two patients: a real window, a real mouse, a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import binary_erosion

from cinema_app.labelling import Slice
from cinema_app.layers import Tool
from cinema_app.news import Notice, Severity
from cinema_app.session import Session
from cinema_app.widgets.closing import CloseGuard
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState, Structure
from cinema_core.learn import Validation
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.phantom import PhantomStudy, write_phantom

FEW_STEPS = FineTuneSettings(steps=2, batch_size=1, device="cpu")
"""What is tested is the way of the labels and models through the loop, not how much is learned on it."""

WAIT_MS = 600_000
"""As long as a machine may take that trains something else meanwhile."""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session.open(tmp_path / "loop.cinema", reader="Dr Reader") as session:
        yield session


class Reader:
    """A reader at a window: everything by mouse or key, and nothing of what the window tells is missed."""

    def __init__(self, workspace: Workspace, hand: Any, qtbot: Any) -> None:
        self.workspace = workspace
        self.reading = workspace.reading
        self._hand = hand
        self._qtbot = qtbot
        self.notices: list[Notice] = []
        self.reading.events.noticed.connect(self._hear)

    def _hear(self, notice: Notice) -> None:
        self.notices.append(notice)

    def click(self, button: Any, tab: str) -> None:
        """Press a button on a tab, as a reader can: it is there, and not grey."""
        self.workspace.show_tab(tab)
        self._qtbot.waitUntil(lambda: button.isVisible() and button.height() >= 10)
        assert button.isEnabled(), button.toolTip()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def press(self, key: Qt.Key) -> None:
        self._hand.press(key)

    def wait_for_the_engine(self) -> None:
        self._qtbot.waitUntil(lambda: not self.reading.work.busy, timeout=WAIT_MS)
        assert not [notice.text for notice in self.notices if notice.severity is Severity.ERROR]

    def segment(self) -> None:
        self.click(self.workspace.segment.segment, "Read")
        self.wait_for_the_engine()

    def correct(self, where: Slice) -> None:
        """Go to a slice by the map, and paint across the heart with the brush: muscle where there is a cavity."""
        self.workspace.show_tab("Read")
        state_map = self.workspace.review.map
        self._qtbot.waitUntil(state_map.isVisible)
        there = state_map.centre_of(*where)
        QTest.mouseClick(state_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, there)
        assert self.workspace.layers.here == where
        cavity = self.reading.labels[where] == Structure.LV_CAVITY
        heart = cavity if cavity.any() else (self.reading.labels[where[0]] > 0).any(axis=0)
        self.click(self.workspace.review._tools[Tool.MYO if cavity.any() else Tool.LV], "Read")
        rows, columns = np.nonzero(heart)
        y, x = rows.mean(), columns.mean()
        spacing = self.reading.cine.geometry.pixel_spacing_mm
        self._hand.drag(self._hand.point(y, x - 6, spacing), self._hand.point(y, x + 6, spacing))

    def fine_tune(self) -> None:
        self.click(self.workspace.train.finetune, "Fine-tune")
        work, learning = self.reading.work, self.reading.learning
        self._qtbot.waitUntil(lambda: work.busy or learning.trial is not None, timeout=WAIT_MS)
        self.wait_for_the_engine()
        assert self.reading.learning.trial is not None

    def choose(self, model: str) -> None:
        """Click a model's row in the lineage."""
        self.workspace.show_tab("Fine-tune")
        tree = self.workspace.versions.tree
        QApplication.processEvents()
        (item,) = tree.findItems(model, Qt.MatchFlag.MatchStartsWith | Qt.MatchFlag.MatchRecursive, 0)
        tree.scrollToItem(item)
        place: QPoint = tree.visualItemRect(item).center()
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        assert self.workspace.versions.chosen == model

    def lineage(self) -> list[tuple[str, int, int | None, bool]]:
        """Name, depth, labelled slices that it learned from, whether it is in use; as the window has it."""
        return [(line.name, line.depth, line.n_slices, line.in_use) for line in self.workspace.versions._lines.values()]


@pytest.fixture
def reader(
    make_napari_viewer: Any, session: Session, phantom_study: PhantomStudy, tmp_path: Path, qtbot: Any, hand_at: Any
) -> Iterator[Reader]:
    """Sits down at a window in which the small synthetic heart was opened."""
    viewer = make_napari_viewer(show=True)
    workspace = Workspace(viewer, session, "CPU", FEW_STEPS)
    viewer.window.add_dock_widget(workspace, name="CineMA", area="right")
    CloseGuard.watch(viewer, workspace)
    workspace.open(write_phantom(tmp_path / "study", phantom_study))
    qtbot.waitUntil(lambda: not workspace.is_opening and session.reading.is_open, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: viewer.window._qt_window.isVisible())
    qtbot.wait(100)
    yield Reader(workspace, hand_at(viewer), qtbot)
    workspace.close_session()


@pytest.mark.timeout(1800)
def test_two_rounds_of_correcting_learning_keeping_and_a_roll_back(reader: Reader, session: Session) -> None:
    reading, workspace, project = reader.reading, reader.workspace, session.project
    trial = workspace.train.trial
    reader.segment()
    assert reader.lineage() == [("bundled", 0, None, True)]
    drawn = reading.labels.copy()

    # --- first round: the slice with most of the ejection fraction at stake
    reader.press(Qt.Key.Key_N)
    first = workspace.layers.here
    queue = reading.queues.to_review()
    assert first == (queue[0].t, queue[0].z)
    assert queue[0].reason in workspace.review.why.text()
    reader.correct(first)
    assert reading.slices_in(LabelState.CORRECTED) == [first]
    corrected = reading.labels[first].copy()
    assert (corrected != drawn[first]).any()

    reader.fine_tune()
    assert reading.model == "bundled"  # nothing is in use before the reader decides
    assert not trial.keep.isEnabled()  # one patient: for this study only
    assert "One patient is labelled" in trial._why.text()
    assert trial.tiles.tiles
    journal = project.journal_position()
    reader.click(trial.would_change, "Fine-tune")
    reader.wait_for_the_engine()
    assert "if v001 drew all but your 1 corrected or accepted slice anew" in reader.notices[-1].text
    assert project.journal_position() == journal
    reader.click(trial.keep_here, "Fine-tune")
    assert reading.model == "v001"
    assert project.current_model() == "bundled"
    assert reader.lineage() == [("bundled", 0, None, False), ("v001", 1, 1, True)]

    # --- second round: a slice that teaches, found by button and by key
    reader.segment()
    assert np.array_equal(reading.labels[first], corrected)  # the reader's word stands
    reader.click(workspace.review.next_to_teach, "Read")
    taught = workspace.layers.here
    assert "to teach" in workspace.review.why.text()
    assert reading.state(*taught) is LabelState.PREDICTED
    reader.press(Qt.Key.Key_N)
    assert "to check" in workspace.review.why.text()
    reader.correct(taught)
    assert set(reading.slices_in(LabelState.CORRECTED)) == {first, taught}

    reader.fine_tune()
    assert trial._in_use.text().startswith("In use now: v001, mean Dice ")
    reader.click(trial.keep_here, "Fine-tune")
    assert reading.model == "v002"
    # Both versions come from the base, never one from the other.
    assert reader.lineage() == [("bundled", 0, None, False), ("v001", 1, 1, False), ("v002", 1, 2, True)]
    one, two = (version for version in project.versions() if version.name in ("v001", "v002"))
    assert one.model_sha256 != two.model_sha256
    assert one.label_set_sha256 != two.label_set_sha256

    # --- roll back
    reader.choose("v001")
    reader.click(workspace.versions.compare, "Fine-tune")
    reader.wait_for_the_engine()
    assert "if v001 drew all but your 2 corrected or accepted slices anew" in reader.notices[-1].text
    reader.click(workspace.versions.use, "Fine-tune")
    assert reading.model == "v001"
    assert project.current_model() == "bundled"  # it was offered for this study only
    assert [line[0] for line in reader.lineage() if line[3]] == ["v001"]
    assert (project.models_folder / "v002" / "weights.safetensors").is_file()  # there to come back to
    reader.segment()
    assert set(reading.slices_in(LabelState.CORRECTED)) == {first, taught}
    assert np.array_equal(reading.labels[first], corrected)
    assert one.model_sha256 in reading.models_of_slices()
    assert two.model_sha256 not in reading.models_of_slices()


HELD_OUT_STEPS = FineTuneSettings(steps=4, fold_min_steps=4, batch_size=2, device="cpu")
"""The fewest with which patients are held out, so that a model may be offered for all."""


@pytest.mark.timeout(1800)
def test_two_patients_teach_a_model_for_all(
    make_napari_viewer: Any,
    session: Session,
    phantom_study: PhantomStudy,
    another_heart: PhantomStudy,
    tmp_path: Path,
    qtbot: Any,
    hand_at: Any,
) -> None:
    viewer = make_napari_viewer(show=True)
    workspace = Workspace(viewer, session, "CPU", HELD_OUT_STEPS)
    viewer.window.add_dock_widget(workspace, name="CineMA", area="right")
    reader, reading, project = Reader(workspace, hand_at(viewer), qtbot), session.reading, session.project

    def open_study(folder: Path) -> str:
        workspace.open(folder)
        qtbot.waitUntil(lambda: not workspace.is_opening and reading.is_open, timeout=WAIT_MS)
        return reading.study_id

    folders = [write_phantom(tmp_path / str(k), phantom) for k, phantom in enumerate((phantom_study, another_heart))]
    ids = []
    for folder, phantom in zip(folders, (phantom_study, another_heart), strict=True):
        ids.append(open_study(folder))
        for z in (1, 2):
            reading.correct(0, z, drawn_narrowly(phantom.labels[0, z]))
    first, second = ids
    assert sorted(project.ledger().values()) == [0, 1]  # patients of two folds: each is held out once

    reader.fine_tune()
    trial = reading.learning.trial
    assert trial is not None
    assert trial.outcome.validation == Validation.HELD_OUT
    assert trial.study_id == second and set(trial.teaching.study_ids) == {first, second}
    assert "It may be kept for all studies" in workspace.train.trial._why.text()
    reader.click(workspace.train.trial.keep, "Fine-tune")
    assert reading.model == "v001"
    assert {project.current_model(), project.current_model(first), project.current_model(second)} == {"v001"}

    # The other study, to which the reader goes back, is drawn by it.
    assert open_study(folders[0]) == first
    assert reading.model == "v001"
    reader.segment()
    (version,) = project.versions()
    assert reading.models_of_slices().count(version.model_sha256) > len(reading.slices_in(LabelState.CORRECTED))
    assert set(reading.slices_in(LabelState.CORRECTED)) == {(0, 1), (0, 2)}
    workspace.close_session()


def drawn_narrowly(truth: np.ndarray) -> np.ndarray:
    """Label of a reader who draws the LV's cavity narrower than the base does, so that there is something to learn."""
    cavity = truth == Structure.LV_CAVITY
    return np.where(cavity & ~binary_erosion(cavity, iterations=3), Structure.LV_MYOCARDIUM, truth).astype(np.uint8)
