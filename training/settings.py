"""How a model is fine-tuned: configs in the published form, typed, complete before anything starts.

A config is a YAML file of ``training/configs``; the command line overrides its fields by their dotted names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from cinema_core.errors import InputError
from training.loop import Pace

CONFIGS: Final = Path(__file__).resolve().parent / "configs"
TASKS: Final = (
    "segmentation",
    "classification_cvd",
    "classification_sex",
    "classification_vendor",
    "regression_ef",
    "regression_bmi",
    "regression_age",
    "landmark_heatmap",
    "landmark_coordinate",
)
"""Folders of configs; the published weights lie in folders of the same names."""


METRICS: Final = {
    "segmentation": ("val_mean_dice_score", "max"),
    "classification": ("val_mcc", "max"),
    "regression": ("val_mae", "min"),
    "landmark_heatmap": ("val_mean_distance", "min"),
    "landmark_coordinate": ("val_mean_distance", "min"),
}
"""Figure that decides which weights are kept, and whether a high or a low one is good."""


class Behaviour(StrEnum):
    """What to do where the published recipe has a defect."""

    MENDED = "mended"
    PUBLISHED = "published"
    """To reproduce published figures."""


class _Part(BaseModel, frozen=True, extra="forbid"):
    """Part of a config; unknown keys are errors."""


class ViewData(_Part):
    """Images of a view."""

    spacing: tuple[float, ...]
    """Of the prepared files, mm, (x, y[, z])."""
    patch_size: tuple[int, ...]
    """Size that the model takes, (x, y[, z])."""
    in_chans: int = Field(1, gt=0)


class Standard(_Part):
    """Mean and standard deviation by which a value is standardised."""

    mean: float
    std: float = Field(gt=0)


class Data(_Part):
    """Which prepared dataset."""

    name: str
    dir: Path | None = None
    """Prepared files; None: below CINEMA_DATA_DIR or ~/.cache/cinema_datasets."""
    sax: ViewData | None = None
    lax: ViewData | None = None
    max_n_samples: int = Field(-1, ge=-1)
    """Teach with so many images at most; -1: all. For trying out."""
    proportion: float = Field(1.0, gt=0, le=1)
    """Share of the patients that teach."""
    class_column: Literal["pathology", "sex", "vendor"] | None = None
    """What a classifier tells; the list of the same name holds the classes in the order of its answers."""
    pathology: tuple[str, ...] | None = None
    sex: tuple[str, ...] | None = None
    vendor: tuple[str, ...] | None = None
    regression_column: Literal["ef", "bmi", "age"] | None = None
    """What value a regression tells; the entry of the same name standardises it."""
    ef: Standard | None = None
    bmi: Standard | None = None
    age: Standard | None = None
    ef_from: Literal["lv_ef", "rv_ef"] = "lv_ef"
    """Column of the tables that holds ``ef``; which one the published models learned from is not known."""
    label_order: Literal["model", "original"] = "model"
    """Whether prepared labels count RV, muscle, LV as the models do, or as the dataset did."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of a classifier, in the order of its answers; empty without one."""
        found: tuple[str, ...] | None = getattr(self, self.class_column) if self.class_column else None
        return found or ()

    @property
    def standard(self) -> Standard:
        """How the value of a regression is standardised; as it is without one."""
        found: Standard | None = getattr(self, self.regression_column) if self.regression_column else None
        return found or Standard(mean=0, std=1)


class ViewTransform(_Part):
    """How far images of a view are moved."""

    rotate_range: tuple[float, ...]
    """Degrees about each axis, to both sides; one number for a plane."""
    translate_range: tuple[float, ...]
    """Voxels along each axis, to both sides."""
    dropout_size: tuple[int, ...] | None = None
    """Box of zeros; None: none."""


class Transform(_Part):
    """Augmentation."""

    prob: float = Field(0.5, ge=0, le=1)
    """Of each step."""
    gamma: tuple[float, float] = (0.5, 1.5)
    scale_range: float = Field(0.2, ge=0, lt=1)
    """Published behaviour scales the first axis alone, mended all axes of the plane."""
    sax: ViewTransform | None = None
    lax: ViewTransform | None = None


