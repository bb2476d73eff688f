"""How a model is fine-tuned: configs in the published form, typed, complete before anything starts.

A config is a YAML file of ``training/configs``; the command line overrides its fields by their dotted names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from training.config_files import (
    CONFIGS,
    EarlyStopping,
    Epochs,
    Part,
    TrainingConfig,
    ViewData,
    read_config_as,
)

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


class Standard(Part):
    """Mean and standard deviation by which a value is standardised."""

    mean: float
    std: float = Field(gt=0)


class Data(Part):
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


class ViewTransform(Part):
    """How far images of a view are moved."""

    rotate_range: tuple[float, ...]
    """Degrees about each axis, to both sides; one number for a plane."""
    translate_range: tuple[float, ...]
    """Voxels along each axis, to both sides."""
    dropout_size: tuple[int, ...] | None = None
    """Box of zeros; None: none."""


class Transform(Part):
    """Augmentation."""

    prob: float = Field(0.5, ge=0, le=1)
    """Of each step."""
    gamma: tuple[float, float] = (0.5, 1.5)
    scale_range: float = Field(0.2, ge=0, lt=1)
    """Published behaviour scales the first axis alone, mended all axes of the plane."""
    sax: ViewTransform | None = None
    lax: ViewTransform | None = None


class Train(Epochs):
    """Optimisation."""

    layer_decay: float = Field(0.75, gt=0, le=1)
    """Learning rate of each encoder block relative to the one above it, where the encoder was pretrained."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Of classes."""
    max_n_ckpts: Literal[1] = 1
    """The best weights are kept, no others."""
    early_stopping: EarlyStopping = EarlyStopping()


class ConvViTModel(Part):
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


class ResNetModel(Part):
    """Sizes of a ResNet."""

    depth: Literal[10, 18, 34, 50, 101, 152, 200] = 50
    layer_inplanes: tuple[int, ...] = (64, 128, 256, 512)


class UNetModel(Part):
    """Sizes of a UNet."""

    chans: tuple[int, ...] = (32, 64, 128, 256, 512)
    dropout: float = Field(0.1, ge=0, lt=1)
    patch_size: tuple[int, ...] = (2, 2, 1)
    scale_factor: tuple[int, ...] = (2, 2, 1)


class Model(Part):
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


class FineTuneConfig(TrainingConfig):
    """Everything that a fine-tuning follows from."""

    task: Literal["segmentation", "classification", "regression", "landmark_heatmap", "landmark_coordinate"]
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
        form = super().published_form()
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
    folder = CONFIGS / task
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    return read_config_as(FineTuneConfig, path, overrides, known=list(folder.glob("*.yaml")))
