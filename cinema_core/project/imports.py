"""What readers decided against the importer, in the project's tables: appended, and read for the next opening."""

from __future__ import annotations

import sqlite3

from pydantic import ValidationError

from cinema_core.errors import ProjectError
from cinema_core.io.study import ImportChoices
from cinema_core.view import View


def append_import_choices(rows: sqlite3.Connection, study: str, choices: ImportChoices, reader: str, utc: str) -> None:
    """Append what a reader decided when a study was imported."""
    rows.execute(
        "INSERT INTO import_choices (study, choices, reader, utc) VALUES (?, ?, ?, ?)",
        (study, choices.model_dump_json(), reader, utc),
    )


def newest_import_choices(rows: sqlite3.Connection, study: str) -> ImportChoices:
    """Return what was decided last; nothing if nobody did.

    Raises
    ------
    ProjectError
        If what is kept cannot be understood.
    """
    if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'import_choices'").fetchone():
        return ImportChoices()  # a project of an older format that is only read
    found = rows.execute(
        "SELECT choices FROM import_choices WHERE study = ? ORDER BY choice_id DESC LIMIT 1", (study,)
    ).fetchone()
    try:
        return ImportChoices.model_validate_json(found["choices"]) if found else ImportChoices()
    except ValidationError as error:
        raise ProjectError(
            f"What was chosen when {study} was imported cannot be understood. Update napari-cinema, or put a copy "
            "of the project from your backup in its place."
        ) from error


def view_now(rows: sqlite3.Connection, study: sqlite3.Row) -> View:
    """View of a study's cine: as a reader chose it last, else as it was when the study was first opened.

    Parameters
    ----------
    study
        Row with ``study_id``, ``cine_id`` and ``view``, which is never written again.
    """
    # Choices are kept under the study's pseudonym; labels of its second cine, under that with the cine's name behind.
    examination = str(study["study_id"]).partition(".")[0]
    try:
        chosen = newest_import_choices(rows, examination).views.get(study["cine_id"])
    except ProjectError:
        chosen = None  # told when the study is opened, without which nothing can be learned from it
    return View(study["view"]) if chosen is None else chosen
