"""What is gained on patients that a run did not learn from, and how far to trust a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
from scipy.stats import t as student_t

from cinema_core.cases import group_of
from cinema_core.learn.bench import Bench
from cinema_core.learn.fit import Weights, blend
from cinema_core.learn.guard import Figures
from cinema_core.learn.measuring import Opinion, figures
from cinema_core.learn.plan import Pace, Plan
from cinema_core.learn.settings import Tier


@dataclass(frozen=True)
class Blends:
    """Blends of base (0) and tuned weights (1) that come into question.

    Attributes
    ----------
    usual
        Taken unless held-out patients speak for another one. A few slices say little of it; where it was tried, more
        gained little and forgot much (docs/decisions/005-mean-of-runs.md).
    tried
        All that held-out patients are asked about, beside the base itself.
    """

    usual: float
    tried: tuple[float, ...]


BLENDS: Final = Blends(0.3, (0.15, 0.3, 0.45))

BLENDS_OF_NORMS: Final = Blends(0.5, (0.3, 0.5, 0.7))
"""Norms and biases alone take other hearts less far from what the base draws, so that more of the way is kept."""


def blends_of(tier: Tier) -> Blends:
    """Blends that come into question for what was trained."""
    return BLENDS_OF_NORMS if tier is Tier.NORMS else BLENDS


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Outcome of the runs with patients held out.

    Attributes
    ----------
    alpha
        Blend that suits held-out patients (:func:`choose_alpha`); a fixed one if nothing was held out.
    before, after
        Figures of base and blend on the held-out windows; None if nothing was held out.
    mean_weights
        Mean of the weights of all these runs, whose number ``n_runs`` is; None if there was none.
    skipped
        Steps of these runs whose loss was not finite.
    """

    alpha: float
    before: Figures | None = None
    after: Figures | None = None
    mean_weights: Weights | None = field(default=None, repr=False)
    n_runs: int = 0
    skipped: int = 0

    def with_run(self, weights: Weights) -> Weights:
        """Mean of the weights of these runs and one more, as a model soup (arXiv 2203.05482).

        Each run has seen other labels, so what they have in common is what the labels have in common.
        """
        return weights if self.mean_weights is None else blend(self.mean_weights, weights, 1 / (self.n_runs + 1))


def hold_out(bench: Bench, plan: Plan, pace: Pace, ledger: Mapping[str, int]) -> HeldOut:
    """Train with each fold of patients left out in turn and choose the blend that serves those.

    One blend is chosen for all folds together.

    Parameters
    ----------
    ledger
        Fold by patient; all of a patient's studies lie in it. A fold's run does not depend on which others there are.
    """
    if plan.folds == 0:
        return HeldOut(bench.settings.unmeasured_alpha)
    blends = blends_of(bench.tier)
    found: dict[float, dict[int, Opinion]] = {alpha: {} for alpha in blends.tried}
    fold_of = [ledger[group_of(window.case)] for window in bench.windows]
    runs = HeldOut(bench.settings.unmeasured_alpha)
    for k, fold in enumerate(sorted(set(fold_of)), start=1):
        outside = [i for i, own in enumerate(fold_of) if own == fold]
        inside = [window for window, own in zip(bench.windows, fold_of, strict=True) if own != fold]
        what = f"Checking on held-out patients, part {k} of {plan.folds}"
        pace.begin()
        report = partial(pace.step, what)
        fitted = bench.train(inside, plan.fold_steps, bench.settings.seed + 1 + fold, report)
        runs = replace(
            runs, mean_weights=runs.with_run(fitted.weights), n_runs=k, skipped=runs.skipped + fitted.skipped
        )
        for alpha in sorted(blends.tried, reverse=True):
            weights = blend(bench.base_weights, fitted.weights, alpha)
            # What is farthest from the base says where else the others have to be looked at.
            answers = bench.opinions_of(weights, [bench.windows[i] for i in outside], whole=alpha == max(blends.tried))
            found[alpha].update(zip(outside, answers, strict=True))
    candidates = {0.0: bench.base_opinions}
    candidates.update({alpha: [answers[i] for i in range(len(bench.windows))] for alpha, answers in found.items()})
    losses = {alpha: [opinion.loss for opinion in answers] for alpha, answers in candidates.items()}
    alpha = choose_alpha(losses, [group_of(window.case) for window in bench.windows], blends.usual)
    before = figures(bench.windows, bench.base_opinions)
    return replace(runs, alpha=alpha, before=before, after=figures(bench.windows, candidates[alpha]))


def choose_alpha(losses: Mapping[float, Sequence[float]], patients: Sequence[str], usual: float) -> float:
    """Return the usual blend, or of those that are better for certain the best.

    Certain is what the 95 % interval (t) of the gain says over patients, each of whom counts once: the slices of one
    say little more than one of them does.

    Parameters
    ----------
    losses
        Loss of each held-out window, by blend; the same windows in the same order.
    patients
        Whose each window is.
    usual
        The usual blend, one of those.
    """
    names, whose = np.unique(np.asarray(patients), return_inverse=True)
    chosen, most = usual, 0.0
    if len(names) < 2:
        return chosen
    beyond = float(student_t.ppf(0.975, len(names) - 1)) / np.sqrt(len(names))
    for alpha, found in losses.items():
        by_window = np.asarray(losses[usual]) - np.asarray(found)
        gained = np.bincount(whose, by_window) / np.bincount(whose)  # a mean for each patient
        if gained.mean() > max(most, beyond * gained.std(ddof=1)):
            chosen, most = alpha, float(gained.mean())
    return chosen
