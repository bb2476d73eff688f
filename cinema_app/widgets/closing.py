"""Closing the window, or the panel by its cross: ask what would be lost by it, then end the engine."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QMessageBox

from cinema_app.widgets.workspace import Workspace


class CloseGuard(QObject):
    """Watches the main window: a dock's own close event does not come when the application quits.

    The cross of a dock that napari's Plugins menu made sends no close event either: it takes the panel out of the
    window and deletes it. What napari does at the cross is wrapped as soon as the panel is docked.
    """

    def __init__(self, window: Any, workspace: Workspace) -> None:
        super().__init__(window)
        self._workspace = workspace
        self._dock: Any = None
        window.installEventFilter(self)
        workspace.installEventFilter(self)
        self._guard_cross()
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(workspace.close_session)

    @classmethod
    def watch(cls, viewer: Any, workspace: Workspace) -> CloseGuard:
        """Guard the window of a viewer."""
        return cls(viewer.window._qt_window, workspace)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold the close while work is under way or a model undecided, unless the reader gives that up."""
        if watched is self._workspace:
            if event.type() == QEvent.Type.ParentChange:
                self._guard_cross()
        elif event.type() == QEvent.Type.Close and not self._workspace.is_closed:
            if not self._may_close():
                event.ignore()
                return True
            self._workspace.close_session()
        return False

    def _guard_cross(self) -> None:
        """Ask before napari takes the panel away; a panel that comes to another dock is guarded there."""
        dock: Any = self._workspace.parent()
        if dock is self._dock or not hasattr(dock, "destroyOnClose"):
            return
        self._dock, take_away = dock, dock.destroyOnClose

        def ask_first() -> None:
            if self._may_close():
                take_away()

        dock.destroyOnClose = ask_first

    def _may_close(self) -> bool:
        lost = self._what_is_lost()
        return not lost or self.give_up(lost)

    def _what_is_lost(self) -> str:
        """Say what closing gives up, and ask; empty if nothing."""
        learning, busy = self._workspace.reading.learning, self._workspace.reading.work.busy
        trial = learning.trial
        parts = ["The model is still at work; closing stops it."] if busy else []
        if learning.is_offered_again:
            parts.append("It is offered again when the project is opened the next time.")
        if trial is not None:
            parts.append(
                f"The new model {trial.name} waits for your decision on the tab Fine-tune; closing discards it."
            )
        return " ".join((*parts, "Close? Your corrections are saved.")) if parts else ""

    def give_up(self, lost: str) -> bool:
        """Ask whether to close all the same."""
        answer = QMessageBox.question(self._workspace, "Close CineMA?", lost)
        return bool(answer == QMessageBox.StandardButton.Yes)
