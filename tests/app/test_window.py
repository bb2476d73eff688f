"""The panels in a real viewer, used with mouse and keyboard."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from qtpy.QtGui import QCloseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox, QScrollArea

from cinema_app.layers import Tool
from cinema_app.reading import Reading
from cinema_app.teaching import TeachingSet
from cinema_app.widgets.closing import CloseGuard
from cinema_app.widgets.workspace import WIDTH, Workspace
from cinema_core.anatomy import LabelState
from cinema_core.cards import file_sha256, write_card
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import CinemaError, StorageError
from cinema_core.io import Study
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom
from cinema_core.project import Project, journal


def click(button: Any) -> None:
    for _ in range(50):  # what has just appeared gets its place in several rounds of layout
        QApplication.processEvents()
        if button.height() >= 10:
            break
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def text_of(panel: Any) -> str:
    """Everything that a panel says."""
    from qtpy.QtWidgets import QLabel

    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


# ------------------------------------------------------------------ keys and mouse


def test_arrows_step_phases_and_slices(workspace: Workspace, hand: Any) -> None:
    workspace.layers.go_to(0, 2)
    hand.press(Qt.Key.Key_Right)
    hand.press(Qt.Key.Key_Right)
    hand.press(Qt.Key.Key_Left)
    hand.press(Qt.Key.Key_Down)
    assert workspace.layers.here == (1, 3)


def test_d_and_s_go_to_ed_and_es(workspace: Workspace, segmented: Reading, hand: Any) -> None:
    assert segmented.phases is not None
    workspace.layers.go_to(4, 2)
    hand.press(Qt.Key.Key_S)
    assert workspace.layers.here == (segmented.phases.es_phase, 2)
    hand.press(Qt.Key.Key_D)
    assert workspace.layers.here == (segmented.phases.ed_phase, 2)


def test_alt_s_makes_the_phase_on_show_es(workspace: Workspace, segmented: Reading, hand: Any) -> None:
    workspace.layers.go_to(4, 2)
    hand.press(Qt.Key.Key_S, Qt.KeyboardModifier.AltModifier)
    assert segmented.phases is not None
    assert segmented.phases.es_phase == 4


def test_h_hides_the_contours(workspace: Workspace, hand: Any) -> None:
    assert workspace.layers.labels is not None
    hand.press(Qt.Key.Key_H)
    assert not workspace.layers.labels.visible
    hand.press(Qt.Key.Key_H)
    assert workspace.layers.labels.visible


def test_p_plays_and_stops(workspace: Workspace, hand: Any, qtbot: Any) -> None:
    hand.press(Qt.Key.Key_P)
    with qtbot.waitSignal(workspace.player._timer.timeout):
        pass
    qtbot.waitUntil(lambda: workspace.layers.here[0] != 0, timeout=5000)
    hand.press(Qt.Key.Key_P)
    assert not workspace.player.playing


def turn_wheel(hand: Any, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier, notches: int = 1) -> None:
    """Turn the wheel over the canvas, towards the reader."""
    place = QPoint(200, 200)
    event = QWheelEvent(
        QPointF(place),
        QPointF(hand.canvas.mapToGlobal(place)),
        QPoint(),
        QPoint(0, -120 * notches),
        Qt.MouseButton.NoButton,
        modifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(hand.canvas, event)


def test_the_wheel_goes_through_the_slices(workspace: Workspace, viewer: Any, hand: Any) -> None:
    workspace.layers.go_to(0, 2)
    zoom = viewer.scene.camera.zoom
    turn_wheel(hand)
    assert workspace.layers.here == (0, 3)
    assert viewer.scene.camera.zoom == zoom


def test_the_wheel_goes_through_the_phases_with_shift(workspace: Workspace, viewer: Any, hand: Any) -> None:
    workspace.layers.go_to(0, 2)
    turn_wheel(hand, Qt.KeyboardModifier.ShiftModifier)
    assert workspace.layers.here == (1, 2)


def test_the_wheel_zooms_with_ctrl(workspace: Workspace, viewer: Any, hand: Any) -> None:
    workspace.layers.go_to(0, 2)
    zoom = viewer.scene.camera.zoom
    turn_wheel(hand, Qt.KeyboardModifier.ControlModifier)
    assert viewer.scene.camera.zoom < zoom
    assert workspace.layers.here == (0, 2)


def test_one_stroke_of_the_brush_is_one_correction(
    workspace: Workspace, segmented: Reading, project: Project, hand: Any
) -> None:
    workspace.layers.go_to(0, 2)
    click(workspace.review._tools[Tool.MYO])
    spacing = segmented.cine.geometry.pixel_spacing_mm
    before = project.journal_position()
    hand.drag(hand.point(100, 90, spacing), hand.point(100, 104, spacing))
    assert segmented.state(0, 2) is LabelState.CORRECTED
    assert segmented.labels[0, 2, 100, 97] == 2
    assert project.journal_position() == before + 1
    assert "corrected" in text_of(workspace.review)


def test_ctrl_z_takes_the_stroke_back(
    workspace: Workspace, segmented: Reading, phantom_study: PhantomStudy, hand: Any
) -> None:
    workspace.layers.go_to(0, 2)
    click(workspace.review._tools[Tool.MYO])
    spacing = segmented.cine.geometry.pixel_spacing_mm
    hand.drag(hand.point(100, 90, spacing), hand.point(100, 104, spacing))
    workspace.layers.go_to(3, 1)
    hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(segmented.labels, phantom_study.labels)
    assert workspace.layers.here == (0, 2)
    hand.press(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert segmented.state(0, 2) is LabelState.CORRECTED


# ------------------------------------------------------------------ panels


def test_segment_button_asks_the_engine(workspace: Workspace, engine: Any, reading: Reading) -> None:
    click(workspace.segment.segment)
    assert engine.jobs[-1].request["cine"] is reading.cine
    assert not workspace.segment.segment.isEnabled()
    assert workspace.segment.segment.toolTip() == "The engine is still at work."


def test_progress_is_shown_and_can_be_cancelled(workspace: Workspace, engine: Any, reading: Reading) -> None:
    click(workspace.segment.segment)
    engine.jobs[-1].events.progressed.emit(0.5, "Segmenting phase 3 of 6")
    assert "Segmenting phase 3 of 6" in text_of(workspace.status)
    assert workspace.status._bar.value() == 500
    click(workspace.status.cancel)
    assert engine.jobs[-1].state == "cancelled"
    assert not workspace.status.cancel.isVisible()


def test_an_error_is_one_line_in_the_panel(workspace: Workspace, engine: Any) -> None:
    click(workspace.segment.segment)
    engine.jobs[-1].fail("The engine ran out of memory. Close other programs and try again.")
    assert "ran out of memory" in text_of(workspace.status)
    assert workspace.segment.segment.isEnabled()


def test_accept_slice_marks_the_slice_on_show(workspace: Workspace, segmented: Reading) -> None:
    workspace.layers.go_to(1, 3)
    click(workspace.review.accept_slice)
    assert segmented.slices_in(LabelState.ACCEPTED) == [(1, 3)]
    assert not workspace.review.accept_slice.isEnabled()
    assert "accepted already" in workspace.review.accept_slice.toolTip()


def test_n_goes_to_the_slice_to_check_and_says_why(
    workspace: Workspace, segmented: Reading, engine: Any, segmentation: Any, phantom_study: PhantomStudy, hand: Any
) -> None:
    outcome = segmentation(phantom_study.labels)
    outcome.uncertainty[2, 1] = outcome.uncertainty[0, 2] = 0.9
    segmented.segment()
    engine.jobs[-1].finish(outcome)
    queue = segmented.queues.to_review()
    hand.press(Qt.Key.Key_N)
    assert workspace.layers.here == (queue[0].t, queue[0].z)
    assert queue[0].reason in workspace.review.why.text()
    assert workspace.review.why.isVisible()
    hand.press(Qt.Key.Key_N)
    assert workspace.layers.here == (queue[1].t, queue[1].z)
    hand.press(Qt.Key.Key_A)
    assert workspace.layers.here not in [(found.t, found.z) for found in segmented.queues.to_review()]
    hand.press(Qt.Key.Key_N)
    assert workspace.layers.here == (queue[2].t, queue[2].z)
    hand.press(Qt.Key.Key_Down)
    assert not workspace.review.why.isVisible()


def test_t_goes_to_a_slice_to_teach_until_the_study_has_taught_its_share(
    workspace: Workspace, segmented: Reading, hand: Any
) -> None:
    hand.press(Qt.Key.Key_T)
    assert "1 of 3 to teach: Drawn at random" in workspace.review.why.text()
    for _ in range(3):
        hand.press(Qt.Key.Key_T)
        assert segmented.state(*workspace.layers.here) is LabelState.PREDICTED
        hand.press(Qt.Key.Key_A)
    click(workspace.review.next_to_teach)
    assert "slices of another study teach the model more" in text_of(workspace.status)


def test_the_two_queues_do_not_take_each_others_place(workspace: Workspace, segmented: Reading, hand: Any) -> None:
    review, teach = segmented.queues.to_review(), segmented.queues.to_teach()
    hand.press(Qt.Key.Key_N)
    hand.press(Qt.Key.Key_T)
    assert workspace.layers.here == (teach[0].t, teach[0].z)
    hand.press(Qt.Key.Key_N)
    assert workspace.layers.here == (review[0].t, review[0].z)


def test_what_became_of_random_slices_is_told_and_goes_with_the_model(
    workspace: Workspace, segmented: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = workspace.review
    for n_read in range(15):
        assert not review.estimate.isVisible()
        queue = segmented.queues.to_review()
        assert queue[0].by_chance is (n_read % 5 == 4)
        click(review.next)
        assert workspace.layers.here == (queue[0].t, queue[0].z)
        segmented.accept([workspace.layers.here])
    assert (
        review.estimate.text() == "Of 3 slices of 1 study drawn at random, 3 were accepted as drawn: 100 % (44–100 %)"
    )
    assert review.estimate.isVisible()
    segmented.undo()
    assert not review.estimate.isVisible()
    segmented.redo()
    assert review.estimate.isVisible()
    monkeypatch.setattr(Reading, "model_card", segmented.model_card.model_copy(update={"sha256": "d" * 64}))
    segmented.events.model_changed.emit()
    assert not review.estimate.isVisible()  # another model, another share


def test_a_reason_is_not_said_of_another_study(
    workspace: Workspace, segmented: Reading, hand: Any, another_heart: PhantomStudy, study: Any
) -> None:
    hand.press(Qt.Key.Key_N)
    here = workspace.layers.here
    segmented.show(study(another_heart, "study-00000002"))
    workspace.layers.go_to(*here)
    assert not workspace.review.why.isVisible()


def test_next_to_check_is_grey_until_something_is_drawn(workspace: Workspace, segmented: Reading) -> None:
    assert workspace.review.next.isEnabled()
    segmented.accept([(t, z) for t in range(segmented.cine.n_phases) for z in range(segmented.cine.n_slices)])
    assert not workspace.review.next.isEnabled()
    assert "Nothing to check" in workspace.review.next.toolTip()


def test_ef_and_volumes_are_in_the_table(workspace: Workspace, segmented: Reading) -> None:
    assert segmented.measures is not None
    shown = text_of(workspace.measures)
    assert f"{segmented.measures.lv_ef_pct:.0f}" in shown.split("\n")
    assert f"{segmented.measures.lv_edv_ml:.0f}" in shown.split("\n")


def test_two_phases_are_two_points_and_no_curve(
    workspace: Workspace,
    reading: Reading,
    engine: Any,
    segmentation: Callable[[np.ndarray], Any],
    study: Callable[..., Study],
) -> None:
    heart = make_phantom(HeartParameters(n_slices=6, slice_step_mm=20.0, n_phases=2), seed=1)
    reading.show(study(heart, "study-00000002"))
    reading.segment()
    engine.jobs[-1].finish(segmentation(heart.labels))
    assert reading.measures is not None
    curve, axis = workspace.measures._lv, workspace.measures.plot.getAxis("bottom")
    assert len(curve.getData()[0]) == 2
    assert not np.any(curve.opts["connect"])
    assert [[text for _, text in level] for level in axis._tickLevels] == [["1", "2"]]


def test_the_table_follows_an_edit(
    workspace: Workspace, segmented: Reading, mask: Callable[[], np.ndarray], qtbot: Any
) -> None:
    before = segmented.measures
    segmented.correct(0, 2, mask())
    qtbot.waitUntil(lambda: segmented.measures is not before)
    assert segmented.measures is not None
    assert f"{segmented.measures.lv_edv_ml:.0f}" in text_of(workspace.measures).split("\n")


def test_dragging_the_es_marker_sets_es(workspace: Workspace, segmented: Reading, qtbot: Any) -> None:
    measures = workspace.measures
    assert segmented.phases is not None
    box = measures.plot.getPlotItem().vb

    def pixel(phase: float) -> QPoint:
        from pyqtgraph import Point

        y_low, y_high = box.viewRange()[1]
        scene = box.mapViewToScene(Point(phase, (y_low + y_high) / 2))
        return QPoint(measures.plot.mapFromScene(scene))

    target = 5
    start, end = pixel(segmented.phases.es_phase + 1), pixel(target + 1)
    view = measures.plot.viewport()
    QTest.mouseMove(view, start)
    qtbot.wait(30)
    QTest.mousePress(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for k in range(1, 9):
        QTest.mouseMove(view, start + (end - start) * k / 8)
        qtbot.wait(15)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    qtbot.waitUntil(lambda: segmented.phases is not None and segmented.phases.es_phase == target)
    assert f"ES {target + 1}" in text_of(workspace.review)


def test_a_study_that_is_opened_again_shows_its_ed_and_es_on_the_curve(
    workspace: Workspace, segmented: Reading, another_heart: PhantomStudy, phantom_study: PhantomStudy, study: Any
) -> None:
    segmented.accept_phases()
    segmented.show(study(another_heart, "study-00000002"))
    assert not workspace.measures.ed_marker.isVisible()
    segmented.show(study(phantom_study))
    assert segmented.phases is not None
    assert workspace.measures.ed_marker.isVisible()
    assert workspace.measures.es_marker.value() == segmented.phases.es_phase + 1


def test_the_map_goes_where_it_is_clicked(workspace: Workspace, segmented: Reading) -> None:
    state_map = workspace.review.map
    QTest.mouseClick(state_map, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, state_map.centre_of(4, 1))
    assert workspace.layers.here == (4, 1)


def test_a_study_of_several_cines_after_one_of_one_does_not_widen_the_panel(
    workspace: Workspace, segmented: Reading, study: Any, phantom_study: PhantomStudy
) -> None:
    one = study(phantom_study)
    long = Cine("long", np.zeros((100, 14, 8, 8), np.int16), Geometry.from_affine(np.eye(4), 14), View.SAX)
    segmented.show(replace(one, id="study-00000002", cines=(long,)))
    QTest.qWait(100)
    segmented.show(replace(one, id="study-00000003", cines=(*one.cines, long)))
    QTest.qWait(100)
    (scroll,) = workspace.findChildren(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= WIDTH


def test_fine_tune_is_grey_until_something_is_labelled(workspace: Workspace, segmented: Reading) -> None:
    workspace.show_tab("Fine-tune")
    assert not workspace.train.finetune.isEnabled()
    assert "Correct or accept" in workspace.train.finetune.toolTip()
    segmented.accept([(0, 2)])
    assert workspace.train.finetune.isEnabled()


def test_fine_tune_may_start_where_only_other_patients_have_labels(
    workspace: Workspace, segmented: Reading, another_heart: PhantomStudy, study: Any
) -> None:
    workspace.show_tab("Fine-tune")
    segmented.accept([(0, 2), (1, 2)])
    segmented.show(study(another_heart, "study-00000002"))
    assert not workspace.train.finetune.isEnabled()
    assert "Only one other patient has labels" in workspace.train.finetune.toolTip()
    segmented.accept([(0, 1)])
    segmented.show(study(another_heart, "study-00000003"))
    assert workspace.train.finetune.isEnabled()
    assert "0 labelled slices here, 3 in other studies (2 patients)." in text_of(workspace.train)


def test_fine_tune_is_grey_without_its_base_and_says_which(
    workspace: Workspace, segmented: Reading, project: Project
) -> None:
    segmented.accept([(0, 2)])
    project.set_current_model("acdc-sax-seg/0")
    segmented.events.model_changed.emit()
    assert not workspace.train.finetune.isEnabled()
    assert "acdc-sax-seg/0 is published, but not on this computer" in workspace.train.finetune.toolTip()
    segmented.choose_model("bundled")
    assert workspace.train.finetune.isEnabled()


def test_effort_is_told_where_it_is_unfolded_and_not_added_up_at_every_stroke(
    workspace: Workspace, segmented: Reading, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    added_up = segmented.project.effort

    def effort(study_id: str, spacing_mm: tuple[float, float]) -> Any:
        asked.append(study_id)
        return added_up(study_id, spacing_mm)

    monkeypatch.setattr(segmented.project, "effort", effort)
    workspace.show_tab("Fine-tune")
    segmented.accept([(0, 2)])
    assert not asked
    panel = workspace.train.effort
    assert not panel.table.isVisible()
    QTest.mouseClick(panel.fold, Qt.MouseButton.LeftButton)
    assert panel.table.isVisible()
    told = dict(zip((label.text() for label in panel.names), (label.text() for label in panel.values), strict=True))
    assert (told["Slices accepted"], told["Actions"], told["Points moved"]) == ("1", "1", "0")
    assert asked == [segmented.study_id]

    for z in (1, 3):
        segmented.accept([(0, z)])
    assert len(asked) == 1
    qtbot.waitUntil(lambda: panel.values[2].text() == "3")
    assert len(asked) == 2
    workspace.show_tab("Read")
    segmented.accept([(1, 2)])
    qtbot.waitUntil(lambda: not panel._rest.isActive())
    assert len(asked) == 2
    workspace.show_tab("Fine-tune")
    qtbot.waitUntil(lambda: panel.values[2].text() == "4")


def ask_for_a_version(workspace: Workspace, reading: Reading, engine: Any, qtbot: Any) -> Path:
    """Accept a slice and click Fine-tune; return the folder that the version is asked to be written to."""
    reading.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    jobs = len(engine.jobs)
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    request = engine.jobs[-1].request
    return Path(request["out"] / request["name"])


def test_labels_are_unpacked_beside_the_window(
    workspace: Workspace, segmented: Reading, engine: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    unpack, threads, n_jobs = journal.unpack, set(), len(engine.jobs)
    monkeypatch.setattr(journal, "unpack", lambda *packed: threads.add(current_thread()) or unpack(*packed))
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: len(engine.jobs) > n_jobs)
    assert threads and main_thread() not in threads


@pytest.fixture
def tried(workspace: Workspace, segmented: Reading, engine: Any, fine_tuned: Any, qtbot: Any) -> Workspace:
    """Workspace in which a fine-tuned model waits for a decision."""
    folder = ask_for_a_version(workspace, segmented, engine, qtbot)
    engine.jobs[-1].finish(fine_tuned(folder, segmented.study_id))
    return workspace


def test_before_and_after_are_shown(tried: Workspace) -> None:
    shown = text_of(tried.train)
    for words in ("0.700", "0.800", "+0.100", "the labels it learned from", "Slices that changed most"):
        assert words in shown


EF_FIGURES = {
    "before": {"ef_error_points": {"lv": 6.2, "rv": None}, "ef_studies": {"lv": 3, "rv": 0}},
    "after": {
        "dice": {"lv": 0.9, "myo": 0.8, "rv": 0.5999, "mean": 0.8},
        "ef_error_points": {"lv": 4.1, "rv": None},
        "ef_studies": {"lv": 3, "rv": 0},
    },
}


def row_of(tried: Workspace, kind: str, key: str) -> list[str]:
    return [tried.train.trial._cells[kind, key, name].text() for name in ("before", "after", "change")]


@pytest.fixture
def tried_with_ef(workspace: Workspace, segmented: Reading, engine: Any, fine_tuned: Any, qtbot: Any) -> Workspace:
    """The same, with ejection fractions of the LV, and offered for all."""
    folder, scopes = ask_for_a_version(workspace, segmented, engine, qtbot), ("project", "this study only")
    engine.jobs[-1].finish(fine_tuned(folder, segmented.study_id, scopes, **EF_FIGURES))
    return workspace


def test_the_error_of_the_ejection_fraction_is_shown_by_ventricle(tried_with_ef: Workspace) -> None:
    assert row_of(tried_with_ef, "ef", "lv") == ["6.2", "4.1", "-2.1"]
    assert row_of(tried_with_ef, "ef", "rv") == ["not known", "not known", "–"]
    assert "labelled at both ED and ES, in 3 studies" in text_of(tried_with_ef.train)


def test_labels_that_allow_no_ejection_fraction_say_so_and_what_is_missing(tried: Workspace) -> None:
    assert "ejection fraction: not known; it takes three slices labelled at both ED and ES" in text_of(tried.train)
    assert "LV ejection fraction" not in text_of(tried.train)


@pytest.mark.parametrize(
    ("mean", "verdict", "offer"),
    [
        (0.697, "does not agree better with you than", "but nothing was gained either. More labels may tell."),
        (0.703, "agrees better with you than", "nothing got clearly worse."),
    ],
)
def test_a_model_that_gained_nothing_is_not_said_to_be_as_good(
    mean: float,
    verdict: str,
    offer: str,
    workspace: Workspace,
    segmented: Reading,
    engine: Any,
    fine_tuned: Any,
    qtbot: Any,
) -> None:
    folder, scopes = ask_for_a_version(workspace, segmented, engine, qtbot), ("project", "this study only")
    after = {"dice": {"lv": 0.8, "myo": 0.7, "rv": 0.6, "mean": mean}}
    engine.jobs[-1].finish(fine_tuned(folder, segmented.study_id, scopes, after=after))
    shown = text_of(workspace.train)
    assert verdict in shown
    assert offer in shown


def test_no_change_has_no_sign(tried_with_ef: Workspace) -> None:
    assert row_of(tried_with_ef, "dice", "rv") == ["0.600", "0.600", "0.000"]


def test_a_smaller_error_and_a_larger_dice_are_shown_as_better(tried_with_ef: Workspace) -> None:
    from cinema_app.widgets.trial import BETTER

    cells = tried_with_ef.train.trial._cells
    assert BETTER in cells["ef", "lv", "change"].styleSheet()
    assert BETTER in cells["dice", "lv", "change"].styleSheet()


def test_what_is_offered_and_why_is_said_above_the_buttons(tried: Workspace) -> None:
    assert "It may be kept for this study only. One patient is labelled." in text_of(tried.train)


def test_the_lineage_tells_the_figures_of_the_version_that_is_chosen(tried_with_ef: Workspace) -> None:
    click(tried_with_ef.train.trial.keep)
    details = tried_with_ef.versions.details.text()
    assert "Dice LV 0.800 → 0.900, muscle 0.700 → 0.800, RV 0.600 → 0.600" in details
    assert "EF error in points LV 6.2 → 4.1, RV not known" in details


def test_the_slices_that_changed_most_are_pictured_before_and_after(tried: Workspace, qtbot: Any) -> None:
    tiles = tried.train.trial.tiles.tiles
    assert [tile._title for tile in tiles] == ["before", "after"] * 2
    qtbot.wait(50)  # until they are painted
    widths = []
    for tile in tiles[:2]:
        picture = tile.grab().toImage()
        places = [(x, y, picture.pixelColor(x, y)) for x in range(picture.width()) for y in range(picture.height())]
        orange = [x for x, _, c in places if c.red() > 150 and c.green() < 120 and c.blue() < 60]
        dots = [y for _, y, c in places if min(c.red(), c.green(), c.blue()) > 240]
        assert len(orange) > 30  # the model's line
        assert np.ptp(dots) > 0.6 * picture.height()  # the reader's contour, around the muscle
        widths.append(np.ptp(orange))
    assert widths[0] < 0.7 * widths[1]  # the old model's LV was too small


def test_a_click_on_a_picture_goes_to_the_slice(tried: Workspace) -> None:
    tried.layers.go_to(4, 0)
    click(tried.train.trial.tiles.tiles[1])
    assert tried.layers.here == (0, 2)


def test_a_picture_of_another_study_is_named_so_and_leads_nowhere(tried: Workspace) -> None:
    here = tried.layers.here
    assert "Another study\nDice 0.70 → 0.80" in text_of(tried.train)
    click(tried.train.trial.tiles.tiles[2])
    assert tried.layers.here == here
    assert "of another study" in text_of(tried.status)


def test_another_study_that_was_opened_meanwhile_is_not_taken_for_that_of_the_model(
    tried: Workspace, project: Project, another_heart: PhantomStudy, phantom_study: PhantomStudy, study: Any
) -> None:
    reading, panel = tried.reading, tried.train.trial
    reading.show(study(another_heart, "study-00000002"))
    assert not panel.keep_here.isEnabled()
    assert "It is for study-00000001" in panel.keep_here.toolTip()
    assert "It may be kept for study-00000001 only." in text_of(panel)
    QApplication.processEvents()  # until the pictures are there
    assert text_of(panel).count("Another study\nDice") == 2
    here = tried.layers.here
    click(panel.tiles.tiles[0])
    assert tried.layers.here == here
    assert "of another study, study-00000001" in text_of(tried.status)
    reading.show(study(phantom_study))
    QApplication.processEvents()
    assert "Slice 3, phase 1\nDice" in text_of(panel)
    click(panel.keep_here)
    assert (reading.model, project.current_model()) == ("v001", "bundled")


def test_a_picture_leads_to_the_slice_of_the_study_that_is_open_now(
    tried: Workspace, another_heart: PhantomStudy, study: Any
) -> None:
    turned = replace(another_heart.cine, apex_first=True)
    # Its pictured slice is the second from the base, of four.
    tried.reading.show(replace(study(another_heart, "study-00000009"), cines=(turned,)))
    QApplication.processEvents()
    assert "Slice 3, phase 4\nDice 0.70 → 0.80" in text_of(tried.train)
    click(tried.train.trial.tiles.tiles[2])
    assert tried.layers.here == (3, 2)


def test_pictured_slices_are_said_to_be_those_that_it_learned_from(tried: Workspace) -> None:
    assert "learned from these, so they say nothing of other patients" in text_of(tried.train)


def test_the_figures_of_the_version_in_use_stand_beside_those_of_the_new_one(
    tried: Workspace, engine: Any, fine_tuned: Any, project: Project, qtbot: Any
) -> None:
    from cinema_core.learn import Validation

    panel, held_out = tried.train.trial, str(Validation.HELD_OUT)
    assert not panel._in_use.isVisible()  # the base is in use, and the figures are beside its own
    click(panel.discard)

    def round_of(mean: float, validation: str) -> None:
        """Fine-tune until a model of this mean Dice waits for a decision."""
        folder = ask_for_a_version(tried, tried.reading, engine, qtbot)
        made = fine_tuned(folder, "study-00000001", ("project",), after={"dice": {"mean": mean}})
        card = made.card.model_copy(update={"name": folder.name, "lineage": {"validation": validation}})
        write_card(folder, card.model_copy(update={"sha256": file_sha256(folder / "weights.safetensors")}))
        (folder / "config.yaml").write_text("", encoding="utf-8")
        engine.jobs[-1].finish(replace(made, validation=validation, card=card))

    round_of(0.85, held_out)
    click(panel.keep)
    assert tried.reading.model == "v001"
    round_of(0.82, held_out)
    assert "In use now: v001, mean Dice 0.700 → 0.850 on held-out studies." in text_of(panel)
    assert "v001 was measured higher (0.850; v002: 0.820), on the same labels." in text_of(panel)
    click(panel.discard)
    tried.reading.accept([(1, 2)])
    round_of(0.82, held_out)
    assert "v001 was measured higher (0.850; v002: 0.820), but on another set of labels" in text_of(panel)
    tried.reading.choose_model("bundled")
    assert not panel._in_use.isVisible()
    assert not panel._in_use_warning.isVisible()
    tried.reading.choose_model("v001")
    click(panel.discard)
    for mean, validation in ((0.86, held_out), (0.82, str(Validation.SEEN))):  # not lower, or not to be compared
        round_of(mean, validation)
        assert panel._in_use.isVisible()
        assert not panel._in_use_warning.isVisible()
        click(panel.discard)


@pytest.fixture
def reading_labels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Let the thread that reads the labelled studies wait for this event."""
    go_on, load = Event(), TeachingSet.load

    def wait(teaching: TeachingSet, progress: Any) -> None:
        assert go_on.wait(60)
        load(teaching, progress)

    monkeypatch.setattr(TeachingSet, "load", wait)
    yield go_on
    go_on.set()


