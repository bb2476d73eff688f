"""What to look at next: the review queue, for today's ejection fraction, and the teach queue, for the model.

The two are kept apart: the slice that endangers a result most is often not the one that teaches most.
Both take :class:`SliceFacts`, so that better rules can be put in without touching who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState, Structure

SLICES_PER_STUDY: Final = 3
"""Teaching takes few slices from each of several studies: neighbours in one heart say much the same."""

PHASE_REACH: Final = 2.0
"""A slice this many phases from ED or ES weighs half as much in review: EF is read off at those two."""


class Queue(StrEnum):
    """Why a slice is suggested."""

    REVIEW = "review"
    TEACH = "teach"


class Level(StrEnum):
    """Third of the predicted heart that a slice lies in, by order along the stack.

    Which end is the base is not asked: strata only need the ends kept apart from the middle.
    """

    FIRST_END = "first end"
    MIDDLE = "middle"
    LAST_END = "last end"


@dataclass(frozen=True)
class SliceFacts:
    """What is known of one predicted slice.

    Attributes
    ----------
    t, z
        Phase and slice, from 0.
    uncertainty
        Mean entropy on the predicted heart, 0 to 1; None if it was not kept.
    heart_px, cavity_px
        Area of all structures, and of the two cavities, in pixels.
    state
        Of the slice's label.
    level
        Third of the heart; None if no heart was predicted here.
    phases_from_ed_es
        Distance to the nearer of ED and ES, around the cycle; None if neither is known.
    """

    study_id: str
    t: int
    z: int
    uncertainty: float | None
    heart_px: int
    cavity_px: int
    state: LabelState
    level: Level | None
    phases_from_ed_es: int | None


@dataclass(frozen=True)
class Suggestion:
    """One slice to look at, and why."""

    study_id: str
    t: int
    z: int
    score: float
    reason: str
    queue: Queue


def slice_facts(
    study_id: str,
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.floating] | None,
    states: Mapping[tuple[int, int], LabelState],
    ed_es: Sequence[int] = (),
    phases: Iterable[int] | None = None,
) -> list[SliceFacts]:
    """Gather the facts of every slice of a study.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    uncertainty
        Shape (t, z); NaN where nothing was predicted. None if it was not kept.
    states
        State of the slices ``(t, z)`` that have one; others are absent.
    ed_es
        Frame indices of ED and ES, as far as known.
    phases
        Phases that were segmented; None for all.
    """
    n_phases, n_slices = labels.shape[:2]
    heart_px = (labels > 0).sum(axis=(2, 3))  # (t, z)
    cavity_px = np.isin(labels, (Structure.RV_CAVITY, Structure.LV_CAVITY)).sum(axis=(2, 3))  # (t, z)
    levels = {t: _levels(heart_px[t]) for t in range(n_phases)}
    return [
        SliceFacts(
            study_id=study_id,
            t=t,
            z=z,
            uncertainty=None if uncertainty is None else float(np.nan_to_num(uncertainty[t, z])),
            heart_px=int(heart_px[t, z]),
            cavity_px=int(cavity_px[t, z]),
            state=states.get((t, z), LabelState.ABSENT),
            level=levels[t].get(z),
            phases_from_ed_es=min((_cyclic_distance(t, p, n_phases) for p in ed_es), default=None),
        )
        for t in (range(n_phases) if phases is None else phases)
        for z in range(n_slices)
    ]


def rank_for_review(facts: Iterable[SliceFacts], limit: int | None = None) -> list[Suggestion]:
    """Order unread slices by how much they may change today's ejection fraction, most first.

    The risk is uncertainty times cavity area, less the further the slice lies from ED and ES. It is a
    stand-in for the effect on EF: a doubtful border moves the volume in proportion to the area it encloses.
    Where uncertainty was not kept, all slices count as equally doubtful.
    """
    unread = [fact for fact in facts if not fact.state.is_teaching and fact.heart_px > 0]
    scored = [(_doubt(fact) * fact.cavity_px * _nearness(fact), fact) for fact in unread]
    scored.sort(key=lambda pair: (-pair[0], pair[1].study_id, pair[1].t, pair[1].z))
    top = max((score for score, _ in scored), default=0.0) or 1.0
    return [
        Suggestion(fact.study_id, fact.t, fact.z, score / top, _review_reason(fact), Queue.REVIEW)
        for score, fact in scored[:limit]
    ]


def rank_for_teaching(facts: Iterable[SliceFacts], limit: int, seed: int = 0) -> list[Suggestion]:
    """Draw slices to label for the model's sake: foreground-aware random.

    Among slices with a predicted heart that nobody has labelled yet, at random but evenly over the heart's
    thirds, ED and ES before other phases, and few per study. No published query rule reliably beats this one
    on cine MR (nnActive, TMLR 2025).
    """
    rng = np.random.default_rng(seed)
    facts = list(facts)
    taken: dict[str, int] = {}
    for fact in facts:
        if fact.state.is_teaching:
            taken[fact.study_id] = taken.get(fact.study_id, 0) + 1
    candidates = [fact for fact in facts if fact.level is not None and not fact.state.is_teaching]
    order = [candidates[k] for k in rng.permutation(len(candidates))]
    # Stable: within a rank the random order stays.
    order.sort(key=lambda fact: (fact.phases_from_ed_es or 0) > 0)
    suggestions: list[Suggestion] = []
    used: dict[Level, int] = dict.fromkeys(Level, 0)
    while order and len(suggestions) < limit:
        # Studies with fewest labels first, then the third of the heart that was drawn least.
        fact = min(order, key=lambda f: (taken.get(f.study_id, 0), (f.phases_from_ed_es or 0) > 0, used[_level(f)]))
        order.remove(fact)
        if taken.get(fact.study_id, 0) >= SLICES_PER_STUDY:
            continue
        taken[fact.study_id] = taken.get(fact.study_id, 0) + 1
        used[_level(fact)] += 1
        score = 1 - len(suggestions) / limit
        suggestions.append(Suggestion(fact.study_id, fact.t, fact.z, score, _teach_reason(fact), Queue.TEACH))
    return suggestions


def _level(fact: SliceFacts) -> Level:
    assert fact.level is not None  # candidates have a heart
    return fact.level


def _levels(heart_px: NDArray[np.integer]) -> dict[int, Level]:
    """Third of the heart of every slice that shows one; heart_px has shape (z,)."""
    with_heart = np.flatnonzero(heart_px)
    thirds = np.arange(len(with_heart)) * 3 // max(len(with_heart), 1)
    names = (Level.FIRST_END, Level.MIDDLE, Level.LAST_END)
    return {int(z): names[int(third)] for z, third in zip(with_heart, thirds, strict=True)}


def _cyclic_distance(t: int, phase: int, n_phases: int) -> int:
    """Phases between two frames of a beat, the shorter way round."""
    distance = abs(t - phase) % n_phases
    return min(distance, n_phases - distance)


def _doubt(fact: SliceFacts) -> float:
    return 1.0 if fact.uncertainty is None else fact.uncertainty


def _nearness(fact: SliceFacts) -> float:
    """Weight of a slice by its phase: 1 at ED and ES, half at :data:`PHASE_REACH` phases away."""
    if fact.phases_from_ed_es is None:
        return 1.0
    return 1 / (1 + fact.phases_from_ed_es / PHASE_REACH)


def _review_reason(fact: SliceFacts) -> str:
    phase = "at ED or ES" if fact.phases_from_ed_es == 0 else f"phase {fact.t + 1}"
    doubt = "" if fact.uncertainty is None else f"uncertainty {fact.uncertainty:.2f}, "
    return f"{phase}, slice {fact.z + 1}: {doubt}cavities {fact.cavity_px} pixels"


def _teach_reason(fact: SliceFacts) -> str:
    return f"chosen at random: {fact.level} of the heart, phase {fact.t + 1}, slice {fact.z + 1}"
