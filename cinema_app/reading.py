"""The open study and everything a reader does to it. Plain Python: panels and layers listen, commands drive it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cinema_app.engine_work import EngineWork
from cinema_app.fine_tuning import FineTuning
from cinema_app.labelling import Labelling, Slice
from cinema_app.news import Notice, ReadingEvents, Severity
from cinema_app.opening import open_study, person_of
from cinema_app.queues import Queues
from cinema_app.reporting import Report
from cinema_core.anatomy import LabelState
from cinema_core.cards import ModelCard, list_models, resolve_model
from cinema_core.cine import Cine, View
from cinema_core.errors import CheckpointError, CinemaError, PhaseError, StudyError
from cinema_core.io import ImportChoices, Study
from cinema_core.io.contours import ImportedLabels, import_labels
from cinema_core.measure import Insertions, StudyMeasures, VentricularFunction, study_measures
from cinema_core.mirror_answers import MirrorAnswers
from cinema_core.model_config import read_config
from cinema_core.project import Effort, PhaseChoice, Project, Restored, Source
from cinema_core.report.from_project import unread_uncertainty
from cinema_core.tasks import TASKS, Task, answers

if TYPE_CHECKING:
    from cinema_core.engine.client import EngineClient, Job
    from cinema_core.engine.messages import SegmentOutcome


SEGMENT_SAX = TASKS["segment-sax"]

TEACH_LONGEST = 12
"""Slices in the teach queue: as many as are labelled before the model learns from them and draws anew."""

USUAL_SYSTOLE = 0.35
"""Share of the beat at which a normal heart is smallest."""


class Reading:
    """One reader at one study, with a project that keeps the work and an engine that computes.

    Hidden rules, and why:

    * Segmenting never touches a slice that was corrected or accepted: the reader's word stands.
    * A phase is measured once none of its slices is absent. A half-drawn ventricle would give a small,
      plausible and wrong volume.

    Attributes
    ----------
    work
        What the engine does for it.
    learning
        The fine-tuning on its project's labels.
    queues
        What to look at next.
    report
        What is reported of the open study, and who vouches for it.
    """

    def __init__(self, project: Project, engine: EngineClient) -> None:
        self.events = ReadingEvents()
        self.project = project
        self.work = EngineWork(engine, self.events)
        self.learning = FineTuning(self)
        self.queues = Queues(self)
        self.report = Report(self)
        self.study: Study | None = None
        self._labelling: Labelling | None = None
        self._uncertainty: NDArray[np.float32] | None = None
        self._mirrors: MirrorAnswers | None = None
        self.labelled_besides = (0, 0)
        """Slices that readers vouched for in other studies, and their patients, counted when this one was opened."""
        self._chosen: PhaseChoice | None = None
        self._measures: StudyMeasures | None = None
        self._measures_are_stale = False

    # ---------------------------------------------------------------- the study

    @property
    def is_open(self) -> bool:
        """Whether a study is open."""
        return self._labelling is not None

    @property
    def _open_labelling(self) -> Labelling:
        if self._labelling is None:
            raise StudyError("No study is open. Open a DICOM folder or a NIfTI file first.")
        return self._labelling

    @property
    def cine(self) -> Cine:
        """The cine on show.

        Raises
        ------
        StudyError
            If no study is open.
        """
        return self._open_labelling.cine

    @property
    def study_id(self) -> str:
        """Name under which the project keeps the labels of this cine; empty if no study is open."""
        return self._labelling.study_id if self._labelling else ""

    def open(self, path: Path | str) -> None:
        """Read a study, as the reader decided that it is to be imported, and show it."""
        self.show(open_study(path, choices=self.project.import_choices))

    def import_as(self, study: Study, choices: ImportChoices) -> None:
        """Show a study that was read again with other choices, and keep them for the next time.

        Raises
        ------
        ProjectError
            If other images were chosen for slices that have labels already; the choices are not kept then.
        """
        shown = self.cine.id if self.is_open and self.study is not None and self.study.id == study.id else ""
        self.show(study, next((cine for cine in study.cines if cine.id == shown), None))
        if not self.project.read_only:
            self.project.set_import_choices(study.id, choices)

    def show(self, study: Study, cine: Cine | None = None) -> None:
        """Show a study that has been read, with the labels that the project keeps for it."""
        cine = cine or first_choice(study)
        study_id = _study_id(self.project, study, cine)
        if not self.project.read_only:
            # All cines of a study, and all studies of a person, are one in the split ledger.
            patient = person_of(study) or study.id
            self.project.add_study(
                study_id, cine.content_sha256, study.path, cine.id, cine.shape, cine.view, patient=patient
            )
        labelling = Labelling(self.project, study_id, cine)
        labelling.load()
        self._chosen = _chosen_by_reader(self.project.phases(study_id))
        self.study, self._labelling = study, labelling
        self._uncertainty = self.project.uncertainty(study_id)
        self._mirrors = self.project.mirrors(study_id)
        self.labelled_besides = self.project.labelled_besides(study_id)
        self._measures, self._measures_are_stale = None, True
        self.events.cine_changed.emit()
        self.events.model_changed.emit()
        self.measure()

    def choose_cine(self, cine_id: str) -> None:
        """Show another cine of the open study."""
        if cine_id != self.cine.id and self.study is not None:
            self.show(self.study, next(cine for cine in self.study.cines if cine.id == cine_id))

    # ---------------------------------------------------------------- labels

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Labels of the cine, shape (t, z, y, x), not writeable; edit with :meth:`correct`."""
        return self._open_labelling.labels

    @property
    def uncertainty(self) -> NDArray[np.float32] | None:
        """How unsure the model was, shape (t, z), 0 to 1; None before it segmented."""
        return self._uncertainty

    @property
    def mirrors(self) -> MirrorAnswers | None:
        """How differently the model drew mirror images; None if it was shown none, or before it segmented."""
        return self._mirrors

    def state(self, t: int, z: int) -> LabelState:
        """How far the label of a slice has been looked at."""
        return self._labelling.state(t, z) if self._labelling else LabelState.ABSENT

    def slices_in(self, *states: LabelState) -> list[Slice]:
        """Slices in any of the given states, ordered by phase and position."""
        return self._labelling.slices_in(*states) if self._labelling else []

    def effort(self) -> Effort:
        """Return what the labels of the open study cost their readers."""
        return self.project.effort(self.study_id, self.cine.geometry.pixel_spacing_mm)

    def models_of_slices(self) -> list[str]:
        """Hash of the model that each labelled slice came or started from."""
        return self._open_labelling.models()

    def correct(
        self,
        t: int,
        z: int,
        mask: NDArray[np.integer[Any]],
        tool: str = "brush",
        moved_points: int | None = None,
    ) -> bool:
        """Take the reader's label of one slice; returns whether anything differed.

        Parameters
        ----------
        mask
            Label values of the slice, shape (y, x).
        moved_points
            Control points of a contour that the hand moved; None for what was not made with a contour.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        changed = self._open_labelling.correct(t, z, mask, tool, moved_points)
        self._labels_changed(changed)
        return bool(changed)

    def correct_many(self, masks: Mapping[Slice, NDArray[np.integer[Any]]], tool: str) -> int:
        """Take the reader's labels of several slices in one step, ED and ES staying where they are.

        Returns
        -------
        How many slices differed.

        Raises
        ------
        ProjectError, StorageError
            If they cannot be saved; then nothing has changed.
        """
        held = self._phases_to_hold()
        changed = self._open_labelling.correct_many(masks, tool, held)
        self._take_step(changed, held)
        return len(changed)

    def fill(self, masks: Mapping[Slice, NDArray[np.integer[Any]]], origin: str) -> int:
        """Take labels that were carried over from other slices, as predicted; returns how many differed.

        Parameters
        ----------
        masks
            Labels (y, x) by (t, z).
        origin
            How they were made; the journal keeps it.

        Raises
        ------
        ProjectError, StorageError
            If they cannot be saved; then nothing has changed.
        """
        changed = self._open_labelling.fill(masks, origin)
        self._labels_changed(changed)
        return len(changed)

    def revert_to_model(self, t: int, z: int) -> None:
        """Bring back what a model drew last on a slice.

        Raises
        ------
        LabelError
            If no model has drawn there.
        """
        self._labels_changed(self._open_labelling.revert_to_model(t, z))

    def accept(self, slices: Iterable[Slice]) -> int:
        """Vouch for slices as they are, empty ones too (no heart there); returns how many were not yet accepted."""
        changed = self._open_labelling.accept(slices)
        self._labels_changed(changed)
        return len(changed)

    @property
    def phases_to_accept(self) -> tuple[int, ...]:
        """ED and ES of both ventricles, as they are reported and as an approval asks for; empty if not known."""
        choice, found = self.phases, self.measures
        if choice is None:
            return ()
        of_rv = (choice.rv_ed_phase, choice.rv_es_phase) if found is None else (found.rv_ed_phase, found.rv_es_phase)
        return tuple(sorted({t for t in (choice.ed_phase, choice.es_phase, *of_rv) if t is not None}))

    def accept_phases(self) -> int:
        """Vouch for every slice of ED and ES of both ventricles, and for the phases themselves.

        Raises
        ------
        PhaseError
            If ED and ES are not known, or have slices without a label.
        """
        self.measure()
        phases = self.phases_to_accept
        if not phases:
            raise PhaseError("ED and ES are not known yet. Segment the cine, or set them.")
        if missing := [t for t in phases if t not in self.complete_phases]:
            raise PhaseError(
                f"Phase {missing[0] + 1} has slices without a label. Segment the cine first, or draw them."
            )
        held = self._phases_to_hold()
        changed = self._open_labelling.accept(((t, z) for t in phases for z in range(self.cine.n_slices)), held)
        self._take_step(changed, held)
        return len(changed)

    def import_labels(
        self, path: Path | str, *, label_order: str | None = None, phase: int | None = None, replace: bool = False
    ) -> tuple[ImportedLabels, int]:
        """Take contours or labels that were drawn elsewhere, as accepted.

        Parameters
        ----------
        path, label_order, phase
            As for :func:`cinema_core.io.contours.import_labels`.
        replace
            Also where a slice was corrected or accepted here already.

        Returns
        -------
        What was read, and how many slices of the reader were kept.

        Raises
        ------
        LabelError
            If nothing there fits the cine.
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        found = import_labels(path, self.cine, label_order=label_order, phase=phase)
        changed, kept = self._open_labelling.take_import(found.masks, found.origin, replace=replace)
        self._labels_changed(changed)
        self.measure()
        self.project.log_event("labels imported", {"study": self.study_id, **_counts(found, len(changed))})
        yours = f" Your {kept} corrected or accepted slices were kept." if kept else ""
        self.notify(f"Imported {len(changed)} slices from {found.n_contours} contours.{yours}")
        return found, kept

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self._labelling is not None and self._labelling.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back and can be done again."""
        return self._labelling is not None and self._labelling.can_redo

    def undo(self) -> None:
        """Take back the last edit or choice of ED and ES, of this or an earlier session, and go there."""
        self._show_restored(self._open_labelling.undo(self._proposal() if self._chosen else None), "Taken back")

    def redo(self) -> None:
        """Do again what was taken back last, and go there."""
        self._show_restored(self._open_labelling.redo(), "Done again")

    def _show_restored(self, restored: Restored, what: str) -> None:
        changed = [(label.t, label.z) for label in restored.labels]
        self._take_step(changed, restored.phases)
        if restored.insertions is not None:
            self.measure_anew()
            if self.phases is not None:
                self.events.go_to.emit(self.phases.ed_phase, restored.insertions.z)
        if len(changed) == 1:  # an edit of many slices is not worth leaving the view for
            self.events.go_to.emit(*changed[0])
        if words := _restored_in_words(restored):
            self.notify(f"{what}: {words}.")

    @property
    def insertions(self) -> Mapping[int, Insertions]:
        """Where the RV meets the LV at ED, by slice; of those slices alone where the reader set it."""
        return self._labelling.insertions if self._labelling else {}

    def set_insertions(self, z: int, points: Insertions | None) -> None:
        """Take where the reader sees the RV meet the LV on a slice at ED; None gives it back to what is found.

        Raises
        ------
        LabelError
            If a point lies outside of the image.
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        if points != self.insertions.get(z):
            self._open_labelling.set_insertions(z, points)
            self.measure_anew()

    def _labels_changed(self, slices: Sequence[Slice]) -> None:
        if slices:
            self._measures_are_stale = True
            self.events.labels_changed.emit(tuple(slices))

    # ---------------------------------------------------------------- phases and measures

    @property
    def complete_phases(self) -> tuple[int, ...]:
        """Phases in which no slice is absent, so that volumes mean something."""
        return self._labelling.complete_phases if self._labelling else ()

    @property
    def phases(self) -> PhaseChoice | None:
        """ED and ES: the reader's, else those of the volume curve; None if neither is known."""
        if self._chosen is not None:
            return self._chosen
        return _phases_of(self.measures)

    def _proposal(self) -> PhaseChoice | None:
        """ED and ES of the volume curve, whatever the reader chose."""
        found = self._measure_now(None)
        return None if found is None else _phases_of(found.function)

    @property
    def phases_are_the_readers(self) -> bool:
        """Whether the reader chose ED and ES."""
        return self._chosen is not None and self._chosen.source is Source.READER

    def set_ed(self, t: int) -> None:
        """Make a phase end-diastole, of all slices and both ventricles."""
        self._check_phase(t)
        self._choose(replace(self._known_phases(), ed_phase=t, rv_ed_phase=t, source=Source.READER))

    def set_es(self, t: int) -> None:
        """Make a phase end-systole, of all slices and both ventricles."""
        self._check_phase(t)
        self._choose(replace(self._known_phases(), es_phase=t, rv_es_phase=t, source=Source.READER))

    def set_phase_of(self, which: str, t: int) -> None:
        """Make a phase end-diastole or end-systole of one ventricle.

        Parameters
        ----------
        which
            ``ed_phase`` or ``es_phase`` of the LV, which the RV follows as long as it has the same one;
            ``rv_ed_phase`` or ``rv_es_phase`` of the RV alone.
        """
        self._check_phase(t)
        known = self._known_phases()
        rv_ed = known.ed_phase if known.rv_ed_phase is None else known.rv_ed_phase
        rv_es = known.es_phase if known.rv_es_phase is None else known.rv_es_phase
        before = {"ed_phase": known.ed_phase, "es_phase": known.es_phase, "rv_ed_phase": rv_ed, "rv_es_phase": rv_es}
        after = before | {which: t}
        if not which.startswith("rv_") and before[f"rv_{which}"] == before[which]:
            after[f"rv_{which}"] = t
        self._choose(
            PhaseChoice(
                ed_phase=after["ed_phase"],
                es_phase=after["es_phase"],
                rv_ed_phase=after["rv_ed_phase"],
                rv_es_phase=after["rv_es_phase"],
                source=Source.READER,
            )
        )

    def _phases_to_hold(self) -> PhaseChoice | None:
        """ED and ES of the volume curve as a choice of the reader's; None if the reader chose already."""
        known = self.phases
        return None if known is None or known == self._chosen else replace(known, source=Source.READER)

    def _take_step(self, changed: Sequence[Slice], choice: PhaseChoice | None) -> None:
        if choice is not None:
            self._take_phases(choice)
        self._labels_changed(changed)

    def _known_phases(self) -> PhaseChoice:
        # Before any volume is known, the one that is not set starts where a normal beat has it.
        return self.phases or PhaseChoice(0, round(USUAL_SYSTOLE * (self.cine.n_phases - 1)))

    def _check_phase(self, t: int) -> None:
        if not 0 <= t < self.cine.n_phases:
            raise PhaseError(f"Phase {t + 1} is not in this cine of {self.cine.n_phases} phases.")
        if t in self.cine.phases_with_gaps:
            raise PhaseError(f"At phase {t + 1} a slice has no image, so it cannot be ED or ES. Choose another phase.")

    def _choose(self, choice: PhaseChoice) -> None:
        if choice == self._chosen:
            return
        self._open_labelling.choose_phases(choice)
        self._take_phases(choice)

    def _take_phases(self, choice: PhaseChoice) -> None:
        self._chosen = _chosen_by_reader(choice)
        self._measures_are_stale = True
        self.events.phases_changed.emit()
        self.measure()

    @property
    def measures(self) -> VentricularFunction | None:
        """Volumes and ejection fraction as last computed; None while nothing can be measured."""
        return self._measures.function if self._measures else None

    @property
    def study_measures(self) -> StudyMeasures | None:
        """All measures, findings and verdicts as last computed; None while nothing can be measured."""
        return self._measures

    def measure(self) -> VentricularFunction | None:
        """Compute the measures again if labels, phases or choices changed since."""
        if not self._measures_are_stale:
            return self.measures
        self._measures_are_stale = False
        before = self.phases
        self._measures = self._measure_now(self._chosen)
        self.events.measures_changed.emit(self.measures)
        if self.phases != before:
            self.events.phases_changed.emit()
        return self.measures

    def measure_anew(self) -> None:
        """Compute the measures again, because something that they go by was chosen otherwise."""
        self._measures_are_stale = True
        self.measure()

    def _measure_now(self, chosen: PhaseChoice | None) -> StudyMeasures | None:
        phases = self.complete_phases
        if not phases or not self.cine.measurable or self.cine.view is not View.SAX:
            return None
        return study_measures(
            self.labels,
            self.cine,
            phases=phases,
            ed_phase=chosen.ed_phase if chosen else None,
            es_phase=chosen.es_phase if chosen else None,
            rv_ed_phase=chosen.rv_ed_phase if chosen else None,
            rv_es_phase=chosen.rv_es_phase if chosen else None,
            choices=self.report.choices,
            uncertainty=unread_uncertainty(self.uncertainty, self.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED)),
            insertions=self.insertions,
        )

    # ---------------------------------------------------------------- the model

    @property
    def model(self) -> str:
        """Name of the model in use for this study."""
        return self.project.current_model(self.study_id or None)

    @property
    def model_card(self) -> ModelCard:
        """What is known of the model in use."""
        return resolve_model(self.model, project_models=self.project.models_folder).card

    def models(self) -> list[ModelCard]:
        """Models that can be chosen: those that draw on the short axis."""
        return [card for card in list_models(self.project.models_folder) if self.can_answer(card, SEGMENT_SAX)]

    def can_answer(self, card: ModelCard, task: Task) -> bool:
        """Whether a model at hand answers a task, by its config."""
        try:
            files = resolve_model(card.name, project_models=self.project.models_folder)
            return answers(read_config(files.config), task)
        except CheckpointError:
            return False  # cannot be used for anything; `cinema models show` says why

    def choose_model(self, name: str) -> None:
        """Use a model for everything in the project; the open study gives up one of its own for it.

        A version that is not for all studies (:meth:`FineTuning.is_for_its_studies`) is used for the open one alone.

        Raises
        ------
        CinemaError
            If it may not draw the open study.
        """
        if name == self.model:
            return
        if why := self.learning.why_not_here(name):
            raise CinemaError(why)
        if self.learning.is_for_its_studies(name):
            self.project.set_current_model(name, self.study_id)
            self.events.model_changed.emit()
            self.notify(
                f"Model {name} is in use for this study only; others go on with {self.project.current_model()}."
            )
            return
        self.project.set_current_model(name)
        if self.model != name:
            self.project.set_current_model(name, self.study_id)
        self.events.model_changed.emit()

    def segment(self) -> Job:
        """Let the engine draw the ventricles on every phase."""
        self.work.refuse_while_busy()
        job = self.work.engine.segment(self.cine, model=self.model, project_models=self.project.models_folder)
        asked_for = self._open_labelling
        self.work.follow(job, lambda outcome: self._take_segmentation(outcome, asked_for))
        return job

    def _take_segmentation(self, outcome: SegmentOutcome, labelling: Labelling) -> None:
        """Keep a prediction, for the study it was made of."""
        if self._labelling is not None and self._labelling.study_id == labelling.study_id:
            labelling = self._labelling
        else:
            labelling.load()  # left, and perhaps corrected in between
        slices = labelling.take_prediction(
            outcome.labels, outcome.phases, outcome.card.sha256, outcome.uncertainty, outcome.mirrors
        )
        if labelling is not self._labelling:
            return  # another study is on show by now; the journal has it
        self._uncertainty = self.project.uncertainty(self.study_id)
        self._mirrors = self.project.mirrors(self.study_id)
        self._labels_changed(slices)
        self.measure()
        kept = len(labelling.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED))
        yours = f" Your {kept} corrected or accepted slices were kept." if kept else ""
        self.notify(f"Segmented {len(slices)} slices.{yours}")

    # ---------------------------------------------------------------- the reader

    def name_reader(self, name: str) -> None:
        """Take the name that goes beside every edit and approval from now on."""
        self.project.reader = name.strip()
        self.events.approval_changed.emit()

    def notify(self, text: str, severity: Severity = Severity.INFO) -> None:
        """Show the reader one line."""
        self.events.noticed.emit(Notice(text, severity))


