"""What of a cohort is done: one line per study, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from cinema_core.cohort.entries import CohortEntry
from cinema_core.cohort.work import BatchSettings, Outcome, ProvenanceRow
from cinema_core.errors import InputError, StorageError
from cinema_core.report import ReportRow

JOURNAL_NAME: Final = "batch.jsonl"

FORMAT: Final = 2


class Journal:
    """Outcomes of a run, appended as they come.

    Attributes
    ----------
    done
        Outcomes of studies that were finished before, by name. Failures are tried again.
    """

    def __init__(self, file: TextIO, done: dict[str, Outcome]) -> None:
        self._file = file
        self.done = done

    def append(self, entry: CohortEntry, outcome: Outcome) -> None:
        """Keep an outcome; it survives the end of this process from then on.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        try:
            self._file.write(json.dumps({"inputs": fingerprint(entry), **asdict(outcome)}) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"{JOURNAL_NAME} could not be written: {error.strerror or error}. Free some space and run again; "
                "what is done stays done."
            ) from error


@contextmanager
def open_journal(entries: list[CohortEntry], settings: BatchSettings) -> Iterator[Journal]:
    """Open the journal in the folder of the results; made if absent.

    Raises
    ------
    InputError
        If the folder holds a run with another model or another version of the program.
    StorageError
        If it cannot be written to.
    """
    path = settings.out / JOURNAL_NAME
    head = _head(settings)
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        lines = list(_lines(path))
        if lines and lines[0] != head:
            raise InputError(
                f"{settings.out} holds a run with another model or version of the program. Choose another folder, or "
                "begin anew with --overwrite."
            )
        done = _done(lines[1:], entries)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            _end_line(path, file)
            if not lines:
                file.write(json.dumps(head) + "\n")
                file.flush()
            yield Journal(file, done)
    except OSError as error:
        raise StorageError(
            f"{settings.out} could not be written to: {error.strerror or error}. Choose another folder or free some "
            "space."
        ) from error


def fingerprint(entry: CohortEntry) -> str:
    """Hash of what a study is made from, by place, size and time of its files: quick, and other after a change."""
    digest = hashlib.sha256(entry.slices.encode())
    for path in (file for place in (*entry.images, *entry.labels) for file in _files(place)):
        try:
            stat = path.stat()
            digest.update(f"|{path}|{stat.st_size}|{stat.st_mtime_ns}".encode())
        except OSError:
            digest.update(f"|{path}|absent".encode())
    return digest.hexdigest()


def _files(place: Path) -> list[Path]:
    """Return a file, or a folder with all that is in it: a folder's own time stays when a file of it is written to."""
    return [place, *sorted(path for path in place.rglob("*") if path.is_file())] if place.is_dir() else [place]


def _head(settings: BatchSettings) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "software_version": settings.software_version,
        "model": settings.model,
        "config": None if settings.config is None else str(settings.config),
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines that are whole; one that was cut off as the process was killed is none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(found, dict):
                yield found


def _end_line(path: Path, file: TextIO) -> None:
    """Close a line that was cut off, so that the next does not hang on it."""
    if path.stat().st_size:
        with path.open("rb") as written:
            written.seek(-1, 2)
            if written.read(1) != b"\n":
                file.write("\n")


def _done(lines: list[dict[str, Any]], entries: list[CohortEntry]) -> dict[str, Outcome]:
    newest = {line["study"]: line for line in lines if line.get("row") and "inputs" in line}
    done = {}
    for entry in entries:
        line = newest.get(entry.study)
        if line is not None and line["inputs"] == fingerprint(entry):
            done[entry.study] = Outcome(entry.study, ReportRow(**line["row"]), ProvenanceRow(**line["provenance"]))
    return done
