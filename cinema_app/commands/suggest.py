"""``cinema suggest``: what to look at next in a project."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from cinema_core.learn.select import SliceFacts, Suggestion
    from cinema_core.project import ChanceEstimate, Project

REVIEW_BASIS: Final = "points of EF at stake: what rests on the slice, times the signs that it is drawn wrong"


class Rule(StrEnum):
    """Rules of the teach queue that need nothing but what a project keeps."""

    FOREGROUND_RANDOM = "foreground-random"
    RANDOM = "random"
    ENTROPY = "entropy"

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        return {
            Rule.FOREGROUND_RANDOM: "random over the thirds of the heart, ED and ES first, few slices per study",
            Rule.RANDOM: "random over all slices",
            Rule.ENTROPY: "where the model is least sure, few slices per study, one in five at random",
        }[self]


def suggest(
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project, NAME.cinema.")],
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Longest queue.")] = 10,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Source of chance.")] = 0,
    rule: Annotated[Rule, typer.Option(help="How slices to teach with are chosen.")] = Rule.FOREGROUND_RANDOM,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Show the two queues: slices to review for today's ejection fraction, slices to label to teach the model.

    Example: cinema suggest --project heart.cinema --limit 5

    Slices that you corrected or accepted are in neither. One slice in five is drawn at random, so that the share of
    these that need a correction tells how good the model is.
    """
    from cinema_app.terminal import say, say_json
    from cinema_core.learn.select import rank_for_review
    from cinema_core.learn.teach import Strategy, rank_for_teaching
    from cinema_core.project import Project

    with Project.open(project) as opened:
        facts = _facts(opened)
        estimate = _estimate(opened)
        short_axis = {record.study_id for record in opened.short_axis_studies()}
    # No model that can be fine-tuned draws on a long axis.
    teaching = [fact for fact in facts if fact.study_id in short_axis]
    queues = {
        "review": (REVIEW_BASIS, rank_for_review(facts, limit, seed)),
        "teach": (rule.basis, rank_for_teaching(teaching, limit, seed, Strategy(rule.value))),
    }
    if as_json:
        answer = {name: _to_json(basis, found) for name, (basis, found) in queues.items()}
        answer["review"]["random"] = _estimate_to_json(estimate)
        say_json(answer)
    else:
        _tell(queues)
        if estimate is not None and estimate.text:
            say(f"{estimate.text}.")


def _facts(project: Project) -> list[SliceFacts]:
    from cinema_app.project_facts import chosen_ed_es, ed_es_by_area
    from cinema_core.learn.select import slice_facts
    from cinema_core.project import study_snapshots

    facts = []
    for snapshot in study_snapshots(project):
        study_id, phases = snapshot.study.study_id, snapshot.labelled_phases
        ed_es = chosen_ed_es(snapshot.phases) or ed_es_by_area(snapshot.labels, phases)
        facts += slice_facts(
            study_id,
            snapshot.labels,
            snapshot.uncertainty,
            snapshot.states,
            ed_es,
            phases,
            snapshot.mirrors,
        )
    return facts


def _estimate(project: Project) -> ChanceEstimate | None:
    """How good the project's model is by its random slices; None if its files are gone."""
    from cinema_core.cards import resolve_model
    from cinema_core.errors import CheckpointError

    try:
        card = resolve_model(project.current_model(), project_models=project.models_folder).card
    except CheckpointError:
        return None
    return project.chance_estimate(card.sha256)


def _estimate_to_json(found: ChanceEstimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "slices": found.n,
        "accepted_as_drawn": found.n_as_drawn,
        "undecided": found.n_open,
        "interval_95": [round(end, 4) for end in found.interval] if found.n else None,
        "mean_dice_corrected": None if found.mean_dice_corrected is None else round(found.mean_dice_corrected, 4),
    }


def _to_json(basis: str, found: list[Suggestion]) -> dict[str, Any]:
    slices = [
        {
            "study_id": s.study_id,
            "t": s.t,
            "z": s.z,
            "score": round(s.score, 4),
            "reason": s.reason,
            "by_chance": s.by_chance,
        }
        for s in found
    ]
    return {"basis": basis, "slices": slices}


def _tell(queues: dict[str, tuple[str, list[Suggestion]]]) -> None:
    from cinema_app.terminal import say, say_table

    for name, (basis, found) in queues.items():
        say(f"{name.capitalize()} (by {basis})")
        if found:
            rows = [(s.study_id, str(s.t + 1), str(s.z + 1), s.reason) for s in found]
            say_table(("Study", "Phase", "Slice", "Why"), rows)
        else:
            say("Nothing: segment a study first, or all of its slices are done.")
        say()
