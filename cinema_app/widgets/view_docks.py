"""Panels beside the image that a reader may hide: they come with a study that has something to show in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from cinema_app.preferences import preferences
from cinema_app.reading import Reading

ORIENTATIONS: Final = {"bottom": Qt.Orientation.Vertical, "left": Qt.Orientation.Horizontal}
"""Along which a dock at a side of the window is resized."""


@dataclass(frozen=True, eq=False)
class ViewDock:
    """One panel.

    Attributes
    ----------
    setting
        Name under ``views`` in the preferences that says whether the reader wants it.
    has_content
        Whether the open study has something to show in it.
    size_px
        Height at the bottom of the window, width at its left.
    """

    widget: QWidget
    title: str
    setting: str
    area: str
    size_px: int
    has_content: Callable[[], bool]


class ViewDocks:
    """Docks the panels in the window of a viewer, shows and hides them.

    They are shown when a study is opened that fills them, and stay hidden once the reader hid them.
    """

    def __init__(self, viewer: Any, reading: Reading, panels: tuple[ViewDock, ...]) -> None:
        self._viewer = viewer
        self._reading = reading
        self._docks = []
        # The panels at the right need the whole height more than the pictures the whole width.
        viewer.window._qt_window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        for panel in panels:
            dock = viewer.window.add_dock_widget(
                panel.widget, name=panel.title, area=panel.area, add_vertical_stretch=False
            )
            # The cross would delete the panel; the eye and napari's Window menu hide and show it.
            dock._close_btn = False
            dock._update_title_bar()
            dock.title.hide_button.clicked.connect(lambda _=False, panel=panel: self._remember(panel, False))
            self._docks.append((panel, dock))
        self._show()
        reading.events.cine_changed.connect(self._show)

    def close(self) -> None:
        """Take the panels out of the window."""
        self._reading.events.cine_changed.disconnect(self._show)
        for _, dock in self._docks:
            self._viewer.window.remove_dock_widget(dock)
        self._docks.clear()

    def is_shown(self, setting: str) -> bool:
        """Whether a panel is on show."""
        return any(dock.isVisible() for panel, dock in self._docks if panel.setting == setting)

    def toggle(self, setting: str) -> None:
        """Show a panel, or hide it, and remember that for the next study."""
        for panel, dock in self._docks:
            if panel.setting == setting:
                self._remember(panel, not dock.isVisible())
                self._set_visible(panel, dock, not dock.isVisible())

    def _remember(self, panel: ViewDock, wanted: bool) -> None:
        setattr(preferences().views, panel.setting, wanted)

    def _show(self) -> None:
        wanted = preferences().views
        for panel, dock in self._docks:
            self._set_visible(panel, dock, panel.has_content() and getattr(wanted, panel.setting))

    def _set_visible(self, panel: ViewDock, dock: Any, visible: bool) -> None:
        if visible and not dock.isVisible():
            dock.show()
            self._viewer.window._qt_window.resizeDocks([dock], [panel.size_px], ORIENTATIONS[panel.area])
        elif not visible:
            dock.hide()
