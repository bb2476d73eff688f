"""Start the desktop: one viewer, one workspace, and a close that loses nothing."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from cinema_app.session import Session
from cinema_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cinema_app.widgets.workspace import Workspace
    from cinema_core.learn.settings import FineTuneSettings

log = logging.getLogger(__name__)

TITLE = "CineMA"
OUR_READER = "napari-cinema"
SCREEN_SHARE = 0.94


class Desktop:
    """A napari window with the CineMA workspace."""

    def __init__(self, viewer: Any, workspace: Workspace) -> None:
        self.viewer = viewer
        self.workspace = workspace

    @classmethod
    def open(
        cls,
        paths: Sequence[Path] = (),
        project_folder: Path | None = None,
        *,
        finetune_settings: FineTuneSettings | None = None,
    ) -> Desktop:
        """Open a window and, in it, the first of the given studies.

        Raises
        ------
        ProjectError, StorageError
            If the project cannot be opened.
        """
        _use_our_settings()
        refuse_broken_qt()
        session = Session.open(project_folder)
        try:
            import napari

            _prefer_our_reader()
            viewer = napari.Viewer(title=TITLE, show=False)
            workspace = add_workspace(viewer, session, finetune_settings)
        except BaseException:
            session.close()
            raise
        _tidy(viewer)
        _fit_screen(viewer)
        _log_faults()
        viewer.window.show()
        viewer.window._qt_viewer.canvas.native.setFocus()  # the arrows work from the first moment
        if paths:
            workspace.open(paths[0])
        return cls(viewer, workspace)

    @property
    def is_open(self) -> bool:
        """Whether the reader has not closed the window."""
        return not self.workspace.is_closed

    def run(self) -> None:
        """Stay until the reader closes the window."""
        import napari

        try:
            napari.run()
        finally:
            self.workspace.close_session()

    def close(self) -> None:
        """Close the window without asking."""
        self.workspace.close_session()
        self.viewer.close()


def has_display() -> bool:
    """Whether a window can be shown: Linux needs a display server, Windows and macOS always have one."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def require_display() -> None:
    """Refuse to start where no window can be shown.

    Raises
    ------
    InputError
        With what to do instead.
    """
    if not has_display():
        raise InputError(
            "There is no display to open a window on. Start it on a desktop, or under xvfb-run; "
            "'cinema segment' and 'cinema demo' work without one."
        )


def refuse_broken_qt() -> None:
    """Refuse a Qt binding that would end the program in the middle of a reading.

    PySide6 6.12.0 gives up one reference to None with every call that returns nothing. Up to Python 3.11 None
    is counted like any object: after some thousand calls the interpreter aborts (6.11.3 counts rightly).

    Raises
    ------
    InputError
        With what to install instead.
    """
    from qtpy import PYSIDE_VERSION

    if PYSIDE_VERSION == "6.12.0" and sys.version_info < (3, 12):
        raise InputError(
            "PySide6 6.12.0 crashes on Python 3.11 after some minutes of work. "
            "Install another with: pip install 'PySide6==6.11.3'"
        )


def add_workspace(viewer: Any, session: Session, finetune_settings: FineTuneSettings | None = None) -> Workspace:
    """Dock a workspace in a viewer; its session ends with the window."""
    from cinema_app.widgets.closing import CloseGuard
    from cinema_app.widgets.workspace import Workspace

    workspace = Workspace(viewer, session, device_words(), finetune_settings)
    dock = viewer.window.add_dock_widget(workspace, name=TITLE, area="right")
    # The cross would delete the panel; napari's Window menu hides and shows it.
    dock._close_btn = False
    dock._update_title_bar()
    workspace.dock_views()
    CloseGuard.watch(viewer, workspace)
    return workspace


def make_workspace() -> Workspace:
    """Make the workspace that napari's Plugins menu docks in its viewer."""
    import napari

    from cinema_app.widgets.closing import CloseGuard
    from cinema_app.widgets.workspace import Workspace

    viewer = napari.current_viewer()
    workspace = Workspace(viewer, Session.open(), device_words())
    workspace.dock_views()
    CloseGuard.watch(viewer, workspace)
    return workspace


def workspace_in_current_viewer() -> Workspace | None:
    """Return the workspace of the viewer that is in front; None without a window, or if it has none."""
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else _workspace_in(viewer)


def open_workspace_in_current_viewer() -> Workspace | None:
    """Return the workspace of the viewer that is in front, docking one if need be; None without a window."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    return _workspace_in(viewer) or add_workspace(viewer, Session.open())


def _workspace_in(viewer: Any) -> Workspace | None:
    from cinema_app.widgets.workspace import Workspace

    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, Workspace):
            return widget
    return None


def device_words() -> str:
    """Say what the engine computes on, without asking torch: a window must not load it."""
    from importlib.metadata import version

    gpu = Path("/proc/driver/nvidia/version").exists() or os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
    return "NVIDIA GPU" if gpu and not version("torch").endswith("+cpu") else "CPU"


def _use_our_settings() -> None:
    """Keep the desktop's napari settings apart from those of the user's own napari."""
    os.environ.setdefault("NAPARI_CONFIG", str(platformdirs.user_config_path("napari-cinema") / "napari.yaml"))


def _prefer_our_reader() -> None:
    """In this window a dropped folder or file is a study; napari would ask which of two readers to use."""
    from napari.settings import get_settings

    preferred = dict(get_settings().plugins.extension2reader)
    for pattern in ("*/", "*.nii", "*.nii.gz", "*.dcm", "*.ima"):
        preferred.setdefault(pattern, OUR_READER)
    get_settings().plugins.extension2reader = preferred


def _tidy(viewer: Any) -> None:
    """Put away what a reader of hearts does not need; the Window menu brings it back."""
    window = viewer.window._qt_viewer
    for dock in (window.dockLayerList, window.dockLayerControls):
        dock.setVisible(False)
    # Its sliders count from 0 where everything else counts from 1; the map of slices and phases takes their place.
    window.dims.setVisible(False)
    # Voxel coordinates of a layer's name are not how a reader of hearts says where something lies.
    viewer.window._qt_window.statusBar().setVisible(False)
    window.show_welcome_screen = False


def _fit_screen(viewer: Any) -> None:
    """Give a window that has no remembered size most of the screen: contours want pixels, the figures want height."""
    from napari.settings import get_settings
    from qtpy.QtGui import QGuiApplication

    remembered = get_settings().application
    if remembered.window_size is not None:
        return
    remembered.first_time = False  # napari would shrink its very first window to the smallest that fits
    screen = QGuiApplication.primaryScreen().availableGeometry()
    width, height = (round(SCREEN_SHARE * size) for size in (screen.width(), screen.height()))
    viewer.window._qt_window.setGeometry(
        screen.x() + (screen.width() - width) // 2, screen.y() + (screen.height() - height) // 2, width, height
    )


def log_to_file() -> Path:
    """Write faults to the user's log folder; returns the file."""
    folder = platformdirs.user_log_path("napari-cinema", ensure_exists=True)
    handler = RotatingFileHandler(
        folder / "cinema.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("cinema_app", "cinema_core"):
        logging.getLogger(name).addHandler(handler)
    return folder / "cinema.log"


def _log_faults() -> None:
    """Write what napari reports as an unexpected error to the log; napari shows it without stopping the work."""
    from napari.utils.notifications import notification_manager

    notification_manager.notification_ready.connect(_log_notification)


def _log_notification(notification: Any) -> None:
    error = getattr(notification, "exception", None)
    if error is not None:
        # Without its message: that may hold a path, and a path a patient's name.
        log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
