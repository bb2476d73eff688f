"""The long-axis views beside the short axis: where the viewed slice lies on them, and where its contours end."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.key_choices import keyed
from cinema_app.labelling import Slice
from cinema_app.layers import DISPLAYED_PERCENTILES, CineLayers
from cinema_app.long_axis import LONG_AXES, LongAxisViews, Places
from cinema_app.news import Severity
from cinema_app.plane_lines import VIEW_COLOURS, PlaneLines
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import NOTICE_COLOURS
from cinema_app.widgets.picture_painting import grey_levels, paint_image
from cinema_core.cine import Cine, View
from cinema_core.geometry import to_pixels

MARGIN_MM: Final = 35.0
"""Shown around the stack of slices: the atria and the wall of the chest say where one is."""

LINE_COLOUR: Final = "#ffffff"
DOT_PX, DOT_HERE_PX = 1.7, 3.2
TIP: Final = (
    "White line: the short-axis slice on show. Dots: where the contours of each slice pass through this plane, blue "
    "RV, yellow outer border of the muscle, orange LV; large ones those of the slice on show. Click to go to a slice."
)


class LongAxisPanel(QWidget):
    """The long-axis cines of the study, one below the other, at the phase on show."""

    def __init__(
        self,
        reading: Reading,
        layers: CineLayers,
        views: LongAxisViews,
        lines: PlaneLines,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._views = views
        self._lines = lines
        self.pictures = {view: LongAxisPicture(view, reading, layers, views) for view in LONG_AXES}
        self.lines = QCheckBox("Their lines on the image")
        self.lines.setToolTip(keyed("Show where these planes cut the short axis, each in the colour of its name", "X"))
        self.lines.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.lines.clicked.connect(self.toggle_lines)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 8, 4, 4)
        layout.setSpacing(4)
        for picture in self.pictures.values():
            layout.addWidget(picture, 1)
        layout.addWidget(self.lines)
        self._show()
        reading.events.cine_changed.connect(self._show)

    @property
    def has_content(self) -> bool:
        """Whether the open study has a long-axis view to show."""
        return bool(self._views.cines)

    def toggle_lines(self) -> None:
        """Hide the planes' lines on the short axis, or show them again."""
        self._lines.toggle()
        self._show()

    def _show(self) -> None:
        for view, picture in self.pictures.items():
            picture.setVisible(view in self._views.cines)
        with signals_blocked(self.lines):
            self.lines.setChecked(self._lines.wanted)


