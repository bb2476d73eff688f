"""One run of fine-tuning: so many steps over these windows, repeatable from its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cinema_core.anatomy import UNLABELLED
from cinema_core.errors import EngineError
from cinema_core.learn.augment import Augmentation, Sample
from cinema_core.learn.losses import masked_dice_ce, stay_with_base
from cinema_core.learn.settings import LARGE_MODEL_PARAMETERS, FineTuneSettings
from cinema_core.learn.tiers import choose_precision
from cinema_core.models.depth import encoder_depth, layer_of

Weights = Mapping[str, Tensor]

WARM_UP_SHARE: Final = 0.1
FINAL_RATE: Final = 0.01
"""Learning rate at the last step, relative to the peak."""

ADAM_BETAS: Final = (0.9, 0.95)
"""As published."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Averaged weights of one run, by name, on its device; and the steps whose loss was not finite."""

    weights: Weights
    skipped: int


class Batch(Protocol):
    """What one step learns from."""

    @property
    def labels(self) -> Tensor:
        """Labels (b, x, y, z), uint8; 255 = unlabelled."""
        ...

    @property
    def base(self) -> Tensor | None:
        """Soft output of the base (b, c, x, y, z); None if it is not wanted."""
        ...

    @property
    def depth(self) -> int:
        """Slices of the windows that it is of."""
        ...

    def ask(self, network: nn.Module, view: str) -> Tensor:
        """Logits (b, c, x, y, z) of a network, on its device."""
        ...


class Source(Protocol):
    """Where the batches of a run come from."""

    def draw(self) -> Batch:
        """Next batch."""
        ...


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Whole windows, images (b, x, y, z)."""

    images: Tensor
    labels: Tensor
    base: Tensor | None

    @property
    def depth(self) -> int:
        """Slices of a window."""
        return self.images.shape[-1]

    def ask(self, network: nn.Module, view: str) -> Tensor:
        """Logits (b, c, x, y, z) of a network, on its device."""
        device = next(network.parameters()).device
        logits: Tensor = network({view: self.images[:, None].to(device)})[view]
        return logits


class Batches:
    """Endless augmented batches in an order fixed by the seed: every window once before any comes again."""

    def __init__(self, samples: Sequence[Sample], size: int, seed: int, pixel_mm: float = 1.0) -> None:
        self._samples = samples
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._augment = Augmentation(seed, with_base=samples[0].base is not None, pixel_mm=pixel_mm)
        self._waiting: list[int] = []

    def draw(self) -> ImageBatch:
        """Next batch."""
        drawn = [self._augment(self._samples[self._next_index()]) for _ in range(self._size)]
        bases = [sample.base for sample in drawn if sample.base is not None]
        return ImageBatch(
            torch.stack([sample.image for sample in drawn]),  # (b, x, y, z)
            torch.stack([sample.labels for sample in drawn]),  # (b, x, y, z)
            torch.stack(bases) if bases else None,
        )

    def _next_index(self) -> int:
        if not self._waiting:
            self._waiting = self._rng.permutation(len(self._samples)).tolist()
        return self._waiting.pop()


def fit(
    network: nn.Module,
    trained: Sequence[str],
    view: str,
    batches: Source,
    steps: int,
    settings: FineTuneSettings,
    seed: int,
    on_step: Callable[[float | None], None],
) -> Fitted:
    """Train a network in place and return the average of its weights.

    Parameters
    ----------
    network
        Copy of the base, on the device to use.
    trained
        Names of the parameters to train.
    on_step
        Told of each step's loss, None if it was skipped; may raise to stop the run.

    Raises
    ------
    EngineError
        If no step had a finite loss.
    """
    parameters = {name: parameter for name, parameter in network.named_parameters() if name in set(trained)}
    optimiser = optimiser_of(parameters, settings)
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    device = next(network.parameters()).device
    skipped = 0
    network.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for number in range(1, steps + 1):
            for group in optimiser.param_groups:
                group["lr"] = group["lr_scale"] * learning_rate_at(number, steps, settings.learning_rate)
            loss = take_step(network, view, batches.draw(), optimiser, settings)
            if loss is None:
                skipped += 1
            else:
                decay = min(settings.ema_decay, (1 + number) / (10 + number))
                _average(average, parameters, decay)
            on_step(loss)
    network.eval()
    if skipped == steps:
        raise EngineError(
            f"None of {steps} training steps gave a finite loss; the model was left as it was. "
            "Check the images of the labelled slices for broken intensities."
        )
    return Fitted({**_state(network), **average}, skipped)


def take_step(
    network: nn.Module, view: str, batch: Batch, optimiser: torch.optim.Optimizer, settings: FineTuneSettings
) -> float | None:
    """Learn from one batch.

    Returns
    -------
    The loss, or None if it or its gradient was not finite and nothing was learned.
    """
    device = next(network.parameters()).device
    labels = batch.labels.to(device)
    optimiser.zero_grad(set_to_none=True)
    precision = choose_precision(device, batch.depth)
    with torch.autocast(device.type, dtype=precision, enabled=precision is not torch.float32):
        logits = batch.ask(network, view)  # (b, c, x, y, z)
    logits = logits.float()
    loss = masked_dice_ce(logits, labels)
    if batch.base is not None and settings.base_weight > 0:
        loss = loss + settings.base_weight * stay_with_base(logits, batch.base.to(device), labels == UNLABELLED)
    value = float(loss.detach())
    if not isfinite(value):
        return None
    loss.backward()
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(trained, settings.clip_norm))
    if not isfinite(norm):
        return None
    optimiser.step()
    return value


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first tenth, then a cosine down to a hundredth of the peak; steps count from 1."""
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step <= warm_up:
        return peak * step / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (FINAL_RATE + (1 - FINAL_RATE) * (1 + cos(pi * done)) / 2)


def blend(base: Weights, tuned: Weights, alpha: float) -> Weights:
    """Weights between the base (alpha 0) and the tuned model (alpha 1), after WiSE-FT (arXiv 2109.01903)."""
    return {
        name: torch.lerp(base[name], value, alpha) if value.is_floating_point() else value
        for name, value in tuned.items()
    }


def optimiser_of(parameters: Mapping[str, nn.Parameter], settings: FineTuneSettings) -> torch.optim.AdamW:
    """AdamW without weight decay on norms and biases, as published.

    Every group has an ``lr_scale``. It is 1 but where a large model is trained down to the image (see
    :attr:`FineTuneSettings.layer_decay`), or norms and biases alone (:attr:`FineTuneSettings.norms_rate`).
    """
    depth = encoder_depth(parameters)
    n_parameters = sum(parameter.numel() for parameter in parameters.values())
    decay = settings.layer_decay if depth and n_parameters > LARGE_MODEL_PARAMETERS else 1.0
    rate = 1.0 if any(parameter.ndim > 1 for parameter in parameters.values()) else settings.norms_rate
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        scale = rate * decay ** (depth + 1 - layer_of(name, depth))
        groups.setdefault((parameter.ndim > 1, scale), []).append(parameter)
    return torch.optim.AdamW(
        [
            # The fitting sets the rate of every step; this one is of the first step that is timed.
            {
                "params": members,
                "weight_decay": settings.weight_decay if decays else 0.0,
                "lr": scale * settings.learning_rate,
                "lr_scale": scale,
            }
            for (decays, scale), members in groups.items()
        ],
        betas=ADAM_BETAS,
    )


@torch.no_grad()
def _average(average: Weights, parameters: Weights, decay: float) -> None:
    for name, value in average.items():
        value.lerp_(parameters[name], 1 - decay)


def _state(network: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
