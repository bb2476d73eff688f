"""Which pixels of the viewed slice count as papillary muscle: seen before and while the threshold is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from psygnal import Signal

from cinema_app.contours.layers import ContourLayers
from cinema_app.labelling import Slice
from cinema_app.layers import FLAT, CineLayers
from cinema_app.reading import Reading
from cinema_core.measure.papillary import HALF_WAY, find_papillary_muscles

if TYPE_CHECKING:
    from napari.components import ViewerModel

MUSCLE_COLOUR: Final = "#e040fb"
"""Far from every grey and from the colours of the structures, also as protan, deutan and tritan readers see it: at
least 54 and 20 in CIE 1976 colour difference, simulated after Machado et al., IEEE TVCG 15:1291 (2009)."""

OPACITY: Final = 0.6
"""The muscle is still seen beneath."""


class PapillaryPreview:
    """A layer that colours what a threshold takes for muscle on the viewed slice.

    Hidden rules, and why:

    * The layer is made when it is first asked for, then hidden and filled again: removing and adding layers crashes
      some GL drivers. It is flat, so it holds the viewed slice only, and nothing is computed while it is off.
    * It shows what the measures count, by the same function and from the same phases, not a second opinion.
    * It is hidden together with the contours, by the same key.
    """

    changed = Signal()
    """On or off, another threshold, or another slice."""

    def __init__(self, viewer: ViewerModel, reading: Reading, cine_layers: CineLayers, contours: ContourLayers) -> None:
        self._viewer = viewer
        self._reading = reading
        self._cine_layers = cine_layers
        self._contours = contours
        self._found: dict[int, tuple[NDArray[np.bool_], bool]] = {}
        self.is_on = False
        self.level = HALF_WAY
        self.layer: Labels | None = None
        reading.events.cine_changed.connect(self._forget)
        reading.events.labels_changed.connect(self._forget)
        cine_layers.moved.connect(self._show)
        contours.hidden_changed.connect(self._show)
        viewer.layers.events.removed.connect(self._forget_removed)

    def close(self) -> None:
        """Stop listening; the layer stays in the viewer."""
        self._viewer.layers.events.removed.disconnect(self._forget_removed)

    def switch(self, on: bool) -> None:
        """Show the muscle, or take it off the image."""
        self.is_on = on
        self._show()

    def set_level(self, level: float) -> None:
        """Show what another threshold takes for muscle: 0 is as dark as the wall, 1 as bright as the blood."""
        if level != self.level:
            self.level = level
            self._forget()

    @property
    def words(self) -> str:
        """How much of the viewed slice counts as muscle, in a sentence; empty while the preview is off."""
        if not (self.is_on and self._reading.is_open):
            return ""
        t, z = self._cine_layers.here
        muscle, is_found = self._muscle(z)
        where = f"Slice {z + 1}, phase {t + 1}"
        if not is_found:
            return f"{where}: none is looked for, as no wall is drawn or the blood is not brighter than it."
        dy, dx = self._reading.cine.geometry.planes[z].spacing_mm
        return f"{where}: {np.count_nonzero(muscle[t]) * dy * dx / 100:.1f} cm² of the cavity are muscle."

    def _forget(self, changed: tuple[Slice, ...] = ()) -> None:
        # A label of one slice may complete a phase, from which the thresholds of all slices are taken.
        self._found.clear()
        self._show()

    def _muscle(self, z: int) -> tuple[NDArray[np.bool_], bool]:
        """Muscle of a slice, shape (t, y, x), and whether it could be looked for."""
        if z not in self._found:
            found = find_papillary_muscles(
                self._reading.cine.pixels[:, z : z + 1],
                self._reading.labels[:, z : z + 1],
                level=self.level,
                phases=self._reading.complete_phases or None,
            )
            self._found[z] = found.pixels[:, 0], not found.left_alone
        return self._found[z]

    def _show(self, *_: object) -> None:
        shown = self.is_on and self._reading.is_open and not self._contours.all_hidden
        if shown and self.layer is None:
            self._make()
        if shown and self.layer is not None:
            t, z = self._cine_layers.here
            self.layer.data = self._muscle(z)[0][t].astype(np.uint8)
            self.layer.scale = self._reading.cine.geometry.pixel_spacing_mm
        if self.layer is not None and self.layer.visible != shown:
            self.layer.visible = shown
        self.changed.emit()

    def _make(self) -> None:
        here, active = self._cine_layers.here, self._viewer.layers.selection.active
        self.layer = Labels(
            np.zeros(self._reading.cine.shape[2:], np.uint8),
            name="Papillary muscles",
            scale=self._reading.cine.geometry.pixel_spacing_mm,
            axis_labels=FLAT,
            colormap=DirectLabelColormap(color_dict={1: MUSCLE_COLOUR, None: "transparent", 0: "transparent"}),
            opacity=OPACITY,
        )
        self.layer.editable = False
        self._viewer.add_layer(self.layer)
        self._viewer.layers.selection.active = active
        # A new layer may move the slider's position, which napari keeps in millimetres.
        self._cine_layers.go_to(*here)

    def _forget_removed(self, event: Any) -> None:
        """Let go of a layer that the reader removed."""
        if event.value is self.layer:
            self.layer = None
