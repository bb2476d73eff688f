"""What a reading cost its reader, from the journal alone: no clock runs beside it, and no image data is kept.

References
----------
Added path length: Vaassen et al., Phys Imaging Radiat Oncol 13:1 (2020); it follows the time that corrections take
better than overlap does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND
from cinema_core.project.masks import unpack

LONGEST_PAUSE_S: Final = 30.0
"""Of a longer pause between two edits this much counts: some of it was looking, the rest was something else."""

MOMENT_S: Final = 0.1
"""Rows of one tool that follow each other faster were one action: no hand is as quick. For rows that no step holds
together, those of projects before format 8 and of imports by command."""

CONTOUR_TOOL: Final = "contour"
"""Tool of the rows that a reader made by a contour in hand; all of them say how many points were moved."""

PathsPx = MutableMapping[tuple[int, int | None], int]
"""Added border pixels by the row of a label and the row of the model's drawing under it. Rows never change."""

_NOT_BY_HAND: Final = "model"


@dataclass(frozen=True)
class Effort:
    """What was done by hand on one study, or on several together.

    Attributes
    ----------
    corrected_slices, accepted_slices
        Slices that are so now.
    edits
        Actions: strokes, drags, fillings, acceptances, imports and their undoing. What was done to many slices at once
        is one.
    added_path_mm
        Border that is drawn now and was not by the model, over all structures and slices; undrawn slices count whole.
    active_s
        Time between edits, of each pause at most :data:`LONGEST_PAUSE_S`.
    moved_points
        Control points of contours that a hand dragged: one by itself, or all that followed a pull. A contour that was
        moved or scaled as a whole is an action, but no moved point. What was undone later was moved, too.
    edits_of_unknown_points
        Actions with a contour in hand of which an older program did not keep how many points they moved; where there
        are any, ``moved_points`` is too low.
    """

    corrected_slices: int = 0
    accepted_slices: int = 0
    edits: int = 0
    added_path_mm: float = 0.0
    active_s: float = 0.0
    moved_points: int = 0
    edits_of_unknown_points: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def append_moved_points(rows: sqlite3.Connection, row_id: int, n_points: int) -> None:
    """Keep how many control points the drag behind a row of the journal moved.

    Raises
    ------
    ValueError
        If it is negative.
    """
    if n_points < 0:
        raise ValueError(f"{n_points} points cannot have been moved.")
    rows.execute("INSERT INTO moved_points (row_id, n_points) VALUES (?, ?)", (row_id, int(n_points)))


def read_effort(
    rows: sqlite3.Connection,
    study_id: str,
    pixel_spacing_mm: tuple[float, float],
    known_paths: PathsPx | None = None,
) -> Effort:
    """Add up what the journal holds of one study.

    Parameters
    ----------
    known_paths
        What was found before is taken from here, and what is found is put here: a slice is looked at once per edit.
    """
    by_hand = rows.execute(
        "SELECT row_id, tool, utc FROM journal WHERE study_id = ? AND tool <> ? ORDER BY row_id",
        (study_id, _NOT_BY_HAND),
    ).fetchall()
    newest = rows.execute(
        "SELECT row_id, t, z, state FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE study_id = ? GROUP BY t, z) AND state IN ('corrected', 'accepted')",
        (study_id,),
    ).fetchall()
    drawn = {
        (row["t"], row["z"]): int(row["newest"])
        for row in rows.execute(
            "SELECT t, z, max(row_id) AS newest FROM journal WHERE study_id = ? AND tool = ? GROUP BY t, z",
            (study_id, _NOT_BY_HAND),
        )
    }
    paths_px: PathsPx = {} if known_paths is None else known_paths
    path_px = 0
    for row in newest:
        pair = int(row["row_id"]), drawn.get((row["t"], row["z"]))
        if pair not in paths_px:
            paths_px[pair] = _path_px_of(rows, *pair)
        path_px += paths_px[pair]
    moved, unknown = _moved_points(rows, study_id)
    return Effort(
        corrected_slices=sum(row["state"] == "corrected" for row in newest),
        accepted_slices=sum(row["state"] == "accepted" for row in newest),
        edits=n_actions(((row["row_id"], row["tool"], row["utc"]) for row in by_hand), _steps(rows, study_id)),
        added_path_mm=path_px * float(np.mean(pixel_spacing_mm)),
        active_s=active_s(row["utc"] for row in by_hand),
        moved_points=moved,
        edits_of_unknown_points=unknown,
    )


