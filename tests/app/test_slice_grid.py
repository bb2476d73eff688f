"""Small pictures of every slice at ED and ES, seen and clicked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import STATE_COLOURS
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState, Structure


def pixels(workspace: Workspace, place: QRect) -> np.ndarray:
    """What the screen shows there, shape (y, x, rgb)."""
    QApplication.processEvents()
    grid = workspace.slices
    image = grid.grab(place).toImage().convertToFormat(grid.grab().toImage().Format.Format_RGB888)
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return raw[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def is_framed(workspace: Workspace, t: int, z: int) -> bool:
    cell = workspace.slices.cell(t, z)
    left = pixels(workspace, QRect(cell.x() + 2, cell.y() + 4, 1, cell.height() - 14))
    return bool((left >= 250).all())


def has_colour(shown: np.ndarray, colour: str, within: int = 40) -> bool:
    wanted = QColor(colour)
    return bool((np.abs(shown - [wanted.red(), wanted.green(), wanted.blue()]).max(axis=2) <= within).any())


@pytest.fixture
def shown(workspace: Workspace, segmented: Reading, qtbot: Any) -> Workspace:
    qtbot.waitUntil(workspace.slices.isVisible)
    qtbot.wait(100)
    return workspace


def test_every_slice_is_shown_at_ed_and_es_with_its_contours(shown: Workspace, segmented: Reading) -> None:
    choice = segmented.phases
    assert choice is not None
    assert [name for name, _ in shown.slices.rows] == ["ED", "ES"]
    for t in (choice.ed_phase, choice.es_phase):
        for z in range(segmented.cine.n_slices):
            cell = shown.slices.cell(t, z)
            assert shown.slices.rect().contains(cell)
            for structure in np.unique(segmented.labels[t, z]):
                if structure:
                    assert has_colour(pixels(shown, cell), Structure(structure).colour), (t, z, structure)


def test_a_click_goes_to_the_slice_and_frames_it(shown: Workspace, segmented: Reading) -> None:
    assert segmented.phases is not None
    t, z = segmented.phases.es_phase, 1
    shown.layers.go_to(0, 4)
    assert not is_framed(shown, t, z)
    assert is_framed(shown, 0, 4)
    centre = shown.slices.cell(t, z).center()
    QTest.mouseClick(shown.slices, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, centre)
    assert shown.layers.here == (t, z)
    assert is_framed(shown, t, z)
    assert not is_framed(shown, 0, 4)


def test_a_correction_shows_on_its_picture_only(
    shown: Workspace, segmented: Reading, mask: Callable[[], np.ndarray]
) -> None:
    shown.layers.go_to(1, 4)
    corrected, other = shown.slices.cell(0, 2), shown.slices.cell(0, 3)
    before = pixels(shown, corrected), pixels(shown, other)
    kept = dict(shown.slices._pictures)
    segmented.correct(0, 2, mask())
    after = pixels(shown, corrected), pixels(shown, other)
    assert (before[0] != after[0]).any()
    np.testing.assert_array_equal(before[1], after[1])
    assert {where for where, picture in shown.slices._pictures.items() if picture is not kept[where]} == {(0, 2)}
    assert has_colour(after[0][-8:], STATE_COLOURS[LabelState.CORRECTED], within=5)


def test_stepping_through_phases_draws_no_picture_again(shown: Workspace, segmented: Reading, hand: Any) -> None:
    QApplication.processEvents()
    kept = dict(shown.slices._pictures)
    for _ in range(segmented.cine.n_phases):
        hand.press(Qt.Key.Key_Right)
    QApplication.processEvents()
    assert all(shown.slices._pictures[where] is picture for where, picture in kept.items())


def test_the_pictures_follow_es(shown: Workspace, segmented: Reading) -> None:
    segmented.set_es(4)
    assert dict(shown.slices.rows)["ES"] == 4
    assert not shown.slices.cell(4, 0).isEmpty()


def test_before_anything_is_drawn_the_first_phase_is_shown(workspace: Workspace, qtbot: Any) -> None:
    qtbot.waitUntil(workspace.slices.isVisible)
    assert workspace.slices.rows == (("1", 0),)
    shown = pixels(workspace, workspace.slices.cell(0, 2))
    assert shown.std() > 10  # an image, not a blank
    assert not has_colour(shown, Structure.LV_MYOCARDIUM.colour)


def test_g_hides_the_pictures_and_they_stay_hidden_for_the_next_study(
    shown: Workspace, segmented: Reading, hand: Any, another_heart: Any, study: Any
) -> None:
    hand.press(Qt.Key.Key_G)
    assert not shown.slices.isVisible()
    assert not preferences().views.slices
    segmented.show(study(another_heart, "study-00000002"))
    assert not shown.slices.isVisible()
    hand.press(Qt.Key.Key_G)
    assert shown.slices.isVisible()
    assert preferences().views.slices
