"""Landmarks over a long-axis cine: points to drag, and the two lines that are measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Points, Vectors
from numpy.typing import NDArray

from cinema_app.layers import AXES, CineLayers, scale_mm
from cinema_app.news import Severity
from cinema_app.predictions import Predictions
from cinema_app.reading import Reading
from cinema_core.errors import CinemaError

if TYPE_CHECKING:
    from napari.components import ViewerModel

POINT_COLOURS: Final = ("#f0e442", "#f0e442", "#ffffff")
"""Valve and apex: yellow and white stand out on every grey and from the colours of the structures."""

LINE_COLOUR: Final = "#f0e442"
POINT_MM: Final = 5.0
LINE_MM: Final = 0.7
PER_PHASE: Final = 3


class LandmarkLayers:
    """A points and a vectors layer that show the landmarks of the cine on show.

    Hidden rules, and why:

    * Both layers are made once, when there is something to show, then hidden and cleared: removing and adding
      layers crashes some GL drivers.
    * Points are only moved: a phase has three, so added or deleted ones are put back.
    """

    def __init__(
        self, viewer: ViewerModel, reading: Reading, predictions: Predictions, cine_layers: CineLayers
    ) -> None:
        self._viewer = viewer
        self._reading = reading
        self._predictions = predictions
        self._cine_layers = cine_layers
        self._setting = False
        self.points: Points | None = None
        self.lines: Vectors | None = None
        self._show()
        predictions.landmarks_changed.connect(self._show)
        viewer.layers.events.removed.connect(self._forget_removed)

    def close(self) -> None:
        """Stop listening; the layers stay in the viewer."""
        self._viewer.layers.events.removed.disconnect(self._forget_removed)

    def edit(self) -> None:
        """Let the mouse move the points."""
        if self.points is not None:
            self._viewer.layers.selection.active = self.points
            self.points.mode = "select"

    @contextmanager
    def _we_set(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    def _show(self) -> None:
        has_any = self._reading.is_open and self._predictions.has_landmarks
        if not has_any and self.points is None:
            return
        here = self._cine_layers.here
        with self._we_set():
            self._make()
            assert self.points is not None
            assert self.lines is not None
            positions = self._positions() if has_any else np.empty((0, 4))
            scale = scale_mm(self._reading.cine) if self._reading.is_open else (1.0,) * 4
            self.points.data = positions
            self.points.scale = self.lines.scale = scale
            self.points.size = POINT_MM / scale[-1]
            self.points.face_color = np.tile(POINT_COLOURS, len(positions) // PER_PHASE) if has_any else "white"
            self.lines.data = _lines(positions)
            self.points.visible = self.lines.visible = has_any
            self.points.selected_data = set()
        # A layer of another slice step moved the slider's position, which napari keeps in millimetres.
        self._cine_layers.go_to(*here)
        if has_any:
            self.edit()
        elif self._viewer.layers.selection.active in (self.points, self.lines) and self._cine_layers.labels is not None:
            self._viewer.layers.selection.active = self._cine_layers.labels

    def _make(self) -> None:
        if self.lines is None:
            self.lines = Vectors(
                np.empty((0, 2, 4)),
                name="Landmark lines",
                edge_color=LINE_COLOUR,
                edge_width=LINE_MM,
                vector_style="line",
                axis_labels=AXES,
            )
            self._viewer.add_layer(self.lines)
        if self.points is None:
            self.points = Points(
                np.empty((0, 4)), name="Landmarks", border_color="black", border_width=0.15, axis_labels=AXES
            )
            self._viewer.add_layer(self.points)
            self.points.events.data.connect(self._take)

    def _positions(self) -> NDArray[np.float64]:
        """All points as (t, z, y, x), the three of a phase together."""
        points = self._predictions.points_yx  # (t, 3, 2)
        positions = np.zeros((*points.shape[:2], 4))
        positions[..., 0] = np.arange(len(points))[:, None]
        positions[..., 2:] = points
        return positions.reshape(-1, 4)

    def _take(self, event: Any = None) -> None:
        """Hand moved points to the reading; one drag of the mouse ends in one ``changed``."""
        if self._setting or self.points is None or not self._predictions.has_landmarks:
            return
        action = str(getattr(event, "action", "changed"))
        if action in {"changing", "adding", "removing"}:
            return
        shown, kept = np.asarray(self.points.data), self._positions()
        try:
            if shown.shape == kept.shape:
                for t in np.unique(np.flatnonzero((shown[:, 2:] != kept[:, 2:]).any(axis=1)) // PER_PHASE):
                    self._predictions.move(int(t), shown[PER_PHASE * t : PER_PHASE * (t + 1), 2:])
            else:
                self._reading.notify("A phase has three landmarks: move them, none can be added or taken away.")
                self._show()
        except CinemaError as error:
            self._reading.notify(str(error), Severity.ERROR)
            self._show()

    def _forget_removed(self, event: Any) -> None:
        if event.value is self.points:
            self.points = None
        if event.value is self.lines:
            self.lines = None


def _lines(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Valve plane and long axis of each phase as napari's vectors, shape (lines, 2, 4): start and way."""
    if not len(positions):
        return np.empty((0, 2, 4))
    phases = positions.reshape(-1, PER_PHASE, 4)
    first, second, apex = phases[:, 0], phases[:, 1], phases[:, 2]
    middle = (first + second) / 2
    starts, ends = np.concatenate([first, middle]), np.concatenate([second, apex])
    return np.stack([starts, ends - starts], axis=1)
