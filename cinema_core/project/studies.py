"""The studies of a project in its tables: a cine each, found again by its content."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path, PurePath

from cinema_core.cine import View
from cinema_core.errors import ProjectError
from cinema_core.project.imports import view_now
from cinema_core.project.records import StudyRecord


def add_study(rows: sqlite3.Connection, study: StudyRecord, folder: Path) -> None:
    """Append a study; again with the same content, its new place is remembered.

    Parameters
    ----------
    folder
        The project's, to which the image's path is kept relative.

    Raises
    ------
    ProjectError
        If the project has another image, or the same under another shape, by that name.
    """
    relative_path = _relative(study.image_path, folder)
    known = rows.execute("SELECT * FROM study WHERE study_id = ?", (study.study_id,)).fetchone()
    if known is None:
        rows.execute(
            "INSERT INTO study VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                study.study_id,
                study.patient,
                study.content_sha256,
                relative_path,
                study.cine_id,
                study.view.value,
                *study.shape,
                study.added_utc,
            ),
        )
        return
    check_same_image(known, study.content_sha256)
    if relative_path != known["relative_path"]:
        rows.execute("UPDATE study SET relative_path = ? WHERE study_id = ?", (relative_path, study.study_id))


def read_studies(rows: sqlite3.Connection, folder: Path) -> list[StudyRecord]:
    """All studies, in the order in which they were added."""
    return [study_record(row, folder) for row in rows.execute("SELECT * FROM study ORDER BY rowid")]


def read_short_axis_studies(rows: sqlite3.Connection, folder: Path) -> list[StudyRecord]:
    """Those of them whose cine is taken as a short axis, by the importer or by a reader who knew better."""
    found = rows.execute("SELECT * FROM study ORDER BY rowid").fetchall()
    return [study_record(row, folder) for row in found if view_now(rows, row) is View.SAX]


def study_row(rows: sqlite3.Connection, study_id: str) -> sqlite3.Row:
    """Row of one study.

    Raises
    ------
    ProjectError
        If the project does not have it.
    """
    row: sqlite3.Row | None = rows.execute("SELECT * FROM study WHERE study_id = ?", (study_id,)).fetchone()
    if row is None:
        raise ProjectError(f"{study_id} is not in the project. Open the study first.")
    return row


def study_record(row: sqlite3.Row, folder: Path) -> StudyRecord:
    """Make a row's value; its image lies relative to the project's folder."""
    # An absolute path replaces the folder when joined to it.
    image_path = Path(os.path.normpath(folder.resolve() / row["relative_path"]))
    return StudyRecord(
        study_id=row["study_id"],
        patient=row["patient"],
        content_sha256=row["content_sha256"],
        image_path=image_path,
        cine_id=row["cine_id"],
        shape=(row["n_phases"], row["n_slices"], row["n_rows"], row["n_columns"]),
        view=View(row["view"]),
        added_utc=row["added_utc"],
    )


def check_same_image(study: sqlite3.Row, content_sha256: str) -> None:
    """Return if an image is the one that the labels of a study were drawn on.

    Raises
    ------
    ProjectError
        If it is another.
    """
    if content_sha256 != study["content_sha256"]:
        raise ProjectError(
            f"This is not the image that the labels of {study['study_id']} were drawn on: its content is "
            f"{content_sha256[:8]}, that one's {study['content_sha256'][:8]}. Choose the original."
        )


def patient_of(rows: sqlite3.Connection, study_or_patient: str) -> str:
    """Patient of a study in the project; any other name is a patient's."""
    row = rows.execute("SELECT patient FROM study WHERE study_id = ?", (study_or_patient,)).fetchone()
    return study_or_patient if row is None else str(row["patient"])


def _relative(image: Path, folder: Path) -> str:
    """Path from the project's folder, with forward slashes; absolute where there is no way (another drive)."""
    absolute = image.resolve()
    try:
        return PurePath(os.path.relpath(absolute, folder.resolve())).as_posix()
    except ValueError:
        return absolute.as_posix()
