"""What a reading cost, added up from the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cinema_core.anatomy import LabelState, Structure
from cinema_core.project import Effort, Project, SliceEdit
from cinema_core.project.effort import active_s, added_path_mm

MakeEdit = Callable[..., SliceEdit]


def square(first: int, last: int) -> np.ndarray:
    plane = np.zeros((20, 20), dtype=np.uint8)
    plane[first:last, first:last] = Structure.LV_CAVITY
    return plane


def test_border_that_the_model_drew_already_costs_nothing() -> None:
    assert added_path_mm(square(5, 10), square(5, 10), (1.0, 1.0)) == 0
    assert added_path_mm(square(5, 10), square(0, 0), (1.0, 1.0)) == 16  # all of a 5 x 5 square but its inner 3 x 3
    wider = square(5, 10)
    wider[5:10, 10] = Structure.LV_CAVITY
    assert added_path_mm(wider, square(5, 10), (2.0, 2.0)) == 2 * 5  # its new column; the rest was there


def test_only_what_was_done_by_hand_counts(project: Project, edit: MakeEdit) -> None:
    drawn = [edit(0, z, value=2, state=LabelState.PREDICTED, tool="model") for z in range(3)]
    project.record_many(drawn)
    assert project.effort("study-1", (1.0, 1.0)) == Effort()
    project.record(replace(drawn[0], state=LabelState.ACCEPTED, tool="accept"))
    project.record(edit(0, 1, value=3))
    found = project.effort("study-1", (1.5, 1.5))
    assert (found.accepted_slices, found.corrected_slices, found.edits) == (1, 1, 2)
    assert found.added_path_mm == pytest.approx(1.5 * 16)  # the border of 5 x 5 pixels that were another structure's
    assert 0 <= found.active_s < 30


def test_undone_work_is_no_added_path_but_was_an_edit(project: Project, edit: MakeEdit) -> None:
    project.record(edit(value=2, state=LabelState.PREDICTED, tool="model"))
    project.record_step("study-1", [edit(value=3)])
    project.undo("study-1")
    found = project.effort("study-1", (1.0, 1.0))
    assert (found.corrected_slices, found.added_path_mm, found.edits) == (0, 0, 2)


def test_a_long_pause_counts_half_a_minute_and_a_clock_set_back_nothing() -> None:
    moments = ["2026-01-01T10:00:00.000Z", "2026-01-01T10:00:12.500Z", "2026-01-01T12:00:00.000Z"]
    assert active_s(moments) == pytest.approx(12.5 + 30)
    assert active_s(reversed(moments)) == 0
    assert active_s([]) == 0


def test_efforts_of_studies_add_up() -> None:
    assert Effort(1, 2, 3, 4.0, 5.0) + Effort(1, 1, 1, 1.0, 1.0) == Effort(2, 3, 4, 5.0, 6.0)
