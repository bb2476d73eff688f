"""``cinema suggest``: what to look at next in a project."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from cinema_core.learn.select import SliceFacts, Suggestion
    from cinema_core.project import Project, StudySnapshot

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
    from cinema_app.terminal import say_json
    from cinema_core.learn.select import rank_for_review
    from cinema_core.learn.teach import Strategy, rank_for_teaching
    from cinema_core.project import Project

    with Project.open(project) as opened:
        facts = _facts(opened)
    queues = {
        "review": (REVIEW_BASIS, rank_for_review(facts, limit, seed)),
        "teach": (rule.basis, rank_for_teaching(facts, limit, seed, Strategy(rule.value))),
    }
    if as_json:
        say_json({name: _to_json(basis, found) for name, (basis, found) in queues.items()})
    else:
        _tell(queues)


def _facts(project: Project) -> list[SliceFacts]:
    from cinema_core.learn.select import slice_facts
    from cinema_core.project import study_snapshots

    facts = []
    for snapshot in study_snapshots(project):
        study_id, phases = snapshot.study.study_id, snapshot.labelled_phases
        facts += slice_facts(
            study_id,
            snapshot.labels,
            snapshot.uncertainty,
            snapshot.states,
            _ed_es(snapshot),
            phases,
            snapshot.disagreement,
        )
    return facts


def _ed_es(snapshot: StudySnapshot) -> tuple[int, ...]:
    """ED and ES as chosen, else where the LV cavity covers most and fewest pixels; empty if neither is known."""
    from cinema_core.anatomy import Structure

    if snapshot.phases is not None:
        return snapshot.phases.ed_phase, snapshot.phases.es_phase
    cavity_px = {t: int((snapshot.labels[t] == Structure.LV_CAVITY).sum()) for t in snapshot.labelled_phases}
    if len(cavity_px) < 2:
        return ()
    return max(cavity_px, key=lambda t: cavity_px[t]), min(cavity_px, key=lambda t: cavity_px[t])


def _to_json(basis: str, found: list[Suggestion]) -> dict[str, Any]:
    slices = [
        {"study_id": s.study_id, "t": s.t, "z": s.z, "score": round(s.score, 4), "reason": s.reason} for s in found
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
