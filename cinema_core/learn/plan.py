"""How many steps a time budget buys, and what to tell the reader while they are taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cinema_core.learn.settings import FineTuneSettings
from cinema_core.progress import CancelToken, Progress

RECENT: float = 0.2
"""Weight of the newest step in the running mean of step times."""

FIRST_FRACTION, LAST_FRACTION = 0.05, 0.95
"""Part of the progress bar that the steps take; before lies preparation, after it measuring and writing."""


SHORTEST_STEP_S: Final = 1e-3
"""No step is taken to be shorter, whatever a clock says that does not tell two moments from each other."""


class Stopwatch:
    """How long something has taken since this was made, without the pauses that the reader asked for."""

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._started, self._paused_s = time.monotonic(), cancel.paused_s

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        return time.monotonic() - self._started - (self._cancel.paused_s - self._paused_s)


@dataclass(frozen=True)
class Plan:
    """What a run will do: a function of the number of steps and the labels, never of the clock.

    Attributes
    ----------
    steps
        Of the final run, from all labels.
    folds, fold_steps
        Runs with patients held out, and the steps of each.
    """

    steps: int
    folds: int
    fold_steps: int

    @property
    def total_steps(self) -> int:
        """Steps of all runs together."""
        return self.steps + self.folds * self.fold_steps


def make_plan(settings: FineTuneSettings, n_folds: int, step_s: float, seconds: float) -> Plan:
    """Turn a time budget into steps, or take the steps that were asked for.

    Parameters
    ----------
    n_folds
        Number of folds that the patients with labels are of; with one, nothing can be held out.
    step_s
        How long a step takes on this machine; not looked at if the settings name the steps.
    seconds
        What is left of the budget for steps.

    Returns
    -------
    The plan that the same settings with ``steps`` set to its number of steps would give again.
    """
    folds = n_folds if n_folds > 1 else 0
    steps = settings.steps
    if steps is None:
        affordable = max(seconds, 0.0) / max(step_s, SHORTEST_STEP_S)
        steps = int(affordable / (1 + folds * settings.fold_share))
        if steps < settings.fold_min_steps:  # too few to learn twice: all time goes to the final run
            steps = min(int(affordable), settings.fold_min_steps - 1)
        steps = min(max(steps, 1), settings.max_steps)
    if steps < settings.fold_min_steps:
        folds = 0
    return Plan(steps, folds, max(1, round(steps * settings.fold_share)) if folds else 0)


class Pace:
    """Tells the reader of every step, how long is left, and looks whether to stop."""

    def __init__(
        self,
        total_steps: int,
        progress: Progress,
        cancel: CancelToken,
        learned: Callable[[int, float], None] | None = None,
    ) -> None:
        self._learned = learned
        self._run = 0
        self._total = total_steps
        self._done = 0
        self._progress = progress
        self._cancel = cancel
        self._step_s: float | None = None
        self._last = time.monotonic()

    def begin(self) -> None:
        """Begin the next run: start the clock of its first step, for what lay before it was no step."""
        self._run += 1
        self._last = time.monotonic()

    def step(self, what: str, loss: float | None) -> None:
        """Report one finished step of a run named ``what``; a loss of None means that it was skipped.

        Waits here while the reader asked for a pause.

        Raises
        ------
        Cancelled
            If the reader asked to stop.
        """
        took = time.monotonic() - self._last
        self._cancel.raise_if_cancelled()
        self._last = time.monotonic()  # a pause is no part of the next step
        self._step_s = took if self._step_s is None else (1 - RECENT) * self._step_s + RECENT * took
        self._done += 1
        left = round((self._total - self._done) * self._step_s)
        fraction = FIRST_FRACTION + (LAST_FRACTION - FIRST_FRACTION) * self._done / self._total
        if self._learned is not None and loss is not None:
            self._learned(self._run, loss)
        result = "skipped, its loss was not finite" if loss is None else f"loss {loss:.3f}"
        self._progress(fraction, f"{what}: step {self._done} of {self._total}, {result}, {left} s left")
