"""Insertion points of the RV that a reader set, in the project's tables: append, look back, and read the newest."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from cinema_core.errors import LabelError
from cinema_core.measure.segments import Insertions
from cinema_core.project.database import DamagedRowError
from cinema_core.project.records import InsertionEdit
from cinema_core.project.studies import study_row


def append_insertions(rows: sqlite3.Connection, study_id: str, edit: InsertionEdit, reader: str, utc: str) -> int:
    """Append where the RV meets the LV on one slice of a study; returns the number of the row.

    Raises
    ------
    LabelError
        If the slice is not in the study, or a point is not in the image.
    """
    study = study_row(rows, study_id)
    if not 0 <= edit.z < study["n_slices"]:
        raise LabelError(
            f"Slice {edit.z + 1} was given insertion points, but the study has {study['n_slices']} slices."
        )
    if edit.points is not None:
        places = np.array([edit.points.anterior_yx, edit.points.inferior_yx])
        last = np.array([study["n_rows"], study["n_columns"]]) - 0.5
        if not (np.isfinite(places).all() and (places >= -0.5).all() and (places <= last).all()):
            raise LabelError("An insertion point lies outside of the image; it was not saved. Put it on the heart.")
    cursor = rows.execute(
        "INSERT INTO insertion_points (study_id, z, points_yx, reader, utc) VALUES (?, ?, ?, ?, ?)",
        (study_id, edit.z, _text(edit.points), reader, utc),
    )
    assert cursor.lastrowid is not None  # an INSERT that did not raise has a row
    return cursor.lastrowid


def newest_insertions(rows: sqlite3.Connection, study_id: str, at: int | None = None) -> dict[int, Insertions]:
    """Return the points that a reader set, by slice; ``at`` looks back to a row that was the newest once."""
    if not has_insertions(rows):
        return {}  # a project of an older format that is only read
    found = rows.execute(
        "SELECT insertion_id, z, points_yx FROM insertion_points WHERE insertion_id IN "
        "(SELECT max(insertion_id) FROM insertion_points WHERE study_id = ? AND insertion_id <= ? GROUP BY z) "
        "ORDER BY z",
        (study_id, insertion_position(rows) if at is None else at),
    ).fetchall()
    points = {row["z"]: _points(row) for row in found}
    return {z: one for z, one in points.items() if one is not None}


def insertion_edit(rows: sqlite3.Connection, insertion_id: int) -> InsertionEdit:
    """Return what a row set."""
    found = rows.execute(
        "SELECT insertion_id, z, points_yx FROM insertion_points WHERE insertion_id = ?", (insertion_id,)
    ).fetchone()
    return InsertionEdit(found["z"], _points(found))


def insertion_edit_before(rows: sqlite3.Connection, insertion_id: int) -> InsertionEdit:
    """Return the edit that brings back what held on the slice before a row."""
    edited = insertion_edit(rows, insertion_id)
    before = rows.execute(
        "SELECT insertion_id, points_yx FROM insertion_points WHERE insertion_id < ? AND z = ? AND study_id = "
        "(SELECT study_id FROM insertion_points WHERE insertion_id = ?) ORDER BY insertion_id DESC LIMIT 1",
        (insertion_id, edited.z, insertion_id),
    ).fetchone()
    return InsertionEdit(edited.z, None if before is None else _points(before))


def insertion_position(rows: sqlite3.Connection) -> int:
    """Return the number of the newest row, 0 if there is none."""
    return int(rows.execute("SELECT coalesce(max(insertion_id), 0) FROM insertion_points").fetchone()[0])


def has_insertions(rows: sqlite3.Connection) -> bool:
    """Whether the project is of a format that keeps insertion points."""
    return bool(rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'insertion_points'").fetchone())


def _text(points: Insertions | None) -> str | None:
    if points is None:
        return None
    return json.dumps([points.anterior_yx, points.inferior_yx])  # as it is: figures come of it


def _points(row: sqlite3.Row) -> Insertions | None:
    if row["points_yx"] is None:
        return None
    try:
        (anterior_y, anterior_x), (inferior_y, inferior_x) = json.loads(row["points_yx"])
        return Insertions((float(anterior_y), float(anterior_x)), (float(inferior_y), float(inferior_x)))
    except (TypeError, ValueError) as error:
        raise DamagedRowError(row["insertion_id"], "insertion_points") from error
