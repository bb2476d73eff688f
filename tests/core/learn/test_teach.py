from collections.abc import Sequence

import numpy as np
import pytest
from made_up_facts import fact, heart

from cinema_core.anatomy import LabelState
from cinema_core.errors import InputError
from cinema_core.learn.select import BY_CHANCE, Level, SliceFacts, slice_facts
from cinema_core.learn.teach import SLICES_PER_STUDY, Candidate, Strategy, rank_for_teaching

RULES = [Strategy.ENTROPY, Strategy.CLASS_ENTROPY, Strategy.DIVERSE]


def pool(n_studies: int = 12, per_study: int = 6) -> list[Candidate]:
    """Slices of several studies, each with all that any rule asks for."""
    rng = np.random.default_rng(0)
    return [
        Candidate(
            fact(f"study{s:02d}", z=z, uncertainty=float(rng.random()), level=list(Level)[z * 3 // per_study]),
            tuple(rng.random(3)),
            rng.normal(size=8).astype(np.float32),
        )
        for s in range(n_studies)
        for z in range(per_study)
    ]


def studies(queue: Sequence[object]) -> list[str]:
    return [s.study_id for s in queue]  # type: ignore[attr-defined]


def test_teaching_spreads_over_studies_thirds_and_takes_ed_and_es_first() -> None:
    facts = [f for study in "abc" for f in slice_facts(study, heart(n_phases=10), np.zeros((10, 8)), {}, ed_es=(0, 4))]
    drawn = rank_for_teaching(facts, limit=9, seed=3)
    assert {study: sum(s.study_id == study for s in drawn) for study in "abc"} == {"a": 3, "b": 3, "c": 3}
    assert {s.t for s in drawn} <= {0, 4}
    level = {(f.study_id, f.t, f.z): f.level for f in facts}
    assert [sum(level[s.study_id, s.t, s.z] is third for s in drawn) for third in Level] == [3, 3, 3]


def test_teaching_leaves_studies_with_enough_labels_alone() -> None:
    labelled = [fact("a", z=z, state=LabelState.CORRECTED) for z in range(3)]
    drawn = rank_for_teaching([*labelled, fact("a", z=4), fact("b", z=4)], limit=5)
    assert [s.study_id for s in drawn] == ["b"]


def test_teaching_is_repeatable_from_its_seed_and_differs_between_seeds() -> None:
    facts = slice_facts("a", heart(), np.zeros((4, 8)), {})
    assert rank_for_teaching(facts, 3, seed=1) == rank_for_teaching(facts, 3, seed=1)
    assert len({tuple((s.t, s.z) for s in rank_for_teaching(facts, 3, seed=k)) for k in range(8)}) > 1


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_empty_queue_is_an_empty_list(strategy: Strategy) -> None:
    assert rank_for_teaching([fact(state=LabelState.ACCEPTED)], 5, strategy=strategy) == []
    assert rank_for_teaching([], 5, strategy=strategy) == []


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_rule_repeats_itself_takes_no_slice_twice_and_never_a_labelled_one(strategy: Strategy) -> None:
    known = pool()
    known[0] = Candidate(
        fact("study00", z=0, state=LabelState.CORRECTED), known[0].structure_uncertainty, known[0].embedding
    )
    queue = rank_for_teaching(known, 20, seed=2, strategy=strategy)
    assert queue == rank_for_teaching(known, 20, seed=2, strategy=strategy)
    slices = [(s.study_id, s.t, s.z) for s in queue]
    assert len(slices) == len(set(slices)) == 20
    assert ("study00", 0, 0) not in slices
    if strategy is not Strategy.RANDOM:
        of = studies(queue)
        assert max(of.count(study) for study in of) <= SLICES_PER_STUDY
        assert of.count("study00") <= SLICES_PER_STUDY - 1


@pytest.mark.parametrize("strategy", RULES)
def test_every_fifth_slice_of_a_rule_is_drawn_at_random(strategy: Strategy) -> None:
    queue = rank_for_teaching(pool(), 15, strategy=strategy)
    assert [k for k, s in enumerate(queue) if s.reason.startswith(BY_CHANCE)] == [4, 9, 14]


def test_entropy_takes_the_least_sure_slices() -> None:
    known = pool(n_studies=30, per_study=1)
    queue = rank_for_teaching(known, 4, strategy=Strategy.ENTROPY)
    least_sure = sorted(known, key=lambda c: -(c.facts.uncertainty or 0))[:4]
    assert studies(queue) == [c.facts.study_id for c in least_sure]


def test_entropy_by_class_takes_the_structures_in_turn_and_gets_stricter_with_the_rounds() -> None:
    known = [
        Candidate(fact(f"study{k:03d}"), tuple(float(k % 3 == structure) * (k + 1) / 100 for structure in range(3)))
        for k in range(90)
    ]
    strict = rank_for_teaching(known, 3, strategy=Strategy.CLASS_ENTROPY, n_rounds=12)
    assert [s.study_id for s in strict] == ["study087", "study088", "study089"]
    assert ["RV" in s.reason for s in strict] == [True, False, False]
    loose = {rank_for_teaching(known, 1, seed=k, strategy=Strategy.CLASS_ENTROPY)[0].study_id for k in range(20)}
    assert len(loose) > 3


def test_diversity_takes_one_slice_of_each_group_and_leaves_labelled_groups_for_last() -> None:
    rng = np.random.default_rng(1)
    centres = 20 * np.eye(4, 8)
    known = [
        Candidate(
            fact(f"study{k:02d}", state=LabelState.ACCEPTED if k == 0 else LabelState.PREDICTED),
            embedding=(centres[k % 4] + rng.normal(size=8)).astype(np.float32),
        )
        for k in range(40)
    ]
    queue = rank_for_teaching(known, 3, strategy=Strategy.DIVERSE)
    assert sorted(int(s.study_id[-2:]) % 4 for s in queue) == [1, 2, 3]


@pytest.mark.parametrize("strategy", RULES)
def test_a_rule_says_what_it_lacks(strategy: Strategy) -> None:
    with pytest.raises(InputError, match="hoose another rule"):
        rank_for_teaching([fact(uncertainty=None)], 1, strategy=strategy)


def test_plain_random_also_draws_slices_without_a_heart() -> None:
    facts: list[SliceFacts] = slice_facts("a", heart(), np.zeros((4, 8)), {})
    drawn = rank_for_teaching(facts, 32, strategy=Strategy.RANDOM)
    assert len(drawn) == 32
    assert {s.z for s in drawn} == set(range(8))
