"""How many control points a drag moved: kept with the label, for the effort of a reading."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_app.contours.editor import ContourEditor, Grip
from cinema_app.reading import Reading
from cinema_core.io.contours import Outline


@pytest.fixture
def editor(segmented: Reading) -> ContourEditor:
    """The contours of a slice that the model drew, the LV's endocardium in hand."""
    editor = ContourEditor(segmented)
    editor.go_to(0, 2)
    editor.choose(Outline.LV_ENDO)
    return editor


def moved(reading: Reading) -> tuple[int, int]:
    found = reading.effort()
    return found.moved_points, found.edits


def drag(editor: ContourEditor, start: np.ndarray, by: tuple[float, float], grip: Grip = Grip.SHAPE) -> None:
    assert editor.press(start, 2.0, grip)
    for share in (0.3, 1.0):
        editor.drag(start + share * np.array(by))
    editor.release()


def test_a_point_that_is_dragged_is_one(editor: ContourEditor, segmented: Reading) -> None:
    drag(editor, editor.curves[Outline.LV_ENDO].points[0], (-3.0, 0.0))
    assert moved(segmented) == (1, 1)


def test_a_point_counts_alone_though_another_contour_yields(editor: ContourEditor, segmented: Reading) -> None:
    curve, epi = editor.curves[Outline.LV_ENDO], editor.curves[Outline.LV_EPI]
    outwards = curve.points[0] - curve.centre
    drag(editor, curve.points[0], tuple(1.5 * outwards))
    assert not np.array_equal(editor.curves[Outline.LV_EPI].points, epi.points)
    assert moved(segmented) == (1, 1)


def test_a_pull_moves_the_points_within_its_reach(editor: ContourEditor, segmented: Reading) -> None:
    curve = editor.curves[Outline.LV_ENDO]
    between = curve.outline[len(curve.outline) // (2 * len(curve.points))]
    editor.reach_mm = 1000.0
    drag(editor, between, (-3.0, 0.0))
    assert moved(segmented) == (len(curve.points), 1)


def test_a_contour_that_is_moved_scaled_or_smoothed_as_a_whole_has_no_moved_point(
    editor: ContourEditor, segmented: Reading
) -> None:
    drag(editor, editor.curves[Outline.LV_ENDO].points[0], (-3.0, 0.0), Grip.MOVE)
    drag(editor, editor.curves[Outline.LV_ENDO].points[0], (-3.0, 0.0), Grip.SCALE)
    editor.grow(2)
    assert moved(segmented) == (0, 3)
    assert segmented.effort().edits_of_unknown_points == 0


def test_a_brush_says_nothing_of_points(segmented: Reading) -> None:
    mask = segmented.labels[0, 2].copy()
    mask[:3, :3] = 3
    segmented.correct(0, 2, mask)
    assert moved(segmented) == (0, 1)
    assert segmented.effort().edits_of_unknown_points == 0
