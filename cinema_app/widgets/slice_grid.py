"""Every slice at ED and ES as a small picture with its contours; a click goes there."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from qtpy.QtCore import QPoint, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

from cinema_app.labelling import Slice
from cinema_app.layers import DISPLAYED_PERCENTILES, CineLayers
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import MUTED, STATE_COLOURS, TEXT
from cinema_app.widgets.picture_painting import borders, grey_levels, paint_border, paint_image, polygon
from cinema_core.anatomy import LabelState

LEFT, TOP, GAP, STRIPE = 30, 16, 4, 3
"""Pixels for the names of the rows, the numbers of the slices, between pictures, and for a slice's state."""

LARGEST_PX: Final = 150
SHOWN_RADII: Final = 1.25
"""Half the side of a picture, in radii of the heart."""

HERE_COLOUR: Final = "#ffffff"


class SliceGrid(QWidget):
    """A row of pictures for ED and one for ES, a column per slice.

    A picture is drawn once and kept until its own label changes: stepping through the phases repaints the frame of
    one picture at most.
    """

    def __init__(self, reading: Reading, layers: CineLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self._pictures: dict[Slice, QPixmap] = {}
        self._box: tuple[slice, slice] | None = None
        self._limits = (0.0, 1.0)
        self._shown = layers.here
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumSize(QSize(200, 108))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Every slice at ED and ES; click to go there. The stripe below says how far it is.")
        reading.events.cine_changed.connect(self._forget)
        reading.events.labels_changed.connect(self._labels_changed)
        reading.events.phases_changed.connect(self._repaint)
        layers.moved.connect(self._moved)

    def sizeHint(self) -> QSize:
        """Height at which a heart is told from its neighbour; more is taken if it is given."""
        return QSize(400, 168)

    # ---------------------------------------------------------------- what has changed

    def _repaint(self) -> None:
        self.update()

    def _forget(self) -> None:
        self._pictures.clear()
        self._box = None
        self.update()

    def _labels_changed(self, slices: tuple[Slice, ...]) -> None:
        if len(slices) > 1:
            self._forget()  # a model may have shown where the heart is
            return
        for where in slices:
            self._pictures.pop(where, None)
            self.update(self.cell(*where))

    def _moved(self, t: int, z: int) -> None:
        before, self._shown = self._shown, (t, z)
        for where in (before, self._shown):
            self.update(self.cell(*where))
        if before[1] != z:
            self.update(QRect(0, 0, self.width(), TOP))

    # ---------------------------------------------------------------- where the pictures are

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """Name and phase of each row; the first phase alone until ED and ES are known."""
        if not self._reading.is_open:
            return ()
        choice = self._reading.phases
        return (("1", 0),) if choice is None else (("ED", choice.ed_phase), ("ES", choice.es_phase))

    def _side(self) -> int:
        n = self._reading.cine.n_slices
        wide = (self.width() - LEFT) / n - GAP
        high = (self.height() - TOP) / max(len(self.rows), 1) - GAP - STRIPE
        return max(8, min(int(wide), int(high), LARGEST_PX))

    def cell(self, t: int, z: int) -> QRect:
        """Place of a picture, its frame and stripe included; empty for a slice that is not shown."""
        phases = [phase for _, phase in self.rows]
        if t not in phases:
            return QRect()
        side = self._side()
        return QRect(
            LEFT + z * (side + GAP), TOP + phases.index(t) * (side + STRIPE + GAP), side + GAP, side + STRIPE + GAP
        )

    def slice_at(self, point: QPoint) -> Slice | None:
        """Slice whose picture is at a point; None beside them."""
        if not self._reading.is_open:
            return None
        places = ((t, z) for _, t in self.rows for z in range(self._reading.cine.n_slices))
        return next((where for where in places if self.cell(*where).contains(point)), None)

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice that was clicked."""
        if where := self.slice_at(event.position().toPoint()):
            self._layers.go_to(*where)

    def resizeEvent(self, event: Any) -> None:
        """Draw the pictures again, for they are kept at their size."""
        self._pictures.clear()
        super().resizeEvent(event)

    # ---------------------------------------------------------------- painting

    def paintEvent(self, event: Any) -> None:
        """Paint what the event asks for."""
        if not self._reading.is_open:
            return
        painter = QPainter(self)
        self._paint_words(painter)
        for _, t in self.rows:
            for z in range(self._reading.cine.n_slices):
                if event.rect().intersects(self.cell(t, z)):
                    self._paint_cell(painter, t, z)
        painter.end()

    def _paint_words(self, painter: QPainter) -> None:
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        here = self._layers.here
        side = self._side()
        for z in range(self._reading.cine.n_slices):
            painter.setPen(QColor(TEXT if z == here[1] else MUTED))
            font.setBold(z == here[1])
            painter.setFont(font)
            box = QRect(LEFT + z * (side + GAP), 0, side + GAP, TOP - 2)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(z + 1))
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(TEXT))
        for name, t in self.rows:
            box = QRect(0, self.cell(t, 0).y(), LEFT - 6, side)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, name)

    def _paint_cell(self, painter: QPainter, t: int, z: int) -> None:
        cell, side = self.cell(t, z), self._side()
        place = QRect(cell.x() + GAP // 2, cell.y() + GAP // 2, side, side)
        if (t, z) not in self._pictures:
            self._pictures[t, z] = self._draw(t, z, side)
        painter.drawPixmap(place, self._pictures[t, z])
        state = self._reading.state(t, z)
        painter.fillRect(QRect(place.x(), place.bottom() + 1, side, STRIPE), QColor(STATE_COLOURS[state]))
        if (t, z) == self._layers.here:
            painter.setPen(QPen(QColor(HERE_COLOUR), 2))
            painter.drawRect(QRect(place.x(), place.y(), side - 1, side + STRIPE))

    def _draw(self, t: int, z: int, side: int) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(round(side * ratio), round(side * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(QColor("black"))
        painter = QPainter(picture)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        cine = self._reading.cine
        if cine.has_image(t, z):
            rows, columns = self._around_heart()
            grey = grey_levels(cine.pixels[t, z, rows, columns], self._limits)
            dy, dx = cine.geometry.pixel_spacing_mm
            height, width = grey.shape[0] * dy, grey.shape[1] * dx
            scale = side / max(height, width)
            place = QRectF(0, 0, width * scale, height * scale)
            place.moveCenter(QRectF(0, 0, side, side).center())
            paint_image(painter, place, grey)
            if self._reading.state(t, z) is not LabelState.ABSENT:
                for structure, contour in borders(self._reading.labels[t, z, rows, columns]):
                    paint_border(painter, polygon(contour, place, (dy * scale, dx * scale)), structure, 1.3)
        else:
            painter.setPen(QColor(MUTED))
            painter.drawText(QRect(0, 0, side, side), Qt.AlignmentFlag.AlignCenter, "no image")
        painter.end()
        return picture

    def _around_heart(self) -> tuple[slice, slice]:
        """Rows and columns about the heart, the same for every picture."""
        if self._box is None:
            (y_mm, x_mm), radius_mm = self._layers.heart_mm()
            cine = self._reading.cine
            spans = []
            for centre_mm, spacing, size in zip(
                (y_mm, x_mm), cine.geometry.pixel_spacing_mm, cine.shape[2:], strict=True
            ):
                centre, reach = centre_mm / spacing, SHOWN_RADII * radius_mm / spacing
                spans.append(slice(max(0, round(centre - reach)), min(size, round(centre + reach) + 1)))
            self._box = spans[0], spans[1]
            shown = np.asarray(cine.pixels[self.rows[0][1]][:, spans[0], spans[1]], dtype=np.float32)
            low, high = np.percentile(shown, DISPLAYED_PERCENTILES)
            self._limits = float(low), float(high)
        return self._box
