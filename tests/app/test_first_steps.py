"""What a newcomer meets: the strip of five steps, and the page of keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QToolButton, QWidget

from cinema_app.key_choices import key_list, readable
from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_app.widgets.tour import POINTED_AT
from cinema_app.widgets.workspace import Workspace


def click(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def pointed_at(workspace: Workspace) -> list[str]:
    return [target.text() for target in workspace.tour._targets if target.property(POINTED_AT) == "here"]


def names(workspace: Workspace) -> list[str]:
    return [step.text() for step in workspace.tour.steps]


def foot_button(workspace: Workspace, text: str) -> Any:
    return next(found for found in workspace.status.findChildren(QToolButton) if found.text() == text)


def test_the_strip_points_at_one_step_after_the_other(
    workspace: Workspace,
    reading: Reading,
    engine: Any,
    segmentation: Callable[[np.ndarray], Any],
    phantom_study: Any,
    fine_tuned: Any,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    assert workspace.tour.isVisible()
    assert names(workspace)[:2] == ["✓ Open", "2 Segment"]
    assert pointed_at(workspace) == ["Segment"]
    assert "Press Segment" in workspace.tour.words.text()
    reading.segment()
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert pointed_at(workspace) == ["Next to check"]
    qtbot.waitUntil(lambda: not workspace.review.next.visibleRegion().isEmpty())
    reading.accept([(0, 2)])
    assert pointed_at(workspace) == ["Fine-tune on my labels"]
    click(workspace.tour.steps[3])
    assert workspace.tabs.tabText(workspace.tabs.currentIndex()) == "Fine-tune"
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    reading.learning.finetune(teaching)
    engine.jobs[-1].finish(fine_tuned(reading.project.trials_folder / "v001", reading.study_id))
    assert pointed_at(workspace) == ["Export CSV…"]
    reading.report.export_csv(tmp_path / "report.csv")
    assert pointed_at(workspace) == []
    assert all(name.startswith("✓") for name in names(workspace))


def test_the_strip_is_closed_for_good_and_opened_by_its_button(workspace: Workspace) -> None:
    click(workspace.tour.cross)
    assert not workspace.tour.isVisible()
    assert pointed_at(workspace) == []
    assert preferences().tour.seen
    assert "seen: true" in Path(preferences().config_path).read_text()
    click(foot_button(workspace, "First steps"))
    assert workspace.tour.isVisible()
    assert pointed_at(workspace) == ["Segment"]
    assert not preferences().tour.seen


@pytest.fixture
def seen_before() -> None:
    preferences().tour.seen = True


@pytest.mark.usefixtures("seen_before")
def test_whoever_closed_the_strip_does_not_see_it_again(workspace: Workspace) -> None:
    assert not workspace.tour.isVisible()


def test_every_key_is_declared_and_shown_by_the_question_mark(workspace: Workspace, hand: Any, qtbot: Any) -> None:
    assert {found.ours for found in key_list()} == set(workspace._actions | workspace._contour_actions)
    hand.press(Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    help_page = workspace.key_help
    assert help_page is not None
    qtbot.waitUntil(help_page.isVisible)
    assert not help_page.isModal()
    shown = [label.text() for label in help_page.findChildren(QLabel)]
    for found in key_list():
        assert readable(found.key) in shown
        assert found.words in shown
    workspace.layers.go_to(0, 2)
    hand.press(Qt.Key.Key_Right)  # reading goes on beside it
    assert workspace.layers.here == (1, 2)
    hand.press(Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    assert not help_page.isVisible()


@pytest.fixture
def other_keys() -> None:
    keys = preferences().keys
    keys.next_phase = "K"
    keys.accept_slice = "Foo"  # no key
    keys.zoom_to_heart = "P"  # taken


@pytest.mark.usefixtures("other_keys")
def test_a_key_that_the_reader_chose_is_used(workspace: Workspace, segmented: Reading, hand: Any) -> None:
    workspace.layers.go_to(0, 2)
    hand.press(Qt.Key.Key_K)
    assert workspace.layers.here == (1, 2)
    hand.press(Qt.Key.Key_A)
    assert segmented.state(1, 2).value == "accepted"
    keys = {found.ours: found.key for found in key_list()}
    assert (keys["Right"], keys["A"], keys["F"], keys["P"]) == ("K", "A", "F", "P")


@pytest.fixture
def keys_of_a_left_hand() -> None:
    keys = preferences().keys
    keys.undo = "Control-U"
    keys.go_to_ed = "V"
    keys.set_ed = "Alt-V"
    keys.accept_slice = "Q"
    keys.plane_lines = "Y"
    keys.grow_contour = "Control-G"
    keys.next_contour = "Tab"


@pytest.mark.usefixtures("keys_of_a_left_hand")
def test_tooltips_and_menus_name_the_keys_that_the_reader_chose(workspace: Workspace, segmented: Reading) -> None:
    review = workspace.review
    assert "(Ctrl+U)" in review.undo.toolTip()
    assert "(V)" in review._go_buttons[0].toolTip() and "(Alt+V)" in review._set_buttons[0].toolTip()
    assert "(Q)" in review.accept_slice.toolTip()
    assert "(Y)" in workspace.long_axis.lines.toolTip()
    tools = review.contour_tools
    assert "Half a millimetre larger\tCtrl+G" in [action.text() for action in tools.more.menu().actions()]
    assert all("Tab for the next" in made.toolTip() for made in tools.borders.values())
    told = [widget.toolTip() for widget in workspace.findChildren(QWidget)]
    assert not [tip for tip in told if "(D)" in tip or "(Ctrl+Z)" in tip or "(A)" in tip or "(X)" in tip]
