"""New models that wait for the reader's decision, apart from the versions: whoever is killed leaves nothing listed.

The engine writes into ``models/.trials``, whose name no list of models shows. To keep a trial is to record it and then
to move its folder, one rename; what a killed program left there is cleared, or moved if it was recorded, at the next
opening.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cinema_core.disk import disk_errors
from cinema_core.errors import ProjectError
from cinema_core.project.records import VersionRecord

TRIALS: Final = ".trials"
"""Folder of the trials inside the project's folder of models."""


def refuse_missing(models_folder: Path, name: str) -> None:
    """Make sure that a trial has files, here or at its place among the versions.

    Raises
    ------
    ProjectError
        If they are gone.
    """
    if not (models_folder / TRIALS / name).is_dir() and not (models_folder / name).is_dir():
        raise ProjectError(f"The files of model {name} are gone, so it cannot be kept. Discard it and fine-tune again.")


def move_into_place(models_folder: Path, name: str) -> None:
    """Make a recorded trial a version; nothing is done if it is in its place.

    Raises
    ------
    StorageError
        If the folder cannot be moved; it is, when the project is opened the next time.
    """
    trial, version = models_folder / TRIALS / name, models_folder / name
    if not version.exists():
        with disk_errors(f"Model {name} could not be put in its place"):
            os.replace(trial, version)


def settle_trials(models_folder: Path, versions: Iterable[VersionRecord]) -> None:
    """Bring the folder of models to what the records say, after a program that was killed.

    Recorded trials are moved into place, others are removed: nobody decided on them, and they can be made again.
    Files of versions that were given up go, too. What the disk refuses now is tried again at the next opening.
    """
    for version in versions:
        folder = models_folder / version.name
        if version.removed:
            shutil.rmtree(folder, ignore_errors=True)
        elif not folder.exists():
            with suppress(OSError):
                os.replace(models_folder / TRIALS / version.name, folder)
    clear_trials(models_folder)


def clear_trials(models_folder: Path) -> None:
    """Remove every trial, finished or half written."""
    shutil.rmtree(models_folder / TRIALS, ignore_errors=True)
