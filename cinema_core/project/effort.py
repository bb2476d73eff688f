"""What a reading cost its reader, from the journal alone: no clock runs beside it, and no image data is kept.

References
----------
Added path length: Vaassen et al., Phys Imaging Radiat Oncol 13:1 (2020); it follows the time that corrections take
better than overlap does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND
from cinema_core.project.masks import unpack

LONGEST_PAUSE_S: Final = 30.0
"""Of a longer pause between two edits this much counts: some of it was looking, the rest was something else."""

_NOT_BY_HAND: Final = "model"


@dataclass(frozen=True)
class Effort:
    """What was done by hand on one study, or on several together.

    Attributes
    ----------
    corrected_slices, accepted_slices
        Slices that are so now.
    edits
        Strokes, acceptances, imports and their undoing.
    added_path_mm
        Border that is drawn now and was not by the model, over all structures and slices; undrawn slices count whole.
    active_s
        Time between edits, of each pause at most :data:`LONGEST_PAUSE_S`.
    """

    corrected_slices: int = 0
    accepted_slices: int = 0
    edits: int = 0
    added_path_mm: float = 0.0
    active_s: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            self.corrected_slices + other.corrected_slices,
            self.accepted_slices + other.accepted_slices,
            self.edits + other.edits,
            self.added_path_mm + other.added_path_mm,
            self.active_s + other.active_s,
        )


def read_effort(rows: sqlite3.Connection, study_id: str, pixel_spacing_mm: tuple[float, float]) -> Effort:
    """Add up what the journal holds of one study."""
    by_hand = rows.execute(
        "SELECT utc FROM journal WHERE study_id = ? AND tool <> ? ORDER BY row_id", (study_id, _NOT_BY_HAND)
    ).fetchall()
    newest = rows.execute(
        "SELECT t, z, state, mask, n_rows, n_columns FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE study_id = ? GROUP BY t, z) AND state IN ('corrected', 'accepted')",
        (study_id,),
    ).fetchall()
    path_mm = 0.0
    for row in newest:
        drawn = rows.execute(
            "SELECT mask FROM journal WHERE study_id = ? AND t = ? AND z = ? AND tool = ? ORDER BY row_id DESC LIMIT 1",
            (study_id, row["t"], row["z"], _NOT_BY_HAND),
        ).fetchone()
        shape = row["n_rows"], row["n_columns"]
        mask = unpack(row["mask"], shape)
        model = unpack(drawn["mask"], shape) if drawn else np.zeros(shape, dtype=np.uint8)
        path_mm += added_path_mm(mask, model, pixel_spacing_mm)
    return Effort(
        corrected_slices=sum(row["state"] == "corrected" for row in newest),
        accepted_slices=sum(row["state"] == "accepted" for row in newest),
        edits=len(by_hand),
        added_path_mm=path_mm,
        active_s=active_s(row["utc"] for row in by_hand),
    )


def added_path_mm(mask: NDArray[np.uint8], model: NDArray[np.uint8], pixel_spacing_mm: tuple[float, float]) -> float:
    """Length of the border pixels in ``mask`` that are no border pixels in ``model``, over all structures.

    Parameters
    ----------
    mask, model
        Labels of one slice, shape (y, x).
    pixel_spacing_mm
        Along y and x; a border pixel counts as the mean of both.
    """
    added = sum(int((_border(mask == s) & ~_border(model == s)).sum()) for s in FOREGROUND)
    return added * float(np.mean(pixel_spacing_mm))


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
