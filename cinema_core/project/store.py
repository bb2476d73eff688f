"""The annotation journal: what was drawn, by whom, in which order; never overwritten.

The only file that knows the tables of ``schema.sql``: rows become the values of
:mod:`cinema_core.project.records` before they leave it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cinema_core import __version__
from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.errors import PhaseError, ProjectError, StorageError
from cinema_core.io.study import ImportChoices
from cinema_core.measure.choices import ReportChoices
from cinema_core.measure.segments import Insertions
from cinema_core.project.approvals import append_approval, append_choices, newest_approval, newest_choices
from cinema_core.project.database import Database
from cinema_core.project.effort import Effort, read_effort
from cinema_core.project.insertions import (
    append_insertions,
    insertion_edit,
    insertion_edit_before,
    newest_insertions,
)
from cinema_core.project.landmarks import append_landmarks, newest_landmarks
from cinema_core.project.ledger import assign_fold, read_ledger
from cinema_core.project.masks import checked_mask, pack, unpack
from cinema_core.project.records import (
    ApprovalRecord,
    Event,
    InsertionEdit,
    LandmarkSet,
    PhaseChoice,
    Restored,
    SliceEdit,
    SliceLabel,
    Source,
    StudyRecord,
    VersionRecord,
)
from cinema_core.project.steps import StepAction, append_step, open_steps
from cinema_core.project.trials import TRIALS, clear_trials, move_into_place, refuse_missing, settle_trials
from cinema_core.project.uncertainty import append_uncertainty, newest_uncertainty
from cinema_core.project.versions import (
    append_removal,
    append_title,
    append_version,
    read_versions,
    what_rests_on,
)

DATABASE_NAME: Final = "project.sqlite"
DEFAULT_MODEL: Final = "bundled"
PROJECT_SCOPE: Final = "project"
MODEL_TOOL: Final = "model"
UNDO_TOOL: Final = "undo"
REDO_TOOL: Final = "redo"

_SLICE_COLUMNS: Final = (
    "row_id, parent_id, study_id, t, z, state, tool, reader, model_sha256, utc, n_rows, n_columns, mask"
)
_PHASE_COLUMNS: Final = "ed_phase, es_phase, rv_ed_phase, rv_es_phase, source, reader, utc"


class Project:
    """A folder ``NAME.cinema`` with the journal of all labels, and the models made from them.

    Open it with :meth:`open`, close it with :meth:`close` or ``with``. One process edits; who comes
    second may look (:attr:`read_only`). A call that records returns when the row is on the disk, so
    a kill at any moment loses nothing that was acknowledged. It takes milliseconds and may be made
    from the window's own thread; calls from other threads are safe and wait for each other.

    Attributes
    ----------
    folder
        The project's folder.
    reader
        Name that goes beside every edit from now on; empty if the reader gave none.
    """

    def __init__(self, folder: Path, database: Database, reader: str = "") -> None:
        self.folder = folder
        self.reader = reader
        self._database = database

    @classmethod
    def open(cls, folder: Path | str, *, create: bool = False, reader: str = "") -> Self:
        """Open a project, or make a new one.

        Parameters
        ----------
        folder
            The project's folder, ``NAME.cinema``.
        create
            Make the project if there is none; an existing one is opened as it is.
        reader
            Name that goes beside every edit; empty if the reader gave none.

        Raises
        ------
        ProjectError
            If there is no project, it is damaged, or a newer program wrote it.
        StorageError
            If the folder cannot be made or read.
        """
        folder = Path(folder)
        path = folder / DATABASE_NAME
        is_new = not path.exists()
        if is_new and create:
            _make_folder(folder)
        elif not path.is_file():
            raise ProjectError(
                f"There is no project in {folder}: {DATABASE_NAME} is missing. Choose a folder NAME.cinema."
            )
        project = cls(folder, Database.open(path, create=create), reader)
        if is_new:
            try:
                project.log_event("created", {"software_version": __version__})
            except BaseException:
                project.close()
                raise
        elif not project.read_only:
            settle_trials(project.models_folder, project.versions())
        return project

    def close(self) -> None:
        """Let other windows edit; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def models_folder(self) -> Path:
        """Where the project's model versions lie, one folder each."""
        return self.folder / "models"

    @property
    def trials_folder(self) -> Path:
        """Where new models lie, one folder each, until the reader keeps or discards them; no list shows those."""
        return self.models_folder / TRIALS

    @property
    def read_only(self) -> bool:
        """Whether edits are refused: another process edits, or the folder may not be written."""
        return self._database.read_only

    @property
    def read_only_reason(self) -> str:
        """Why edits are refused, for the reader; empty if they are not."""
        reason = self._database.read_only_reason
        return f"Read only: {reason}. What you draw now is not kept." if reason else ""

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """See one state of the journal through several calls, whatever another process writes meanwhile."""
        with self._database.reading():
            yield

    # Studies

    def add_study(
        self,
        study_id: str,
        content_sha256: str,
        image_path: Path | str,
        cine_id: str,
        shape: tuple[int, int, int, int],
        view: View | str,
        *,
        patient: str = "",
    ) -> None:
        """Refer to a cine; again with the same content, its new place is remembered.

        Parameters
        ----------
        study_id, patient
            Pseudonyms; without a patient the study stands for one.
        content_sha256
            Hash of the cine's content.
        image_path
            File or folder that it was loaded from; kept relative to the project's folder.
        shape
            Size (t, z, y, x).

        Raises
        ------
        ProjectError
            If the project has another image, or the same under another shape, by that name.
        """
        relative_path = _relative(Path(image_path), self.folder)
        with self._database.writing() as rows:
            known = rows.execute("SELECT * FROM study WHERE study_id = ?", (study_id,)).fetchone()
            if known is None:
                values = (study_id, patient or study_id, content_sha256, relative_path, cine_id, View(view).value)
                size = tuple(int(n) for n in shape)
                rows.execute(f"INSERT INTO study VALUES ({_marks(11)})", (*values, *size, _utc_now()))
                return
            _check_same_image(known, content_sha256)
            if relative_path != known["relative_path"]:
                rows.execute("UPDATE study SET relative_path = ? WHERE study_id = ?", (relative_path, study_id))

    def studies(self) -> list[StudyRecord]:
        """All studies, in the order in which they were added."""
        with self._database.reading() as rows:
            found = rows.execute("SELECT * FROM study ORDER BY rowid").fetchall()
        return [_study_record(row, self.folder) for row in found]

    def study(self, study_id: str) -> StudyRecord:
        """One study.

        Raises
        ------
        ProjectError
            If the project does not have it.
        """
        with self._database.reading() as rows:
            return _study_record(_study_row(rows, study_id), self.folder)

    def verify_image(self, study_id: str, content_sha256: str) -> None:
        """Return if an image that was found under some path is the one that the labels were drawn on.

        Raises
        ------
        ProjectError
            If it is another image, or the study is not in the project.
        """
        with self._database.reading() as rows:
            _check_same_image(_study_row(rows, study_id), content_sha256)

    # The journal

    def record(self, entry: SliceEdit) -> int:
        """Append one slice; returns its row number. See :meth:`record_many`."""
        return self.record_many([entry])[0]

    def record_many(self, entries: Iterable[SliceEdit]) -> list[int]:
        """Append slices in one transaction, all or none; on the disk when this returns.

        The first corrected or accepted slice of a patient also decides its fold.

        Parameters
        ----------
        entries
            New labels in the order in which they were made; a slice may come more than once.

        Returns
        -------
        list of int
            Row numbers, rising.

        Raises
        ------
        LabelError
            If a mask does not fit its study, or has other values than 0 to 3 and 255.
        ProjectError
            If a study is not in the project, or the project is read-only.
        StorageError
            If the disk is full or gone; nothing of this call is kept, everything before it is.
        """
        with self._database.writing() as rows:
            return [self._append(rows, entry) for entry in entries]

    def record_step(
        self,
        study_id: str,
        edits: Sequence[SliceEdit],
        choice: PhaseChoice | None = None,
        insertions: InsertionEdit | None = None,
    ) -> None:
        """Append slices as :meth:`record_many`, a choice of ED and ES, and insertion points of the RV on one slice.

        :meth:`undo` takes it all back at once.

        Raises
        ------
        ValueError
            If there is nothing to append, or a slice is of another study.
        LabelError
            Also if insertion points lie outside of the image.
        """
        if not edits and choice is None and insertions is None:
            raise ValueError("A step holds at least one slice, a choice of ED and ES, or insertion points.")
        if any(edit.study_id != study_id for edit in edits):
            raise ValueError("A step holds slices of one study.")
        with self._database.writing() as rows:
            self._append_step(rows, study_id, StepAction.DO, edits, choice, insertions)

    def _append_step(
        self,
        rows: sqlite3.Connection,
        study_id: str,
        action: StepAction,
        edits: Sequence[SliceEdit],
        choice: PhaseChoice | None,
        insertions: InsertionEdit | None,
    ) -> Restored:
        row_ids = [self._append(rows, edit) for edit in edits]
        choice_id = None if choice is None else self._append_choice(rows, study_id, choice)
        study = _study_row(rows, study_id)
        insertion_id = (
            None if insertions is None else append_insertions(rows, study, insertions, self.reader, _utc_now())
        )
        append_step(rows, study_id, action, row_ids, choice_id, insertion_id)
        return Restored(tuple(self._label(rows, row_id) for row_id in row_ids), choice, insertions)

    def open_steps(self, study_id: str) -> tuple[int, int]:
        """How many steps of a study can be taken back, and how many can be done again."""
        with self._database.reading() as rows:
            done, undone = open_steps(rows, study_id)
        return len(done), len(undone)

    def undo(self, study_id: str, proposal: PhaseChoice | None = None) -> Restored | None:
        """Take back the last step of a study, all that it changed; None if there is none.

        What held before is appended once more; nothing is removed. A slice that a model drew again since then stays
        as it is: what the step wrote there is gone already.

        Parameters
        ----------
        proposal
            ED and ES that hold where the reader's first choice of them is taken back.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        with self._database.writing() as rows:
            done, _ = open_steps(rows, study_id)
            if not done:
                return None
            step = done[-1]
            written = reversed([self._label(rows, row_id) for row_id in step.row_ids])
            edits = [self._edit_before(rows, label) for label in written]
            choice = None if step.choice_id is None else _choice_before(rows, step.choice_id, proposal)
            insertions = None if step.insertion_id is None else insertion_edit_before(rows, step.insertion_id)
            return self._append_step(rows, study_id, StepAction.UNDO, edits, choice, insertions)

    def redo(self, study_id: str) -> Restored | None:
        """Do again what :meth:`undo` took back last; None if there is none.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        with self._database.writing() as rows:
            _, undone = open_steps(rows, study_id)
            if not undone:
                return None
            step = undone[-1]
            edits = [_edit_like(self._label(rows, row_id), REDO_TOOL) for row_id in step.row_ids]
            choice = None if step.choice_id is None else _choice(rows, step.choice_id)
            insertions = None if step.insertion_id is None else insertion_edit(rows, step.insertion_id)
            return self._append_step(rows, study_id, StepAction.REDO, edits, choice, insertions)

    def _newest(self, rows: sqlite3.Connection, label: SliceLabel) -> SliceLabel:
        where = (label.study_id, label.t, label.z)
        found = rows.execute("SELECT max(row_id) FROM journal WHERE study_id = ? AND t = ? AND z = ?", where)
        return self._label(rows, found.fetchone()[0])

    def _label(self, rows: sqlite3.Connection, row_id: int) -> SliceLabel:
        return self._slice_label(
            rows.execute(f"SELECT {_SLICE_COLUMNS} FROM journal WHERE row_id = ?", (row_id,)).fetchone()
        )

    def _edit_before(self, rows: sqlite3.Connection, label: SliceLabel) -> SliceEdit:
        """Make the edit that brings back what a row replaced, or keeps what a model drew over the row since."""
        drawn_since = rows.execute(
            "SELECT 1 FROM journal WHERE study_id = ? AND t = ? AND z = ? AND row_id > ? AND tool = ?",
            (label.study_id, label.t, label.z, label.row_id, MODEL_TOOL),
        ).fetchone()
        if drawn_since:
            return _edit_like(self._newest(rows, label), UNDO_TOOL)
        if label.parent_id is None:
            nothing = np.zeros_like(label.mask)
            return SliceEdit(label.study_id, label.t, label.z, nothing, LabelState.ABSENT, UNDO_TOOL)
        return _edit_like(self._label(rows, label.parent_id), UNDO_TOOL)

    def slices(self, study_id: str, *, at: int | None = None) -> dict[tuple[int, int], SliceLabel]:
        """Newest label of each slice of a study that has one, by (t, z).

        Parameters
        ----------
        at
            Journal position to look back to: the labels that a report of that position was made from.
        """
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT {_SLICE_COLUMNS} FROM journal WHERE row_id IN "
                "(SELECT max(row_id) FROM journal WHERE study_id = ? AND row_id <= ? GROUP BY t, z) ORDER BY t, z",
                (study_id, _LAST_ROW if at is None else at),
            ).fetchall()
        return {(row["t"], row["z"]): self._slice_label(row) for row in found}

    def states(self, study_id: str) -> dict[tuple[int, int], LabelState]:
        """State of each slice of a study that has a label, by (t, z); much cheaper than :meth:`slices`."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT t, z, state FROM journal WHERE row_id IN "
                "(SELECT max(row_id) FROM journal WHERE study_id = ? GROUP BY t, z) ORDER BY t, z",
                (study_id,),
            ).fetchall()
        return {(row["t"], row["z"]): LabelState(row["state"]) for row in found}

    def labelled_besides(self, study_id: str) -> tuple[int, int]:
        """Count what readers vouched for in all other studies: slices, and patients that they are of."""
        with self._database.reading() as rows:
            n_slices, n_patients = rows.execute(
                "SELECT count(*), count(DISTINCT patient) FROM journal JOIN study USING (study_id) WHERE row_id IN "
                "(SELECT max(row_id) FROM journal WHERE study_id <> ? GROUP BY study_id, t, z) AND state IN (?, ?)",
                (study_id, LabelState.CORRECTED, LabelState.ACCEPTED),
            ).fetchone()
        return n_slices, n_patients

    def history(self, study_id: str, t: int, z: int) -> list[SliceLabel]:
        """Every label that a slice has had, oldest first."""
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT {_SLICE_COLUMNS} FROM journal WHERE study_id = ? AND t = ? AND z = ? ORDER BY row_id",
                (study_id, t, z),
            ).fetchall()
        return [self._slice_label(row) for row in found]

    def uncertainty(self, study_id: str) -> NDArray[np.float32] | None:
        """How unsure the model was when it drew each slice last, shape (t, z), 0 to 1.

        NaN where that was not kept; None if it was kept of no slice, or the project does not have the study.
        """
        with self._database.reading() as rows:
            return newest_uncertainty(rows, study_id)

    def effort(self, study_id: str, pixel_spacing_mm: tuple[float, float]) -> Effort:
        """Return what the labels of a study cost their readers; see :class:`Effort`.

        Parameters
        ----------
        pixel_spacing_mm
            Along y and x, of the cine.
        """
        with self._database.reading() as rows:
            return read_effort(rows, study_id, pixel_spacing_mm)

    def journal_position(self) -> int:
        """Return the number of the newest row, 0 if there is none; with it a report names what it was made from."""
        with self._database.reading() as rows:
            return _journal_position(rows)

    def _append(self, rows: sqlite3.Connection, entry: SliceEdit) -> int:
        study = _study_row(rows, entry.study_id)
        mask = checked_mask(entry, (study["n_phases"], study["n_slices"], study["n_rows"], study["n_columns"]))
        state = LabelState(entry.state)
        if state.is_teaching:
            assign_fold(rows, study["patient"], _utc_now())
        parent = rows.execute(
            "SELECT max(row_id) FROM journal WHERE study_id = ? AND t = ? AND z = ?",
            (entry.study_id, int(entry.t), int(entry.z)),
        ).fetchone()[0]
        # A prediction is nobody's reading, whoever pressed the button.
        reader = "" if entry.tool == MODEL_TOOL else self.reader
        cursor = rows.execute(
            f"INSERT INTO journal (parent_id, study_id, t, z, state, tool, reader, model_sha256, utc, "
            f"n_rows, n_columns, mask) VALUES ({_marks(12)})",
            (
                parent,
                entry.study_id,
                int(entry.t),
                int(entry.z),
                state.value,
                entry.tool,
                reader,
                entry.model_sha256,
                _utc_now(),
                *mask.shape,
                pack(mask),
            ),
        )
        assert cursor.lastrowid is not None  # an INSERT that did not raise has a row
        if entry.uncertainty is not None:
            append_uncertainty(rows, cursor.lastrowid, entry.uncertainty)
        return cursor.lastrowid

    def _slice_label(self, row: sqlite3.Row) -> SliceLabel:
        try:
            mask = unpack(row["mask"], (row["n_rows"], row["n_columns"]))
        except ValueError as error:
            raise ProjectError(
                f"Row {row['row_id']} of {DATABASE_NAME} in {self.folder} is damaged. "
                "Put a copy from your backup in its place."
            ) from error
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

    # ED and ES

    def set_phases(self, study_id: str, choice: PhaseChoice) -> None:
        """Append a choice of ED and ES; earlier ones stay in :meth:`phases_history`. It is no step for :meth:`undo`.

        Raises
        ------
        PhaseError
            If a phase lies outside the study.
        """
        with self._database.writing() as rows:
            self._append_choice(rows, study_id, choice)

    def _append_choice(self, rows: sqlite3.Connection, study_id: str, choice: PhaseChoice) -> int:
        phases = (choice.ed_phase, choice.es_phase, choice.rv_ed_phase, choice.rv_es_phase)
        source = Source(choice.source)
        n_phases = _study_row(rows, study_id)["n_phases"]
        for phase in phases:
            if phase is not None and not 0 <= phase < n_phases:
                raise PhaseError(f"Phase {phase + 1} was chosen, but the study has {n_phases}. Choose ED and ES again.")
        cursor = rows.execute(
            f"INSERT INTO phase_choice (study_id, {_PHASE_COLUMNS}) VALUES ({_marks(8)})",
            (
                study_id,
                *(None if phase is None else int(phase) for phase in phases),
                source.value,
                self.reader if source is Source.READER else "",
                _utc_now(),
            ),
        )
        assert cursor.lastrowid is not None  # an INSERT that did not raise has a row
        return cursor.lastrowid

    def phases(self, study_id: str) -> PhaseChoice | None:
        """Newest choice of ED and ES; None if there is none."""
        history = self.phases_history(study_id)
        return history[-1] if history else None

    def phases_history(self, study_id: str) -> list[PhaseChoice]:
        """Every choice of ED and ES, oldest first."""
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT {_PHASE_COLUMNS} FROM phase_choice WHERE study_id = ? ORDER BY choice_id", (study_id,)
            ).fetchall()
        return [_phase_choice(row) for row in found]

    def insertions(self, study_id: str) -> dict[int, Insertions]:
        """Where the RV meets the LV at end-diastole, by slice; of those slices alone where a reader set it."""
        with self._database.reading() as rows:
            return newest_insertions(rows, study_id)

    # The report

    def set_report_choices(self, study_id: str, choices: ReportChoices) -> None:
        """Append what the reader entered and chose for the report of a study."""
        with self._database.writing() as rows:
            _study_row(rows, study_id)
            append_choices(rows, study_id, choices, self.reader, _utc_now())

    def report_choices(self, study_id: str) -> ReportChoices:
        """Return what was entered and chosen last; nothing if nobody did."""
        with self._database.reading() as rows:
            return newest_choices(rows, study_id)

    def approve(self, study_id: str, phases: PhaseChoice) -> None:
        """Append that the reader vouches for ED and ES as they are drawn now.

        Raises
        ------
        ProjectError
            If the reader gave no name, or the project is read-only.
        """
        with self._database.writing() as rows:
            _study_row(rows, study_id)
            append_approval(rows, study_id, phases.all_phases, _journal_position(rows), self.reader, _utc_now())

    def approval(self, study_id: str) -> ApprovalRecord | None:
        """Return the last approval of a study with what changed since; None if there was none."""
        with self._database.reading() as rows:
            return newest_approval(rows, study_id)

    # Imports and landmarks

    def set_import_choices(self, study: str, choices: ImportChoices) -> None:
        """Keep what the reader decided against the importer; it is applied whenever the study is opened.

        Parameters
        ----------
        study
            Pseudonym of the study as it is imported.
        """
        with self._database.writing() as rows:
            rows.execute(
                "INSERT INTO import_choices (study, choices, reader, utc) VALUES (?, ?, ?, ?)",
                (study, choices.model_dump_json(), self.reader, _utc_now()),
            )

    def import_choices(self, study: str) -> ImportChoices:
        """Return what the reader decided when the study was imported; nothing if they never did.

        Raises
        ------
        ProjectError
            If what is kept cannot be understood.
        """
        with self._database.reading() as rows:
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

    def set_landmarks(self, study_id: str, found: Iterable[LandmarkSet]) -> None:
        """Append landmarks of some phases, all or none; see :func:`append_landmarks` for what is refused."""
        with self._database.writing() as rows:
            append_landmarks(rows, _study_row(rows, study_id), found, self.reader, _utc_now())

    def landmarks(self, study_id: str, source: Source | None = None) -> dict[int, LandmarkSet]:
        """Newest landmarks of each phase, by phase; those of the model or of the reader if ``source`` is given."""
        with self._database.reading() as rows:
            return newest_landmarks(rows, study_id, source)

    # The split ledger

    def assign_fold(self, study_or_patient: str) -> int:
        """Return the fold that a patient is held out with; decided at the first call, the same forever.

        A newcomer joins the fold with the fewest patients.

        Parameters
        ----------
        study_or_patient
            Pseudonym of a study in the project, or of a patient.
        """
        with self._database.writing() as rows:
            return assign_fold(rows, _patient_of(rows, study_or_patient), _utc_now())

    def fold_of(self, study_or_patient: str) -> int | None:
        """Return the fold that a patient is held out with; None while that is undecided."""
        with self._database.reading() as rows:
            return read_ledger(rows).get(_patient_of(rows, study_or_patient))

    def ledger(self) -> dict[str, int]:
        """Fold by patient, in the order in which they were decided."""
        with self._database.reading() as rows:
            return read_ledger(rows)

    # Models

    def add_version(self, version: VersionRecord) -> None:
        """Append a model that the reader kept; see :func:`append_version` for what is refused."""
        documents = {name: _json(getattr(version, name)) for name in ("recipe", "before", "after")}
        with self._database.writing() as rows:
            append_version(rows, version, documents, _utc_now())

    def keep_trial(self, version: VersionRecord) -> None:
        """Record a model of :attr:`trials_folder` and move its folder to the versions; may be called again.

        Raises
        ------
        ProjectError
            If its files are gone, or the project is read-only.
        StorageError
            If the disk is full or gone. A recorded model is moved at the next opening at the latest.
        """
        refuse_missing(self.models_folder, version.name)
        if version.name not in {known.name for known in self.versions()}:
            self.add_version(version)
        move_into_place(self.models_folder, version.name)

    def clear_trials(self) -> None:
        """Remove every model that nobody decided on, finished or half written; nothing if the project is read-only."""
        if not self.read_only:
            clear_trials(self.models_folder)

    def versions(self, *, removed: bool = True) -> list[VersionRecord]:
        """All models made in this project, oldest first; without those whose weights were removed, if asked so."""
        with self._database.reading() as rows:
            return [version for version in read_versions(rows) if removed or not version.removed]

    def name_version(self, name: str, title: str) -> None:
        """Append what the reader calls a version; see :func:`append_title` for what is refused."""
        with self._database.writing() as rows:
            append_title(rows, name, title.strip(), _utc_now())

    def remove_version(self, name: str) -> None:
        """Append that a version's weights are given up; see :func:`append_removal` for what is refused."""
        with self._database.writing() as rows:
            append_removal(rows, name, _utc_now())

    def what_rests_on(self, name: str) -> str:
        """Tell why a version may not be removed, as a sentence; empty if it may."""
        with self._database.reading() as rows:
            return what_rests_on(rows, name)

    def set_current_model(self, name: str, scope: str = PROJECT_SCOPE) -> None:
        """Append which model is in use, for the whole project or for one study.

        Parameters
        ----------
        name
            Anything that names a model: ``bundled``, a version, a published model.
        scope
            ``"project"``, or a study's id.
        """
        with self._database.writing() as rows:
            if scope != PROJECT_SCOPE:
                _study_row(rows, scope)
            rows.execute("INSERT INTO model_choice (scope, name, utc) VALUES (?, ?, ?)", (scope, name, _utc_now()))

    def current_model(self, study_id: str | None = None) -> str:
        """Name of the model in use: the study's own, else the project's, else ``bundled``."""
        with self._database.reading() as rows:
            for scope in (study_id, PROJECT_SCOPE):
                found = rows.execute(
                    "SELECT name FROM model_choice WHERE scope = ? ORDER BY choice_id DESC LIMIT 1", (scope,)
                ).fetchone()
                if found is not None:
                    return str(found["name"])
        return DEFAULT_MODEL

    # Events

    def log_event(self, kind: str, detail: Mapping[str, Any] | None = None) -> None:
        """Append something that happened: ``opened``, ``exported``, ``version discarded`` ...

        Parameters
        ----------
        detail
            Plain JSON values; no image data and nothing that names a patient.
        """
        with self._database.writing() as rows:
            rows.execute(
                "INSERT INTO event (kind, detail, journal_position, utc) VALUES (?, ?, ?, ?)",
                (kind, _json(detail or {}), _journal_position(rows), _utc_now()),
            )

    def events(self) -> list[Event]:
        """Everything that was logged, oldest first."""
        with self._database.reading() as rows:
            found = rows.execute("SELECT * FROM event ORDER BY event_id").fetchall()
        return [Event(**{**dict(row), "detail": json.loads(row["detail"])}) for row in found]


