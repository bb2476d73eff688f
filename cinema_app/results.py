"""Files that a command leaves: all of them or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from cinema_core.disk import write_whole
from cinema_core.errors import InputError, StorageError


def refuse_existing(folder: Path, names: Iterable[str]) -> None:
    """Make sure that results can be written to a folder without replacing any.

    Raises
    ------
    InputError
        If the folder is a file, or holds one of the names.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; results go into a folder. Give another name with --out.")
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise InputError(
            f"{folder} holds {taken[0]} already. Choose another folder, or replace what is there with --overwrite."
        )


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove results of an earlier run that the new one did not have: they would be read as one with the others.

    Raises
    ------
    StorageError
        If one cannot be removed.
    """
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{name} in {folder} is of an earlier export and could not be removed: {error.strerror or error}. "
                "Remove it yourself: it no longer fits the files beside it."
            ) from error


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to write to; at the end its files appear in ``folder``, after an error none does.

    Entering it finds out whether the place can be written to, before the long work.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    is_new = not folder.exists()
    partial = folder / f".partial-{uuid4().hex[:8]}"
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in sorted(partial.iterdir()):
            os.replace(file, folder / file.name)
    except (OSError, StorageError) as error:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        reason = getattr(cause, "strerror", None) or str(cause or error)
        raise StorageError(
            f"Nothing was written to {folder}: {reason}. Choose another folder or free some space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # holds results by now, or was never made
                folder.rmdir()


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values as a readable file, whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text.encode("utf-8"), path.name)
