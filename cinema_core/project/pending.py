"""The fine-tuning under way, in a file of the project: what is needed to run it again if the program ends under it.

A file beside the database, not a row in it: it has to go again when the run ends, on a full disk too, and the tables
are append-only. It is replaced whole or not at all, and older programs do not look at it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from cinema_core import __version__
from cinema_core.disk import write_whole
from cinema_core.errors import ProjectError

PENDING: Final = "fine-tuning.json"

FORMAT: Final = 1
"""Raise it with every change of :class:`PendingRun` that an older program would misread."""


class PendingStudy(BaseModel, frozen=True, extra="forbid"):
    """A study with labels when the run began.

    Attributes
    ----------
    n_slices
        Labelled slices, of which the hash of the labels is.
    used
        Whether its image could be read: the model learns from those only.
    phases
        ``ed`` or ``es`` by phase, from 0, of those labelled phases that were taken as such.
    """

    study_id: str
    n_slices: int
    used: bool = True
    phases: dict[int, str] = {}


class PendingRun(BaseModel, frozen=True, extra="forbid"):
    """A fine-tuning that was started and has not ended.

    Attributes
    ----------
    software_version
        Of the program that started it: another may learn otherwise from the same.
    started_utc
        ISO 8601.
    base, base_sha256
        Name and hash of the model it starts from; the hash is empty if its files could not be read.
    settings
        :class:`cinema_core.learn.settings.FineTuneSettings` as plain values; with ``steps`` as soon as they are fixed.
    open_study_id
        The study that was on show.
    studies
        In the order in which they are taught.
    ledger
        The split ledger then: fold by patient.
    label_set_sha256, journal_position
        Pin the labels of all the studies.
    """

    format: int = FORMAT
    software_version: str = __version__
    started_utc: str
    base: str
    base_sha256: str = ""
    settings: dict[str, Any]
    open_study_id: str
    studies: tuple[PendingStudy, ...]
    ledger: dict[str, int]
    label_set_sha256: str
    journal_position: int

    @property
    def n_slices(self) -> int:
        """Number of slices that it learns from."""
        return sum(study.n_slices for study in self.studies if study.used)


def write_pending(folder: Path, run: PendingRun) -> None:
    """Keep a run, in place of one that was kept before.

    Raises
    ------
    StorageError
        If the disk does not take it; what was there before is still there.
    """
    write_whole(folder / PENDING, run.model_dump_json(indent=1).encode("utf-8"), "The record of the fine-tuning")


def read_pending(folder: Path) -> PendingRun | None:
    """Return the run that was kept; None if there is none.

    Raises
    ------
    ProjectError
        If it cannot be read, or is of a newer program.
    """
    try:
        data = (folder / PENDING).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(_unreadable(error.strerror or type(error).__name__)) from error
    try:
        found = json.loads(data)
        number = found.get("format") if isinstance(found, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise ProjectError(
                "A fine-tuning was interrupted in a newer napari-cinema, whose record of it this one cannot read. "
                "Update napari-cinema to run it again."
            )
        return PendingRun.model_validate(found)
    except ValueError as error:  # also what is no JSON, no UTF-8, or no such record
        what = "it is damaged" if isinstance(error, ValidationError) else "it is cut off or damaged"
        raise ProjectError(_unreadable(what)) from error


def remove_pending(folder: Path) -> None:
    """Forget the run; one that the disk does not let go is offered again."""
    with suppress(OSError):
        (folder / PENDING).unlink(missing_ok=True)


def clear_partial_pending(folder: Path) -> None:
    """Remove what a program leaves that was killed while it wrote."""
    with suppress(OSError):
        for partial in folder.glob(f".{PENDING}.*"):
            partial.unlink(missing_ok=True)


def _unreadable(why: str) -> str:
    return (
        f"A fine-tuning was interrupted, but the record of it cannot be read: {why}. It cannot be run again as it was."
    )
