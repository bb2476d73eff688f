"""Window and level by dragging with the right button, as in a PACS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from psygnal import Signal

from cinema_app.layers import CineLayers

RIGHT_BUTTON: Final = 2
WIDTH_PER_PX, LEVEL_PER_PX = 1 / 250, 1 / 400
"""Share of the window's own width by which a pixel of the mouse changes width and level."""

NARROWEST_SHARE: Final = 0.002
"""Of the range of intensities; a window of no width has no grey."""

ZOOM_PER_PX: Final = 1.006


class Windowing:
    """Takes the right button of a viewer: left and right for the width, up and down for the level.

    napari would zoom with it; that is done with Ctrl held, as with the wheel. While the brush is in hand napari would
    start to encircle an area, and go on after the button is let go: there too the right button is for the window.
    """

    changed = Signal()

    def __init__(self, viewer: Any, layers: CineLayers) -> None:
        self._viewer = viewer
        self._layers = layers
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_double_click_callbacks.append(self._on_double_click)

    def close(self) -> None:
        """Give the button back."""
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        self._viewer.mouse_double_click_callbacks.remove(self._on_double_click)

    @property
    def words(self) -> str:
        """Width and level of the window; empty while it is the one that the cine was opened with."""
        image = self._layers.image
        if image is None or tuple(image.contrast_limits) == self._layers.opening_limits:
            return ""
        low, high = image.contrast_limits
        return f"W {high - low:.0f}  L {(low + high) / 2:.0f}"

    def reset(self) -> None:
        """Go back to the window that the cine was opened with."""
        if self._layers.image is not None:
            self._layers.image.contrast_limits = self._layers.opening_limits
            self.changed.emit()

    def _on_double_click(self, viewer: Any, event: Any) -> None:
        if event.button == RIGHT_BUTTON:
            event.handled = True
            self.reset()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != RIGHT_BUTTON or self._layers.image is None:
            return
        zooms = "Control" in event.modifiers
        with self._layers.brush_laid_down():
            event.handled = True  # or the camera zooms
            last = event.pos
            yield
            while event.type == "mouse_move":
                event.handled = True
                right, down = event.pos[0] - last[0], event.pos[1] - last[1]
                last = event.pos
                if zooms:
                    viewer.scene.camera.zoom *= ZOOM_PER_PX ** (-float(down))
                else:
                    self._change(float(right), float(down))
                yield

    def _change(self, right: float, down: float) -> None:
        image = self._layers.image
        if image is None:
            return
        low, high = image.contrast_limits
        darkest, brightest = image.contrast_limits_range
        width = (high - low) * (1 + WIDTH_PER_PX) ** right
        width = min(max(width, NARROWEST_SHARE * (brightest - darkest)), 2 * (brightest - darkest))
        level = (low + high) / 2 + down * LEVEL_PER_PX * (high - low)
        level = min(max(level, darkest), brightest)
        image.contrast_limits = (level - width / 2, level + width / 2)
        self.changed.emit()
