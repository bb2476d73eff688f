"""Where the long-axis views cut the short-axis slice on show: thin lines over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Vectors

from cinema_app.layers import FLAT, CineLayers
from cinema_app.long_axis import LongAxisViews
from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_core.cine import View

if TYPE_CHECKING:
    from napari.components import ViewerModel

VIEW_COLOURS: Final = {View.LAX_2C: "#e39bc4", View.LAX_3C: "#5fd3ab", View.LAX_4C: "#e6e6e6"}
"""Pink, green and white: none of them is the colour of a structure, and they differ in lightness too."""

LINE_MM: Final = 0.4


class PlaneLines:
    """Keeps one layer of lines in step with the slice on show.

    The layer is made for the first study that has long-axis views, then hidden and filled again: removing and adding
    layers crashes some GL drivers. It is flat, and changes with the slice only: phases cost nothing.
    """

    def __init__(self, viewer: ViewerModel, reading: Reading, layers: CineLayers, views: LongAxisViews) -> None:
        self._viewer = viewer
        self._reading = reading
        self._cine_layers = layers
        self._views = views
        self._z: int | None = None
        self.layer: Vectors | None = None
        self._show_study()
        reading.events.cine_changed.connect(self._show_study)
        layers.moved.connect(self._moved)
        viewer.layers.events.removed.connect(self._forget_removed)

    def close(self) -> None:
        """Stop listening; the layer stays in the viewer."""
        self._viewer.layers.events.removed.disconnect(self._forget_removed)

    @property
    def wanted(self) -> bool:
        """Whether the reader wants the lines."""
        return bool(preferences().views.plane_lines)

    def toggle(self) -> None:
        """Hide the lines, or show them again."""
        preferences().views.plane_lines = not self.wanted
        self._show_study()

    def _show_study(self) -> None:
        self._z = None
        if self.wanted and self._views.cines:
            self._make()
            self._moved(*self._cine_layers.here)
        if self.layer is not None:
            self.layer.visible = self.wanted and bool(self._views.cines)

    def _make(self) -> None:
        if self.layer is not None:
            return
        here, active = self._cine_layers.here, self._viewer.layers.selection.active
        self.layer = Vectors(
            np.empty((0, 2, 2)),
            name="Long-axis planes",
            edge_width=LINE_MM,
            vector_style="line",
            opacity=0.6,
            axis_labels=FLAT,
        )
        self._viewer.add_layer(self.layer)
        self._viewer.layers.selection.active = active
        # A new layer may move the slider's position, which napari keeps in millimetres.
        self._cine_layers.go_to(*here)

    def _moved(self, t: int, z: int) -> None:
        if self.layer is None or not self._views.cines or not self.wanted or z == self._z:
            return
        self._z = z
        spacing = np.array(self._reading.cine.geometry.pixel_spacing_mm)
        found = {view: self._views.line_on_short_axis(view, z) for view in self._views.cines}
        lines = {view: line * spacing for view, line in found.items() if line is not None}
        self.layer.data = np.array([[ends[0], ends[1] - ends[0]] for ends in lines.values()]).reshape(-1, 2, 2)
        if lines:
            self.layer.edge_color = [VIEW_COLOURS[view] for view in lines]

    def _forget_removed(self, event: Any) -> None:
        """Let go of a layer that the reader removed."""
        if event.value is self.layer:
            self.layer = None
