"""Which slices to label so that the model learns most: the teach queue, by one of several rules.

The rules differ in how a slice is chosen among those that nobody has labelled; all but plain random take few slices
per study, because neighbours in one heart say much the same. Which rule is best is an open question: none published
reliably beats foreground-aware random on cine MR (nnActive, TMLR 2025). It is the default;
``python -m training.label_efficiency`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.errors import InputError
from cinema_core.learn.select import BY_CHANCE, Level, Queue, SliceFacts, Suggestion, is_by_chance

SLICES_PER_STUDY: Final = 3

FIRST_SHARPNESS: Final = 4.0
"""How strongly entropy counts against chance in the first round; it doubles with each further round."""

NEAREST: Final = 5
"""Neighbours that say how typical a slice is of its cluster."""


KMEANS_RUNS: Final = 5


class Strategy(StrEnum):
    """How the teach queue chooses."""

    FOREGROUND_RANDOM = "foreground-random"
    """At random among slices with a heart, evenly over its thirds, ED and ES first."""
    RANDOM = "random"
    """At random among all slices."""
    ENTROPY = "entropy"
    """Where the model is least sure of the heart."""
    CLASS_ENTROPY = "class-entropy"
    """Where it is least sure of RV, muscle and LV in turn, with chance that counts less from round to round."""
    DIVERSE = "diverse"
    """Typical slices of the groups that the encoder's features fall into: for the first round, without any label."""


