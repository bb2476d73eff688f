"""Compare two evaluations of the same cases: ``python -m training.compare FIRST SECOND --out comparison.csv``.

``FIRST`` and ``SECOND`` are folders of ``python -m training.evaluate``. Each score is averaged by patient and compared
by pairs: mean difference (second minus first) with its 95 % interval, t-test, Wilcoxon's signed-rank test, and
McNemar's exact test of what is right or wrong. The p-values are those of single comparisons.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cinema_core.errors import CinemaError, InputError
from training.datasets.preparing import csv_text, write_text
from training.statistics import KEYS, Difference, compare_paired, score_names

TABLES: Final = ("metrics.csv", "ef_metrics.csv")
SAME_TRUTH: Final = 1e-3
"""Truths that differ by more come from differently prepared data."""


def compare(first: Path, second: Path, seed: int = 0) -> list[tuple[str, Difference]]:
    """Compare the tables that both evaluations have; each difference with the name of its table.

    Raises
    ------
    InputError
        If a folder holds no evaluation, or the two are not of the same cases with the same truth.
    """
    found = []
    for name in TABLES:
        paths = [folder / name for folder in (first, second)]
        if name != TABLES[0] and not all(path.is_file() for path in paths):
            continue
        one, other = (_read(path) for path in paths)
        _refuse_others(name, one, other)
        rows: list[dict[str, Any]] = one.to_dict("records")
        for metric in score_names(rows):
            if metric not in other:
                continue
            a, b = (
                pd.to_numeric(table[metric]).groupby(table["patient"]).mean().to_numpy(dtype=np.float64)
                for table in (one, other)
            )
            found.append((name, compare_paired(metric, a, b, seed=seed)))
    return found


def _read(path: Path) -> Any:
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(KEYS, str), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise InputError(f"There is no {path}. Give the folder of an evaluation: python -m training.evaluate") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}). Evaluate again.") from error
    if not {"patient", "pid"} <= set(table):
        raise InputError(f"{path} has no columns patient and pid. Evaluate again.")
    keys = [key for key in ("patient", "pid", "phase") if key in table]
    return table.sort_values(keys).reset_index(drop=True)


def _refuse_others(name: str, one: Any, other: Any) -> None:
    keys = [key for key in ("patient", "pid", "phase") if key in one and key in other]
    cases = [set(map(tuple, table[keys].fillna("").to_numpy().tolist())) for table in (one, other)]
    if apart := len(cases[0] ^ cases[1]):
        raise InputError(f"{apart} cases of {name} are in one evaluation only. Evaluate both on the same split.")
    for column in one:
        if not str(column).startswith("true_"):
            continue
        if column not in other:
            raise InputError(f"The evaluations are of different tasks: only one {name} has {column}.")
        a, b = one[column], other[column]
        numbers = pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b)
        same = np.allclose(a, b, atol=SAME_TRUTH, equal_nan=True) if numbers else bool((a == b).all())
        if not same:
            raise InputError(f"The truth ({column}) of {name} differs. Evaluate both on the same prepared files.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    parser.add_argument("--seed", type=int, default=0, help="of the resampled patients")
    given = parser.parse_args(arguments)
    try:
        found = compare(given.first, given.second, given.seed)
        lines = [{"table": table, **asdict(difference)} for table, difference in found]
        write_text(given.out, csv_text([{k: "" if _unknown(v) else v for k, v in line.items()} for line in lines]))
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{len(found)} metrics compared; {given.out}.")
    return 0


def _unknown(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


if __name__ == "__main__":
    sys.exit(main())