@pytest.fixture
def being_read(workspace: Workspace, segmented: Reading, engine: Any, reading_labels: Event) -> Event:
    """Press the button; the labelled studies are read until this event."""
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    click(workspace.train.finetune)
    return reading_labels


def test_nothing_else_starts_while_the_labelled_studies_are_read(
    workspace: Workspace, segmented: Reading, engine: Any, being_read: Event, qtbot: Any
) -> None:
    jobs = len(engine.jobs)
    assert not workspace.segment.segment.isEnabled()
    assert not workspace.train.finetune.isEnabled()
    with pytest.raises(CinemaError, match="still at work"):
        segmented.segment()
    assert "Reading the labelled studies" in text_of(workspace.status)
    assert len(engine.jobs) == jobs
    being_read.set()
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    assert not workspace.segment.segment.isEnabled()
    engine.jobs[-1].cancel()
    assert workspace.segment.segment.isEnabled()


def test_reading_the_labelled_studies_can_be_stopped(
    workspace: Workspace, segmented: Reading, engine: Any, being_read: Event, qtbot: Any
) -> None:
    jobs = len(engine.jobs)
    click(workspace.status.cancel)
    being_read.set()
    qtbot.waitUntil(lambda: not segmented.work.busy)
    assert "Stopped at your request" in text_of(workspace.status)
    assert len(engine.jobs) == jobs
    assert workspace.train.finetune.isEnabled()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (MemoryError("12 GiB for Smith^John"), "not enough memory"),
        (OSError(5, "Input/output error", "/data/Smith^John/1.dcm"), "Input/output error. Check the disk"),
        (ValueError("Smith^John has 3 axes"), "because of a fault in the program"),
    ],
)
def test_a_fault_before_the_engine_starts_is_told_and_logged_without_its_words(
    workspace: Workspace,
    segmented: Reading,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    qtbot: Any,
    fault: Exception,
    words: str,
) -> None:
    def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(TeachingSet, "load", fail)
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: not segmented.work.busy)
    assert words in text_of(workspace.status)
    assert workspace.train.finetune.isEnabled()
    assert workspace.segment.segment.isEnabled()
    assert type(fault).__name__ in caplog.text
    assert "in fail" in caplog.text  # where it was raised
    assert "Smith" not in caplog.text + text_of(workspace.status)


