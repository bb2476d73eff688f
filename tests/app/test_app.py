"""How the desktop starts and ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QApplication

from cinema_app import app
from cinema_app.app import Desktop
from cinema_app.session import Session, default_project_folder
from cinema_core.errors import InputError
from cinema_core.project import Project


@pytest.fixture
def desktop(
    qapp: QApplication, project: Project, engine: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> Iterator[Desktop]:
    monkeypatch.setattr(Session, "open", lambda *_: Session(project, engine))
    opened = Desktop.open()
    qtbot.waitUntil(lambda: bool(opened.workspace.isVisible()))
    yield opened
    if opened.is_open:
        opened.close()
    QApplication.processEvents()


def test_the_desktop_shows_the_panel_and_not_naparis_layer_list(desktop: Desktop) -> None:
    window = desktop.viewer.window._qt_viewer
    assert desktop.workspace.isVisible()
    assert not window.dockLayerList.isVisible()
    assert not window.dockLayerControls.isVisible()


def test_the_keyboard_belongs_to_the_image(desktop: Desktop, qtbot: Any) -> None:
    canvas = desktop.viewer.window._qt_viewer.canvas.native
    desktop.viewer.window._qt_window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is canvas)


def test_the_panel_cannot_be_lost(desktop: Desktop) -> None:
    dock = desktop.workspace.parentWidget()
    assert not hasattr(dock.title, "close_button")


def test_closing_ends_the_engine_and_lets_go_of_the_project(desktop: Desktop, engine: Any, project: Project) -> None:
    desktop.close()
    assert not desktop.is_open
    assert engine.closed
    with Project.open(project.folder) as again:
        assert not again.read_only


def test_the_desktop_keeps_its_own_napari_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_CONFIG", "")
    monkeypatch.delenv("NAPARI_CONFIG")
    app._use_our_settings()
    assert "napari-cinema" in app.os.environ["NAPARI_CONFIG"]


def test_labels_are_not_kept_beside_the_images() -> None:
    assert default_project_folder().name == "default.cinema"
    assert "napari-cinema" in default_project_folder().parts


def test_without_a_display_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError, match="xvfb-run"):
        app.require_display()


def test_a_fault_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    class Shown:
        exception = ValueError("/data/Patient_Name/IM1.dcm")

    with caplog.at_level(logging.ERROR, logger="cinema_app"):
        app._log_notification(Shown())
    assert "ValueError" in caplog.text
    assert "Patient_Name" not in caplog.text


def test_a_binding_that_loses_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtpy.PYSIDE_VERSION", "6.12.0")
    monkeypatch.setattr(app.sys, "version_info", (3, 11, 7))
    with pytest.raises(InputError, match="pip install"):
        app.refuse_broken_qt()


def test_qt_calls_do_not_use_up_none(qapp: QApplication) -> None:
    import sys

    from qtpy.QtWidgets import QLabel

    label = QLabel()
    before = sys.getrefcount(None)
    for _ in range(500):
        label.setText("x")
    assert sys.getrefcount(None) > before - 100


def test_a_project_of_another_window_is_read_only_and_says_so(
    make_napari_viewer: Any, project: Project, engine: Any
) -> None:
    from cinema_app.widgets.workspace import Workspace

    with Project.open(project.folder) as second:
        workspace = Workspace(make_napari_viewer(show=False), Session(second, engine))
        assert "Read only" in workspace.status.notice.text()
        workspace.deleteLater()


def test_the_log_goes_to_the_users_log_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.platformdirs, "user_log_path", lambda *_, **__: tmp_path)
    path = app.log_to_file()
    logger = logging.getLogger("cinema_app")
    logger.error("something")
    handlers = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for name in ("cinema_app", "cinema_core"):
        for handler in handlers:
            logging.getLogger(name).removeHandler(handler)
            handler.close()
    assert "something" in path.read_text(encoding="utf-8")
