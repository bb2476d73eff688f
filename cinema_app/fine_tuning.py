"""Teaching the model on a reader's labels: start it, decide on what came of it, run it again where it was cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cinema_app.interrupted import FineTuneRun, Interrupted, RunRecord, collect_as_then, found_in, settings_of
from cinema_app.labelling import Slice
from cinema_app.news import Severity
from cinema_app.teaching import TeachingSet, collect_teaching_set
from cinema_app.work import WorkEnd
from cinema_core.cards import read_card, resolve_model
from cinema_core.cine import Cine
from cinema_core.errors import CheckpointError, CinemaError
from cinema_core.incoming import ancestors
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.project import VersionRecord

if TYPE_CHECKING:
    from cinema_app.reading import Reading
    from cinema_core.engine.client import Job
    from cinema_core.engine.messages import ChangedSlice, FineTuneOutcome

WHOLE_PROJECT: Final = "project"
THIS_STUDY: Final = "this study only"
"""What ``FineTuneOutcome.scopes`` and the cards of versions call them."""

NOT_INTERRUPTED: Final = "No fine-tuning was interrupted. Press Fine-tune on my labels."

NAMED_STUDIES: Final = 3
"""So many studies are named in a sentence; more would not be read."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A fine-tuned model that waits for the reader's decision; the current model stays in use until then."""

    outcome: FineTuneOutcome
    base: str
    study_id: str
    teaching: TeachingSet

    @property
    def name(self) -> str:
        """Name of the version's folder."""
        return self.outcome.folder.name

    def slice_of(self, changed: ChangedSlice, open_cine: Cine) -> Slice:
        """Phase and slice of the open study, which the picture is of; a model is shown the slices from base to apex."""
        # The cine that was on show then, as it was taken then: the reader may have turned it since.
        then = self.teaching.open_cine if changed.study_id == self.study_id else None
        cine = then or open_cine
        return changed.t, cine.n_slices - 1 - changed.z if cine.apex_first else changed.z

    def may_be_kept(self, *, this_study_only: bool) -> bool:
        """Whether the model did well enough, on enough patients, to be used there."""
        if WHOLE_PROJECT in self.outcome.scopes:
            return True
        # Where other studies alone have labels, nothing is known of this one.
        return this_study_only and THIS_STUDY in self.outcome.scopes and self.study_id in self.teaching.study_ids


