"""How a masked autoencoder is pretrained: its config in the published form, typed, complete before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from cinema_core.model_config import ALL_VIEWS
from training.config_files import CONFIGS, Epochs, Part, TrainingConfig, ViewData, read_config_as

View = Literal["sax", "lax_2c", "lax_3c", "lax_4c"]
FOLDER: Final = CONFIGS / "pretraining"


class CineData(Part):
    """Which prepared cines."""

    dir: Path | None = None
    """Folder with a folder for each study, at any depth: ``NAME_sax_t.nii.gz``, ``lax_2c.nii.gz`` and so on."""
    shards: Path | None = None
    """Instead of it: folder of the shards that ``python -m training.shards`` made of such a folder."""
    views: tuple[View, ...] = ALL_VIEWS
    """Views that are learned from; a study without one of them is left out."""
    sax: ViewData
    lax: ViewData
    max_n_samples: int = Field(-1, ge=-1)
    """Teach with so many studies at most; -1: all. For trying out."""
    val_share: float = Field(0.0, ge=0, lt=1)
    """Share of the studies that do not teach, but measure the error on what is hidden; none as published."""


class CineTransform(Part):
    """Augmentation."""

    prob: float = Field(0.5, ge=0, le=1)
    zoom: tuple[float, float] = (0.9, 1.1)
    """Smallest and largest; the long-axis views of a study are zoomed alike."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError("zoom needs the smallest, above 0, before the largest")
        return self


class PretrainTrain(Epochs):
    """Optimisation of a masked autoencoder."""

    min_lr: float = Field(1e-6, ge=0)
    n_warmup_epochs: float = Field(10, ge=0)
    n_epochs: int = Field(800, gt=0)
    batch_size_per_device: int = Field(16, gt=0)
    eval_interval: int = Field(1, gt=0)
    """Epochs from one set of weights to the next; the newest replaces the one before."""
    keep_interval: int = Field(100, gt=0)
    """Weights of every so many epochs are kept beside the newest."""
    enc_mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of the patches of each view that are hidden."""
    early_stopping: None = None


class MaeModel(Part):
    """Sizes of a masked autoencoder; the names of the published config."""

    size: Literal["tiny", "base", "large", "huge"] = "base"
    views: tuple[View, ...] = ALL_VIEWS
    """Views that the network is built for."""
    ckpt_path: Path | None = None
    """Masked autoencoder whose weights it starts from, safetensors; None: from nothing."""
    patch_size: tuple[int, ...] = (4, 4, 1)
    scale_factor: tuple[int, ...] = (2, 2, 1)
    enc_conv_chans: tuple[int, ...] = (64, 128)
    enc_conv_n_blocks: int = Field(2, gt=0)


class PretrainConfig(TrainingConfig):
    """Everything that a pretraining follows from."""

    data: CineData
    transform: CineTransform = CineTransform()
    train: PretrainTrain
    model: MaeModel

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.dir is not None and self.data.shards is not None:
            raise ValueError("data.dir and data.shards both say where the cines are; give one")
        unknown = [view for view in self.data.views if view not in self.model.views]
        if unknown or not self.data.views:
            raise ValueError(f"data.views must be some of model.views, which are {', '.join(self.model.views)}")
        for key, n_axes in (("sax", 3), ("lax", 2)):
            view: ViewData = getattr(self.data, key)
            if len(view.spacing) != n_axes or len(view.patch_size) != n_axes:
                raise ValueError(f"data.{key}.spacing and data.{key}.patch_size need {n_axes} numbers")
            if view.in_chans != 1:
                raise ValueError(f"data.{key}.in_chans is 1: one phase is shown at a time")
            patch = self.patch(n_axes)
            if any(size % p for size, p in zip(view.patch_size, patch, strict=True)):
                raise ValueError(f"data.{key}.patch_size must be multiples of {list(patch)}")
        return self

    def patch(self, n_axes: int) -> tuple[int, ...]:
        """Voxels of a patch along each axis."""
        steps = [self.model.patch_size] + [self.model.scale_factor] * len(self.model.enc_conv_chans)
        return tuple(prod(step[axis] for step in steps) for axis in range(n_axes))

    def view(self, name: str) -> ViewData:
        """Images of a view."""
        return self.data.sax if name == "sax" else self.data.lax

    def published_form(self) -> dict[str, Any]:
        """Return plain values, as ``config.yaml`` beside the weights holds them, without paths of this computer."""
        form = super().published_form()
        del form["data"]["shards"]  # whether files or shards, the same is learned
        return form


def read_pretrain_config(name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """Read a config of ``training/configs/pretraining``, or a YAML file, with what the command line says instead.

    Raises
    ------
    InputError
        If there is no such config, or a field is unknown or impossible; all faults are named.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    return read_config_as(PretrainConfig, path, overrides, known=list(FOLDER.glob("*.yaml")))
