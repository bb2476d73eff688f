"""Closing the window: ask while work is under way, then end the engine."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QMessageBox

from cinema_app.widgets.workspace import Workspace


class CloseGuard(QObject):
    """Watches the main window: a dock's own close event does not come when the application quits."""

    def __init__(self, window: Any, workspace: Workspace) -> None:
        super().__init__(window)
        self._workspace = workspace
        window.installEventFilter(self)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(workspace.close_session)

    @classmethod
    def watch(cls, viewer: Any, workspace: Workspace) -> CloseGuard:
        """Guard the window of a viewer."""
        return cls(viewer.window._qt_window, workspace)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold the close while work is under way, unless the reader gives it up."""
        if event.type() == QEvent.Type.Close and not self._workspace.is_closed:
            if self._workspace.reading.work.busy and not self.give_up_work():
                event.ignore()
                return True
            self._workspace.close_session()
        return False

    def give_up_work(self) -> bool:
        """Ask whether to stop the work that is under way."""
        answer = QMessageBox.question(
            self._workspace,
            "Close CineMA?",
            "The model is still at work. Close and stop it? Your corrections are saved.",
        )
        return bool(answer == QMessageBox.StandardButton.Yes)
