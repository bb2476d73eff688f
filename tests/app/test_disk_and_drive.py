"""A full disk and a moved folder while a study is open: a clear line, and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from cinema_app.layers import Tool
from cinema_app.reading import Reading
from cinema_app.widgets.moved_images import FIND
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project

ODD = (slice(2, 6), slice(2, 6))
"""A place without a heart; a label there is a reader's."""


def said(workspace: Workspace) -> str:
    QApplication.processEvents()
    return "\n".join(label.text() for label in workspace.status.findChildren(QLabel) if label.isVisible())


@contextmanager
def full_disk(project: Project) -> Iterator[None]:
    """SQLite's own limit raises the very error of a full disk."""
    connection = project._database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (before,) = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    connection.execute(f"PRAGMA max_page_count = {before}")


def test_a_stroke_on_a_full_disk_is_taken_off_the_image_and_said(
    workspace: Workspace, segmented: Reading, project: Project, hand: Any, phantom_study: PhantomStudy
) -> None:
    spacing = segmented.cine.geometry.pixel_spacing_mm
    workspace.layers.go_to(0, 2)
    workspace.layers.use(Tool.ERASE)
    y, x = np.argwhere(phantom_study.labels[0, 2] == 3).mean(axis=0)
    start, end = hand.point(y, x - 4, spacing), hand.point(y, x + 4, spacing)
    layer = workspace.layers.labels
    assert layer is not None
    with full_disk(project):
        for _ in range(40):  # there is some room in the pages at hand
            position, before = project.journal_position(), np.array(segmented.labels[0, 2])
            hand.drag(start, end, steps=3)
            if project.journal_position() == position:
                break
            segmented.revert_to_model(0, 2)
        else:
            pytest.fail("the disk never was full")
        assert "the disk is full. Free some space and try again" in said(workspace)
        assert np.array_equal(segmented.labels[0, 2], before)
        assert np.array_equal(layer.data[0, 2], before)  # not saved, so not shown
    hand.drag(start, end, steps=3)
    assert segmented.state(0, 2) is LabelState.CORRECTED
    assert np.array_equal(project.slices(segmented.study_id)[0, 2].mask, layer.data[0, 2])
    assert not np.array_equal(layer.data[0, 2], before)


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[PhantomStudy, str], Path]:
    return lambda heart, name: write_phantom(tmp_path / name, heart, kind="dicom")


@pytest.fixture
def choose_folder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    def choose(folder: Path) -> None:
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))

    return choose


@pytest.fixture
def opened(workspace: Workspace, reading: Reading, qtbot: Any) -> Callable[[Path], str]:
    """Open a folder in the window, and draw on one of its slices; returns the study."""

    def make(folder: Path) -> str:
        workspace.open(folder)
        qtbot.waitUntil(lambda: not workspace.is_opening, timeout=60_000)
        mask = np.array(reading.labels[0, 1])
        mask[ODD] = 3
        reading.correct(0, 1, mask)
        return reading.study_id

    return make


@pytest.fixture
def moved(
    workspace: Workspace,
    phantom_study: PhantomStudy,
    folder_of: Callable[[PhantomStudy, str], Path],
    opened: Callable[[Path], str],
    qtbot: Any,
) -> tuple[str, Path, Path]:
    """A study that was drawn on, moved, and opened where it was: its name, and both folders."""
    old = folder_of(phantom_study, "old")
    study_id = opened(old)
    new = old.rename(old.with_name("new"))
    workspace.open(old)
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=60_000)
    return study_id, old, new


def with_another_pixel(folder: Path) -> Path:
    """The same study by its name, and one pixel of it another: what an export with other settings leaves."""
    copy = folder.with_name("changed")
    shutil.copytree(folder, copy)
    path = min(copy.rglob("*.dcm"))
    image = pydicom.dcmread(path)
    pixels = image.pixel_array.copy()
    pixels[0, 0] += 1
    image.PixelData = pixels.tobytes()
    image.save_as(path)
    return copy


def find(workspace: Workspace, qtbot: Any) -> None:
    assert workspace.status.offered.isVisible() and workspace.status.offered.text() == FIND
    workspace.status.offered.click()
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=60_000)


def test_a_folder_that_moved_is_asked_for_and_known_by_its_content(
    workspace: Workspace,
    reading: Reading,
    project: Project,
    moved: tuple[str, Path, Path],
    another_heart: PhantomStudy,
    folder_of: Callable[[PhantomStudy, str], Path],
    choose_folder: Callable[[Path], None],
    qtbot: Any,
) -> None:
    study_id, old, new = moved
    assert f"The images of {study_id} are no longer at {old}. Its labels are safe" in said(workspace)
    # Reading goes on meanwhile.
    assert reading.study_id == study_id and reading.labels[0, 1][ODD].all()
    reading.accept([(1, 1)])

    choose_folder(folder_of(another_heart, "other"))
    find(workspace, qtbot)
    assert study_id in said(workspace)  # which is not among the studies there
    assert project.study(study_id).image_path == old
    assert reading.study_id == study_id

    choose_folder(with_another_pixel(new))
    find(workspace, qtbot)
    assert "These are not the images that the labels of" in said(workspace)
    assert project.study(study_id).image_path == old

    choose_folder(new)
    find(workspace, qtbot)
    qtbot.waitUntil(lambda: project.study(study_id).image_path == new, timeout=60_000)
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=60_000)
    assert reading.study is not None and reading.study.path == new
    assert reading.labels[0, 1][ODD].all()
    assert reading.state(1, 1) is LabelState.ACCEPTED
    assert not workspace.status.offered.isVisible()


def test_the_way_to_moved_images_stays_while_another_study_is_read(
    workspace: Workspace,
    moved: tuple[str, Path, Path],
    another_heart: PhantomStudy,
    folder_of: Callable[[PhantomStudy, str], Path],
    choose_folder: Callable[[Path], None],
    qtbot: Any,
) -> None:
    choose_folder(moved[-1])
    workspace.open(folder_of(another_heart, "other"))
    workspace.status.offered.click()
    assert "Another study is still being read." in said(workspace)
    assert workspace.status.offered.isVisible() and workspace.status.offered.text() == FIND
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=60_000)


def test_fine_tuning_asks_for_the_images_of_another_study_and_leaves_the_one_on_show(
    workspace: Workspace,
    reading: Reading,
    project: Project,
    engine: Any,
    phantom_study: PhantomStudy,
    another_heart: PhantomStudy,
    folder_of: Callable[[PhantomStudy, str], Path],
    opened: Callable[[Path], str],
    choose_folder: Callable[[Path], None],
    qtbot: Any,
) -> None:
    old = folder_of(another_heart, "old")
    moved, on_show = opened(old), opened(folder_of(phantom_study, "stays"))
    new = old.rename(old.with_name("new"))
    workspace.show_tab("Fine-tune")
    QApplication.processEvents()
    workspace.train.finetune.click()
    qtbot.waitUntil(workspace.status.offered.isVisible, timeout=60_000)
    assert f"The images of {moved} are no longer at {old}" in said(workspace)
    assert {case.study_id for case in engine.jobs[-1].request["cases"]} == {on_show}

    choose_folder(new)
    find(workspace, qtbot)
    assert f"The images of {moved} are found. Press Fine-tune" in said(workspace)
    engine.jobs[-1].cancel()
    assert project.study(moved).image_path == new
    assert reading.study_id == on_show
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    assert set(teaching.study_ids) == {moved, on_show} and not teaching.moved
