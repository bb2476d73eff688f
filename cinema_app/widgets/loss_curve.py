"""How the loss falls while a model learns: a small line for each run of a fine-tuning."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from cinema_app.widgets.appearance import MUTED, TEXT

HEIGHT_PX: Final = 54
SMOOTHING: Final = 0.8
"""Share of the line so far in its next point: the loss of single steps says more about their slices than about them."""

TIP: Final = (
    "Loss on the slices learned from; lower is better. Thick: the run under way; thin: those before it, in which "
    "patients were held out"
)


class LossCurve(QWidget):
    """One line per run over its steps; the last one stands out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lines: dict[int, list[float]] = {}
        self.setToolTip(TIP)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hide()

    def sizeHint(self) -> QSize:
        """Qt's question."""
        return QSize(0, HEIGHT_PX)

    def clear(self) -> None:
        """Forget the lines, and take no room."""
        self.lines.clear()
        self.hide()

    def add(self, run: int, loss: float) -> None:
        """Go on with the line of a run; an earlier run than the newest begins all anew."""
        if self.lines and run < max(self.lines):
            self.lines.clear()
        line = self.lines.setdefault(run, [])
        line.append(SMOOTHING * line[-1] + (1 - SMOOTHING) * loss if line else loss)
        self.show()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw all lines on one scale, from zero."""
        if not self.lines:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        room = self.rect().adjusted(1, 3, -1, -2)
        highest = max(max(line) for line in self.lines.values()) or 1.0
        longest = max(2, *(len(line) for line in self.lines.values()))
        painter.setPen(QPen(QColor(MUTED), 1, Qt.PenStyle.DotLine))
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        newest = max(self.lines)
        for run, line in sorted(self.lines.items()):
            points = [
                QPointF(room.left() + room.width() * k / (longest - 1), room.bottom() - room.height() * value / highest)
                for k, value in enumerate(line)
            ]
            painter.setPen(QPen(QColor(TEXT), 2) if run == newest else QPen(QColor(MUTED), 1))
            painter.drawPolyline(QPolygonF(points))
        painter.end()
