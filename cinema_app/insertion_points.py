"""The RV's insertion points, by which the AHA segments are told apart: on the image at ED, to be moved."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Points
from psygnal import Signal

from cinema_app.contours.curve import Points as Places
from cinema_app.contours.layers import ContourLayers
from cinema_app.layers import FLAT, CineLayers
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_core.errors import CinemaError
from cinema_core.measure import Insertions, WallMeasures
from cinema_core.measure.insertions import suggested_insertions

if TYPE_CHECKING:
    from napari.components import ViewerModel

POINT_COLOUR: Final = "#ffffff"
POINT_MM: Final = 3.5
NAMES: Final = ("anterior\n\n\u00a0", "\n\ninferior")
"""Written above and below their points, away from the wall between them: napari moves all names the same way."""

NAME_SIZE: Final = 10
NEAR_PX: Final = 12.0
"""Pixels of the screen around a point in which the mouse takes hold of it."""


class Found(Enum):
    """Where the insertion points of the viewed slice come from."""

    ELSEWHERE = "this phase is not ED"
    NO_WALL = "no muscle all round the cavity"
    NOT_FOUND = "the nearest slice's are used"
    IN_LABELS = "found where the RV touches the LV"
    BY_READER = "set by the reader"


class InsertionPoints:
    """Both points of the viewed slice, and the mouse on them.

    Hidden rules, and why:

    * The layer is made when it is first needed, then hidden and filled again: removing and adding layers crashes some
      GL drivers. It is flat, so it holds the viewed slice only.
    * The points are there while the bullseye is on view, at ED, where the septum is taken from.
    * The mouse takes a point whatever tool is in hand; no tool has to be laid down for a look at the bullseye. napari
      itself edits nothing here: it knows neither the journal nor undo.
    """

    changed = Signal()
    """Another slice, or other points on it."""

    def __init__(self, viewer: ViewerModel, reading: Reading, cine_layers: CineLayers, contours: ContourLayers) -> None:
        self._viewer = viewer
        self._reading = reading
        self._cine_layers = cine_layers
        self._contours = contours
        self._is_wanted = False
        self.layer: Points | None = None
        reading.events.cine_changed.connect(self._show)
        reading.events.measures_changed.connect(self._show)
        cine_layers.moved.connect(self._show)
        contours.hidden_changed.connect(self._show)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.layers.events.removed.connect(self._forget_removed)

    def close(self) -> None:
        """Give the mouse back; the layer stays in the viewer."""
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        self._viewer.layers.events.removed.disconnect(self._forget_removed)

    def switch(self, on: bool) -> None:
        """Show the points from now on, wherever there are any, or hide them."""
        if on != self._is_wanted:
            self._is_wanted = on
            self._show()

    # ---------------------------------------------------------------- what there is

    @property
    def _wall(self) -> WallMeasures | None:
        measured = self._reading.study_measures if self._reading.is_open else None
        return measured.wall if measured else None

    @property
    def found(self) -> Found:
        """Where the points of the viewed slice come from."""
        wall, (t, z) = self._wall, self._cine_layers.here
        if wall is None or t != wall.ed_phase:
            return Found.ELSEWHERE
        if z in wall.set_by_reader:
            return Found.BY_READER
        if wall.insertions[z] is not None and wall.levels[z] is not None:
            return Found.IN_LABELS
        return Found.NOT_FOUND if wall.levels[z] is not None and (t, z) not in wall.gaps else Found.NO_WALL

    @property
    def is_shown(self) -> bool:
        """Whether the points are on the image."""
        return (
            self._is_wanted
            and self.found in (Found.BY_READER, Found.IN_LABELS)
            and not self._contours.all_hidden
            and self.layer is not None
        )

    # ---------------------------------------------------------------- what the reader does

    def place(self) -> None:
        """Set points on the viewed slice where none were found, to be moved from there."""
        wall, (t, z) = self._wall, self._cine_layers.here
        if wall is None or self.found is not Found.NOT_FOUND:
            return
        points = suggested_insertions(self._reading.labels[t], self._reading.cine, z, wall.insertions)
        if points is not None:
            self._reading.set_insertions(z, points)

    def give_back(self) -> None:
        """Take the viewed slice's points as they are found in its labels again."""
        if self.found is Found.BY_READER:
            self._reading.set_insertions(self._cine_layers.here[1], None)

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        shown = self._is_wanted and self.found in (Found.BY_READER, Found.IN_LABELS) and not self._contours.all_hidden
        if shown and self.layer is None:
            self._make()
        if self.layer is not None:
            if self.layer.visible != shown:
                # Before anything else: napari looks up the points of a hidden layer only when it is shown again.
                self.layer.visible = shown
            wall = self._wall
            points = wall.insertions[self._cine_layers.here[1]] if shown and wall else None
            if points is not None:
                self._put([points.anterior_yx, points.inferior_yx])
        self.changed.emit()

    def _put(self, places: Any) -> None:
        assert self.layer is not None
        spacing = self._reading.cine.geometry.pixel_spacing_mm
        self.layer.scale = spacing
        self.layer.data = np.array(places, dtype=np.float64)
        self.layer.size = POINT_MM / spacing[1]
        self.layer.selected_data = set()

    def _make(self) -> None:
        here, active = self._cine_layers.here, self._viewer.layers.selection.active
        self.layer = Points(
            np.zeros((len(NAMES), 2)),
            name="Insertion points of the RV",
            features={"name": list(NAMES)},
            text={"string": "{name}", "color": POINT_COLOUR, "size": NAME_SIZE},
            face_color=POINT_COLOUR,
            border_color="black",
            border_width=0.2,
            axis_labels=FLAT,
        )
        self._viewer.add_layer(self.layer)
        self._viewer.layers.selection.active = active
        # A new layer may move the slider's position, which napari keeps in millimetres.
        self._cine_layers.go_to(*here)

    # ---------------------------------------------------------------- the mouse

    def _place(self, event: Any) -> Places:
        """Where the mouse is in image pixels (y, x), within the image."""
        spacing = np.asarray(self._reading.cine.geometry.pixel_spacing_mm)
        last = np.asarray(self._reading.cine.shape[2:]) - 1.0
        return np.asarray(np.clip(np.asarray(event.position[-2:]) / spacing, 0.0, last))

    def _at(self, place: Places) -> int | None:
        """Index of the point near a place; None beside them."""
        if not self.is_shown or self.layer is None:
            return None
        spacing = np.asarray(self._reading.cine.geometry.pixel_spacing_mm)
        away_px = np.linalg.norm((self.layer.data - place) * spacing, axis=1) * float(self._viewer.scene.camera.zoom)
        nearest = int(np.argmin(away_px))
        return nearest if away_px[nearest] <= NEAR_PX else None

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or not self.is_shown or self.layer is None:
            return
        start, z = self._place(event), self._cine_layers.here[1]
        which = self._at(start)
        if which is None:
            return
        before = np.array(self.layer.data)
        moved = before.copy()
        with self._cine_layers.brush_laid_down():
            event.handled = True  # or the camera, or a contour, moves along
            yield
            while event.type == "mouse_move":
                event.handled = True
                moved[which] = before[which] + self._place(event) - start
                if self.layer is not None:
                    self.layer.data = moved
                yield
        if not np.array_equal(moved, before):
            try:
                self._reading.set_insertions(z, Insertions(*((float(y), float(x)) for y, x in moved)))
            except CinemaError as error:
                # Not saved, so not shown either.
                self._reading.notify(str(error), Severity.ERROR)
        self._show()

    def _forget_removed(self, event: Any) -> None:
        """Let go of a layer that the reader removed."""
        if event.value is self.layer:
            self.layer = None
