"""How sure a figure is, and whether two models differ: resampled patients and paired tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES: Final = 1000
LEVEL: Final = 95.0
"""Of intervals, per cent."""

CORRECT: Final = "correct"
"""Score of classes: 1 if the answer is right, 0 if it is wrong."""
KEYS: Final = ("patient", "pid", "phase")
"""Columns that say which case a row is of."""
FACTS: Final = ("true_", "predicted_", "probability_")
"""Begin the names of columns that hold what is there and what was said; the others are scores."""

Row = Mapping[str, Any]
FiguresOf = Callable[[Sequence[Row]], Mapping[str, float]]


@dataclass(frozen=True)
class Figure:
    """A figure of a whole table with its interval; NaN where it cannot be told."""

    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same patients: second minus first.

    Attributes
    ----------
    n
        Patients for whom both models have a value.
    low, high
        Interval of the mean difference.
    p_t, p_wilcoxon
        Paired t-test and Wilcoxon's signed-rank test.
    p_exact
        McNemar's exact test of :data:`CORRECT`; NaN for other metrics.
    """

    metric: str
    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    p_exact: float


def figures_with_intervals(rows: Sequence[Row], figures_of: FiguresOf, *, seed: int = 0) -> list[Figure]:
    """Figures of a table, each with the interval between which it lies over resampled patients.

    All rows of a patient are drawn together: phases of one heart are no independent witnesses.

    Parameters
    ----------
    rows
        Each with its ``patient``.
    """
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(str(row["patient"]), []).append(row)
    groups = list(members.values())
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES if len(groups) > 1 else 0):
        chosen = rng.integers(len(groups), size=len(groups))
        drawn.append(figures_of([row for k in chosen for row in groups[k]]))
    found = []
    for name, value in figures_of(rows).items():
        low, high = _interval(np.array([figures[name] for figures in drawn]))
        found.append(Figure(name, float(value), low, high))
    return found


def compare_paired(
    metric: str, first: NDArray[np.float64], second: NDArray[np.float64], *, seed: int = 0
) -> Difference:
    """Compare a metric of two models, one value per patient in each; patients without a value are left out."""
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    away = b - a
    nan, n = float("nan"), len(away)
    low, high, p_t, p_wilcoxon, p_exact = nan, nan, nan, nan, nan
    if n > 1:
        chosen = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
        low, high = _interval(away[chosen].mean(axis=1))
        # Where no patient differs, the tests have nothing to divide by: the models are alike.
        same, constant = not away.any(), bool(np.ptp(away) == 0)
        p_t = 1.0 if same else nan if constant else float(stats.ttest_rel(b, a).pvalue)
        p_wilcoxon = 1.0 if same else float(stats.wilcoxon(away).pvalue)
    if n and metric == CORRECT:
        gained, lost = int((away > 0).sum()), int((away < 0).sum())
        p_exact = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    mean_a, mean_b, mean_away = (float(values.mean()) if n else nan for values in (a, b, away))
    return Difference(metric, n, mean_a, mean_b, mean_away, low, high, p_t, p_wilcoxon, p_exact)


def score_names(rows: Sequence[Row]) -> list[str]:
    """List the columns of a table that are scores."""
    return [name for name in (rows[0] if rows else {}) if name not in KEYS and not name.startswith(FACTS)]


def column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """Values of a column."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def mean_of_known(values: NDArray[np.floating]) -> float:
    """Mean of the numbers among values; NaN if there is none."""
    numbers = values[np.isfinite(values)]
    return float(numbers.mean()) if numbers.size else float("nan")


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)
