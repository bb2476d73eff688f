"""Evaluate a model on prepared data: ``python -m training.evaluate segmentation acdc_sax --weights FILE --out DIR``.

``DIR`` gets ``metrics.csv`` (a row per case), ``mean_metrics.csv`` (each figure with its 95 % interval over resampled
patients) and ``summary.json``; of ventricles in the short axis also ``ef_metrics.csv`` and ``mean_ef_metrics.csv``, and
of patients who were seen twice ``repeat_metrics.csv`` and ``mean_repeat_metrics.csv``. The config is a name, or the
``config.yaml`` beside the weights; settings are said as in fine-tuning. See also :mod:`training.compare`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from torch import nn

from cinema_core.cards import file_sha256
from cinema_core.errors import CinemaError, InputError
from cinema_core.models import load_model
from cinema_core.models.zoo import choose_device
from training.datasets.preparing import csv_text, processed_folder, write_text
from training.datasets.processed import Split
from training.ejection import ejection_figures, ejection_rows, repeat_figures, repeat_rows
from training.scoring import figures_of, score_split
from training.settings import TASKS, FineTuneConfig, read_config
from training.statistics import RESAMPLES, Figure, FiguresOf, Row, column, figures_with_intervals, score_names

log = logging.getLogger(__name__)

SUMMARY: Final = "summary.json"
CASES: Final = "metrics.csv"


@dataclass(frozen=True)
class Table:
    """Rows of an evaluation, and what is told of all of them.

    Attributes
    ----------
    name
        Of the file of the rows; that of the figures begins with ``mean_``.
    """

    name: str
    rows: Sequence[Row]
    figures_of: FiguresOf


def evaluate(folder: Path, config: FineTuneConfig, split: Split, network: nn.Module) -> list[Table]:
    """Score a network on every case of a split.

    Parameters
    ----------
    folder
        Prepared files.

    Returns
    -------
    The cases; then, where there are such, the ejection fractions and the repeated scans.

    Raises
    ------
    InputError
        If the split is empty or has no truth for this task, or files are missing.
    """
    network.eval()
    rows = score_split(folder, config, split, network)
    if not rows:
        raise InputError(f"The split {split} of {folder} has no case with a truth. Prepare more cases.")
    tables = [Table(CASES, rows, figures_of(config))]
    hearts = ejection_rows(rows, config.behaviour)
    further: list[tuple[str, Sequence[Row], Callable[[Sequence[Row]], Mapping[str, float]]]] = [
        ("ef_metrics.csv", hearts, ejection_figures),
        ("repeat_metrics.csv", repeat_rows(hearts), repeat_figures),
    ]
    return tables + [Table(*each) for each in further if each[1]]


def write_evaluation(out: Path, tables: Sequence[Table], about: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Write the tables, their figures with intervals, and the summary last; returns the summary.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    summary: dict[str, Any] = {
        **about,
        "n_cases": len(tables[0].rows),
        "n_patients": len({row["patient"] for row in tables[0].rows}),
        "interval": {"level_pct": 95, "resamples": RESAMPLES, "unit": "patient", "seed": seed},
    }
    for table in tables:
        figures = figures_with_intervals(table.rows, table.figures_of, seed=seed)
        write_text(out / table.name, csv_text([{key: _known(v) for key, v in row.items()} for row in table.rows]))
        lines = [_line(figure, table.rows) for figure in figures]
        write_text(out / f"mean_{table.name}", csv_text(lines))
        summary[table.name.removesuffix(".csv")] = {
            line["metric"]: {key: value for key, value in line.items() if key != "metric"} for line in lines
        }
    write_text(out / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _line(figure: Figure, rows: Sequence[Row]) -> dict[str, Any]:
    """Figure with its interval; of a mean of cases also their number and standard deviation."""
    line = {"metric": figure.metric, "mean": figure.value, "low": figure.low, "high": figure.high}
    if figure.metric in score_names(rows):
        values = column(rows, figure.metric)
        known = values[np.isfinite(values)]
        line |= {"std": float(known.std()) if known.size else math.nan, "n": len(known)}
    return {key: _known(value) for key, value in line.items()}


def _known(value: Any) -> Any:
    """None instead of NaN: empty in tables, null in JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("config", help="name of a config in training/configs/TASK, or a .yaml file")
    parser.add_argument("settings", nargs="*", help="such as data.dir=acdc/processed behaviour=published")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--split", choices=get_args(Split), default="test")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="of the resampled patients")
    given = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        # The published form has one name for two tasks: the landmarks' heatmaps are a segmentation there.
        task = given.task if given.task.startswith("landmark") else given.task.split("_")[0]
        config = read_config(given.task, given.config, [f"task={task}", *given.settings])
        if (given.out / SUMMARY).exists():
            raise InputError(f"{given.out} holds an evaluation already. Choose another folder, or remove it.")
        network = load_model(given.weights, config.model_dump(mode="json")).to(choose_device(given.device))
        folder = config.data.dir or processed_folder(config.data.name)
        tables = evaluate(folder, config, given.split, network)
        about = {
            "task": given.task,
            "data": config.data.name,
            "view": config.model.views,
            "split": given.split,
            "behaviour": str(config.behaviour),
            "weights": given.weights.name,
            "weights_sha256": file_sha256(given.weights),
        }
        summary = write_evaluation(given.out, tables, about, given.seed)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{summary['n_cases']} cases of {summary['n_patients']} patients. The tables are in {given.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
