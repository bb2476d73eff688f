"""Which cines and which models answer a published task, from what the reader gave on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cinema_core.errors import InputError
from cinema_core.tasks import PRETRAINED, Task, TaskKind

if TYPE_CHECKING:
    from cinema_core.cine import Cine, View
    from cinema_core.io import Study
    from cinema_core.models.zoo import LoadedModel


@dataclass(frozen=True)
class Asked:
    """What the reader asked for, once it is known which cines and models answer."""

    task: Task
    study: Study
    cines: Mapping[str, Cine]
    models: tuple[LoadedModel, ...]
    device: str
    ed_phase: int | None
    es_phase: int | None
    phase: int | None
    mask_ratio: float
    seed: int

    @property
    def cine(self) -> Cine:
        """The one cine of a task with one view."""
        return next(iter(self.cines.values()))


def view_of(name: str | None) -> View | None:
    """View by its name; None for none."""
    from cinema_core.cine import View

    if name is None:
        return None
    known = [view.value for view in View if view is not View.OTHER]
    if name not in known:
        raise InputError(f"There is no view {name!r}. Views: {', '.join(known)}.")
    return View(name)


def usual_view(task: Task, study: Study) -> View | None:
    """First view of the task that the study has; the task's usual one if it has none."""
    shown = {cine.view for cine in study.cines}
    return next((view for view in task.views if view in shown), next(iter(task.views), None))


def load_models(
    task: Task, names: list[str] | None, config: Path | None, dataset: str | None, view: View | None, device: str
) -> tuple[LoadedModel, ...]:
    """Load the models that the reader named, else those that were published for the task and view."""
    from cinema_core.models import zoo

    if not names:
        names = [PRETRAINED if view is None or not task.published else task.published_model(view, dataset)]
    elif dataset is not None:
        raise InputError("--dataset chooses among the published models and --model names others; give one of them.")
    return zoo.load_all(names, config, device)


def choose_cines(
    task: Task, study: Study, models: Sequence[LoadedModel], wanted: View | None, cine_id: str | None
) -> dict[str, Cine]:
    """Cines that the models look at, by view."""
    from cinema_core.predict.whole_study import views_of

    views = views_of(models)
    if task.views and not set(views) <= set(task.views):
        raise InputError(
            f"{task.name} looks at {' or '.join(view.value for view in task.views)}; the model "
            f"{models[0].card.name} looks at {', '.join(views)}."
        )
    candidates = _candidates(study, wanted, cine_id)
    if wanted is not None and wanted not in views:
        raise InputError(
            f"The model {models[0].card.name} looks at {', '.join(views)}, not at {wanted.value}. "
            "Give another model, or leave --view out."
        )
    any_of_them = task.kind in {TaskKind.RECONSTRUCTION, TaskKind.FEATURES}
    looked_at = (wanted,) if wanted is not None and any_of_them else views
    cines: dict[str, Cine] = {}
    for view in looked_at:
        of_view = [found for found in candidates if found.view is view]
        if of_view:
            cines[view.value] = max(of_view, key=lambda found: (found.view_confidence, found.n_phases * found.n_slices))
    if not cines or (len(cines) < len(looked_at) and not any_of_them):
        shown = ", ".join(f"{found.id} ({found.view.value})" for found in candidates)
        raise InputError(
            f"The model {models[0].card.name} looks at {', '.join(looked_at)}; the study shows {shown}. "
            f"If a view was misjudged, set it: --cine ID --view {looked_at[0].value}."
        )
    return cines


def _candidates(study: Study, wanted: View | None, cine_id: str | None) -> tuple[Cine, ...]:
    """Cines that may be looked at; a single one takes the view that the reader gave."""
    candidates = study.cines
    if cine_id is not None:
        candidates = tuple(cine for cine in study.cines if cine.id == cine_id)
        if not candidates:
            found = ", ".join(cine.id for cine in study.cines)
            raise InputError(f"The study has no cine {cine_id!r}; found: {found}.")
    if wanted is not None and len(candidates) == 1:
        return (candidates[0].with_view(wanted),)
    return candidates


def choose_phases(asked: Asked, n_frames: int) -> dict[str, tuple[int, ...]]:
    """Frames that the models see of each cine."""
    from cinema_app.terminal import progress_bar
    from cinema_core.cine import View
    from cinema_core.predict.ed_es import study_ed_es

    given = (asked.ed_phase, asked.es_phase)
    if n_frames == 1:
        return dict.fromkeys(asked.cines, (asked.phase or 0,))
    if n_frames != 2:
        raise InputError(f"The model looks at {n_frames} phases; this program knows ED and ES only.")
    if (given[0] is None) != (given[1] is None):
        raise InputError("Give both --ed-phase and --es-phase, or neither.")
    if given[0] is not None and given[1] is not None:
        return dict.fromkeys(asked.cines, (given[0], given[1]))
    sax = next((cine for cine in (*asked.cines.values(), *asked.study.cines) if cine.view is View.SAX), None)
    with progress_bar() as progress:
        return {view: study_ed_es(cine, sax, asked.device, progress) for view, cine in asked.cines.items()}


def from_zero(phase: int | None) -> int | None:
    """Phase as counted inside, from 0, of one as the reader counts."""
    return None if phase is None else phase - 1
