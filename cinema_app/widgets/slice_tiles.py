"""Small pictures of slices before and after: what the old and the new model draw, against the reader's contour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from cinema_app.widgets.appearance import muted
from cinema_app.widgets.picture_painting import borders, grey_levels, paint_border, paint_image, polygon
from cinema_core.engine.messages import ChangedSlice

TILE_PX: Final = 122
"""Three beside each other fit the narrowest panel."""

DISPLAYED_PERCENTILES: Final = (1, 99)

TIP: Final = (
    "White dots: your contour. Lines: what the model draws, blue RV, yellow outer border of the muscle, orange LV. "
    "Click to go there."
)


class SliceTiles(QWidget):
    """A column per slice: before above, after below, words at the foot.

    Parameters
    ----------
    look
        Called with a slice whose picture was clicked.
    """

    def __init__(self, look: Callable[[ChangedSlice], object], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.tiles: list[SliceTile] = []
        """Two per slice: before, after."""
        self._captions: list[QLabel] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(3)

    def show_slices(self, slices: Sequence[ChangedSlice], words: Callable[[ChangedSlice], str]) -> None:
        """Show these slices instead of the last ones.

        Parameters
        ----------
        words
            Says below a slice which one it is.
        """
        for old in (*self.tiles, *self._captions):
            self._grid.removeWidget(old)
            old.hide()  # it is deleted only when Qt comes to it
            old.deleteLater()
        self.tiles, self._captions = [], []
        for column, changed in enumerate(slices):
            for row, (title, labels) in enumerate((("before", changed.before), ("after", changed.after))):
                tile = SliceTile(changed, labels, title, self._look)
                self._grid.addWidget(tile, row, column)
                self.tiles.append(tile)
            caption = muted(words(changed))
            caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            self._grid.addWidget(caption, 2, column)
            self._captions.append(caption)
            self._grid.setColumnStretch(column, 0)
        self._grid.setColumnStretch(len(slices), 1)  # few slices stay on the left
        self.setVisible(bool(slices))


class SliceTile(QWidget):
    """One slice with the contours of a model and, dotted, of the reader."""

    def __init__(
        self,
        changed: ChangedSlice,
        labels: NDArray[np.uint8],
        title: str,
        look: Callable[[ChangedSlice], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._changed = changed
        self._title = title
        self._look = look
        self._grey = _grey(changed.image)
        self._drawn = borders(labels)
        self._readers = borders(changed.truth)
        self.setFixedSize(TILE_PX, TILE_PX)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(TIP)

    def mouseReleaseEvent(self, event: Any) -> None:
        """Go to the slice."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._look(self._changed)

    def paintEvent(self, event: Any) -> None:
        """Draw the slice as large as it fits, then the contours."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor("black"))
        rows, columns = self._grey.shape
        scale = TILE_PX / max(rows, columns)
        place = QRectF(0, 0, columns * scale, rows * scale)
        place.moveCenter(QRectF(self.rect()).center())
        paint_image(painter, place, self._grey)
        for structure, contour in self._drawn:
            paint_border(painter, polygon(contour, place, (scale, scale)), structure)
        for _, contour in self._readers:
            line = polygon(contour, place, (scale, scale))
            pen = QPen(QColor("white"), 1.6, Qt.PenStyle.CustomDashLine, Qt.PenCapStyle.RoundCap)
            pen.setDashPattern([0.1, 2.6])
            painter.setPen(pen)
            painter.drawPolyline(line)
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)
        painter.setFont(font)
        words = QRectF(painter.fontMetrics().boundingRect(self._title)).translated(4, 12).adjusted(-3, -1, 3, 1)
        painter.fillRect(words, QColor(0, 0, 0, 170))
        painter.setPen(QColor("white"))
        painter.drawText(QPointF(4, 12), self._title)
        painter.end()


def _grey(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = np.percentile(image, DISPLAYED_PERCENTILES)
    return grey_levels(image, (float(low), float(high)))
