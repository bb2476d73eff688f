"""A reading with a pretended engine, and a real viewer to look through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psygnal import Signal, SignalGroup
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from cinema_app.app import refuse_broken_qt
from cinema_app.key_choices import key_list
from cinema_app.news import Notice
from cinema_app.reading import Reading
from cinema_app.session import Session
from cinema_app.widgets.closing import CloseGuard
from cinema_app.widgets.workspace import Workspace
from cinema_core.cards import ModelCard, resolve_model
from cinema_core.engine.client import JobState
from cinema_core.engine.messages import ChangedSlice, FineTuneOutcome, SegmentOutcome
from cinema_core.errors import InputError
from cinema_core.io import ImportReport, Study
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom
from cinema_core.project import Project


def pytest_configure() -> None:
    """Say why, instead of aborting in the middle of a test."""
    try:
        refuse_broken_qt()
    except InputError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(autouse=True, scope="session")
def _own_napari_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # napari keeps window sizes in the user's settings; a test must neither read nor write those.
    before = os.environ.get("NAPARI_CONFIG")
    os.environ["NAPARI_CONFIG"] = str(tmp_path_factory.mktemp("napari") / "settings.yaml")
    yield
    if before is None:
        del os.environ["NAPARI_CONFIG"]
    else:
        os.environ["NAPARI_CONFIG"] = before


@pytest.fixture(autouse=True)
def _own_preferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep what a test sets in the plugin's preferences to itself; napari reads their place once."""
    from napari import settings

    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "napari" / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    key_list.cache_clear()
    yield
    key_list.cache_clear()
    settings._clear_plugin_settings_cache()


class PretendedJob:
    """A job whose end the test decides."""

    class Events(SignalGroup):
        progressed = Signal(float, str)
        learned = Signal(int, float)
        finished = Signal(object)
        failed = Signal(str)
        cancelled = Signal()

    def __init__(self, **request: Any) -> None:
        self.request = request
        self.events = self.Events()
        self.state = JobState.RUNNING
        self.paused = False
        self.steps: int | None = None
        self.engine_died = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def cancel(self) -> None:
        self.state = JobState.CANCELLED
        self.events.cancelled.emit()

    def finish(self, outcome: object) -> None:
        self.state = JobState.DONE
        self.events.finished.emit(outcome)

    def die(self) -> None:
        self.engine_died = True
        self.fail("The engine crashed while fine-tuning (SIGSEGV). Try again.")

    def fail(self, message: str) -> None:
        self.state = JobState.FAILED
        self.events.failed.emit(message)


class PretendedEngine:
    """Takes requests and computes nothing; the real one has its own tests."""

    def __init__(self) -> None:
        self.jobs: list[PretendedJob] = []
        self.closed = False

    def start(self) -> None:
        pass

    def segment(self, cine: Any, **request: Any) -> PretendedJob:
        self.jobs.append(PretendedJob(cine=cine, **request))
        return self.jobs[-1]

    def finetune(self, cases: Any, **request: Any) -> PretendedJob:
        self.jobs.append(PretendedJob(cases=cases, **request))
        return self.jobs[-1]

    def submit(self, request: Any) -> PretendedJob:
        self.jobs.append(PretendedJob(request=request))
        return self.jobs[-1]

    def close(self) -> None:
        self.closed = True


def study_of(phantom: PhantomStudy, name: str = "study-00000001") -> Study:
    return Study(name, Path(f"{name}.nii.gz"), (phantom.cine,), ImportReport((), ()))


@pytest.fixture
def study() -> Callable[..., Study]:
    """Wrap a phantom's cine as the study of a name."""
    return study_of


@pytest.fixture(scope="session")
def another_heart() -> PhantomStudy:
    return make_phantom(HeartParameters(n_slices=4, slice_step_mm=20.0, n_phases=4, lv_edv_ml=180.0), seed=3)


@pytest.fixture
def card() -> ModelCard:
    return resolve_model("bundled").card


@pytest.fixture
def engine() -> PretendedEngine:
    return PretendedEngine()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.open(tmp_path / "test.cinema", create=True, reader="Dr Reader") as project:
        yield project


@pytest.fixture
def reading(project: Project, engine: PretendedEngine, phantom_study: PhantomStudy) -> Reading:
    """Reading of the small phantom, nothing drawn yet."""
    reading = Reading(project, engine)  # type: ignore[arg-type]
    reading.show(study_of(phantom_study))
    return reading


@pytest.fixture
def notices(reading: Reading) -> Iterator[list[Notice]]:
    heard: list[Notice] = []

    def listen(notice: Notice) -> None:
        heard.append(notice)

    reading.events.noticed.connect(listen)
    yield heard


@pytest.fixture
def segmented(
    reading: Reading,
    engine: PretendedEngine,
    phantom_study: PhantomStudy,
    segmentation: Callable[[np.ndarray], Any],
) -> Reading:
    """The same reading after a segmentation that found the truth."""
    reading.segment()
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    return reading