class FineTuning:
    """The fine-tuning of a reading.

    Hidden rules, and why:

    * A fine-tuned model is in use only after the reader kept it.
    * A version that the gate did not offer for the whole project draws only those studies that it learned from,
      however it is chosen: what it does on other hearts is not known. Imported elsewhere, it draws none.
    * A run starts from the base of the model in use. An imported model is a base, and if it was fine-tuned where it
      comes from, the reader is told so before (:meth:`base_words`): nobody chains models without knowing it.

    Attributes
    ----------
    trial
        The model that waits for a decision; None if there is none.
    interrupted
        The last run, if the engine ended under it, or the program: :meth:`repeat_interrupted` starts it again.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.trial: Trial | None = None
        self.interrupted: Interrupted | None = found_in(reading.project)
        self._record: RunRecord | None = None
        self._is_closed = False

    def collect_teaching_set(self) -> TeachingSet:
        """Collect what the project's readers vouched for; :meth:`TeachingSet.load` then reads the images."""
        return self.teaching_collector()()

    def teaching_collector(self) -> Callable[[], TeachingSet]:
        """Return what collects the same in another thread: the labels as they are now, whatever is drawn meanwhile."""
        reading, project = self._reading, self._reading.project
        return partial(
            collect_teaching_set,
            project,
            reading.study_id,
            reading.cine,
            reading.phases,
            at=project.journal_position(),
            ledger=project.ledger(),
        )

    def interrupted_collector(self) -> Callable[[], TeachingSet]:
        """Return what collects, in another thread, what the interrupted run of a killed program learned from.

        Raises
        ------
        CinemaError
            If there is no such run.
        """
        record = self.interrupted.record if self.interrupted else None
        if record is None:
            raise CinemaError(NOT_INTERRUPTED)
        reading = self._reading
        return partial(
            collect_as_then,
            reading.project,
            record,
            reading.study_id,
            reading.cine if reading.is_open else None,
        )

    def finetune(self, teaching: TeachingSet, settings: FineTuneSettings | None = None, base: str | None = None) -> Job:
        """Let the engine make a new model from the project's labels; the current one stays in use.

        Parameters
        ----------
        teaching
            From :meth:`collect_teaching_set`, with its images read.
        settings
            None for the usual ones.
        base
            Model to start from; None for that of the model in use.
        """
        self._reading.work.refuse_while_busy()
        if self._reading.project.read_only:
            raise CinemaError("The project is open in another window; a new model cannot be kept. Close that window.")
        if self.trial is not None:
            raise CinemaError(f"Model {self.trial.name} waits for your decision. Keep or discard it, then fine-tune.")
        run = FineTuneRun(teaching, settings or FineTuneSettings(), base or self._base())
        name = self._next_version_name()
        job = self._reading.work.engine.finetune(
            teaching.cases,
            base=run.base,
            settings=run.settings,
            out=self._reading.project.trials_folder,
            name=name,
            project_models=self._reading.project.models_folder,
            ledger=teaching.ledger,
        )
        record = self._record = RunRecord(self._reading.project, run)
        not_kept = record.begin()
        # The number of steps comes before the first progress.
        job.events.progressed.connect(lambda *_: record.planned(job.steps), thread="main")

        def take(outcome: FineTuneOutcome) -> None:
            self.trial = Trial(outcome, run.base, teaching.open_study_id, teaching)
            self._reading.events.trial_changed.emit()

        def ended(end: WorkEnd) -> None:
            if self._is_closed:
                return  # the project may be another window's by now
            if job.engine_died:
                steps = job.steps or run.settings.steps
                record.planned(steps)
                again = replace(run, settings=run.settings.model_copy(update={"steps": steps}))
                self.interrupted = Interrupted(run=again)
            elif end.outcome is None:
                record.end()  # else it is there until the reader decided: a program that is killed loses the model
            if self.trial is None and end.outcome is None:
                self._reading.project.clear_trials()  # an engine that was killed cannot clear up itself

        self.interrupted = None
        self._reading.work.follow(job, take, ended, may_pause=True)
        if not_kept:
            self._reading.notify(not_kept, Severity.WARNING)
        return job

    def repeat_interrupted(self, teaching: TeachingSet | None = None) -> Job:
        """Start the fine-tuning again that was cut off: the labels of then, base, seed and steps.

        Parameters
        ----------
        teaching
            From :meth:`interrupted_collector`, with its images read; None if this window has it still.

        Raises
        ------
        CinemaError
            If there is none, a study of it cannot be read, or the engine is at work.
        """
        interrupted = self.interrupted
        if interrupted is not None and interrupted.run is not None:
            return self.finetune(interrupted.run.teaching, interrupted.run.settings, interrupted.run.base)
        if interrupted is None or interrupted.record is None or teaching is None:
            raise CinemaError(NOT_INTERRUPTED)
        if teaching.left_out:
            raise CinemaError(
                f"The interrupted fine-tuning was not started: {' '.join(teaching.left_out)} Without it another model "
                "would come of it. Bring the images back, or press Fine-tune on my labels."
            )
        return self.finetune(teaching, settings_of(interrupted.record), interrupted.record.base)

    def cannot_repeat(self, why: str) -> None:
        """Remember why the fine-tuning that was cut off cannot be run again as it was."""
        if self.interrupted is not None:
            self.interrupted = replace(self.interrupted, trouble=why)
            self._reading.events.trial_changed.emit()

    def forget_interrupted(self) -> None:
        """Give up the fine-tuning that was cut off."""
        self.interrupted = None
        self._reading.project.clear_pending_run()
        self._reading.events.trial_changed.emit()

    @property
    def is_offered_again(self) -> bool:
        """Whether a run is under way that is offered again at the next opening, should the window close now."""
        return self._reading.work.may_pause and self._record is not None and self._record.is_kept

    def close_down(self) -> None:
        """Leave the project to the next window, with the record of a run that is under way."""
        self._is_closed = True
        if self._record is not None and self.trial is not None:
            self._record.end()  # the reader was asked
        if self._record is not None:
            self._record.let_go()

    def _base(self) -> str:
        """Name the model to start from: not a version but what it was made from, so that nothing drifts."""
        made_from = {version.name: version.base_name for version in self._reading.project.versions()}
        name = self._reading.model
        while name in made_from:
            name = made_from[name]
        return name

    def base_words(self) -> str:
        """Tell that the next run starts from a model that was itself fine-tuned elsewhere; empty if it does not."""
        base = self._base()
        try:
            older = ancestors(resolve_model(base, project_models=self._reading.project.models_folder).card)
        except CheckpointError:
            return ""
        return f"The new model will start from {base}, itself fine-tuned from {older[0]['name']}." if older else ""

    def why_no_base(self) -> str:
        """Tell why there is no model to start a fine-tuning from, for the reader; empty if there is one."""
        try:
            resolve_model(self._base(), project_models=self._reading.project.models_folder)
        except CheckpointError as error:
            return str(error)
        return ""

    def _next_version_name(self) -> str:
        taken = {version.name for version in self._reading.project.versions()}
        number = len(taken) + 1
        while (name := f"v{number:03d}") in taken or (self._reading.project.models_folder / name).exists():
            number += 1
        return name

    def keep_trial(self, *, this_study_only: bool) -> None:
        """Use the fine-tuned model from now on, in the whole project or for this study alone."""
        trial = self._waiting_trial()
        if why := self.why_not_kept(this_study_only=this_study_only):
            raise CinemaError(f"Model {trial.name} cannot be kept there. {why}")
        card = trial.outcome.card
        self._reading.project.keep_trial(
            VersionRecord(
                name=trial.name,
                model_sha256=card.sha256,
                base_name=trial.base,
                label_set_sha256=trial.teaching.label_set_sha256,
                journal_position=trial.teaching.journal_position,
                recipe={"studies": trial.teaching.study_ids},
                before=dict(trial.outcome.before),
                after=dict(trial.outcome.after),
            )
        )
        project = self._reading.project
        project.set_current_model(trial.name, trial.study_id if this_study_only else WHOLE_PROJECT)
        for study in () if this_study_only else project.studies():
            # "For all" is also for studies that have had a model of their own.
            if project.current_model(study.study_id) != trial.name:
                project.set_current_model(trial.name, study.study_id)
        self._decided("model kept" + (" for one study" if this_study_only else ""), trial)
        self._reading.events.model_changed.emit()
        where = " for this study" if this_study_only else ""
        self._reading.notify(
            f"Model {trial.name} is in use{where}. Press Segment to redraw the slices you have not corrected."
        )

    def why_not_kept(self, *, this_study_only: bool) -> str:
        """Tell why the model that waits may not be kept there, for the reader; empty if it may."""
        trial = self._waiting_trial()
        if not trial.may_be_kept(this_study_only=this_study_only):
            return " ".join(trial.outcome.notes)
        if this_study_only and self._reading.study_id != trial.study_id:
            return f"It is for {trial.study_id}, which was open when the fine-tuning began. Open that study to keep it."
        return ""

    def is_for_its_studies(self, model: str) -> bool:
        """Whether a model is a version, of this project or another, that may draw only those it learned from.

        Raises
        ------
        CheckpointError
            If it is a version whose card cannot be read.
        """
        project = self._reading.project
        if self._was_made_here(model):
            card = read_card(project.models_folder / model)
        else:
            # One that was made elsewhere says so, too; a model without files is the business of whoever loads it.
            try:
                card = resolve_model(model, project_models=project.models_folder).card
            except CheckpointError:
                return False
        return bool(card.lineage.get("scope", WHOLE_PROJECT) != WHOLE_PROJECT)

    def _was_made_here(self, model: str) -> bool:
        return model in {version.name for version in self._reading.project.versions()}

    def why_not_here(self, model: str) -> str:
        """Tell why a model may not draw the open study, for the reader; empty if it may."""
        try:
            if not self.is_for_its_studies(model):
                return ""
        except CheckpointError as error:
            return str(error)
        if not self._was_made_here(model):
            return (
                f"Model {model} was made elsewhere and is only for the studies that it learned from there: how it "
                "draws other hearts was not measured. Label slices here and fine-tune instead."
            )
        studies = self._reading.project.studies_of_version(model)
        if self._reading.study_id in studies:
            return ""
        named = ", ".join(studies[:NAMED_STUDIES]) + (", …" if len(studies) > NAMED_STUDIES else "")
        return (
            f"Model {model} is only for the studies that it learned from ({named or 'not known'}): how it draws other "
            "hearts was not measured. Open one of those to use it, or label slices here and fine-tune again."
        )

    def discard_trial(self) -> None:
        """Forget the fine-tuned model; the current one stays in use."""
        trial = self._waiting_trial()
        shutil.rmtree(trial.outcome.folder, ignore_errors=True)
        self._decided("model discarded", trial)
        self._reading.notify(f"The new model was discarded; {self._reading.model} stays in use.")

    def _waiting_trial(self) -> Trial:
        if self.trial is None:
            raise CinemaError("There is no fine-tuned model to decide on. Press Fine-tune on my labels first.")
        return self.trial

    def _decided(self, what: str, trial: Trial) -> None:
        self._reading.project.log_event(what, {"version": trial.name, "base": trial.base})
        self.trial = None
        if self._record is not None:
            self._record.end()
        self._reading.events.trial_changed.emit()
