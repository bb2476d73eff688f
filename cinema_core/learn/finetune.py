"""Fine-tune on my labels: from the base and all labels to a version with its figures.

``model = f(base, labels, recipe, seed, split ledger)``: every run starts from the base, never from an earlier version,
so that nothing drifts and any version can be made again. A base that was itself fine-tuned, elsewhere or by the command
line, is taken as it is asked for; the notes say so, and the card names all that it comes from. The labels are a set:
the order in which they come does not matter. The time budget is turned into a number of steps at the start; that
number, not the clock, decides what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from cinema_core.cases import (
    TrainingCase,
    case_set_sha256,
    group_of,
    in_fixed_order,
    n_labelled_slices,
    refuse_contradictions,
    under_one_name,
)
from cinema_core.errors import EngineError, InputError
from cinema_core.folds import digests_of, extended
from cinema_core.incoming import ancestors
from cinema_core.learn.bench import VIEW, Bench
from cinema_core.learn.fit import blend
from cinema_core.learn.guard import Figures, Scope, Validation, Verdict, judge
from cinema_core.learn.holdout import HeldOut, blends_of, hold_out
from cinema_core.learn.measuring import SliceChange, figures, slice_changes
from cinema_core.learn.memory import give_back, is_out_of_memory, rungs
from cinema_core.learn.plan import Pace, Plan, Stopwatch, make_plan
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.learn.tiers import are_few
from cinema_core.learn.versions import publish_version, refuse_existing
from cinema_core.models.ensemble import Ensemble
from cinema_core.models.zoo import choose_device, short_axis_grid
from cinema_core.progress import CancelToken, Progress, no_progress

if TYPE_CHECKING:
    from cinema_core.cards import ModelCard
    from cinema_core.models.zoo import LoadedModel

SAFETY: Final = 0.8
"""Share of the budget that is planned for: steps measured at the start get slower when the machine gets busy."""

WRITING_S: Final = 2.0
"""Set aside for writing the version."""


@dataclass(frozen=True, eq=False)
class FineTuneResult:
    """A new version and what is known of it.

    Attributes
    ----------
    folder
        Model folder of the version.
    before, after
        Figures of base and version on what ``validation`` names; ``verdict`` rests on them.
    learned_before, learned_after
        Figures on the labelled slices that the version learned from.
    alpha
        Blend of base (0) and the mean of all runs' weights (1) that the version is.
    skipped
        Steps of all runs whose loss was not finite.
    changes
        The labelled slices, those that the version draws most differently first.
    notes
        What the reader should know, one sentence each.
    """

    folder: Path
    card: ModelCard
    before: Figures
    after: Figures
    learned_before: Figures
    learned_after: Figures
    validation: Validation
    verdict: Verdict
    steps: int
    seconds: float
    alpha: float
    skipped: int
    changes: tuple[SliceChange, ...]
    notes: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether the version did worse than its base."""
        return self.verdict.worse

    @property
    def scope(self) -> Scope | None:
        """Widest use that is offered; None if only *discard* is."""
        return self.verdict.offered_scopes[0] if self.verdict.offered_scopes else None


