"""What one press of *Fine-tune on my labels* may be told; read by window, command line and engine alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field

from cinema_core.folds import N_FOLDS

LARGE_MODEL_PARAMETERS: Final = 30_000_000
"""Above this a step through the whole model takes tens of seconds on two cores (the published base model,
127 M parameters, 3 TFLOP: 70 s): only its decoder can be tuned while a reader waits."""

FEW_SLICES: Final = 12
"""With so many labelled slices or fewer, of several patients, the norms and biases of a small transformer gain as much
as all of it, and it forgets half as much of other hearts. Of 20 slices, and of one patient's, all of it gains more
(docs/decisions/005-mean-of-runs.md)."""


class Tier(StrEnum):
    """How much of a model is trained."""

    AUTO = "auto"
    """By the model's size, the number of labels and the device."""
    WHOLE = "whole"
    """Every parameter."""
    NORMS = "norms"
    """Norms and biases, the parameters that are vectors."""
    DECODER = "decoder"
    """All but the view encoder and the transformer."""
    LAST_BLOCKS = "last-blocks"
    """The decoder's last two blocks, the skip from the raw image and the head."""


class FineTuneSettings(BaseModel, frozen=True, extra="forbid"):
    """How one press of *Fine-tune on my labels* trains."""

    budget_s: float = Field(120.0, gt=0)
    """Wall-clock limit, validation included; the reader waits for it. It fixes the number of steps at the start."""
    steps: int | None = Field(None, ge=1)
    """Steps of the final run; given, the budget is not looked at, and the same inputs give the same weights."""
    max_steps: int = Field(100, ge=1)
    """No more steps than this however large the budget: a few slices are learned by then, and with twice as many
    patients who did not teach gained no more."""
    seed: int = Field(0, ge=0)
    """Source of all chance: order of the slices, augmentation, dropout."""
    tier: Tier = Tier.AUTO
    """What is trained."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak of the schedule of AdamW, as published: short warm-up, then cosine. Runs go far from the base and apart from
    each other; their mean, taken back most of the way to the base, is what is kept."""
    norms_rate: float = Field(3.0, gt=0)
    """Of the learning rate, where norms and biases alone are trained: so few parameters have farther to go."""
    layer_decay: float = Field(0.75, gt=0, le=1)
    """Of the learning rate from a layer to the one before it, as published, where a large model is trained whole: what
    its encoder learned from many thousand images is not to be lost over a few slices."""
    weight_decay: float = Field(0.05, ge=0)
    """Not of norms and biases, as published."""
    batch_size: int = Field(4, ge=1)
    """Labelled slices per step; a model that sees whole stacks gets one stack."""
    crop_mm: float | None = Field(None, gt=0)
    """Side of the parts that the decoder of a large model learns on while its encoder is frozen; None: 128 on a GPU,
    96 on a CPU."""
    clip_norm: float = Field(5.0, gt=0)
    """Largest norm of a step's gradient, as published."""
    ema_decay: float = Field(0.99, ge=0, lt=1)
    """Decay of the averaged weights that become the version; less at the start of a run."""
    base_weight: float = Field(0.5, ge=0)
    """Weight of staying with the base where nothing is labelled and the base is sure."""
    folds: int = Field(N_FOLDS, ge=2)
    """At most so many groups of patients are held out in turn to measure the gain."""
    fold_share: float = Field(0.5, gt=0, le=1)
    """Steps of a run with held-out patients relative to the final run, so that all fit the budget."""
    fold_min_steps: int = Field(12, ge=1)
    """With fewer steps in the final run nothing is held out: there is no time to learn twice."""
    unmeasured_alpha: float = Field(0.7, gt=0, le=1)
    """Blend of base (0) and tuned weights (1) where nothing is held out; else held-out patients decide. Such a version
    is offered for the study that it learned from only, whose other slices gain most with this."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
