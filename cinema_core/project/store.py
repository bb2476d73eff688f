"""The project as the rest of the program sees it: what was drawn, by whom, in which order; never overwritten.

Each kind of row has a file of its own in this room; they become the values of :mod:`cinema_core.project.records`
before they leave it. Here is when they are read and written: each call is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from cinema_core import __version__
from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.errors import ProjectError, StorageError
from cinema_core.io.study import ImportChoices
from cinema_core.measure.choices import ReportChoices
from cinema_core.measure.segments import Insertions
from cinema_core.mirror_answers import MirrorAnswers
from cinema_core.project.approvals import append_approval, append_choices, newest_approval, newest_choices
from cinema_core.project.chance import ChanceEstimate, Known, chance_outcomes, estimate_of, note_random_suggestion
from cinema_core.project.database import Database
from cinema_core.project.effort import Effort, read_effort
from cinema_core.project.events import append_event, read_events
from cinema_core.project.imports import append_import_choices, newest_import_choices
from cinema_core.project.insertions import newest_insertions
from cinema_core.project.journal import (
    append_slice,
    count_labelled_besides,
    journal_position,
    newest_labels,
    newest_rows,
    newest_states,
    newest_teaching_rows,
    slice_history,
    slice_labels,
)
from cinema_core.project.landmarks import append_landmarks, newest_landmarks
from cinema_core.project.ledger import assign_fold, read_ledger
from cinema_core.project.pending import (
    PendingRun,
    clear_partial_pending,
    read_pending,
    remove_pending,
    write_pending,
)
from cinema_core.project.phases import append_phases, phases_history
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
from cinema_core.project.steps import open_steps
from cinema_core.project.studies import (
    add_study,
    check_same_image,
    patient_of,
    read_short_axis_studies,
    read_studies,
    study_record,
    study_row,
)
from cinema_core.project.trials import TRIALS, clear_trials, move_into_place, refuse_missing, settle_trials
from cinema_core.project.uncertainty import newest_mirrors, newest_uncertainty
from cinema_core.project.undo import do_step, redo_step, undo_step
from cinema_core.project.versions import (
    PROJECT_SCOPE,
    append_removal,
    append_title,
    append_version,
    choose_model,
    chosen_model,
    read_versions,
    studies_of_version,
    what_rests_on,
    what_rests_on_imported,
)

DATABASE_NAME: Final = "project.sqlite"


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
        self._chance: Known = {}
        self._known_paths: dict[tuple[int, int | None], int] = {}

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
            clear_partial_pending(folder)
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
        n_phases, n_slices, n_rows, n_columns = (int(n) for n in shape)
        study = StudyRecord(
            study_id=study_id,
            patient=patient or study_id,
            content_sha256=content_sha256,
            image_path=Path(image_path),
            cine_id=cine_id,
            shape=(n_phases, n_slices, n_rows, n_columns),
            view=View(view),
            added_utc=_utc_now(),
        )
        with self._database.writing() as rows:
            add_study(rows, study, self.folder)

    def studies(self) -> list[StudyRecord]:
        """All studies, in the order in which they were added."""
        with self._database.reading() as rows:
            return read_studies(rows, self.folder)

    def short_axis_studies(self) -> list[StudyRecord]:
        """Studies of a short axis, in the same order: what the models that can be fine-tuned draw."""
        with self._database.reading() as rows:
            return read_short_axis_studies(rows, self.folder)

    def study(self, study_id: str) -> StudyRecord:
        """One study.

        Raises
        ------
        ProjectError
            If the project does not have it.
        """
        with self._database.reading() as rows:
            return study_record(study_row(rows, study_id), self.folder)

    def verify_image(self, study_id: str, content_sha256: str) -> None:
        """Return if an image that was found under some path is the one that the labels were drawn on.

        Raises
        ------
        ProjectError
            If it is another image, or the study is not in the project.
        """
        with self._database.reading() as rows:
            check_same_image(study_row(rows, study_id), content_sha256)

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
            utc = _utc_now()  # one moment: together they are one action
            return [append_slice(rows, entry, self.reader, utc) for entry in entries]

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
            do_step(rows, study_id, edits, choice, insertions, reader=self.reader, utc=_utc_now())

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
            return undo_step(rows, study_id, proposal, reader=self.reader, utc=_utc_now())

    def redo(self, study_id: str) -> Restored | None:
        """Do again what :meth:`undo` took back last; None if there is none.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        with self._database.writing() as rows:
            return redo_step(rows, study_id, reader=self.reader, utc=_utc_now())

    def slices(self, study_id: str, *, at: int | None = None) -> dict[tuple[int, int], SliceLabel]:
        """Newest label of each slice of a study that has one, by (t, z).

        Parameters
        ----------
        at
            Journal position to look back to: the labels that a report of that position was made from.
        """
        with self._database.reading() as rows:
            return newest_labels(rows, study_id, at)

    def states(self, study_id: str) -> dict[tuple[int, int], LabelState]:
        """State of each slice of a study that has a label, by (t, z); much cheaper than :meth:`slices`."""
        with self._database.reading() as rows:
            return newest_states(rows, study_id)

    def teaching_slices(self, study_id: str, *, at: int | None = None) -> list[SliceLabel]:
        """Labels of a study that a reader corrected or accepted, ordered by phase and slice.

        Others wait only while the rows are read, not while the masks are unpacked: that may take long.

        Parameters
        ----------
        at
            Journal position to look back to, as for :meth:`slices`.
        """
        with self._database.reading() as rows:
            found = newest_teaching_rows(rows, study_id, at)
        with self._database.in_words():
            return slice_labels(found)

    def labelled_besides(self, study_id: str) -> tuple[int, int]:
        """Count what a model may learn from in all other studies: short-axis slices, and patients that they are of."""
        with self._database.reading() as rows:
            return count_labelled_besides(rows, study_id)

    def history(self, study_id: str, t: int, z: int) -> list[SliceLabel]:
        """Every label that a slice has had, oldest first."""
        with self._database.reading() as rows:
            return slice_history(rows, study_id, t, z)

    def uncertainty(self, study_id: str) -> NDArray[np.float32] | None:
        """How unsure the model was when it drew each slice last, shape (t, z), 0 to 1.

        NaN where that was not kept; None if it was kept of no slice, or the project does not have the study.
        """
        with self._database.reading() as rows:
            return newest_uncertainty(rows, study_id)

    def mirrors(self, study_id: str) -> MirrorAnswers | None:
        """How differently the model drew the mirror images of each slice when it drew it last.

        NaN where it was shown none or that was not kept; None if that holds for every slice.
        """
        with self._database.reading() as rows:
            return newest_mirrors(rows, study_id)

    def effort(self, study_id: str, pixel_spacing_mm: tuple[float, float]) -> Effort:
        """Return what the labels of a study cost their readers; see :class:`Effort`.

        The first call looks at every slice that was corrected or accepted, later ones at those that changed since.

        Parameters
        ----------
        pixel_spacing_mm
            Along y and x, of the cine.
        """
        with self._database.reading() as rows:
            return read_effort(rows, study_id, pixel_spacing_mm, self._known_paths)

    def note_random_suggestion(self, study_id: str, t: int, z: int) -> None:
        """Note that the reader was led to a slice that was drawn at random; once per drawing of a model.

        Nothing is noted in a project that is only read.
        """
        if not self.read_only:
            with self._database.writing() as rows:
                note_random_suggestion(rows, study_id, t, z, _utc_now())

    def chance_estimate(self, model_sha256: str) -> ChanceEstimate:
        """Return how good the drawings of a model are, by slices of all studies that were drawn at random."""
        with self._database.reading() as rows:
            return estimate_of(chance_outcomes(rows, self._chance), model_sha256)

    def journal_position(self) -> int:
        """Return the number of the newest row, 0 if there is none; with it a report names what it was made from."""
        with self._database.reading() as rows:
            return journal_position(rows)

    def journal_positions(self) -> dict[str, int]:
        """Return the number of the newest row of each study that has a label: while it stays, so do the labels."""
        with self._database.reading() as rows:
            return newest_rows(rows)

    # ED and ES

    def set_phases(self, study_id: str, choice: PhaseChoice) -> None:
        """Append a choice of ED and ES; earlier ones stay in :meth:`phases_history`. It is no step for :meth:`undo`.

        Raises
        ------
        PhaseError
            If a phase lies outside the study.
        """
        with self._database.writing() as rows:
            append_phases(rows, study_id, choice, self.reader, _utc_now())

    def phases(self, study_id: str) -> PhaseChoice | None:
        """Newest choice of ED and ES; None if there is none."""
        history = self.phases_history(study_id)
        return history[-1] if history else None

    def phases_history(self, study_id: str) -> list[PhaseChoice]:
        """Every choice of ED and ES, oldest first."""
        with self._database.reading() as rows:
            return phases_history(rows, study_id)

    def insertions(self, study_id: str) -> dict[int, Insertions]:
        """Where the RV meets the LV at end-diastole, by slice; of those slices alone where a reader set it."""
        with self._database.reading() as rows:
            return newest_insertions(rows, study_id)

    # The report

    def set_report_choices(self, study_id: str, choices: ReportChoices) -> None:
        """Append what the reader entered and chose for the report of a study."""
        with self._database.writing() as rows:
            study_row(rows, study_id)
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
            study_row(rows, study_id)
            append_approval(rows, study_id, phases.all_phases, journal_position(rows), self.reader, _utc_now())

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
            append_import_choices(rows, study, choices, self.reader, _utc_now())

    def import_choices(self, study: str) -> ImportChoices:
        """Return what the reader decided when the study was imported; nothing if they never did.

        Raises
        ------
        ProjectError
            If what is kept cannot be understood.
        """
        with self._database.reading() as rows:
            return newest_import_choices(rows, study)

    def set_landmarks(self, study_id: str, found: Iterable[LandmarkSet]) -> None:
        """Append landmarks of some phases, all or none; see :func:`append_landmarks` for what is refused."""
        with self._database.writing() as rows:
            append_landmarks(rows, study_row(rows, study_id), found, self.reader, _utc_now())

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
            return assign_fold(rows, patient_of(rows, study_or_patient), _utc_now())

    def fold_of(self, study_or_patient: str) -> int | None:
        """Return the fold that a patient is held out with; None while that is undecided."""
        with self._database.reading() as rows:
            return read_ledger(rows).get(patient_of(rows, study_or_patient))

    def ledger(self) -> dict[str, int]:
        """Fold by patient, in the order in which they were decided."""
        with self._database.reading() as rows:
            return read_ledger(rows)

    # The fine-tuning under way

    def set_pending_run(self, run: PendingRun) -> None:
        """Keep what is needed to run a fine-tuning again, in place of what was kept before.

        Raises
        ------
        ProjectError
            If the project is read-only.
        StorageError
            If the disk is full or gone; what was kept before still is.
        """
        if self.read_only:
            raise ProjectError(self.read_only_reason)
        write_pending(self.folder, run)

    def pending_run(self) -> PendingRun | None:
        """Return the fine-tuning that was started and did not end; None if there is none.

        Raises
        ------
        ProjectError
            If its record cannot be read, or is of a newer program.
        """
        return read_pending(self.folder)

    def clear_pending_run(self) -> None:
        """Forget it, because it ended or was given up; nothing if the project is read-only."""
        if not self.read_only:
            remove_pending(self.folder)

    # Models

    def add_version(self, version: VersionRecord) -> None:
        """Append a model that the reader kept; see :func:`append_version` for what is refused."""
        with self._database.writing() as rows:
            append_version(rows, version, _utc_now())

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

    def what_rests_on_imported(self, name: str, sha256: str) -> str:
        """Tell why an imported model may not be removed, by name and hash, as a sentence; empty if it may."""
        with self._database.reading() as rows:
            return what_rests_on_imported(rows, name, sha256)

    def studies_of_version(self, name: str) -> tuple[str, ...]:
        """Return the studies that a version learned from; see :func:`studies_of_version`."""
        with self._database.reading() as rows:
            return studies_of_version(rows, name)

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
            choose_model(rows, name, scope, _utc_now())

    def current_model(self, study_id: str | None = None) -> str:
        """Name of the model in use: the study's own, else the project's, else ``bundled``."""
        with self._database.reading() as rows:
            return chosen_model(rows, study_id)

    # Events

    def log_event(self, kind: str, detail: Mapping[str, Any] | None = None) -> None:
        """Append something that happened: ``opened``, ``exported``, ``version discarded`` ...

        Parameters
        ----------
        detail
            Plain JSON values; no image data and nothing that names a patient.
        """
        with self._database.writing() as rows:
            append_event(rows, kind, detail or {}, _utc_now())

    def events(self) -> list[Event]:
        """Everything that was logged, oldest first."""
        with self._database.reading() as rows:
            return read_events(rows)


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


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
