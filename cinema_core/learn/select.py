"""What to look at next: facts of every slice, and the review queue, for today's ejection fraction.

The teach queue, for the model, is kept apart (:mod:`cinema_core.learn.teach`): the slice that endangers a result most
is often not the one that teaches most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState, Structure
from cinema_core.learn.signs import Sign, doubt_of, signs_of
from cinema_core.measure.plane_rules import shows_heart

RV_SHARE: Final = 0.5
"""What a point of the RV's ejection fraction weighs in review against one of the LV's: fewer decisions rest on it."""

BY_CHANCE: Final = "Drawn at random, so that it is known how good the model is"

RANDOM_ONE_IN: Final = 5
"""One suggestion in so many is drawn at random: the share of those that needed a correction says how good the model is,
and the share among those that a rule chose does not."""


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
    signs
        What speaks for a slice that is drawn wrong, the strongest first.
    lv_ef_weight_pct, rv_ef_weight_pct
        Points of each ventricle's ejection fraction that rest on this slice.
    has_heart
        Whether the slice shows a heart, or should: it has one on both sides.
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
    signs: tuple[Sign, ...]
    lv_ef_weight_pct: float
    rv_ef_weight_pct: float
    has_heart: bool
    state: LabelState
    level: Level | None
    phases_from_ed_es: int | None

    @property
    def doubt(self) -> float:
        """How likely the slice is drawn wrong, by all signs together; 0 to 1, a rank and no probability."""
        return doubt_of(self.signs)

    @property
    def risk(self) -> float:
        """Points of ejection fraction at stake here: what rests on the slice, of the RV by half, times the doubt."""
        return (self.lv_ef_weight_pct + RV_SHARE * self.rv_ef_weight_pct) * self.doubt


@dataclass(frozen=True)
class Suggestion:
    """One slice to look at, and why."""

    study_id: str
    t: int
    z: int
    score: float
    reason: str
    queue: Queue
    by_chance: bool = False
    """Whether it was drawn at random among all unread slices, whatever the signs on it."""


def slice_facts(
    study_id: str,
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.floating] | None,
    states: Mapping[tuple[int, int], LabelState],
    ed_es: Sequence[int] = (),
    phases: Iterable[int] | None = None,
    disagreement: NDArray[np.floating] | None = None,
    *,
    for_review: bool = True,
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
    disagreement
        How differently the model drew mirror images, shape (t, z); NaN where that is not known. None if nowhere.
    for_review
        Look for signs and weigh the slices; the teach queue asks for neither, and both take long.
    """
    n_phases, n_slices = labels.shape[:2]
    drawn = list(range(n_phases) if phases is None else phases)
    heart_px = shows_heart(labels).sum(axis=(2, 3))  # (t, z)
    levels = {t: _levels(heart_px[t]) for t in drawn}
    signs: Mapping[tuple[int, int], Sequence[Sign]] = {}
    lv_weights = rv_weights = np.zeros((n_phases, n_slices))
    if for_review:
        signs = signs_of(labels, uncertainty, drawn, ed_es, disagreement)
        lv_weights = _ef_weights_pct(labels == Structure.LV_CAVITY, ed_es)
        rv_weights = _ef_weights_pct(labels == Structure.RV_CAVITY, ed_es)
    return [
        SliceFacts(
            study_id=study_id,
            t=t,
            z=z,
            uncertainty=None if uncertainty is None else float(np.nan_to_num(uncertainty[t, z])),
            signs=tuple(signs.get((t, z), ())),
            lv_ef_weight_pct=float(lv_weights[t, z]),
            rv_ef_weight_pct=float(rv_weights[t, z]),
            has_heart=bool(heart_px[t, z] or (heart_px[t, :z].any() and heart_px[t, z:].any())),
            state=states.get((t, z), LabelState.ABSENT),
            level=levels[t].get(z),
            phases_from_ed_es=min((_cyclic_distance(t, p, n_phases) for p in ed_es), default=None),
        )
        for t in drawn
        for z in range(n_slices)
    ]


