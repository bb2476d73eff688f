"""A fine-tuned model that waits for a decision: before and after, pictures, what is offered and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from cinema_app.fine_tuning import Trial
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.versions import VersionLine, Versions
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import (
    MUTED,
    NOT_KNOWN,
    NOTICE_COLOURS,
    TEXT,
    allow,
    button,
    counted,
    muted,
    strong,
    tool_button,
)
from cinema_app.widgets.slice_tiles import SliceTiles
from cinema_core.anatomy import FOREGROUND, VENTRICLES
from cinema_core.engine.messages import ChangedSlice
from cinema_core.learn import Validation

KEEP_TIP = "Use the new model from now on, for every study"
KEEP_HERE_TIP = "Use the new model for this study; all others go on with the current one"
DISCARD_TIP = "Forget the new model and go on with the current one"
CHANGE_TIP = "Let the new model draw the open study, keep nothing of it, and say how the ejection fraction would differ"
BUSY = "The engine is still at work."
TILES_WORDS = (
    "Slices that changed most. The model learned from these, so they say nothing of other patients. White dots: yours."
)

DICE_ROWS: Final = (*((s.key, s.display_name) for s in reversed(FOREGROUND)), ("mean", "Mean"))
EF_ROWS: Final = tuple((s.key, f"{s.key.upper()} ejection fraction") for s in VENTRICLES)

BETTER, WORSE = "#7ee2b0", "#ff9088"


class TrialPanel(QWidget):
    """The comparison and the decision; hidden while there is nothing to decide."""

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._build()
        self._show()
        # What may be kept here, and which pictures are of here, goes by the study; the comparison by the model in use.
        for signal in (reading.events.trial_changed, reading.events.cine_changed, reading.events.model_changed):
            signal.connect(self._show)
        reading.events.job_changed.connect(self._show_buttons)
        reading.events.measures_changed.connect(self._show_buttons)

    def _build(self) -> None:
        reading = self._reading
        self._headline = strong(wrap=True)
        self._basis = muted()
        self._ef_basis = muted()
        self.would_change = tool_button("What would change in the open study?", CHANGE_TIP, self._ask_what_would_change)
        self._tiles_words = muted(TILES_WORDS)
        self._in_use = muted()
        self._in_use_warning = QLabel()
        self._in_use_warning.setWordWrap(True)
        self._in_use_warning.setStyleSheet(f"color: {NOTICE_COLOURS[Severity.WARNING]};")
        self.tiles = SliceTiles(self._look_at)
        self._why = QLabel()
        self._why.setWordWrap(True)
        learning = reading.learning
        self.keep = button("Keep for all", "", answered(reading, lambda: learning.keep_trial(this_study_only=False)))
        self.keep_here = button(
            "Keep for this study only", "", answered(reading, lambda: learning.keep_trial(this_study_only=True))
        )
        self.discard = button("Discard", "", answered(reading, reading.learning.discard_trial))
        buttons = QHBoxLayout()
        for made in (self.keep, self.keep_here, self.discard):
            buttons.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        # The decision comes before the pictures: on a small screen it is seen without scrolling.
        layout.addWidget(self._headline)
        layout.addWidget(self._in_use)
        layout.addWidget(self._in_use_warning)
        layout.addLayout(self._build_figures())
        layout.addWidget(self._ef_basis)
        layout.addWidget(self._why)
        layout.addLayout(buttons)
        layout.addWidget(self._tiles_words)
        layout.addWidget(self.tiles)
        layout.addWidget(self.would_change)
        layout.addWidget(self._basis)

    def _build_figures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        self._cells: dict[tuple[str, str, str], QLabel] = {}
        self._ef_cells: list[QLabel] = []
        row = 0
        for kind, title, lines in (
            ("dice", "Agreement with you (Dice)", DICE_ROWS),
            ("ef", "Error, in points", EF_ROWS),
        ):
            heads = [_cell(text, MUTED, left=k == 0) for k, text in enumerate((title, "before", "after", "change"))]
            rows = [heads]
            for key, words in lines:
                for name in ("before", "after", "change"):
                    self._cells[kind, key, name] = _cell("", TEXT)
                figures = [self._cells[kind, key, name] for name in ("before", "after", "change")]
                rows.append([_cell(words, TEXT, left=True), *figures])
            for cells in rows:
                for column, cell in enumerate(cells):
                    grid.addWidget(cell, row, column)
                row += 1
                self._ef_cells += cells if kind == "ef" else []
        return grid

    # ---------------------------------------------------------------- showing

    def _show(self) -> None:
        trial = self._reading.learning.trial
        self.setVisible(trial is not None)
        if trial is None:
            return
        outcome = trial.outcome
        self._headline.setText(_headline(trial))
        self._show_in_use(trial)
        for key, _ in DICE_ROWS:
            self._show_row(
                "dice", key, *_both(outcome.before, outcome.after, "dice", key), "{:.3f}", better_is_more=True
            )
        for key, _ in EF_ROWS:
            old, new = _both(outcome.before, outcome.after, "ef_error_points", key)
            self._show_row("ef", key, old, new, "{:.1f}", better_is_more=False)
        for cell in self._ef_cells:
            cell.setVisible(_ef_studies(outcome.after) > 0)
        self._ef_basis.setText(ejection_fraction_basis(outcome.after))
        self._basis.setText(
            f"Measured on {outcome.validation}. Learned from {counted(trial.teaching.n_slices, 'slice')} in "
            f"{counted(outcome.steps, 'step')}, {outcome.seconds:.0f} s; loss "
            f"{outcome.before.get('loss', float('nan')):.3f} → {outcome.after.get('loss', float('nan')):.3f}."
        )
        self.tiles.show_slices(outcome.changed, lambda changed: _caption(changed, trial, self._reading))
        self._tiles_words.setVisible(bool(outcome.changed))
        self._why.setText(_why(trial, self._reading.study_id))
        self._show_buttons()

    def _show_in_use(self, trial: Trial) -> None:
        """Show the figures of the version in use: the reader decides between it and the new one, not the base."""
        lines = Versions(self._reading).lineage()
        line = next((line for line in lines if line.in_use and line.name != trial.base and line.after), None)
        for label, words in (
            (self._in_use, _in_use_words(line) if line else ""),
            (self._in_use_warning, _in_use_warning(line, trial) if line else ""),
        ):
            label.setText(words)
            label.setVisible(bool(words))

    def _show_row(
        self, kind: str, key: str, old: float | None, new: float | None, form: str, *, better_is_more: bool
    ) -> None:
        cells = [self._cells[kind, key, name] for name in ("before", "after", "change")]
        change = None if old is None or new is None else new - old
        for cell, value, sign in zip(cells, (old, new, change), ("", "", "+"), strict=True):
            cell.setText(NOT_KNOWN if value is None else form.replace(":", f":{sign}").format(value))
            cell.setStyleSheet(f"color: {MUTED if value is None else TEXT};")
        if change is None:
            cells[2].setText("–")
        elif float(form.format(abs(change))) == 0:
            cells[2].setText(form.format(0.0))  # rather than -0.0
        else:
            cells[2].setStyleSheet(f"color: {BETTER if (change > 0) == better_is_more else WORSE};")

    def _show_buttons(self, *_: object) -> None:
        trial, reading = self._reading.learning.trial, self._reading
        if trial is None:
            return
        busy = BUSY if reading.work.busy else ""
        for made, here, tip in ((self.keep, False, KEEP_TIP), (self.keep_here, True, KEEP_HERE_TIP)):
            why_not = busy or reading.learning.why_not_kept(this_study_only=here)
            allow(made, not why_not, why_not, tip)
        allow(self.discard, not busy, busy, DISCARD_TIP)
        measured = "" if reading.measures else "Segment the study first."
        allow(self.would_change, not (busy or measured), busy or measured, CHANGE_TIP)

    # ---------------------------------------------------------------- acting

    def _ask_what_would_change(self) -> None:
        if trial := self._reading.learning.trial:
            answered(self._reading, lambda: Versions(self._reading).compare(trial.name))()

    def _look_at(self, changed: ChangedSlice) -> None:
        trial = self._reading.learning.trial
        if trial is None:
            return
        if changed.study_id != self._reading.study_id:
            self._reading.notify(f"That slice is of another study, {changed.study_id}; open it to look.")
        else:
            self._reading.events.go_to.emit(*trial.slice_of(changed, self._reading.cine))


def ejection_fraction_basis(figures: Mapping[str, Any]) -> str:
    """Say what the errors of the ejection fraction were measured on, or what labels they would need."""
    n = _ef_studies(figures)
    if n == 0:
        return "Error of the ejection fraction: not known; it takes three slices labelled at both ED and ES."
    return f"Over the slices labelled at both ED and ES, in {counted(n, 'study', 'studies')}."


def _ef_studies(figures: Mapping[str, Any]) -> int:
    studies: Mapping[str, int] = figures.get("ef_studies", {})
    return max(studies.values(), default=0)


def _both(
    before: Mapping[str, Any], after: Mapping[str, Any], kind: str, key: str
) -> tuple[float | None, float | None]:
    return before.get(kind, {}).get(key), after.get(kind, {}).get(key)


def _headline(trial: Trial) -> str:
    if trial.outcome.worse:
        return f"Model {trial.name} is worse than {trial.base}."
    old, new = _both(trial.outcome.before, trial.outcome.after, "dice", "mean")
    if old is None or new is None:
        verdict = "agrees with you as well as"  # only background was labelled
    else:
        verdict = "agrees better with you than" if new > old else "does not agree better with you than"
    return f"Model {trial.name} {verdict} {trial.base}."


def _in_use_words(line: VersionLine) -> str:
    """Say how well the version in use did when it was made."""
    old, new = line.dice_before, line.dice_after
    figures = NOT_KNOWN if old is None or new is None else f"{old:.3f} → {new:.3f}"
    where = f" on {line.judged_on}" if line.judged_on else ""
    return f"In use now: {line.name}, mean Dice {figures}{where}."


def _in_use_warning(line: VersionLine, trial: Trial) -> str:
    """Warn where the version in use was measured higher than the new one; empty if it was not."""
    new = trial.outcome.after.get("dice", {}).get("mean")
    held_out = line.judged_on == trial.outcome.validation == Validation.HELD_OUT
    if not held_out or new is None or line.dice_after is None or line.dice_after <= new:
        return ""
    same_labels = line.label_set_sha256 == trial.teaching.label_set_sha256
    but = "on the same labels." if same_labels else "but on another set of labels; the two figures do not compare."
    return f"{line.name} was measured higher ({line.dice_after:.3f}; {trial.name}: {new:.3f}), {but}"


def _why(trial: Trial, open_study_id: str) -> str:
    """Say what is offered, and the reasons."""
    everywhere, here = (trial.may_be_kept(this_study_only=only) for only in (False, True))
    if everywhere:
        old, new = _both(trial.outcome.before, trial.outcome.after, "dice", "mean")
        gained = old is None or new is None or new > old
        offer = "It may be kept for all studies: on studies it had not learned from, nothing got clearly worse"
        offer += "." if gained else ", but nothing was gained either. More labels may tell."
    elif here:
        here_only = open_study_id == trial.study_id
        offer = f"It may be kept for {'this study' if here_only else trial.study_id} only."
    else:
        offer = "It can only be discarded."
    return " ".join((offer, *trial.outcome.notes))


def _caption(changed: ChangedSlice, trial: Trial, reading: Reading) -> str:
    if changed.study_id == reading.study_id:
        t, z = trial.slice_of(changed, reading.cine)
        where = f"Slice {z + 1}, phase {t + 1}"
    else:
        where = "Another study"
    return f"{where}\nDice {changed.dice_before:.2f} → {changed.dice_after:.2f}"


def _cell(text: str, colour: str, *, left: bool = False) -> QLabel:
    label = QLabel(text)
    side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
    label.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    label.setStyleSheet(f"color: {colour};")
    return label
