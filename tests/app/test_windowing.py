"""The right button of the mouse: window and level, seen on the canvas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cinema_app.corner import time_in_beat
from cinema_app.layers import Tool
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.cine import Timing

START = QPoint(260, 300)


def drag_right(hand: Any, qtbot: Any, by: QPoint, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """Hold the right button and move."""
    QTest.mouseMove(hand.canvas, START)
    qtbot.wait(20)
    QTest.mousePress(hand.canvas, Qt.MouseButton.RightButton, modifier, START)
    for k in range(1, 9):
        QTest.mouseMove(hand.canvas, START + by * k / 8)
        qtbot.wait(10)
    QTest.mouseRelease(hand.canvas, Qt.MouseButton.RightButton, modifier, START + by)
    qtbot.wait(50)


def brightness(viewer: Any, qtbot: Any) -> np.ndarray:
    qtbot.wait(100)
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[60:, :, 0].astype(float)


def window(workspace: Workspace) -> tuple[float, float]:
    """Width and level."""
    assert workspace.layers.image is not None
    low, high = workspace.layers.image.contrast_limits
    return high - low, (low + high) / 2


def test_right_drag_is_window_and_level_and_leaves_the_zoom(
    workspace: Workspace, viewer: Any, hand: Any, qtbot: Any
) -> None:
    zoom, centre = viewer.scene.camera.zoom, viewer.scene.camera.center
    before, (width, level) = brightness(viewer, qtbot), window(workspace)
    drag_right(hand, qtbot, QPoint(120, 0))
    wider, (width_after, level_after) = brightness(viewer, qtbot), window(workspace)
    assert width_after > 1.3 * width
    assert level_after == pytest.approx(level)
    assert wider.std() < 0.95 * before.std()  # less contrast on the screen
    drag_right(hand, qtbot, QPoint(0, -120))
    assert window(workspace)[0] == pytest.approx(width_after)
    assert window(workspace)[1] < level_after
    assert brightness(viewer, qtbot).mean() > wider.mean() + 5  # a lower level is a brighter image
    assert viewer.scene.camera.zoom == zoom
    assert viewer.scene.camera.center == centre
    assert f"W {window(workspace)[0]:.0f}" in viewer.canvas.overlays.text.text


def test_r_and_a_double_click_bring_the_window_back(workspace: Workspace, viewer: Any, hand: Any, qtbot: Any) -> None:
    before = window(workspace)
    drag_right(hand, qtbot, QPoint(100, 60))
    assert window(workspace) != before
    hand.press(Qt.Key.Key_R)
    assert window(workspace) == before
    assert "W " not in viewer.canvas.overlays.text.text
    drag_right(hand, qtbot, QPoint(100, 60))
    QTest.mouseDClick(hand.canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, START)
    qtbot.wait(50)
    assert window(workspace) == before


def test_right_drag_with_ctrl_zooms_as_napari_does(workspace: Workspace, viewer: Any, hand: Any, qtbot: Any) -> None:
    qtbot.wait(300)  # the panels beside the image have taken their place
    zoom, before = viewer.scene.camera.zoom, window(workspace)
    drag_right(hand, qtbot, QPoint(0, -80), Qt.KeyboardModifier.ControlModifier)
    assert viewer.scene.camera.zoom > 1.2 * zoom
    assert window(workspace) == before
    hand.press(Qt.Key.Key_F)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)


@pytest.mark.parametrize("tool", [Tool.LV, Tool.ERASE])
def test_the_right_button_never_paints(
    workspace: Workspace, segmented: Reading, hand: Any, qtbot: Any, tool: Tool
) -> None:
    workspace.layers.use(tool)
    labels = segmented.labels.copy()
    before = window(workspace)
    drag_right(hand, qtbot, QPoint(60, 40))
    QTest.mouseMove(hand.canvas, START + QPoint(0, 90))
    qtbot.wait(50)
    np.testing.assert_array_equal(segmented.labels, labels)
    assert workspace.layers.labels is not None
    np.testing.assert_array_equal(workspace.layers.labels.data, labels)
    assert window(workspace) != before
    assert workspace.layers.tool is tool


def test_the_phase_is_told_in_ms_and_as_a_share_of_the_beat(
    workspace: Workspace, reading: Reading, viewer: Any
) -> None:
    cine = reading.cine
    assert cine.timing.trigger_ms is not None
    assert cine.timing.rr_median_ms is not None
    workspace.layers.go_to(3, 2)
    ms = cine.timing.trigger_ms[3]
    expected = f"{ms:.0f} ms = {100 * ms / cine.timing.rr_median_ms:.0f} % of RR"
    assert expected in viewer.canvas.overlays.text.text


def test_a_slice_tells_the_time_of_its_own_beat(reading: Reading) -> None:
    cine = reading.cine
    times = tuple(tuple(float(t * (100 + z)) for t in range(cine.n_phases)) for z in range(cine.n_slices))
    own = Timing(trigger_ms=times[0], rr_ms=tuple(800.0 + z for z in range(cine.n_slices)), slice_trigger_ms=times)
    assert time_in_beat(replace(cine, timing=own), 3, 4) == f"312 ms = {100 * 312 / 804:.0f} % of RR"
    assert time_in_beat(replace(cine, timing=Timing()), 2, 4) == f"{100 * 2 / cine.n_phases:.0f} % of the cycle"
    assert time_in_beat(replace(cine, timing=Timing(trigger_ms=times[0])), 3, 4) == "300 ms"


def test_the_wheel_with_shift_steps_phases_and_with_ctrl_zooms(workspace: Workspace, viewer: Any, hand: Any) -> None:
    def turn(modifier: Qt.KeyboardModifier) -> None:
        QApplication.sendEvent(
            hand.canvas,
            QWheelEvent(
                QPointF(START),
                QPointF(hand.canvas.mapToGlobal(START)),
                QPoint(),
                QPoint(0, -120),
                Qt.MouseButton.NoButton,
                modifier,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            ),
        )

    workspace.layers.go_to(0, 2)
    turn(Qt.KeyboardModifier.ShiftModifier)
    assert workspace.layers.here == (1, 2)
    zoom = viewer.scene.camera.zoom
    turn(Qt.KeyboardModifier.ControlModifier)
    assert workspace.layers.here == (1, 2)
    assert viewer.scene.camera.zoom < zoom
