"""The whole loop on a synthetic study: open, segment, correct, fine-tune, keep, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import emit_queued

from cinema_app.labelling import Slice
from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_app.sample_data import synthetic_heart
from cinema_app.session import Session
from cinema_core.errors import Cancelled, EngineError
from cinema_core.io.nifti import read_labels
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.measure import ventricular_function

if TYPE_CHECKING:
    from cinema_app.app import Desktop

POLL_S = 0.01
HALFWAY = 0.5
Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves."""

    report: Path
    model_folder: Path
    pictures: tuple[Path, ...]
    lv_ef_pct: float | None
    true_lv_ef_pct: float | None
    """Of the synthetic heart itself, which a patient does not tell."""


class Stage(Protocol):
    """Where the demo plays: a window, or nowhere to be seen."""

    reading: Reading

    def open(self, path: Path) -> None:
        """Open the study and return when it is shown."""

    def wait(self, done: Callable[[], bool]) -> None:
        """Return when something is done."""

    def picture(self, path: Path, where: Slice, words: str, panel: str) -> None:
        """Save what the reader would see."""


def play(stage: Stage, folder: Path, budget_s: float, say: Say) -> DemoResult:
    """Play the loop; each step says what it does and leaves a picture.

    Raises
    ------
    EngineError
        If a step fails.
    """
    reading = stage.reading
    trouble, progress = _Trouble(reading), _Progress(reading)
    pictures: list[Path] = []

    def picture(name: str, where: Slice, words: str, panel: str = "Read") -> None:
        pictures.append(folder / f"{len(pictures) + 1}-{name}.png")
        stage.picture(pictures[-1], where, words, panel)

    def work(start: Callable[[], object]) -> None:
        start()
        stage.wait(lambda: not reading.work.busy)
        trouble.raise_if_any()

    say("Opening a synthetic study")
    study_folder = folder / "study"
    stage.open(synthetic_heart(study_folder))
    truth = read_labels(study_folder / "truth" / "labels.nii.gz", reading.cine)
    middle = (0, reading.cine.n_slices // 2)
    picture("open", middle, "Opened")

    say("Segmenting every phase with the bundled model")
    work(reading.segment)
    picture("segment", middle, "Segmented")

    worst = _worst_slices(reading, truth)
    say(f"Correcting {len(worst)} slices")
    for t, z in worst:  # the same slices at ED and ES: so the ejection fraction can be compared as well
        if not reading.correct(t, z, truth[t, z]):
            reading.accept([(t, z)])
    reading.measure()
    shown = _most_to_see(worst, truth)
    picture("correct", shown, "Corrected")

    say(f"Fine-tuning on them for at most {budget_s:.0f} s")
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    reading.learning.finetune(teaching, FineTuneSettings(budget_s=budget_s))
    stage.wait(lambda: progress.fraction > HALFWAY or not reading.work.busy)
    picture("teach", shown, "Fine-tuning", "Fine-tune")
    work(lambda: None)
    trial = reading.learning.trial
    assert trial is not None
    before, after = trial.outcome.before["dice"]["mean"], trial.outcome.after["dice"]["mean"]
    picture("before-after", shown, "Fine-tuned", "Fine-tune")
    say(f"Mean Dice on {trial.outcome.validation}: {before:.3f} before, {after:.3f} after; kept for this study")
    reading.learning.keep_trial(this_study_only=True)

    say("Segmenting again with the new model")
    work(reading.segment)
    reading.accept_phases()
    picture("segment-again", middle, "Segmented with the new model")

    report = folder / "report.csv"
    reading.report.export_csv(report)
    picture("export", middle, "Exported", "Export")
    found, true = reading.measures, ventricular_function(truth, reading.cine)
    version = reading.project.models_folder / trial.name
    return DemoResult(report, version, tuple(pictures), found.lv_ef_pct if found else None, true.lv_ef_pct)


class _Trouble:
    """Remembers the first error that the reading told of."""

    def __init__(self, reading: Reading) -> None:
        self._first: str | None = None
        reading.events.noticed.connect(self._listen)

    def _listen(self, notice: Notice) -> None:
        if notice.severity is Severity.ERROR and self._first is None:
            self._first = notice.text

    def raise_if_any(self) -> None:
        if self._first is not None:
            raise EngineError(self._first)


class _Progress:
    """Remembers how far the engine's work is."""

    def __init__(self, reading: Reading) -> None:
        self.fraction = 0.0
        reading.events.job_changed.connect(self._begin)
        reading.events.progressed.connect(self._listen)

    def _begin(self) -> None:
        self.fraction = 0.0

    def _listen(self, fraction: float, message: str) -> None:
        self.fraction = fraction


def _worst_slices(reading: Reading, truth: NDArray[np.uint8], n: int = 3) -> list[Slice]:
    """ED and ES of the slices where the model is most wrong, as a reader would pick them."""
    choice = reading.phases
    phases = (choice.ed_phase, choice.es_phase) if choice else (0,)
    wrong = {
        z: sum(int(np.count_nonzero(reading.labels[t, z] != truth[t, z])) for t in phases)
        for z in range(reading.cine.n_slices)
    }
    worst = [z for z in sorted(wrong, key=lambda z: -wrong[z])[:n] if wrong[z]]
    return [(t, z) for t in phases for z in worst]


def _most_to_see(slices: list[Slice], truth: NDArray[np.uint8]) -> Slice:
    """Slice with the most heart in it."""
    return max(slices, key=lambda where: np.count_nonzero(truth[where]))


class OffScreen:
    """Plays without Qt: the same reading and engine, pictures drawn by ourselves."""

    def __init__(self, session: Session) -> None:
        self.reading = session.reading

    def open(self, path: Path) -> None:
        """Open the study."""
        self.reading.open(path)

    def wait(self, done: Callable[[], bool]) -> None:
        """Take the engine's news until something is done."""
        while not done():
            emit_queued()
            time.sleep(POLL_S)

    def picture(self, path: Path, where: Slice, words: str, panel: str) -> None:
        """Draw the slice."""
        from cinema_app.pictures import save_picture

        save_picture(path, self.reading.cine, self.reading.labels, *where, words)


class InWindow:
    """Plays in a real window."""

    def __init__(self, desktop: Desktop) -> None:
        self._desktop = desktop
        self._workspace = desktop.workspace
        self.reading = desktop.workspace.reading

    def open(self, path: Path) -> None:
        """Open the study as a reader does."""
        self._workspace.open(path)
        self.wait(lambda: not self._workspace.is_opening)

    def wait(self, done: Callable[[], bool]) -> None:
        """Keep the window alive until something is done."""
        from qtpy.QtWidgets import QApplication

        while not done():
            QApplication.processEvents()
            time.sleep(POLL_S)
            if not self._desktop.is_open:
                raise Cancelled("The window was closed before the demo was done.")

    def picture(self, path: Path, where: Slice, words: str, panel: str) -> None:
        """Take a screenshot of the window."""
        self._workspace.show_tab(panel)
        self._workspace.layers.go_to(*where)
        self._let_it_draw()
        self._desktop.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def _let_it_draw(self) -> None:
        until = time.monotonic() + 0.6
        self.wait(lambda: time.monotonic() > until)


def new_project_folder(folder: Path) -> Path:
    """Return a project's name that is not taken by an earlier demo."""
    number = 1
    while (project := folder / f"demo{'' if number == 1 else f'-{number}'}.cinema").exists():
        number += 1
    return project


def run_off_screen(folder: Path, budget_s: float, say: Say) -> DemoResult:
    """Play without a window."""
    with Session.open(new_project_folder(folder)) as session:
        return play(OffScreen(session), folder, budget_s, say)


def open_window(folder: Path, settings: FineTuneSettings | None = None) -> Desktop:
    """Open the window that the demo plays in."""
    from cinema_app.app import Desktop

    return Desktop.open((), new_project_folder(folder), finetune_settings=settings)
