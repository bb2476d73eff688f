"""From the name of a model to a network that is ready to use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard, ModelFiles, list_models, resolve_ensemble, resolve_model
from cinema_core.errors import CheckpointError, InputError
from cinema_core.model_config import ViewSettings, architecture, n_outputs, read_config, view_settings
from cinema_core.models.checkpoint import load_model
from cinema_core.models.ensemble import Ensemble

__all__ = [
    "LoadedModel",
    "ModelCard",
    "ModelFiles",
    "ViewSettings",
    "choose_device",
    "ensemble_card",
    "list_models",
    "load",
    "load_all",
    "resolve_model",
    "short_axis_grid",
    "together",
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

    A published name without seed gives all its seeds that are at hand, as one model.

    Raises
    ------
    CheckpointError
        If it is not there, damaged, or does not fit its config.
    """
    return together(load_all([name_or_path], config, device, project_models))


def load_all(
    names: Sequence[str | Path],
    config: Path | None = None,
    device: str = "cpu",
    project_models: Path | None = None,
) -> tuple[LoadedModel, ...]:
    """Load models that are asked together, each by itself; a published name without seed gives all its seeds.

    Parameters
    ----------
    config
        Config of ``.safetensors`` files, if it is not beside them.

    Raises
    ------
    CheckpointError
        As :func:`load`.
    """
    found: list[ModelFiles] = []
    for name in names:
        if config is not None and Path(name).is_file():  # a model that has a name has its own
            found.append(resolve_model(name, config, project_models))
        else:
            found += resolve_ensemble(name, project_models)
    return tuple(_load_files(files, device) for files in found)


def _load_files(files: ModelFiles, device: str) -> LoadedModel:
    settings = read_config(files.config)
    network = load_model(files.weights, settings).to(choose_device(device))
    return LoadedModel(network, settings, files.card, files.weights.parent)


def together(models: Sequence[LoadedModel]) -> LoadedModel:
    """Make one model of several that draw the same structures; its card names them all.

    Raises
    ------
    CheckpointError
        If they look at different views or sizes, or draw different structures.
    """
    first = models[0]
    if len(models) == 1:
        return first
    if len({repr((view_settings(model.config), n_outputs(model.config))) for model in models}) > 1:
        names = ", ".join(model.card.name for model in models)
        raise CheckpointError(f"The models {names} take or give different things; choose seeds of one model.")
    network = Ensemble([model.network for model in models]).eval()
    return LoadedModel(network, first.config, ensemble_card([model.card for model in models]), first.folder)


def ensemble_card(cards: Sequence[ModelCard]) -> ModelCard:
    """Card of several models together: hash over their hashes, and all names."""
    joined = "".join(card.sha256 for card in cards)
    return cards[0].model_copy(
        update={
            "name": " + ".join(card.name for card in cards),
            "sha256": hashlib.sha256(joined.encode()).hexdigest(),
            "description": f"Mean of {len(cards)} models. {cards[0].description}".strip(),
            "lineage": {"members": [{"name": card.name, "sha256": card.sha256} for card in cards]},
        }
    )


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