def test_studies_that_are_left_out_are_still_named_once_the_engine_has_begun(
    workspace: Workspace, segmented: Reading, monkeypatch: pytest.MonkeyPatch, engine: Any, qtbot: Any
) -> None:
    load = TeachingSet.load

    def leave_one_out(teaching: TeachingSet, progress: Any) -> None:
        load(teaching, progress)
        teaching.left_out.append("study-00000002 was left out: its images are damaged.")

    monkeypatch.setattr(TeachingSet, "load", leave_one_out)
    ask_for_a_version(workspace, segmented, engine, qtbot)
    assert "study-00000002 was left out" in text_of(workspace.status)


def test_what_would_change_is_asked_before_the_decision(tried: Workspace, engine: Any) -> None:
    click(tried.train.trial.would_change)
    asked = Path(engine.jobs[-1].request["request"].model)
    assert (asked.parent.name, asked.name) == (".trials", "v001")  # it lies apart until the reader decides
    assert not tried.train.trial.keep_here.isEnabled()  # its files are being read
    assert not tried.train.trial.discard.isEnabled()
    engine.jobs[-1].cancel()
    assert tried.train.trial.keep_here.isEnabled()


def test_one_labelled_study_offers_only_this_study_and_says_why(tried: Workspace) -> None:
    assert not tried.train.trial.keep.isEnabled()
    assert tried.train.trial.keep.toolTip() == "One patient is labelled."
    assert "One patient is labelled." in text_of(tried.train)
    assert tried.train.trial.keep_here.isEnabled()


