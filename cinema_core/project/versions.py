"""Model versions in the project's tables: kept, named, chosen, taken away, and what rests on each."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from cinema_core.anatomy import LabelState
from cinema_core.errors import ProjectError
from cinema_core.project.documents import json_text
from cinema_core.project.records import VersionRecord
from cinema_core.project.studies import study_row

LONGEST_TITLE: Final = 60
DEFAULT_MODEL: Final = "bundled"
PROJECT_SCOPE: Final = "project"

_DOCUMENTS: Final = ("recipe", "before", "after")


def append_version(rows: sqlite3.Connection, version: VersionRecord, utc: str) -> None:
    """Append a model that the reader kept.

    Raises
    ------
    ProjectError
        If there is, or was, a version of that name.
    """
    if rows.execute("SELECT 1 FROM model_version WHERE name = ?", (version.name,)).fetchone():
        raise ProjectError(f"The project has a model {version.name} already. Choose another name.")
    rows.execute(
        "INSERT INTO model_version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            version.name,
            version.model_sha256,
            version.base_name,
            version.base_sha256,
            version.label_set_sha256,
            version.journal_position,
            version.seed,
            *(json_text(getattr(version, name)) for name in _DOCUMENTS),
            utc,
        ),
    )


def read_versions(rows: sqlite3.Connection) -> list[VersionRecord]:
    """All versions, removed ones too, oldest first, with their newest titles."""
    titles, removed = dict[str, str](), set[str]()
    if _has_table(rows, "version_title"):  # else a project of an older format that is only read
        titles = dict(map(tuple, rows.execute("SELECT name, title FROM version_title ORDER BY title_id")))
        removed = {row["name"] for row in rows.execute("SELECT name FROM version_removed")}
    found = []
    for row in rows.execute("SELECT * FROM model_version ORDER BY rowid"):
        values: dict[str, Any] = {**dict(row), **{name: json.loads(row[name]) for name in _DOCUMENTS}}
        name = values["name"]
        found.append(VersionRecord(**values, title=titles.get(name, ""), removed=name in removed))
    return found


def append_title(rows: sqlite3.Connection, name: str, title: str, utc: str) -> None:
    """Append what a version is called.

    Raises
    ------
    ProjectError
        If there is no such version, or the title is too long.
    """
    _version_row(rows, name)
    if len(title) > LONGEST_TITLE:
        raise ProjectError(
            f"The name has {len(title)} characters; up to {LONGEST_TITLE} are kept. Choose a shorter one."
        )
    rows.execute("INSERT INTO version_title (name, title, utc) VALUES (?, ?, ?)", (name, title, utc))


def append_removal(rows: sqlite3.Connection, name: str, utc: str) -> None:
    """Append that the weights of a version are given up.

    Raises
    ------
    ProjectError
        If something rests on it; see :func:`what_rests_on`.
    """
    if rows.execute("SELECT 1 FROM version_removed WHERE name = ?", (name,)).fetchone():
        raise ProjectError(f"The version {name} was removed before.")
    if why := what_rests_on(rows, name):
        raise ProjectError(why)
    rows.execute("INSERT INTO version_removed (name, utc) VALUES (?, ?)", (name, utc))


def what_rests_on(rows: sqlite3.Connection, name: str) -> str:
    """Tell why a version may not be removed, as a sentence; empty if it may.

    A version must stay while it is in use, while labels that count now were drawn by it, and once a report was exported
    that may cite it: any export after it first drew something.
    """
    return _what_rests_on(rows, name, _version_row(rows, name)["model_sha256"])


def what_rests_on_imported(rows: sqlite3.Connection, name: str, sha256: str) -> str:
    """Tell why an imported model may not be removed, as a sentence; empty if it may.

    Beside what holds for a version: versions that were made from it could not be made again without it.
    """
    for version in read_versions(rows):
        if version.base_name == name and not version.removed:
            return f"The version {version.name} was made from {name}, so it stays."
    return _what_rests_on(rows, name, sha256)


def _what_rests_on(rows: sqlite3.Connection, name: str, sha256: str) -> str:
    in_use = rows.execute(
        "SELECT 1 FROM model_choice WHERE name = ? AND choice_id IN "
        "(SELECT max(choice_id) FROM model_choice GROUP BY scope)",
        (name,),
    ).fetchone()
    if in_use:
        return f"The version {name} is in use. Choose another model first."
    n_labels = rows.execute(
        "SELECT count(*) FROM journal WHERE model_sha256 = ? AND row_id IN "
        "(SELECT max(row_id) FROM journal GROUP BY study_id, t, z)",
        (sha256,),
    ).fetchone()[0]
    if n_labels:
        return f"{n_labels} slices of this project were drawn by {name} or corrected from it, so it stays."
    first = rows.execute("SELECT min(row_id) FROM journal WHERE model_sha256 = ?", (sha256,)).fetchone()[0]
    if first is not None:
        exported = rows.execute(
            "SELECT 1 FROM event WHERE kind = 'exported' AND journal_position >= ?", (first,)
        ).fetchone()
        if exported:
            return f"A report was exported while {name} had drawn labels and may cite it, so it stays."
    return ""


def studies_of_version(rows: sqlite3.Connection, name: str) -> tuple[str, ...]:
    """Return the studies that a version learned from.

    Older records do not name them: then those with slices that readers had vouched for when its labels were taken.
    """
    version = _version_row(rows, name)
    recorded = json.loads(version["recipe"]).get("studies")
    if recorded is not None:
        return tuple(recorded)
    found = rows.execute(
        "SELECT DISTINCT study_id FROM journal WHERE row_id IN "
        "(SELECT max(row_id) FROM journal WHERE row_id <= ? GROUP BY study_id, t, z) AND state IN (?, ?)",
        (version["journal_position"], LabelState.CORRECTED, LabelState.ACCEPTED),
    )
    return tuple(sorted(row["study_id"] for row in found))


def choose_model(rows: sqlite3.Connection, name: str, scope: str, utc: str) -> None:
    """Append which model is in use, for the whole project or for one study.

    Raises
    ------
    ProjectError
        If the scope is a study that the project does not have.
    """
    if scope != PROJECT_SCOPE:
        study_row(rows, scope)
    rows.execute("INSERT INTO model_choice (scope, name, utc) VALUES (?, ?, ?)", (scope, name, utc))


def chosen_model(rows: sqlite3.Connection, study_id: str | None) -> str:
    """Name of the model in use: the study's own, else the project's, else ``bundled``."""
    for scope in (study_id, PROJECT_SCOPE):
        found = rows.execute(
            "SELECT name FROM model_choice WHERE scope = ? ORDER BY choice_id DESC LIMIT 1", (scope,)
        ).fetchone()
        if found is not None:
            return str(found["name"])
    return DEFAULT_MODEL


def _version_row(rows: sqlite3.Connection, name: str) -> sqlite3.Row:
    found: sqlite3.Row | None = rows.execute("SELECT * FROM model_version WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise ProjectError(f"The project has no model version {name}. cinema models list --project shows them.")
    return found


def _has_table(rows: sqlite3.Connection, name: str) -> bool:
    return bool(rows.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone())
