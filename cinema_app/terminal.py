"""What commands say: tables and JSON on standard output, progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cinema_core.progress import Progress, no_progress

if TYPE_CHECKING:
    from cinema_core.report import ReportRow

UNKNOWN: Final = "-"
"""Stands in a table for a value that is not known."""


def say(line: str = "") -> None:
    """Print a line for the reader."""
    print(line, flush=True)


def say_aside(line: str) -> None:
    """Print a line for the reader on standard error: what a program that reads the answer need not see."""
    print(line, file=sys.stderr, flush=True)


def say_json(values: Any) -> None:
    """Print an answer for a program: ASCII, so that no terminal or pipe can garble it."""
    print(json.dumps(values, indent=2, allow_nan=False), flush=True)


def say_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns of numbers are right-aligned, a last column of words is folded to fit."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for k, heading in enumerate(headings):
        numbers = all(row[k].lstrip("-")[:1].isdigit() or row[k] in ("", UNKNOWN) for row in rows)
        folds = not numbers and k == len(headings) - 1
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=not folds, overflow="fold")
    for row in rows:
        # Text: names in square brackets are no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def say_pairs(values: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns; long values are folded to fit."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values:
        table.add_row(Text(name), Text(value))
    Console(highlight=False).print(table)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show how far the work is, on a terminal; in a pipe or a log nothing is shown."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, what="")

        def show(fraction: float, message: str, /) -> None:
            bar.update(task, completed=fraction, what=message)

        yield show


def say_measures(row: ReportRow) -> None:
    """Print what a reader looks for first in a row of the report."""
    ventricles = (
        ("LV", row.lv_edv_ml, row.lv_esv_ml, row.lv_sv_ml, row.lv_ef_pct),
        ("RV", row.rv_edv_ml, row.rv_esv_ml, row.rv_sv_ml, row.rv_ef_pct),
    )
    rows = [(name, *(number(value) for value in values)) for name, *values in ventricles]
    say_table(("", "EDV ml", "ESV ml", "SV ml", "EF %"), rows)
    say(f"LV mass {number(row.lv_mass_g, unit='g')}, heart rate {number(row.heart_rate_bpm, 0, '/min')}")
    say(f"Convention: {row.convention}")
    if row.flags:
        say(f"Check: {row.flags}")


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """Write a value with its unit; a dash if it is not known."""
    if value is None:
        return UNKNOWN
    return f"{value:.{digits}f}{' ' + unit if unit else ''}"
