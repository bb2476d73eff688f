"""What the labels of the open study cost their reader, on demand: a line that unfolds."""

from __future__ import annotations

from typing import Any, Final

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import muted
from cinema_core.project import Effort

TIP = "Slices, actions, points, border and time; numbers only, no image. Export: cinema export --format effort"
REST_MS: Final = 300
"""Strokes that follow each other faster are added up once, when the hand rests."""

PAIRS: Final = 2
"""Figures beside each other: the panel is low on small screens."""


class EffortPanel(QWidget):
    """Effort of the open study, added up only while it is unfolded and in sight.

    Hidden rule: nothing is added up at a stroke. The journal grows with every one of them, and the hand must not wait.
    """

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(answered(reading, self._show))
        self._build()
        for signal in (reading.events.labels_changed, reading.events.cine_changed):
            signal.connect(self._wait)

    def _build(self) -> None:
        self.fold = QToolButton()
        self.fold.setText("Your work on this study")
        self.fold.setToolTip(TIP)
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setArrowType(Qt.ArrowType.RightArrow)
        self.fold.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.fold.setStyleSheet("QToolButton, QToolButton:checked { background: transparent; border: none; }")
        self.fold.toggled.connect(self._unfold)
        self.table = QWidget()
        self._grid = QGridLayout(self.table)
        self._grid.setContentsMargins(18, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(1)
        for column in (1, 3):
            self._grid.setColumnStretch(column, 1)
        self.names, self.values = [], []
        for k, (name, value) in enumerate(effort_rows(Effort())):
            row, column = k // PAIRS, 2 * (k % PAIRS)
            self.names.append(muted(name))
            self.values.append(muted(value))
            self.names[k].setWordWrap(False)
            self._grid.addWidget(self.names[k], row, column)
            self._grid.addWidget(self.values[k], row, column + 1)
        self.table.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.fold)
        layout.addWidget(self.table)

    def _unfold(self, open_: bool) -> None:
        self.fold.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self._show()
        self.table.setVisible(open_)

    def _wait(self, *_: object) -> None:
        if self.fold.isChecked():
            self._rest.start()

    def showEvent(self, event: Any) -> None:
        """Catch up with what was done while another tab was in front."""
        super().showEvent(event)
        self._wait()

    def _show(self) -> None:
        if not self.fold.isChecked() or not self.isVisible():
            return
        found = self._reading.effort() if self._reading.is_open else Effort()
        for label, (_, value) in zip(self.values, effort_rows(found), strict=True):
            label.setText(value)


def effort_rows(effort: Effort) -> list[tuple[str, str]]:
    """Name and value of each figure, for the reader."""
    moved = str(effort.moved_points)
    if effort.edits_of_unknown_points:
        moved = f"{moved} or more" if effort.moved_points else "not known"
    return [
        ("Slices corrected", str(effort.corrected_slices)),
        ("Slices accepted", str(effort.accepted_slices)),
        ("Actions", str(effort.edits)),
        ("Points moved", moved),
        ("Border redrawn", f"{effort.added_path_mm / 10:.0f} cm"),
        ("Active time", _time(effort.active_s)),
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
