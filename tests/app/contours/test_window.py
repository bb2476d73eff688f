"""Smooth contours in a real viewer, corrected with mouse and keyboard: what the label and the journal then hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QProgressBar, QPushButton, QScrollArea

from cinema_app.contours.curve import feet_on
from cinema_app.contours.editor import ContourEditor
from cinema_app.layers import Tool
from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState, Structure
from cinema_core.errors import LabelError, StorageError
from cinema_core.io.contours import Outline
from cinema_core.phantom import PhantomStudy
from cinema_core.project import Project, training_slices

LV, MYO, RV = Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.RV_CAVITY
HERE = (0, 2)
DOWN, RIGHT = np.eye(2)
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


class ContourHand:
    """A reader with the contour tool in hand on one slice."""

    def __init__(self, workspace: Workspace, hand: Any, qtbot: Any) -> None:
        self.workspace = workspace
        self.reading = workspace.reading
        self.hand = hand
        self._qtbot = qtbot
        self._spacing = self.reading.cine.geometry.pixel_spacing_mm
        workspace.layers.go_to(*HERE)
        click(workspace.review._tools[Tool.CONTOUR])
        qtbot.wait(50)

    @property
    def label(self) -> np.ndarray:
        return np.array(self.reading.labels[self.workspace.layers.here])

    def area(self, structure: int) -> int:
        return int((self.label == structure).sum())

    def edge(self, structures: tuple[int, ...], direction: tuple[int, int]) -> np.ndarray:
        """Where the border of some structures lies, from their middle along an axis of the image."""
        places = np.argwhere(np.isin(self.label, structures))
        middle = places.mean(axis=0).round()
        step = np.array(direction)
        on_ray = places[(np.abs((places - middle) @ step[::-1]) < 0.6) & ((places - middle) @ step >= 0)]
        return np.asarray(on_ray[((on_ray - middle) @ step).argmax()] + 0.5 * step)

    def pixel(self, place: np.ndarray) -> QPoint:
        point: QPoint = self.hand.point(*place, self._spacing)
        return point

    def drag(
        self,
        start: np.ndarray,
        end: np.ndarray,
        modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        self.stroke([start, *(start + (end - start) * k / 8 for k in range(1, 9))], modifier)

    def stroke(self, places: Any, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        canvas, pixels = self.hand.canvas, [self.pixel(place) for place in places]
        QTest.mouseMove(canvas, pixels[0])
        self._qtbot.wait(20)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, modifier, pixels[0])
        for pixel in pixels[1:]:
            QTest.mouseMove(canvas, pixel)
            self._qtbot.wait(10)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, modifier, pixels[-1])
        self._qtbot.wait(20)

    def double_click(self, place: np.ndarray) -> None:
        """Press, release, double click, release, as the mouse sends them."""
        canvas, pixel = self.hand.canvas, self.pixel(place)
        QTest.mouseMove(canvas, pixel)
        self._qtbot.wait(20)
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixel)
        QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixel)
        self._qtbot.wait(20)

    def click_at(self, place: np.ndarray) -> None:
        pixel = self.pixel(place)
        QTest.mouseMove(self.hand.canvas, pixel)
        self._qtbot.wait(10)
        QTest.mouseClick(self.hand.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixel)
        self._qtbot.wait(10)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.hand.press(key, modifier)


def click(button: Any) -> None:
    for _ in range(50):
        QApplication.processEvents()
        if button.height() >= 10:
            break
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def circle(middle: np.ndarray, radius: float, n: int = 40) -> np.ndarray:
    angle = np.arange(n) * 2 * np.pi / n
    return np.asarray(middle + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1))


@pytest.fixture
def reader(workspace: Workspace, segmented: Reading, hand: Any, qtbot: Any) -> ContourHand:
    return ContourHand(workspace, hand, qtbot)


def choose(workspace: Workspace, text: str) -> None:
    """Choose a line of the menu behind the last button."""
    menu = workspace.review.contour_tools.more.menu()
    (action,) = (action for action in menu.actions() if action.text().startswith(text))
    assert action.isEnabled()
    action.trigger()


def journal(project: Project, reading: Reading, where: tuple[int, int] = HERE) -> list[tuple[str, LabelState]]:
    return [(row.tool, row.state) for row in project.history(reading.study_id, *where)]


# ------------------------------------------------------------------ pulling, moving, scaling


def test_a_pull_on_the_endocardium_is_one_correction(
    reader: ContourHand, segmented: Reading, project: Project, phantom_study: PhantomStudy
) -> None:
    before, position = reader.area(LV), project.journal_position()
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    assert reader.area(LV) > before + 15
    assert segmented.labels[HERE][round(edge[0]), round(edge[1] + 2)] == LV
    assert project.journal_position() == position + 1
    assert journal(project, segmented)[-1] == ("contour", LabelState.CORRECTED)
    others = np.delete(np.arange(segmented.labels.shape[0]), HERE[0])
    assert np.array_equal(segmented.labels[others], phantom_study.labels[others])


def test_ctrl_z_takes_a_pull_back_to_the_pixel_and_ctrl_y_does_it_again(
    reader: ContourHand, segmented: Reading, phantom_study: PhantomStudy
) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    pulled = reader.label
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels, phantom_study.labels)
    assert segmented.state(*HERE) is LabelState.PREDICTED
    reader.press(Qt.Key.Key_Y, CONTROL)
    assert np.array_equal(reader.label, pulled)


def test_a_point_dragged_to_and_fro_lies_where_it_was(reader: ContourHand) -> None:
    before, curve = reader.label, reader.workspace.contour_editor.curves[Outline.LV_ENDO]
    point = curve.points[3]
    for _ in range(4):
        reader.drag(point, point + 3 * RIGHT)
        reader.drag(point + 3 * RIGHT, point)
    after = reader.workspace.contour_editor.curves[Outline.LV_ENDO]
    assert after.points == pytest.approx(curve.points, abs=0.01)
    assert (reader.label != before).sum() <= 8  # of 115 along the border: the model's steps became the contour's


def test_contours_lie_where_they_were_after_a_restart(reader: ContourHand) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    drawn = reader.workspace.contour_editor.curves
    opened = ContourEditor(reader.reading)
    opened.go_to(*HERE)
    for border, curve in drawn.items():
        off = feet_on(opened.curves[border].outline, curve.outline)[1]
        assert np.sqrt((off**2).mean()) < 0.3


def test_a_click_that_moves_nothing_corrects_nothing(reader: ContourHand, segmented: Reading, project: Project) -> None:
    position = project.journal_position()
    reader.click_at(reader.edge((LV,), (0, 1)))
    assert project.journal_position() == position
    assert segmented.state(*HERE) is LabelState.PREDICTED


def test_shift_moves_the_whole_contour(reader: ContourHand) -> None:
    before = np.argwhere(reader.label == LV).mean(axis=0)
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 3 * DOWN, SHIFT)
    assert np.argwhere(reader.label == LV).mean(axis=0) - before == pytest.approx([3, 0], abs=0.4)


def test_ctrl_scales_the_whole_contour(reader: ContourHand) -> None:
    before, edge = reader.area(LV), reader.edge((LV,), (0, 1))
    middle = np.argwhere(reader.label == LV).mean(axis=0)
    reader.drag(edge, middle + 0.8 * (edge - middle), CONTROL)
    assert reader.area(LV) / before == pytest.approx(0.64, abs=0.03)


def test_a_drag_beside_the_contours_moves_the_image(reader: ContourHand, viewer: Any, project: Project) -> None:
    before, position = np.array(viewer.scene.camera.center), project.journal_position()
    heart = np.argwhere(reader.label > 0)
    far = np.array([heart[:, 0].max() + 10.0, heart[:, 1].mean()])
    reader.drag(far, far + 8 * DOWN)
    assert not np.allclose(viewer.scene.camera.center, before)
    assert project.journal_position() == position


# ------------------------------------------------------------------ which contour yields


def test_an_endocardium_pushed_through_the_muscle_takes_the_epicardium_along(reader: ContourHand) -> None:
    heart = reader.area(LV) + reader.area(MYO)
    edge, epi = reader.edge((LV,), (0, 1)), reader.edge((LV, MYO), (0, 1))
    reader.drag(edge, epi + 5 * RIGHT)
    assert reader.area(LV) + reader.area(MYO) > heart + 10
    assert reader.label[round(epi[0]), round(epi[1] + 3)] == LV


def test_an_epicardium_pushed_into_the_cavity_pushes_the_endocardium(reader: ContourHand) -> None:
    cavity = reader.area(LV)
    edge, epi = reader.edge((LV,), (0, 1)), reader.edge((LV, MYO), (0, 1))
    reader.drag(epi, edge - 5 * RIGHT)
    assert reader.area(LV) < cavity - 10
    assert reader.label[round(edge[0]), round(edge[1] - 2)] == Structure.BACKGROUND


def test_an_rv_pushed_into_the_muscle_stops_at_it(reader: ContourHand, phantom_study: PhantomStudy) -> None:
    heart = phantom_study.labels[HERE] >= MYO
    septum = reader.edge((LV, MYO), (0, -1))
    reader.press(Qt.Key.Key_Space)
    reader.press(Qt.Key.Key_Space)
    assert reader.workspace.review.contour_tools.borders[Outline.RV_ENDO].isChecked()
    outer = reader.edge((RV,), (0, -1))
    reader.drag(outer, septum + 8 * RIGHT, SHIFT)
    assert (reader.label >= MYO)[heart].mean() > 0.995
    assert 0 < reader.area(RV) < (phantom_study.labels[HERE] == RV).sum()


# ------------------------------------------------------------------ points, drawing afresh


def test_a_double_click_adds_a_point_and_another_takes_it_away(reader: ContourHand, segmented: Reading) -> None:
    editor = reader.workspace.contour_editor
    curve = editor.curves[Outline.LV_ENDO]
    n, place = len(curve.points), curve.outline[4]  # the middle of the first segment
    reader.double_click(place)
    assert len(editor.curves[Outline.LV_ENDO].points) == n + 1
    reader.double_click(place)
    assert len(editor.curves[Outline.LV_ENDO].points) == n
    assert not editor.is_drawing


def test_a_freehand_stroke_draws_the_contour_afresh(reader: ContourHand, project: Project, segmented: Reading) -> None:
    middle = np.argwhere(reader.label == LV).mean(axis=0)
    position = project.journal_position()
    click(reader.workspace.review.contour_tools.draw)
    reader.stroke(circle(middle, 9.0))
    assert reader.area(LV) == pytest.approx(np.pi * 81, rel=0.04)
    assert project.journal_position() == position + 1
    assert not reader.workspace.review.contour_tools.draw.isChecked()


def test_clicks_and_a_double_click_draw_it_too(reader: ContourHand) -> None:
    middle = np.argwhere(reader.label == LV).mean(axis=0)
    reader.press(Qt.Key.Key_W)
    *corners, last = circle(middle, 10.0, n=8)
    for corner in corners:
        reader.click_at(corner)
    reader.double_click(last)
    assert reader.area(LV) == pytest.approx(np.pi * 100, rel=0.05)


def test_escape_gives_a_drawing_up(reader: ContourHand, project: Project) -> None:
    before, position = reader.label, project.journal_position()
    reader.press(Qt.Key.Key_W)
    for corner in circle(np.array([90.0, 90.0]), 10.0, n=5):
        reader.click_at(corner)
    reader.press(Qt.Key.Key_Escape)
    assert np.array_equal(reader.label, before)
    assert project.journal_position() == position
    assert not reader.workspace.review.contour_tools.draw.isChecked()


def test_contours_are_drawn_on_an_empty_slice(
    workspace: Workspace, reading: Reading, hand: Any, qtbot: Any, phantom_study: PhantomStudy
) -> None:
    reader = ContourHand(workspace, hand, qtbot)
    middle = np.argwhere(phantom_study.labels[HERE] == LV).mean(axis=0)
    for border, radius in ((Outline.LV_ENDO, 14.0), (Outline.LV_EPI, 20.0)):
        click(workspace.review.contour_tools.borders[border])
        reader.press(Qt.Key.Key_W)
        reader.stroke(circle(middle, radius))
    assert reader.area(LV) == pytest.approx(np.pi * 14**2, rel=0.03)
    assert reader.area(MYO) == pytest.approx(np.pi * (20**2 - 14**2), rel=0.05)
    assert reading.state(*HERE) is LabelState.CORRECTED


# ------------------------------------------------------------------ the whole contour


def test_larger_and_smaller_by_key_and_menu(reader: ContourHand) -> None:
    before = reader.area(LV)
    reader.press(Qt.Key.Key_E, CONTROL)
    reader.press(Qt.Key.Key_E, CONTROL)
    larger = reader.area(LV)
    assert larger > before + 50
    choose(reader.workspace, "Half a millimetre smaller")
    choose(reader.workspace, "Half a millimetre smaller")
    assert reader.area(LV) == pytest.approx(before, rel=0.01)


def test_smooth_takes_a_dent_out(reader: ContourHand) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge - 6 * RIGHT)
    assert reader.label[round(edge[0]), round(edge[1]) - 2] == MYO
    area = reader.area(LV)
    for _ in range(4):
        reader.press(Qt.Key.Key_O)
    assert reader.label[round(edge[0]), round(edge[1]) - 5] == LV
    assert reader.area(LV) == pytest.approx(area, rel=0.02)


# ------------------------------------------------------------------ brush and contours mixed


def test_the_brush_and_the_contours_are_one_truth(reader: ContourHand, segmented: Reading) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    click(reader.workspace.review._tools[Tool.MYO])
    middle = np.argwhere(reader.label == LV).mean(axis=0)
    reader.drag(middle - 8 * DOWN - 22 * RIGHT, middle + 8 * DOWN - 22 * RIGHT)
    painted = reader.label
    reader.press(Qt.Key.Key_C)
    assert np.array_equal(reader.label, painted)  # looking at it with the other tool changes nothing
    curve = reader.workspace.contour_editor.curves[Outline.LV_ENDO]
    assert curve.area == pytest.approx((painted == LV).sum(), rel=0.01)


def test_undo_of_a_brush_stroke_brings_the_same_points_back(reader: ContourHand) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    points = reader.workspace.contour_editor.curves[Outline.LV_ENDO].points
    click(reader.workspace.review._tools[Tool.ERASE])
    middle = np.argwhere(reader.label == LV).mean(axis=0)
    reader.drag(middle - 6 * RIGHT, middle + 6 * RIGHT)
    reader.press(Qt.Key.Key_Z, CONTROL)
    reader.press(Qt.Key.Key_C)
    assert np.array_equal(reader.workspace.contour_editor.curves[Outline.LV_ENDO].points, points)


def test_pixels_that_no_contour_shows_stay_outlined(reader: ContourHand, viewer: Any, segmented: Reading) -> None:
    assert reader.workspace.layers.labels is not None
    assert not reader.workspace.layers.labels.visible
    mask = reader.label
    mask[20:26, 20:26] = RV
    segmented.correct(*HERE, mask)
    assert reader.workspace.layers.labels.visible


# ------------------------------------------------------------------ other slices and phases


@pytest.mark.parametrize(
    ("key", "there"),
    [(Qt.Key.Key_Up, (0, 1)), (Qt.Key.Key_Down, (0, 3)), (Qt.Key.Key_Right, (1, 2)), (Qt.Key.Key_Left, (5, 2))],
)
def test_shift_and_an_arrow_take_the_contours_along(
    reader: ContourHand, segmented: Reading, project: Project, key: Qt.Key, there: tuple[int, int]
) -> None:
    before = segmented.labels[there].copy()
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    reader.press(key, SHIFT)
    assert reader.workspace.layers.here == there
    assert np.array_equal(segmented.labels[there], segmented.labels[HERE])
    assert journal(project, segmented, there)[-1] == ("copied contour", LabelState.PREDICTED)
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels[there], before)


def test_an_empty_slice_has_nothing_to_take_along(
    workspace: Workspace, reading: Reading, hand: Any, qtbot: Any, notices: list[Notice], project: Project
) -> None:
    ContourHand(workspace, hand, qtbot).press(Qt.Key.Key_Down, SHIFT)
    assert notices[-1].severity is Severity.ERROR
    assert "no contours to take along" in notices[-1].text
    assert project.journal_position() == 0


def test_a_copied_slice_teaches_nothing_until_it_is_touched_or_accepted(
    reader: ContourHand, segmented: Reading, project: Project
) -> None:
    def taught() -> list[tuple[int, int]]:
        return [(row.t, row.z) for row in training_slices(project)]

    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    reader.press(Qt.Key.Key_Right, SHIFT)
    reader.press(Qt.Key.Key_Right, SHIFT)
    assert taught() == [HERE]
    reader.press(Qt.Key.Key_A)
    assert taught() == [HERE, (2, 2)]
    reader.press(Qt.Key.Key_Left)
    reader.drag(edge + 4 * RIGHT, edge + 5 * RIGHT)
    assert taught() == [HERE, (1, 2), (2, 2)]
    assert segmented.state(1, 2) is LabelState.CORRECTED


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of the LV cavity."""
    return float(2 * ((one == LV) & (other == LV)).sum() / ((one == LV).sum() + (other == LV).sum()))