class LongAxisPicture(QWidget):
    """One long-axis cine."""

    def __init__(
        self, view: View, reading: Reading, layers: CineLayers, views: LongAxisViews, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._view = view
        self._reading = reading
        self._layers = layers
        self._views = views
        self._box: tuple[slice, slice] | None = None
        self._greys: dict[int, NDArray[np.uint8]] = {}
        self._limits = (0.0, 1.0)
        self.setMinimumSize(QSize(120, 90))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._forget()
        reading.events.cine_changed.connect(self._forget)
        reading.events.labels_changed.connect(self._labels_changed)
        layers.moved.connect(self._moved)

    def sizeHint(self) -> QSize:
        """Square, so that three of them fill the height of a screen."""
        return QSize(200, 200)

    def _forget(self) -> None:
        self._box = None
        self._greys.clear()
        why = self._views.why_no_lines(self._view) if self._view in self._views.cines else ""
        self.setToolTip(why or TIP)
        self.update()

    def _labels_changed(self, slices: tuple[Slice, ...]) -> None:
        if len(slices) > 1:
            self._forget()  # a model may have shown where the heart is
        elif slices[0][0] == self._layers.here[0]:
            self.update()

    def _moved(self, *_: object) -> None:
        self.update()

    # ---------------------------------------------------------------- places

    def _around_heart(self) -> tuple[slice, slice]:
        """Rows and columns about the stack of short-axis slices; all of them where it is not known where that lies."""
        if self._box is None:
            cine = self._views.cines[self._view]
            self._box = self._whole(cine) if self._views.why_no_lines(self._view) else self._around_stack(cine)
            shown = np.asarray(cine.pixels[0, 0, self._box[0], self._box[1]], dtype=np.float32)
            low, high = np.percentile(shown, DISPLAYED_PERCENTILES)
            self._limits = float(low), float(high)
        return self._box

    @staticmethod
    def _whole(cine: Cine) -> tuple[slice, slice]:
        rows, columns = cine.image_extent(0)
        return slice(0, rows), slice(0, columns)

    def _around_stack(self, cine: Cine) -> tuple[slice, slice]:
        (y_mm, x_mm), radius_mm = self._layers.heart_mm()
        stack = self._reading.cine.geometry.planes
        dy, dx = self._reading.cine.geometry.pixel_spacing_mm
        axis_mm = np.stack([plane.to_world_mm(y_mm / dy, x_mm / dx) for plane in (stack[0], stack[-1])])
        ends = to_pixels(cine.geometry.planes[0], axis_mm)  # (base and apex, y and x)
        spacing = np.array(cine.geometry.planes[0].spacing_mm)
        reach_mm = max(radius_mm, float(np.abs(np.diff(ends, axis=0) * spacing).max()) / 2) + MARGIN_MM
        spans = []
        for centre, mm, size in zip(ends.mean(axis=0), spacing, cine.image_extent(0), strict=True):
            first, last = round(centre - reach_mm / mm), round(centre + reach_mm / mm) + 1
            spans.append(slice(min(max(0, first), size - 1), max(min(size, last), 1)))
        return spans[0], spans[1]

    def _place(self) -> QRectF:
        """Where the picture is painted: as large as it fits, in the proportions of the body."""
        rows, columns = self._around_heart()
        dy, dx = self._views.cines[self._view].geometry.planes[0].spacing_mm
        height, width = (rows.stop - rows.start) * dy, (columns.stop - columns.start) * dx
        scale = min(self.width() / width, self.height() / height)
        place = QRectF(0, 0, width * scale, height * scale)
        place.moveCenter(QRectF(self.rect()).center())
        return place

    def on_screen(self, places: Places) -> list[QPointF]:
        """Points of the widget for places (y, x) of the image, shape (n, 2)."""
        rows, columns = self._around_heart()
        place = self._place()
        per_row, per_column = place.height() / (rows.stop - rows.start), place.width() / (columns.stop - columns.start)
        return [
            QPointF(
                place.x() + (x - columns.start + 0.5) * per_column,
                place.y() + (y - rows.start + 0.5) * per_row,
            )
            for y, x in places.tolist()
        ]

    def mousePressEvent(self, event: Any) -> None:
        """Go to the short-axis slice that lies nearest to what was clicked."""
        if self._view not in self._views.cines:
            return
        rows, columns = self._around_heart()
        place, at = self._place(), event.position()
        y = rows.start - 0.5 + (at.y() - place.y()) / place.height() * (rows.stop - rows.start)
        x = columns.start - 0.5 + (at.x() - place.x()) / place.width() * (columns.stop - columns.start)
        z = self._views.slice_at(self._view, (y, x))
        if z is not None:
            self._layers.go_to(self._layers.here[0], z)

    # ---------------------------------------------------------------- painting

    def paintEvent(self, event: Any) -> None:
        """Paint the image, the slice's line, and the dots."""
        if self._view not in self._views.cines:
            return
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor("black"))
        place = self._place()
        paint_image(painter, place, self._grey(self._views.phase_of(self._view, self._layers.here[0])))
        painter.setClipRect(place)
        self._paint_line(painter)
        self._paint_dots(painter)
        painter.setClipping(False)
        self._paint_name(painter)
        self._paint_reason(painter)
        painter.end()

    def _grey(self, t: int) -> NDArray[np.uint8]:
        if t not in self._greys:
            rows, columns = self._around_heart()
            self._greys[t] = grey_levels(self._views.cines[self._view].pixels[t, 0, rows, columns], self._limits)
        return self._greys[t]

    def _paint_line(self, painter: QPainter) -> None:
        line = self._views.line_on_long_axis(self._view, self._layers.here[1])
        if line is None:
            return
        start, end = self.on_screen(line)
        painter.setPen(QPen(QColor(0, 0, 0, 140), 2.6))
        painter.drawLine(start, end)
        painter.setPen(QPen(QColor(LINE_COLOUR), 1.1))
        painter.drawLine(start, end)

    def _paint_dots(self, painter: QPainter) -> None:
        t, z = self._layers.here
        crossings = self._views.crossings(self._view, t)
        painter.setPen(QPen(QColor(0, 0, 0, 170), 0.8))
        for crossing in sorted(crossings, key=lambda crossing: crossing.z == z):
            radius = DOT_HERE_PX if crossing.z == z else DOT_PX
            for structure, places in crossing.places.items():
                painter.setBrush(QColor(structure.colour))
                for point in self.on_screen(places):
                    painter.drawEllipse(point, radius, radius)

    def _paint_reason(self, painter: QPainter) -> None:
        """Write at the foot why there are no lines; in words, as their absence looks like a plane that misses."""
        why = self._views.why_no_lines(self._view)
        if not why:
            return
        font = painter.font()
        font.setPixelSize(10)
        font.setBold(False)
        painter.setFont(font)
        flags = Qt.AlignmentFlag.AlignBottom | Qt.TextFlag.TextWordWrap
        room = QRectF(self.rect()).adjusted(5, 20, -5, -3)
        box = painter.boundingRect(room, flags, why)
        painter.fillRect(box.adjusted(-5, -2, 5, 3), QColor(0, 0, 0, 190))
        painter.setPen(QColor(NOTICE_COLOURS[Severity.WARNING]))
        painter.drawText(room, flags, why)

    def _paint_name(self, painter: QPainter) -> None:
        font = painter.font()
        font.setPixelSize(11)
        font.setBold(True)
        painter.setFont(font)
        name = self._view.display_name
        box = QRectF(painter.fontMetrics().boundingRect(name)).translated(5, 14)
        painter.fillRect(box.adjusted(-4, -1, 4, 2), QColor(0, 0, 0, 170))
        painter.setPen(QColor(VIEW_COLOURS[self._view]))
        painter.drawText(QPointF(5, 14), name)
