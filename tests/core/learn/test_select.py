import numpy as np
import pytest

from cinema_core.anatomy import LabelState
from cinema_core.learn.select import Level, Queue, SliceFacts, rank_for_review, rank_for_teaching, slice_facts
from cinema_core.learn.signs import Sign

UNSURE = Sign(0.5, "the model is unsure of the borders")


def fact(study: str = "a", t: int = 0, z: int = 0, **changes: object) -> SliceFacts:
    values: dict[str, object] = {
        "uncertainty": 0.2,
        "signs": (),
        "lv_ef_weight_pct": 5.0,
        "rv_ef_weight_pct": 0.0,
        "has_heart": True,
        "state": LabelState.PREDICTED,
        "level": Level.MIDDLE,
        "phases_from_ed_es": 0,
    }
    return SliceFacts(study, t, z, **{**values, **changes})  # type: ignore[arg-type]


def heart(n_phases: int = 4, n_slices: int = 8) -> np.ndarray:
    labels = np.zeros((n_phases, n_slices, 20, 20), dtype=np.uint8)
    labels[:, 1:7, 5:15, 5:15] = 2
    labels[:, 1:7, 8:12, 8:12] = 3
    return labels


def test_most_is_at_stake_where_doubt_meets_weight() -> None:
    facts = [
        fact(z=0),
        fact(z=1, signs=(UNSURE,)),
        fact(z=2, signs=(UNSURE,), lv_ef_weight_pct=9.0),
        fact(z=3, signs=(UNSURE, Sign(0.5, "the ring of muscle around the LV is open"))),
    ]
    ranked = rank_for_review(facts)
    assert [s.z for s in ranked] == [2, 3, 1, 0]
    assert [round(s.score, 2) for s in ranked] == [1, 0.83, 0.56, 0]
    assert ranked[0].queue is Queue.REVIEW


def test_slices_already_read_or_without_a_heart_are_not_reviewed() -> None:
    facts = [fact(state=LabelState.CORRECTED), fact(z=1, state=LabelState.ACCEPTED), fact(z=2, has_heart=False)]
    assert rank_for_review(facts) == []


def test_every_suggestion_says_why() -> None:
    suggestions = rank_for_review([fact(z=4, signs=(UNSURE,))]) + rank_for_teaching([fact(z=4)], limit=1)
    assert suggestions[0].reason == "The model is unsure of the borders (5 points of LV EF rest on this slice)"
    assert "random" in suggestions[1].reason
    (both,) = rank_for_review([fact(rv_ef_weight_pct=3.0)])
    assert "(5 points of LV EF and 3 points of RV EF rest on this slice)" in both.reason
    assert rank_for_review([fact(lv_ef_weight_pct=0)])[0].reason == "Nothing odd, but not looked at"


def test_facts_of_a_study_count_phases_around_the_cycle() -> None:
    labels = heart(n_phases=10)
    facts = slice_facts("a", labels, np.full((10, 8), 0.1), {(9, 3): LabelState.CORRECTED}, ed_es=(0, 4))
    last = next(f for f in facts if (f.t, f.z) == (9, 3))
    assert last.has_heart
    assert last.phases_from_ed_es == 1
    assert last.state is LabelState.CORRECTED


def test_weights_at_ed_and_es_are_what_leaving_the_slice_out_does_to_ef() -> None:
    labels = heart(n_phases=10, n_slices=300)
    labels[4][labels[4] == 3] = 2
    labels[4, 1:7, 8:12, 8:10] = 3  # half of the cavity is left at ES
    labels[:, 10:200] = labels[:, 3:4]  # a long heart: one slice moves EF as its derivative says
    facts = {(f.t, f.z): f for f in slice_facts("a", labels, None, {}, ed_es=(0, 4))}
    volume = (labels == 3).sum(axis=(2, 3)).astype(float)
    for t in (0, 4):
        without = volume.copy()
        without[t, 100] = 0
        change = 100 * (without[4].sum() / without[0].sum() - volume[4].sum() / volume[0].sum())
        assert facts[t, 100].lv_ef_weight_pct == pytest.approx(abs(change), rel=0.02)
    assert facts[1, 100].lv_ef_weight_pct < facts[0, 100].lv_ef_weight_pct / 3


def test_a_slice_that_was_left_out_weighs_what_its_neighbours_do() -> None:
    labels = heart(n_phases=2)
    labels[0, 3] = 0
    facts = {(f.t, f.z): f for f in slice_facts("a", labels, None, {}, ed_es=(0, 1))}
    assert facts[0, 3].has_heart
    assert facts[0, 3].lv_ef_weight_pct == pytest.approx(facts[0, 2].lv_ef_weight_pct)
    assert not facts[0, 7].has_heart
    (first, *_) = rank_for_review(facts.values())
    assert (first.t, first.z) == (0, 3)
    assert first.reason.startswith("No heart here, but on both sides")


def test_thirds_of_the_heart_follow_the_slices_that_show_it() -> None:
    facts = slice_facts("a", heart(n_phases=1), np.zeros((1, 8)), {})
    assert [f.level for f in facts] == [
        None,
        *(Level.FIRST_END,) * 2,
        *(Level.MIDDLE,) * 2,
        *(Level.LAST_END,) * 2,
        None,
    ]


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


@pytest.mark.parametrize("limit", [1, 5])
def test_an_empty_queue_is_an_empty_list(limit: int) -> None:
    assert rank_for_teaching([fact(state=LabelState.ACCEPTED)], limit) == []
    assert rank_for_review([], limit) == []