def test_slices_between_corrected_ones_are_filled_by_shape(
    reader: ContourHand, segmented: Reading, project: Project, phantom_study: PhantomStudy, notices: list[Notice]
) -> None:
    segmented.accept([(0, 1), (0, 3)])
    choose(reader.workspace, "Fill the slices")
    assert journal(project, segmented)[-1] == ("interpolated contour", LabelState.PREDICTED)
    assert overlap(reader.label, phantom_study.labels[HERE]) > 0.9
    assert not np.array_equal(reader.label, phantom_study.labels[HERE])
    assert notices[-1].text.startswith("Filled 1 slice ")
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels, phantom_study.labels)


def test_phases_between_corrected_ones_are_filled_around_the_cycle(
    reader: ContourHand, segmented: Reading, project: Project, phantom_study: PhantomStudy, notices: list[Notice]
) -> None:
    segmented.accept([(1, 2), (4, 2)])
    choose(reader.workspace, "Fill the phases")
    filled = [t for t in range(6) if journal(project, segmented, (t, 2))[-1][0] == "interpolated contour"]
    assert filled == [0, 2, 3, 5]
    areas = [int((segmented.labels[t, 2] == LV).sum()) for t in (1, 2, 3, 4)]
    assert areas in (sorted(areas), sorted(areas, reverse=True))
    assert segmented.state(2, 2) is LabelState.PREDICTED
    assert notices[-1].text.startswith("Filled 4 phases ")
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels, phantom_study.labels)


