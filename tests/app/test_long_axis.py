"""Long-axis views beside the short axis: lines and dots lie where the anatomy of the phantom says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, View
from cinema_core.io import Study
from cinema_core.phantom import LONG_AXIS, HeartParameters, PhantomStudy, PhantomView, make_phantom


@pytest.fixture(scope="module")
def heart() -> PhantomStudy:
    parameters = HeartParameters(n_slices=6, slice_step_mm=15.0, n_phases=4)
    return make_phantom(parameters, seed=4, views=LONG_AXIS)


@pytest.fixture
def shown(
    workspace: Workspace,
    reading: Reading,
    engine: Any,
    heart: PhantomStudy,
    study: Callable[..., Study],
    segmentation: Callable[[np.ndarray], Any],
    qtbot: Any,
) -> Workspace:
    """The window with a heart that has long-axis views, segmented as it is."""
    cines = tuple(view.cine for view in heart.views)
    reading.show(replace(study(heart, "study-00000003"), cines=cines))
    reading.segment()
    engine.jobs[-1].finish(segmentation(heart.labels))
    qtbot.waitUntil(workspace.long_axis.isVisible)
    workspace.layers.go_to(0, 3)
    qtbot.wait(200)
    return workspace


def view_of(heart: PhantomStudy, view: View) -> PhantomView:
    return next(found for found in heart.long_axis if found.cine.view is view)


def pixels(widget: Any) -> np.ndarray:
    """What a panel shows, shape (y, x, rgb)."""
    QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return raw[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def around(shown: np.ndarray, point: Any, reach: int = 1) -> np.ndarray:
    x, y = round(point.x()), round(point.y())
    return shown[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].reshape(-1, 3)


def is_like(colours: np.ndarray, colour: str, within: int = 45) -> bool:
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return bool((np.abs(colours - wanted).max(axis=1) <= within).any())


def test_a_study_without_long_axis_views_has_no_panel_of_them(workspace: Workspace, segmented: Reading) -> None:
    assert not workspace.long_axis.isVisible()
    assert workspace.plane_lines.layer is None


def test_the_three_views_are_shown_beside_the_short_axis(shown: Workspace, heart: PhantomStudy) -> None:
    for view, picture in shown.long_axis.pictures.items():
        assert picture.isVisible(), view
        assert pixels(picture).std() > 20
    assert shown.slices.isVisible()


def test_the_line_of_the_viewed_slice_lies_in_its_plane(shown: Workspace, heart: PhantomStudy) -> None:
    slice_plane = heart.cine.geometry.planes[1]
    elsewhere = {view: pixels(picture) for view, picture in shown.long_axis.pictures.items()}
    shown.layers.go_to(0, 1)
    for view, picture in shown.long_axis.pictures.items():
        cine = view_of(heart, view).cine
        rows, columns = np.mgrid[: cine.shape[2], : cine.shape[3]]
        away_mm = (cine.geometry.planes[0].to_world_mm(rows, columns) - slice_plane.origin_mm) @ slice_plane.normal
        on_line = np.argwhere(np.abs(away_mm) < 0.1).astype(float)
        seen = pixels(picture)
        place = picture._place().adjusted(6, 22, -6, -6)  # inside the picture, below its name
        points = [point for point in picture.on_screen(on_line) if place.contains(point)]
        assert points
        drawn = [np.abs(around(seen, point) - around(elsewhere[view], point)).max() > 40 for point in points]
        assert np.mean(drawn) > 0.9, view
        light = [around(seen, point).min(axis=1).max() for point in points]
        assert np.median(light) > 110, view  # smoothed, on black


def test_the_dots_of_the_viewed_slice_lie_on_the_border_of_the_cavity(shown: Workspace, heart: PhantomStudy) -> None:
    z = 3
    slice_plane = heart.cine.geometry.planes[z]
    for view, picture in shown.long_axis.pictures.items():
        lax = view_of(heart, view)
        border = lax.contours(0, 0)["lv_endocardium"][0]  # (x, y)
        away = (lax.cine.geometry.planes[0].to_world_mm(border[:, 1], border[:, 0]) - slice_plane.origin_mm) @ (
            slice_plane.normal
        )
        ends = border[np.flatnonzero((away[:-1] > 0) != (away[1:] > 0))]
        assert len(ends) == 2
        for x, y in ends:
            point = picture.on_screen(np.array([[y, x]]))[0]
            assert is_like(around(pixels(picture), point, 2), Structure.LV_CAVITY.colour), view


def test_the_dots_follow_a_correction_and_the_phase(shown: Workspace, reading: Reading, heart: PhantomStudy) -> None:

    def cavity_px(t: int, z: int) -> float:
        (found,) = (crossing for crossing in shown.long_axis_views.crossings(View.LAX_4C, t) if crossing.z == z)
        ends = found.places[Structure.LV_CAVITY]
        return float(np.linalg.norm(ends[1] - ends[0]))

    picture = shown.long_axis.pictures[View.LAX_4C]
    before, before_px = pixels(picture), cavity_px(0, 3)
    larger = heart.labels[0, 3].copy()
    larger[larger == 2] = 3
    reading.correct(0, 3, larger)
    after = pixels(picture)
    assert (before != after).any()
    assert cavity_px(0, 3) > before_px + 8  # by the wall on both sides
    shown.layers.go_to(2, 3)
    assert (pixels(picture) != after).any()
    assert cavity_px(2, 2) < cavity_px(0, 2) - 2  # it contracts


def test_a_click_on_the_apex_goes_to_the_slice_there(shown: Workspace, heart: PhantomStudy) -> None:
    view = View.LAX_2C
    picture, lax = shown.long_axis.pictures[view], view_of(heart, View.LAX_2C)
    assert lax.landmarks_px is not None
    x, y = lax.landmarks_px[0, 2]
    apex_mm = lax.cine.geometry.planes[0].to_world_mm(y, x)
    away = [abs((apex_mm - plane.origin_mm) @ plane.normal) for plane in heart.cine.geometry.planes]
    point = picture.on_screen(np.array([[y, x]]))[0]
    QTest.mouseClick(picture, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point.toPoint())
    assert shown.layers.here == (0, int(np.argmin(away)))


def test_lines_on_the_short_axis_lie_in_the_long_axis_planes_and_x_hides_them(
    shown: Workspace, viewer: Any, hand: Any, heart: PhantomStudy, qtbot: Any
) -> None:
    def canvas() -> np.ndarray:
        qtbot.wait(150)
        return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(int)

    with_lines = canvas()
    hand.press(Qt.Key.Key_X)
    assert not shown.long_axis.lines.isChecked()
    assert not preferences().views.plane_lines
    without = canvas()
    changed = np.argwhere(np.abs(with_lines - without).max(axis=2) > 40)
    assert len(changed) > 300

    # Back from the canvas to the patient: the line through two known pixels gives scale and offset.
    spacing = heart.cine.geometry.pixel_spacing_mm
    ratio = with_lines.shape[1] / hand.canvas.width()
    zero, ten = hand.point(0, 0, spacing), hand.point(100, 100, spacing)
    per_pixel = np.array([ten.y() - zero.y(), ten.x() - zero.x()]) / 100
    image = (changed / ratio - [zero.y(), zero.x()]) / per_pixel
    world = heart.cine.geometry.planes[3].to_world_mm(image[:, 0], image[:, 1])
    planes = [view.cine.geometry.planes[0] for view in heart.long_axis]
    away_mm = np.min([np.abs((world - plane.origin_mm) @ plane.normal) for plane in planes], axis=0)
    assert np.quantile(away_mm, 0.95) < 1.5
    hand.press(Qt.Key.Key_X)
    assert shown.long_axis.lines.isChecked()
    assert (np.abs(canvas() - without).max(axis=2) > 40).sum() > 300


def in_frames(heart: PhantomStudy, sax: tuple[str, ...], lax: str) -> tuple[Cine, ...]:
    return tuple(
        replace(view.cine, frames_of_reference=sax if view.cine.view is View.SAX else (lax,)) for view in heart.views
    )


def test_views_in_another_frame_of_reference_have_no_lines_and_say_why(
    shown: Workspace, reading: Reading, heart: PhantomStudy, study: Callable[..., Study]
) -> None:
    views = shown.long_axis_views
    at_hand = replace(study(heart, "study-00000003"), cines=in_frames(heart, ("1.2",) * 6, "1.3"))
    reading.show(at_hand)
    shown.layers.go_to(0, 3)
    assert shown.plane_lines.layer is not None and len(shown.plane_lines.layer.data) == 0
    for view, picture in shown.long_axis.pictures.items():
        assert "the patient or the table was moved in between" in picture.toolTip()
        assert views.line_on_long_axis(view, 3) is None and not views.crossings(view, 0)
        foot = pixels(picture)[-30:]
        assert is_like(foot.reshape(-1, 3), "#ffcb6b"), view  # the reason stands in the picture
        QTest.mouseClick(picture, Qt.MouseButton.LeftButton)
        assert shown.layers.here == (0, 3)

    reading.show(replace(at_hand, cines=in_frames(heart, ("1.2", "1.2", "1.2", "1.2", "1.3", "1.3"), "1.2")))
    assert views.line_on_short_axis(View.LAX_4C, 3) is not None
    assert views.line_on_short_axis(View.LAX_4C, 4) is None
    assert "Some short-axis slices" in shown.long_axis.pictures[View.LAX_4C].toolTip()

    reading.show(replace(at_hand, cines=in_frames(heart, (), "1.2")))  # not known: taken as one
    assert views.line_on_short_axis(View.LAX_4C, 4) is not None
    assert "White line" in shown.long_axis.pictures[View.LAX_4C].toolTip()


def test_the_lines_leave_the_brush_in_hand_and_the_view_where_it_was(shown: Workspace, viewer: Any) -> None:
    assert viewer.layers.selection.active is shown.layers.labels
    assert shown.layers.here == (0, 3)
    assert shown.plane_lines.layer in viewer.layers


def test_l_hides_the_panel_and_choosing_a_long_axis_cine_too(
    shown: Workspace, reading: Reading, heart: PhantomStudy, hand: Any
) -> None:
    hand.press(Qt.Key.Key_L)
    assert not shown.long_axis.isVisible()
    hand.press(Qt.Key.Key_L)
    assert shown.long_axis.isVisible()
    reading.notify("Said of the short axis.")
    reading.choose_cine(view_of(heart, View.LAX_4C).cine.id)
    assert not shown.status.notice.isVisible()
    assert shown.tour.words.text().startswith("This model draws on short-axis cines only")
    assert not shown.long_axis.isVisible()
    assert shown.plane_lines.layer is not None
    assert not shown.plane_lines.layer.visible
    reading.choose_cine(heart.cine.id)
    assert shown.long_axis.isVisible()
    assert shown.plane_lines.layer.visible


def test_a_long_axis_cine_of_another_length_is_shown_at_the_same_share_of_the_beat(
    shown: Workspace, reading: Reading, heart: PhantomStudy
) -> None:
    two = view_of(heart, View.LAX_2C).cine
    doubled = replace(two, pixels=np.repeat(two.pixels, 2, axis=0))
    assert reading.study is not None
    reading.show(replace(reading.study, cines=(heart.cine, doubled)))
    assert [shown.long_axis_views.phase_of(View.LAX_2C, t) for t in range(4)] == [0, 2, 4, 6]
    assert not shown.long_axis.pictures[View.LAX_4C].isVisible()
