"""Slices by phases, coloured by how far each has been looked at; a click goes there."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from cinema_app.labelling import Slice
from cinema_app.layers import CineLayers
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import MUTED, STATE_COLOURS, TEXT

MARGIN_LEFT = 26
MARGIN_BOTTOM = 15


class StateMap(QWidget):
    """One cell per slice: phases along, slices from the first down."""

    def __init__(self, reading: Reading, layers: CineLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        for signal in (reading.events.cine_changed, reading.events.labels_changed, reading.events.phases_changed):
            signal.connect(self._repaint)
        layers.moved.connect(self._repaint)

    def sizeHint(self) -> QSize:
        """Height that leaves room for the other panels on a small screen."""
        return QSize(200, 84)

    def _repaint(self) -> None:
        self.update()

    def slice_at(self, point: QPoint) -> Slice | None:
        """Slice under a point of the widget; None beside the map."""
        if not self._reading.is_open:
            return None
        cell = self._cell()
        t = int((point.x() - MARGIN_LEFT) // cell.width())
        z = int(point.y() // cell.height())
        n_t, n_z = self._reading.cine.shape[:2]
        return (t, z) if 0 <= t < n_t and 0 <= z < n_z else None

    def centre_of(self, t: int, z: int) -> QPoint:
        """Middle of a slice's cell."""
        cell = self._cell()
        return QPoint(round(MARGIN_LEFT + (t + 0.5) * cell.width()), round((z + 0.5) * cell.height()))

    def _cell(self) -> QRectF:
        n_t, n_z = self._reading.cine.shape[:2]
        return QRectF(0, 0, (self.width() - MARGIN_LEFT - 2) / n_t, (self.height() - MARGIN_BOTTOM) / n_z)

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice that was clicked."""
        if where := self.slice_at(event.position().toPoint()):
            self._layers.go_to(*where)

    def mouseMoveEvent(self, event: Any) -> None:
        """Scrub while the button is held, else say which slice is under the mouse."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.mousePressEvent(event)
        elif where := self.slice_at(event.position().toPoint()):
            text = f"Phase {where[0] + 1}, slice {where[1] + 1}: {self._words(*where)}"
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def _words(self, t: int, z: int) -> str:
        return self._reading.state(t, z).value if self._reading.cine.has_image(t, z) else "no image"

    def paintEvent(self, event: Any) -> None:
        """Draw the map; images that do not exist are hatched."""
        if not self._reading.is_open:
            return
        painter = QPainter(self)
        cell = self._cell()
        n_t, n_z = self._reading.cine.shape[:2]
        gap = 1.0 if cell.width() > 4 and cell.height() > 3 else 0.0
        for t in range(n_t):
            for z in range(n_z):
                box = QRectF(MARGIN_LEFT + t * cell.width(), z * cell.height(), cell.width() - gap, cell.height() - gap)
                painter.fillRect(box, QColor(STATE_COLOURS[self._reading.state(t, z)]))
                if not self._reading.cine.has_image(t, z):
                    painter.fillRect(box, QBrush(QColor(MUTED), Qt.BrushStyle.BDiagPattern))
        self._paint_here(painter, cell)
        self._paint_words(painter, cell, n_t)
        painter.end()

    def _paint_here(self, painter: QPainter, cell: QRectF) -> None:
        t, z = self._layers.here
        painter.setPen(QPen(QColor(TEXT), 2))
        painter.drawRect(QRectF(MARGIN_LEFT + t * cell.width() - 1, z * cell.height(), cell.width(), cell.height()))

    def _paint_words(self, painter: QPainter, cell: QRectF, n_t: int) -> None:
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(QColor(MUTED))
        bottom = self.height() - MARGIN_BOTTOM
        # Numbers, not base and apex: which end comes first is for the reader to see.
        for number, top in ((1, 0), (self._reading.cine.n_slices, bottom - 13)):
            painter.drawText(QRectF(0, top, MARGIN_LEFT - 5, 12), Qt.AlignmentFlag.AlignRight, str(number))
        choice = self._reading.phases
        if choice is None:
            return
        painter.setPen(QColor(TEXT))
        for name, t in (("ED", choice.ed_phase), ("ES", choice.es_phase)):
            centre = MARGIN_LEFT + (t + 0.5) * cell.width()
            painter.drawText(QRectF(centre - 12, bottom + 1, 24, 13), Qt.AlignmentFlag.AlignHCenter, name)