def test_a_model_that_did_well_on_held_out_studies_can_be_kept_for_all(
    workspace: Workspace, segmented: Reading, engine: Any, fine_tuned: Any, project: Project, qtbot: Any
) -> None:
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    jobs = len(engine.jobs)
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    request = engine.jobs[-1].request
    scopes = ("project", "this study only")
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], segmented.study_id, scopes))
    click(workspace.train.trial.keep)
    assert project.current_model() == "v001"


def test_a_model_that_got_worse_can_only_be_discarded(
    workspace: Workspace, segmented: Reading, engine: Any, fine_tuned: Any, qtbot: Any
) -> None:
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    jobs = len(engine.jobs)
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    request = engine.jobs[-1].request
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], segmented.study_id, ()))
    assert "is worse than bundled" in text_of(workspace.train)
    assert [
        b.isEnabled()
        for b in (workspace.train.trial.keep, workspace.train.trial.keep_here, workspace.train.trial.discard)
    ] == [
        False,
        False,
        True,
    ]


def test_keeping_for_this_study_puts_the_model_to_use(tried: Workspace, project: Project) -> None:
    click(tried.train.trial.keep_here)
    assert tried.reading.model == "v001"
    assert project.current_model() == "bundled"
    assert not tried.train.trial.isVisible()