def finetune(
    cases: Sequence[TrainingCase],
    base: LoadedModel,
    settings: FineTuneSettings,
    out: Path,
    name: str,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
    planned: Callable[[int], None] | None = None,
    ledger: Mapping[str, int] | None = None,
    learned: Callable[[int, float], None] | None = None,
) -> FineTuneResult:
    """Train the base on labelled slices and publish the result as a model folder.

    Parameters
    ----------
    cases
        Frames with labels; 255 where nothing is known. Their order does not matter. Patients who have an image in
        common are taken as one.
    base
        Model to start from; it is not changed.
    out
        Folder to make the version's folder in.
    name
        Name of the version and of its folder, which must not exist yet, or be empty.
    planned
        Told of the number of steps once it is fixed: with it as ``settings.steps`` the run can be repeated.
    ledger
        The split ledger: fold by patient, or by study where no patient is named. Those who are not in it are dealt to
        ``settings.folds`` folds by a hash of seed and name (:func:`cinema_core.folds.extended`).
    learned
        Told of the loss of every training step, with the number of its run, from 1.

    Raises
    ------
    InputError
        If no slice is labelled, one is labelled in two ways, the base is several models together, or the version's
        folder holds something.
    Cancelled
        If ``cancel`` was raised; nothing is left behind.
    StorageError
        If the version could not be written; nothing is left behind.
    EngineError
        If no training step had a finite loss, or memory was too small for the least demanding way to train.
    """
    cancel = cancel or CancelToken()
    budget = total = Stopwatch(cancel)
    refuse_existing(out / name)
    labelled = [case for case in cases if case.labelled_slices]
    if not labelled:
        raise InputError("No slice is labelled, so there is nothing to learn from. Label at least one slice.")
    if isinstance(base.network, Ensemble):
        members = [member["name"] for member in base.card.lineage["members"]]
        raise InputError(
            f"{len(members)} models answer together here, and only one can be taught. Choose one of them as the base: "
            f"{', '.join(members)}."
        )
    refuse_contradictions(labelled)
    labelled = in_fixed_order(labelled)
    device = choose_device(settings.device)
    stacks = short_axis_grid(base).patch_size[2] > 1
    for rung in rungs(settings, base.network, device, VIEW, few=are_few(labelled), stacks=stacks):
        notes = [f"Memory was too small; the model learned from {rung.words}."] if rung.words else []
        if rung.words:
            progress(0.0, f"Memory was too small: trying again with {rung.words}")
        try:
            result = _finetune_once(
                labelled,
                base,
                rung.settings,
                out / name,
                ledger or {},
                notes,
                budget,
                progress,
                cancel,
                planned,
                learned,
            )
            return replace(result, seconds=total.seconds)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        give_back()
        budget = Stopwatch(cancel)  # what an attempt in vain took would leave the next one too few steps
    raise EngineError(
        f"Memory of {device.type} was too small for fine-tuning, even in the least demanding way; the model was left "
        "as it was. Close other programs, or choose a smaller base model."
    )


