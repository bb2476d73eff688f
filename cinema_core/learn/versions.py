"""Model versions as folders: written whole or not at all, with where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from safetensors.torch import save
from torch import Tensor

from cinema_core.cards import ModelCard, check_name, write_model_folder
from cinema_core.errors import InputError

FULL_PRECISION_BYTES: Final = 100_000_000
"""Versions up to this size keep float32, so that nothing is lost; larger ones are halved to spare the disk."""


def refuse_existing(folder: Path) -> None:
    """Make sure that a version can be made at ``folder``.

    Raises
    ------
    InputError
        If its name is not a model name, or something is there already: a version is never overwritten.
    """
    check_name(folder.name)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} exists already. Choose a folder that is not there yet for the new version.")


def publish_version(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    base: ModelCard,
    recipe: Mapping[str, Any],
    lineage: Mapping[str, Any],
) -> ModelCard:
    """Write ``weights.safetensors``, ``config.yaml`` and ``card.json``; the folder appears when all are on disk.

    Parameters
    ----------
    recipe
        Plain values: what it takes to make the weights again.
    lineage
        Plain values: base, labels, figures.

    Raises
    ------
    StorageError
        If a file could not be written; nothing is left behind.
    """
    card = ModelCard(
        name=folder.name,
        sha256="",  # set from the bytes that are written
        kind="project",
        description=f"Fine-tuned from {base.name} on {lineage['n_slices']} labelled slices.",
        trained_on=[*base.trained_on, "the reader's labels"],
        licence=base.licence,
        intended_use=base.intended_use,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=dict(recipe),
        lineage=dict(lineage),
    )
    data = save({name: value.contiguous() for name, value in _in_precision(weights).items()})
    text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
    return write_model_folder(folder, data, text, card)


def _in_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights on the CPU in the precision that they are kept in."""
    total = sum(value.numel() * value.element_size() for value in weights.values())
    half = total > FULL_PRECISION_BYTES
    return {
        name: (value.half() if half and value.is_floating_point() else value).cpu() for name, value in weights.items()
    }


def _plain(value: Any) -> Any:
    """Turn mappings and sequences into those that YAML knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