@pytest.fixture
def learning(workspace: Workspace, segmented: Reading, engine: Any, qtbot: Any) -> Any:
    """The job of a fine-tuning under way."""
    segmented.accept([(0, 2)])
    workspace.show_tab("Fine-tune")
    jobs = len(engine.jobs)
    click(workspace.train.finetune)
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    return engine.jobs[-1]


def test_the_curve_shows_what_each_run_has_learned(workspace: Workspace, learning: Any) -> None:
    curve = workspace.status.curve
    assert not curve.isVisible()
    for run in (1, 2):
        for loss in (1.0, 0.5):
            learning.events.learned.emit(run, loss)
    QApplication.processEvents()
    assert curve.isVisible()
    assert curve.lines == {1: [1.0, pytest.approx(0.9)], 2: [1.0, pytest.approx(0.9)]}
    newest = curve.grab().toImage()
    white = sum(
        newest.pixelColor(x, y).lightness() > 220 for x in range(newest.width()) for y in range(newest.height())
    )
    assert white > 100  # the run under way stands out
    click(workspace.status.cancel)
    assert not curve.isVisible() and not curve.lines


def test_learning_can_be_paused_and_goes_on(workspace: Workspace, learning: Any) -> None:
    learning.events.progressed.emit(0.3, "Learning from your labels: step 3 of 10, loss 0.300, 12 s left")
    click(workspace.status.pause)
    assert learning.paused
    learning.events.progressed.emit(0.4, "Learning from your labels: step 4 of 10, loss 0.300, 11 s left")
    assert "Paused" in text_of(workspace.status)
    assert "s left" not in text_of(workspace.status)
    assert workspace.status.pause.text() == "Resume"
    click(workspace.status.pause)
    assert not learning.paused
    learning.events.progressed.emit(0.5, "Learning from your labels: step 5 of 10, loss 0.300, 10 s left")
    assert "10 s left" in text_of(workspace.status)
    assert workspace.status.pause.text() == "Pause"


