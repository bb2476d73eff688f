"""Runs of :mod:`training.label_efficiency` as lines of a table, told in Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.cards import BUNDLED
from cinema_core.errors import InputError
from cinema_core.learn.guard import Scope
from training.figures import Line, draw_lines

SCRATCH: Final = "scratch"
"""Method: the network of the bundled model without its weights."""

UNET: Final = "unet"
METHODS: Final = (BUNDLED, SCRATCH, UNET)


@dataclass(frozen=True)
class Budget:
    """Labels that a run may use: so many slices, evenly of so many patients. None: all slices of the patients."""

    n_patients: int
    n_slices: int | None

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.n_slices or 'all'}/{self.n_patients}"

    @classmethod
    def named(cls, text: str) -> Budget:
        """Read what :attr:`name` wrote.

        Raises
        ------
        InputError
            If it is no budget.
        """
        slices, _, patients = text.partition("/")
        if not patients.isdigit() or not (slices == "all" or slices.isdigit()) or slices == "0" or patients == "0":
            raise InputError(f"{text!r} is no budget; write slices/patients, such as 8/4 or all/10.")
        n_slices = None if slices == "all" else int(slices)
        if n_slices is not None and n_slices % int(patients):
            raise InputError(f"{text!r}: the slices do not go evenly into the patients.")
        return cls(int(patients), n_slices)


@dataclass(frozen=True)
class Row:
    """One run, as a line of the table.

    Attributes
    ----------
    tier
        What was trained (:class:`cinema_core.learn.settings.Tier`).
    dice_before, dice_after
        Mean over structures and test patients.
    lvef_before, lvef_after
        Mean absolute error of the LV's ejection fraction, in points.
    phantom_change, sunnybrook_change
        Dice gained on hearts that were not learned from; NaN if not measured.
    offered
        Widest use that the gate offered: ``project``, ``this study only`` or nothing.
    """

    method: str
    strategy: str
    budget: str
    seed: int
    tier: str
    steps: int
    seconds: float
    alpha: float
    dice_before: float
    dice_after: float
    lvef_before: float
    lvef_after: float
    rv: float
    myo: float
    lv: float
    phantom_change: float
    sunnybrook_change: float
    offered: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes it one run."""
        return self.method, self.strategy, self.budget, self.seed


def interval(values: Sequence[float], n: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean by bootstrap over the runs."""
    drawn = np.random.default_rng(0).choice(np.asarray(values, dtype=float), (n, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def report(rows: Sequence[Row]) -> str:
    """Table in Markdown: one line per budget, method, what was trained, and rule."""
    lines = [
        "| Slices/patients | Model | Trained | Rule | Seeds | Mean Dice | Change | LVEF, MAE | Phantom | Sunnybrook "
        "| Seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.budget, row.method, row.tier, row.strategy), []).append(row)

    def spread(values: Sequence[float], digits: int, sign: str = "") -> str:
        if len(values) == 1:
            return f"{values[0]:{sign}.{digits}f}"  # one run says nothing of how runs differ
        low, high = interval(values)
        return f"{np.mean(values):{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"

    for (budget, method, tier, strategy), found in sorted(groups.items(), key=lambda group: _order(*group[0])):
        tuned = method == BUNDLED
        change = spread([r.dice_after - r.dice_before for r in found], 3, "+") if tuned else "-"
        kept = [f"{np.mean([getattr(r, name) for r in found]):+.3f}" if tuned else "-" for name in FORGETTING]
        cells = [
            budget,
            method,
            tier,
            strategy,
            str(len(found)),
            spread([r.dice_after for r in found], 3),
            change,
            f"{np.mean([r.lvef_after for r in found]):.1f}",
            *kept,
            f"{np.median([r.seconds for r in found]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw mean Dice against the budgets, with intervals, a line per method (and rule, if there are several).

    Raises
    ------
    InputError, StorageError
        If there is nothing to draw, no Matplotlib, or the disk refuses.
    """
    if not rows:
        raise InputError("There is no run to draw yet. Leave the figure out, or ask for runs.")
    known = {row.budget: Budget.named(row.budget) for row in rows}
    budgets = sorted(known, key=lambda name: (known[name].n_slices or 10**6, known[name].n_patients))
    several = len({row.strategy for row in rows}) > 1
    lines = []
    for method, strategy in sorted({(row.method, row.strategy) for row in rows}):
        found = {
            place: [r.dice_after for r in rows if (r.method, r.strategy, r.budget) == (method, strategy, budget)]
            for place, budget in enumerate(budgets)
        }
        at = tuple(place for place, values in found.items() if values)
        low, high = zip(*(interval(found[place]) for place in at), strict=True)
        means = tuple(float(np.mean(found[place])) for place in at)
        lines.append(Line(f"{method}, {strategy}" if several else method, at, means, low, high))
    before = [row.dice_before for row in rows if row.method == BUNDLED]
    labels = ("slices / patients", "mean Dice of the test patients, 95 % interval")
    draw_lines(path, budgets, lines, labels, before[0] if before else float("nan"))


FORGETTING: Final = ("phantom_change", "sunnybrook_change")


def worse_kept(rows: Sequence[Row]) -> tuple[int, int]:
    """Count the runs that the gate offered for the project, and those of them that test patients lost by."""
    offered = [row for row in rows if row.method == BUNDLED and row.offered == str(Scope.PROJECT)]
    return len(offered), sum(row.dice_after < row.dice_before for row in offered)


def _order(budget: str, *rest: str) -> tuple[int, int, tuple[str, ...]]:
    known = Budget.named(budget)
    return known.n_patients, known.n_slices or 10**6, rest
