"""The loop of trainings that go through a dataset again and again, in epochs; see :mod:`training.loop`.

Everything that is drawn follows from the seed and from where the training stands, so that a training that was stopped
at any step goes on to the same losses.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from cinema_core.errors import EngineError
from training.loop import Batch, Judge, LossOf, Run, Training
from training.settings import Behaviour, FineTuneConfig, Train

log = logging.getLogger(__name__)

Publish = Callable[[Mapping[str, torch.Tensor], Run], None]


@dataclass(frozen=True)
class Lesson:
    """What there is to learn.

    Attributes
    ----------
    images
        What it learns from: image ``i`` of an epoch has the index ``epoch * len(names) + i``.
    names
        Whose each image is.
    loss
        Of a network on a batch.
    judge
        Measures a network on those who validate.
    """

    images: Dataset[Any]
    names: tuple[str, ...]
    loss: LossOf
    judge: Judge


class Plan:
    """Which images each step of a training learns from: every image once per epoch, in an order of its own.

    Image ``i`` of an epoch has the index ``epoch * n_images + i``.

    Attributes
    ----------
    per_epoch, n_steps
        Steps of an epoch, and of the whole training.
    """

    def __init__(self, n_images: int, config: FineTuneConfig) -> None:
        self._n_images = n_images
        self._seed = config.seed
        self._train = config.train
        self.per_epoch = steps_per_epoch(n_images, config.train, config.behaviour)
        self.n_steps = self.per_epoch * config.train.n_epochs
        self._order = lru_cache(maxsize=2)(self._drawn_order)

    def batches(self, step: int) -> list[list[int]]:
        """List the indices of the images of a step, grouped into the batches whose gradients are averaged."""
        epoch, within = divmod(step, self.per_epoch)
        first, size = within * self._train.batch_size, self._train.batch_size_per_device
        chosen = self._order(epoch)[first : first + self._train.batch_size]
        return [chosen[k : k + size] for k in range(0, len(chosen), size)]

    def _drawn_order(self, epoch: int) -> list[int]:
        order = np.random.default_rng([self._seed, epoch]).permutation(self._n_images)
        return [epoch * self._n_images + int(i) for i in order]


class _Batches(Sampler[list[int]]):
    """All batches of a plan from a step on: one loader, and its processes, serve a whole training."""

    def __init__(self, plan: Plan, first: int) -> None:
        self._plan = plan
        self._first = first

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._first, self._plan.n_steps):
            yield from self._plan.batches(step)


def steps_per_epoch(n: int, train: Train, behaviour: Behaviour) -> int:
    """Count the steps of an epoch: what is left over at its end makes a smaller step, or is dropped as published.

    Of fewer images than one step takes, nothing is ever dropped: nothing would be learned.
    """
    if behaviour is Behaviour.PUBLISHED and n >= train.batch_size:
        return n // train.batch_size
    return math.ceil(n / train.batch_size)


def best_point(curve: Sequence[Mapping[str, float]], train: Train, behaviour: Behaviour) -> tuple[int, int]:
    """Say which point of a curve is the best so far, and how many came since the last real improvement.

    Mended, an improvement is one by at least ``min_delta``. As published any improvement is kept, while only those by
    ``min_delta`` count against the patience.
    """
    rule = train.early_stopping
    sign = 1 if rule.mode == "max" else -1
    values = [sign * point[rule.metric] for point in curve]
    kept = real = 0
    for k, value in enumerate(values):
        if behaviour is Behaviour.PUBLISHED and _above(value, values[kept], 0.0):
            kept = k
        if _above(value, values[real], rule.min_delta):
            real = k
    return (kept if behaviour is Behaviour.PUBLISHED else real), len(curve) - 1 - real


def _above(value: float, other: float, delta: float) -> bool:
    """Whether a value is above another; any number is above none."""
    return not math.isnan(value) and (math.isnan(other) or (value > other and value >= other + delta))


def fit_epochs(training: Training, lesson: Lesson, config: FineTuneConfig, checkpoint: Path, publish: Publish) -> None:
    """Train until the last epoch, or until the validation does not improve any more.

    Parameters
    ----------
    checkpoint
        Where to go on from, if it exists; removed at the end.
    publish
        Called with the weights whenever they are the best so far.

    Raises
    ------
    EngineError
        If the loss is no number in too many steps one after the other.
    """
    train, run, plan = config.train, training.run, Plan(len(lesson.names), config)
    if checkpoint.exists():
        training.resume(checkpoint)
        run = training.run
        log.info("going on from step %d, %.1f min", run.step, run.seconds / 60)
    loaded = iter(_loader(lesson.images, plan, run.step, config))
    training.network.train()
    saved = run.seconds
    while run.step < plan.n_steps and not _stalled(run, config):
        indices = plan.batches(run.step)
        _learn(training, [next(loaded) for _ in indices], indices, config, lesson.names)
        epoch, within = divmod(run.step, plan.per_epoch)
        if within == 0 and (epoch % train.eval_interval == 0 or epoch == train.n_epochs):
            training.look(lesson.judge, epoch=float(epoch), skipped=float(run.skipped))
            if best_point(run.curve, train, config.behaviour)[0] == len(run.curve) - 1:
                publish(training.mean, run)
            saved = -math.inf
        if run.seconds - saved > 60 * train.checkpoint_minutes:
            training.save(checkpoint)
            saved = run.seconds
    checkpoint.unlink(missing_ok=True)


def _stalled(run: Run, config: FineTuneConfig) -> bool:
    if not run.curve:
        return False
    return best_point(run.curve, config.train, config.behaviour)[1] >= config.train.early_stopping.patience


def _loader(images: Dataset[Any], plan: Plan, first: int, config: FineTuneConfig) -> DataLoader[Any]:
    n_workers = config.train.n_workers
    return DataLoader(
        images,
        batch_sampler=_Batches(plan, first),
        num_workers=n_workers,
        multiprocessing_context="spawn" if n_workers else None,
        prefetch_factor=4 if n_workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _learn(
    training: Training,
    batches: Sequence[Batch],
    indices: Sequence[Sequence[int]],
    config: FineTuneConfig,
    names: Sequence[str],
) -> None:
    run = training.run
    began = time.perf_counter()
    torch.manual_seed(int(np.random.SeedSequence([config.seed, run.step]).generate_state(1)[0]))  # dropout, drop path
    training.step(*batches)
    run.seconds += time.perf_counter() - began
    if run.bad_in_a_row:
        shown = ", ".join(list(dict.fromkeys(names[index % len(names)] for batch in indices for index in batch))[:8])
        log.warning("step %d was left out, its loss is no number: %s", run.step, shown)
        if run.bad_in_a_row >= config.train.max_bad_steps:
            raise EngineError(
                f"The loss was no number in {run.bad_in_a_row} steps one after the other; the last was of {shown}. "
                "Look at these images, or lower train.lr."
            )