def _chosen_by_reader(choice: PhaseChoice | None) -> PhaseChoice | None:
    return choice if choice is not None and choice.source is Source.READER else None


def _restored_in_words(restored: Restored) -> str:
    """Say what an undo or redo changed; empty if there was nothing to change."""
    n = len(restored.labels)
    one = [f"slice {label.z + 1} of phase {label.t + 1}" for label in restored.labels[:1]]
    slices = one if n == 1 else [f"{n} slices"] if n else []
    phases = ["the choice of ED and ES"] if restored.phases else []
    points = [f"the insertion points of slice {restored.insertions.z + 1}"] if restored.insertions else []
    return " and ".join([*slices, *phases, *points])


def _phases_of(found: VentricularFunction | None) -> PhaseChoice | None:
    if found is None or found.ed_phase is None or found.es_phase is None:
        return None
    return PhaseChoice(found.ed_phase, found.es_phase, found.rv_ed_phase, found.rv_es_phase, Source.MODEL)


def first_choice(study: Study) -> Cine:
    """Cine that opens first: the best short axis, else the first there is."""
    try:
        return study.best(View.SAX)
    except StudyError:
        if not study.cines:
            raise
        return study.cines[0]


def _counts(found: ImportedLabels, n_slices: int) -> dict[str, Any]:
    """Return what the event log keeps of an import: numbers only, as file names may name a person."""
    return {
        "origin": found.origin,
        "slices": n_slices,
        "contours": found.n_contours,
        "unmatched": found.unmatched,
        "refused": len(found.refused),
    }


def _study_id(project: Project, study: Study, cine: Cine) -> str:
    """Name under which labels are kept: the study's own for its short axis; other cines have names of their own.

    What the project has stays: a reader who renames a view, so that another cine opens first, loses no label.
    """
    own, second = study.id, f"{study.id}.{cine.id}"
    known = {record.study_id: record.cine_id for record in project.studies()}
    for name in (own, second):
        if known.get(name) == cine.id:
            return name
    return own if cine is first_choice(study) and own not in known else second
