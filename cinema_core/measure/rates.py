"""How fast a ventricle empties and fills: the slopes of its volume curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from cinema_core.cine import Timing
from cinema_core.measure.volumes import Curve

METHOD: Final = "slopes of a periodic cubic spline through the volumes of all phases"
"""Printed with every rate."""

FEWEST_PHASES: Final = 10
"""With fewer the steepest slope falls between two phases; the same limit as for the choice of ED and ES."""

LONGEST_GAP: Final = 2.0
"""Of the steps between phases, relative to their median: what prospective gating leaves out at the end of a beat is
not measured, and no slope is read there."""

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
    Peak ejection and filling rate of a volume curve: Bacharach et al., J Nucl Med 20:189 (1979).
    """
    n_phases = len(volume_ml)
    times = phase_times_ms(timing, n_phases) if n_phases >= FEWEST_PHASES else None
    if times is None or ed_phase is None or es_phase is None or not np.isfinite(volume_ml).all():
        return None
    spline = CubicSpline(times, np.append(volume_ml, volume_ml[0]), bc_type="periodic")
    rr_ms = float(times[-1])
    at = np.arange(STEPS) * (rr_ms / STEPS)
    slope = 1000 * spline(at, 1)  # ml/s
    steps = np.diff(times)
    step_at = steps[np.searchsorted(times, at, side="right") - 1]
    slope[step_at > LONGEST_GAP * np.median(steps)] = np.nan
    after_ed, after_es = (at - times[ed_phase]) % rr_ms, (at - times[es_phase]) % rr_ms
    systole_ms = (times[es_phase] - times[ed_phase]) % rr_ms
    ejecting, filling = after_ed <= systole_ms, after_ed >= systole_ms
    falls, rises = np.where(ejecting, -slope, np.nan), np.where(filling, slope, np.nan)
    if not np.isfinite(falls).any() or not np.isfinite(rises).any():
        return None
    fastest_fall, fastest_rise = int(np.nanargmax(falls)), int(np.nanargmax(rises))
    in_order = np.argsort(after_es[filling], kind="stable")
    stroke_ml = float(volume_ml[ed_phase] - volume_ml[es_phase])
    return FillingRates(
        peak_ejection_ml_s=float(falls[fastest_fall]),
        peak_ejection_ms=float(after_ed[fastest_fall]),
        peak_filling_ml_s=float(rises[fastest_rise]),
        peak_filling_ms=float(after_es[fastest_rise]),
        atrial_pct=_atrial_pct(slope[filling][in_order], spline(at[filling][in_order]), stroke_ml),
    )


def _atrial_pct(slope: NDArray[np.float64], volume_ml: NDArray[np.float64], stroke_ml: float) -> float | None:
    """Share of filling after the valley between two waves, from ES on; None where two waves cannot be seen."""
    if stroke_ml <= 0 or not np.isfinite(slope).all():
        return None
    inner = slope[1:-1]
    peaks = np.flatnonzero((inner > slope[:-2]) & (inner >= slope[2:])) + 1
    peaks = peaks[slope[peaks] > LEAST_VALLEY * slope.max() / 2]  # the spline's ripples are smaller
    if len(peaks) < 2:
        return None
    early, late = int(peaks[0]), int(peaks[-1])
    valley = early + int(slope[early : late + 1].argmin())
    if slope[valley] > LEAST_VALLEY * min(slope[early], slope[late]):
        return None
    share = 100 * float(volume_ml[valley:].max() - volume_ml[valley]) / stroke_ml
    return share if 0 < share < 100 else None
