"""What published models say of the open study beside its contours: landmarks, and answers about all of it. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from cinema_app.reading import Reading, first_choice
from cinema_core.answers import ClassAnswer, Landmarks, ValueAnswer
from cinema_core.cards import list_models, resolve_model
from cinema_core.cine import Cine, View
from cinema_core.engine.messages import PredictRequest
from cinema_core.errors import InputError, PhaseError
from cinema_core.measure.long_axis import LongAxisFunction, long_axis_function
from cinema_core.model_config import n_frames, read_config, view_settings
from cinema_core.project import LandmarkSet, Source
from cinema_core.tasks import TASKS, Task, TaskKind

ASKED_IN_WINDOW = {TaskKind.HEATMAP, TaskKind.COORDINATE, TaskKind.CLASS, TaskKind.VALUE}


@dataclass(frozen=True, eq=False)
class Said:
    """One answer about the open study, and by which models."""

    task: Task
    answer: ClassAnswer | ValueAnswer
    models: tuple[str, ...]


class Predictions:
    """Landmarks of the cine on show, and what models said of its study.

    Hidden rules, and why:

    * Landmarks are kept in the project as soon as they are found or moved; the newest of each phase count.
    * Landmarks that the reader moved are not replaced by a later prediction: the reader's word stands.
    * Answers about a study are not kept: they are for looking at, and no report carries them.
    """

    landmarks_changed = Signal()
    """Landmarks of the cine on show were found, moved or taken back, or another cine is on show."""
    answers_changed = Signal()

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._landmarks: dict[int, LandmarkSet] = {}
        self._answers: list[Said] = []
        self._study: object = None
        reading.events.cine_changed.connect(self._cine_changed)
        self._cine_changed()

    def _cine_changed(self) -> None:
        if self._reading.study is not self._study:
            self._study = self._reading.study
            self._answers = []
            self.answers_changed.emit()
        is_open = self._reading.is_open
        self._landmarks = self._reading.project.landmarks(self._reading.study_id) if is_open else {}
        self.landmarks_changed.emit()

    # ---------------------------------------------------------------- landmarks

    @property
    def has_landmarks(self) -> bool:
        """Whether every phase of the cine on show has landmarks."""
        return self._reading.is_open and len(self._landmarks) == self._reading.cine.n_phases

    @property
    def points_yx(self) -> NDArray[np.float64]:
        """Landmarks of the phases that have any: shape (t, 3, 2), pixels; NaN where a phase has none."""
        points = np.full((self._reading.cine.n_phases, 3, 2), np.nan)
        for t, found in self._landmarks.items():
            points[t] = found.points_yx
        return points

    @property
    def moved_phases(self) -> tuple[int, ...]:
        """Phases whose landmarks the reader moved."""
        return tuple(sorted(t for t, found in self._landmarks.items() if found.source is Source.READER))

    @property
    def function(self) -> LongAxisFunction | None:
        """Length, shortening and way of the valve; None without landmarks on every phase."""
        if not self.has_landmarks:
            return None
        return long_axis_function(self.points_yx, self._reading.cine.geometry.pixel_spacing_mm)

    def move(self, t: int, points_yx: NDArray[np.floating[Any]]) -> None:
        """Keep landmarks of a phase as the reader placed them.

        Raises
        ------
        CinemaError
            If they cannot be kept; then those from before count.
        """
        before = self._landmarks.get(t)
        if before is not None and np.allclose(before.points_yx, points_yx, atol=1e-3):
            return
        sha256 = "" if before is None else before.model_sha256
        self._keep([LandmarkSet(t, np.asarray(points_yx, dtype=np.float64), Source.READER, sha256)])

    def revert(self, t: int) -> None:
        """Bring back what the model found on a phase."""
        found = self._reading.project.landmarks(self._reading.study_id, Source.MODEL).get(t)
        if found is None:
            raise InputError(f"No model found landmarks on phase {t + 1}. Press Find landmarks first.")
        self._keep([found])

    def _keep(self, found: Sequence[LandmarkSet]) -> None:
        self._reading.project.set_landmarks(self._reading.study_id, found)
        self._landmarks |= {one.t: one for one in found}
        self.landmarks_changed.emit()

    # ---------------------------------------------------------------- asking

    def tasks(self) -> list[Task]:
        """Tasks that the window asks."""
        return [task for task in TASKS.values() if task.kind in ASKED_IN_WINDOW]

    def models_for(self, task: Task) -> list[str]:
        """Names of models at hand that answer a task."""
        cards = list_models(self._reading.project.models_folder)
        return [card.name for card in cards if self._reading.can_answer(card, task)]

    def ask(self, task: Task, models: Sequence[str]) -> None:
        """Let models answer a task about the open study, together.

        Raises
        ------
        CinemaError
            If the study does not show what they look at, or the engine is at work.
        """
        reading = self._reading
        config = read_config(resolve_model(models[0], project_models=reading.project.models_folder).config)
        cines = self._cines_for(task, tuple(view_settings(config)))
        frames = n_frames(config)
        phases = {view: self._phases_of(cine, frames) for view, cine in cines.items()} if task.answers_once else {}
        request = PredictRequest(task.name, cines, tuple(models), phases, reading.project.models_folder)
        study, study_id = reading.study, reading.study_id

        def take(outcome: Any) -> None:
            if isinstance(outcome, Landmarks):
                self._take_landmarks(outcome, study_id)
            elif reading.study is study:
                self._answers = [said for said in self._answers if said.task is not task]
                self._answers.append(Said(task, outcome, tuple(models)))
                self.answers_changed.emit()
                reading.notify(f"{task.title}: answered. Research use only.")

        reading.work.ask(request, take)

    def _take_landmarks(self, found: Landmarks, study_id: str) -> None:
        """Keep landmarks, for the cine they were found on; those that the reader moved stay."""
        project, sha256 = self._reading.project, found.cards[0].sha256
        moved = [one for one in project.landmarks(study_id).values() if one.source is Source.READER]
        sets = [LandmarkSet(t, points, Source.MODEL, sha256) for t, points in enumerate(found.points_yx)]
        project.set_landmarks(study_id, [*sets, *moved])  # what the model found lies beneath, for Revert
        if study_id == self._reading.study_id:
            self._landmarks = project.landmarks(study_id)
            self.landmarks_changed.emit()
        words = "1 phase that you moved was kept." if len(moved) == 1 else f"{len(moved)} that you moved were kept."
        yours = f" {words}" if moved else ""
        self._reading.notify(f"Landmarks found on {len(sets)} phases. Drag a point to correct it.{yours}")

    def _cines_for(self, task: Task, views: Sequence[str]) -> dict[str, Cine]:
        reading = self._reading
        if reading.study is None:
            raise InputError("No study is open. Open a DICOM folder or a NIfTI file first.")
        if not task.answers_once:
            if reading.cine.view not in views:
                raise InputError(
                    f"These models look at {_words(views)}; the cine on show is {_words([reading.cine.view])}. "
                    "Choose the cine above."
                )
            return {str(reading.cine.view): reading.cine}
        # The cine on show goes before others of its view.
        shown = [reading.cine, *reading.study.cines]
        found = {view: next((cine for cine in shown if cine.view == view), None) for view in views}
        if absent := [view for view, cine in found.items() if cine is None]:
            raise InputError(f"These models look at {_words(absent)}, which the study does not have.")
        return {view: cine for view, cine in found.items() if cine is not None}

    def _phases_of(self, cine: Cine, frames: int) -> tuple[int, ...]:
        """ED and ES: those of the reading, carried to a long-axis cine by their share of the cycle."""
        if frames == 1:
            return (0,)
        reading = self._reading
        assert reading.study is not None
        sax = first_choice(reading.study)
        choice = reading.phases if reading.cine.view is View.SAX else reading.project.phases(reading.study.id)
        if sax.view is not View.SAX or choice is None:
            raise PhaseError("These models look at ED and ES. Segment the short axis first, or set ED and ES there.")
        n_sax = reading.cine.n_phases if reading.cine.view is View.SAX else sax.n_phases
        if cine.view is View.SAX:
            return choice.ed_phase, choice.es_phase
        ed, es = (round(t / n_sax * cine.n_phases) % cine.n_phases for t in (choice.ed_phase, choice.es_phase))
        return ed, es

    @property
    def answers(self) -> tuple[Said, ...]:
        """What was answered about the open study, the newest last."""
        return tuple(self._answers)

    def why_not(self, task: Task) -> str:
        """Why a task cannot be asked now; empty if it can."""
        if not self._reading.is_open:
            return "Open a study first."
        if self._reading.work.busy:
            return "The engine is still at work."
        if not self.models_for(task):
            name = next(iter(task.published.values()))
            return f"No model for this is on this computer. In a terminal: cinema models pull {name}"
        return ""


def _words(views: Sequence[str]) -> str:
    return ", ".join(View(view).display_name.lower() for view in views)


def in_words(said: Said) -> str:
    """Answer in a line: the class with its probability, or the value, and how far the models differ."""
    answer = said.answer
    if isinstance(answer, ValueAnswer):
        spread = "" if answer.spread is None else f" ± {answer.spread:.1f}"
        return f"{answer.value:.1f}{spread} {said.task.unit}".strip()
    best = int(answer.probabilities.argmax())
    spread = "" if answer.spread is None else f" ± {answer.spread[best] * 100:.0f}"
    return f"{answer.classes[best]}, {answer.probabilities[best] * 100:.0f}{spread} %"
