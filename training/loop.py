"""What every training does: step, average, judge, checkpoint; and the loop of those that learn from endless slices.

On a GPU the same loop runs in bfloat16 there, fed by one drawing process per core. For trainings that go through a
dataset again and again see :mod:`training.epochs`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset, Sampler

from cinema_core.errors import InputError
from training.checkpoints import read_checkpoint, write_checkpoint
from training.distributed import Processes

Batch = Sequence[torch.Tensor]
LossOf = Callable[[nn.Module, Batch], torch.Tensor]
"""Loss of a network on a batch, as the data set gives it, on the network's device."""
Judge = Callable[[nn.Module], dict[str, float]]
"""Figures of a network by name."""

log = logging.getLogger(__name__)


class Pace(BaseModel, frozen=True, extra="forbid"):
    """How weights are moved, in any training."""

    lr: float = Field(1e-3, gt=0)
    """Highest learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.05, ge=0)
    clip_grad: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)
    """What is judged and kept is a running mean of the weights, with this memory per step; 0: the weights."""


class TrainSettings(Pace, frozen=True, extra="forbid"):
    """A part of the config that says how a network is trained."""

    minutes: float | None = Field(55.0, gt=0)
    """Wall-clock budget over all resumed runs; the learning rate falls along it."""
    steps: int | None = Field(None, gt=0)
    """Steps instead of minutes: the same weights on every run of the same machine."""
    batch_size: int = Field(8, gt=0)
    min_lr: float = Field(1e-5, gt=0)
    warmup_steps: int = Field(100, ge=0)
    sunnybrook_share: float = Field(0.2, ge=0, lt=1)
    """Share of real slices, if they are there."""
    emptied_share: float = Field(0.0, ge=0, le=0.5)
    """Share of the synthetic slices that show a small or thick LV at ES, nearly emptied."""
    valve_share: float = Field(0.0, ge=0, le=0.5)
    """Share of the synthetic slices that show an LV with the right atrium, and not the RV, beside it."""
    straddling_share: float = Field(0.0, ge=0, le=0.5)
    """Share of the synthetic slices that the valves' plane passes through."""
    bowel_share: float = Field(0.0, ge=0, le=0.5)
    """Share of the synthetic slices with bowel, bright as blood, close below the heart."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of the patches that a masked autoencoder does not see."""
    n_workers: int | None = Field(None, ge=0)
    """Processes that draw slices; None: one, or all cores but one beside a GPU."""
    eval_minutes: float = Field(4.0, gt=0)
    """How often to validate, keep a checkpoint and publish."""


@dataclass
class Run:
    """Where a training stands; everything that a checkpoint must hold."""

    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of the steps since the last point of the curve."""
    skipped: int = 0
    """Steps whose loss or gradient was no number; nothing was learned from them."""
    bad_in_a_row: int = 0
    """Of these, the last ones without a good one in between."""


class Objective(nn.Module):
    """A network together with what it minimises: called with a batch, it answers the loss.

    So whoever distributes the work over processes sees one module with one number as its answer.
    """

    def __init__(self, network: nn.Module, loss_of: LossOf) -> None:
        super().__init__()
        self.network = network
        self._loss_of = loss_of

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Loss of a batch, as the data set gives it."""
        return self._loss_of(self.network, batch)