def test_paused_learning_can_be_cancelled(workspace: Workspace, learning: Any) -> None:
    click(workspace.status.pause)
    click(workspace.status.cancel)
    assert learning.state == "cancelled"
    assert not workspace.reading.work.busy
    assert not workspace.train.again.isVisible()  # the reader wanted it so


def test_only_learning_can_be_paused(workspace: Workspace, reading: Reading) -> None:
    click(workspace.segment.segment)
    assert workspace.status.cancel.isVisible()
    assert not workspace.status.pause.isVisible()


def test_an_engine_that_died_while_paused_leaves_the_old_model_and_offers_the_same_run_again(
    workspace: Workspace, learning: Any, engine: Any, fine_tuned: Any, segmented: Reading
) -> None:
    learning.steps = 40
    click(workspace.status.pause)
    learning.die()
    assert segmented.model == "bundled"
    assert "the same 1 slice and the same seed and number of steps (40)" in text_of(workspace.train)
    segmented.accept([(1, 2)])  # no part of the run that is offered again
    click(workspace.train.again)
    again = engine.jobs[-1]
    assert again is not learning
    assert again.request["settings"] == learning.request["settings"].model_copy(update={"steps": 40})
    assert again.request["cases"] is learning.request["cases"]
    assert again.request["base"] == learning.request["base"]
    assert not workspace.train.again.isVisible()
    again.finish(fine_tuned(again.request["out"] / again.request["name"], segmented.study_id))
    assert workspace.train.trial.isVisible()


