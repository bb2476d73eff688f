"""Fine-tune on my labels: start it, see before and after, decide."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt.utils import create_worker

from cinema_app.interrupted import Interrupted, LabelsDifferError
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.teaching import TeachingSet
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, button, counted, keep_height, muted
from cinema_app.widgets.effort import EffortPanel
from cinema_app.widgets.trial import TrialPanel
from cinema_core.anatomy import LabelState
from cinema_core.errors import Cancelled, CinemaError
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.progress import CancelToken

log = logging.getLogger(__name__)

TIP = (
    "Make a new model that learns from every slice you corrected or accepted. The current model stays until you decide."
)
AGAIN, TODAY = "Run it again", "Start with today's labels"
AGAIN_TIP = "Start the interrupted fine-tuning again; labels that you changed since are not in it"
TODAY_TIP = "Fine-tune on the labels as they are now instead"
FORGET_TIP = "Put this away; Fine-tune on my labels starts with the labels as they are now"


class TrainPanel(QWidget):
    """The button, the comparison and the decision.

    Parameters
    ----------
    settings
        Fine-tuning settings that differ from the usual ones (a demo's shorter budget).
    """

    def __init__(
        self, reading: Reading, settings: FineTuneSettings | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._settings = settings
        self._is_closed = False
        self._go_on: Callable[[TeachingSet], object] = reading.learning.finetune
        self._build()
        self._show_button()
        for signal in (reading.events.cine_changed, reading.events.labels_changed, reading.events.job_changed):
            signal.connect(self._show_button)
        reading.events.trial_changed.connect(self._show_button)
        reading.events.model_changed.connect(self._show_button)

    def _build(self) -> None:
        self.finetune = button("Fine-tune on my labels", TIP, answered(self._reading, self._start), main=True)
        self._labels_line = muted()
        self._labels_line.setTextFormat(Qt.TextFormat.PlainText)  # it may name a model out of somebody's file
        self._build_interrupted()
        self.trial = TrialPanel(self._reading)
        self.effort = EffortPanel(self._reading)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.finetune)
        layout.addWidget(self._labels_line)
        layout.addWidget(self._interrupted)
        layout.addWidget(self.trial)
        layout.addWidget(self.effort)
        layout.addStretch(1)

    def _build_interrupted(self) -> None:
        self._interrupted = QWidget()
        self._interrupted_words = QLabel()
        self._interrupted_words.setWordWrap(True)
        self._interrupted_words.installEventFilter(self)
        self.again = button(AGAIN, AGAIN_TIP, answered(self._reading, self._run_again))
        self.forget = button("Not now", FORGET_TIP, self._reading.learning.forget_interrupted)
        buttons = QHBoxLayout()
        for made in (self.again, self.forget):
            buttons.addWidget(made)
        buttons.addStretch(1)
        layout = QVBoxLayout(self._interrupted)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._interrupted_words)
        layout.addLayout(buttons)

    # ---------------------------------------------------------------- showing

    def _show_button(self, *_: object) -> None:
        n_here = len(self._reading.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED))
        self._labels_line.setVisible(self._reading.learning.trial is None)  # it is about the next model
        words = (_labels_words(n_here, *self._reading.labelled_besides), self._reading.learning.base_words())
        self._labels_line.setText(" ".join(filter(None, words)))
        allow(self.finetune, not (why := self._why_not(n_here)), why, TIP)
        self._show_interrupted(why)

    def _show_interrupted(self, why_not_today: str) -> None:
        interrupted = self._reading.learning.interrupted
        self._interrupted.setVisible(interrupted is not None)
        if interrupted is None:
            return
        busy = "The engine is still at work." if self._reading.work.busy else ""
        why_not = why_not_today if interrupted.trouble else busy
        self._interrupted_words.setText(_interrupted_words(interrupted))
        keep_height(self._interrupted_words)
        self.again.setText(TODAY if interrupted.trouble else AGAIN)
        allow(self.again, not why_not, why_not, TODAY_TIP if interrupted.trouble else AGAIN_TIP)
        allow(self.forget, not busy, busy, FORGET_TIP)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Give the words on what was interrupted their height, which goes by their width."""
        if event.type() == QEvent.Type.Resize and watched is self._interrupted_words:
            keep_height(self._interrupted_words)
        return bool(super().eventFilter(watched, event))

    def _why_not(self, n_here: int) -> str:
        if not self._reading.is_open:
            return "Open a study first."
        if self._reading.work.busy:
            return "The engine is still at work."
        if self._reading.learning.trial is not None:
            return "Decide on the new model below first: keep it or discard it."
        n_besides, n_patients = self._reading.labelled_besides
        if n_here + n_besides == 0:
            return "Correct or accept at least one slice first; the model learns from those."
        if n_here == 0 and n_patients < 2:
            return (
                "Only one other patient has labels: whether this study gains could not be known. Correct a slice here."
            )
        if self._reading.project.read_only:
            return "The project is open in another window; close that one first."
        return self._reading.learning.why_no_base()

    # ---------------------------------------------------------------- starting

    def _start(self) -> None:
        learning = self._reading.learning
        self._prepare(learning.teaching_collector(), lambda teaching: learning.finetune(teaching, self._settings))

    def _run_again(self) -> None:
        """Repeat what was cut off, or start anew where that cannot be."""
        learning = self._reading.learning
        interrupted = learning.interrupted
        if interrupted is not None and interrupted.trouble:
            self._start()
        elif interrupted is not None and interrupted.run is None:
            self._prepare(learning.interrupted_collector(), learning.repeat_interrupted)
        else:
            learning.repeat_interrupted()

    def _prepare(self, collect: Callable[[], TeachingSet], go_on: Callable[[TeachingSet], object]) -> None:
        """Read the labelled studies in another thread, then hand them to the engine, which is held for them."""
        cancel = self._reading.work.prepare("Reading the labelled studies…")
        self._go_on = go_on
        # napari would show the words of a fault, which may name a folder and with it a patient.
        worker = create_worker(_loaded, collect, cancel, _ignore_errors=True)
        worker.returned.connect(self._prepared)
        worker.errored.connect(self._not_prepared)
        worker.start()

    def close_down(self) -> None:
        """Forget what another thread still reads; the project is closed when it is there."""
        self._is_closed = True
        self._reading.work.cancel_preparing()

    def _prepared(self, result: tuple[TeachingSet | None, CancelToken, CinemaError | None]) -> None:
        if self._is_closed:
            return
        teaching, cancel, trouble = result
        self._reading.work.prepared()
        if cancel.cancelled:
            self._reading.notify("Stopped at your request; nothing was changed.")
            return
        if isinstance(trouble, LabelsDifferError):
            self._reading.learning.cannot_repeat(str(trouble))
        if trouble is not None or teaching is None:
            self._reading.notify(str(trouble), Severity.ERROR)
        else:
            answered(self._reading, lambda: self._go_on(teaching))()
            # Said now: the start of work takes away what was said before it.
            for line in teaching.left_out if self._reading.work.busy else ():
                self._reading.notify(line, Severity.WARNING)
        if teaching is not None and teaching.moved:
            self._reading.events.images_missing.emit((teaching.moved[0],))

    def _not_prepared(self, error: Exception) -> None:
        # Without its message: that may hold a path, and a path a patient's name.
        log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        if not self._is_closed:
            self._reading.work.prepared()
            self._reading.notify(_fault_words(error), Severity.ERROR)


def _loaded(
    collect: Callable[[], TeachingSet], cancel: CancelToken
) -> tuple[TeachingSet | None, CancelToken, CinemaError | None]:
    """Collect the labels and read the images, or return why not; superqt takes a bare exception for a fault."""
    teaching = None
    try:
        teaching = collect()
        teaching.load(lambda *_: cancel.raise_if_cancelled())
    except Cancelled:
        pass
    except CinemaError as error:
        return teaching, cancel, error
    return teaching, cancel, None


def _fault_words(error: Exception) -> str:
    """Say why the labelled studies could not be read, without naming a file."""
    if isinstance(error, MemoryError):
        return (
            "There was not enough memory to read the labelled studies, so no model was made. Close other programs and "
            "try again."
        )
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        return (
            f"A labelled study could not be read, so no model was made: {what}. Check the disk or the connection to it "
            "and try again."
        )
    return "The labelled studies could not be read because of a fault in the program, so no model was made."


def _interrupted_words(interrupted: Interrupted) -> str:
    """Say what happened and what running it again makes."""
    if interrupted.trouble:
        return f"{interrupted.trouble} The model in use is unchanged."
    with_what = f"the same {counted(interrupted.n_slices, 'slice')} and the same seed"
    if interrupted.steps is None:
        again = f"Run again, it starts from the beginning with {with_what}."
    elif interrupted.another_program:
        again = (
            f"Run again, it starts from the beginning with {with_what} and number of steps ({interrupted.steps}); "
            f"it began in napari-cinema {interrupted.another_program}, so this one may make another model of them."
        )
    else:
        again = (
            f"Run again, it starts from the beginning with {with_what} and number of steps ({interrupted.steps}), "
            "and makes the very model that this run would have made."
        )
    what = "The fine-tuning was interrupted: the engine ended."
    if interrupted.record is not None:
        what = f"The fine-tuning of {_when(interrupted.record.started_utc)} was interrupted: the program ended."
    return f"{what} The model in use is unchanged. {again}"


def _when(utc: str) -> str:
    """Time of an event on the clock of this computer; as it is kept, if that cannot be understood."""
    try:
        return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return utc


def _labels_words(n_here: int, n_besides: int, n_patients: int) -> str:
    here = f"{counted(n_here, 'labelled slice')} here"
    return here + (f", {n_besides} in other studies ({counted(n_patients, 'patient')})." if n_besides else ".")
