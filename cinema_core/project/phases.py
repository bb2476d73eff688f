"""Choices of ED and ES in the project's tables: appended, and read with those before them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Final

from cinema_core.errors import PhaseError
from cinema_core.project.records import PhaseChoice, Source
from cinema_core.project.studies import study_row

_COLUMNS: Final = "ed_phase, es_phase, rv_ed_phase, rv_es_phase, source, reader, utc"


def append_phases(rows: sqlite3.Connection, study_id: str, choice: PhaseChoice, reader: str, utc: str) -> int:
    """Append a choice of ED and ES; returns its row number.

    Raises
    ------
    PhaseError
        If a phase lies outside the study.
    """
    source = Source(choice.source)
    n_phases = study_row(rows, study_id)["n_phases"]
    for phase in choice.all_phases:
        if phase is not None and not 0 <= phase < n_phases:
            raise PhaseError(f"Phase {phase + 1} was chosen, but the study has {n_phases}. Choose ED and ES again.")
    cursor = rows.execute(
        f"INSERT INTO phase_choice (study_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            study_id,
            *(None if phase is None else int(phase) for phase in choice.all_phases),
            source.value,
            reader if source is Source.READER else "",
            utc,
        ),
    )
    assert cursor.lastrowid is not None  # an INSERT that did not raise has a row
    return cursor.lastrowid


def phases_history(rows: sqlite3.Connection, study_id: str) -> list[PhaseChoice]:
    """Every choice of ED and ES of a study, oldest first."""
    found = rows.execute(f"SELECT {_COLUMNS} FROM phase_choice WHERE study_id = ? ORDER BY choice_id", (study_id,))
    return [_phase_choice(row) for row in found]


def phases_of_row(rows: sqlite3.Connection, choice_id: int) -> PhaseChoice:
    """Choice that a row holds."""
    found = rows.execute(f"SELECT {_COLUMNS} FROM phase_choice WHERE choice_id = ?", (choice_id,))
    return _phase_choice(found.fetchone())


def phases_before(rows: sqlite3.Connection, choice_id: int, proposal: PhaseChoice | None) -> PhaseChoice:
    """Return what a choice of ED and ES replaced: an older one, else the proposal."""
    before = rows.execute(
        f"SELECT {_COLUMNS} FROM phase_choice WHERE choice_id < ? AND study_id = "
        "(SELECT study_id FROM phase_choice WHERE choice_id = ?) ORDER BY choice_id DESC LIMIT 1",
        (choice_id, choice_id),
    ).fetchone()
    if before is not None:
        return _phase_choice(before)
    return replace(proposal or phases_of_row(rows, choice_id), source=Source.MODEL)


def _phase_choice(row: sqlite3.Row) -> PhaseChoice:
    return PhaseChoice(**{**dict(row), "source": Source(row["source"])})