def _finetune_once(
    labelled: Sequence[TrainingCase],
    base: LoadedModel,
    settings: FineTuneSettings,
    folder: Path,
    ledger: Mapping[str, int],
    first_notes: Sequence[str],
    budget: Stopwatch,
    progress: Progress,
    cancel: CancelToken,
    planned: Callable[[int], None] | None,
    learned: Callable[[int, float], None] | None,
) -> FineTuneResult:
    """Do what :func:`finetune` says, or run out of memory."""
    progress(0.0, f"Preparing {n_labelled_slices(labelled)} labelled slices")
    names = {group_of(case) for case in labelled}
    dealt = extended(ledger, names, settings.folds, settings.seed)
    cases = under_one_name(labelled, dealt)
    bench = Bench.set_up(cases, base, settings, cancel, progress)
    folds = {patient: dealt[patient] for patient in bench.patients}
    plan = _plan(bench, settings, len(set(folds.values())), budget, progress)
    if planned is not None:
        planned(plan.steps)
    pace = Pace(plan.total_steps, progress, cancel, learned)
    held_out = hold_out(bench, plan, pace, folds)
    pace.begin()
    report = partial(pace.step, "Learning from your labels")
    fitted = bench.train(bench.windows, plan.steps, settings.seed, report)
    weights = blend(bench.base_weights, held_out.with_run(fitted.weights), held_out.alpha)
    skipped = held_out.skipped + fitted.skipped

    progress(0.95, "Measuring the new model on your labels")
    answers = bench.opinions_of(weights, bench.windows, whole=True)
    learned_before, learned_after = figures(bench.windows, bench.base_opinions), figures(bench.windows, answers)
    validation = Validation.HELD_OUT if held_out.after else Validation.SEEN
    before, after = held_out.before or learned_before, held_out.after or learned_after
    is_the_base = held_out.after is not None and held_out.alpha == 0
    verdict = judge(before, after, validation, len(bench.patients), is_the_base=is_the_base)
    one_fold = len(bench.patients) > 1 and len(set(folds.values())) == 1
    twice = len(names) - len({group_of(case) for case in cases})
    notes = (
        *first_notes,
        *chained(base.card),
        *bench.notes,
        *_notes(held_out, skipped, plan, one_fold, twice),
        *verdict.reasons,
    )

    older = ancestors(base.card)
    cancel.raise_if_cancelled()
    progress(0.97, "Writing the new version")
    # The card pins all that the weights depend on, and nothing of the patients.
    recipe: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "steps": plan.steps,
        "folds": plan.folds,
        "fold_steps": plan.fold_steps,
        "skipped_steps": skipped,
        "alpha": held_out.alpha,
        "tier": str(bench.tier),
        "precision": bench.precision,
        **bench.frozen_recipe,
        "device": bench.device.type,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # a class of torch by itself, which would follow the card into the window
    }
    lineage: dict[str, Any] = {
        "base": base.card.name,
        "base_sha256": base.card.sha256,
        **({"ancestors": older} if older else {}),
        "label_set_sha256": case_set_sha256(labelled),
        "n_slices": n_labelled_slices(labelled),
        "n_patients": len(bench.patients),
        "split_ledger": digests_of({name: dealt[name] for name in names}),
        "before": before.to_json(),
        "after": after.to_json(),
        "validation": str(validation),
        "learned_before": learned_before.to_json(),
        "learned_after": learned_after.to_json(),
        "worse": verdict.worse,
        "scope": str(verdict.offered_scopes[0]) if verdict.offered_scopes else "",
        "notes": list(notes),
    }
    card = publish_version(folder, weights, base.config, base.card, recipe, lineage)
    progress(1.0, "The new version is ready")
    return FineTuneResult(
        folder=folder,
        card=card,
        before=before,
        after=after,
        learned_before=learned_before,
        learned_after=learned_after,
        validation=validation,
        verdict=verdict,
        steps=plan.steps,
        seconds=budget.seconds,
        alpha=held_out.alpha,
        skipped=skipped,
        changes=slice_changes(bench.windows, bench.base_opinions, answers, bench.pixel_mm),
        notes=notes,
    )


def chained(base: ModelCard) -> tuple[str, ...]:
    """Say that a base was itself fine-tuned, and from what; nothing for one that was not."""
    older = ancestors(base)
    if not older:
        return ()
    root = older[-1]["name"]
    return (
        f"{base.name} was itself fine-tuned from {older[0]['name']}: a model made from it is chained to labels that "
        f"are not in this run. To start from the original base, choose {root}.",
    )


def _plan(bench: Bench, settings: FineTuneSettings, n_folds: int, budget: Stopwatch, progress: Progress) -> Plan:
    """Fix the number of steps: as asked for, or by what a step costs and what is left of the budget."""
    if settings.steps is not None:
        return make_plan(settings, n_folds, step_s=0.0, seconds=0.0)
    progress(0.03, "Measuring how long a step takes")
    step_s = bench.time_a_step()
    # After the steps every window is looked at once per blend, and once by the version.
    measuring_s = bench.measuring_s(step_s, len(blends_of(bench.tier).tried))
    left_s = settings.budget_s * SAFETY - budget.seconds - measuring_s - WRITING_S
    return make_plan(settings, n_folds, step_s, left_s)


def _notes(held_out: HeldOut, skipped: int, plan: Plan, one_fold: bool, twice: int) -> list[str]:
    """Tell what happened on the way, one sentence each."""
    notes = []
    if skipped:
        notes.append(f"{skipped} of {plan.total_steps} training steps were skipped: their loss was not finite.")
    if twice:
        notes.append(
            f"The same image comes under several patients: {twice} of them {'was' if twice == 1 else 'were'} taken as "
            "another one, and not held out by themselves."
        )
    if one_fold:
        notes.append(
            "All labelled patients are of one fold of the split ledger; label one of another to measure the gain."
        )
    if held_out.after is None:
        notes.append(
            f"Nothing was held out, so {held_out.alpha:.0%} of the change was taken: what suits other hearts is not "
            "known."
        )
    return notes
