"""ED and ES of each ventricle on the curve, and the basal slice in or out."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyqtgraph import Point
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel

from cinema_app.basal import basal_choices
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState
from cinema_core.project import Project


def pixel(workspace: Workspace, phase: float, ml: float) -> QPoint:
    plot = workspace.measures.plot
    return QPoint(plot.mapFromScene(plot.getPlotItem().vb.mapViewToScene(Point(phase, ml))))


def drag(workspace: Workspace, start: QPoint, end: QPoint, qtbot: Any) -> None:
    view = workspace.measures.plot.viewport()
    QTest.mouseMove(view, start)
    qtbot.wait(30)
    QTest.mousePress(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for k in range(1, 9):
        QTest.mouseMove(view, start + (end - start) * k / 8)
        qtbot.wait(15)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    qtbot.wait(30)


def table(workspace: Workspace) -> list[str]:
    return [label.text() for label in workspace.measures.findChildren(QLabel)]


def test_dragging_the_ring_sets_es_of_the_rv_alone(workspace: Workspace, segmented: Reading, qtbot: Any) -> None:
    choice, found = segmented.phases, segmented.measures
    assert choice is not None
    assert found is not None
    assert choice.rv_es_phase is not None
    ring = workspace.measures.rv_rings["rv_es_phase"]
    assert ring.isVisible()
    assert tuple(ring.pos()) == (choice.rv_es_phase + 1, found.curve.rv_ml[choice.rv_es_phase])
    target = choice.rv_es_phase + 2
    qtbot.wait(100)
    start = pixel(workspace, *ring.pos())
    drag(workspace, start, pixel(workspace, target + 1, ring.pos().y()), qtbot)
    assert segmented.phases is not None
    assert segmented.phases.rv_es_phase == target
    assert segmented.phases.es_phase == choice.es_phase
    assert tuple(ring.pos()) == (target + 1, found.curve.rv_ml[target])  # back on the curve
    assert segmented.measures is not None
    assert segmented.measures.rv_esv_ml == found.curve.rv_ml[target]
    assert f"{segmented.measures.rv_ef_pct:.0f}" in table(workspace)

    segmented.set_phase_of("es_phase", 1)
    assert (segmented.phases.es_phase, segmented.phases.rv_es_phase) == (1, target)  # it is apart now
    segmented.set_phase_of("ed_phase", 2)
    assert (segmented.phases.ed_phase, segmented.phases.rv_ed_phase) == (2, 2)  # this one goes along


def test_accepting_ed_and_es_covers_all_that_an_approval_asks_for(
    workspace: Workspace, segmented: Reading, project: Project
) -> None:
    choice = segmented.phases
    assert choice is not None
    of_rv = choice.es_phase + 1
    segmented.set_phase_of("rv_es_phase", of_rv)
    accept = workspace.review.accept_phases
    assert f"phases {choice.ed_phase + 1}, {choice.es_phase + 1} and {of_rv + 1}" in accept.toolTip()
    QTest.mouseClick(accept, Qt.MouseButton.LeftButton)
    for t in (choice.ed_phase, choice.es_phase, of_rv):
        assert all(segmented.state(t, z) is LabelState.ACCEPTED for z in range(segmented.cine.n_slices))
    position = project.journal_position()
    segmented.report.approve()
    assert project.journal_position() == position
    assert segmented.report.approval.reason == ""


def test_the_rv_has_its_own_es_proposed_from_its_own_curve(
    workspace: Workspace, reading: Reading, engine: Any, segmentation: Any, phantom_study: Any
) -> None:
    labels = phantom_study.labels.copy()
    late = int(np.argmin(phantom_study.lv_ml)) + 1
    labels[late][labels[late] == 1] = 0
    labels[late, :, 90:100, 60:64] = np.where(labels[late, :, 90:100, 60:64] == 0, 1, labels[late, :, 90:100, 60:64])
    reading.segment()
    engine.jobs[-1].finish(segmentation(labels))
    assert reading.phases is not None
    assert reading.phases.rv_es_phase == late
    assert reading.phases.es_phase != late
    ring = workspace.measures.rv_rings["rv_es_phase"]
    assert ring.pos().x() == late + 1
    assert ring.label().toPlainText() == "RV ES"


def test_the_menu_says_what_leaving_the_base_out_does_and_then_does_it(
    workspace: Workspace, segmented: Reading, hand: Any, qtbot: Any
) -> None:
    assert segmented.phases is not None
    assert segmented.measures is not None
    before = segmented.measures.lv_ef_pct
    assert before is not None
    hand.press(Qt.Key.Key_B)
    menu = workspace.review.basal_menu
    qtbot.waitUntil(menu.isVisible)
    first = next(
        action for action in menu.actions() if action.text().startswith("LV: leave slice") and "ED" in action.text()
    )
    z = int(first.text().split("slice ")[1].split()[0]) - 1
    assert (segmented.labels[segmented.phases.ed_phase, z] == 3).any()
    choice = next(choice for choice in basal_choices(segmented) if choice.words == first.text())
    QTest.mouseClick(
        menu, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, menu.actionGeometry(first).center()
    )
    qtbot.waitUntil(lambda: segmented.measures is not None and segmented.measures.lv_ef_pct != before)
    assert segmented.measures.lv_ef_pct is not None
    after = f"{segmented.measures.lv_ef_pct:.0f}"
    assert f"{before:.0f} → {after} %" in first.text() or f"stays {after} %" in first.text()
    assert after in table(workspace)
    for t, z in choice.masks:
        assert not np.isin(segmented.labels[t, z], (2, 3)).any()
        assert segmented.state(t, z) is LabelState.CORRECTED

    back = [choice.words for choice in basal_choices(segmented) if choice.words.startswith("LV: bring slice")]
    assert back
    assert back[0].endswith(f"{before:.0f} %")
    hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: segmented.measures is not None and segmented.measures.lv_ef_pct == before)
    assert not any(choice.words.startswith("LV: bring") for choice in basal_choices(segmented))


def test_there_is_nothing_to_decide_before_ed_and_es_are_known(workspace: Workspace, reading: Reading) -> None:
    assert basal_choices(reading) == []
    assert not workspace.review.base.isEnabled()
