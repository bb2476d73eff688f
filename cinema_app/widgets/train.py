"""Fine-tune on my labels: start it, see before and after, decide."""

from __future__ import annotations

import logging
import traceback

from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt.utils import create_worker

from cinema_app.fine_tuning import FineTuneRun
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.teaching import TeachingSet
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, button, counted, muted
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
AGAIN_TIP = "Start the interrupted fine-tuning again; labels that you changed since are not in it"
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
        self._build()
        self._show_button()
        for signal in (reading.events.cine_changed, reading.events.labels_changed, reading.events.job_changed):
            signal.connect(self._show_button)
        reading.events.trial_changed.connect(self._show_button)
        reading.events.model_changed.connect(self._show_button)

    def _build(self) -> None:
        self.finetune = button("Fine-tune on my labels", TIP, answered(self._reading, self._start), main=True)
        self._labels_line = muted()
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
        learning = self._reading.learning
        self.again = button("Run it again", AGAIN_TIP, answered(self._reading, learning.repeat_interrupted))
        self.forget = button("Not now", FORGET_TIP, learning.forget_interrupted)
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
        run = self._reading.learning.interrupted
        self._interrupted.setVisible(run is not None)
        if run is not None:
            self._interrupted_words.setText(_interrupted_words(run))
            busy = "The engine is still at work." if self._reading.work.busy else ""
            allow(self.again, not busy, busy, AGAIN_TIP)

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
        """Read the labelled studies in another thread, then hand them to the engine, which is held for them."""
        teaching = self._reading.learning.collect_teaching_set()
        cancel = self._reading.work.prepare("Reading the labelled studies…")
        # napari would show the words of a fault, which may name a folder and with it a patient.
        worker = create_worker(_loaded, teaching, cancel, _ignore_errors=True)
        worker.returned.connect(self._prepared)
        worker.errored.connect(self._not_prepared)
        worker.start()

    def close_down(self) -> None:
        """Forget what another thread still reads; the project is closed when it is there."""
        self._is_closed = True
        self._reading.work.cancel_preparing()

    def _prepared(self, result: tuple[TeachingSet, CancelToken, str]) -> None:
        if self._is_closed:
            return
        teaching, cancel, trouble = result
        self._reading.work.prepared()
        if cancel.cancelled:
            self._reading.notify("Stopped at your request; nothing was changed.")
            return
        if trouble:
            self._reading.notify(trouble, Severity.ERROR)
        else:
            answered(self._reading, lambda: self._reading.learning.finetune(teaching, self._settings))()
            # Said now: the start of work takes away what was said before it.
            for line in teaching.left_out if self._reading.work.busy else ():
                self._reading.notify(line, Severity.WARNING)
        if teaching.moved:
            self._reading.events.images_missing.emit((teaching.moved[0],))

    def _not_prepared(self, error: Exception) -> None:
        # Without its message: that may hold a path, and a path a patient's name.
        log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        if not self._is_closed:
            self._reading.work.prepared()
            self._reading.notify(_fault_words(error), Severity.ERROR)


def _loaded(teaching: TeachingSet, cancel: CancelToken) -> tuple[TeachingSet, CancelToken, str]:
    """Read the images, or say in one line why not; superqt takes a returned exception for a fault."""
    try:
        teaching.load(lambda *_: cancel.raise_if_cancelled())
    except Cancelled:
        pass
    except CinemaError as error:
        return teaching, cancel, str(error)
    return teaching, cancel, ""


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


def _interrupted_words(run: FineTuneRun) -> str:
    """Say what happened and what running it again makes."""
    with_what = f"the same {counted(run.teaching.n_slices, 'slice')} and the same seed"
    if run.settings.steps is None:
        again = f"Run again, it starts from the beginning with {with_what}."
    else:
        again = (
            f"Run again, it starts from the beginning with {with_what} and number of steps ({run.settings.steps}), "
            "and makes the very model that this run would have made."
        )
    return f"The fine-tuning was interrupted: the engine ended. The model in use is unchanged. {again}"


def _labels_words(n_here: int, n_besides: int, n_patients: int) -> str:
    here = f"{counted(n_here, 'labelled slice')} here"
    return here + (f", {n_besides} in other studies ({counted(n_patients, 'patient')})." if n_besides else ".")
