"""How unsure a model was, in the project's tables: kept with a drawing, and read for the newest of each slice."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
from numpy.typing import NDArray

from cinema_core.errors import LabelError


def append_uncertainty(rows: sqlite3.Connection, row_id: int, uncertainty: float) -> None:
    """Keep the uncertainty of one row of the journal.

    Raises
    ------
    LabelError
        If it does not lie between 0 and 1.
    """
    if not (math.isfinite(uncertainty) and 0 <= uncertainty <= 1):
        raise LabelError(f"The uncertainty of a slice is {uncertainty:g}; it lies between 0 and 1. Nothing was saved.")
    rows.execute("INSERT INTO slice_uncertainty (row_id, uncertainty) VALUES (?, ?)", (row_id, float(uncertainty)))


def newest_uncertainty(rows: sqlite3.Connection, study_id: str) -> NDArray[np.float32] | None:
    """Uncertainty of the newest drawing of each slice, shape (t, z); NaN where none was kept, None if nowhere."""
    if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'slice_uncertainty'").fetchone():
        return None  # a project of an older format that is only read
    study = rows.execute("SELECT n_phases, n_slices FROM study WHERE study_id = ?", (study_id,)).fetchone()
    found = rows.execute(
        "SELECT t, z, uncertainty FROM journal JOIN slice_uncertainty USING (row_id) WHERE row_id IN "
        "(SELECT max(row_id) FROM journal JOIN slice_uncertainty USING (row_id) WHERE study_id = ? GROUP BY t, z)",
        (study_id,),
    ).fetchall()
    if not found:
        return None
    uncertainty = np.full((study["n_phases"], study["n_slices"]), np.nan, dtype=np.float32)
    for row in found:
        uncertainty[row["t"], row["z"]] = row["uncertainty"]
    return uncertainty
