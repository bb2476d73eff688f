"""Intervals over resampled patients, and paired tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.statistics import column, compare_paired, figures_with_intervals, mean_of_known


def mean_dice(rows: list[dict[str, object]]) -> dict[str, float]:
    return {"dice": mean_of_known(column(rows, "dice"))}


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 200)
    (found,) = figures_with_intervals([{"patient": k, "dice": v} for k, v in enumerate(values)], mean_dice)
    assert found.value == pytest.approx(values.mean())
    reach = 1.96 * stats.sem(values)
    assert found.low == pytest.approx(values.mean() - reach, abs=0.2 * reach)
    assert found.high == pytest.approx(values.mean() + reach, abs=0.2 * reach)


def test_more_images_of_the_same_patients_make_nothing_surer() -> None:
    once = [{"patient": k, "dice": k / 10} for k in range(10)]
    (single,), (tenfold,) = (figures_with_intervals(rows, mean_dice) for rows in (once, once * 10))
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high))
    (alone,) = figures_with_intervals(once[3:4] * 5, mean_dice)
    assert alone.value == pytest.approx(0.3)
    assert np.isnan([alone.low, alone.high]).all()


def test_a_small_steady_gain_is_seen_in_pairs_though_patients_differ_more() -> None:
    rng = np.random.default_rng(2)
    first = rng.uniform(0.4, 0.9, 30)
    second = first + rng.normal(0.01, 0.005, 30)
    second[0] = np.nan
    found = compare_paired("dice_lv", first, second)
    assert found.n == 29
    assert 0 < found.low < found.difference < found.high < 0.02
    assert found.p_t < 1e-6
    assert found.p_wilcoxon < 1e-5
    assert np.isnan(found.p_exact)
    assert stats.ttest_ind(first[1:], second[1:]).pvalue > 0.5


def test_models_that_do_not_differ_are_alike_and_a_constant_difference_has_no_t_test() -> None:
    values = np.array([0.2, 0.4, 0.9])
    same = compare_paired("dice", values, values)
    assert (same.difference, same.p_t, same.p_wilcoxon) == (0, 1, 1)
    assert np.isnan(compare_paired("distance", values * 0, values * 0 + 2).p_t)
    assert np.isnan(compare_paired("dice", values[:1], values[:1] + 0.1).p_t)


def test_right_and_wrong_are_compared_by_those_that_changed() -> None:
    first, second = np.array([0.0] * 8 + [1.0] * 12), np.ones(20)
    assert compare_paired("correct", first, second).p_exact == pytest.approx(2 * 0.5**8)
    assert compare_paired("correct", first, first).p_exact == 1
    assert np.isnan(compare_paired("dice_lv", first, second).p_exact)
