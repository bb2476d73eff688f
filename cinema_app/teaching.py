"""The labels that readers vouched for, as cases to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine
from cinema_core.errors import CinemaError, InputError
from cinema_core.io import ImportChoices, load_study
from cinema_core.localise import HeartRegion, find_heart
from cinema_core.progress import Progress, no_progress
from cinema_core.project import (
    PhaseChoice,
    Project,
    SliceLabel,
    StudyRecord,
    TeachingFrame,
    label_set_sha256,
    phase_name,
    training_frames,
    training_slices,
)


@dataclass
class TeachingSet:
    """Labels of a project that a model may learn from.

    Collecting them unpacks every mask, and :meth:`load` reads the images: both may run in another thread.

    Attributes
    ----------
    frames
        One per labelled phase of a study.
    label_set_sha256, journal_position
        Pin the labels as they were taken.
    ledger
        The project's split ledger: fold by patient.
    open_study_id, open_cine
        The study on show when the teaching began, and its image, which need not be read again; None if another study,
        or none, is on show by now.
    collected
        Number of labelled slices by study, those included whose images cannot be read.
    cases, left_out
        After :meth:`load`: the cases, and why a study could not be used, one line each.
    moved
        After :meth:`load`: those studies whose images are no longer where they lay.
    """

    frames: list[TeachingFrame]
    label_set_sha256: str
    journal_position: int
    ledger: dict[str, int]
    open_study_id: str
    open_cine: Cine | None
    choices: Callable[[str], ImportChoices]
    collected: dict[str, int]
    cases: list[TrainingCase] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    moved: list[StudyRecord] = field(default_factory=list)

    @property
    def n_slices(self) -> int:
        """Number of labelled slices."""
        return sum(len(frame.slices) for frame in self.frames)

    @property
    def study_ids(self) -> tuple[str, ...]:
        """Studies that the labels are of."""
        return tuple(dict.fromkeys(frame.study.study_id for frame in self.frames))

    def load(self, progress: Progress = no_progress) -> None:
        """Read the images and make the cases; studies that cannot be read are left out, each with its reason.

        Raises
        ------
        InputError
            If not one case could be made.
        """
        if not self.frames:
            raise InputError("No slice is corrected or accepted yet. Correct or accept a slice, then fine-tune.")
        used = []
        for k, (study_id, group) in enumerate(groupby(self.frames, key=lambda frame: frame.study.study_id)):
            frames = list(group)
            progress(k / len(self.study_ids), f"Reading study {k + 1} of {len(self.study_ids)}")
            try:
                cine = self._image_of(frames[0].study)
            except CinemaError as error:
                self.left_out.append(f"{study_id} was left out: {error}")
                if not frames[0].study.image_path.exists():
                    self.moved.append(frames[0].study)
                continue
            heart = find_heart(cine.for_model())
            self.cases += [_case(frame, cine, heart) for frame in frames]
            used += frames
        if not used:
            raise InputError("None of the labelled studies can be read. " + " ".join(self.left_out))
        self.frames = used

    def _image_of(self, study: StudyRecord) -> Cine:
        if study.study_id != self.open_study_id:
            return read_again(study, self.choices)
        if self.open_cine is None:
            self.open_cine = read_again(study, self.choices)
        return self.open_cine


def collect_teaching_set(
    project: Project,
    open_study_id: str,
    open_cine: Cine,
    open_phases: PhaseChoice | None = None,
    *,
    at: int | None = None,
    ledger: dict[str, int] | None = None,
) -> TeachingSet:
    """Take from the project every slice that is corrected or accepted.

    Nobody has to wait for it; it may run in another thread.

    Parameters
    ----------
    open_phases
        ED and ES of the study on show, which may be proposed by the volume curve and not yet be the reader's: its
        ejection fraction can be compared before and after all the same.
    at, ledger
        The journal's position and the split ledger when the reader asked for it; None for those of now.
    """
    at = project.journal_position() if at is None else at

    def phase_of(frame: TeachingFrame) -> str:
        is_open = open_phases is not None and frame.study.study_id == open_study_id
        return phase_name(open_phases, frame.t) if is_open else frame.phase

    rows = training_slices(project, at=at)
    ledger = project.ledger() if ledger is None else ledger
    return teaching_set_of(project, rows, at, ledger, open_study_id, open_cine, phase_of)


def teaching_set_of(
    project: Project,
    rows: Sequence[SliceLabel],
    journal_position: int,
    ledger: dict[str, int],
    open_study_id: str,
    open_cine: Cine | None,
    phase_of: Callable[[TeachingFrame], str],
) -> TeachingSet:
    """Make a teaching set of labels that were taken from a project.

    Parameters
    ----------
    rows
        From :func:`~cinema_core.project.training_slices`.
    phase_of
        Says whether a frame is ``ed``, ``es`` or neither.
    """
    return TeachingSet(
        frames=[replace(frame, phase=phase_of(frame)) for frame in training_frames(project, rows)],
        label_set_sha256=label_set_sha256(rows),
        journal_position=journal_position,
        ledger=ledger,
        open_study_id=open_study_id,
        open_cine=open_cine,
        choices=project.import_choices,
        collected=dict(Counter(row.study_id for row in rows)),
    )


def _case(frame: TeachingFrame, cine: Cine, heart: HeartRegion) -> TrainingCase:
    shown = cine.for_model()
    return TrainingCase(
        case_id=f"{frame.study.study_id}-phase{frame.t + 1:02d}",
        study_id=frame.study.study_id,
        patient=frame.study.patient,
        image=np.asarray(shown.pixels[frame.t], dtype=np.float32),
        labels=frame.labels[::-1] if cine.apex_first else frame.labels,
        geometry=shown.geometry,
        phase=frame.phase,
        heart_yx=heart.centre_yx,
        phase_index=frame.t,
    )


def read_again(record: StudyRecord, choices: Callable[[str], ImportChoices]) -> Cine:
    """Read the image that a study's labels were drawn on.

    Parameters
    ----------
    choices
        Looks up how the reader decided that a study is imported.

    Raises
    ------
    InputError
        If it cannot be read, or is another image by now.
    """
    return read_with_notes(record, choices)[0]


def read_with_notes(record: StudyRecord, choices: Callable[[str], ImportChoices]) -> tuple[Cine, tuple[str, ...]]:
    """Read the same, and what the importer noted; see :func:`read_again`."""
    # Labels of a second cine are kept under the study's pseudonym with the cine's name behind it.
    study = record.study_id.partition(".")[0]
    found = load_study(record.image_path, study=study, choices=choices)
    for cine in found.cines:
        if cine.id == record.cine_id and cine.content_sha256 == record.content_sha256:
            return cine, found.report.notes
    raise InputError(
        "its images are not the ones that were labelled. Put them back, or open the study from where they are now."
    )
