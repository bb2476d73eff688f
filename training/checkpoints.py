"""Files that a stopped training goes on from: plain values and tensors, whole or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cinema_core.disk import disk_errors
from cinema_core.errors import InputError


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write plain values and tensors whole or not at all.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    temporary = path.with_suffix(".partial")
    with disk_errors(f"The checkpoint {path} could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(dict(state), temporary)
            os.replace(temporary, path)
        except RuntimeError as error:  # what torch says of a disk that is full
            raise OSError(str(error).splitlines()[0]) from error
        finally:
            temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote; never runs code of the file.

    Raises
    ------
    InputError
        If it is no such file.
    """
    try:
        if not zipfile.is_zipfile(path):  # what torch writes is one; of a file that was cut short the end is missing
            raise InputError(f"{path} is no whole checkpoint of a training. Remove it to start anew.")
        state = torch.load(path, weights_only=True, map_location=device)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} is no checkpoint of a training ({type(error).__name__}). Remove it to start anew."
        ) from error
    if not isinstance(state, dict) or not {"network", "optimizer", "mean", "recipe"} <= set(state):
        raise InputError(f"{path} is no checkpoint of a training. Remove it to start anew, or give another folder.")
    return state
