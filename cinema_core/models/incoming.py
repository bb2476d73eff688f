"""Take in a model from elsewhere: copied, compared with its card, and loaded once, strictly, before anybody uses it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

import torch

from cinema_core.cards import CONFIG_FILE, WEIGHTS_FILE, ModelCard, write_card
from cinema_core.disk import disk_errors
from cinema_core.errors import CheckpointError
from cinema_core.incoming import Incoming, imported_card
from cinema_core.model_config import read_config
from cinema_core.models.checkpoint import build_model, check_fit, read_weights
from cinema_core.progress import CancelToken, Progress, no_progress

CHUNK_BYTES: Final = 8_000_000


def take_in(
    incoming: Incoming,
    name: str,
    staging: Path,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> ModelCard:
    """Make a model folder of the files, at a place where no list of models looks.

    The copy is what is checked, so that what is used later is what was checked.

    Parameters
    ----------
    incoming
        From :func:`cinema_core.incoming.look_at`.
    name
        How the model is called from now on.
    staging
        Folder to make; it is removed again if anything is wrong.

    Raises
    ------
    CheckpointError
        If the weights are not those of the card, do not fit the config, or hold what is no number.
    StorageError
        If the files cannot be copied.
    Cancelled
        If ``cancel`` was raised.
    """
    cancel = cancel or CancelToken()
    try:
        with disk_errors("The model could not be copied into the project"):
            staging.mkdir(parents=True)
            sha256 = _copy(incoming.weights, staging / WEIGHTS_FILE, progress, cancel)
            shutil.copyfile(incoming.config, staging / CONFIG_FILE)
        expected = incoming.card.sha256 if incoming.card else ""
        if expected and expected != sha256:
            raise CheckpointError(
                f"{incoming.weights.name} is not what the card beside it is of (sha256 {sha256[:8]}, card "
                f"{expected[:8]}). Copy the whole model folder again."
            )
        progress(0.6, "Comparing the weights with their config")
        _check(staging, incoming)
        cancel.raise_if_cancelled()
        card = imported_card(incoming.card, name).model_copy(update={"sha256": sha256})
        with disk_errors("The model could not be copied into the project"):
            write_card(staging, card)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    progress(1.0, "The model is ready")
    return card


def _copy(source: Path, target: Path, progress: Progress, cancel: CancelToken) -> str:
    """Copy a file and return its hash."""
    digest, size, done = hashlib.sha256(), source.stat().st_size or 1, 0
    with source.open("rb") as reading, target.open("xb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            cancel.raise_if_cancelled()
            digest.update(chunk)
            writing.write(chunk)
            done += len(chunk)
            progress(0.6 * min(done / size, 1.0), f"Copying the model: {done / 1e6:.0f} of {size / 1e6:.0f} MB")
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _check(staging: Path, incoming: Incoming) -> None:
    network = build_model(read_config(staging / CONFIG_FILE))
    tensors = read_weights(staging / WEIGHTS_FILE)
    check_fit(tensors, network.state_dict(), incoming.weights.name)
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise CheckpointError(
            f"{incoming.weights.name} holds values that are no numbers in {len(broken)} of {len(tensors)} tensors "
            f"(first: {broken[0]}). Ask for the model again where it was made."
        )