def test_one_corrected_phase_fills_no_others(reader: ContourHand, segmented: Reading, notices: list[Notice]) -> None:
    segmented.accept([HERE])
    choose(reader.workspace, "Fill the phases")
    assert "needs two phases" in notices[-1].text


def test_contours_follow_the_motion_but_not_over_what_the_reader_accepted(
    reader: ContourHand, segmented: Reading, project: Project, phantom_study: PhantomStudy, qtbot: Any
) -> None:
    segmented.accept([(3, 2)])
    choose(reader.workspace, "Follow the motion")
    qtbot.waitUntil(lambda: journal(project, segmented, (2, 2))[-1][0] == "propagated contour", timeout=60_000)
    assert journal(project, segmented, (2, 2))[-1][1] is LabelState.PREDICTED
    assert segmented.state(3, 2) is LabelState.ACCEPTED
    copied = overlap(phantom_study.labels[HERE], phantom_study.labels[2, 2])
    assert overlap(segmented.labels[2, 2], phantom_study.labels[2, 2]) > max(copied, 0.9)
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels, phantom_study.labels)


def activity(workspace: Workspace) -> Any:
    return workspace.window().findChild(QDialog, "Activity")


def test_the_motion_of_every_slice_is_followed_and_its_share_stands_in_the_activity_dock(
    reader: ContourHand, segmented: Reading, project: Project, qtbot: Any
) -> None:
    t, z = HERE
    bare = {(t, k): np.zeros_like(segmented.labels[t, k]) for k in range(5) if k not in (z, z + 1)}
    segmented.correct_many(bare, "brush")
    before = np.array(segmented.labels)
    reader.workspace.window().resize(1300, 850)
    shares: list[int] = []
    choose(reader.workspace, "Follow it on every slice")
    dock = activity(reader.workspace)
    assert dock.isVisible()
    assert dock.parentWidget().rect().contains(dock.geometry())  # all of it over the image
    (bar,) = dock.findChildren(QProgressBar)
    bar.valueChanged.connect(shares.append)
    qtbot.waitUntil(lambda: not dock.isVisible(), timeout=120_000)
    assert shares == sorted(shares) and shares[-1] >= 90 and len(shares) > 5
    for k in (z, z + 1):
        assert journal(project, segmented, (2, k))[-1][0] == "propagated contour"
    assert project.history(segmented.study_id, 2, 0)[-1].tool == "model"
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(segmented.labels, before)


