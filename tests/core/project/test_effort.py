"""What a reading cost, added up from the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import LabelState, Structure
from cinema_core.project import Effort, Project, SliceEdit
from cinema_core.project.effort import active_s, added_path_mm, added_path_px, n_actions

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
    assert Effort(1, 2, 3, 4.0, 5.0, 6, 7) + Effort(1, 1, 1, 1.0, 1.0, 1, 1) == Effort(2, 3, 4, 5.0, 6.0, 7, 8)


def test_what_was_done_to_many_slices_at_once_is_one_action(project: Project, edit: MakeEdit) -> None:
    project.record_step("study-1", [edit(0, z, value=3, tool="interpolated contour") for z in range(3)])
    project.record_step("study-1", [edit(1, 1, value=3)])
    project.undo("study-1")
    assert project.effort("study-1", (1.0, 1.0)).edits == 3


def test_an_import_by_command_is_one_action(project: Project, edit: MakeEdit) -> None:
    project.record_many([edit(t, z, tool="import nifti", state=LabelState.ACCEPTED) for t in range(4) for z in (0, 1)])
    assert project.effort("study-1", (1.0, 1.0)).edits == 1


def test_rows_of_one_moment_that_no_step_holds_together_are_one_action() -> None:
    moments = ("10:00:00.000", "10:00:00.050", "10:00:00.120", "10:00:02.000", "10:00:02.010", "10:00:01.000")
    tools = ("brush", "brush", "brush", "brush", "accept", "accept")
    rows = [(k + 1, tool, f"2026-01-01T{at}Z") for k, (tool, at) in enumerate(zip(tools, moments, strict=True))]
    assert n_actions(rows, {}) == 4  # a clock that was set back tells nothing
    assert n_actions(rows, {1: 2}) == 5
    assert n_actions([], {}) == 0


def test_moved_points_are_added_up_and_undoing_takes_none_away(project: Project, edit: MakeEdit) -> None:
    for value, n_points in ((3, 1), (2, 4), (1, 0)):
        project.record_step("study-1", [replace(edit(value=value, tool="contour"), moved_points=n_points)])
    project.undo("study-1")
    project.redo("study-1")
    found = project.effort("study-1", (1.0, 1.0))
    assert (found.moved_points, found.edits_of_unknown_points, found.edits) == (5, 0, 5)


def test_points_that_cannot_have_been_moved_are_refused_and_nothing_is_kept(project: Project, edit: MakeEdit) -> None:
    with pytest.raises(ValueError, match="-1 points"):
        project.record(replace(edit(tool="contour"), moved_points=-1))
    assert project.effort("study-1", (1.0, 1.0)) == Effort()


def as_format_9(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "project.sqlite")) as rows:
        rows.executescript(
            "DROP TABLE moved_points; ALTER TABLE slice_uncertainty DROP COLUMN lv_spread_px; "
            "ALTER TABLE slice_uncertainty DROP COLUMN rv_spread_px; PRAGMA user_version = 10;"
        )


def test_a_project_of_format_9_opens_and_does_not_say_that_no_point_was_moved(
    project: Project, folder: Path, edit: MakeEdit
) -> None:
    project.record_step("study-1", [replace(edit(value=3, tool="contour"), moved_points=2)])
    project.record_step("study-1", [edit(1, 1, value=3)])
    project.close()
    as_format_9(folder)
    with Project.open(folder) as opened:
        found = opened.effort("study-1", (1.0, 1.0))
        assert (found.moved_points, found.edits_of_unknown_points, found.edits) == (0, 1, 2)
        opened.record_step("study-1", [replace(edit(2, 1, value=3, tool="contour"), moved_points=4)])
        found = opened.effort("study-1", (1.0, 1.0))
        assert (found.moved_points, found.edits_of_unknown_points) == (4, 1)


def test_a_slice_that_did_not_change_is_looked_at_once(
    project: Project, edit: MakeEdit, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def counted(mask: np.ndarray, model: np.ndarray) -> int:
        looked.append(1)
        return added_path_px(mask, model)

    monkeypatch.setattr("cinema_core.project.effort.added_path_px", counted)
    project.record_step("study-1", [edit(0, z, value=3) for z in range(3)])
    first = project.effort("study-1", (1.0, 1.0))
    assert project.effort("study-1", (1.0, 1.0)) == first
    assert len(looked) == 3
    project.record_step("study-1", [edit(0, 1, value=2)])
    project.record(edit(0, 2, value=3, state=LabelState.PREDICTED, tool="model"))  # the ground of another one
    project.record(edit(0, 2, value=3))
    found = project.effort("study-1", (1.0, 1.0))
    assert len(looked) == 5
    with Project.open(project.folder) as anew:
        assert anew.effort("study-1", (1.0, 1.0)) == found


@pytest.mark.parametrize("seed", range(5))
def test_the_added_path_is_the_same_wherever_the_drawing_lies(seed: int) -> None:
    chance = np.random.default_rng(seed)
    mask, model = (chance.integers(0, 4, (9, 8)).astype(np.uint8) for _ in range(2))
    far = [np.pad(labels, ((7, 20), (3, 11))) for labels in (mask, model)]
    assert added_path_px(*far) == sum(
        len(_border_by_hand(far[0] == s) - _border_by_hand(far[1] == s)) for s in (1, 2, 3)
    )


def _border_by_hand(structure: np.ndarray) -> set[tuple[int, int]]:
    inside = {(int(y), int(x)) for y, x in np.argwhere(structure)}
    return {(y, x) for y, x in inside if not {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} <= inside}
