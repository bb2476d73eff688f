"""All keys on one page, beside the window, so that reading goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from cinema_app.key_choices import key_list, readable
from cinema_app.widgets.appearance import STYLE, muted, strong

FOOT: Final = (
    "Mouse: wheel slices, Shift+wheel phases, Ctrl+wheel zoom; right button left and right for the window, up and "
    "down for the level, double click for the window as opened, with Ctrl zoom.\n"
    "Other keys: File > Preferences > CineMA cine cardiac MR > Keys; they hold from the next start on."
)
KEY_STYLE: Final = "background-color: #414851; border-radius: 3px; padding: 1px 6px; color: #f0f1f2; font-weight: 600;"
GROUPS_PER_COLUMN: Final = 2


class KeyHelp(QDialog):
    """Every key with what it does, in columns."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setStyleSheet(STYLE)
        columns = QHBoxLayout()
        columns.setSpacing(28)
        for column in _columns():
            columns.addLayout(column)
        foot = muted(FOOT)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addLayout(columns)
        layout.addWidget(foot)


class QuestionMark(QObject):
    """Listens for ? on the canvas. napari's key bindings have no name for it, as it is another key on each keyboard."""

    def __init__(self, canvas: QWidget, action: Callable[[], object], parent: QObject) -> None:
        super().__init__(parent)
        self._action = action
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the key, whatever has to be held to type it."""
        if event.type() == QEvent.Type.KeyPress and event.text() == "?":
            self._action()
            return True
        return bool(super().eventFilter(watched, event))


def _columns() -> list[QGridLayout]:
    groups = list(dict.fromkeys(found.group for found in key_list()))
    columns = []
    for first in range(0, len(groups), GROUPS_PER_COLUMN):
        column = _column()
        for group in groups[first : first + GROUPS_PER_COLUMN]:
            column.addWidget(strong(group, wrap=True), column.rowCount(), 0, 1, 2)
            for found in (found for found in key_list() if found.group == group):
                row = column.rowCount()
                key = QLabel(readable(found.key))
                key.setStyleSheet(KEY_STYLE)
                column.addWidget(key, row, 0, Qt.AlignmentFlag.AlignRight)
                column.addWidget(QLabel(found.words), row, 1)
        column.setRowStretch(column.rowCount(), 1)
        columns.append(column)
    return columns


def _column() -> QGridLayout:
    made = QGridLayout()
    made.setHorizontalSpacing(8)
    made.setVerticalSpacing(4)
    made.setColumnStretch(1, 1)
    return made