class EarlyStopping(_Part):
    """When to stop before the last epoch."""

    metric: Literal["val_mean_dice_score", "val_mcc", "val_mae", "val_mean_distance"] = "val_mean_dice_score"
    mode: Literal["max", "min"] = "max"
    patience: int = Field(5, gt=0)
    """Evaluations without an improvement."""
    min_delta: float = Field(1e-4, ge=0)


class Train(Pace):
    """Optimisation."""

    n_workers: int = Field(4, ge=0)
    clip_grad: float = Field(5.0, gt=0)
    layer_decay: float = Field(0.75, gt=0, le=1)
    """Learning rate of each encoder block relative to the one above it, where the encoder was pretrained."""
    min_lr: float = Field(1e-5, ge=0)
    n_warmup_epochs: float = Field(50, ge=0)
    n_epochs: int = Field(4000, gt=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Of classes."""
    max_n_ckpts: Literal[1] = 1
    """The best weights are kept, no others."""
    batch_size: int = Field(64, gt=0)
    batch_size_per_device: int = Field(4, gt=0)
    """Images at a time; gradients are accumulated to ``batch_size``."""
    eval_interval: int = Field(100, gt=0)
    """Epochs from one validation to the next."""
    early_stopping: EarlyStopping = EarlyStopping()
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


class ConvViTModel(_Part):
    """Sizes of a ConvViT: those of the encoder."""

    size: Literal["tiny", "base", "large", "huge"] = "base"
    enc_patch_size: tuple[int, ...] = (4, 4, 1)
    enc_scale_factor: tuple[int, ...] = (2, 2, 1)
    enc_conv_chans: tuple[int, ...] = (64, 128)
    enc_conv_n_blocks: int = Field(2, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    drop_path: float = Field(0.1, ge=0, lt=1)


class ConvUNetRModel(ConvViTModel):
    """Sizes of a ConvUNetR."""

    dec_chans: tuple[int, ...] = (32, 64, 128, 256, 512)
    dec_patch_size: tuple[int, ...] = (2, 2, 1)
    dec_scale_factor: tuple[int, ...] = (2, 2, 1)


class ResNetModel(_Part):
    """Sizes of a ResNet."""

    depth: Literal[10, 18, 34, 50, 101, 152, 200] = 50
    layer_inplanes: tuple[int, ...] = (64, 128, 256, 512)


class UNetModel(_Part):
    """Sizes of a UNet."""

    chans: tuple[int, ...] = (32, 64, 128, 256, 512)
    dropout: float = Field(0.1, ge=0, lt=1)
    patch_size: tuple[int, ...] = (2, 2, 1)
    scale_factor: tuple[int, ...] = (2, 2, 1)


class Model(_Part):
    """Which network."""

    name: Literal["convunetr", "unet", "convvit", "resnet"] = "convunetr"
    ckpt_path: Path | None = None
    """Pretrained masked autoencoder whose encoder it starts from, safetensors; None: from nothing."""
    freeze_pretrained: bool = False
    views: Literal["sax", "lax_2c", "lax_3c", "lax_4c"] = "sax"
    n_frames: Literal[1, 2] = 1
    """Phases that are shown together, as channels."""
    out_chans: int | None = Field(None, gt=1)
    """Labels that are drawn, with background; None where ``data`` says what is answered."""
    convunetr: ConvUNetRModel = ConvUNetRModel()
    unet: UNetModel = UNetModel()
    convvit: ConvViTModel = ConvViTModel()
    resnet: ResNetModel = ResNetModel()


class Wandb(_Part):
    """Weights & Biases; in the published form, not used yet."""

    project: None = None
    entity: None = None


class Logging(_Part):
    """Where a run is logged; in the published form, not used yet."""

    dir: None = None
    wandb: Wandb = Wandb()


class FineTuneConfig(_Part):
    """Everything that a fine-tuning follows from."""

    task: Literal["segmentation", "classification", "regression", "landmark_heatmap", "landmark_coordinate"]
    behaviour: Behaviour = Behaviour.MENDED
    seed: int = Field(0, ge=0)
    grad_ckpt: bool = False
    """Compute activations again in the backward pass instead of keeping them: slower, much less memory."""
    logging: Logging = Logging()
    data: Data
    transform: Transform
    train: Train
    model: Model

    @model_validator(mode="after")
    def _fits(self) -> Self:
        key = "sax" if self.model.views == "sax" else "lax"
        if getattr(self.data, key) is None or getattr(self.transform, key) is None:
            raise ValueError(f"data.{key} and transform.{key} are needed for the view {self.model.views}")
        n_axes = 3 if key == "sax" else 2
        for name in ("spacing", "patch_size"):
            if len(getattr(self.view, name)) != n_axes:
                raise ValueError(f"data.{key}.{name} needs {n_axes} numbers")
        if self.model.name == "convunetr":
            unet = self.model.convunetr
            factors = [
                first * each ** (len(unet.dec_chans) - 1)
                for first, each in zip(unet.dec_patch_size, unet.dec_scale_factor, strict=True)
            ]
            if any(size % factor for size, factor in zip(self.view.patch_size, factors, strict=False)):
                raise ValueError(f"data.{key}.patch_size must be multiples of {factors[:n_axes]} for this convunetr")
        if self.model.name in {"unet", "resnet"} and self.model.ckpt_path is not None:
            raise ValueError(f"a {self.model.name} takes no pretrained encoder (model.ckpt_path)")
        return self

    @model_validator(mode="after")
    def _fits_task(self) -> Self:
        draws = self.task in {"segmentation", "landmark_heatmap"}
        networks = ("convunetr", "unet") if draws else ("convvit", "resnet")
        if self.model.name not in networks:
            raise ValueError(f"model.name of a {self.task} is {' or '.join(networks)}")
        column = {"classification": self.data.class_column, "regression": self.data.regression_column}.get(self.task)
        wanted = {"classification": "class", "regression": "regression"}.get(self.task)
        if wanted and (column is None or not getattr(self.data, column)):
            raise ValueError(f"a {self.task} needs data.{wanted}_column, and the entry of data that it names")
        n_outputs = {"landmark_heatmap": 3, "landmark_coordinate": 6}.get(self.task, self.model.out_chans)
        if not wanted and (n_outputs is None or self.model.out_chans != n_outputs):
            raise ValueError(f"a {self.task} needs model.out_chans{f', {n_outputs}' if n_outputs else ''}")
        if self.model.n_frames != (2 if wanted else 1):
            raise ValueError(f"model.n_frames of a {self.task} is {2 if wanted else 1}")
        metric, mode = METRICS[self.task]
        if (self.train.early_stopping.metric, self.train.early_stopping.mode) != (metric, mode):
            raise ValueError(f"train.early_stopping of a {self.task} looks at the metric {metric}, mode {mode}")
        return self

    @property
    def view(self) -> ViewData:
        """Images of the model's view."""
        found = self.data.sax if self.model.views == "sax" else self.data.lax
        assert found is not None  # checked at construction
        return found

    @property
    def view_transform(self) -> ViewTransform:
        """Augmentation of the model's view."""
        found = self.transform.sax if self.model.views == "sax" else self.transform.lax
        assert found is not None  # checked at construction
        return found

    def published_form(self) -> dict[str, Any]:
        """Return plain values, as ``config.yaml`` beside the weights holds them, without paths of this computer."""
        form = self.model_dump(mode="json")
        form["data"]["dir"] = form["model"]["ckpt_path"] = None
        form["task"] = {"landmark_heatmap": "segmentation", "landmark_coordinate": "regression"}.get(
            self.task, self.task
        )
        return form


def read_config(task: str, name: str, overrides: Sequence[str] = ()) -> FineTuneConfig:
    """Read a config, with what the command line says instead.

    Parameters
    ----------
    task
        Folder of the configs, such as ``segmentation``.
    name
        Config of that folder (``acdc_sax``), or path of a YAML file.
    overrides
        ``train.lr=0.0003``: dotted name of a field, and a value as YAML writes it.

    Raises
    ------
    InputError
        If there is no such config, or a field is unknown or impossible; all faults are named.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / task / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in (CONFIGS / task).glob("*.yaml"))) or "none"
        raise InputError(f"There is no config {name!r} for {task}. There are: {known}; or give a .yaml file.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a config: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings.")
    for override in overrides:
        _override(content, override)
    try:
        return FineTuneConfig.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault(each) for each in error.errors())
        raise InputError(f"The config {name} does not hold: {faults}.") from error


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
