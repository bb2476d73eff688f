"""How unsure a model was of a drawing, and how it took mirror images; read for the newest drawing of each slice."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cinema_core.errors import LabelError
from cinema_core.mirror_answers import MirrorAnswers, SliceMirrors


def append_uncertainty(
    rows: sqlite3.Connection, row_id: int, uncertainty: float, mirrors: SliceMirrors | None = None
) -> None:
    """Keep the uncertainty of one row of the journal, and how differently mirror images were drawn, if they were.

    Raises
    ------
    LabelError
        If uncertainty or disagreement does not lie between 0 and 1, or a spread of areas is no number from 0.
    """
    for name, value in (("uncertainty", uncertainty), ("disagreement", mirrors.disagreement if mirrors else 0.0)):
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise LabelError(f"The {name} of a slice is {value:g}; it lies between 0 and 1. Nothing was saved.")
    for spread in mirrors[1:] if mirrors else ():
        if not (math.isfinite(spread) and spread >= 0):
            raise LabelError(
                f"The spread of areas of a slice is {spread:g} pixels; it is 0 or more. Nothing was saved."
            )
    rows.execute(
        "INSERT INTO slice_uncertainty (row_id, uncertainty, disagreement, lv_spread_px, rv_spread_px) "
        "VALUES (?, ?, ?, ?, ?)",
        (row_id, float(uncertainty), *(map(float, mirrors) if mirrors else (None, None, None))),
    )


def newest_uncertainty(rows: sqlite3.Connection, study_id: str) -> NDArray[np.float32] | None:
    """Uncertainty of the newest drawing of each slice, shape (t, z); NaN where none was kept, None if nowhere."""
    found = _newest(rows, study_id, ["uncertainty"])
    return None if found is None else found[..., 0]


def newest_mirrors(rows: sqlite3.Connection, study_id: str) -> MirrorAnswers | None:
    """How the newest drawing of each slice took mirror images; NaN where that was not kept, None if nowhere.

    An older drawing's does not stand in for that of a newer one which has none.
    """
    found = _newest(rows, study_id, list(SliceMirrors._fields))
    return None if found is None else MirrorAnswers(found)


def _newest(rows: sqlite3.Connection, study_id: str, columns: Sequence[str]) -> NDArray[np.float32] | None:
    """Values of the newest drawings, shape (t, z, columns); None if nothing is known."""
    # A project of an older format that is only read lacks the newer columns.
    there = [name for (name,) in rows.execute("SELECT name FROM pragma_table_info('slice_uncertainty')")]
    asked = ", ".join(name if name in there else f"NULL AS {name}" for name in columns)
    study = rows.execute("SELECT n_phases, n_slices FROM study WHERE study_id = ?", (study_id,)).fetchone()
    found = rows.execute(
        f"SELECT t, z, {asked} FROM journal JOIN slice_uncertainty USING (row_id) WHERE row_id IN "
        "(SELECT max(row_id) FROM journal JOIN slice_uncertainty USING (row_id) WHERE study_id = ? GROUP BY t, z)",
        (study_id,),
    ).fetchall()
    known = [row for row in found if any(row[name] is not None for name in columns)]
    if not known:
        return None
    values = np.full((study["n_phases"], study["n_slices"], len(columns)), np.nan, dtype=np.float32)
    for row in known:
        values[row["t"], row["z"]] = [np.nan if row[name] is None else row[name] for name in columns]
    return values