BY_CHANCE_ALONE: Final = (Strategy.FOREGROUND_RANDOM, Strategy.RANDOM)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is known of a slice for the model's sake.

    Attributes
    ----------
    facts
        What review knows of it.
    structure_uncertainty
        Mean entropy where each structure is drawn, 0 to 1, in the order of
        :data:`~cinema_core.anatomy.FOREGROUND`; None if it is not known.
    embedding
        Mean of the encoder's features over the slice, shape (n,); None if it is not known.
    """

    facts: SliceFacts
    structure_uncertainty: tuple[float, float, float] | None = None
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Choice:
    """One candidate in the order of a rule, and why."""

    candidate: Candidate
    reason: str


def rank_for_teaching(
    slices: Iterable[SliceFacts | Candidate],
    limit: int,
    seed: int = 0,
    strategy: Strategy = Strategy.FOREGROUND_RANDOM,
    n_rounds: int = 0,
    per_study: int = SLICES_PER_STUDY,
) -> list[Suggestion]:
    """Choose slices to label for the model's sake, the first of them first.

    Parameters
    ----------
    slices
        All slices that were predicted; those that a reader vouched for count as taken.
    limit
        Longest queue.
    seed
        Source of all chance.
    strategy
        The rule.
    n_rounds
        How often the model was fine-tuned on these studies before; only ``class-entropy`` asks for it.
    per_study
        No more labelled slices of a study than this; ``random`` does not look at it.

    Raises
    ------
    InputError
        If the rule needs what is not known of the slices.
    """
    given = [s if isinstance(s, Candidate) else Candidate(s) for s in slices]
    rng = np.random.default_rng([seed, n_rounds])
    open_ = [c for c in given if not c.facts.state.is_teaching]
    if strategy is not Strategy.RANDOM:
        open_ = [c for c in open_ if c.facts.level is not None]
    taken: dict[str, int] = {}
    for candidate in given:
        if candidate.facts.state.is_teaching:
            taken[candidate.facts.study_id] = taken.get(candidate.facts.study_id, 0) + 1
    shuffled = [open_[k] for k in rng.permutation(len(open_))]
    rules: dict[Strategy, Callable[[], Iterable[_Choice]]] = {
        Strategy.FOREGROUND_RANDOM: lambda: _foreground_random(shuffled, taken, per_study),
        Strategy.RANDOM: lambda: (_Choice(c, "Drawn at random") for c in shuffled),
        Strategy.ENTROPY: lambda: _by_entropy(shuffled),
        Strategy.CLASS_ENTROPY: lambda: _by_class_entropy(shuffled, rng, n_rounds),
        Strategy.DIVERSE: lambda: _diverse(given, shuffled, limit, rng),
    }
    by_rule = iter(rules[strategy]())
    by_chance = (_Choice(c, BY_CHANCE) for c in shuffled)
    n_read = sum(c.facts.state.is_teaching for c in given)
    done: set[tuple[str, int, int]] = set()
    queue: list[Suggestion] = []

    def next_of(choices: Iterator[_Choice]) -> _Choice | None:
        """First choice that was not made yet and whose study is not full; what is passed over is gone."""
        for choice in choices:
            facts = choice.candidate.facts
            full = strategy is not Strategy.RANDOM and taken.get(facts.study_id, 0) >= per_study
            if not full and (facts.study_id, facts.t, facts.z) not in done:
                return choice
        return None

    while len(queue) < limit:
        # Where a rule is chance itself there is nothing to keep honest.
        honest = strategy not in BY_CHANCE_ALONE and is_by_chance(n_read + len(queue))
        choice = (next_of(by_chance) if honest else None) or next_of(by_rule)
        if choice is None:
            break
        facts = choice.candidate.facts
        done.add((facts.study_id, facts.t, facts.z))
        taken[facts.study_id] = taken.get(facts.study_id, 0) + 1
        score = 1 - len(queue) / limit
        queue.append(Suggestion(facts.study_id, facts.t, facts.z, score, _told(choice), Queue.TEACH))
    return queue


def _told(choice: _Choice) -> str:
    facts = choice.candidate.facts
    where = f"phase {facts.t + 1}, slice {facts.z + 1}"
    return f"{choice.reason}: {facts.level} of the heart, {where}" if facts.level else f"{choice.reason}: {where}"


def _foreground_random(shuffled: Sequence[Candidate], taken: dict[str, int], per_study: int) -> Iterable[_Choice]:
    """Studies with fewest labels first, ED and ES before other phases, the third of the heart drawn least.

    ``taken`` is looked at anew before each choice: it grows with the queue.
    """
    order = list(shuffled)
    used: dict[Level, int] = dict.fromkeys(Level, 0)
    # A full study stays full: looking at its slices again and again takes seconds in a large project.
    while order := [c for c in order if taken.get(c.facts.study_id, 0) < per_study]:
        best = min(
            order,
            key=lambda c: (taken.get(c.facts.study_id, 0), (c.facts.phases_from_ed_es or 0) > 0, used[_level(c)]),
        )
        order = [c for c in order if c is not best]
        used[_level(best)] += 1
        yield _Choice(best, "Drawn at random")


def _level(candidate: Candidate) -> Level:
    assert candidate.facts.level is not None  # candidates have a heart
    return candidate.facts.level


def _by_entropy(shuffled: Sequence[Candidate]) -> Iterable[_Choice]:
    known = [c for c in shuffled if c.facts.uncertainty is not None]
    if shuffled and not known:
        raise InputError(
            "How unsure the model was of these slices is not known. Segment the studies again, or choose another rule."
        )
    known.sort(key=lambda c: -(c.facts.uncertainty or 0.0))
    return (_Choice(c, f"The model is unsure of its borders ({c.facts.uncertainty:.0%})") for c in known)


def _by_class_entropy(shuffled: Sequence[Candidate], rng: np.random.Generator, n_rounds: int) -> Iterable[_Choice]:
    """Take the structures in turn, and of each draw slices by their entropy to a power that grows with the rounds.

    After stochastic batch acquisition (arXiv 2106.12059) and ClaSP PE (arXiv 2601.13677).
    """
    known = [(c, c.structure_uncertainty) for c in shuffled if c.structure_uncertainty is not None]
    if shuffled and not known:
        raise InputError(
            "How unsure the model was of each structure is not known of these slices. Choose another rule."
        )
    sharpness = FIRST_SHARPNESS * 2.0**n_rounds
    order: dict[Structure, list[Candidate]] = {}
    for k, structure in enumerate(FOREGROUND):
        # The largest of log-weights with Gumbel noise is a draw by weight.
        weights = [sharpness * np.log(max(values[k], 1e-6)) + rng.gumbel() for _, values in known]
        drawn = [(c, values[k]) for c, values in known]
        by_weight = sorted(range(len(known)), key=lambda i: -weights[i])
        order[structure] = [drawn[i][0] for i in by_weight if drawn[i][1] > 0]
    for place in range(max((len(members) for members in order.values()), default=0)):
        for structure, members in order.items():
            if place < len(members):
                yield _Choice(members[place], f"The model is unsure of the {structure.display_name}")


def _diverse(
    given: Sequence[Candidate], shuffled: Sequence[Candidate], limit: int, rng: np.random.Generator
) -> Iterable[_Choice]:
    """Take the most typical slice of each group that holds no label, the largest group first.

    After TypiClust (arXiv 2202.02794).
    """
    known = [c for c in given if c.embedding is not None and (c.facts.level or c.facts.state.is_teaching)]
    open_ = {id(c) for c in shuffled}
    if shuffled and not any(id(c) in open_ for c in known):
        raise InputError("The encoder's features are not known of these slices. Choose another rule.")
    if not known:
        return
    features = np.stack([np.asarray(c.embedding, dtype=np.float64) for c in known])
    n_labelled = sum(c.facts.state.is_teaching for c in known)
    n_groups = min(n_labelled + limit, len(known))
    group = _groups(features, n_groups, rng)
    typical = _typicality(features, group)
    covered = {int(group[k]) for k, c in enumerate(known) if c.facts.state.is_teaching}
    sizes = np.bincount(group, minlength=n_groups)
    order = sorted(range(n_groups), key=lambda g: (g in covered, -sizes[g]))
    members = {g: sorted(np.flatnonzero(group == g), key=lambda k: -typical[k]) for g in order}
    for place in range(int(sizes.max())):
        for g in order:
            if place < len(members[g]) and id(known[members[g][place]]) in open_:
                yield _Choice(known[members[g][place]], f"Typical of {sizes[g]} slices that look alike")


def _groups(features: NDArray[np.float64], n_groups: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Group of each row, by the tightest of a few runs of k-means; shape (n,)."""
    runs = []
    for _ in range(KMEANS_RUNS):
        centres, group = kmeans2(features, n_groups, minit="++", rng=rng)
        runs.append((float(((features - centres[group]) ** 2).sum()), group))
    return min(runs, key=lambda run: run[0])[1]


def _typicality(features: NDArray[np.float64], group: NDArray[np.integer]) -> NDArray[np.float64]:
    """Inverse of the mean distance to the nearest neighbours within the group; shape (n,)."""
    typical = np.zeros(len(features))
    for g in np.unique(group):
        own = np.flatnonzero(group == g)
        apart = np.sort(cdist(features[own], features[own]), axis=1)[:, 1 : NEAREST + 1]
        typical[own] = 1 / (apart.mean(axis=1) + 1e-9) if apart.shape[1] else 1.0
    return typical
