"""A fine-tuning that was cut off, by the end of the engine or of the whole program, and what it takes to repeat it.

Every run has a record in the project until it failed, was given up, or the reader decided on what came of it. What is
still there when a project is opened is of a run that a killed program did not bring to that end.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from cinema_app.teaching import TeachingSet, teaching_set_of
from cinema_core import __version__
from cinema_core.cards import resolve_model
from cinema_core.cine import Cine
from cinema_core.errors import CheckpointError, InputError, ProjectError, StorageError
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.project import PendingRun, PendingStudy, Project, training_slices


class LabelsDifferError(InputError):
    """The project does not have what an interrupted fine-tuning learned from: its labels, or its base."""


@dataclass(frozen=True, eq=False)
class FineTuneRun:
    """What a fine-tuning was started with: started again with the same, it makes the same model."""

    teaching: TeachingSet
    settings: FineTuneSettings
    base: str


@dataclass(frozen=True, eq=False)
class Interrupted:
    """A fine-tuning that was cut off.

    Attributes
    ----------
    run
        What it was started with, if this window started it; its images are at hand.
    record
        What a window that was killed left of it; its labels and images have to be collected again.
    trouble
        Why it cannot be run again as it was, for the reader; empty if nothing is known against it.
    """

    run: FineTuneRun | None = None
    record: PendingRun | None = None
    trouble: str = ""

    @property
    def n_slices(self) -> int:
        """Number of slices that it learned from."""
        if self.run is not None:
            return self.run.teaching.n_slices
        return self.record.n_slices if self.record is not None else 0

    @property
    def steps(self) -> int | None:
        """Number of its steps; None if they were not fixed yet."""
        if self.run is not None:
            return self.run.settings.steps
        return settings_of(self.record).steps if self.record is not None else None

    @property
    def another_program(self) -> str:
        """Version of the program that began it, if that was not this one; else empty."""
        if self.record is None or self.record.software_version == __version__:
            return ""
        return self.record.software_version


def settings_of(record: PendingRun) -> FineTuneSettings:
    """Return the settings of a run that was kept.

    Raises
    ------
    ProjectError
        If this program does not know them.
    """
    try:
        return FineTuneSettings.model_validate(record.settings)
    except ValidationError as error:
        raise ProjectError(
            f"A fine-tuning was interrupted in napari-cinema {record.software_version}, whose settings this program "
            "does not know. It cannot be run again as it was."
        ) from error


def found_in(project: Project) -> Interrupted | None:
    """Return the fine-tuning that a killed window left in a project; None if there is none, or only to look at."""
    if project.read_only:
        return None  # it may well be under way, in the window that edits
    try:
        record = project.pending_run()
        if record is not None:
            settings_of(record)
    except ProjectError as error:
        return Interrupted(trouble=str(error))
    return None if record is None else Interrupted(record=record)


def collect_as_then(project: Project, record: PendingRun, open_study_id: str, open_cine: Cine | None) -> TeachingSet:
    """Take from the project the labels that an interrupted fine-tuning learned from, as they were then.

    Nobody has to wait for it; it may run in another thread.

    Parameters
    ----------
    open_study_id, open_cine
        The study on show now, whose image need not be read again.

    Raises
    ------
    LabelsDifferError
        If they are not there, with what differs.
    """
    if record.journal_position > project.journal_position():
        raise LabelsDifferError(_differ("the journal ends before them, so this is an older copy of the project"))
    if record.base_sha256 and _sha256_of(project, record.base) != record.base_sha256:
        raise LabelsDifferError(
            f"The interrupted fine-tuning started from the model {record.base}, which is another one now, or gone. "
            "It cannot be run again as it was."
        )
    known = {study.study_id for study in project.studies()}
    asked = [study.study_id for study in record.studies if study.study_id in known]
    rows = training_slices(project, at=record.journal_position, studies=asked)
    phases = {(study.study_id, t): name for study in record.studies for t, name in study.phases.items()}
    teaching = teaching_set_of(
        project,
        rows,
        record.journal_position,
        record.ledger,
        record.open_study_id,
        open_cine if open_study_id == record.open_study_id else None,
        lambda frame: phases.get((frame.study.study_id, frame.t), ""),
    )
    if teaching.label_set_sha256 != record.label_set_sha256:
        raise LabelsDifferError(_differ(_what_differs(record, Counter(row.study_id for row in rows))))
    used = {study.study_id for study in record.studies if study.used}
    teaching.frames = [frame for frame in teaching.frames if frame.study.study_id in used]
    return teaching


def _what_differs(record: PendingRun, found: Counter[str]) -> str:
    other = [
        f"{study.study_id} has {found[study.study_id]} labelled slices instead of {study.n_slices}"
        for study in record.studies
        if found[study.study_id] != study.n_slices
    ]
    return "; ".join(other) or "the same slices are drawn otherwise"


def _differ(how: str) -> str:
    return (
        f"The project does not have the labels that the interrupted fine-tuning learned from: {how}. "
        "It cannot be run again as it was."
    )


class RunRecord:
    """The record of one run, in the project as long as the run may have to be repeated.

    After :meth:`let_go` it stays there, whatever happens to the run: the project is another window's by then.
    """

    def __init__(self, project: Project, run: FineTuneRun) -> None:
        self._project = project
        self._record = _record_of(project, run)
        self._is_over = False
        self.is_kept = False

    def begin(self) -> str:
        """Keep what is needed to repeat the run; returns why that was not possible, for the reader, else nothing."""
        try:
            self._project.set_pending_run(self._record)
        except StorageError as error:
            self._project.clear_pending_run()  # of an earlier run, which is not the one that would be offered
            return f"Should the program end under this fine-tuning, it cannot be offered again. {error}"
        self.is_kept = True
        return ""

    def planned(self, steps: int | None) -> None:
        """Add the number of steps once it is fixed: with it, the very same model can be made."""
        if self._is_over or not self.is_kept or steps is None or self._record.settings.get("steps") is not None:
            return
        self._record = self._record.model_copy(update={"settings": {**self._record.settings, "steps": steps}})
        with suppress(StorageError):  # the record without them stays, and says less
            self._project.set_pending_run(self._record)

    def end(self) -> None:
        """Remove it: the run came to an end, or was given up."""
        if not self._is_over:
            self.let_go()
            self.is_kept = False
            self._project.clear_pending_run()

    def let_go(self) -> None:
        """Write no more."""
        self._is_over = True


def _sha256_of(project: Project, base: str) -> str:
    try:
        return resolve_model(base, project_models=project.models_folder).card.sha256
    except CheckpointError:
        return ""  # the engine will say what is wrong with it


def _record_of(project: Project, run: FineTuneRun) -> PendingRun:
    teaching = run.teaching
    phases: dict[str, dict[int, str]] = {}
    for frame in teaching.frames:
        if frame.phase:
            phases.setdefault(frame.study.study_id, {})[frame.t] = frame.phase
    used = set(teaching.study_ids)
    return PendingRun(
        started_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        base=run.base,
        base_sha256=_sha256_of(project, run.base),
        settings=run.settings.model_dump(mode="json"),
        open_study_id=teaching.open_study_id,
        studies=tuple(
            PendingStudy(study_id=study_id, n_slices=n, used=study_id in used, phases=phases.get(study_id, {}))
            for study_id, n in teaching.collected.items()
        ),
        ledger=teaching.ledger,
        label_set_sha256=teaching.label_set_sha256,
        journal_position=teaching.journal_position,
    )