def test_the_offer_can_be_put_away(workspace: Workspace, learning: Any) -> None:
    learning.die()
    assert workspace.train.again.isVisible()
    click(workspace.train.forget)
    assert not workspace.train.again.isVisible()
    assert workspace.train.finetune.isEnabled()


def test_a_run_that_the_engine_refused_is_not_offered_again(workspace: Workspace, learning: Any) -> None:
    learning.fail("No space left on the disk. Free some space and try again.")
    assert not workspace.train.again.isVisible()


def test_discarding_goes_on_with_the_current_model(tried: Workspace) -> None:
    click(tried.train.trial.discard)
    assert tried.reading.model == "bundled"
    assert not tried.train.trial.isVisible()


def test_export_writes_where_the_reader_says(
    workspace: Workspace, segmented: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    workspace.show_tab("Export")
    click(workspace.export.export)
    assert target.read_text(encoding="utf-8").startswith("study_id,view")
    assert str(target) in text_of(workspace.export)


def test_a_report_that_cannot_be_written_is_told(
    workspace: Workspace, segmented: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise StorageError("The report could not be written: the disk is full. Free some space and try again.")

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("/somewhere.csv", ""))
    monkeypatch.setattr(segmented.report, "export_csv", full)
    workspace.show_tab("Export")
    click(workspace.export.export)
    assert "the disk is full" in text_of(workspace.status)


def test_research_use_and_device_are_always_said(workspace: Workspace) -> None:
    assert "Research use only" in text_of(workspace.status)
    assert "CPU" in text_of(workspace.status)


def test_the_model_version_is_always_said(workspace: Workspace, reading: Reading) -> None:
    assert reading.model_card.sha256[:8] in text_of(workspace.segment)


def test_buttons_say_why_they_are_grey(make_napari_viewer: Any, project: Project, engine: Any) -> None:
    from cinema_app.session import Session

    empty = Workspace(make_napari_viewer(show=False), Session(project, engine))
    for made in (empty.segment.segment, empty.train.finetune, empty.export.export, empty.review.accept_slice):
        assert not made.isEnabled()
        assert made.toolTip()
    empty.deleteLater()


# ------------------------------------------------------------------ opening


@pytest.fixture
def study_file(tmp_path: Path, another_heart: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "study", another_heart)


def test_viewer_open_shows_the_study_in_the_panel(
    workspace: Workspace, viewer: Any, study_file: Path, another_heart: PhantomStudy, qtbot: Any
) -> None:
    viewer.open(study_file, plugin="napari-cinema")
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=10000)
    assert workspace.reading.cine.shape == another_heart.cine.shape
    assert [layer.data.shape for layer in viewer.layers] == [another_heart.cine.shape] * 2


