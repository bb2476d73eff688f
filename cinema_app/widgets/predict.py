"""Landmarks of a long-axis cine, and what published models say of a whole study. For research."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.layers import CineLayers
from cinema_app.news import Severity
from cinema_app.predictions import Predictions, Said, in_words
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import NOTICE_COLOURS, allow, button, elided, muted, strong, tool_button
from cinema_core.answers import ClassAnswer
from cinema_core.tasks import Task

TIP = "Let the chosen model answer. Models of one name are asked together; how far they differ is told."
TOGETHER = "all seeds"
LABEL_WIDTH = 70


class PredictPanel(QWidget):
    """Ask a published task; see and correct landmarks."""

    def __init__(
        self, reading: Reading, predictions: Predictions, layers: CineLayers, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._predictions = predictions
        self._layers = layers
        self._build()
        self._show_models()
        self._show_landmarks()
        self._show_answers()
        for signal in (reading.events.cine_changed, reading.events.job_changed, reading.events.model_changed):
            signal.connect(self._show_models)
        predictions.landmarks_changed.connect(self._show_landmarks)
        predictions.answers_changed.connect(self._show_answers)
        layers.moved.connect(self._show_landmarks)

    def _build(self) -> None:
        self.use = muted("Research use only. These answers are not measurements and go into no report.")
        self.use.setStyleSheet(f"color: {NOTICE_COLOURS[Severity.WARNING]};")
        self._tasks = QComboBox()
        for task in self._predictions.tasks():
            self._tasks.addItem(task.title, task)
        self._models = QComboBox()
        for box in (self._tasks, self._models):
            box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._tasks.currentIndexChanged.connect(lambda _: self._show_models())
        self.predict = button("Predict", TIP, answered(self._reading, self._ask), main=True)
        self._why = muted()
        self._length, self._strain, self._way = strong(), strong(), strong()
        self._moved = elided()
        self.revert = tool_button("Revert phase", "Bring back what the model found on this phase", self._revert)
        self._landmark_rows = QWidget()
        grid = QGridLayout(self._landmark_rows)
        grid.setContentsMargins(0, 2, 0, 0)
        grid.setVerticalSpacing(3)
        rows = (
            ("LV length, this phase", self._length, "Middle of the valve plane to the apex"),
            ("GLS", self._strain, "Shortening of that length over the cycle; not the strain of the wall"),
            ("MAPSE", self._way, "Mean way of the valve's two insertions between longest and shortest"),
        )
        for k, (name, value, tip) in enumerate(rows):
            grid.addWidget(muted(name), k, 0)
            grid.addWidget(value, k, 1)
            value.setToolTip(tip)
        row = QHBoxLayout()
        row.addWidget(self._moved, 1)
        row.addWidget(self.revert)
        grid.addLayout(row, len(rows), 0, 1, 2)
        self._answers = QVBoxLayout()
        self._answers.setSpacing(4)
        choose = QGridLayout()
        choose.setVerticalSpacing(3)
        choose.addWidget(muted("Question"), 0, 0)
        choose.addWidget(self._tasks, 0, 1)
        choose.addWidget(muted("Model"), 1, 0)
        choose.addWidget(self._models, 1, 1)
        choose.setColumnStretch(1, 1)
        choose.setColumnMinimumWidth(0, LABEL_WIDTH)
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(0, 2 * LABEL_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.use)
        layout.addLayout(choose)
        layout.addWidget(self.predict)
        layout.addWidget(self._why)
        layout.addWidget(self._landmark_rows)
        layout.addLayout(self._answers)

    # ---------------------------------------------------------------- asking

    @property
    def task(self) -> Task:
        """The question that is chosen."""
        task: Task = self._tasks.currentData()
        return task

    def choose(self, task_name: str) -> None:
        """Choose a question by the name of its task."""
        names = [task.name for task in self._predictions.tasks()]
        self._tasks.setCurrentIndex(names.index(task_name))

    def _ask(self) -> None:
        self._predictions.ask(self.task, self._models.currentData())

    def _revert(self) -> None:
        answered(self._reading, lambda: self._predictions.revert(self._layers.here[0]))()

    # ---------------------------------------------------------------- showing

    def _show_models(self) -> None:
        before = self._models.currentText()
        names = self._predictions.models_for(self.task)
        with signals_blocked(self._models):
            self._models.clear()
            for group in dict.fromkeys(name.rpartition("/")[0] for name in names if "/" in name):
                seeds = tuple(name for name in names if name.rpartition("/")[0] == group)
                if len(seeds) > 1:
                    self._models.addItem(f"{group} · {TOGETHER} ({len(seeds)})", seeds)
            for name in names:
                self._models.addItem(name, (name,))
            self._models.setCurrentIndex(max(0, self._models.findText(before)))
        self._models.setEnabled(bool(names))
        why = self._predictions.why_not(self.task)
        allow(self.predict, not why, why, TIP)
        self._why.setText(why)
        self._why.setVisible(bool(why))

    def _show_landmarks(self, *_: object) -> None:
        function = self._predictions.function
        self._landmark_rows.setVisible(function is not None)
        if function is None:
            return
        t = self._layers.here[0]
        self._length.setText(f"{function.lv_length_mm[t]:.1f} mm")
        phases = f"phase {function.longest + 1} to {function.shortest + 1}"
        self._strain.setText("–" if function.gls_pct is None else f"{function.gls_pct:.1f} %  ({phases})")
        self._way.setText("–" if function.mapse_mm is None else f"{function.mapse_mm:.1f} mm")
        moved = self._predictions.moved_phases
        here = "Moved by you" if t in moved else "As the model found it"
        self._moved.setText(f"{here} · {len(moved)} of {len(function.lv_length_mm)} moved")
        allow(self.revert, t in moved, "Nothing was moved on this phase.", "Bring back what the model found here")

    def _show_answers(self) -> None:
        while (item := self._answers.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for said in reversed(self._predictions.answers):
            self._answers.addWidget(_card(said))


def _card(said: Said) -> QFrame:
    """Answer, the other classes, the models, and what must stand beside it."""
    made = QFrame()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 4, 0, 4)
    layout.setSpacing(2)
    top = QHBoxLayout()
    title = muted(said.task.title, wrap=False)
    value = QLabel(in_words(said))
    value.setProperty("role", "strong")
    top.addWidget(title, 1)
    top.addWidget(value)
    layout.addLayout(top)
    if isinstance(said.answer, ClassAnswer):
        shares = zip(said.answer.classes, said.answer.probabilities, strict=True)
        layout.addWidget(_line(" · ".join(f"{name} {share * 100:.0f} %" for name, share in shares)))
    layout.addWidget(_line("By " + ", ".join(f"{card.name} ({card.sha256[:8]})" for card in said.answer.cards)))
    if said.task.note:
        layout.addWidget(_line(said.task.note))
    return made


def _line(text: str) -> QLabel:
    """One line that ends in dots where the panel is too narrow, whole in its tooltip."""
    made = elided(text)
    made.setToolTip(text)
    return made
