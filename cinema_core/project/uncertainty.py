"""How unsure a model was of a drawing, and how it took mirror images; read for the newest drawing of each slice."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
from numpy.typing import NDArray

from cinema_core.errors import LabelError


def append_uncertainty(
    rows: sqlite3.Connection, row_id: int, uncertainty: float, disagreement: float | None = None
) -> None:
    """Keep the uncertainty of one row of the journal, and how differently mirror images were drawn, if they were.

    Raises
    ------
    LabelError
        If one of them does not lie between 0 and 1.
    """
    for name, value in (("uncertainty", uncertainty), ("disagreement", disagreement)):
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            raise LabelError(f"The {name} of a slice is {value:g}; it lies between 0 and 1. Nothing was saved.")
    rows.execute(
        "INSERT INTO slice_uncertainty (row_id, uncertainty, disagreement) VALUES (?, ?, ?)",
        (row_id, float(uncertainty), None if disagreement is None else float(disagreement)),
    )


def newest_uncertainty(rows: sqlite3.Connection, study_id: str) -> NDArray[np.float32] | None:
    """Uncertainty of the newest drawing of each slice, shape (t, z); NaN where none was kept, None if nowhere."""
    return _newest(rows, study_id, "uncertainty")


def newest_disagreement(rows: sqlite3.Connection, study_id: str) -> NDArray[np.float32] | None:
    """Disagreement under mirrors of the newest drawing of each slice, in the same form.

    An older drawing's does not stand in for that of a newer one which has none.
    """
    return _newest(rows, study_id, "disagreement")


def _newest(rows: sqlite3.Connection, study_id: str, column: str) -> NDArray[np.float32] | None:
    if not rows.execute("SELECT 1 FROM pragma_table_info('slice_uncertainty') WHERE name = ?", (column,)).fetchone():
        return None  # a project of an older format that is only read
    study = rows.execute("SELECT n_phases, n_slices FROM study WHERE study_id = ?", (study_id,)).fetchone()
    found = rows.execute(
        f"SELECT t, z, {column} AS value FROM journal JOIN slice_uncertainty USING (row_id) WHERE row_id IN "
        "(SELECT max(row_id) FROM journal JOIN slice_uncertainty USING (row_id) WHERE study_id = ? GROUP BY t, z)",
        (study_id,),
    ).fetchall()
    known = [row for row in found if row["value"] is not None]
    if not known:
        return None
    values = np.full((study["n_phases"], study["n_slices"]), np.nan, dtype=np.float32)
    for row in known:
        values[row["t"], row["z"]] = row["value"]
    return values