def test_cancel_in_the_activity_dock_stops_following(
    reader: ContourHand, project: Project, notices: list[Notice], qtbot: Any
) -> None:
    position = project.journal_position()
    reader.workspace.window().resize(1300, 850)
    choose(reader.workspace, "Follow it on every slice")
    dock = activity(reader.workspace)
    (cancel,) = dock.findChildren(QPushButton)
    qtbot.waitUntil(lambda: not cancel.visibleRegion().isEmpty())
    click(cancel)
    qtbot.waitUntil(lambda: "was stopped" in notices[-1].text, timeout=60_000)
    assert not dock.isVisible()
    assert project.journal_position() == position


def test_a_window_that_is_closed_meanwhile_hears_no_more_of_it(
    reader: ContourHand, project: Project, qtbot: Any
) -> None:
    position = project.journal_position()
    choose(reader.workspace, "Follow the motion")
    following = reader.workspace.review.contour_tools.following
    heard: list[object] = []
    following.changed.connect(lambda: heard.append(None))
    following.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=60_000)
    QApplication.processEvents()
    assert not heard
    assert project.journal_position() == position


def test_motion_that_was_followed_is_not_taken_into_another_study(
    reader: ContourHand, segmented: Reading, project: Project, another_heart: PhantomStudy, study: Any
) -> None:
    editor = reader.workspace.contour_editor
    motion = editor.motion_to_follow()
    segmented.show(study(another_heart, "study-00000002"))
    with pytest.raises(LabelError, match="no longer open"):
        editor.take_propagated(motion.study_id, {(1, motion.z): motion.mask})
    assert not segmented.labels.any()


