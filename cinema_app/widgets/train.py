"""Fine-tune on my labels: start it, see before and after, decide."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget
from superqt.utils import create_worker

from cinema_app.news import Severity
from cinema_app.reading import Reading, Trial
from cinema_app.teaching import TeachingSet
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import MUTED, TEXT, allow, button, muted, strong
from cinema_core.anatomy import LabelState
from cinema_core.errors import CinemaError
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.project import Effort

TIP = (
    "Make a new model that learns from every slice you corrected or accepted. The current model stays until you decide."
)
KEEP_TIP = "Use the new model from now on, for every study"
KEEP_HERE_TIP = "Use the new model for this study; all others go on with the current one"
FIGURES = (("lv", "LV cavity"), ("myo", "LV myocardium"), ("rv", "RV cavity"), ("mean", "Mean"))


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
        self._preparing = False
        self._build()
        self._show_button()
        self._show_trial()
        for signal in (reading.events.cine_changed, reading.events.labels_changed, reading.events.job_changed):
            signal.connect(self._show_button)
        reading.events.trial_changed.connect(self._show_trial)
        reading.events.trial_changed.connect(self._show_button)
        reading.events.model_changed.connect(self._show_button)

    def _build(self) -> None:
        self.finetune = button("Fine-tune on my labels", TIP, answered(self._reading, self._start), main=True)
        self._labels_line = muted()
        self._labels_line.installEventFilter(self)
        self._result = QWidget()
        self._build_result()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.finetune)
        layout.addWidget(self._labels_line)
        layout.addWidget(self._result)
        layout.addStretch(1)

    def _build_result(self) -> None:
        self._headline = strong(wrap=True)
        self._basis = muted()
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for column, text in enumerate(("Agreement (Dice)", "before", "after", "change")):
            grid.addWidget(_cell(text, MUTED, left=column == 0), 0, column)
        self._cells: dict[tuple[str, str], QLabel] = {}
        for row, (key, words) in enumerate(FIGURES, start=1):
            grid.addWidget(_cell(words, TEXT, left=True), row, 0)
            for column, name in enumerate(("before", "after", "change"), start=1):
                self._cells[key, name] = _cell("", TEXT)
                grid.addWidget(self._cells[key, name], row, column)
        grid.setColumnStretch(0, 1)
        self._changed = QListWidget()
        self._changed.setFixedHeight(52)
        self._changed.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._changed.setToolTip("Click to look at the slice")
        self._changed.itemClicked.connect(self._look_at)
        self.keep = button(
            "Keep for all", "", answered(self._reading, lambda: self._reading.keep_trial(this_study_only=False))
        )
        self.keep_here = button(
            "Keep for this study only",
            "",
            answered(self._reading, lambda: self._reading.keep_trial(this_study_only=True)),
        )
        self.discard = button(
            "Discard",
            "Forget the new model and go on with the current one",
            answered(self._reading, self._reading.discard_trial),
        )
        buttons = QHBoxLayout()
        for made in (self.keep, self.keep_here, self.discard):
            buttons.addWidget(made)
        self._notes = muted()
        self._changed_words = muted("Slices that changed most (click to look):")
        layout = QVBoxLayout(self._result)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._headline)
        layout.addLayout(grid)
        layout.addWidget(self._basis)
        layout.addWidget(self._changed_words)
        layout.addWidget(self._changed)
        layout.addLayout(buttons)
        layout.addWidget(self._notes)

    # ---------------------------------------------------------------- showing

    def _show_button(self, *_: object) -> None:
        n_here = len(self._reading.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED))
        self._labels_line.setText(f"{_counted(n_here, 'labelled slice')} here, and those of your other studies.")
        allow(self.finetune, not (why := self._why_not(n_here)), why, TIP)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Add up the effort when the mouse rests on the line: the whole journal is too much for every stroke."""
        if event.type() == QEvent.Type.ToolTip and self._reading.is_open:
            self._labels_line.setToolTip(_effort_words(self._reading.effort()))
        return bool(super().eventFilter(watched, event))

    def _why_not(self, n_here: int) -> str:
        if not self._reading.is_open:
            return "Open a study first."
        if self._reading.busy or self._preparing:
            return "The engine is still at work."
        if self._reading.trial is not None:
            return "Decide on the new model below first: keep it or discard it."
        if n_here == 0:
            return "Correct or accept at least one slice first; the model learns from those."
        if self._reading.project.read_only:
            return "The project is open in another window; close that one first."
        return self._reading.why_no_base()

    def _show_trial(self) -> None:
        trial = self._reading.trial
        self._result.setVisible(trial is not None)
        if trial is None:
            return
        before, after = trial.outcome.before, trial.outcome.after
        for key, _ in FIGURES:
            old, new = before.get("dice", {}).get(key), after.get("dice", {}).get(key)
            self._cells[key, "before"].setText(_figure(old))
            self._cells[key, "after"].setText(_figure(new))
            change = None if old is None or new is None else new - old
            self._cells[key, "change"].setText("–" if change is None else f"{change:+.3f}")
            self._cells[key, "change"].setStyleSheet(f"color: {_colour_of(change)};")
        self._headline.setText(_headline(trial))
        self._basis.setText(
            f"Measured on {trial.outcome.validation}. Learned from {_counted(trial.teaching.n_slices, 'slice')} in "
            f"{_counted(trial.outcome.steps, 'step')}, {trial.outcome.seconds:.0f} s; loss "
            f"{before.get('loss', float('nan')):.3f} → {after.get('loss', float('nan')):.3f}."
        )
        self._show_changed(trial)
        notes = " ".join(trial.outcome.notes)
        for made, here, tip in ((self.keep, False, KEEP_TIP), (self.keep_here, True, KEEP_HERE_TIP)):
            allow(made, trial.may_be_kept(this_study_only=here), notes, tip)
        self._notes.setVisible(bool(notes))
        self._notes.setText(notes)

    def _show_changed(self, trial: Trial) -> None:
        self._changed.clear()
        ours = [(where, old, new) for where, old, new in trial.outcome.changed if where[0] == trial.study_id]
        for (_, t, z), old, new in sorted(ours, key=lambda row: -abs(row[2] - row[1]))[:8]:
            item = QListWidgetItem(f"Slice {z + 1}, phase {t + 1}:  Dice {old:.2f} → {new:.2f}")
            item.setData(Qt.ItemDataRole.UserRole, (t, z))
            self._changed.addItem(item)
        for widget in (self._changed, self._changed_words):
            widget.setVisible(self._changed.count() > 0)

    def _look_at(self, item: QListWidgetItem) -> None:
        self._reading.events.go_to.emit(*item.data(Qt.ItemDataRole.UserRole))

    # ---------------------------------------------------------------- starting

    def _start(self) -> None:
        """Read the labelled studies in another thread, then hand them to the engine."""
        teaching = self._reading.collect_teaching_set()
        self._preparing = True
        self._show_button()
        worker = create_worker(_loaded, teaching)
        worker.returned.connect(self._prepared)
        worker.errored.connect(lambda _: self._end_preparing())
        worker.start()

    def _prepared(self, result: tuple[TeachingSet, str]) -> None:
        self._preparing = False
        teaching, trouble = result
        if trouble:
            self._reading.notify(trouble, Severity.ERROR)
        else:
            for line in teaching.left_out:
                self._reading.notify(line, Severity.WARNING)
            answered(self._reading, lambda: self._reading.finetune(teaching, self._settings))()
        self._show_button()

    def _end_preparing(self) -> None:
        self._preparing = False
        self._show_button()


