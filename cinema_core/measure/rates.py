"""How fast a ventricle empties and fills: the slopes of its volume curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Timing
from cinema_core.measure.volumes import Curve

HARMONICS: Final = 5
"""Waves per beat that are fitted, fewer where there are not three phases for each: pixels and slices that come and go
make steps that are no flow, and a spline through every point takes them for the fastest one."""

METHOD: Final = f"slopes of the {HARMONICS} slowest waves of the volume curve"
"""Printed with every rate."""

FEWEST_PHASES: Final = 10
"""With fewer the steepest slope falls between two phases; the same limit as for the choice of ED and ES."""

LONGEST_GAP: Final = 2.0
"""Of the steps between phases, relative to their median. Prospective gating leaves out the end of a beat; with a longer
gap the beat is not whole, and slopes are not read."""

STEPS: Final = 1000
"""Places per beat at which the slope is looked up."""

LEAST_VALLEY: Final = 0.5
"""Early and atrial filling are told apart where the slope between them falls below this share of the smaller."""


@dataclass(frozen=True)
class FillingRates:
    """Slopes of one volume curve, in ml per second; times in ms, that of ejection after ED, that of filling after ES.

    Attributes
    ----------
    peak_ejection_ml_s
        Positive: how fast the volume falls at most.
    atrial_pct
        Share of the stroke volume that comes with the second wave of filling; None where there is no second wave.
    """

    peak_ejection_ml_s: float
    peak_ejection_ms: float
    peak_filling_ml_s: float
    peak_filling_ms: float
    atrial_pct: float | None


def phase_times_ms(timing: Timing, n_phases: int) -> NDArray[np.float64] | None:
    """Time of each phase after the first, and of the beat's end; shape (t + 1,). None if that is not known.

    Without a time for each phase they are taken as evenly spread over the RR interval.
    """
    rr_ms = timing.rr_median_ms
    if not rr_ms:
        return None
    if timing.trigger_ms is None:
        return np.asarray(np.arange(n_phases + 1) * (rr_ms / n_phases), dtype=np.float64)
    times = np.asarray(timing.trigger_ms, dtype=np.float64) - timing.trigger_ms[0]
    if (np.diff(times) <= 0).any() or times[-1] >= rr_ms:
        return None
    return np.append(times, rr_ms)


def filling_rates(volume_ml: Curve, timing: Timing, ed_phase: int | None, es_phase: int | None) -> FillingRates | None:
    """Peak ejection and filling of one ventricle.

    Parameters
    ----------
    volume_ml
        Shape (t,).
    timing
        Gives the times of the phases and the RR interval.
    ed_phase, es_phase
        Frames from 0.

    Returns
    -------
    None if a phase was not measured, there are fewer than ten, ED or ES is not known, or the files give no times.

    References
    ----------
    Peak ejection and filling rates of a volume curve: Bacharach et al., J Nucl Med 20:189 (1979).
    """
    n_phases = len(volume_ml)
    times = phase_times_ms(timing, n_phases) if n_phases >= FEWEST_PHASES else None
    if times is None or ed_phase is None or es_phase is None or not np.isfinite(volume_ml).all():
        return None
    steps = np.diff(times)
    if steps.max() > LONGEST_GAP * np.median(steps):
        return None
    rr_ms = float(times[-1])
    since_ed = np.arange(STEPS) * (rr_ms / STEPS)
    smooth, slope = _waves(volume_ml, times, times[ed_phase] + since_ed)
    systole_ms = (times[es_phase] - times[ed_phase]) % rr_ms
    in_systole = since_ed <= systole_ms
    falls, rises = np.where(in_systole, -slope, -np.inf), np.where(in_systole, -np.inf, slope)
    fastest_fall, fastest_rise = int(falls.argmax()), int(rises.argmax())
    if not np.isfinite(rises[fastest_rise]):
        return None
    stroke_ml = float(volume_ml[ed_phase] - volume_ml[es_phase])
    return FillingRates(
        peak_ejection_ml_s=float(falls[fastest_fall]),
        peak_ejection_ms=float(since_ed[fastest_fall]),
        peak_filling_ml_s=float(rises[fastest_rise]),
        peak_filling_ms=float(since_ed[fastest_rise] - systole_ms),
        atrial_pct=_atrial_pct(slope[~in_systole], smooth[~in_systole], stroke_ml),
    )


def _waves(volume_ml: Curve, times: Curve, at: Curve) -> tuple[Curve, Curve]:
    """Volume (ml) and slope (ml/s) at given times of the waves that fit the phases best; times in ms, with the end."""
    n_waves = min(HARMONICS, len(volume_ml) // 3)
    pace = 2 * np.pi / times[-1] * np.arange(1, n_waves + 1)  # radians per ms

    def terms(when: Curve) -> Curve:
        angle = when[:, None] * pace
        return np.concatenate([np.ones((len(when), 1)), np.cos(angle), np.sin(angle)], axis=1)

    found, *_ = np.linalg.lstsq(terms(times[:-1]), volume_ml, rcond=None)
    cosines, sines = found[1 : n_waves + 1], found[n_waves + 1 :]
    angle = at[:, None] * pace
    slope = 1000 * (np.cos(angle) @ (pace * sines) - np.sin(angle) @ (pace * cosines))
    return np.asarray(terms(at) @ found), np.asarray(slope)


def _atrial_pct(slope: NDArray[np.float64], volume_ml: NDArray[np.float64], stroke_ml: float) -> float | None:
    """Share of filling after the valley between two waves, from ES on; None where two waves cannot be seen."""
    if stroke_ml <= 0 or len(slope) < 3:
        return None
    inner = slope[1:-1]
    peaks = np.flatnonzero((inner > slope[:-2]) & (inner >= slope[2:])) + 1
    peaks = peaks[slope[peaks] > LEAST_VALLEY * slope.max() / 2]  # ripples are smaller
    if len(peaks) < 2:
        return None
    early, late = int(peaks[0]), int(peaks[-1])
    valley = early + int(slope[early : late + 1].argmin())
    if slope[valley] > LEAST_VALLEY * min(slope[early], slope[late]):
        return None
    share = 100 * float(volume_ml[valley:].max() - volume_ml[valley]) / stroke_ml
    return share if 0 < share < 100 else None
