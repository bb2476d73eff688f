"""From the name of a model to a network that is ready to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard, ModelFiles, list_models, resolve_model
from cinema_core.errors import CheckpointError, InputError
from cinema_core.models.checkpoint import ViewSettings, architecture, load_model, read_config, view_settings

__all__ = [
    "LoadedModel",
    "ModelCard",
    "ModelFiles",
    "ViewSettings",
    "choose_device",
    "list_models",
    "load",
    "resolve_model",
    "short_axis_grid",
    "view_settings",
]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network in evaluation mode with its config, its card, and the folder of its weights."""

    network: nn.Module
    config: Mapping[str, Any]
    card: ModelCard
    folder: Path

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device


def choose_device(device: str = "auto") -> torch.device:
    """Device by name; ``auto`` takes a CUDA GPU if there is one.

    Apple's GPU is not chosen by itself: peers measured it slower than the CPU for such networks.

    Raises
    ------
    InputError
        If the name is not known, or the device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"There is no device {device!r}. Use auto, cpu, cuda or mps.") from None
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(chosen.type, False):
        raise InputError(f"This computer has no {chosen.type} device. Use --device cpu, or see `cinema doctor`.")
    return chosen


def load(
    name_or_path: str | Path = "bundled",
    config: Path | None = None,
    device: str = "cpu",
    project_models: Path | None = None,
) -> LoadedModel:
    """Load a model by name, folder or file; see :func:`cinema_core.cards.resolve_model`.

    Raises
    ------
    CheckpointError
        If it is not there, damaged, or does not fit its config.
    """
    files = resolve_model(name_or_path, config, project_models)
    settings = read_config(files.config)
    network = load_model(files.weights, settings).to(choose_device(device))
    return LoadedModel(network, settings, files.card, files.weights.parent)


def short_axis_grid(model: LoadedModel) -> ViewSettings:
    """Grid of a model that draws RV, myocardium and LV on one short-axis frame.

    Raises
    ------
    CheckpointError
        If it is another kind of model.
    """
    views = view_settings(model.config)
    draws = architecture(model.config) in {"convunetr", "unet"}
    n_classes = model.config["model"].get("out_chans") if draws else 0
    if not draws or "sax" not in views or views["sax"].in_chans != 1 or n_classes != len(Structure):
        raise CheckpointError(
            f"The model {model.card.name} takes {', '.join(views)} and draws {n_classes} structures; segmenting needs "
            f"one that takes a single short-axis frame and draws {len(Structure)}. See `cinema models list`."
        )
    return views["sax"]
