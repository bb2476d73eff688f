"""The steps that Undo takes back, in the project's tables: appended with what they did, and replayed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cinema_core.project.insertions import has_insertions


class StepAction(StrEnum):
    """What a step does: something new, or something older once more."""

    DO = "do"
    UNDO = "undo"
    REDO = "redo"


@dataclass(frozen=True)
class Step:
    """What one press of Undo takes back.

    Attributes
    ----------
    row_ids
        Rows of the journal that were written together, in their order; none if it changed no label.
    choice_id
        Row of the choice of ED and ES; None if it chose none.
    insertion_id
        Row of the insertion points of the RV; None if it set none.
    """

    row_ids: range
    choice_id: int | None
    insertion_id: int | None = None


def append_step(
    rows: sqlite3.Connection,
    study_id: str,
    action: StepAction,
    row_ids: Sequence[int],
    choice_id: int | None,
    insertion_id: int | None = None,
) -> None:
    """Keep what is one step: rows of the journal that follow each other, a choice of ED and ES, insertion points."""
    first, last = (row_ids[0], row_ids[-1]) if row_ids else (None, None)
    rows.execute(
        "INSERT INTO edit_step (study_id, action, first_row, last_row, choice_id, insertion_id) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (study_id, action.value, first, last, choice_id, insertion_id),
    )


def open_steps(rows: sqlite3.Connection, study_id: str) -> tuple[list[Step], list[Step]]:
    """Replay the steps of a study.

    Returns
    -------
    Those that can be taken back, and those that can be done again; the next one last.
    """
    done: list[Step] = []
    undone: list[Step] = []
    if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'edit_step'").fetchone():
        return done, undone  # a project of an older format that is only read
    insertion = "insertion_id" if has_insertions(rows) else "NULL"  # a project of format 8 that is only read
    found = rows.execute(
        f"SELECT action, first_row, last_row, choice_id, {insertion} FROM edit_step WHERE study_id = ? "
        "ORDER BY step_id",
        (study_id,),
    )
    for action, first, last, choice_id, insertion_id in found:
        if action == StepAction.UNDO:
            undone.append(done.pop())
            continue
        done.append(Step(range(0) if first is None else range(first, last + 1), choice_id, insertion_id))
        if action == StepAction.DO:
            undone.clear()
        else:
            undone.pop()  # the same edit, but Undo brings back what this time lay under it
    return done, undone
