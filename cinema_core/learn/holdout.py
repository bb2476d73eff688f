"""What is gained on patients that a run did not learn from, and how far to trust a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from cinema_core.cases import group_of
from cinema_core.learn.bench import Bench
from cinema_core.learn.fit import blend
from cinema_core.learn.guard import Figures
from cinema_core.learn.measuring import Opinion, figures
from cinema_core.learn.plan import Pace, Plan

ALPHAS: Final = (0.25, 0.5, 0.75, 1.0)
"""Blends of base (0) and tuned weights (1) that are tried on held-out patients; 0 itself is the base."""


@dataclass(frozen=True)
class HeldOut:
    """Outcome of the runs with patients held out.

    Attributes
    ----------
    alpha
        Blend with the least loss on held-out patients; 1 if nothing was held out.
    before, after
        Figures of base and blend on the held-out windows; None if nothing was held out.
    """

    alpha: float
    before: Figures | None = None
    after: Figures | None = None


def hold_out(bench: Bench, plan: Plan, pace: Pace, ledger: Mapping[str, int]) -> HeldOut:
    """Train with each fold of patients left out in turn and choose the blend that serves those best.

    One blend is chosen for all folds together: five candidates over all labels leave little room for luck.

    Parameters
    ----------
    ledger
        Fold by patient; all of a patient's studies lie in it. A fold's run does not depend on which others there are.
    """
    if plan.folds == 0:
        return HeldOut(alpha=1.0)
    found: dict[float, dict[int, Opinion]] = {alpha: {} for alpha in ALPHAS}
    fold_of = [ledger[group_of(window.case)] for window in bench.windows]
    for k, fold in enumerate(sorted(set(fold_of)), start=1):
        outside = [i for i, own in enumerate(fold_of) if own == fold]
        inside = [window for window, own in zip(bench.windows, fold_of, strict=True) if own != fold]
        what = f"Checking on held-out patients, part {k} of {plan.folds}"
        pace.begin()
        report = partial(pace.step, what)
        fitted = bench.train(inside, plan.fold_steps, bench.settings.seed + 1 + fold, report)
        for alpha in ALPHAS:
            weights = blend(bench.base_weights, fitted.weights, alpha)
            answers = bench.opinions_of(weights, [bench.windows[i] for i in outside])
            found[alpha].update(zip(outside, answers, strict=True))
    candidates = {0.0: bench.base_opinions}
    candidates.update({alpha: [answers[i] for i in range(len(bench.windows))] for alpha, answers in found.items()})
    alpha = min(candidates, key=lambda a: float(np.mean([opinion.loss for opinion in candidates[a]])))
    before = figures(bench.windows, bench.base_opinions)
    return HeldOut(alpha, before, figures(bench.windows, candidates[alpha]))