def _loaded(teaching: TeachingSet) -> tuple[TeachingSet, str]:
    """Read the images, or say in one line why not; superqt takes a returned exception for a fault."""
    try:
        teaching.load()
    except CinemaError as error:
        return teaching, str(error)
    return teaching, ""


def _headline(trial: Trial) -> str:
    if trial.outcome.worse:
        return f"Model {trial.name} is worse than {trial.base}."
    old, new = trial.outcome.before["dice"].get("mean"), trial.outcome.after["dice"].get("mean")
    better = old is not None and new is not None and new > old
    verdict = "agrees better with you than" if better else "agrees with you as well as"
    return f"Model {trial.name} {verdict} {trial.base}."


def _effort_words(effort: Effort) -> str:
    return (
        f"Your work on this study: {_counted(effort.edits, 'edit')}, {effort.added_path_mm / 10:.0f} cm of border "
        f"redrawn, {effort.active_s / 60:.0f} min active. Export: cinema export --format effort"
    )


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _colour_of(change: float | None) -> str:
    if change is None or abs(change) < 0.0005:
        return TEXT
    return "#7ee2b0" if change > 0 else "#ff9088"


def _cell(text: str, colour: str, *, left: bool = False) -> QLabel:
    label = QLabel(text)
    side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
    label.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    label.setStyleSheet(f"color: {colour};")
    return label
