"""Landmarks in the project's tables: append, and read the newest of each phase."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

import numpy as np

from cinema_core.errors import LabelError, PhaseError
from cinema_core.project.records import LandmarkSet, Source


def append_landmarks(
    rows: sqlite3.Connection, study: sqlite3.Row, found: Iterable[LandmarkSet], reader: str, utc: str
) -> None:
    """Append landmarks of some phases of a study.

    Raises
    ------
    PhaseError
        If a phase lies outside of the study.
    LabelError
        If points are missing or no numbers.
    """
    for one in found:
        points = np.asarray(one.points_yx, dtype=np.float64)
        if not 0 <= one.t < study["n_phases"]:
            raise PhaseError(f"Phase {one.t + 1} was given landmarks, but the study has {study['n_phases']} phases.")
        if points.shape != (3, 2) or not np.isfinite(points).all():
            raise LabelError(f"Phase {one.t + 1} has no three landmarks; they were not saved.")
        rows.execute(
            "INSERT INTO landmarks (study_id, t, points_yx, source, model_sha256, reader, utc) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                study["study_id"],
                one.t,
                json.dumps(points.round(4).tolist()),
                one.source.value,
                one.model_sha256,
                reader if one.source is Source.READER else "",
                utc,
            ),
        )


def newest_landmarks(rows: sqlite3.Connection, study_id: str, source: Source | None = None) -> dict[int, LandmarkSet]:
    """Newest landmarks of each phase, by phase; of one source if given."""
    if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'landmarks'").fetchone():
        return {}  # a project of format 1 that is only read
    found = rows.execute(
        "SELECT t, points_yx, source, model_sha256 FROM landmarks WHERE study_id = ? AND source IN (?, ?) "
        "ORDER BY landmarks_id",
        (study_id, *(source.value if source else each.value for each in Source)),
    ).fetchall()
    return {
        row["t"]: LandmarkSet(
            row["t"], np.array(json.loads(row["points_yx"])), Source(row["source"]), row["model_sha256"]
        )
        for row in found
    }
