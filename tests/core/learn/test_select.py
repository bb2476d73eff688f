from dataclasses import replace

import numpy as np
import pytest
from made_up_facts import fact, heart, mirrors

from cinema_core.anatomy import LabelState
from cinema_core.learn.select import BY_CHANCE, Level, Queue, rank_for_review, slice_facts
from cinema_core.learn.signs import DIFFERS_IN_MIRRORS, Sign

UNSURE = Sign(0.5, "the model is unsure of the borders")


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
    (suggestion,) = rank_for_review([fact(z=4, signs=(UNSURE,))])
    assert suggestion.reason == "The model is unsure of the borders (5 points of LV EF rest on this slice)"
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


def test_what_mirror_images_differ_by_is_at_stake_in_points_of_ejection_fraction() -> None:
    labels = heart(n_phases=2)
    labels[1, 1:7, 8:12, 8:12] = 2
    labels[1, 1:7, 8:12, 8:10] = 3  # 96 pixels at ED, 48 at ES
    apart = np.zeros((2, 8))
    apart[0, 2], apart[1, 4] = 4, 2
    facts = {(f.t, f.z): f for f in slice_facts("a", labels, None, {}, (0, 1), mirrors=mirrors(0.0, apart))}
    assert facts[0, 2].lv_ef_spread_pct == pytest.approx(100 * 48 / 96**2 * 4)
    assert facts[1, 4].lv_ef_spread_pct == pytest.approx(100 / 96 * 2)
    assert facts[1, 2].lv_ef_spread_pct == facts[1, 2].rv_ef_spread_pct == 0
    first, second, *_ = rank_for_review(facts.values())
    assert {(first.t, first.z), (second.t, second.z)} == {(0, 2), (1, 4)}
    assert first.reason.startswith("Drawn from mirror images, the heart differs by 2 points of LV EF")


def test_a_cavity_that_was_left_out_is_at_stake_as_a_whole_though_every_mirror_image_lacks_it() -> None:
    labels = heart(n_phases=2)
    labels[0, 3] = 0
    apart = np.full((2, 8), 2.0)
    apart[0, 3] = 0
    facts = {(f.t, f.z): f for f in slice_facts("a", labels, None, {}, (0, 1), mirrors=mirrors(0.1, apart))}
    assert facts[0, 3].lv_ef_spread_pct == facts[0, 3].lv_ef_weight_pct > 5
    (first, *_) = rank_for_review(facts.values())
    assert (first.t, first.z) == (0, 3)
    assert first.reason.startswith("No heart here, but on both sides (")


def test_a_slice_drawn_without_mirror_images_ranks_among_the_others() -> None:
    doubtful = {"signs": (UNSURE,)}
    known = [fact(z=z, **doubtful, lv_ef_spread_pct=spread) for z, spread in enumerate((0.0, 0.4, 0.6))]
    ranked = rank_for_review([*known, fact(z=3, **doubtful)])
    assert [s.z for s in ranked] == [2, 3, 1, 0]


def test_a_difference_that_is_said_in_points_is_not_said_twice() -> None:
    signs = (Sign(0.9, DIFFERS_IN_MIRRORS), UNSURE)
    (found,) = rank_for_review([fact(signs=signs, lv_ef_spread_pct=3.0, rv_ef_spread_pct=1.2)])
    assert found.reason == (
        "Drawn from mirror images, the heart differs by 3 points of LV EF and 1 point of RV EF; "
        "the model is unsure of the borders (5 points of LV EF rest on this slice)"
    )
    (small,) = rank_for_review([fact(signs=signs, lv_ef_spread_pct=0.4)])
    assert small.reason.startswith("The model draws it differently when the image is mirrored; the model is unsure")


def test_thirds_of_the_heart_follow_the_slices_that_show_it() -> None:
    facts = slice_facts("a", heart(n_phases=1), np.zeros((1, 8)), {})
    assert [f.level for f in facts] == [
        None,
        *(Level.FIRST_END,) * 2,
        *(Level.MIDDLE,) * 2,
        *(Level.LAST_END,) * 2,
        None,
    ]


def test_one_suggestion_in_five_is_drawn_at_random_whatever_was_read_before() -> None:
    facts = [fact(z=z, signs=(Sign(0.9 - 0.02 * z, "the ring is open"),)) for z in range(20)]
    queue = rank_for_review(facts, seed=3)
    assert sorted(s.z for s in queue) == list(range(20))
    assert [k for k, s in enumerate(queue) if s.reason.startswith(BY_CHANCE)] == [4, 9, 14]  # the last has no choice
    assert [s.z for s in queue[:4]] == [0, 1, 2, 3]
    # A reader who always takes the first one meets chance, too.
    read = [fact(z=z, state=LabelState.CORRECTED if z < 4 else LabelState.PREDICTED) for z in range(20)]
    firsts = {rank_for_review(read, limit=1, seed=seed)[0].z for seed in range(30)}
    assert len(firsts) > 5


def test_chance_draws_among_all_unread_slices_and_keeps_to_its_draw() -> None:
    read = [fact(t=1, z=z, state=LabelState.ACCEPTED) for z in range(4)]
    facts = [fact(z=z, signs=(Sign(0.9 - 0.1 * z, "the ring is open"),)) for z in range(6)]
    draws = [rank_for_review([*read, *facts], seed=seed)[0] for seed in range(60)]
    assert all(first.by_chance for first in draws)
    assert {first.z for first in draws} == set(range(6))  # of all, whatever the risk
    for seed in range(20):
        queue = rank_for_review(facts, seed=seed)
        assert [s.by_chance for s in queue] == [False] * 4 + [True, False]
        assert [s.z for s in queue[:4]] == [0, 1, 2, 3]  # what is most at risk is not put off
        before = [replace(f, state=LabelState.ACCEPTED) if f.z < 4 else f for f in facts]
        (first, *_) = rank_for_review(before, seed=seed)
        assert (first.z, first.by_chance) == (queue[4].z, True)


def test_an_empty_review_is_an_empty_list() -> None:
    assert rank_for_review([], 5) == []