@pytest.fixture
def segmentation(card: ModelCard) -> Callable[[np.ndarray], SegmentOutcome]:
    """Wrap labels as what the engine returns."""

    def make(labels: np.ndarray) -> SegmentOutcome:
        return SegmentOutcome(
            labels=labels,
            uncertainty=np.zeros(labels.shape[:2], np.float32),
            phases=tuple(range(len(labels))),
            card=card,
        )

    return make


def changed_slice(study_id: str, t: int, z: int) -> ChangedSlice:
    """A slice on which the old model drew too small an LV, and the new one as the reader."""
    y, x = np.indices((48, 48))
    radius = np.hypot(y - 24, x - 24)
    truth = np.select([radius < 10, radius < 16], [3, 2], 0).astype(np.uint8)
    before = np.select([radius < 6, radius < 16], [3, 2], 0).astype(np.uint8)
    return ChangedSlice(study_id, t, z, 0.7, 0.8, (truth == 3).astype(np.float32), truth, before, truth.copy())


@pytest.fixture
def fine_tuned(card: ModelCard) -> Callable[..., FineTuneOutcome]:
    """Make what the engine leaves after fine-tuning."""

    def make(
        folder: Path, study_id: str, scopes: tuple[str, ...] = ("this study only",), **figures: Any
    ) -> FineTuneOutcome:
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"weights")
        return FineTuneOutcome(
            folder=folder,
            card=card,
            before={"loss": 0.5, "dice": {"lv": 0.8, "myo": 0.7, "rv": 0.6, "mean": 0.7}} | figures.get("before", {}),
            after={"loss": 0.3, "dice": {"lv": 0.9, "myo": 0.8, "rv": 0.7, "mean": 0.8}} | figures.get("after", {}),
            validation="the labels it learned from",
            worse=not scopes,
            scopes=scopes,
            notes=() if "project" in scopes else ("One patient is labelled.",),
            seconds=12.0,
            steps=20,
            changed=(changed_slice(study_id, 0, 2), changed_slice("study-00000009", 3, 1)),
        )

    return make


@pytest.fixture
def mask(phantom_study: PhantomStudy) -> Callable[[], np.ndarray]:
    """A label that is not the truth: the LV cavity of slice (0, 2) with a bite taken out."""

    def make() -> np.ndarray:
        made = phantom_study.labels[0, 2].copy()
        rows, columns = np.nonzero(made == 3)
        made[rows[:40], columns[:40]] = 2
        return made

    return make


@pytest.fixture
def workspace(
    make_napari_viewer: Callable[..., Any], reading: Reading, project: Project, engine: PretendedEngine
) -> Iterator[Workspace]:
    """The panels in a real viewer, with the small phantom on show."""
    viewer = make_napari_viewer(show=True)
    made = _workspace_around(viewer, reading, project, engine)
    yield made
    made.close_session()


def _workspace_around(viewer: Any, reading: Reading, project: Project, engine: PretendedEngine) -> Workspace:
    session = Session(project, engine)  # type: ignore[arg-type]
    session.reading = reading
    workspace = Workspace(viewer, session, "CPU")
    viewer.window.add_dock_widget(workspace, name="CineMA", area="right")
    workspace.dock_views()
    CloseGuard.watch(viewer, workspace)
    return workspace


@pytest.fixture
def viewer(workspace: Workspace) -> Any:
    """The viewer around the workspace."""
    return workspace._viewer


class Hand:
    """A reader's hand on mouse and keyboard, over the canvas of a viewer."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self._viewer = viewer
        self._qtbot = qtbot

    @property
    def canvas(self) -> Any:
        return self._viewer.window._qt_viewer.canvas.native

    def point(self, y: float, x: float, spacing: tuple[float, float]) -> QPoint:
        """Canvas pixel of an image pixel. The transform is napari's own business: keep it in this one place."""
        scene = self._viewer.window._qt_viewer.canvas.view.scene
        px = scene.transform.map([x * spacing[1], y * spacing[0], 0, 1])
        return QPoint(round(px[0]), round(px[1]))

    def drag(self, start: QPoint, end: QPoint, steps: int = 8) -> None:
        QTest.mouseMove(self.canvas, start)
        self._qtbot.wait(20)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
        for k in range(1, steps + 1):
            QTest.mouseMove(self.canvas, start + (end - start) * k / steps)
            self._qtbot.wait(10)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
        self._qtbot.wait(20)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifier)
        self._qtbot.wait(10)


@pytest.fixture
def hand_at(qtbot: Any) -> Callable[[Any], Hand]:
    """Take a reader's hand to a viewer that the test made."""
    return lambda viewer: Hand(viewer, qtbot)


@pytest.fixture
def hand(viewer: Any, qtbot: Any) -> Hand:
    qtbot.waitUntil(lambda: viewer.window._qt_window.isVisible())
    qtbot.wait(100)
    return Hand(viewer, qtbot)
