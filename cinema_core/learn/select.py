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
from cinema_core.learn.signs import DIFFERS_IN_MIRRORS, Sign, doubt_of, signs_of
from cinema_core.measure.plane_rules import shows_heart
from cinema_core.mirror_answers import MirrorAnswers

RV_SHARE: Final = 0.5
"""What a point of the RV's ejection fraction weighs in review against one of the LV's: fewer decisions rest on it."""

SIGNS_SHARE: Final = 0.1
"""What a point that rests on a slice with certain signs of an error weighs against a point by which answers to mirror
images differ. Chosen on every second ACDC patient, measured on the others: docs/decisions/007-ef-at-stake.md."""

USUAL_SPREAD: Final = 0.2
"""What answers to mirror images differ by, as a share of what rests on a slice times its doubt, on average over those
patients: for slices that were drawn without them."""

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
    lv_ef_spread_pct, rv_ef_spread_pct
        Points of each by which the answers to mirror images of this slice differ; all that rests on it if the heart was
        left out. None if the model was shown no mirror images.
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
    lv_ef_spread_pct: float | None
    rv_ef_spread_pct: float | None
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
        """Points of ejection fraction at stake here, those of the RV by half.

        What the answers to mirror images differ by, and a part of what rests on the slice times the doubt: an error
        that all answers share shows in the signs alone. A rank; how far the slice is off may be more than that.
        """
        of_lv, of_rv = self.lv_ef_weight_pct * self.doubt, self.rv_ef_weight_pct * self.doubt
        return _at_stake(of_lv, self.lv_ef_spread_pct) + RV_SHARE * _at_stake(of_rv, self.rv_ef_spread_pct)


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
    mirrors: MirrorAnswers | None = None,
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
    mirrors
        How differently the model drew mirror images; None if it was shown none.
    for_review
        Look for signs and weigh the slices; the teach queue asks for neither, and both take long.
    """
    n_phases, n_slices = labels.shape[:2]
    drawn = list(range(n_phases) if phases is None else phases)
    heart_px = shows_heart(labels).sum(axis=(2, 3))  # (t, z)
    levels = {t: _levels(heart_px[t]) for t in drawn}
    signs: Mapping[tuple[int, int], Sequence[Sign]] = {}
    lv_weights = rv_weights = np.zeros((n_phases, n_slices))
    lv_spreads = rv_spreads = np.full((n_phases, n_slices), np.nan)
    if for_review:
        signs = signs_of(labels, uncertainty, drawn, ed_es, mirrors)
        spreads = mirrors or MirrorAnswers.unknown(n_phases, n_slices)
        lv_weights, lv_spreads = _ef_at_stake_pct(labels == Structure.LV_CAVITY, spreads.lv_spread_px, ed_es)
        rv_weights, rv_spreads = _ef_at_stake_pct(labels == Structure.RV_CAVITY, spreads.rv_spread_px, ed_es)
    return [
        SliceFacts(
            study_id=study_id,
            t=t,
            z=z,
            uncertainty=None if uncertainty is None else float(np.nan_to_num(uncertainty[t, z])),
            signs=tuple(signs.get((t, z), ())),
            lv_ef_weight_pct=float(lv_weights[t, z]),
            rv_ef_weight_pct=float(rv_weights[t, z]),
            lv_ef_spread_pct=_known(lv_spreads[t, z], lv_weights[t, z], left_out=not heart_px[t, z]),
            rv_ef_spread_pct=_known(rv_spreads[t, z], rv_weights[t, z], left_out=not heart_px[t, z]),
            has_heart=bool(heart_px[t, z] or (heart_px[t, :z].any() and heart_px[t, z:].any())),
            state=states.get((t, z), LabelState.ABSENT),
            level=levels[t].get(z),
            phases_from_ed_es=min((_cyclic_distance(t, p, n_phases) for p in ed_es), default=None),
        )
        for t in drawn
        for z in range(n_slices)
    ]


def _at_stake(doubtful_pct: float, spread_pct: float | None) -> float:
    if spread_pct is None:
        return (SIGNS_SHARE + USUAL_SPREAD) * doubtful_pct
    return SIGNS_SHARE * doubtful_pct + spread_pct


def _known(spread_pct: float, weight_pct: float, *, left_out: bool) -> float | None:
    if left_out:
        return float(weight_pct)
    return float(spread_pct) if np.isfinite(spread_pct) else None


def _ef_at_stake_pct(
    cavity: NDArray[np.bool_], spread_px: NDArray[np.floating], ed_es: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a ventricle's ejection fraction that rest on each slice of its cavity, and on a spread of its area.

    EF = 100 (1 - ESV / EDV): a share of ESV moves it by 100 / EDV, the same share of EDV by ESV / EDV of that. Other
    phases matter only if ED or ES moves there: one phase away a slice weighs a quarter, two away a ninth.
    Slices are taken as equally far apart.

    Parameters
    ----------
    cavity
        Shape (t, z, y, x).
    spread_px
        Shape (t, z).

    Returns
    -------
    Both of shape (t, z); the latter is NaN where the spread is.
    """
    area = cavity.sum(axis=(2, 3)).astype(float)  # (t, z)
    inner = area[:, 1:-1]
    # A slice that was left out weighs what its neighbours do.
    inner[:] = np.where(inner == 0, np.minimum(area[:, :-2], area[:, 2:]), inner)
    volume = area.sum(axis=1)  # (t,)
    ed, es = ed_es if len(ed_es) == 2 else (int(volume.argmax()), int(volume.argmin()))
    if volume[ed] == 0:
        return np.zeros_like(area), np.where(np.isnan(spread_px), np.nan, 0.0)
    from_ed, from_es = ([_cyclic_distance(t, phase, len(area)) for t in range(len(area))] for phase in (ed, es))
    at_ed, at_es = 100 * volume[es] / volume[ed] ** 2, 100 / volume[ed]
    per_px = np.maximum(at_ed / (1 + np.array(from_ed)) ** 2, at_es / (1 + np.array(from_es)) ** 2)  # (t,)
    return np.asarray(per_px[:, None] * area), np.asarray(per_px[:, None] * spread_px)


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
    spreads = {"LV": fact.lv_ef_spread_pct or 0.0, "RV": fact.rv_ef_spread_pct or 0.0}
    moved = _points(spreads) if fact.level is not None else ""
    # Said with its size, it need not be said as a sign.
    signs = [sign.reason for sign in fact.signs if not (moved and sign.reason == DIFFERS_IN_MIRRORS)]
    first = [f"drawn from mirror images, the heart differs by {moved}"] if moved else []
    what = "; ".join([*first, *signs][:2]) or "nothing odd, but not looked at"
    known = _points({"LV": fact.lv_ef_weight_pct, "RV": fact.rv_ef_weight_pct})
    return f"{what[0].upper()}{what[1:]}" + (f" ({known} rest on this slice)" if known else "")


def _points(of: Mapping[str, float]) -> str:
    rounded = {name: round(points) for name, points in of.items() if points >= 1}
    return " and ".join(f"{n} point{'' if n == 1 else 's'} of {name} EF" for name, n in rounded.items())
