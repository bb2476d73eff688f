"""The mouse wheel as in a PACS: slices, with Shift phases, with Ctrl zoom."""

from __future__ import annotations

from typing import Any

from cinema_app.layers import CineLayers

ZOOM_PER_NOTCH = 1.15


class Wheel:
    """Takes the wheel of a viewer; napari would zoom with it, and do nothing while painting."""

    def __init__(self, viewer: Any, layers: CineLayers) -> None:
        self._viewer = viewer
        self._layers = layers
        self._turned = 0.0
        viewer.scene.camera.mouse_zoom = False
        # All of napari's callbacks are asked in turn; its Ctrl+wheel would step phases while ours zooms.
        self._naparis = list(viewer.mouse_wheel_callbacks)
        viewer.mouse_wheel_callbacks[:] = [self._on_wheel]

    def close(self) -> None:
        """Give the wheel back."""
        self._viewer.mouse_wheel_callbacks[:] = self._naparis
        self._viewer.scene.camera.mouse_zoom = True

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        # Qt turns a wheel with Shift held sideways on some systems.
        delta = event.delta[1] or event.delta[0]
        event.handled = True
        if "Control" in event.modifiers:
            camera = viewer.scene.camera
            camera.zoom *= ZOOM_PER_NOTCH**delta
            return
        # A touchpad sends parts of a notch.
        self._turned += delta
        notches = int(self._turned)
        self._turned -= notches
        if notches:
            step = self._layers.step_phase if "Shift" in event.modifiers else self._layers.step_slice
            step(-notches)
