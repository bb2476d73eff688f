"""The report panel: what a reader sees and does before the report is written."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QStyle, QStyleOptionComboBox
from scipy import ndimage

from cinema_app.layers import Tool
from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_app.reporting import result_of
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState, Structure
from cinema_core.errors import StorageError
from cinema_core.measure.papillary import find_papillary_muscles
from cinema_core.project import Project
from cinema_core.report.content import ReportContent


@pytest.fixture
def panel(workspace: Workspace, segmented: Reading) -> Any:
    workspace.show_tab("Report")
    QApplication.processEvents()
    return workspace.report


def enter(entry: Any, text: str) -> None:
    entry.setFocus()
    entry.selectAll()
    QTest.keyClicks(entry, text)
    QTest.keyClick(entry, Qt.Key.Key_Return)


def said(panel: Any) -> list[str]:
    return [panel.findings.item(k).text() for k in range(panel.findings.count())]


def test_height_and_weight_index_the_volumes(panel: Any, segmented: Reading) -> None:
    enter(panel.choices.entries["height_cm"], "180")
    enter(panel.choices.entries["weight_kg"], "80")
    assert segmented.measures is not None and segmented.measures.bsa_m2 == pytest.approx(2.0)
    assert segmented.project.report_choices(segmented.study_id).weight_kg == 80


def test_the_words_of_the_box_of_the_sex_are_not_cut_off(panel: Any) -> None:
    box = panel.choices.sex
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    widest = max(box.fontMetrics().horizontalAdvance(box.itemText(k)) for k in range(box.count()))
    assert field.width() >= widest


def test_a_weight_of_nobody_is_refused_and_nothing_changes(
    panel: Any, segmented: Reading, notices: list[Notice]
) -> None:
    enter(panel.choices.entries["weight_kg"], "800")
    assert notices[-1].severity is Severity.ERROR
    assert "Weight 800 kg is not between 1 and 400 kg" in notices[-1].text
    assert segmented.report.choices.weight_kg is None
    assert panel.choices.entries["weight_kg"].text() == ""


def test_age_in_months_is_refused_with_what_to_do(panel: Any, segmented: Reading, notices: list[Notice]) -> None:
    enter(panel.choices.entries["age_years"], "54 months")
    assert "completed years, not months" in notices[-1].text
    assert segmented.report.choices.age_years is None


def test_verdicts_appear_with_sex_and_age(panel: Any) -> None:
    assert "no verdict without the patient's sex" in panel._table_words.text()
    panel.choices.sex.setCurrentText("female")
    enter(panel.choices.entries["age_years"], "52")
    assert "women, 50 to 59 years" in panel._table_words.text()
    assert "88–173" in panel.figures.text()


def test_another_rule_changes_the_volume_and_is_named(panel: Any, segmented: Reading) -> None:
    before = segmented.measures
    panel.choices.ends.setCurrentText("half")
    after = segmented.measures
    assert before is not None and after is not None
    assert after.lv_edv_ml is not None and before.lv_edv_ml is not None
    assert after.lv_edv_ml < before.lv_edv_ml
    assert "end slices count by half" in after.method.description


def test_papillary_muscles_as_mass_are_named_wherever_figures_stand(
    panel: Any, segmented: Reading, workspace: Workspace
) -> None:
    before = segmented.measures
    panel.choices.papillary.setCurrentText("mass")
    after = segmented.measures
    assert before is not None and before.lv_edv_ml is not None and before.lv_mass_g is not None
    assert after is not None and after.lv_edv_ml is not None and after.lv_mass_g is not None
    assert after.lv_edv_ml < before.lv_edv_ml and after.lv_mass_g > before.lv_mass_g
    assert "papillaries in mass" in workspace.measures._more.text()
    assert "threshold at 0.50" in segmented.report.clipboard_text()


def test_a_finding_goes_to_its_slice(panel: Any, segmented: Reading, workspace: Workspace) -> None:
    assert segmented.measures is not None and segmented.measures.ed_phase is not None
    ed = segmented.measures.ed_phase
    drawn = segmented.labels[ed, 2].copy()
    drawn[2:12, 2:14] = Structure.RV_CAVITY  # bowel
    segmented.correct(ed, 2, drawn)
    segmented.measure()
    workspace.layers.go_to((ed + 1) % 6, 0)
    assert said(panel)[0].startswith("Red: a piece of the RV lies away from the heart: slice 3 at ED")
    QTest.mouseClick(
        panel.findings.viewport(),
        Qt.MouseButton.LeftButton,
        pos=panel.findings.visualItemRect(panel.findings.item(0)).center(),
    )
    assert workspace.layers.here == (ed, 2)


def test_the_slices_that_the_ejection_fraction_rests_on_are_listed(panel: Any, workspace: Workspace) -> None:
    [lv] = [k for k, words in enumerate(said(panel)) if words.startswith("LV EF rests most on slice")]
    panel.findings.itemClicked.emit(panel.findings.item(lv))
    assert f"rests most on slice {workspace.layers.here[1] + 1} (" in said(panel)[lv]


def test_approval_needs_a_name_and_ends_with_an_edit(panel: Any, segmented: Reading, notices: list[Notice]) -> None:
    segmented.project.reader = ""
    panel.approve.click()
    assert "named reader" in notices[-1].text
    assert "DRAFT" in panel._status.text()

    enter(panel.reader, "Reader 7")
    panel.approve.click()
    assert panel._status.text().startswith("APPROVED: Reader 7")
    assert segmented.phases is not None
    ed = segmented.phases.ed_phase
    assert all(segmented.state(ed, z) is LabelState.ACCEPTED for z in range(5))

    drawn = np.array(segmented.labels[ed, 1])
    drawn[:3, :3] = Structure.LV_CAVITY
    segmented.correct(ed, 1, drawn)
    segmented.measure()
    assert f"slice 2 of phase {ed + 1} was edited by Reader 7. Approve again." in panel._status.text()


def test_a_reason_has_its_room_before_anything_is_painted(panel: Any, segmented: Reading) -> None:
    segmented.report.approve()
    QApplication.processEvents()
    assert panel._status.text().startswith("APPROVED")
    segmented.undo()
    # Nothing ran in between that would put the panels in order.
    status = panel._status
    assert status.text().startswith("DRAFT: Dr Reader approved on")
    assert status.height() >= status.heightForWidth(status.width())
    assert status.geometry().bottom() < panel.reader.geometry().top()
    assert panel.height() >= panel.layout().minimumSize().height()


def test_the_report_is_written_and_says_what_the_table_says(
    panel: Any, segmented: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.html"), ""))
    panel.html.click()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.pdf"), ""))
    panel.pdf.click()
    segmented.report.export_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert f">{row['lv_ef_pct']} %<" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    panel.copy.click()
    assert f"LV ejection fraction\t{row['lv_ef_pct']}\t%" in QApplication.clipboard().text()


def test_nothing_can_be_approved_before_anything_is_drawn(workspace: Workspace) -> None:
    workspace.show_tab("Report")
    QApplication.processEvents()
    assert not workspace.report.approve.isEnabled()
    assert "Segment the cine first" in workspace.report.approve.toolTip()


def colour_at(viewer: Any, hand: Any, reading: Reading, y: int, x: int) -> np.ndarray:
    """What the canvas shows at an image pixel, red, green and blue."""
    QApplication.processEvents()
    shown = viewer.screenshot(flash=False)
    at = hand.point(y, x, reading.cine.geometry.pixel_spacing_mm)
    return np.asarray(shown[at.y(), at.x(), :3], dtype=int)


def is_muscle_coloured(colour: np.ndarray) -> bool:
    red, green, blue = colour
    return bool(blue > green + 60 and red > green + 40)


def test_what_counts_as_muscle_is_seen_before_it_counts_and_goes_with_the_contours(
    panel: Any, segmented: Reading, workspace: Workspace, viewer: Any, hand: Any
) -> None:
    assert segmented.phases is not None
    t = segmented.phases.ed_phase
    muscle = find_papillary_muscles(segmented.cine.pixels, segmented.labels).pixels
    z = int(np.argmax(muscle[t].sum(axis=(1, 2))))
    y, x = np.argwhere(ndimage.binary_erosion(muscle[t, z]))[0]
    workspace.layers.go_to(t, z)
    assert not is_muscle_coloured(colour_at(viewer, hand, segmented, y, x))
    before = segmented.measures

    panel.choices.preview.click()
    assert is_muscle_coloured(colour_at(viewer, hand, segmented, y, x))
    assert (
        f"Slice {z + 1}, phase {t + 1}" in panel.choices._muscle_words.text()
        and "cm²" in panel.choices._muscle_words.text()
    )
    assert segmented.measures is before

    hand.press(Qt.Key.Key_H)
    assert not is_muscle_coloured(colour_at(viewer, hand, segmented, y, x))
    hand.press(Qt.Key.Key_H)
    assert is_muscle_coloured(colour_at(viewer, hand, segmented, y, x))

    workspace.layers.go_to((t + 1) % 6, z)
    workspace.layers.go_to(t, z)
    panel.choices.preview.click()
    assert not is_muscle_coloured(colour_at(viewer, hand, segmented, y, x))


def test_the_muscle_on_show_follows_the_threshold_and_is_what_is_then_counted(
    panel: Any, segmented: Reading, workspace: Workspace, qtbot: Any
) -> None:
    assert segmented.phases is not None
    workspace.layers.go_to(segmented.phases.ed_phase, 2)
    segmented.report.approve()
    panel.choices.preview.click()
    shown = workspace.papillary_preview.layer
    assert shown is not None
    half_way = int(shown.data.sum())
    panel.choices.level.setValue(0.8)
    assert int(shown.data.sum()) > half_way
    qtbot.waitUntil(lambda: not panel.choices._level_rests.isActive())
    assert segmented.report.approval.reason == ""  # a threshold that is only tried changes no report

    panel.choices.papillary.setCurrentText("mass")
    assert segmented.report.choices.papillary_level == 0.8
    here = workspace.layers.here
    muscle = find_papillary_muscles(segmented.cine.pixels, segmented.labels, level=0.8).pixels[here]
    assert np.array_equal(shown.data.astype(bool), muscle)
    panel.choices.level.setValue(0.3)
    qtbot.waitUntil(lambda: segmented.report.choices.papillary_level == 0.3)
    assert segmented.measures is not None and "0.30" in segmented.measures.convention


def at_ed(workspace: Workspace, segmented: Reading, z: int) -> int:
    assert segmented.phases is not None
    workspace.layers.go_to(segmented.phases.ed_phase, z)
    QApplication.processEvents()
    return segmented.phases.ed_phase


def thickness(reading: Reading) -> np.ndarray:
    measures = reading.study_measures
    assert measures is not None and measures.wall is not None
    return np.asarray(measures.wall.thickness_mm[measures.wall.ed_phase])


def test_an_insertion_point_is_dragged_undone_and_reported(
    panel: Any, segmented: Reading, workspace: Workspace, hand: Any, project: Project
) -> None:
    ed = at_ed(workspace, segmented, 2)
    points = workspace.insertion_points
    assert points.is_shown and points.layer is not None and points.layer.visible
    assert "insertion points of the RV as found" in panel.bullseyes._insertion_words.text()
    found, before = np.array(points.layer.data), thickness(segmented)
    spacing = segmented.cine.geometry.pixel_spacing_mm
    workspace.layers.use(Tool.LV)  # with the brush in hand, which is not to paint
    labels = np.array(segmented.labels)
    start, end = hand.point(*found[0], spacing), hand.point(found[0][0] + 12, found[0][1] - 12, spacing)
    hand.drag(start, end)

    assert np.array_equal(segmented.labels, labels)
    assert workspace.layers.tool is Tool.LV
    moved = segmented.insertions[2]
    assert moved.anterior_yx == pytest.approx(tuple(found[0] + [12, -12]), abs=0.7)
    assert moved.inferior_yx == pytest.approx(tuple(found[1]))
    assert not np.allclose(thickness(segmented), before, equal_nan=True)
    assert "set by you" in panel.bullseyes._insertion_words.text()
    content = ReportContent(result_of(segmented), segmented.labels)
    assert "insertion points of the RV set by the reader on slice 3" in dict(content.provenance)["Wall"]

    workspace.layers.go_to((ed + 1) % 6, 0)
    hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert workspace.layers.here == (ed, 2)
    assert segmented.insertions == {} == project.insertions(segmented.study_id)
    assert np.allclose(points.layer.data, found)
    assert np.allclose(thickness(segmented), before, equal_nan=True)
    hand.press(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert segmented.insertions == {2: moved}
    panel.bullseyes.change_insertions.click()  # as found
    assert segmented.insertions == {}


def test_insertion_points_are_there_with_the_bullseye_at_ed_alone(
    panel: Any, segmented: Reading, workspace: Workspace, hand: Any
) -> None:
    ed = at_ed(workspace, segmented, 2)
    shown = workspace.insertion_points.layer
    assert shown is not None and shown.visible
    hand.press(Qt.Key.Key_H)
    assert not shown.visible
    hand.press(Qt.Key.Key_H)
    assert shown.visible
    workspace.layers.go_to(ed + 1, 2)
    assert not shown.visible and panel.bullseyes.change_insertions.text() == "Go to ED"
    panel.bullseyes.change_insertions.click()
    assert workspace.layers.here == (ed, 2) and shown.visible
    workspace.show_tab("Read")
    QApplication.processEvents()
    assert not shown.visible


def test_insertion_points_can_be_set_where_none_are_found(
    panel: Any, segmented: Reading, workspace: Workspace, hand: Any
) -> None:
    ed = at_ed(workspace, segmented, 3)
    without = np.array(segmented.labels[ed])
    without[without == Structure.RV_CAVITY] = Structure.BACKGROUND
    segmented.correct_many({(ed, z): mask for z, mask in enumerate(without)}, "brush")
    segmented.measure()
    assert np.isnan(thickness(segmented)).all()
    assert panel.bullseyes.change_insertions.text() == "Set them"
    panel.bullseyes.change_insertions.click()
    assert list(segmented.insertions) == [3]
    assert np.isfinite(thickness(segmented)[6:12]).all()
    # On the septum's side, the anterior one above, both on the outer border of the wall.
    wall = np.argwhere(segmented.labels[ed, 3] == Structure.LV_CAVITY).mean(axis=0)
    points = segmented.insertions[3]
    assert points.anterior_yx[0] < wall[0] < points.inferior_yx[0]
    assert max(points.anterior_yx[1], points.inferior_yx[1]) < wall[1]


def test_a_full_disk_leaves_an_insertion_point_where_it_was(
    panel: Any,
    segmented: Reading,
    workspace: Workspace,
    hand: Any,
    notices: list[Notice],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_ed(workspace, segmented, 2)
    layer = workspace.insertion_points.layer
    assert layer is not None
    found = np.array(layer.data)
    spacing = segmented.cine.geometry.pixel_spacing_mm

    def full(*_: Any, **__: Any) -> None:
        raise StorageError("The disk is full; nothing was saved.")

    monkeypatch.setattr(Project, "record_step", full)
    hand.drag(hand.point(*found[1], spacing), hand.point(found[1][0] - 10, found[1][1], spacing))
    assert notices[-1] == Notice("The disk is full; nothing was saved.", Severity.ERROR)
    assert np.allclose(layer.data, found) and segmented.insertions == {}
