"""A scroll area that is no higher than what is in it."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QEvent, QObject, QSize, QTimer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QScrollArea, QSizePolicy, QWidget

REVEAL_AFTER_MS: Final = 200
"""What has just appeared gets its place in several rounds of layout."""

SETTLES_MS: Final = 1000
"""For so long the panel may still change around it; afterwards scrolling is the reader's."""


class Fitting(QScrollArea):
    """A scroll area no higher than what is in it, so that whatever is below it gets the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._revealed: QWidget | None = None
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLES_MS)
        self.verticalScrollBar().rangeChanged.connect(self._reveal_again)

    def sizeHint(self) -> QSize:
        """Size of what is in it, folded lines included: Qt leaves them out of a hint."""
        inside, frame = self.widget(), 2 * self.frameWidth()
        hint = inside.sizeHint()
        height = max(hint.height(), inside.heightForWidth(self.viewport().width()))
        return QSize(hint.width() + self.verticalScrollBar().sizeHint().width() + frame, height + frame)

    def setWidget(self, widget: QWidget) -> None:
        """Take what is to be scrolled."""
        super().setWidget(widget)
        widget.installEventFilter(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask for another height if lines fold elsewhere now."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def reveal(self, widget: QWidget) -> None:
        """Scroll to a control once it has its place, and again while the panel still settles around it."""
        self._revealed = widget
        self._settling.start()
        QTimer.singleShot(REVEAL_AFTER_MS, self, lambda: self.ensureWidgetVisible(widget, 0, 12))

    def _reveal_again(self, *_: int) -> None:
        if self._settling.isActive() and self._revealed is not None:
            widget = self._revealed
            QTimer.singleShot(0, self, lambda: self.ensureWidgetVisible(widget, 0, 12))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the layout of what is in it."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