def _path_px_of(rows: sqlite3.Connection, row_id: int, model_row: int | None) -> int:
    mask = _mask_of(rows, row_id)
    return added_path_px(mask, np.zeros_like(mask) if model_row is None else _mask_of(rows, model_row))


def _mask_of(rows: sqlite3.Connection, row_id: int) -> NDArray[np.uint8]:
    row = rows.execute("SELECT mask, n_rows, n_columns FROM journal WHERE row_id = ?", (row_id,)).fetchone()
    return unpack(row["mask"], (row["n_rows"], row["n_columns"]))


def _steps(rows: sqlite3.Connection, study_id: str) -> dict[int, int]:
    """Last row of each step of a study, by its first."""
    if not _has_table(rows, "edit_step"):
        return {}  # a project of an older format that is only read
    found = rows.execute(
        "SELECT first_row, last_row FROM edit_step WHERE study_id = ? AND first_row IS NOT NULL", (study_id,)
    )
    return {row["first_row"]: row["last_row"] for row in found}


def _moved_points(rows: sqlite3.Connection, study_id: str) -> tuple[int, int]:
    """Points that were moved, and actions of which that was not kept."""
    of_study = "FROM journal WHERE study_id = ? AND tool = ?", (study_id, CONTOUR_TOOL)
    if not _has_table(rows, "moved_points"):
        return 0, int(rows.execute(f"SELECT count(*) {of_study[0]}", of_study[1]).fetchone()[0])
    found = rows.execute(
        "SELECT coalesce(sum(n_points), 0) AS moved, sum(n_points IS NULL) AS unknown "
        "FROM journal LEFT JOIN moved_points USING (row_id) WHERE study_id = ? AND tool = ?",
        of_study[1],
    ).fetchone()
    return int(found["moved"]), int(found["unknown"] or 0)


def _has_table(rows: sqlite3.Connection, name: str) -> bool:
    return bool(rows.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone())


def n_actions(by_hand: Iterable[tuple[int, str, str]], steps: Mapping[int, int]) -> int:
    """Count what a reader did, however many slices it changed.

    Parameters
    ----------
    by_hand
        Row, tool and moment (ISO 8601) of all that was not drawn by a model, by row.
    steps
        Last row of each step, by its first.
    """
    n, step_ends, before = 0, 0, ("", 0.0)
    for row_id, tool, utc in by_hand:
        if row_id <= step_ends:
            continue
        if row_id in steps:
            n, step_ends, before = n + 1, steps[row_id], ("", 0.0)
            continue
        at_s = datetime.fromisoformat(utc).timestamp()
        n += not (tool == before[0] and 0 <= at_s - before[1] < MOMENT_S)
        before = tool, at_s
    return n


def added_path_px(mask: NDArray[np.uint8], model: NDArray[np.uint8]) -> int:
    """Border pixels in ``mask`` that are no border pixels in ``model``, over all structures.

    Parameters
    ----------
    mask, model
        Labels of one slice, shape (y, x).
    """
    if np.array_equal(mask, model):
        return 0
    drawn = np.nonzero(mask)
    if not len(drawn[0]):
        return 0
    # One pixel more than what is drawn: all of its border, and of the model's what may coincide with it.
    cut = tuple(slice(max(int(at.min()) - 1, 0), int(at.max()) + 2) for at in drawn)
    mask, model = mask[cut], model[cut]
    return sum(int((_border(mask == s) & ~_border(model == s)).sum()) for s in FOREGROUND)


def added_path_mm(mask: NDArray[np.uint8], model: NDArray[np.uint8], pixel_spacing_mm: tuple[float, float]) -> float:
    """Length of the border pixels in ``mask`` that are no border pixels in ``model``, over all structures.

    Parameters
    ----------
    mask, model
        Labels of one slice, shape (y, x).
    pixel_spacing_mm
        Along y and x; a border pixel counts as the mean of both.
    """
    return added_path_px(mask, model) * float(np.mean(pixel_spacing_mm))


def _border(structure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a structure with a neighbour, of four, outside of it."""
    padded = np.pad(structure, 1)
    inner = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return np.asarray(structure & ~inner)


def active_s(moments_utc: Iterable[str]) -> float:
    """Seconds between the first and the last moment (ISO 8601, in order), long pauses shortened."""
    moments = [datetime.fromisoformat(utc) for utc in moments_utc]
    gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
    # Strokes of one moment come as several rows; a clock that was set back counts nothing.
    return float(sum(min(max(gap, 0.0), LONGEST_PAUSE_S) for gap in gaps))
