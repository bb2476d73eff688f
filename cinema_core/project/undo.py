"""Undo and Redo in the project's tables: what held before is appended once more, nothing is removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import numpy as np

from cinema_core.anatomy import LabelState
from cinema_core.project.insertions import append_insertions, insertion_edit, insertion_edit_before
from cinema_core.project.journal import append_slice, drawn_by_model_since, label_of_row, newest_label
from cinema_core.project.phases import append_phases, phases_before, phases_of_row
from cinema_core.project.records import InsertionEdit, PhaseChoice, Restored, SliceEdit, SliceLabel
from cinema_core.project.steps import StepAction, append_step, open_steps

UNDO_TOOL: Final = "undo"
REDO_TOOL: Final = "redo"


def do_step(
    rows: sqlite3.Connection,
    study_id: str,
    edits: Sequence[SliceEdit],
    choice: PhaseChoice | None,
    insertions: InsertionEdit | None,
    *,
    reader: str,
    utc: str,
    action: StepAction = StepAction.DO,
) -> Restored:
    """Append slices, and a choice of ED and ES and insertion points if there are any, as one step.

    Returns
    -------
    What was written.
    """
    row_ids = [append_slice(rows, edit, reader, utc) for edit in edits]
    choice_id = None if choice is None else append_phases(rows, study_id, choice, reader, utc)
    insertion_id = None if insertions is None else append_insertions(rows, study_id, insertions, reader, utc)
    append_step(rows, study_id, action, row_ids, choice_id, insertion_id)
    return Restored(tuple(label_of_row(rows, row_id) for row_id in row_ids), choice, insertions)


def undo_step(
    rows: sqlite3.Connection, study_id: str, proposal: PhaseChoice | None, *, reader: str, utc: str
) -> Restored | None:
    """Take back the last step of a study; None if there is none.

    Parameters
    ----------
    proposal
        ED and ES that hold where the reader's first choice of them is taken back.
    """
    done, _ = open_steps(rows, study_id)
    if not done:
        return None
    step = done[-1]
    written = reversed([label_of_row(rows, row_id) for row_id in step.row_ids])
    edits = [_edit_before(rows, label) for label in written]
    choice = None if step.choice_id is None else phases_before(rows, step.choice_id, proposal)
    insertions = None if step.insertion_id is None else insertion_edit_before(rows, step.insertion_id)
    return do_step(rows, study_id, edits, choice, insertions, reader=reader, utc=utc, action=StepAction.UNDO)


def redo_step(rows: sqlite3.Connection, study_id: str, *, reader: str, utc: str) -> Restored | None:
    """Do again what was taken back last; None if there is none."""
    _, undone = open_steps(rows, study_id)
    if not undone:
        return None
    step = undone[-1]
    edits = [_edit_like(label_of_row(rows, row_id), REDO_TOOL) for row_id in step.row_ids]
    choice = None if step.choice_id is None else phases_of_row(rows, step.choice_id)
    insertions = None if step.insertion_id is None else insertion_edit(rows, step.insertion_id)
    return do_step(rows, study_id, edits, choice, insertions, reader=reader, utc=utc, action=StepAction.REDO)


def _edit_before(rows: sqlite3.Connection, label: SliceLabel) -> SliceEdit:
    """Make the edit that brings back what a row replaced, or keeps what a model drew over the row since."""
    if drawn_by_model_since(rows, label):
        return _edit_like(newest_label(rows, label.study_id, label.t, label.z), UNDO_TOOL)
    if label.parent_id is None:
        nothing = np.zeros_like(label.mask)
        return SliceEdit(label.study_id, label.t, label.z, nothing, LabelState.ABSENT, UNDO_TOOL)
    return _edit_like(label_of_row(rows, label.parent_id), UNDO_TOOL)


def _edit_like(label: SliceLabel, tool: str) -> SliceEdit:
    return SliceEdit(label.study_id, label.t, label.z, label.mask, label.state, tool, model_sha256=label.model_sha256)
