"""Agreement over a set, against figures worked out from the published formulas."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.errors import InputError
from cinema_core.measure.bland_altman import BlandAltman, bland_altman

FIRST = [100.0, 120.0, 140.0, 160.0]
SECOND = [103.0, 121.0, 138.0, 166.0]  # differences 3, 1, -2, 6


def test_bias_limits_and_variation_by_hand() -> None:
    found = bland_altman(FIRST, SECOND)
    sd = np.sqrt(((3 - 2) ** 2 + (1 - 2) ** 2 + (-2 - 2) ** 2 + (6 - 2) ** 2) / 3)
    assert (found.n, found.bias) == (4, pytest.approx(2.0))
    assert found.sd == pytest.approx(sd)
    assert (found.lower, found.upper) == (pytest.approx(2 - 1.96 * sd), pytest.approx(2 + 1.96 * sd))
    assert found.cv_pct == pytest.approx(100 * sd / 131.0)


def test_intervals_hold_the_truth_in_95_of_100_sets() -> None:
    rng = np.random.default_rng(0)
    held = {"bias": 0, "lower": 0}
    for _ in range(2000):
        first = rng.normal(150, 30, 20)
        found = bland_altman(first, first + rng.normal(3, 5, 20))
        assert found.bias_interval is not None and found.lower_interval is not None
        held["bias"] += found.bias_interval[0] <= 3 <= found.bias_interval[1]
        held["lower"] += found.lower_interval[0] <= 3 - 1.96 * 5 <= found.lower_interval[1]
    assert held["bias"] / 2000 == pytest.approx(0.95, abs=0.015)
    assert held["lower"] / 2000 == pytest.approx(0.95, abs=0.02)  # the formula is an approximation


def test_studies_with_one_value_are_left_out() -> None:
    nan = float("nan")
    assert bland_altman([*FIRST, nan, 99.0], [*SECOND, 90.0, nan]) == bland_altman(FIRST, SECOND)


def test_too_few_studies_claim_nothing() -> None:
    assert bland_altman([], []) == BlandAltman(0)
    assert bland_altman([100.0], [104.0]) == BlandAltman(1, 4.0)


def test_values_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be paired"):
        bland_altman(FIRST, SECOND[:3])
