"""Pictures of results: what labels buy, Dice of an evaluation, and how two readings of one quantity agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.disk import disk_errors
from cinema_core.errors import InputError
from training.statistics import column, score_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from training.statistics import Row

FORMATS: Final = (".png", ".svg", ".pdf")
LIMITS_OF_AGREEMENT: Final = 1.96
"""Standard deviations to both sides of the mean difference, between which 95 % lie."""


@dataclass(frozen=True)
class Line:
    """Values at some places with their intervals, under one name.

    Attributes
    ----------
    at
        Indices into the places.
    values, low, high
        As many as ``at``.
    """

    name: str
    at: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def check_figure(path: Path) -> None:
    """Make sure, before anything is computed, that a figure can be drawn.

    Raises
    ------
    InputError
        If Matplotlib is not installed or the file is of no kind that it writes.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path.name} is no figure; its name ends with {', '.join(FORMATS)}.")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise InputError("Figures need Matplotlib. Run: pip install 'napari-cinema[training]'") from None


def draw_lines(path: Path, places: Sequence[str], lines: Sequence[Line], labels: tuple[str, str], base: float) -> None:
    """Draw values with their intervals against named places.

    Parameters
    ----------
    labels
        Of both axes.
    base
        Height of a dashed line: what there was at the start; NaN: none.

    Raises
    ------
    InputError, StorageError
        As :func:`check_figure`, and if the disk refuses.
    """

    def draw(axes: Axes) -> None:
        for k, line in enumerate(lines):
            # Side by side, so that intervals of several lines at one place can be told apart.
            x = np.array(line.at) + 0.06 * (k - (len(lines) - 1) / 2)
            values = np.array(line.values)
            reach = [values - np.array(line.low), np.array(line.high) - values]
            axes.errorbar(x, values, yerr=reach, marker="o", capsize=3, label=line.name)
        if np.isfinite(base):
            axes.axhline(base, linestyle="--", color="grey", label="bundled, before")
        axes.set_xticks(range(len(places)), places)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(lines) + 1)  # above: over no interval

    _save(path, draw)


@dataclass(frozen=True)
class Course:
    """Means over several courses of what was spent and what was had for it, with intervals, under one name.

    Attributes
    ----------
    spent, had
        Mean, lower and upper end at each stage.
    """

    name: str
    spent: tuple[tuple[float, float, float], ...]
    had: tuple[tuple[float, float, float], ...]


def draw_courses(path: Path, panels: Mapping[str, Sequence[Course]], spent: str) -> None:
    """Draw courses in panels side by side, what was had against what was spent.

    Parameters
    ----------
    panels
        Courses by the label of what was had.
    spent
        Label of the other axis.

    Raises
    ------
    InputError, StorageError
        As :func:`draw_lines`.
    """

    def draw(all_axes: Sequence[Axes]) -> None:
        for axes, (label, courses) in zip(all_axes, panels.items(), strict=True):
            for course in courses:
                x, y = np.array(course.spent), np.array(course.had)
                reach_x, reach_y = ([v[:, 0] - v[:, 1], v[:, 2] - v[:, 0]] for v in (x, y))
                axes.errorbar(
                    x[:, 0], y[:, 0], xerr=reach_x, yerr=reach_y, marker="o", elinewidth=0.6, label=course.name
                )
            axes.set_xlabel(spent)
            axes.set_ylabel(label)
            axes.grid(alpha=0.3)
        all_axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)

    _save(path, draw, len(panels))


def draw_boxes(path: Path, rows: Sequence[Row], metric: str = "dice") -> None:
    """Draw a box of each structure's score over the cases: quartiles, median, whiskers to 1.5 times the box.

    Parameters
    ----------
    rows
        Of an evaluation, with columns ``METRIC_STRUCTURE``.

    Raises
    ------
    InputError, StorageError
        As :func:`draw_lines`.
    """
    names = [name for name in score_names(rows) if name.startswith(f"{metric}_") and name != f"{metric}_mean"]
    known = [values[np.isfinite(values)] for values in (column(rows, name) for name in names)]
    shown = [f"{name.removeprefix(f'{metric}_')}\nn = {len(values)}" for name, values in zip(names, known, strict=True)]

    def draw(axes: Axes) -> None:
        axes.boxplot(known, tick_labels=shown)
        axes.set_ylabel(metric.capitalize())
        axes.grid(axis="y", alpha=0.3)

    _save(path, draw)


def draw_bland_altman(path: Path, first: NDArray[np.float64], second: NDArray[np.float64], quantity: str) -> None:
    """Draw the differences, second minus first, against the means of pairs, with bias and limits of agreement.

    Raises
    ------
    InputError, StorageError
        As :func:`draw_lines`.

    References
    ----------
    Bland and Altman, Lancet 327:307 (1986).
    """
    mean, away = (first + second) / 2, second - first
    bias, spread = float(away.mean()), float(away.std(ddof=1)) if len(away) > 1 else 0.0

    def draw(axes: Axes) -> None:
        axes.scatter(mean, away, s=14)
        for sign in (-1, 0, 1):
            height = bias + sign * LIMITS_OF_AGREEMENT * spread
            axes.axhline(height, linestyle="--" if sign else "-", color="grey")
            axes.annotate(f"{height:+.1f}", (1.0, height), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axes.set_xlabel(f"{quantity}, mean of both")
        axes.set_ylabel("predicted minus true")
        axes.set_title(f"n = {len(away)}: bias, and limits between which 95 % lie", fontsize=10)

    _save(path, draw)


def draw_evaluation(folder: Path, tables: Mapping[str, Sequence[Row]]) -> list[Path]:
    """Draw what the tables of an evaluation hold; returns the files.

    Parameters
    ----------
    tables
        Rows by the name of their file.

    Raises
    ------
    InputError, StorageError
        As :func:`draw_lines`.
    """
    drawn = []
    cases, hearts = tables.get("metrics.csv", ()), tables.get("ef_metrics.csv", ())
    if cases and "dice_mean" in cases[0]:
        drawn.append(folder / "dice.png")
        draw_boxes(drawn[-1], cases)
    for ventricle in ("lv", "rv") if hearts else ():
        drawn.append(folder / f"bland_altman_{ventricle}_ef.png")
        true, given = (column(hearts, f"{kind}_{ventricle}_ef_pct") for kind in ("true", "predicted"))
        draw_bland_altman(drawn[-1], true, given, f"{ventricle.upper()} ejection fraction (%)")
    return drawn


def _save(path: Path, draw: Callable[[Any], None], n_panels: int = 1) -> None:
    check_figure(path)
    from matplotlib.figure import Figure  # not pyplot: no window, no state

    figure = Figure(figsize=(6.4 if n_panels == 1 else 4.6 * n_panels, 4.2), layout="constrained")
    draw(figure.subplots(1, n_panels))
    with disk_errors(f"{path} could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_file = path.with_name(f".partial-{path.name}")
        try:
            figure.savefig(partial_file, dpi=150)
            partial_file.replace(path)
        finally:
            partial_file.unlink(missing_ok=True)
