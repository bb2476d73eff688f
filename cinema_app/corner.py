"""The line in the corner of the image: where in the heart and in the beat the reader is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cinema_app.layers import CineLayers
from cinema_app.reading import Reading
from cinema_app.windowing import Windowing
from cinema_core.cine import Cine

if TYPE_CHECKING:
    from napari.components import ViewerModel

NO_STUDY = "Drop a study here: a DICOM folder or a NIfTI file"


class CornerText:
    """Keeps napari's text overlay up to date."""

    def __init__(self, viewer: ViewerModel, reading: Reading, layers: CineLayers, windowing: Windowing) -> None:
        self._viewer = viewer
        self._windowing = windowing
        self._reading = reading
        self._layers = layers
        overlay = viewer.canvas.overlays.text
        overlay.position = "top_left"
        overlay.font_size = 11
        overlay.color = "#f0f1f2"
        overlay.visible = True
        self._show()
        layers.moved.connect(self._show)
        windowing.changed.connect(self._show)
        for signal in (reading.events.cine_changed, reading.events.phases_changed, reading.events.labels_changed):
            signal.connect(self._show)

    def _show(self, *_: object) -> None:
        self._viewer.canvas.overlays.text.text = self.words()

    def words(self) -> str:
        """Slice and phase counted from 1, when in the beat that is, ED or ES, and the window if it was changed."""
        if not self._reading.is_open:
            return NO_STUDY
        cine = self._reading.cine
        t, z = self._layers.here
        parts = [f"Slice {z + 1}/{cine.n_slices}", f"Phase {t + 1}/{cine.n_phases}"]
        if when := time_in_beat(cine, t, z):
            parts.append(when)
        choice = self._reading.phases
        if choice is not None and t in (choice.ed_phase, choice.es_phase):
            parts.append("ED" if t == choice.ed_phase else "ES")
        if not cine.has_image(t, z):
            parts.append("no image: this phase was not found in the files")
        if self._windowing.words:
            parts.append(self._windowing.words)
        return "   ".join(parts)


def time_in_beat(cine: Cine, t: int, z: int) -> str:
    """Time after the R wave and share of the RR interval, of the slice's own beat; what is not known is left out.

    Where no times are stated the share is that of the phases, which retrospective gating spreads over the beat.
    """
    timing = cine.timing
    of_slice = timing.slice_trigger_ms[z][t] if timing.slice_trigger_ms else np.nan
    of_cine = timing.trigger_ms[t] if timing.trigger_ms is not None else np.nan
    ms = of_slice if np.isfinite(of_slice) else of_cine
    rr_ms = timing.rr_ms[z] if len(timing.rr_ms) == cine.n_slices else timing.rr_median_ms
    if not np.isfinite(ms):
        return "" if cine.phase_names else f"{100 * t / cine.n_phases:.0f} % of the cycle"
    return f"{ms:.0f} ms" + (f" = {100 * ms / rr_ms:.0f} % of RR" if rr_ms else "")
