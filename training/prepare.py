"""Raw datasets to the files that the recipes read: ``python -m training.prepare acdc --raw DIR --out DIR``.

After a stop the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from cinema_core.errors import CinemaError
from training.datasets.preparing import REPORT, Status, counts, prepare_dataset, processed_folder
from training.datasets.published import RECIPES

SHOWN: Final = 10
"""Reasons that are shown; all are in the report."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 if a case had to be skipped."""
    parser = argparse.ArgumentParser(prog="python -m training.prepare", description=__doc__)
    parser.add_argument("dataset", choices=list(RECIPES))
    parser.add_argument("--raw", type=Path, required=True, help="the download, unpacked")
    parser.add_argument("--out", type=Path, help="default: CINEMA_DATA_DIR or ~/.cache/cinema_datasets, NAME/processed")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    given = parser.parse_args(arguments)
    recipe = RECIPES[given.dataset]
    out = given.out or processed_folder(recipe.name)
    try:
        with _bar() as bar:
            task = bar.add_task(recipe.title, total=1.0)
            results = prepare_dataset(
                recipe, given.raw, out, given.workers, lambda done, line: _show(bar, task, done, line)
            )
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for line in counts(recipe, results):
        print(line)
    skipped = [result for result in results if result.status is Status.SKIPPED]
    for result in skipped[:SHOWN]:
        print(f"skipped {result.split} {result.pid}: {result.reason}", file=sys.stderr)
    if len(skipped) > SHOWN:
        print(f"and {len(skipped) - SHOWN} more", file=sys.stderr)
    print(f"Every case is in {out / REPORT}.")
    return 1 if skipped else 0


def _bar() -> Bar:
    console = Console(stderr=True)
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        console=console,
        disable=not console.is_terminal,
    )


def _show(bar: Bar, task: TaskID, done: float, line: str) -> None:
    bar.update(task, completed=done, description=line)


if __name__ == "__main__":
    sys.exit(main())
