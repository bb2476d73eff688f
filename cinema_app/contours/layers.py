"""The viewed slice's contours over the image: one layer for the curves, one for the points of the curve in hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Layer, Points, Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer

from cinema_app.contours.curve import Points as Places
from cinema_app.contours.editor import ContourEditor, Grip
from cinema_app.layers import FLAT, CineLayers, Tool
from cinema_app.reading import Reading
from cinema_core.anatomy import Structure
from cinema_core.io.contours import Outline

if TYPE_CHECKING:
    from napari.components import ViewerModel

COLOURS: Final = {
    Outline.LV_ENDO: Structure.LV_CAVITY.colour,
    Outline.LV_EPI: Structure.LV_MYOCARDIUM.colour,
    Outline.RV_ENDO: Structure.RV_CAVITY.colour,
}
STROKE_COLOUR: Final = "#ffffff"
LINE_PX: Final = 2.0
LINE_IN_HAND_PX: Final = 3.0
POINT_PX: Final = 9.0
"""Widths on the screen, whatever the zoom: in millimetres they vanish when the whole chest is on show."""

NEAR_PX: Final = 9.0
"""Pixels of the screen around a curve or point in which the mouse takes hold of it."""

REST_MS: Final = 150
"""Steps that follow each other faster are a cine: the eye follows the beat, and no contour is corrected."""


class ContourLayers:
    """A shapes and a points layer for the contours of the viewed slice, and the mouse on them.

    Hidden rules, and why:

    * Both layers are made when the tool is first taken, then hidden and filled again: removing and adding layers
      crashes some GL drivers. They are flat, so napari shows them on every slice, and hold the viewed one's only:
      the contours of a whole cine would make every edit slow.
    * The tool is in hand while the shapes layer is the active one: choosing another layer or the brush lays it down.
    * napari edits nothing here. Its own shape tools know neither undo nor the label.
    * The label's outline in pixels is hidden meanwhile, but not on a slice where it shows what no contour does.
    * While the heart beats, that outline stands in for the contours: napari needs as long to set up three curves as
      for a whole redraw. They are back once the image rests.
    """

    in_hand_changed = Signal()
    hidden_changed = Signal()
    """What is drawn was hidden with its key, or shown again."""

    def __init__(self, viewer: ViewerModel, reading: Reading, editor: ContourEditor, cine_layers: CineLayers) -> None:
        self._viewer = viewer
        self._reading = reading
        self._editor = editor
        self._cine_layers = cine_layers
        self._setting = False
        self._hidden = False
        self._looks: list[tuple[str, float]] = []
        self.shapes: Shapes | None = None
        self.points: Points | None = None
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._come_to_rest)
        self._moving = False
        editor.go_to(*cine_layers.here)
        cine_layers.moved.connect(self._moved)
        cine_layers.visibility_changed.connect(self._visibility_changed)
        editor.changed.connect(self._show)
        reading.events.labels_changed.connect(self._labels_changed)
        viewer.layers.events.removed.connect(self._forget_removed)
        viewer.layers.selection.events.active.connect(self._active_changed)
        viewer.scene.camera.events.zoom.connect(self._show)

    def close(self) -> None:
        """Stop listening; the layers stay in the viewer."""
        self._rest.stop()
        self._viewer.layers.events.removed.disconnect(self._forget_removed)
        self._viewer.layers.selection.events.active.disconnect(self._active_changed)
        self._viewer.scene.camera.events.zoom.disconnect(self._show)

    # ---------------------------------------------------------------- the tool

    @property
    def in_hand(self) -> bool:
        """Whether the mouse moves contours."""
        return self.shapes is not None and self._viewer.layers.selection.active is self.shapes

    def take(self) -> None:
        """Take the contour tool in hand; a second call lays it down."""
        if not self._reading.is_open:
            return
        if self.in_hand:
            self._cine_layers.use(Tool.MOVE)
            return
        here = self._cine_layers.here
        with self._we_set():
            self._make()
        self._hidden = False
        self._editor.go_to(*here)
        if self._viewer.layers.selection.active is not self.shapes:
            self._viewer.layers.selection.active = self.shapes
        else:
            self._active_changed()
        # A new layer may move the slider's position, which napari keeps in millimetres.
        self._cine_layers.go_to(*here)

    def draw(self) -> None:
        """Draw the contour in hand afresh; takes the tool first where it is not in hand."""
        if not self.in_hand:
            self.take()
        self._editor.start_drawing()

    def toggle(self) -> None:
        """Hide the contours, or show them again."""
        self._hidden = not self._hidden
        self._show()
        self.hidden_changed.emit()

    @property
    def all_hidden(self) -> bool:
        """Whether the reader wants to see the image alone: no smooth contours, and without them no label."""
        labels = self._cine_layers.labels
        return self._hidden if self.in_hand else labels is not None and not labels.visible

    def _make(self) -> None:
        dy, dx = self._reading.cine.geometry.pixel_spacing_mm
        if self.shapes is None:
            self._looks = []
            self.shapes = Shapes(name="Smooth contours", ndim=2, scale=(dy, dx), opacity=1.0, axis_labels=FLAT)
            self._viewer.add_layer(self.shapes)
            self.shapes.mouse_drag_callbacks.append(self._on_drag)
            self.shapes.mouse_move_callbacks.append(self._on_move)
            self.shapes.mouse_double_click_callbacks.append(self._on_double_click)
        if self.points is None:
            self.points = Points(
                np.empty((0, 2)),
                name="Contour points",
                scale=(dy, dx),
                opacity=1.0,
                border_color="black",
                axis_labels=FLAT,
            )
            self._viewer.add_layer(self.points)
        self.shapes.scale = self.points.scale = (dy, dx)

    def _active_changed(self, event: Any = None) -> None:
        if self.shapes is None or self._setting:
            return
        labels = self._cine_layers.labels
        if not self.in_hand and (self.shapes.visible or self._moving):
            self._moving = False
            self._editor.cancel()
            self.shapes.visible = False
            if self.points is not None:
                self.points.visible = False
            if labels is not None:
                labels.visible = True
        self._show()
        self.in_hand_changed.emit()
        self.hidden_changed.emit()

    def _visibility_changed(self) -> None:
        if not self.in_hand and not self._setting:
            self.hidden_changed.emit()

    def _moved(self, t: int, z: int) -> None:
        self._moving = self._rest.isActive()
        self._rest.start()
        self._editor.go_to(t, z)

    def _come_to_rest(self) -> None:
        self._rest.stop()
        if self._moving:
            self._moving = False
            self._show()

    def _labels_changed(self, slices: tuple[tuple[int, int], ...]) -> None:
        if self._editor.here in slices:
            self._show()

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        if not self.in_hand or self.shapes is None or self._setting:
            return
        with self._we_set():
            editor = self._editor
            # Before anything else: napari looks up the points of a hidden layer only when it is shown again, and
            # meanwhile fails on a new colour if there are fewer of them than before.
            shown = not self._hidden and not self._moving
            _show_if(self.shapes, shown)
            _show_if(self.points, shown)
            _show_if(self._cine_layers.labels, not self._hidden and (self._moving or not editor.shows_all))
            if not shown:
                return
            lines = [
                (np.vstack([curve.outline, curve.outline[:1]]), COLOURS[border], self._width(border))
                for border, curve in editor.curves.items()
            ]
            if len(editor.stroke) > 1:
                lines.append((np.array(editor.stroke), STROKE_COLOUR, LINE_IN_HAND_PX))
            self._show_lines(lines)
            self._show_points()

    def _width(self, border: Outline) -> float:
        return LINE_IN_HAND_PX if border is self._editor.chosen else LINE_PX

    def _show_lines(self, lines: list[tuple[Places, str, float]]) -> None:
        assert self.shapes is not None
        looks = [(colour, self._in_image(width)) for _, colour, width in lines]
        with self.shapes.events.data.blocker():
            if looks == self._looks and looks:
                self.shapes.data = [line for line, _, _ in lines]  # half the time of making them anew
                return
            self._looks = looks
            self.shapes.data = []
            if lines:
                self.shapes.add(
                    [line for line, _, _ in lines],
                    shape_type="path",
                    edge_color=[colour for colour, _ in looks],
                    edge_width=[width for _, width in looks],
                    face_color="transparent",
                )

    def _show_points(self) -> None:
        if self.points is None:
            return
        editor = self._editor
        colour = COLOURS[editor.chosen]
        if editor.stroke:
            places, colour = np.array(editor.stroke[:1]), STROKE_COLOUR
        elif editor.chosen in editor.curves and not editor.is_drawing:
            places = editor.curves[editor.chosen].points
        else:
            places = np.empty((0, 2))
        with self.points.events.data.blocker():
            self.points.data = places
        self.points.selected_data = set()
        self.points.face_color = colour
        self.points.size = self._in_image(POINT_PX)

    def _in_image(self, px: float) -> float:
        """Pixels of the image that so many of the screen show."""
        assert self.shapes is not None
        return px / float(self._viewer.scene.camera.zoom) / float(np.mean(self.shapes.scale[-2:]))

    @contextmanager
    def _we_set(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    # ---------------------------------------------------------------- the mouse

    def _place(self, event: Any) -> tuple[Places, float]:
        """Where the mouse is in image pixels (y, x), and how many of them count as near."""
        assert self.shapes is not None
        return np.asarray(event.position[-2:]) / np.asarray(self.shapes.scale[-2:]), self._in_image(NEAR_PX)

    def _on_move(self, layer: Shapes, event: Any) -> None:
        """Leave dragging beside the contours to napari, which moves the image."""
        place, near = self._place(event)
        on_contour = self._editor.is_drawing or self._editor.border_at(place, near) is not None
        layer.mouse_pan = not on_contour
        if self._editor.is_drawing:
            layer.cursor = "cross"
        else:
            layer.cursor = "pointing" if on_contour else "standard"

    def _on_drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        if event.button != 1 or self._hidden or event.handled:  # handled: the mouse holds an insertion point
            return
        self._come_to_rest()
        self._on_move(layer, event)
        yield from self._draw(event) if self._editor.is_drawing else self._hold(event)

    def _hold(self, event: Any) -> Iterator[None]:
        held = event.modifiers
        grip = Grip.MOVE if "Shift" in held else Grip.SCALE if "Control" in held else Grip.SHAPE
        place, near = self._place(event)
        if not self._editor.press(place, near, grip):
            return
        yield
        while event.type == "mouse_move":
            self._editor.drag(self._place(event)[0])
            yield
        self._editor.release()

    def _draw(self, event: Any) -> Iterator[None]:
        by_clicks = bool(self._editor.stroke)
        self._editor.draw_to(self._place(event)[0])
        yield
        moved = False
        while event.type == "mouse_move":
            moved = True
            if not by_clicks:
                self._editor.draw_to(self._place(event)[0])
            yield
        if moved and not by_clicks:
            self._editor.close_stroke()

    def _on_double_click(self, layer: Shapes, event: Any) -> None:
        event.handled = True
        if self._editor.is_drawing:
            self._editor.close_stroke(by_clicks=True)
        else:
            self._editor.add_or_remove_point(*self._place(event))

    def add_or_remove_point(self) -> None:
        """Add a point to the contour under the mouse, or take the point there away."""
        if self.shapes is not None:
            self._editor.add_or_remove_point(*self._place(self._viewer.cursor))

    def close_stroke(self) -> None:
        """Close the contour that is being drawn by clicks."""
        if self._editor.is_drawing and self._editor.stroke:
            self._editor.close_stroke(by_clicks=True)

    def _forget_removed(self, event: Any) -> None:
        if event.value is self.shapes:
            self.shapes = None
        if event.value is self.points:
            self.points = None


def _show_if(layer: Layer | None, visible: bool) -> None:
    """Hide or show a layer; napari draws everything anew also if nothing changes."""
    if layer is not None and layer.visible != visible:
        layer.visible = visible
