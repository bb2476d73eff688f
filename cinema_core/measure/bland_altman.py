"""How far two ways of measuring agree over a set of studies."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from cinema_core.errors import InputError

LIMITS_SD: Final = 1.96
"""Limits of agreement lie this many standard deviations from the bias: 95 % of differences, if they are normal."""

LEVEL: Final = 0.95
"""Of the intervals."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class BlandAltman:
    """Differences, second minus first, over studies; None where there are too few studies to tell.

    Attributes
    ----------
    n
        Studies with both values.
    bias, sd
        Mean and standard deviation of the differences.
    lower, upper
        Limits of agreement.
    bias_interval, lower_interval, upper_interval
        95 % intervals of those three.
    cv_pct
        Coefficient of variation: standard deviation of the differences over the mean of all values, in percent;
        None where that mean is not above zero.
    """

    n: int
    bias: float | None = None
    sd: float | None = None
    lower: float | None = None
    upper: float | None = None
    bias_interval: Interval | None = None
    lower_interval: Interval | None = None
    upper_interval: Interval | None = None
    cv_pct: float | None = None


def bland_altman(first: ArrayLike, second: ArrayLike) -> BlandAltman:
    """Bias, limits of agreement and coefficient of variation.

    Parameters
    ----------
    first, second
        One value per study, shape (n,); studies in which one of them is NaN are left out.

    Returns
    -------
    One study alone has a bias; spread and limits take two, and their intervals take the differences as normally
    distributed.

    Raises
    ------
    InputError
        If there are not as many values in both.

    References
    ----------
    Bland and Altman, Stat Methods Med Res 8:135 (1999), for the limits and their standard errors.
    Grothues et al., Am J Cardiol 90:29 (2002), for the coefficient of variation as used in cardiac MR.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"Values of shape {a.shape} cannot be paired with values of shape {b.shape}.")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    n = len(a)
    if n == 0:
        return BlandAltman(0)
    bias = float((b - a).mean())
    if n == 1:
        return BlandAltman(1, bias)
    sd, mean = float((b - a).std(ddof=1)), float(np.concatenate([a, b]).mean())
    t = float(stats.t.ppf((1 + LEVEL) / 2, n - 1))
    of_bias, of_limit = t * sd / sqrt(n), t * sd * sqrt(1 / n + LIMITS_SD**2 / (2 * (n - 1)))
    lower, upper = bias - LIMITS_SD * sd, bias + LIMITS_SD * sd
    return BlandAltman(
        n=n,
        bias=bias,
        sd=sd,
        lower=lower,
        upper=upper,
        bias_interval=(bias - of_bias, bias + of_bias),
        lower_interval=(lower - of_limit, lower + of_limit),
        upper_interval=(upper - of_limit, upper + of_limit),
        cv_pct=100 * sd / mean if mean > 0 else None,
    )
