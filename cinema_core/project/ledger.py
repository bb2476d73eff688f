"""The split ledger in the project's tables: the fold of each patient with labels, decided once."""

from __future__ import annotations

import sqlite3

from cinema_core.folds import N_FOLDS, next_fold


def read_ledger(rows: sqlite3.Connection) -> dict[str, int]:
    """Fold by patient, in the order in which they were decided."""
    if rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'split_fold'").fetchone():
        return {row["patient"]: row["fold"] for row in rows.execute("SELECT * FROM split_fold ORDER BY rowid")}
    # A project of an older format that is only read: the folds that folds.sql would give it.
    found = rows.execute("SELECT patient FROM split_ledger ORDER BY rowid").fetchall()
    return {row["patient"]: number % N_FOLDS for number, row in enumerate(found)}


def assign_fold(rows: sqlite3.Connection, patient: str, utc: str) -> int:
    """Return a patient's fold; a newcomer's is decided now, and appended."""
    ledger = read_ledger(rows)
    if patient not in ledger:
        ledger[patient] = next_fold(ledger)
        rows.execute("INSERT INTO split_fold VALUES (?, ?, ?)", (patient, ledger[patient], utc))
    return ledger[patient]