def test_a_copy_over_an_accepted_slice_is_told(
    reader: ContourHand, segmented: Reading, notices: list[Notice], phantom_study: PhantomStudy
) -> None:
    segmented.accept([(1, 2)])
    reader.press(Qt.Key.Key_Right, SHIFT)
    assert "lies over a slice that was accepted" in notices[-1].text
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert segmented.state(1, 2) is LabelState.ACCEPTED
    assert notices[-1].text == "Taken back: slice 3 of phase 2."


def test_contours_are_copied_by_key_only_with_the_tool_in_hand(
    reader: ContourHand, project: Project, segmented: Reading
) -> None:
    here = reader.workspace.layers.here
    reader.press(Qt.Key.Key_C)
    position = project.journal_position()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Down, Qt.Key.Key_Up):
        reader.press(key, SHIFT)
    assert project.journal_position() == position
    reader.workspace.layers.go_to(*here)
    reader.press(Qt.Key.Key_C)
    reader.press(Qt.Key.Key_Down, SHIFT)
    assert project.journal_position() > position
    assert segmented.state(here[0], here[1] + 1) is LabelState.PREDICTED


def test_following_the_motion_is_stopped(
    reader: ContourHand, project: Project, notices: list[Notice], qtbot: Any
) -> None:
    position = project.journal_position()
    choose(reader.workspace, "Follow the motion")
    choose(reader.workspace, "Stop following")
    qtbot.waitUntil(lambda: "was stopped" in notices[-1].text, timeout=60_000)
    assert project.journal_position() == position
    choose(reader.workspace, "Follow the motion")
    choose(reader.workspace, "Stop following")
    qtbot.waitUntil(lambda: "was stopped" in notices[-1].text, timeout=60_000)