def _ef_weights_pct(cavity: NDArray[np.bool_], ed_es: Sequence[int]) -> NDArray[np.float64]:
    """Points of a ventricle's ejection fraction that rest on each slice of its cavity, shape (t, z).

    EF = 100 (1 - ESV / EDV): a share of ESV moves it by 100 / EDV, the same share of EDV by ESV / EDV of that. Other
    phases matter only if ED or ES moves there: one phase away a slice weighs a quarter, two away a ninth.
    Slices are taken as equally far apart.

    Parameters
    ----------
    cavity
        Shape (t, z, y, x).
    """
    area = cavity.sum(axis=(2, 3)).astype(float)  # (t, z)
    inner = area[:, 1:-1]
    # A slice that was left out weighs what its neighbours do.
    inner[:] = np.where(inner == 0, np.minimum(area[:, :-2], area[:, 2:]), inner)
    volume = area.sum(axis=1)  # (t,)
    ed, es = ed_es if len(ed_es) == 2 else (int(volume.argmax()), int(volume.argmin()))
    if volume[ed] == 0:
        return np.zeros_like(area)
    from_ed, from_es = ([_cyclic_distance(t, phase, len(area)) for t in range(len(area))] for phase in (ed, es))
    at_ed, at_es = 100 * volume[es] / volume[ed] ** 2, 100 / volume[ed]
    per_px = np.maximum(at_ed / (1 + np.array(from_ed)) ** 2, at_es / (1 + np.array(from_es)) ** 2)  # (t,)
    return np.asarray(per_px[:, None] * area)


def rank_for_review(facts: Iterable[SliceFacts], limit: int | None = None, seed: int = 0) -> list[Suggestion]:
    """Order unread slices by how much they may change today's ejection fraction, most first; one in five by chance.

    Slices that were read count: a reader who always takes the first suggestion meets one of chance every fifth time.
    Chance draws among all slices with a heart that are unread by then, in an order that is the same at every call: a
    slice that is passed over is not exchanged for another, which would choose the sample.
    """
    known = list(facts)
    unread = [fact for fact in known if not fact.state.is_teaching and fact.has_heart]
    unread.sort(key=lambda fact: (-fact.risk, fact.study_id, fact.t, fact.z))
    n_read = sum(fact.state.is_teaching for fact in known)
    top = max((fact.risk for fact in unread), default=0.0) or 1.0
    queue: list[Suggestion] = []
    while unread and (limit is None or len(queue) < limit):
        by_chance = is_by_chance(n_read + len(queue)) and len(unread) > 1
        fact = min(unread, key=lambda fact: _lot(fact, seed)) if by_chance else unread[0]
        unread.remove(fact)
        reason = f"{BY_CHANCE} ({_review_reason(fact)})" if by_chance else _review_reason(fact)
        queue.append(Suggestion(fact.study_id, fact.t, fact.z, fact.risk / top, reason, Queue.REVIEW, by_chance))
    return queue


def _lot(fact: SliceFacts, seed: int) -> bytes:
    """Return a slice's place in the order of chance: its own, whatever other slices there are."""
    return hashlib.sha256(f"{seed} {fact.study_id} {fact.t} {fact.z}".encode()).digest()


def is_by_chance(place: int) -> bool:
    """Whether the suggestion at a place of a queue, from 0, is drawn at random."""
    return place % RANDOM_ONE_IN == RANDOM_ONE_IN - 1


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


def _review_reason(fact: SliceFacts) -> str:
    """At most two signs in words, and what rests on the slice."""
    what = "; ".join(sign.reason for sign in fact.signs[:2]) or "nothing odd, but not looked at"
    weights = {"LV": fact.lv_ef_weight_pct, "RV": fact.rv_ef_weight_pct}
    known = " and ".join(f"{points:.0f} points of {name} EF" for name, points in weights.items() if points >= 1)
    return f"{what[0].upper()}{what[1:]}" + (f" ({known} rest on this slice)" if known else "")
