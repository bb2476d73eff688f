"""From the raw cases of a dataset to the published files: in parallel, resumable, every case accounted for.

A dataset brings a :class:`Recipe`: how to find its cases and how to prepare one. All else is here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cinema_core.disk import disk_errors
from cinema_core.errors import CinemaError, EngineError, InputError, StorageError
from cinema_core.progress import Progress, no_progress

log = logging.getLogger(__name__)

FORM: Final = 1
"""Raised when a prepared file would look different: what was prepared before is then prepared anew."""

REPORT: Final = "report.csv"
_MARKS: Final = ".prepared"
_PARTIAL: Final = ".partial"

Row = dict[str, Any]


class Status(StrEnum):
    """What became of a case."""

    PREPARED = "prepared"
    SKIPPED = "skipped"
    """Something is wrong with it."""
    LEFT_OUT = "left out"
    """As published, or because nobody labelled it."""


@dataclass(frozen=True)
class RawCase:
    """One case of a dataset before it is prepared.

    Attributes
    ----------
    pid
        Name in the tables; may hold slashes.
    split
        ``train`` and so on.
    files
        What it is prepared from; a change of one of them makes it be prepared anew.
    facts
        What the dataset's own table says of it.
    tables
        Tables that its row goes to.
    """

    pid: str
    split: str
    files: tuple[Path, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its files lie below the processed folder, in most datasets."""
        return Path(self.split) / self.pid


@dataclass(frozen=True)
class Result:
    """What became of a case, and why; ``row`` is its line of the table, empty unless it was prepared."""

    pid: str
    split: str
    status: Status
    reason: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Cases of a raw folder, and those that cannot even be begun."""

    cases: tuple[RawCase, ...]
    others: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Line of the table of one case, and what is worth knowing of it."""

    row: Row
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How one dataset is prepared.

    Attributes
    ----------
    name
        On the command line and of the folder.
    get_it
        Where the data come from, for the reader.
    layout
        What the raw folder must hold, for the reader.
    published
        Cases of each split that were published.
    find
        Raw folder to cases.
    prepare
        Writes one case below a folder, as ``{split}/{pid}/...``, and returns its line. Called in another process.
    """

    name: str
    title: str
    get_it: str
    layout: str
    published: Mapping[str, int]
    find: Callable[[Path], Found]
    prepare: Callable[[RawCase, Path], Prepared]

    def absent(self, raw: Path) -> InputError:
        """Make the error for a raw folder that is not this dataset's."""
        return InputError(f"{raw} is no raw folder of {self.title}: it needs {self.layout}. {self.get_it}")


def processed_folder(name: str) -> Path:
    """Where prepared data lie unless said otherwise: below ``CINEMA_DATA_DIR`` or ``~/.cache/cinema_datasets``."""
    root = os.environ.get("CINEMA_DATA_DIR")
    return (Path(root) if root else Path.home() / ".cache" / "cinema_datasets") / name / "processed"


def prepare_dataset(
    recipe: Recipe, raw: Path, out: Path, workers: int = 1, progress: Progress = no_progress
) -> list[Result]:
    """Prepare every case of a raw folder that is not prepared yet, and write the tables and ``report.csv``.

    A case whose files are damaged or do not fit together is left out of the tables, with its reason in the report;
    the others go on. Files of a case appear whole or not at all.

    Parameters
    ----------
    workers
        Processes; 1: none beside this one.

    Raises
    ------
    InputError
        If the folder is not this dataset's, or holds no case.
    StorageError
        If the disk refuses; what is prepared by then is kept.
    EngineError
        If a process ends before its time.
    """
    if not raw.is_dir():
        raise InputError(f"There is no folder {raw}. {recipe.get_it}")
    found = recipe.find(raw)
    if not found.cases:
        raise recipe.absent(raw)
    with disk_errors(f"Nothing could be written to {out}"):
        (out / _PARTIAL).mkdir(parents=True, exist_ok=True)
    one = partial(_prepare_case, recipe.prepare, out)
    results = list(found.others)
    try:
        for n, result in enumerate(_run(one, found.cases, workers), start=1):
            results.append(result)
            progress(n / len(found.cases), f"{result.split} {result.pid}: {result.status}")
    finally:
        shutil.rmtree(out / _PARTIAL, ignore_errors=True)
    results.sort(key=lambda result: (result.split, result.pid))
    _write_tables(out, results)
    return results


