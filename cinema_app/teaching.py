"""The labels that readers vouched for, as cases to learn from."""

from __future__ import annotations

from collections.abc import Callable
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

    Collecting them needs the project and is quick; reading the images takes time: :meth:`load` may run in
    another thread.

    Attributes
    ----------
    frames
        One per labelled phase of a study.
    label_set_sha256, journal_position
        Pin the labels as they are now.
    ledger
        The project's split ledger: fold by patient.
    open_study_id, open_cine
        The study on show, whose image need not be read again.
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
    open_cine: Cine
    choices: Callable[[str], ImportChoices]
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
                cine = self.open_cine if study_id == self.open_study_id else read_again(frames[0].study, self.choices)
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


def collect_teaching_set(
    project: Project, open_study_id: str, open_cine: Cine, open_phases: PhaseChoice | None = None
) -> TeachingSet:
    """Take from the project every slice that is corrected or accepted, as it is now.

    Parameters
    ----------
    open_phases
        ED and ES of the study on show, which may be proposed by the volume curve and not yet be the reader's: its
        ejection fraction can be compared before and after all the same.
    """
    with project.unchanging():
        frames = training_frames(project)
        if open_phases is not None:
            frames = [
                replace(f, phase=phase_name(open_phases, f.t)) if f.study.study_id == open_study_id else f
                for f in frames
            ]
        return TeachingSet(
            frames,
            label_set_sha256(training_slices(project)),
            project.journal_position(),
            project.ledger(),
            open_study_id,
            open_cine,
            project.import_choices,
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
    raise InputError(f"the images at {record.image_path} are not the ones that were labelled. Open the study again.")
