"""How differently mirror images are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.predict.disagreement import compare_mirrors


def said(labels: np.ndarray) -> np.ndarray:
    """Probabilities (c, x, y, z) of an answer that is nearly sure of labels (x, y, z)."""
    return (0.04 + 0.84 * (np.arange(4)[:, None, None, None] == labels)).astype(np.float32)


def drawn() -> np.ndarray:
    labels = np.zeros((20, 18, 4), dtype=np.uint8)
    labels[4:12, 4:12, :3] = 2
    labels[6:10, 6:10, :3] = 3  # nothing on the last slice
    return labels


def test_answers_that_are_the_same_do_not_disagree() -> None:
    np.testing.assert_array_equal(compare_mirrors([said(drawn())] * 3), np.zeros((4, 3)))


def test_only_the_slice_that_is_drawn_differently_tells_it_and_by_how_much() -> None:
    other = drawn()
    other[6:10, 6:8, 1] = 2  # half of the cavity
    found, lv_spread, rv_spread = compare_mirrors([said(drawn()), said(drawn()), said(other)]).T
    # The mean of three is what two of them say. Cavity: 2 * 8 / (8 + 16) of the third; muscle: 2 * 48 / (56 + 48).
    expected = 1 - (4 + 16 / 24 + 96 / 104) / 6
    np.testing.assert_allclose(found, [0, expected, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(lv_spread, [0, 8, 0, 0])
    np.testing.assert_array_equal(rv_spread, 0)


def test_a_structure_that_one_answer_alone_draws_counts_against_it() -> None:
    other = drawn()
    other[14:17, 14:17, 3] = 1
    found, lv_spread, rv_spread = compare_mirrors([said(drawn()), said(drawn()), said(other)]).T
    np.testing.assert_allclose(found, [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(lv_spread, 0)
    np.testing.assert_array_equal(rv_spread, [0, 0, 0, 9])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_by_looking_only_where_a_heart_may_be(seed: int) -> None:
    """Doubtful pixels far from the heart, where the background is likeliest by a hair, or hardly not."""
    random = np.random.default_rng(seed)
    answers = [random.dirichlet((2, 1, 1, 1), (20, 18, 4)).transpose(3, 0, 1, 2).astype(np.float32) for _ in range(3)]
    shares = []
    together = np.mean(answers, axis=0).argmax(axis=0)
    for z in range(4):
        of_slice = [
            2 * ((a == s) & (b == s)).sum() / ((a == s).sum() + (b == s).sum())
            for answer in answers
            for s in (1, 2, 3)
            for a, b in [(answer.argmax(axis=0)[..., z], together[..., z])]
        ]
        shares.append(1 - np.mean(of_slice))
    areas = np.array([[(answer.argmax(axis=0) == s).sum(axis=(0, 1)) for s in (3, 1)] for answer in answers])
    np.testing.assert_allclose(compare_mirrors(answers).T, [shares, *np.ptp(areas, axis=0)], atol=1e-6)


def test_an_empty_image_has_nothing_to_disagree_on() -> None:
    np.testing.assert_array_equal(compare_mirrors([said(np.zeros((8, 8, 2), dtype=np.uint8))] * 2), np.zeros((2, 3)))
