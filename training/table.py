"""Tables of results that grow line by line, so that an interrupted series of runs goes on where it was."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Line = TypeVar("Line", bound="DataclassInstance")

CASTS: Final = {"str": str, "int": int, "float": float}
"""By the annotation of a column, which is text: the classes of lines come from modules that postpone annotations."""


def table_of(folder: Path, name: str, model_sha256: str) -> Path:
    """File of a series of runs from one model: those of another are no part of it."""
    return folder / f"{name}-{model_sha256[:8]}.csv"


def read_rows(path: Path, kind: type[Line]) -> list[Line]:
    """Read the lines that were written before; none if the file is not there.

    Parameters
    ----------
    path
        CSV file, one column per field.
    kind
        Dataclass of a line; its fields are text, integers or floats.
    """
    if not path.exists():
        return []
    casts = {field.name: CASTS[str(field.type)] for field in fields(kind)}
    with path.open(encoding="utf-8", newline="") as file:
        return [kind(**{name: casts[name](text) for name, text in line.items()}) for line in csv.DictReader(file)]


def append_row(path: Path, row: DataclassInstance) -> None:
    """Add one line to the file, with a head if it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(row)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))
