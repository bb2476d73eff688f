"""The import on one screen, and what the reader decides there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QInputDialog, QLabel

from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.widgets.geometry_drawing import APEX, BASE, slice_colour
from cinema_app.widgets.import_check import ImportCheck, needs_a_look
from cinema_app.widgets.import_contours import ORDERS
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.errors import ProjectError
from cinema_core.io import ImportChoices, load_study, write_labels
from cinema_core.io.contours import LABEL_ORDERS
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project


@pytest.fixture
def folder(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "study", phantom_study, kind="dicom")


def repeat_slice(folder: Path, first: int, n_phases: int) -> None:
    """Take the images of a slice again: a later series, brighter by one, so that both can be told apart."""
    for k, path in enumerate(sorted(folder.iterdir())[first : first + n_phases]):
        data = pydicom.dcmread(path)
        data.SeriesNumber, data.SeriesInstanceUID = 99, "1.2.99"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.99.{k + 1}"
        data.PixelData = (data.pixel_array + 1).astype("<i2").tobytes()
        data.save_as(path.with_name(f"again_{path.name}"))


def check_of(qtbot: QtBot, folder: Path, choices: ImportChoices | None = None) -> tuple[ImportCheck, list[Any]]:
    applied: list[ImportChoices] = []
    check = ImportCheck(load_study(folder), choices or ImportChoices(), applied.append)
    qtbot.addWidget(check)
    check.show()
    return check, applied


def view_box(check: ImportCheck) -> QComboBox:
    box = check._table.cellWidget(0, 0)
    assert isinstance(box, QComboBox)
    return box


def choose(box: QComboBox, k: int) -> None:
    box.setCurrentIndex(k)
    box.activated.emit(k)


def test_every_slice_is_pictured_with_its_place(qtbot: QtBot, folder: Path) -> None:
    check, _ = check_of(qtbot, folder)
    cine = load_study(folder).cines[0]
    words = [label.text() for label in check._pictures.findChildren(QLabel) if " mm" in label.text()]
    positions = cine.geometry.positions_mm
    assert words == [f"{z + 1} · {abs(positions[z] - positions[0]):.1f} mm" for z in range(cine.n_slices)]


def test_nothing_is_applied_until_something_is_chosen(qtbot: QtBot, folder: Path) -> None:
    check, applied = check_of(qtbot, folder)
    assert not check.apply_button.isEnabled()
    choose(view_box(check), list(View).index(View.OTHER))
    assert check.apply_button.isEnabled()
    assert applied == []
    check.apply_button.click()
    assert applied == [ImportChoices(views={"sax": View.OTHER})]


def test_direction_is_turned_by_a_tick(qtbot: QtBot, folder: Path) -> None:
    check, applied = check_of(qtbot, folder)
    box = check._table.findChildren(QCheckBox)[0]
    box.click()
    check.apply_button.click()
    assert applied == [ImportChoices(apex_first={"sax": True})]
    assert load_study(folder, choices=applied[0]).cines[0].apex_first


def test_take_is_chosen_where_a_slice_was_repeated(qtbot: QtBot, folder: Path, phantom_study: PhantomStudy) -> None:
    repeat_slice(folder, 0, phantom_study.cine.n_phases)
    check, applied = check_of(qtbot, folder)
    (box,) = check._takes_of_cine.findChildren(QComboBox)
    assert "series 99" in box.currentText()
    choose(box, 1 - box.currentIndex())
    check.apply_button.click()
    chosen = load_study(folder, choices=applied[0]).cines[0]
    assert chosen.content_sha256 == phantom_study.cine.content_sha256
    assert load_study(folder).cines[0].content_sha256 != phantom_study.cine.content_sha256


def test_gap_is_told_and_asks_for_a_look(qtbot: QtBot, folder: Path) -> None:
    assert not needs_a_look(load_study(folder), load_study(folder).cines[0])
    sorted(folder.iterdir())[3].unlink()
    study = load_study(folder)
    assert needs_a_look(study, study.cines[0])
    check, _ = check_of(qtbot, folder)
    assert check._table.item(0, 2).text().endswith(", 1 missing")
    assert "1 images are missing" in check._phases.toolTip()


def test_refused_files_are_counted_by_reason(qtbot: QtBot, folder: Path) -> None:
    for k in range(3):
        (folder / f"note{k}.dcm").write_bytes(b"no image")
    check, _ = check_of(qtbot, folder)
    assert "3 files not read: not a DICOM file" in check.warnings.text()


def test_base_and_apex_have_their_colours_whichever_is_first(folder: Path) -> None:
    cine = load_study(folder).cines[0]
    turned = load_study(folder, choices=ImportChoices(apex_first={"sax": True})).cines[0]
    assert [slice_colour(cine, z) for z in (0, cine.n_slices - 1)] == [BASE, APEX]
    assert [slice_colour(turned, z) for z in (0, cine.n_slices - 1)] == [APEX, BASE]


# Kept in the project.


def test_choices_come_back_with_the_study(folder: Path, reading: Reading, tmp_path: Path) -> None:
    choices = ImportChoices(views={"sax": View.LAX_2C}, apex_first={"sax": True})
    reading.import_as(load_study(folder, choices=choices), choices)
    reading.open(folder)
    assert reading.cine.view is View.LAX_2C
    assert reading.cine.apex_first


def test_labels_stay_with_their_cine_when_its_view_is_renamed(folder: Path, reading: Reading) -> None:
    reading.open(folder)
    name = reading.study_id
    choices = ImportChoices(views={"sax": View.OTHER})
    reading.import_as(load_study(folder, choices=choices), choices)
    assert reading.study_id == name


def test_other_take_is_refused_where_labels_lie(folder: Path, reading: Reading, phantom_study: PhantomStudy) -> None:
    repeat_slice(folder, 0, phantom_study.cine.n_phases)
    reading.open(folder)
    (repeat,) = reading.study.report.repeats["sax"] if reading.study else ()
    other = next(take.key for take in repeat.takes if take.key != repeat.used)
    choices = ImportChoices(takes={"sax": (other,)})
    with pytest.raises(ProjectError):
        reading.import_as(load_study(folder, choices=choices), choices)
    assert reading.project.import_choices(load_study(folder).id) == ImportChoices()


def test_choices_are_append_only_and_the_newest_counts(tmp_path: Path) -> None:
    with Project.open(tmp_path / "p.cinema", create=True) as project:
        assert project.import_choices("study-1") == ImportChoices()
        for view in (View.OTHER, View.SAX):
            project.set_import_choices("study-1", ImportChoices(views={"sax": view}))
        assert project.import_choices("study-1").views == {"sax": View.SAX}
        assert project.import_choices("study-2") == ImportChoices()


# In the window.


def opened(qtbot: QtBot, workspace: Workspace, folder: Path) -> None:
    workspace.open(folder)
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)


def test_doubtful_study_is_shown_once_before_it_is_read(
    qtbot: QtBot, workspace: Workspace, folder: Path, another_heart: PhantomStudy, tmp_path: Path
) -> None:
    opened(qtbot, workspace, folder)
    assert workspace.import_check is None
    doubtful = write_phantom(tmp_path / "doubtful", another_heart, kind="dicom")
    sorted(doubtful.iterdir())[3].unlink()
    opened(qtbot, workspace, doubtful)
    assert workspace.import_check is not None
    assert workspace.import_check.isVisible()
    workspace.import_check.close()
    workspace.import_check = None
    opened(qtbot, workspace, folder)
    opened(qtbot, workspace, doubtful)
    assert workspace.import_check is None


def test_choice_in_the_window_reads_the_study_again(qtbot: QtBot, workspace: Workspace, folder: Path) -> None:
    opened(qtbot, workspace, folder)
    workspace.study.check.click()
    check = workspace.import_check
    assert check is not None
    check._table.findChildren(QCheckBox)[0].click()
    check.apply_button.click()
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)
    assert workspace.reading.cine.apex_first
    study = workspace.reading.study
    assert study is not None
    assert workspace.reading.project.import_choices(study.id) == ImportChoices(apex_first={"sax": True})


def test_folder_of_studies_is_a_list_to_work_through(
    qtbot: QtBot, workspace: Workspace, folder: Path, another_heart: PhantomStudy, tmp_path: Path
) -> None:
    write_phantom(folder.parent / "second", another_heart, kind="dicom")
    opened(qtbot, workspace, folder.parent)
    panel = workspace.worklist
    assert panel.isVisible()
    assert panel.list.topLevelItemCount() == 2
    assert [panel.list.topLevelItem(k).text(3) for k in range(2)] == ["", ""]
    names = set()
    for _ in range(2):
        panel.next.click()
        qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)
        names.add(workspace.reading.study_id)
    assert names == {panel.list.topLevelItem(k).text(0) for k in range(2)}
    assert [panel.list.topLevelItem(k).text(3) for k in range(2)] == ["opened", "opened"]
    panel.hide_list.click()
    assert not panel.isVisible()


def test_gap_is_named_on_the_canvas(qtbot: QtBot, workspace: Workspace, folder: Path, notices: list[Any]) -> None:
    sorted(folder.iterdir())[3].unlink()
    opened(qtbot, workspace, folder)
    ((t, z),) = workspace.reading.cine.missing
    workspace.layers.go_to(t, z)
    qtbot.wait(50)
    assert "no image" in workspace.corner.words()
    assert not [notice for notice in notices if notice.severity is Severity.ERROR]  # looking is no drawing
    workspace.layers.go_to(t, z + 1)
    assert "no image" not in workspace.corner.words()


def test_label_image_is_imported_from_the_window(
    qtbot: QtBot,
    workspace: Workspace,
    folder: Path,
    phantom_study: PhantomStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened(qtbot, workspace, folder)
    # In the order of M&Ms: the reader says so, the file does not.
    labels = np.choose(phantom_study.labels, [0, 3, 2, 1]).astype(np.uint8)
    write_labels(tmp_path / "labels.nii.gz", labels, workspace.reading.cine)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "labels.nii.gz"), ""))
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("1 LV, 2 myocardium, 3 RV (M&Ms)", True))
    monkeypatch.setattr(QInputDialog, "getInt", lambda *_: (1, True))
    workspace.study.contour_menu.file.trigger()
    t, z = 0, phantom_study.cine.n_slices // 2
    assert workspace.reading.state(t, z) is LabelState.ACCEPTED
    np.testing.assert_array_equal(workspace.reading.labels[t, z], phantom_study.labels[t, z])


def test_file_that_does_not_fit_is_told(
    qtbot: QtBot,
    workspace: Workspace,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notices: list[Any],
) -> None:
    opened(qtbot, workspace, folder)
    (tmp_path / "x.cvi42wsx").write_text("<no/>", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "x.cvi42wsx"), ""))
    workspace.study.contour_menu.file.trigger()
    assert "x.cvi42wsx" in notices[-1].text


def test_every_known_order_can_be_chosen() -> None:
    assert set(ORDERS) == set(LABEL_ORDERS)


def test_opening_can_be_stopped(qtbot: QtBot, workspace: Workspace, folder: Path, notices: list[Any]) -> None:
    before = workspace.reading.study_id
    workspace.open(folder)
    workspace.status.cancel.click()
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)
    assert workspace.reading.study_id == before
    assert "stopped" in notices[-1].text