class Onwards(Sampler[int]):
    """0, 1, 2, ... from where the last run stopped."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        index = self._first
        while True:
            yield index
            index += 1


def progress_of(run: Run, settings: TrainSettings) -> float:
    """Share of the budget that is used up, 0 to 1."""
    if settings.steps is not None:
        return min(1.0, run.step / settings.steps)
    assert settings.minutes is not None  # the settings were checked in `read_settings`
    return min(1.0, run.seconds / (60 * settings.minutes))


def learning_rate(run: Run, settings: TrainSettings) -> float:
    """Linear warm-up by steps, then a half cosine over the budget."""
    warm = min(1.0, (run.step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + np.cos(np.pi * progress_of(run, settings)))
    return float(warm * (settings.min_lr + (settings.lr - settings.min_lr) * cosine))


def recipe_text(settings: BaseModel, others: Mapping[str, Any]) -> str:
    """Everything that the weights of a training follow from, as text that is equal if and only if all of it is."""
    decide = settings.model_dump(mode="json", exclude={"n_workers", "eval_minutes", "checkpoint_minutes"})
    return json.dumps({**others, "settings": decide}, sort_keys=True)


class Training:
    """A network with what its training needs to remember; a checkpoint holds all of it."""

    def __init__(
        self,
        network: nn.Module,
        settings: Pace,
        loss_of: LossOf,
        device: torch.device | str = "cpu",
        recipe: Mapping[str, Any] | None = None,
        *,
        rate: Callable[[Run], float] | None = None,
        groups: Callable[[nn.Module], list[dict[str, Any]]] | None = None,
        precision: torch.dtype = torch.bfloat16,
        processes: Processes | None = None,
    ) -> None:
        """Make a training at its first step.

        Parameters
        ----------
        recipe
            Whatever else the weights follow from (seed, data), as plain values: a checkpoint of another recipe is not
            gone on from, because its card would tell what was never done.
        rate
            Learning rate of a step; None: :func:`learning_rate` of settings that are :class:`TrainSettings`.
        groups
            Parameters of a network as AdamW takes them, with ``lr_scale`` where a group learns slower; None: no weight
            decay on norms and biases.
        precision
            Of the forward pass.
        processes
            Those that train together, each with its own share of every step; None: this one alone.
        """
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.settings = settings
        self.processes = processes or Processes()
        self._objective = self.processes.wrap(Objective(network, loss_of))
        self._rate = rate or _own_rate(settings)
        self._precision = precision
        self.run = Run()
        self.recipe = recipe_text(settings, recipe or {})
        self.mean = self._weights() if settings.ema_decay == 0 else _copies(self._weights())
        self._optimizer = torch.optim.AdamW(
            groups(network) if groups is not None else decayed_groups(network, settings.weight_decay),
            lr=settings.lr,
            betas=settings.betas,
            fused=True,
        )

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self._rate(self.run)

    def step(self, *batches: Batch, shares: Sequence[float] | None = None, seeds: Sequence[int] | None = None) -> float:
        """Learn from batches whose gradients are averaged; returns their mean loss, over all processes.

        If a loss or the gradient is no number, nothing is learned and the step is counted in ``run.skipped``.

        Parameters
        ----------
        batches
            Those of this process.
        shares
            What each counts in the mean; together 1 over all processes. None: all the same, and no other process.
        seeds
            Of what is drawn at random for each (dropout, drop path); None: whatever comes next.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * group.get("lr_scale", 1.0)
        self._optimizer.zero_grad(set_to_none=True)
        shares = shares or [1 / len(batches)] * len(batches)
        losses = []
        for k, (batch, share) in enumerate(zip(batches, shares, strict=True)):
            if seeds is not None:
                torch.manual_seed(seeds[k])
            with self.processes.together(self._objective, now=k == len(batches) - 1):
                losses.append(self._backward(batch, share))
        value = self.processes.total(torch.stack(losses).sum())
        norm = self.processes.number(nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_grad))
        self.run.step += 1
        if math.isfinite(value) and math.isfinite(norm):
            self._optimizer.step()
            if self.settings.ema_decay > 0:
                self._average(min(self.settings.ema_decay, (1 + self.run.step) / (10 + self.run.step)))
            self.run.losses.append(value)
            self.run.bad_in_a_row = 0
        else:
            self.run.skipped += 1
            self.run.bad_in_a_row += 1
        return value

    def _backward(self, batch: Batch, share: float) -> torch.Tensor:
        batch = [part.to(self.device, non_blocking=True) for part in batch]
        half = self._precision is not torch.float32
        # In bfloat16 on a CPU the flash kernel's backward pass took an eighth of a step of 144 tokens. In float32 it is
        # the quicker one: 0.76 s of the processor against 1.41 s for a layer of the base size on 2304 tokens.
        slow = half and self.device.type == "cpu"
        kernels = [SDPBackend.MATH] if slow else list(SDPBackend.__members__.values())
        with sdpa_kernel(kernels):  # around the way back, too, where forgotten activations are computed again
            with torch.autocast(self.device.type, dtype=self._precision, enabled=half):
                loss: torch.Tensor = self._objective(*batch) * share
            self.processes.backward(loss)
        return loss.detach().float()

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        for name, value in self._weights().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - decay)
            else:
                self.mean[name].copy_(value)

    def _weights(self) -> dict[str, torch.Tensor]:
        """Weights that the network learns with, not copies; of a sharded one the part of this process."""
        return {name: value.detach() for name, value in self.network.state_dict().items()}

    def judge(self, judge: Judge) -> dict[str, float]:
        """Figures of the averaged weights; the network's own weights stay. Every process is told the same."""
        averaged = self.settings.ema_decay > 0
        own = _copies(self._weights()) if averaged else {}
        if averaged:
            self.network.load_state_dict(self.mean)
        self.network.eval()
        found = judge(self.network)
        if averaged:
            self.network.load_state_dict(own)
        self.network.train()
        return self.processes.agreed({name: round(value, 4) for name, value in found.items()})

    def look(self, judge: Judge, **where: float) -> dict[str, float]:
        """Add a point to the curve and return it: where it is, loss since the last one, and what the judge says."""
        point = {"step": float(self.run.step), **where}
        if self.run.losses:
            point["loss"] = round(float(np.mean(self.run.losses)), 4)
            self.run.losses.clear()
        self.run.curve.append(point | self.judge(judge))
        log.info("%s", self.run.curve[-1])
        return self.run.curve[-1]

    def whole_mean(self) -> dict[str, torch.Tensor]:
        """Averaged weights, gathered from all processes if they are sharded."""
        return {name: self.processes.whole(value) for name, value in self.mean.items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all; it does not depend on how many processes train.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        whole = self.processes.whole
        optimizer = self._optimizer.state_dict()
        optimizer["state"] = {
            key: {name: whole(value) for name, value in moments.items()} for key, moments in optimizer["state"].items()
        }
        state = {
            "network": {name: whole(value) for name, value in self._weights().items()},
            "optimizer": optimizer,
            "mean": self.whole_mean() if self.settings.ema_decay > 0 else None,
            **vars(self.run),
            "recipe": self.recipe,
        }
        if self.processes.rank == 0:
            write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        InputError
            If it belongs to another network, or to another recipe for it, or is no checkpoint.
        """
        state = read_checkpoint(path, self.device)
        if state.get("recipe") != self.recipe:
            raise InputError(
                f"The checkpoint {path} was made with other settings, another seed or other data. Ask for the same as "
                "then, remove it to start anew, or give another --work."
            )
        try:
            self.network.load_state_dict(self._spread(state["network"]))
        except RuntimeError as error:
            raise InputError(
                f"The checkpoint {path} belongs to another network than the config describes. "
                "Remove it to start anew, or give another --work."
            ) from error
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        for key, moments in state["optimizer"]["state"].items():
            state["optimizer"]["state"][key] = {
                name: self.processes.spread(value, parameters[key]) if value.ndim else value
                for name, value in moments.items()
            }
        self._optimizer.load_state_dict(state["optimizer"])
        self.mean = self._weights() if state["mean"] is None else self._spread(state["mean"])
        self.run = Run(**{f.name: state[f.name] for f in fields(Run)})

    def _spread(self, whole: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        own = self._weights()
        return {
            name: self.processes.spread(value, own[name]) if name in own else value for name, value in whole.items()
        }


def _copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def decayed_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Group the trained parameters as AdamW takes them: no weight decay on norms and biases."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _own_rate(settings: Pace) -> Callable[[Run], float]:
    if not isinstance(settings, TrainSettings):
        raise TypeError("Settings of another form come with their own learning rate.")
    return lambda run: learning_rate(run, settings)


def fit(
    training: Training,
    slices: Dataset[Any],
    checkpoint: Path,
    judge: Judge,
    publish: Callable[[Mapping[str, torch.Tensor], Run], None],
) -> None:
    """Train until the budget is used up.

    Parameters
    ----------
    training
        What is trained.
    slices
        What it learns from; slice n is used once, whether or not the run was stopped in between.
    checkpoint
        Where to go on from, if it exists; removed when the budget is used up.
    judge
        Measures the averaged weights from time to time.
    publish
        Called with the averaged weights and the run at each validation and at the end.
    """
    settings = training.settings
    assert isinstance(settings, TrainSettings)  # others have loops of their own
    if checkpoint.exists():
        training.resume(checkpoint)
        log.info("going on from step %d, %.1f min", training.run.step, training.run.seconds / 60)
    on_gpu = training.device.type == "cuda"
    n_workers = settings.n_workers
    if n_workers is None:
        n_workers = max(1, (os.cpu_count() or 2) - 1) if on_gpu else 1
    loader = DataLoader(
        slices,
        batch_size=settings.batch_size,
        sampler=Onwards(training.run.step * settings.batch_size),
        num_workers=n_workers,
        multiprocessing_context="spawn" if n_workers else None,
        prefetch_factor=8 if n_workers else None,
        pin_memory=on_gpu,
    )
    training.network.train()
    run, last = training.run, time.perf_counter()
    next_look = run.seconds + 60 * settings.eval_minutes
    for batch in loader:
        if progress_of(run, settings) >= 1:
            break
        training.step(batch)
        now = time.perf_counter()
        run.seconds, last = run.seconds + now - last, now
        if run.step % 50 == 0 and run.losses:
            log.info("step %d, %.1f min, loss %.4f", run.step, run.seconds / 60, float(np.mean(run.losses[-50:])))
        if run.seconds >= next_look:
            next_look = run.seconds + 60 * settings.eval_minutes
            _look(training, judge)
            training.save(checkpoint)
            publish(training.mean, run)
            last = time.perf_counter()  # judging does not count against the budget
    _look(training, judge)
    publish(training.mean, run)
    checkpoint.unlink(missing_ok=True)


def _look(training: Training, judge: Judge) -> None:
    training.look(judge, minutes=round(training.run.seconds / 60, 2))
