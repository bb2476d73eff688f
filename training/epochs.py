"""The loop of trainings that go through a dataset again and again, in epochs; see :mod:`training.loop`.

Everything that is drawn follows from the seed and from where the training stands, so that a training that was stopped
at any step goes on to the same losses.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from cinema_core.errors import EngineError
from training.config_files import Behaviour, Epochs, TrainingConfig
from training.datasets.preparing import csv_text, write_text
from training.distributed import Processes
from training.loop import Judge, LossOf, Run, Training
from training.optimise import rate_at
from training.output import Output
from training.tracking import Meter, Tracker

log = logging.getLogger(__name__)

PRECISIONS: Final = {"bf16": torch.bfloat16, "float32": torch.float32}

LOGGED_STEPS: Final = 10
"""Steps from one line of the log to the next."""

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

    def __init__(self, n_images: int, config: TrainingConfig) -> None:
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


@dataclass(frozen=True)
class Portion:
    """What one process learns in a step: some of its batches, by their places among all of the step.

    Attributes
    ----------
    places
        Of the batches; every process has as many, so that they stay in step.
    shares
        What each batch counts in the mean of the step: nothing if another process has it, too.
    """

    places: tuple[int, ...]
    shares: tuple[float, ...]


def portion(n_batches: int, processes: Processes) -> Portion:
    """Deal out the batches of a step: one after the other to one process after the other."""
    places = range(processes.rank, math.ceil(n_batches / processes.size) * processes.size, processes.size)
    return Portion(
        tuple(place if place < n_batches else 0 for place in places),
        tuple(1 / n_batches if place < n_batches else 0.0 for place in places),
    )


class _Batches(Sampler[list[int]]):
    """Batches of a process from a step on: one loader, and its own processes, serve a whole training."""

    def __init__(self, plan: Plan, first: int, processes: Processes) -> None:
        self._plan = plan
        self._first = first
        self._processes = processes

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._first, self._plan.n_steps):
            batches = self._plan.batches(step)
            yield from (batches[place] for place in portion(len(batches), self._processes).places)


def steps_per_epoch(n: int, train: Epochs, behaviour: Behaviour) -> int:
    """Count the steps of an epoch: what is left over at its end makes a smaller step, or is dropped as published.

    Of fewer images than one step takes, nothing is ever dropped: nothing would be learned.
    """
    if behaviour is Behaviour.PUBLISHED and n >= train.batch_size:
        return n // train.batch_size
    return math.ceil(n / train.batch_size)


def best_point(curve: Sequence[Mapping[str, float]], train: Epochs, behaviour: Behaviour) -> tuple[int, int]:
    """Say which point of a curve is the best so far, and how many came since the last real improvement.

    Mended, an improvement is one by at least ``min_delta``. As published any improvement is kept, while only those by
    ``min_delta`` count against the patience. Where nothing decides, the last point is the best.
    """
    rule = train.early_stopping
    if rule is None:
        return len(curve) - 1, 0
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


def fit_epochs(
    training: Training,
    lesson: Lesson,
    config: TrainingConfig,
    checkpoint: Path,
    publish: Publish,
    tracker: Tracker | None = None,
) -> None:
    """Train until the last epoch, or until the validation does not improve any more.

    Parameters
    ----------
    checkpoint
        Where to write what to go on from; removed at the end.
    publish
        Called with the weights whenever they are the best so far; in the first process only.
    tracker
        Told how it goes, in the first process only.

    Raises
    ------
    EngineError
        If the loss is no number in too many steps one after the other.
    """
    train, plan, processes = config.train, Plan(len(lesson.names), config), training.processes
    run, meter = training.run, Meter(training.device)
    loaded = iter(_loader(lesson.images, plan, run.step, config, processes))
    training.network.train()
    saved = run.seconds
    while run.step < plan.n_steps and not _stalled(run, config):
        batches = plan.batches(run.step)
        own = portion(len(batches), processes)
        with meter.waiting():
            given = [next(loaded) for _ in own.places]
        rate = training.rate
        value = training.step(*given, shares=own.shares, seeds=[_seed(config, run.step, k) for k in own.places])
        # The same number in every process, for it decides when all of them stop to save.
        run.seconds += processes.total(torch.tensor(meter.lap(sum(map(len, batches))) / processes.size))
        _refuse_bad(run, batches, config, lesson.names)
        if tracker is not None and (run.step % LOGGED_STEPS == 0 or run.step == plan.n_steps):
            tracker.tell(run.step, {"loss": value, "lr": rate, "skipped": run.skipped, **meter.figures()})
        epoch, within = divmod(run.step, plan.per_epoch)
        if within == 0 and (epoch % train.eval_interval == 0 or epoch == train.n_epochs):
            point = training.look(lesson.judge, epoch=float(epoch), skipped=float(run.skipped))
            if tracker is not None:
                tracker.tell(run.step, {key: value for key, value in point.items() if key.startswith("val_")})
            if best_point(run.curve, train, config.behaviour)[0] == len(run.curve) - 1:
                weights = training.whole_mean()
                if processes.rank == 0:
                    publish(weights, run)
            saved = -math.inf
        if run.seconds - saved > 60 * train.checkpoint_minutes:
            training.save(checkpoint)
            saved = run.seconds
        meter.start()
    if processes.rank == 0:
        checkpoint.unlink(missing_ok=True)


def _stalled(run: Run, config: TrainingConfig) -> bool:
    rule = config.train.early_stopping
    if not run.curve or rule is None:
        return False
    return best_point(run.curve, config.train, config.behaviour)[1] >= rule.patience


def _seed(config: TrainingConfig, step: int, place: int) -> int:
    """Seed of dropout and drop path in a batch, whichever process learns from it."""
    return int(np.random.SeedSequence([config.seed, step, place]).generate_state(1)[0])


def _loader(
    images: Dataset[Any], plan: Plan, first: int, config: TrainingConfig, processes: Processes
) -> DataLoader[Any]:
    n_workers = config.train.n_workers
    return DataLoader(
        images,
        batch_sampler=_Batches(plan, first, processes),
        num_workers=n_workers,
        multiprocessing_context="spawn" if n_workers else None,
        prefetch_factor=4 if n_workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _refuse_bad(run: Run, batches: Sequence[Sequence[int]], config: TrainingConfig, names: Sequence[str]) -> None:
    if not run.bad_in_a_row:
        return
    shown = ", ".join(list(dict.fromkeys(names[index % len(names)] for batch in batches for index in batch))[:8])
    log.warning("step %d was left out, its loss is no number: %s", run.step, shown)
    if run.bad_in_a_row >= config.train.max_bad_steps:
        raise EngineError(
            f"The loss was no number in {run.bad_in_a_row} steps one after the other; the last was of {shown}. "
            "Look at these images, or lower train.lr."
        )


def train_epochs(
    network: nn.Module,
    lesson: Lesson,
    config: TrainingConfig,
    output: Output,
    recipe: Mapping[str, Any],
    groups: Callable[[nn.Module], list[dict[str, Any]]],
    device: torch.device,
    processes: Processes | None = None,
    publish: Publish | None = None,
) -> Run:
    """Train a network as a config says, and write what came of it.

    Parameters
    ----------
    recipe, groups
        As :class:`training.loop.Training` takes them.
    publish
        Instead of :meth:`training.output.Output.publish`.

    Raises
    ------
    InputError, EngineError, StorageError
        As :func:`fit_epochs`.
    """
    output.make_folder()
    per_epoch = steps_per_epoch(len(lesson.names), config.train, config.behaviour)
    training = Training(
        network,
        config.train,
        lesson.loss,
        device,
        recipe=recipe,
        rate=lambda run: rate_at(run.step / per_epoch, config.train),
        groups=groups,
        precision=PRECISIONS.get(config.train.precision) or _usual_precision(device),
        processes=processes,
    )
    checkpoint = output.checkpoint(config)
    if checkpoint.exists():
        training.resume(checkpoint)
        log.info("going on from step %d, %.1f min", training.run.step, training.run.seconds / 60)
    first = training.processes.rank == 0
    tracker = output.tracker(config, training.run.step) if first else None
    try:
        fit_epochs(training, lesson, config, checkpoint, publish or partial(output.publish, config), tracker)
    finally:
        if tracker is not None:
            tracker.close()
    if first:
        write_text(output.curve(config), csv_text(training.run.curve))
    return training.run


def _usual_precision(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32
