"""The journal of labels in the project's tables: a row for every slice that was ever drawn, the newest one counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from cinema_core.anatomy import LabelState
from cinema_core.project.database import DamagedRowError
from cinema_core.project.effort import append_moved_points
from cinema_core.project.imports import view_now
from cinema_core.project.ledger import assign_fold
from cinema_core.project.masks import checked_mask, pack, unpack
from cinema_core.project.records import SliceEdit, SliceLabel
from cinema_core.project.studies import study_row
from cinema_core.project.uncertainty import append_uncertainty
from cinema_core.view import View

MODEL_TOOL: Final = "model"

_COLUMNS: Final = "row_id, parent_id, study_id, t, z, state, tool, reader, model_sha256, utc, n_rows, n_columns, mask"
_LAST_ROW: Final = 2**63 - 1
"""Largest row number that SQLite can give."""


def append_slice(rows: sqlite3.Connection, edit: SliceEdit, reader: str, utc: str) -> int:
    """Append one slice; returns its row number. The first corrected or accepted one of a patient decides its fold.

    Raises
    ------
    LabelError
        If the mask does not fit its study, or has other values than 0 to 3 and 255.
    ProjectError
        If the study is not in the project.
    """
    study = study_row(rows, edit.study_id)
    mask = checked_mask(edit, (study["n_phases"], study["n_slices"], study["n_rows"], study["n_columns"]))
    state = LabelState(edit.state)
    if state.is_teaching:
        assign_fold(rows, study["patient"], utc)
    cursor = rows.execute(
        "INSERT INTO journal (parent_id, study_id, t, z, state, tool, reader, model_sha256, utc, "
        "n_rows, n_columns, mask) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            newest_row(rows, edit.study_id, int(edit.t), int(edit.z)),
            edit.study_id,
            int(edit.t),
            int(edit.z),
            state.value,
            edit.tool,
            "" if edit.tool == MODEL_TOOL else reader,  # a prediction is nobody's reading, whoever pressed the button
            edit.model_sha256,
            utc,
            *mask.shape,
            pack(mask),
        ),
    )
    assert cursor.lastrowid is not None  # an INSERT that did not raise has a row
    if edit.uncertainty is not None:
        append_uncertainty(rows, cursor.lastrowid, edit.uncertainty, edit.mirrors)
    if edit.moved_points is not None:
        append_moved_points(rows, cursor.lastrowid, edit.moved_points)
    return cursor.lastrowid


def label_of_row(rows: sqlite3.Connection, row_id: int) -> SliceLabel:
    """Label that a row of the journal holds."""
    return _slice_label(rows.execute(f"SELECT {_COLUMNS} FROM journal WHERE row_id = ?", (row_id,)).fetchone())


def newest_label(rows: sqlite3.Connection, study_id: str, t: int, z: int) -> SliceLabel:
    """Label that counts now of a slice that has one."""
    row_id = newest_row(rows, study_id, t, z)
    assert row_id is not None
    return label_of_row(rows, row_id)


def newest_labels(rows: sqlite3.Connection, study_id: str, at: int | None = None) -> dict[tuple[int, int], SliceLabel]:
    """Label of each slice of a study that has one, by (t, z): now, or when the journal's newest row was ``at``."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE study_id = ? AND row_id <= ? GROUP BY t, z) ORDER BY t, z",
        (study_id, _LAST_ROW if at is None else at),
    )
    return {(label.t, label.z): label for label in slice_labels(found)}


def newest_teaching_rows(rows: sqlite3.Connection, study_id: str, at: int | None = None) -> list[sqlite3.Row]:
    """Rows of a study's slices that were corrected or accepted, now or at ``at``; for :func:`slice_labels`."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE study_id = ? AND row_id <= ? GROUP BY t, z) "
        "AND state IN (?, ?) ORDER BY t, z",
        (study_id, _LAST_ROW if at is None else at, LabelState.CORRECTED, LabelState.ACCEPTED),
    )
    return found.fetchall()


def newest_states(rows: sqlite3.Connection, study_id: str) -> dict[tuple[int, int], LabelState]:
    """State of each slice of a study that has a label, by (t, z)."""
    found = rows.execute(
        "SELECT t, z, state FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE study_id = ? GROUP BY t, z) ORDER BY t, z",
        (study_id,),
    )
    return {(row["t"], row["z"]): LabelState(row["state"]) for row in found}


def count_labelled_besides(rows: sqlite3.Connection, study_id: str) -> tuple[int, int]:
    """Count what a model may learn from in all other studies: short-axis slices, and patients that they are of."""
    found = rows.execute(
        "SELECT study_id, cine_id, view, patient, count(*) AS n_slices FROM journal JOIN study USING (study_id) "
        "WHERE row_id IN (SELECT max(row_id) FROM journal WHERE study_id <> ? GROUP BY study_id, t, z) "
        "AND state IN (?, ?) GROUP BY study_id",
        (study_id, LabelState.CORRECTED, LabelState.ACCEPTED),
    ).fetchall()
    teaching = [row for row in found if view_now(rows, row) is View.SAX]
    return sum(row["n_slices"] for row in teaching), len({row["patient"] for row in teaching})


def slice_history(rows: sqlite3.Connection, study_id: str, t: int, z: int) -> list[SliceLabel]:
    """Every label that a slice has had, oldest first."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE study_id = ? AND t = ? AND z = ? ORDER BY row_id", (study_id, t, z)
    )
    return slice_labels(found)


def drawn_by_model_since(rows: sqlite3.Connection, label: SliceLabel) -> bool:
    """Whether a model drew a slice again after this row."""
    found = rows.execute(
        "SELECT 1 FROM journal WHERE study_id = ? AND t = ? AND z = ? AND row_id > ? AND tool = ?",
        (label.study_id, label.t, label.z, label.row_id, MODEL_TOOL),
    )
    return found.fetchone() is not None


def journal_position(rows: sqlite3.Connection) -> int:
    """Return the number of the newest row, 0 if there is none."""
    return int(rows.execute("SELECT coalesce(max(row_id), 0) FROM journal").fetchone()[0])


def newest_rows(rows: sqlite3.Connection) -> dict[str, int]:
    """Return the number of the newest row of each study that has a label: while it stays, so do the labels."""
    found = rows.execute("SELECT study_id, max(row_id) AS newest FROM journal GROUP BY study_id")
    return {row["study_id"]: row["newest"] for row in found}


def newest_row(rows: sqlite3.Connection, study_id: str, t: int, z: int) -> int | None:
    """Return the newest row of a slice, None if it has none."""
    where = (study_id, t, z)
    found = rows.execute("SELECT max(row_id) FROM journal WHERE study_id = ? AND t = ? AND z = ?", where)
    newest: int | None = found.fetchone()[0]
    return newest


def slice_labels(found: Iterable[sqlite3.Row]) -> list[SliceLabel]:
    """Unpack rows of the journal."""
    return [_slice_label(row) for row in found]


def _slice_label(row: sqlite3.Row) -> SliceLabel:
    try:
        mask = unpack(row["mask"], (row["n_rows"], row["n_columns"]))
    except ValueError as error:
        raise DamagedRowError(row["row_id"]) from error
    return SliceLabel(
        row_id=row["row_id"],
        parent_id=row["parent_id"],
        study_id=row["study_id"],
        t=row["t"],
        z=row["z"],
        mask=mask,
        state=LabelState(row["state"]),
        tool=row["tool"],
        reader=row["reader"],
        model_sha256=row["model_sha256"],
        utc=row["utc"],
    )
