"""What the engine does with torch. Imported in the engine's process only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cinema_core.cards import ModelCard, resolve_ensemble
from cinema_core.engine.messages import (
    MOST_CHANGED,
    ChangedSlice,
    FineTuneOutcome,
    FineTuneRequest,
    ImportModelRequest,
    PredictOutcome,
    PredictRequest,
    Request,
    SegmentOutcome,
    SegmentRequest,
)
from cinema_core.progress import CancelToken, Progress, Report

if TYPE_CHECKING:
    from cinema_core.learn.measuring import SliceChange
    from cinema_core.models.zoo import LoadedModel


class TorchTasks:
    """Segments and fine-tunes; keeps the model of the last request at hand."""

    def __init__(self) -> None:
        self._model: LoadedModel | None = None
        self._model_key: tuple[str, ...] | None = None

    def warm_up(self) -> None:
        """Import torch and the models, which takes seconds, before the reader waits for it."""
        import cinema_core.learn.finetune
        import cinema_core.predict  # noqa: F401

    def run(
        self, request: Request, progress: Report, cancel: CancelToken, /
    ) -> SegmentOutcome | FineTuneOutcome | PredictOutcome | ModelCard:
        """Answer a request."""
        match request:
            case SegmentRequest():
                return self._segment(request, progress, cancel)
            case FineTuneRequest():
                return self._finetune(request, progress, cancel)
            case PredictRequest():
                return self._predict(request, progress, cancel)
            case ImportModelRequest():
                return self._import_model(request, progress, cancel)
        raise TypeError(f"The engine does not know {type(request).__name__}.")

    def _segment(self, request: SegmentRequest, progress: Progress, cancel: CancelToken) -> SegmentOutcome:
        from cinema_core.predict import segment_cine

        progress(0.0, "Loading the model")
        model = self._loaded(request.model, request.project_models, request.device)
        cancel.raise_if_cancelled()
        drawn = segment_cine(
            request.cine, model=model, device=request.device, progress=progress, cancel=cancel, phases=request.phases
        )
        return SegmentOutcome(drawn.labels, drawn.uncertainty, drawn.phases, drawn.card, drawn.mirrors)

    def _finetune(self, request: FineTuneRequest, progress: Report, cancel: CancelToken) -> FineTuneOutcome:
        from cinema_core.learn.finetune import finetune

        progress(0.0, "Loading the model")
        base = self._loaded_to_learn(request, progress)
        cancel.raise_if_cancelled()
        tuned = finetune(
            request.cases,
            base,
            request.settings,
            request.out,
            request.name,
            progress,
            cancel,
            progress.planned,
            request.ledger,
            progress.learned,
        )
        return FineTuneOutcome(
            folder=tuned.folder,
            card=tuned.card,
            before=tuned.before.to_json(),
            after=tuned.after.to_json(),
            validation=str(tuned.validation),
            worse=tuned.worse,
            scopes=tuple(str(scope) for scope in tuned.verdict.offered_scopes),
            notes=tuned.notes,
            steps=tuned.steps,
            seconds=tuned.seconds,
            changed=_most_changed(tuned.changes),
        )

    def _predict(self, request: PredictRequest, progress: Progress, cancel: CancelToken) -> PredictOutcome:
        from cinema_core.errors import InputError
        from cinema_core.models import zoo
        from cinema_core.predict.landmarks import find_landmarks
        from cinema_core.predict.whole_study import check_target, classify, regress
        from cinema_core.tasks import TaskKind, task_of

        task = task_of(request.task)
        progress(0.0, "Loading the model")
        self._model = self._model_key = None  # several published models may not fit beside it
        models = zoo.load_all(request.models, device=request.device, project_models=request.project_models)
        cancel.raise_if_cancelled()
        if task.kind in {TaskKind.HEATMAP, TaskKind.COORDINATE}:
            (cine,) = request.cines.values()
            return find_landmarks(cine, models, progress, cancel)
        if not task.answers_once:
            raise InputError(f"{task.title} is not asked for in the window; use: cinema predict {task.name}")
        check_target(task, models)
        progress(0.3, f"Asking {len(models)} models" if len(models) > 1 else "Asking the model")
        return (classify if task.kind is TaskKind.CLASS else regress)(request.cines, models, request.phases)

    def _import_model(self, request: ImportModelRequest, progress: Progress, cancel: CancelToken) -> ModelCard:
        from cinema_core.models.incoming import take_in

        return take_in(request.incoming, request.name, request.staging, progress, cancel)

    def _loaded_to_learn(self, request: FineTuneRequest, progress: Progress) -> LoadedModel:
        """Load a base to its device, or beside it where it has no room: fine-tuning knows how to do with less."""
        from cinema_core.learn.memory import give_back, is_out_of_memory
        from cinema_core.models.zoo import choose_device

        device = request.settings.device
        try:
            return self._loaded(request.base, request.project_models, device)
        except (RuntimeError, MemoryError) as error:
            if choose_device(device).type == "cpu" or not is_out_of_memory(error):
                raise
        give_back()
        progress(0.0, "Memory of the GPU was too small for the model: loading it for the processor")
        return self._loaded(request.base, request.project_models, "cpu")

    def _loaded(self, name: str, project_models: Path | None, device: str) -> LoadedModel:
        from cinema_core.models import zoo

        found = resolve_ensemble(name, project_models)
        key = (device, *(f"{files.card.sha256} {files.config}" for files in found))
        if self._model is None or self._model_key != key:
            self._model = self._model_key = None  # let go of the last one first: two may not fit in memory
            self._model = zoo.load(name, device=device, project_models=project_models)
            self._model_key = key
        return self._model


def _most_changed(changes: Iterable[SliceChange]) -> tuple[ChangedSlice, ...]:
    """Take the first slices whose label shows a structure: there is nothing to compare on the others."""
    rows = [
        ChangedSlice(c.study_id, c.t or 0, c.z, c.dice_before, c.dice_after, c.image, c.truth, c.before, c.after)
        for c in changes
        if c.dice_before is not None and c.dice_after is not None
    ]
    return tuple(rows[:MOST_CHANGED])