_LAST_ROW: Final = 2**63 - 1
"""Largest row number that SQLite can give."""


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What a creation that was killed can leave behind is no reason to refuse.
        foreign = [entry for entry in folder.iterdir() if entry.name not in ("project.lock", "models")]
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise StorageError(f"The project folder {folder} cannot be made: {what}. Choose another place.") from error
    if foreign:
        raise ProjectError(f"{folder} holds other files and is no project. Choose a new folder, NAME.cinema.")


def _relative(image: Path, folder: Path) -> str:
    """Path from the project's folder, with forward slashes; absolute where there is no way (another drive)."""
    absolute = image.resolve()
    try:
        return PurePath(os.path.relpath(absolute, folder.resolve())).as_posix()
    except ValueError:
        return absolute.as_posix()


def _study_record(row: sqlite3.Row, folder: Path) -> StudyRecord:
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


def _study_row(rows: sqlite3.Connection, study_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = rows.execute("SELECT * FROM study WHERE study_id = ?", (study_id,)).fetchone()
    if row is None:
        raise ProjectError(f"{study_id} is not in the project. Open the study first.")
    return row


def _edit_like(label: SliceLabel, tool: str) -> SliceEdit:
    return SliceEdit(label.study_id, label.t, label.z, label.mask, label.state, tool, model_sha256=label.model_sha256)


def _phase_choice(row: sqlite3.Row) -> PhaseChoice:
    return PhaseChoice(**{**dict(row), "source": Source(row["source"])})


def _choice(rows: sqlite3.Connection, choice_id: int) -> PhaseChoice:
    found = rows.execute(f"SELECT {_PHASE_COLUMNS} FROM phase_choice WHERE choice_id = ?", (choice_id,)).fetchone()
    return _phase_choice(found)


def _choice_before(rows: sqlite3.Connection, choice_id: int, proposal: PhaseChoice | None) -> PhaseChoice:
    """Return what a choice of ED and ES replaced: an older one, else the proposal."""
    before = rows.execute(
        f"SELECT {_PHASE_COLUMNS} FROM phase_choice WHERE choice_id < ? AND study_id = "
        "(SELECT study_id FROM phase_choice WHERE choice_id = ?) ORDER BY choice_id DESC LIMIT 1",
        (choice_id, choice_id),
    ).fetchone()
    if before is not None:
        return _phase_choice(before)
    return replace(proposal or _choice(rows, choice_id), source=Source.MODEL)


def _check_same_image(study: sqlite3.Row, content_sha256: str) -> None:
    if content_sha256 != study["content_sha256"]:
        raise ProjectError(
            f"This is not the image that the labels of {study['study_id']} were drawn on: its content is "
            f"{content_sha256[:8]}, that one's {study['content_sha256'][:8]}. Choose the original."
        )


def _patient_of(rows: sqlite3.Connection, study_or_patient: str) -> str:
    row = rows.execute("SELECT patient FROM study WHERE study_id = ?", (study_or_patient,)).fetchone()
    return study_or_patient if row is None else str(row["patient"])


def _journal_position(rows: sqlite3.Connection) -> int:
    return int(rows.execute("SELECT coalesce(max(row_id), 0) FROM journal").fetchone()[0])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    """JSON for what figures and settings are made of beside plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be kept in a project")


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
