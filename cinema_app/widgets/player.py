"""The beating heart: plays the cine at the patient's own heart rate."""

from __future__ import annotations

from time import perf_counter

from qtpy.QtCore import QObject, QTimer, Signal

from cinema_app.layers import CineLayers
from cinema_app.reading import Reading

USUAL_RR_MS = 1000.0
"""Played when the study does not say how long a beat was: 60 a minute."""

TICK_MS = 15


class Player(QObject):
    """Shows the phase that is due by the clock: a slow computer skips phases, the heart keeps its pace."""

    changed = Signal()

    def __init__(self, reading: Reading, layers: CineLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self._start = 0.0
        self._first_phase = 0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        reading.events.cine_changed.connect(self.stop)

    @property
    def playing(self) -> bool:
        """Whether the cine plays."""
        return bool(self._timer.isActive())

    def toggle(self) -> None:
        """Play, or stop where it is."""
        if self.playing:
            self.stop()
        elif self._reading.is_open and self._reading.cine.n_phases > 1:
            self._start, self._first_phase = perf_counter(), self._layers.here[0]
            self._timer.start()
            self.changed.emit()

    def stop(self) -> None:
        """Stop where it is."""
        if self.playing:
            self._timer.stop()
            self.changed.emit()

    def _tick(self) -> None:
        cine = self._reading.cine
        beats = (perf_counter() - self._start) * 1000 / (cine.timing.rr_median_ms or USUAL_RR_MS)
        phase = (self._first_phase + int(beats * cine.n_phases)) % cine.n_phases
        t, z = self._layers.here
        if phase != t:
            self._layers.go_to(phase, z)
