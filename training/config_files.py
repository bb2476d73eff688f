"""Configs of trainings that go in epochs: YAML files in the published form, typed, complete before anything starts.

What pretraining and fine-tuning share; see :mod:`training.settings` and :mod:`training.pretrain_settings`. The command
line overrides fields by their dotted names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from cinema_core.errors import InputError
from training.loop import Pace

CONFIGS: Final = Path(__file__).resolve().parent / "configs"


class Behaviour(StrEnum):
    """What to do where the published recipe has a defect."""

    MENDED = "mended"
    PUBLISHED = "published"
    """To reproduce published figures."""


class Part(BaseModel, frozen=True, extra="forbid"):
    """Part of a config; unknown keys are errors."""


class ViewData(Part):
    """Images of a view."""

    spacing: tuple[float, ...]
    """Of the prepared files, mm, (x, y[, z])."""
    patch_size: tuple[int, ...]
    """Size that the model takes, (x, y[, z])."""
    in_chans: int = Field(1, gt=0)


class EarlyStopping(Part):
    """When to stop before the last epoch."""

    metric: Literal["val_mean_dice_score", "val_mcc", "val_mae", "val_mean_distance"] = "val_mean_dice_score"
    mode: Literal["max", "min"] = "max"
    patience: int = Field(5, gt=0)
    """Evaluations without an improvement."""
    min_delta: float = Field(1e-4, ge=0)


class Epochs(Pace):
    """Optimisation in epochs."""

    n_workers: int = Field(4, ge=0)
    """Loading processes of each training process."""
    clip_grad: float = Field(5.0, gt=0)
    min_lr: float = Field(1e-5, ge=0)
    n_warmup_epochs: float = Field(50, ge=0)
    n_epochs: int = Field(4000, gt=0)
    batch_size: int = Field(64, gt=0)
    """Images of a step, over all devices."""
    batch_size_per_device: int = Field(4, gt=0)
    """Images at a time; gradients are accumulated to ``batch_size``."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Of the forward pass; auto: bfloat16 on a GPU, float32 on a CPU."""
    eval_interval: int = Field(100, gt=0)
    """Epochs from one validation to the next."""
    early_stopping: EarlyStopping | None = None
    """None: the last weights are kept."""
    checkpoint_minutes: float = Field(10.0, ge=0)
    """Wall-clock time from one checkpoint to the next; there is one at every validation, too."""
    max_bad_steps: int = Field(10, gt=0)
    """Steps in a row whose loss is no number, before the training gives up."""
    ema_decay: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch_size % self.batch_size_per_device:
            raise ValueError("batch_size must be a multiple of batch_size_per_device")
        if self.n_warmup_epochs >= self.n_epochs:
            raise ValueError("n_warmup_epochs must be below n_epochs")
        return self

    @property
    def accumulate(self) -> int:
        """Batches of one step."""
        return self.batch_size // self.batch_size_per_device


class Wandb(Part):
    """Weights & Biases: where a run is told, if the package ``wandb`` is installed and a project named."""

    project: str | None = None
    entity: str | None = None


class Logging(Part):
    """Where a run is logged."""

    dir: Path | None = None
    """Folder of TensorBoard's files; None: ``tensorboard`` beside the weights."""
    wandb: Wandb = Wandb()


class TrainingConfig(Part):
    """What every training in epochs follows from."""

    behaviour: Behaviour = Behaviour.MENDED
    seed: int = Field(0, ge=0)
    grad_ckpt: bool = False
    """Compute activations again in the backward pass instead of keeping them: slower, much less memory."""
    logging: Logging = Logging()
    train: Epochs

    def published_form(self) -> dict[str, Any]:
        """Return plain values, as ``config.yaml`` beside the weights holds them, without paths of this computer."""
        form = self.model_dump(mode="json")
        form["data"]["dir"] = form["model"]["ckpt_path"] = None
        form["logging"] = Logging().model_dump(mode="json")
        return form


ConfigType = TypeVar("ConfigType", bound=TrainingConfig)


def read_config_as(
    kind: type[ConfigType], path: Path, overrides: Sequence[str] = (), known: Sequence[Path] = ()
) -> ConfigType:
    """Read a config, with what the command line says instead.

    Parameters
    ----------
    overrides
        ``train.lr=0.0003``: dotted name of a field, and a value as YAML writes it.
    known
        Configs to name if there is none at ``path``.

    Raises
    ------
    InputError
        If there is no such config, or a field is unknown or impossible; all faults are named.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(sorted(file.stem for file in known)) or "none"
        raise InputError(
            f"There is no config {path.stem!r} for {path.parent.name}. There are: {names}; or give a .yaml file."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a config: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings.")
    for override in overrides:
        _override(content, override)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault(each) for each in error.errors())
        raise InputError(f"The config {path.name} does not hold: {faults}.") from error


def _fault(error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"])) or "altogether"
    what = "there is no such setting" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{where}: {what}"


def _override(content: dict[str, Any], text: str) -> None:
    name, equals, value = text.partition("=")
    *parts, last = name.split(".")
    if not equals or not last:
        raise InputError(f"{text!r} is no setting; write it as train.lr=0.0003.")
    section: Any = content
    for part in parts:
        section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if section is None:
            raise InputError(f"{text!r}: there is no such setting.")
    if not isinstance(section, dict):
        raise InputError(f"{text!r}: there is no such setting.")
    try:
        section[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"{text!r}: the value is no YAML.") from error