def test_nothing_is_filled_without_a_corrected_slice_on_either_side(
    reader: ContourHand, notices: list[Notice], project: Project
) -> None:
    position = project.journal_position()
    choose(reader.workspace, "Fill the slices")
    assert "Correct one on either side" in notices[-1].text
    assert project.journal_position() == position


def test_a_slice_reverts_to_the_models(
    reader: ContourHand, segmented: Reading, project: Project, phantom_study: PhantomStudy
) -> None:
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    choose(reader.workspace, "Revert this slice")
    assert np.array_equal(reader.label, phantom_study.labels[HERE])
    assert journal(project, segmented)[-1] == ("revert", LabelState.PREDICTED)
    reader.press(Qt.Key.Key_Z, CONTROL)
    assert segmented.state(*HERE) is LabelState.CORRECTED


def test_a_contour_is_cleared(reader: ContourHand) -> None:
    muscle = reader.area(MYO) + reader.area(LV)
    choose(reader.workspace, "Clear this contour")
    assert reader.area(LV) == 0
    assert reader.area(MYO) == pytest.approx(muscle, rel=0.01)


# ------------------------------------------------------------------ the window


def test_an_edit_that_cannot_be_saved_is_not_shown(
    reader: ContourHand,
    segmented: Reading,
    project: Project,
    notices: list[Notice],
    phantom_study: PhantomStudy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full; nothing was saved.")

    points = reader.workspace.contour_editor.curves[Outline.LV_ENDO].points
    monkeypatch.setattr(project, "record_step", full)
    edge = reader.edge((LV,), (0, 1))
    reader.drag(edge, edge + 4 * RIGHT)
    assert notices[-1] == Notice("The disk is full; nothing was saved.", Severity.ERROR)
    assert np.array_equal(segmented.labels, phantom_study.labels)
    assert np.array_equal(reader.workspace.contour_editor.curves[Outline.LV_ENDO].points, points)


def white_or(colour: str, picture: np.ndarray) -> int:
    """Pixels of a screenshot in a colour."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return int((np.abs(picture[..., :3].astype(int) - wanted).max(axis=2) < 40).sum())


def test_the_three_contours_are_on_the_screen_and_h_hides_them(reader: ContourHand, viewer: Any, qtbot: Any) -> None:
    def coloured() -> list[int]:
        qtbot.wait(100)
        picture = viewer.screenshot(canvas_only=True, flash=False)
        return [white_or(structure.colour, picture) for structure in (LV, MYO, RV)]

    assert all(count > 100 for count in coloured())
    reader.press(Qt.Key.Key_H)
    assert all(count < 20 for count in coloured())
    reader.press(Qt.Key.Key_H)
    assert all(count > 100 for count in coloured())


def test_only_the_viewed_slice_is_on_show(reader: ContourHand, viewer: Any, segmented: Reading, qtbot: Any) -> None:
    reader.workspace.layers.go_to(0, 0)  # above the base: no heart
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert all(white_or(structure.colour, picture) < 20 for structure in (LV, MYO, RV))


def test_the_layers_are_made_once(
    reader: ContourHand, viewer: Any, segmented: Reading, another_heart: PhantomStudy, study: Callable[..., Any]
) -> None:
    layers = list(viewer.layers)
    assert len(layers) == 4
    for _ in range(3):
        reader.press(Qt.Key.Key_C)
        assert not reader.workspace.contours.in_hand
        reader.press(Qt.Key.Key_C)
    segmented.show(study(another_heart, "study-00000002"))
    click(reader.workspace.review._tools[Tool.MOVE])
    assert list(viewer.layers) == layers


def test_the_tools_are_there_while_the_tool_is_in_hand(reader: ContourHand) -> None:
    review = reader.workspace.review
    assert review.contour_tools.isVisible()
    click(review._tools[Tool.LV])
    assert not review.contour_tools.isVisible()
    assert reader.workspace.layers.tool is Tool.LV
    assert reader.workspace.layers.labels is not None
    assert reader.workspace.layers.labels.visible


def test_the_ejection_fraction_stays_on_a_small_screen(reader: ContourHand, qtbot: Any) -> None:
    reader.workspace.window().resize(1366, 768)
    review = reader.workspace.review
    qtbot.waitUntil(lambda: reader.workspace.window().height() <= 768)
    height = review.height()
    click(review._tools[Tool.MOVE])
    qtbot.waitUntil(lambda: review.brush.isVisible())
    assert abs(review.height() - height) <= 4  # not a row of buttons more


def test_why_a_slice_is_to_be_checked_is_in_sight_on_a_small_screen(reader: ContourHand, qtbot: Any) -> None:
    reader.workspace.window().resize(1366, 768)
    qtbot.waitUntil(lambda: reader.workspace.window().height() <= 768)
    review = reader.workspace.review
    bars = [area.verticalScrollBar() for area in reader.workspace.findChildren(QScrollArea)]
    qtbot.waitUntil(lambda: any(bar.maximum() > 0 for bar in bars))
    for bar in bars:
        bar.setValue(0)
    reader.press(Qt.Key.Key_N)
    qtbot.waitUntil(lambda: review.why.visibleRegion().boundingRect() == review.why.rect())


def test_no_button_is_cut_off_on_a_small_screen(reader: ContourHand, qtbot: Any) -> None:
    reader.workspace.window().resize(1366, 768)
    qtbot.wait(100)
    review = reader.workspace.review
    tools = review.contour_tools
    shown = review.parentWidget().visibleRegion().boundingRect()
    for made in (*tools.borders.values(), tools.draw, tools.more, review.undo, review.hide_contours):
        assert made.width() >= made.minimumSizeHint().width() or made.width() == made.maximumWidth(), made.text()
        assert made.mapTo(review.parentWidget(), made.rect().topRight()).x() <= shown.right()


def test_a_beating_heart_shows_outlines_until_it_rests(reader: ContourHand, qtbot: Any) -> None:
    contours, layers = reader.workspace.contours, reader.workspace.layers
    assert contours.shapes is not None and layers.labels is not None
    for t in (1, 2, 3):
        layers.go_to(t, HERE[1])
    assert not contours.shapes.visible and layers.labels.visible
    qtbot.waitUntil(lambda: contours.shapes.visible)
    assert not layers.labels.visible
    drawn = reader.workspace.contour_editor.curves.values()
    for line, curve in zip(contours.shapes.data, drawn, strict=True):
        assert np.allclose(line, np.vstack([curve.outline, curve.outline[:1]]), atol=1e-3)
