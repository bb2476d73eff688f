"""What leaves a project: one snapshot a study for reports, frames with labels for training."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import UNLABELLED, LabelState, without_outside
from cinema_core.measure.choices import NOTHING_CHOSEN, ReportChoices
from cinema_core.measure.segments import Insertions
from cinema_core.mirror_answers import MirrorAnswers
from cinema_core.project.records import ApprovalRecord, PhaseChoice, SliceLabel, StudyRecord
from cinema_core.project.store import Project


@dataclass(frozen=True, eq=False)
class StudySnapshot:
    """A study's labels as they are at one position of the journal.

    Attributes
    ----------
    labels
        Newest label of every slice, uint8, shape (t, z, y, x); 0 where there is none.
    states
        State of every slice, by (t, z); :attr:`LabelState.ABSENT` where there is no label.
    phases
        ED and ES as last chosen; None if nobody chose.
    model
        Name of the model in use for the study.
    label_models
        Hashes of the weights that the labels came or started from, that of most labels first.
    journal_position
        Pins the labels: ``project.slices(study_id, at=journal_position)`` gives them again.
    uncertainty
        How unsure the model was when it drew each slice last, shape (t, z); see :meth:`Project.uncertainty`.
    mirrors
        How differently it drew mirror images then; see :meth:`Project.mirrors`.
    approval
        Last approval with what changed since; None if there was none.
    choices
        What was entered and chosen for the report.
    insertions
        Where the RV meets the LV at end-diastole, by slice, as a reader set it.
    """

    study: StudyRecord
    labels: NDArray[np.uint8]
    states: Mapping[tuple[int, int], LabelState]
    phases: PhaseChoice | None
    model: str
    label_models: tuple[str, ...]
    journal_position: int
    uncertainty: NDArray[np.float32] | None = None
    mirrors: MirrorAnswers | None = None
    approval: ApprovalRecord | None = None
    choices: ReportChoices = NOTHING_CHOSEN
    insertions: Mapping[int, Insertions] = field(default_factory=dict)

    def count(self, state: LabelState) -> int:
        """Return the number of slices in a state."""
        return sum(found is state for found in self.states.values())

    @property
    def corrected_slices(self) -> int:
        """Number of slices that a reader corrected."""
        return self.count(LabelState.CORRECTED)

    @property
    def accepted_slices(self) -> int:
        """Number of slices that a reader accepted as they were."""
        return self.count(LabelState.ACCEPTED)

    @property
    def labelled_phases(self) -> tuple[int, ...]:
        """Phases in which every slice has a label; only these have a volume."""
        n_phases, n_slices = self.labels.shape[:2]
        return tuple(
            t for t in range(n_phases) if all(self.states[t, z] is not LabelState.ABSENT for z in range(n_slices))
        )


@dataclass(frozen=True, eq=False)
class TeachingFrame:
    """The slices of one phase of one study that a reader vouched for.

    Attributes
    ----------
    t
        Phase.
    labels
        uint8, shape (z, y, x); 255 on every slice that nobody corrected or accepted.
    slices
        Indices of the slices that have labels.
    phase
        ``ed`` or ``es`` if this phase was chosen as such, else empty.
    """

    study: StudyRecord
    t: int
    labels: NDArray[np.uint8]
    slices: tuple[int, ...]
    phase: str


def study_snapshot(project: Project, study_id: str) -> StudySnapshot:
    """Gather one study for a report.

    Raises
    ------
    ProjectError
        If the project does not have the study, or is damaged.
    """
    with project.unchanging():
        study = project.study(study_id)
        rows = project.slices(study_id)
        labels = np.zeros(study.shape, dtype=np.uint8)
        n_phases, n_slices = study.shape[:2]
        states = {(t, z): LabelState.ABSENT for t in range(n_phases) for z in range(n_slices)}
        for slice_index, row in rows.items():
            labels[slice_index] = row.mask
            states[slice_index] = row.state
        return StudySnapshot(
            study=study,
            labels=labels,
            states=states,
            phases=project.phases(study_id),
            model=project.current_model(study_id),
            label_models=tuple(
                sha256
                for sha256, _ in Counter(row.model_sha256 for row in rows.values() if row.model_sha256).most_common()
            ),
            journal_position=project.journal_position(),
            uncertainty=project.uncertainty(study_id),
            mirrors=project.mirrors(study_id),
            approval=project.approval(study_id),
            choices=project.report_choices(study_id),
            insertions=project.insertions(study_id),
        )


def study_snapshots(project: Project) -> Iterator[StudySnapshot]:
    """Gather the studies one after the other; a project's labels need not fit into memory at once."""
    for study in project.studies():
        yield study_snapshot(project, study.study_id)


def training_slices(
    project: Project, *, at: int | None = None, studies: Iterable[str] | None = None
) -> list[SliceLabel]:
    """Return every short-axis slice that a reader corrected or accepted, ordered by study, phase and slice.

    A slice that was only looked at is not among them: scrolling past is not a label. Neither are slices of other views,
    which no model that can be fine-tuned draws. Nobody has to wait for it: the journal's position pins what is taken,
    whatever is written meanwhile.

    Parameters
    ----------
    at
        Journal position to look back to; None for the present one.
    studies
        Those to look at, in this order; None for all that are taken as a short axis now.
    """
    at = project.journal_position() if at is None else at
    if studies is None:
        studies = [study.study_id for study in project.short_axis_studies()]
    return [row for study_id in studies for row in project.teaching_slices(study_id, at=at)]


def training_frames(project: Project, rows: Iterable[SliceLabel] | None = None) -> list[TeachingFrame]:
    """Return slices as frames (z, y, x) in which everything else is unlabelled.

    Parameters
    ----------
    rows
        From :func:`training_slices`; None for all as they are now.
    """
    taken = training_slices(project) if rows is None else rows
    return [
        frame
        for study_id, of_study in groupby(taken, key=lambda row: row.study_id)
        for frame in _frames_of_study(project, study_id, of_study)
    ]


def label_set_sha256(slices: Iterable[SliceLabel]) -> str:
    """Hash of a set of labels: the same slices with the same masks, in any order and by any way."""
    digest = hashlib.sha256()
    for row in sorted(slices, key=lambda row: (row.study_id, row.t, row.z)):
        digest.update(f"{row.study_id} {row.t} {row.z} {row.mask.shape} ".encode())
        digest.update(row.mask.tobytes())
    return digest.hexdigest()


def _frames_of_study(project: Project, study_id: str, rows: Iterable[SliceLabel]) -> list[TeachingFrame]:
    study, choice = project.study(study_id), project.phases(study_id)
    return [
        _teaching_frame(study, t, list(of_phase), phase_name(choice, t))
        for t, of_phase in groupby(rows, key=lambda row: row.t)
    ]


def _teaching_frame(study: StudyRecord, t: int, rows: list[SliceLabel], phase: str) -> TeachingFrame:
    labels = np.full(study.shape[1:], UNLABELLED, dtype=np.uint8)
    for row in rows:
        labels[row.z] = without_outside(row.mask)
    return TeachingFrame(study, t, labels, tuple(row.z for row in rows), phase)


def phase_name(choice: PhaseChoice | None, t: int) -> str:
    """Return ``ed`` or ``es`` if a phase was chosen as such, else an empty text."""
    if choice is None:
        return ""
    return {choice.es_phase: "es", choice.ed_phase: "ed"}.get(t, "")