def counts(recipe: Recipe, results: Sequence[Result]) -> list[str]:
    """One line per split: how many were prepared of how many that were published."""
    lines = []
    for split, wanted in recipe.published.items():
        of_split = [result for result in results if result.split == split]
        n = {status: sum(result.status is status for result in of_split) for status in Status}
        done = n[Status.PREPARED]
        verdict = "complete" if done == wanted else f"{abs(wanted - done)} {'fewer' if done < wanted else 'more'}"
        lines.append(
            f"{split}: {done} prepared, {n[Status.SKIPPED]} skipped, {n[Status.LEFT_OUT]} left out; "
            f"published: {wanted} ({verdict})"
        )
    return lines


def root_of(raw: Path, *signs: str, below: Sequence[str] = ()) -> Path | None:
    """Find the folder that holds one of some files or folders: the given one, or one of some names below it."""
    for folder in (raw, *(raw / name for name in below)):
        if any((folder / sign).exists() for sign in signs):
            return folder
    return None


def rows_of(table: Path) -> list[dict[str, str]]:
    """Rows of a CSV table; blanks around names and values are taken off.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return [
                {key.strip(): (value or "").strip() for key, value in row.items() if isinstance(key, str)}
                for row in csv.DictReader(stream)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {table} cannot be read. Download the dataset again.") from error


def _run(one: Callable[[RawCase], Result], cases: Sequence[RawCase], workers: int) -> Iterator[Result]:
    if workers <= 1:
        yield from map(one, cases)
        return
    with ProcessPoolExecutor(min(workers, len(cases)), mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(one, case) for case in cases]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BrokenProcessPool as error:
            raise EngineError(
                "A preparing process ended before its time, perhaps for want of memory. "
                "Do it again with fewer --workers; what is prepared is kept."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare_case(prepare: Callable[[RawCase, Path], Prepared], out: Path, case: RawCase) -> Result:
    mark = out / _MARKS / case.split / f"{case.pid}.json"
    fingerprint = _fingerprint(case)
    if (before := _done_before(mark, fingerprint, out)) is not None:
        return Result(case.pid, case.split, Status.PREPARED, "; ".join(before.notes), before.row, case.tables)
    partial_folder = out / _PARTIAL / uuid4().hex
    try:
        made = prepare(case, partial_folder)
        files = _move(partial_folder, out)
        content = {"fingerprint": fingerprint, "row": made.row, "notes": made.notes, "files": files}
        write_text(mark, json.dumps(content, indent=1))
    except StorageError:
        raise
    except CinemaError as error:
        return Result(case.pid, case.split, Status.SKIPPED, str(error))
    except Exception as error:  # one case that a library stumbles over must not stop the other thousand
        log.exception("a case of %s could not be prepared", case.split)
        return Result(case.pid, case.split, Status.SKIPPED, f"{type(error).__name__}: {' '.join(str(error).split())}")
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return Result(case.pid, case.split, Status.PREPARED, "; ".join(made.notes), made.row, case.tables)


def _fingerprint(case: RawCase) -> str:
    """Everything that the files of a case follow from, without reading them."""
    stated = [FORM, case.pid, case.split, dict(case.facts)]
    for path in case.files:
        stated.append([path.name, path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else [path.name])
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _done_before(mark: Path, fingerprint: str, out: Path) -> Prepared | None:
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            return None
        whole = all((out / name).stat().st_size == size for name, size in content["files"].items())
        return Prepared(content["row"], tuple(content["notes"])) if whole else None
    except (OSError, ValueError, KeyError):
        return None  # never prepared, or a file is gone since: it is prepared anew


def _move(source: Path, out: Path) -> dict[str, int]:
    """Move files to their places; returns their sizes by name."""
    files = {}
    with disk_errors(f"The prepared files could not be put in {out}"):
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            name = path.relative_to(source)
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, out / name)
            files[name.as_posix()] = (out / name).stat().st_size
    return files


def _write_tables(out: Path, results: Sequence[Result]) -> None:
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for table in result.tables:
            tables.setdefault(table, []).append(result.row)
    for name, rows in tables.items():
        write_text(out / name, csv_text(rows))
    report = [{"split": r.split, "pid": r.pid, "status": str(r.status), "reason": r.reason} for r in results]
    write_text(out / REPORT, csv_text(report))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as CSV; the columns are those of the first row and any that later ones add."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    with disk_errors(f"{path} could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_file = path.with_name(f".partial-{uuid4().hex}")
        try:
            partial_file.write_text(text, encoding="utf-8")
            os.replace(partial_file, path)
        finally:
            partial_file.unlink(missing_ok=True)
