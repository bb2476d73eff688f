"""What speaks for a slice that is drawn wrong."""

import numpy as np
import pytest
from made_up_facts import mirrors

from cinema_core.anatomy import Structure
from cinema_core.learn.signs import Sign, doubt_of, signs_of

RV, MYO, LV = Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY
MIDDLE = 3


def heart(n_phases: int = 2, n_slices: int = 7) -> np.ndarray:
    """A ring of muscle around a cavity with an RV beside it, on all slices but the outermost."""
    labels = np.zeros((n_phases, n_slices, 40, 40), dtype=np.uint8)
    y, x = np.mgrid[:40, :40]
    from_lv, from_rv = np.hypot(y - 20, x - 24), np.hypot(y - 20, x - 14)
    plane = np.where(from_rv < 9, RV, 0)
    plane = np.where(from_lv < 11, MYO, plane)
    labels[:, 1:-1] = np.where(from_lv < 7, LV, plane)
    return labels


def reasons(labels: np.ndarray, t: int = 0, z: int = MIDDLE, **known: object) -> list[str]:
    ed_es = known.pop("ed_es", ())
    found = signs_of(labels, known.pop("uncertainty", None), range(len(labels)), ed_es, **known)  # type: ignore[arg-type]
    return [sign.reason for sign in found[t, z]]


def test_a_heart_as_it_should_be_shows_no_sign_but_its_ends() -> None:
    found = signs_of(heart(), np.full((2, 7), 0.05), range(2), ed_es=(0, 1))
    assert {where for where, signs in found.items() if signs} == {(t, z) for t in (0, 1) for z in (1, 5)}
    assert "in or out" in found[0, 1][0].reason


def test_an_open_ring_is_told() -> None:
    labels = heart()
    labels[0, MIDDLE, 17:23, 30:36] = 0
    labels[0, MIDDLE, 17:23, 28:36][labels[0, MIDDLE, 17:23, 28:36] == MYO] = 0
    labels[0, MIDDLE, :, 30:] = 0
    assert "the ring of muscle around the LV is open" in reasons(labels)


@pytest.mark.parametrize("structure", [RV, MYO, LV])
def test_a_structure_in_pieces_is_told(structure: Structure) -> None:
    labels = heart()
    labels[0, MIDDLE, 1:8, 1:8] = structure
    assert f"the {structure.display_name} is in several pieces" in reasons(labels)


def test_a_hole_is_told() -> None:
    labels = heart()
    labels[0, MIDDLE, 18:22, 22:26] = 0
    assert "there is a hole in the heart" in reasons(labels)


def test_a_cavity_without_muscle_and_an_rv_alone_are_told() -> None:
    labels = heart()
    labels[0, MIDDLE][labels[0, MIDDLE] == MYO] = 0
    assert "an LV cavity without muscle around it" in reasons(labels)
    labels[0, MIDDLE][labels[0, MIDDLE] == LV] = 0
    assert "an RV without an LV beside it" in reasons(labels)


def test_an_empty_slice_within_the_heart_is_told() -> None:
    labels = heart()
    labels[0, MIDDLE] = 0
    assert reasons(labels) == ["no heart here, but on both sides"]


def test_a_cavity_unlike_its_neighbours_is_told() -> None:
    labels = heart()
    y, x = np.mgrid[:40, :40]
    labels[0, MIDDLE] = np.where(np.hypot(y - 20, x - 24) < 3, LV, np.where(labels[0, MIDDLE] == LV, MYO, labels[0, 2]))
    labels[0, MIDDLE][(np.hypot(y - 20, x - 24) >= 3) & (labels[0, MIDDLE] == LV)] = MYO
    assert "the LV cavity is much smaller than on both sides" in reasons(labels)
    assert "the LV cavity is much larger than on both sides" not in reasons(labels)


def test_a_cavity_that_grows_until_end_systole_is_told() -> None:
    labels = heart()
    labels[0, MIDDLE][labels[0, MIDDLE] == RV] = 0
    labels[0, MIDDLE, 18:22, 6:9] = RV
    assert "the RV cavity is larger at ES than at ED" in reasons(labels, ed_es=(0, 1))
    assert "the RV cavity is larger at ES than at ED" not in reasons(labels)


def test_a_phase_that_leaves_the_beat_is_told_and_its_neighbours_are_not() -> None:
    labels = heart(n_phases=20)
    y, x = np.mgrid[:40, :40]
    labels[7, MIDDLE][(np.hypot(y - 20, x - 24) >= 3) & (labels[7, MIDDLE] == LV)] = MYO
    words = "the LV cavity jumps from one phase to the next"
    assert words in reasons(labels, t=7)
    assert all(words not in reasons(labels, t=t) for t in (0, 3, 12))


def test_what_the_model_is_unsure_of_is_told_and_what_is_not_known_is_not() -> None:
    uncertainty = np.full((2, 7), 0.5)
    uncertainty[1] = np.nan
    words = "the model is unsure of the borders"
    assert words in reasons(heart(), uncertainty=uncertainty)
    assert words not in reasons(heart(), t=1, uncertainty=uncertainty)


def test_what_is_drawn_differently_in_a_mirror_is_told_and_what_is_not_known_is_not() -> None:
    disagreement = np.full((2, 7), 0.2)
    disagreement[0, MIDDLE + 1] = 0.02
    disagreement[1] = np.nan
    words = "the model draws it differently when the image is mirrored"
    assert words in reasons(heart(), mirrors=mirrors(disagreement))
    assert words not in reasons(heart(), z=MIDDLE + 1, mirrors=mirrors(disagreement))
    assert words not in reasons(heart(), z=0, mirrors=mirrors(disagreement))  # no heart to draw
    assert words not in reasons(heart(), t=1, mirrors=mirrors(disagreement))


def test_the_more_a_mirror_changes_the_stronger_the_sign() -> None:
    disagreement = np.array([[0, 0, 0.05, 0.15, 0.9, 0, 0]])
    found = signs_of(heart(1), None, [0], mirrors=mirrors(disagreement))
    strengths = [found[0, z][0].strength for z in (2, 3, 4)]
    assert strengths == sorted(strengths) and 0 < strengths[0] < strengths[1] < strengths[2] < 1


def test_doubt_grows_with_every_sign_and_stays_below_one() -> None:
    one, two = Sign(0.5, "a"), Sign(0.4, "b")
    assert doubt_of([]) == 0
    assert doubt_of([one]) == pytest.approx(0.5)
    assert doubt_of([one, two]) == pytest.approx(0.7)
