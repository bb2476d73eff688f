"""Menu of the basal slice: every choice with what it does to the ejection fraction."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QMenu, QWidget

from cinema_app.basal import basal_choices, decide
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered

NOTHING = "Nothing to decide: segment ED and ES first."


class BasalMenu(QMenu):
    """Filled afresh each time it is opened, so that its figures are those of today's contours."""

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading

    def open_below(self, control: QWidget) -> None:
        """Open with its right edge at that of a control, which may be at the edge of the screen."""
        self.ensurePolished()
        answered(self._reading, self._fill)()
        corner = control.mapToGlobal(control.rect().bottomRight())
        self.popup(corner - QPoint(self.sizeHint().width(), 0))

    def _fill(self) -> None:
        self.clear()
        last = None
        for choice in basal_choices(self._reading):
            if last is not None and choice.cavity is not last:
                self.addSeparator()
            last = choice.cavity
            self.addAction(choice.words, answered(self._reading, partial(decide, self._reading, choice)))
        if last is None:
            self.addAction(NOTHING).setEnabled(False)
