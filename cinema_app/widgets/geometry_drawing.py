"""Where the slices of a study lie in the body, which phases there are, and small pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QImage, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from cinema_app.widgets.appearance import MUTED, TEXT
from cinema_core.cine import Cine

BASE, APEX, OTHER, GROUND = "#ffb454", "#59c2ff", "#8b919c", "#1d2026"
"""First slice, last slice, the other cines, and what they are drawn on; amber and sky blue differ for every eye."""

THUMBNAIL: Final = 92
"""Side of a small picture, in pixels of the screen."""

_FRONT: Final = (np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]), "From the front", ("R", "L", "head", "foot"))
_SIDE: Final = (np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]), "From the left", ("front", "back", "head", "foot"))
"""LPS to (right, down) of the screen: as a reader looks at the patient, and then at the patient's left side."""


class StackDrawing(QWidget):
    """The outlines of all slices, seen from the front and from the left."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cines: tuple[Cine, ...] = ()
        self._chosen = ""
        self.setMinimumSize(QSize(460, 240))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_cines(self, cines: Sequence[Cine], chosen: str) -> None:
        """Draw the cines that say where they lie; the chosen one in colours."""
        self._cines = tuple(cine for cine in cines if cine.geometry.spacing_is_stated)
        self._chosen = chosen
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both views side by side."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(GROUND))
        chosen = [cine for cine in self._cines if cine.id == self._chosen]
        if not chosen:
            painter.setPen(QColor(TEXT))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "This cine does not say where it lies.")
            return
        corners = np.concatenate([outline for cine in self._cines for outline in outlines(cine)])
        centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        half = self.width() / 2
        reach = float(np.abs(corners - centre).max()) or 1.0
        scale = 0.5 * min(half - 28, self.height() - 44) / reach
        for k, (projection, title, sides) in enumerate((_FRONT, _SIDE)):
            box = QRectF(k * half, 0, half, self.height())
            self._draw(painter, box, projection, centre, scale)
            _draw_frame(painter, box, title, sides)
        self._draw_legend(painter, chosen[0])

    def _draw(
        self, painter: QPainter, box: QRectF, projection: NDArray[np.float64], centre: NDArray[np.float64], scale: float
    ) -> None:
        middle = np.array([box.center().x(), box.center().y() + 4])

        def on_screen(points: NDArray[np.float64]) -> QPolygonF:
            return QPolygonF([QPointF(*xy) for xy in middle + scale * (points - centre) @ projection.T])

        for cine in sorted(self._cines, key=lambda cine: cine.id == self._chosen):
            for z, outline in enumerate(outlines(cine)):
                colour = QColor(slice_colour(cine, z) if cine.id == self._chosen else OTHER)
                painter.setPen(QPen(colour, 1.6 if cine.id == self._chosen else 0.8))
                colour.setAlpha(26 if cine.id == self._chosen else 8)
                painter.setBrush(QBrush(colour))
                painter.drawPolygon(on_screen(outline))
        chosen = next(cine for cine in self._cines if cine.id == self._chosen)
        if chosen.n_slices > 1:
            _draw_arrow(painter, on_screen(np.stack([_middle(chosen, z) for z in _base_and_apex(chosen)])))

    def _draw_legend(self, painter: QPainter, cine: Cine) -> None:
        if cine.n_slices == 1:
            return
        painter.setPen(QColor(BASE))
        painter.drawText(QPointF(8, self.height() - 8), "base")
        painter.setPen(QColor(APEX))
        painter.drawText(QPointF(44, self.height() - 8), "apex")


class PhaseMap(QWidget):
    """Which slice (rows) has an image in which phase (columns)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cine: Cine | None = None
        self.setMinimumHeight(60)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_cine(self, cine: Cine) -> None:
        """Draw the images of a cine."""
        self._cine = cine
        n_gaps = len(cine.missing)
        self.setToolTip("Every slice has every phase." if not n_gaps else f"{n_gaps} images are missing (hatched).")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a square for each image, hatched where there is none."""
        if self._cine is None:
            return
        painter = QPainter(self)
        cine, left, top = self._cine, 22.0, 16.0
        side = min((self.width() - left - 4) / cine.n_phases, (self.height() - top - 2) / cine.n_slices, 16.0)
        painter.setPen(QColor(MUTED))
        painter.drawText(QPointF(left, 11), f"phases 1 to {cine.n_phases}")
        painter.setPen(Qt.PenStyle.NoPen)
        for z in range(cine.n_slices):
            for t in range(cine.n_phases):
                square = QRectF(left + t * side, top + z * side, side - 1, side - 1)
                if cine.has_image(t, z):
                    painter.fillRect(square, QColor("#5b7fa6"))
                else:
                    painter.fillRect(square, QColor(GROUND))
                    painter.fillRect(square, QBrush(QColor(BASE), Qt.BrushStyle.BDiagPattern))
        painter.setPen(QColor(MUTED))
        for z in {0, cine.n_slices - 1}:
            painter.drawText(QPointF(2, top + (z + 0.8) * side), str(z + 1))


def thumbnail(cine: Cine, t: int, z: int) -> QPixmap:
    """Small picture of an image, in the proportions of the body."""
    rows, columns = cine.image_extent(z)
    frame = np.asarray(cine.pixels[t, z, :rows, :columns], dtype=np.float64)
    low, high = np.percentile(frame, (1, 99.5))
    grey = np.ascontiguousarray(np.clip((frame - low) / max(high - low, 1e-9), 0, 1) * 255, dtype=np.uint8)
    image = QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()
    dy, dx = cine.geometry.planes[z].spacing_mm
    height, width = rows * dy, columns * dx
    size = QSize(round(THUMBNAIL * width / max(height, width)), round(THUMBNAIL * height / max(height, width)))
    return QPixmap.fromImage(
        image.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
    )


def outlines(cine: Cine) -> list[NDArray[np.float64]]:
    """Corners of every slice, shape (4, 3), LPS mm."""
    found = []
    for z, plane in enumerate(cine.geometry.planes):
        rows, columns = cine.image_extent(z)
        edges = ((-0.5, -0.5), (-0.5, columns - 0.5), (rows - 0.5, columns - 0.5), (rows - 0.5, -0.5))
        found.append(np.stack([plane.to_world_mm(y, x) for y, x in edges]))
    return found


def slice_colour(cine: Cine, z: int) -> str:
    """Colour of a slice, from that of the base to that of the apex."""
    share = 0.0 if cine.n_slices == 1 else z / (cine.n_slices - 1)
    share = 1 - share if cine.apex_first else share
    base, apex = QColor(BASE), QColor(APEX)
    pairs = ((base.red(), apex.red()), (base.green(), apex.green()), (base.blue(), apex.blue()))
    red, green, blue = (round(a + share * (b - a)) for a, b in pairs)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _base_and_apex(cine: Cine) -> tuple[int, int]:
    return (cine.n_slices - 1, 0) if cine.apex_first else (0, cine.n_slices - 1)


def _middle(cine: Cine, z: int) -> NDArray[np.float64]:
    rows, columns = cine.image_extent(z)
    return cine.geometry.planes[z].to_world_mm((rows - 1) / 2, (columns - 1) / 2)


def _draw_arrow(painter: QPainter, line: QPolygonF) -> None:
    start, end = line.at(0), line.at(1)
    painter.setPen(QPen(QColor(TEXT), 2))
    painter.drawLine(start, end)
    along = np.array([end.x() - start.x(), end.y() - start.y()])
    length = float(np.linalg.norm(along))
    if length < 4:
        return
    along /= length
    across = np.array([-along[1], along[0]])
    tip = np.array([end.x(), end.y()])
    head = [tip, tip - 9 * along + 4 * across, tip - 9 * along - 4 * across]
    painter.setBrush(QColor(TEXT))
    painter.drawPolygon(QPolygonF([QPointF(*point) for point in head]))


def _draw_frame(painter: QPainter, box: QRectF, title: str, sides: tuple[str, str, str, str]) -> None:
    painter.setPen(QColor(TEXT))
    painter.drawText(QPointF(box.left() + 8, 16), title)
    painter.setPen(QColor(MUTED))
    left, right, top, bottom = sides
    flags = Qt.AlignmentFlag
    inner = box.adjusted(6, 3, -6, -4)
    painter.drawText(inner, flags.AlignLeft | flags.AlignVCenter, left)
    painter.drawText(inner, flags.AlignRight | flags.AlignVCenter, right)
    painter.drawText(inner, flags.AlignHCenter | flags.AlignTop, top)
    painter.drawText(inner, flags.AlignHCenter | flags.AlignBottom, bottom)
