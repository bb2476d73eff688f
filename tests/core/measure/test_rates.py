"""Ejection and filling: against curves whose slopes are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.cine import Timing
from cinema_core.measure import filling_rates

RR_MS = 900.0
STROKE_ML = 80.0


def timing(n: int) -> Timing:
    return Timing(trigger_ms=tuple(np.arange(n) * RR_MS / n), rr_ms=(RR_MS,))


def cosine(n: int, first: int = 0) -> np.ndarray:
    """Full at phase ``first``, empty half a beat later."""
    return 100 + STROKE_ML / 2 * np.cos(2 * np.pi * (np.arange(n) - first) / n)


@pytest.mark.parametrize(("n", "first"), [(20, 0), (30, 0), (30, 7), (12, 11)])
def test_a_cosine_has_the_slope_of_a_cosine(n: int, first: int) -> None:
    found = filling_rates(cosine(n, first), timing(n), first, (first + n // 2) % n)
    fastest = STROKE_ML / 2 * 2 * np.pi / RR_MS * 1000  # ml/s
    assert found is not None
    assert (found.peak_ejection_ml_s, found.peak_filling_ml_s) == pytest.approx((fastest, fastest), rel=1e-3)
    assert (found.peak_ejection_ms, found.peak_filling_ms) == pytest.approx((RR_MS / 4, RR_MS / 4), abs=2)
    assert found.atrial_pct is None  # one wave of filling


def test_uneven_times_do_not_change_the_slope() -> None:
    steps = np.array([30.0, 40, 35, 25, 30, 40, 45, 30, 20, 35, 40, 30] * 2 + [20.0] * 5)
    times = np.concatenate([[0], np.cumsum(steps)])
    rr_ms = float(times[-1] + 30)
    volume = 100 + STROKE_ML / 2 * np.cos(2 * np.pi * times / rr_ms)
    found = filling_rates(volume, Timing(trigger_ms=tuple(times), rr_ms=(rr_ms,)), 0, int(volume.argmin()))
    assert found is not None
    assert found.peak_ejection_ml_s == pytest.approx(STROKE_ML / 2 * 2 * np.pi / rr_ms * 1000, rel=1e-3)


def test_the_share_of_the_second_wave_of_filling_is_found() -> None:
    # Two smooth waves refill 80 ml: 60 early, 20 with the atrium; the plateau between them is flat.
    t = np.arange(50) / 50

    def step(at: float, width: float) -> np.ndarray:
        u = np.clip((t - at) / width + 0.5, 0, 1)
        return u * u * (3 - 2 * u)

    volume = 100 - 80 * step(0.17, 0.34) + 60 * step(0.47, 0.24) + 20 * step(0.86, 0.24)
    found = filling_rates(volume, timing(50), 0, int(volume.argmin()))
    assert found is not None and found.atrial_pct is not None
    assert found.atrial_pct == pytest.approx(25, abs=4)


@pytest.mark.parametrize(
    ("volume", "times"),
    [
        (cosine(9), timing(9)),  # too few phases
        (cosine(20), Timing()),  # no times
        (np.where(np.arange(20) == 3, np.nan, cosine(20)), timing(20)),  # a phase was not measured
        (cosine(20), Timing(trigger_ms=tuple(np.arange(20) * 30.0), rr_ms=(RR_MS,))),  # the last third was not imaged
    ],
)
def test_no_rate_where_the_beat_is_not_whole(volume: np.ndarray, times: Timing) -> None:
    assert filling_rates(volume, times, 0, len(volume) // 2) is None
