"""What became of slices that were suggested at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cinema_core.anatomy import LabelState
from cinema_core.project import Project, SliceEdit
from cinema_core.project.chance import ChanceEstimate, mean_dice, wilson_95

MakeEdit = Callable[..., SliceEdit]
MODEL = "b" * 64


def draw(project: Project, edit: MakeEdit, t: int, z: int, model: str = MODEL) -> None:
    project.record(edit(t, z, 3, LabelState.PREDICTED, "model", model_sha256=model))


@pytest.mark.parametrize(("successes", "n"), [(5, 6), (0, 3), (9, 9), (40, 100)])
def test_interval_is_scipys(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
    assert wilson_95(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_nothing_is_said_of_fewer_than_three() -> None:
    assert ChanceEstimate(2, 2, 0, None).text == ""
    assert ChanceEstimate(6, 5, 0, 0.8).text == (
        "Of 6 slices of 1 study drawn at random, 5 were accepted as drawn: 83 % (44–97 %)"
    )


def test_accepted_corrected_and_passed_over_are_told_apart(project: Project, edit: MakeEdit) -> None:
    for t in range(4):
        draw(project, edit, t, 0)
        project.note_random_suggestion("study-1", t, 0)
        project.note_random_suggestion("study-1", t, 0)  # led there again
    draw(project, edit, 0, 1)
    project.record(edit(0, 1, 3, LabelState.ACCEPTED, "accept", model_sha256=MODEL))  # not by chance
    project.record(edit(0, 0, 3, LabelState.ACCEPTED, "accept", model_sha256=MODEL))
    half = edit(1, 0, 3, LabelState.CORRECTED, "brush", model_sha256=MODEL)
    half.mask[3:] = 0
    project.record(half)
    project.record(edit(2, 0, 3, LabelState.ACCEPTED, "accept", model_sha256=MODEL))
    found = project.chance_estimate(MODEL)
    assert (found.n, found.n_as_drawn, found.n_open) == (3, 2, 1)
    # 25 px drawn, 10 left: 2 * 10 / 35.
    assert found.mean_dice_corrected == pytest.approx(20 / 35)


def test_a_correction_that_was_accepted_afterwards_is_a_correction(project: Project, edit: MakeEdit) -> None:
    draw(project, edit, 0, 0)
    project.note_random_suggestion("study-1", 0, 0)
    project.record(edit(0, 0, 1, LabelState.CORRECTED, "brush", model_sha256=MODEL))
    project.record(edit(0, 0, 1, LabelState.ACCEPTED, "accept", model_sha256=MODEL))
    assert project.chance_estimate(MODEL).n_as_drawn == 0
    assert project.chance_estimate(MODEL).n == 1


def test_undo_makes_it_undecided_again(project: Project, edit: MakeEdit) -> None:
    draw(project, edit, 0, 0)
    project.note_random_suggestion("study-1", 0, 0)
    project.record_step("study-1", [edit(0, 0, 3, LabelState.ACCEPTED, "accept", model_sha256=MODEL)])
    assert project.chance_estimate(MODEL).n == 1
    project.undo("study-1")
    found = project.chance_estimate(MODEL)
    assert (found.n, found.n_open) == (0, 1)


def test_each_model_has_its_own_share(project: Project, edit: MakeEdit) -> None:
    draw(project, edit, 0, 0)
    project.note_random_suggestion("study-1", 0, 0)
    draw(project, edit, 0, 0, "c" * 64)  # drawn again before anybody decided
    project.record(edit(0, 0, 3, LabelState.ACCEPTED, "accept", model_sha256="c" * 64))
    assert project.chance_estimate(MODEL) == ChanceEstimate(0, 0, 0, None, n_studies=0)
    assert project.chance_estimate("c" * 64).n == 0  # its drawing was not suggested by chance


def test_what_no_model_drew_is_not_noted(project: Project, edit: MakeEdit) -> None:
    project.record(edit(0, 0, 1, LabelState.PREDICTED, "interpolated"))
    before = project.events()
    project.note_random_suggestion("study-1", 0, 0)
    assert project.events() == before


def test_two_empty_drawings_agree() -> None:
    empty, full = np.zeros((3, 3), np.uint8), np.full((3, 3), 3, np.uint8)
    assert mean_dice(empty, empty) == 1
    assert mean_dice(empty, full) == 0


def test_what_was_filled_in_between_others_is_not_blamed_on_the_model(project: Project, edit: MakeEdit) -> None:
    for t in range(2):
        draw(project, edit, t, 0)
    filled = edit(0, 0, 2, LabelState.PREDICTED, "interpolated contour")
    filled.mask[3:] = 0
    project.record(filled)
    project.note_random_suggestion("study-1", 0, 0)  # on show is what was filled in
    project.note_random_suggestion("study-1", 1, 0)
    project.record(edit(1, 0, 2, LabelState.PREDICTED, "copied contour"))
    for t in range(2):
        project.record(edit(t, 0, 2, LabelState.ACCEPTED, "accept"))
    found = project.chance_estimate(MODEL)
    assert (found.n, found.n_open) == (0, 0)
