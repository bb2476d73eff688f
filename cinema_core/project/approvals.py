"""Who vouches for ED and ES of a study, and what changed since: rows in, values out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from pydantic import ValidationError

from cinema_core.anatomy import LabelState
from cinema_core.errors import ProjectError
from cinema_core.measure.choices import ReportChoices
from cinema_core.project.insertions import has_insertions, insertion_position, newest_insertions
from cinema_core.project.records import ApprovalRecord, EditSince


def append_choices(rows: sqlite3.Connection, study_id: str, choices: ReportChoices, reader: str, utc: str) -> None:
    """Append what a reader entered and chose for a report; nothing if it is what is kept already."""
    if choices != newest_choices(rows, study_id):
        rows.execute(
            "INSERT INTO report_choices (study_id, choices, reader, utc) VALUES (?, ?, ?, ?)",
            (study_id, choices.model_dump_json(), reader, utc),
        )


def newest_choices(rows: sqlite3.Connection, study_id: str) -> ReportChoices:
    """Return what was entered and chosen last; nothing if nobody did.

    Raises
    ------
    ProjectError
        If what is kept cannot be understood.
    """
    if not _has_tables(rows):
        return ReportChoices()
    found = rows.execute(
        "SELECT choices FROM report_choices WHERE study_id = ? ORDER BY choice_id DESC LIMIT 1", (study_id,)
    ).fetchone()
    try:
        return ReportChoices.model_validate_json(found["choices"]) if found else ReportChoices()
    except ValidationError as error:
        raise ProjectError(
            f"What was chosen for the report of {study_id} cannot be understood. Update napari-cinema, or put a copy "
            "of the project from your backup in its place."
        ) from error


def append_approval(
    rows: sqlite3.Connection, study_id: str, phases: Sequence[int | None], position: int, reader: str, utc: str
) -> None:
    """Append that a reader vouches for a study as it is.

    Parameters
    ----------
    phases
        ED and ES of the LV, then of the RV, from 0.
    position
        Newest row of the journal.

    Raises
    ------
    ProjectError
        If the reader gave no name.
    """
    if not reader:
        raise ProjectError("A report is approved by a named reader. Give your name first; a pseudonym will do.")
    choices = newest_choices(rows, study_id).model_dump_json()
    rows.execute(
        "INSERT INTO approval (study_id, phases, choices, journal_position, reader, utc, insertion_position) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (study_id, json.dumps(list(phases)), choices, position, reader, utc, insertion_position(rows)),
    )


def newest_approval(rows: sqlite3.Connection, study_id: str) -> ApprovalRecord | None:
    """Return the last approval of a study with what changed since; None if there was none."""
    if not _has_tables(rows):
        return None  # a project of an older format that is only read
    found = rows.execute(
        "SELECT * FROM approval WHERE study_id = ? ORDER BY approval_id DESC LIMIT 1", (study_id,)
    ).fetchone()
    if found is None:
        return None
    phases = tuple(json.loads(found["phases"]))
    return ApprovalRecord(
        reader=found["reader"],
        utc=found["utc"],
        phases=phases,
        journal_position=found["journal_position"],
        choices_changed=found["choices"] != newest_choices(rows, study_id).model_dump_json(),
        insertions_changed=has_insertions(rows)
        and newest_insertions(rows, study_id, found["insertion_position"]) != newest_insertions(rows, study_id),
        edits=_edits_since(rows, study_id, {t for t in phases if t is not None}, found["journal_position"]),
    )


def _edits_since(rows: sqlite3.Connection, study_id: str, phases: set[int], position: int) -> tuple[EditSince, ...]:
    """Slices of some phases that are drawn otherwise now than they were; an edit that was undone is none."""
    found = rows.execute(
        "SELECT now.t, now.z, now.tool, now.reader, now.utc, now.mask AS mask, now.state AS state, "
        "before.mask AS mask_before, before.state AS state_before "
        "FROM journal AS now LEFT JOIN journal AS before ON before.row_id = "
        "(SELECT max(row_id) FROM journal WHERE study_id = now.study_id AND t = now.t AND z = now.z AND row_id <= ?) "
        "WHERE now.row_id IN (SELECT max(row_id) FROM journal WHERE study_id = ? AND row_id > ? GROUP BY t, z) "
        "ORDER BY now.row_id",
        (position, study_id, position),
    ).fetchall()
    return tuple(
        EditSince(row["t"], row["z"], row["tool"], row["reader"], row["utc"])
        for row in found
        if row["t"] in phases and (row["mask"] != row["mask_before"] or _was_taken_back(row))
    )


def _was_taken_back(row: sqlite3.Row) -> bool:
    """Whether nobody vouches any more for a slice that is drawn as it was."""
    return bool(row["state"] != row["state_before"] and row["state"] != LabelState.ACCEPTED)


def _has_tables(rows: sqlite3.Connection) -> bool:
    return bool(rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'approval'").fetchone())