def test_a_dropped_file_is_opened(workspace: Workspace, viewer: Any, study_file: Path, qtbot: Any) -> None:
    from qtpy.QtCore import QMimeData, QUrl
    from qtpy.QtGui import QDropEvent

    from cinema_app.app import _prefer_our_reader

    _prefer_our_reader()
    before = workspace.reading.study_id
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(study_file))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)
    qtbot.waitUntil(lambda: not workspace.is_opening and workspace.reading.study_id != before, timeout=10000)


def test_the_sample_menu_opens_a_beating_heart(
    workspace: Workspace, viewer: Any, qtbot: Any, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinema_app.readers.synthetic_heart", lambda heart: study_file)
    before = workspace.reading.study_id
    viewer.open_sample("napari-cinema", "synthetic-heart")
    qtbot.waitUntil(lambda: not workspace.is_opening and workspace.reading.study_id != before, timeout=10000)


def test_a_file_that_is_no_study_is_told_and_the_open_one_stays(
    workspace: Workspace, tmp_path: Path, qtbot: Any
) -> None:
    before = workspace.reading.study_id
    (tmp_path / "broken.nii.gz").write_bytes(b"not an image")
    workspace.open(tmp_path / "broken.nii.gz")
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=10000)
    assert "broken.nii.gz" in text_of(workspace.status)
    assert workspace.reading.study_id == before


# ------------------------------------------------------------------ closing


def test_closing_while_a_model_works_asks_first(
    workspace: Workspace, viewer: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [False, True]
    asked: list[str] = []
    monkeypatch.setattr(CloseGuard, "give_up", lambda _, lost: asked.append(lost) or answers.pop(0))
    click(workspace.segment.segment)
    window = viewer.window._qt_window
    window.close()
    assert window.isVisible()
    assert not engine.closed
    # Only the guard is asked: the viewer itself is closed by its fixture.
    assert not window.findChild(CloseGuard).eventFilter(window, QCloseEvent())
    assert engine.closed
    assert asked == ["The model is still at work; closing stops it. Close? Your corrections are saved."] * 2


def test_closing_asks_before_it_drops_a_model_that_waits_for_a_decision(
    tried: Workspace, viewer: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    asked: list[str] = []

    def question(_parent: Any, _title: str, text: str) -> Any:
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", question)
    window = viewer.window._qt_window
    window.close()
    assert window.isVisible()
    assert not engine.closed
    assert "The new model v001 waits for your decision on the tab Fine-tune; closing discards it." in asked[0]
    assert not window.findChild(CloseGuard).eventFilter(window, QCloseEvent())
    assert engine.closed


def test_closing_does_not_ask_once_the_model_was_decided_on(
    tried: Workspace, viewer: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QMessageBox, "question", lambda *_: pytest.fail("asked"))
    click(tried.train.trial.discard)
    window = viewer.window._qt_window
    assert not window.findChild(CloseGuard).eventFilter(window, QCloseEvent())
    assert engine.closed


def test_the_plugin_menu_docks_a_panel_and_its_cross_ends_the_engine(
    make_napari_viewer: Any, project: Project, engine: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    from cinema_app.session import Session

    monkeypatch.setattr(Session, "open", lambda *_: Session(project, engine))
    viewer = make_napari_viewer(show=True)
    dock, panel = viewer.window.add_plugin_dock_widget("napari-cinema", "CineMA")
    assert isinstance(panel, Workspace)
    keys = set(viewer.keymap)
    click(dock.title.close_button)
    qtbot.waitUntil(lambda: engine.closed)
    assert keys - set(viewer.keymap)


def test_the_cross_of_the_dock_asks_before_it_drops_a_model_that_waits_for_a_decision(
    make_napari_viewer: Any,
    segmented: Reading,
    project: Project,
    engine: Any,
    fine_tuned: Any,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    from cinema_app.session import Session

    segmented.accept([(0, 2)])
    teaching = segmented.learning.collect_teaching_set()
    teaching.load()
    segmented.learning.finetune(teaching)
    request = engine.jobs[-1].request
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], segmented.study_id))
    session = Session(project, engine)
    session.reading = segmented
    monkeypatch.setattr(Session, "open", lambda *_: session)
    answers, asked = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes], []
    monkeypatch.setattr(QMessageBox, "question", lambda *said: asked.append(said[-1]) or answers.pop(0))

    viewer = make_napari_viewer(show=True)
    dock, panel = viewer.window.add_plugin_dock_widget("napari-cinema", "CineMA")
    click(dock.title.close_button)
    assert "The new model v001 waits for your decision" in asked[0]
    assert panel.parent() is dock and panel.isVisible()
    assert not engine.closed and segmented.learning.trial is not None
    click(dock.title.close_button)
    qtbot.waitUntil(lambda: engine.closed)
    assert len(asked) == 2


def test_an_idle_window_leaves_the_processor_to_the_engine(workspace: Workspace, qtbot: Any) -> None:
    class Counter(QObject):
        seen = 0

        def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
            self.seen += 1
            return False

    qtbot.wait(300)
    counter = Counter()
    QApplication.instance().installEventFilter(counter)
    try:
        qtbot.wait(300)
    finally:
        QApplication.instance().removeEventFilter(counter)
    assert counter.seen < 300  # a timer without pause makes a hundred times as many


def test_no_local_variable_reaches_the_log() -> None:
    code = "import cinema_app, os; assert os.environ['PSYGNAL_HIDE_LOCALS'] == '1'"
    environment = {name: value for name, value in os.environ.items() if name != "PSYGNAL_HIDE_LOCALS"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


ROOT = Path(__file__).resolve().parents[2]
