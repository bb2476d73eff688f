"""The line in the corner of the image: where in the heart and in the beat the reader is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cinema_app.layers import CineLayers
from cinema_app.reading import Reading

if TYPE_CHECKING:
    from napari.components import ViewerModel

NO_STUDY = "Drop a study here: a DICOM folder or a NIfTI file"


class CornerText:
    """Keeps napari's text overlay up to date."""

    def __init__(self, viewer: ViewerModel, reading: Reading, layers: CineLayers) -> None:
        self._viewer = viewer
        self._reading = reading
        self._layers = layers
        overlay = viewer.canvas.overlays.text
        overlay.position = "top_left"
        overlay.font_size = 11
        overlay.color = "#f0f1f2"
        overlay.visible = True
        self._show()
        layers.moved.connect(self._show)
        for signal in (reading.events.cine_changed, reading.events.phases_changed, reading.events.labels_changed):
            signal.connect(self._show)

    def _show(self, *_: object) -> None:
        self._viewer.canvas.overlays.text.text = self.words()

    def words(self) -> str:
        """Slice and phase counted from 1, the time after the R wave, ED or ES, and the slice's state."""
        if not self._reading.is_open:
            return NO_STUDY
        cine = self._reading.cine
        t, z = self._layers.here
        parts = [f"Slice {z + 1}/{cine.n_slices}", f"Phase {t + 1}/{cine.n_phases}"]
        if cine.timing.trigger_ms is not None:
            parts.append(f"{cine.timing.trigger_ms[t]:.0f} ms")
        choice = self._reading.phases
        if choice is not None and t in (choice.ed_phase, choice.es_phase):
            parts.append("ED" if t == choice.ed_phase else "ES")
        if not cine.has_image(t, z):
            parts.append("no image: this phase was not found in the files")
        return "   ".join(parts)
