"""Keep napari's layers and the reading in step: one image and one labels layer per cine."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from psygnal import Signal

from cinema_app.labelling import Slice
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.cine import Cine
from cinema_core.errors import CinemaError
from cinema_core.localise import HeartRegion, find_heart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel


class Tool(StrEnum):
    """What the left mouse button does on the image."""

    MOVE = "move"
    CONTOUR = "contour"
    RV = "rv"
    MYO = "myo"
    LV = "lv"
    ERASE = "erase"


_PAINTS = {Tool.RV: Structure.RV_CAVITY, Tool.MYO: Structure.LV_MYOCARDIUM, Tool.LV: Structure.LV_CAVITY}

AXES = ("phase", "slice", "y", "x")
"""What napari's sliders are called: a cardiologist's words for t and z."""

FLAT = ("y", "x")
"""Axes of a layer that napari shows on every slice; it holds what belongs to the viewed one."""

CONTOUR_PIXELS = 1
BRUSH_PIXELS = 6
DISPLAYED_PERCENTILES = (0.5, 99.5)
"""Window: fat and the coil's bright corner would otherwise leave the heart dark."""

HEART_FILLS = 0.68
"""Share of the canvas that the heart's diameter takes after "zoom to heart": room for the ventricles' surroundings."""


def scale_mm(cine: Cine) -> tuple[float, float, float, float]:
    """Size of a voxel along (t, z, y, x): 1 phase, then millimetres."""
    dy, dx = cine.geometry.pixel_spacing_mm
    return 1.0, cine.geometry.slice_step_mm or 1.0, dy, dx


def anatomy_colormap() -> DirectLabelColormap:
    """Colours of the structures; everything else is transparent."""
    colours: dict[int | None, str] = {int(s): s.colour for s in FOREGROUND}
    return DirectLabelColormap(color_dict=colours | {None: "transparent", 0: "transparent"})


class CineLayers:
    """The image and labels layers of a reading.

    Hidden rules, and why:

    * Layers are kept as objects, never found by name: a reader may rename them.
    * The labels layer holds its own copy of the labels. What the reader paints differs from the reading until the
      stroke is taken, so one comparison of the viewed slice finds every edit, whatever tool made it.
    * napari's own undo would be a second history that forgets nothing and knows no journal: it is emptied after
      each stroke, and Ctrl+Z belongs to the reading.
    * Layers are made once and get new data with each study: removing and adding layers crashes some GL drivers.
    """

    moved = Signal(int, int)
    """Another phase t or slice z is on show."""
    tool_changed = Signal()
    """Another tool or brush size, chosen here or in napari's own controls."""
    visibility_changed = Signal()
    """The labels were hidden, or shown again."""

    def __init__(self, viewer: ViewerModel, reading: Reading) -> None:
        self._viewer = viewer
        self._reading = reading
        self._setting = False
        self._shown: Slice | None = None
        self._our_zoom: float | None = None
        self._found_heart: HeartRegion | None = None
        self.opening_limits = (0.0, 1.0)
        """Window of the image with which the cine was opened."""
        self.image: Image | None = None
        self.labels: Labels | None = None
        self._show_cine()
        reading.events.cine_changed.connect(self._show_cine)
        reading.events.labels_changed.connect(self._show_labels)
        reading.events.go_to.connect(self.go_to)
        viewer.layers.events.removed.connect(self._forget_removed)
        viewer.dims.events.current_step.connect(self._moved)
        viewer.canvas.events.size.connect(self._canvas_resized)

    def close(self) -> None:
        """Stop listening; the layers stay in the viewer."""
        self._viewer.layers.events.removed.disconnect(self._forget_removed)
        self._viewer.dims.events.current_step.disconnect(self._moved)
        self._viewer.canvas.events.size.disconnect(self._canvas_resized)

    # ---------------------------------------------------------------- where we are

    @property
    def here(self) -> Slice:
        """Phase and slice on show; the first ones while there is nothing to show."""
        steps = self._viewer.dims.current_step
        if not self._reading.is_open or len(steps) != 4:
            return 0, 0
        n_t, n_z = self._reading.cine.shape[:2]
        return min(int(steps[0]), n_t - 1), min(int(steps[1]), n_z - 1)

    def go_to(self, t: int, z: int) -> None:
        """Show a phase and a slice, as far as the cine has them."""
        if not self._reading.is_open:
            return
        n_t, n_z = self._reading.cine.shape[:2]
        where = (min(max(t, 0), n_t - 1), min(max(z, 0), n_z - 1))
        if where != self.here:
            self._viewer.dims.set_current_step((0, 1), where)

    def step_phase(self, by: int) -> None:
        """Go by phases, around the cycle."""
        if self._reading.is_open:
            t, z = self.here
            self.go_to((t + by) % self._reading.cine.n_phases, z)

    def step_slice(self, by: int) -> None:
        """Go by slices, stopping at base and apex."""
        t, z = self.here
        self.go_to(t, z + by)

    def zoom_to_heart(self) -> None:
        """Let the heart fill the canvas."""
        if not self._reading.is_open:
            return
        (y_mm, x_mm), radius_mm = self.heart_mm()
        camera = self._viewer.scene.camera
        camera.center = (0.0, y_mm, x_mm)
        camera.zoom = HEART_FILLS * min(self._viewer.canvas.size) / (2 * radius_mm)
        self._our_zoom = camera.zoom

    def heart_mm(self) -> tuple[tuple[float, float], float]:
        """Centre and radius of the heart in the layer's millimetres: of the labels if there are any."""
        cine = self._reading.cine
        dy, dx = cine.geometry.pixel_spacing_mm
        marked = np.any(self._reading.labels, axis=(0, 1))  # (y, x)
        if np.any(marked):
            rows, columns = np.flatnonzero(np.any(marked, axis=1)), np.flatnonzero(np.any(marked, axis=0))
            height, width = (rows[-1] - rows[0]) * dy, (columns[-1] - columns[0]) * dx
            centre = ((rows[0] + rows[-1]) / 2 * dy, (columns[0] + columns[-1]) / 2 * dx)
            return (float(centre[0]), float(centre[1])), max(25.0, float(max(height, width)) / 2)
        if self._found_heart is None:
            self._found_heart = find_heart(cine)
        heart = self._found_heart
        return (heart.centre_yx[0] * dy, heart.centre_yx[1] * dx), heart.radius_mm

    # ---------------------------------------------------------------- the brush

    @property
    def tool(self) -> Tool:
        """What the left mouse button does."""
        if self.labels is None:
            return Tool.MOVE
        mode, label = str(self.labels.mode), self.labels.selected_label
        if mode == "erase":
            return Tool.ERASE
        if mode in ("paint", "fill", "polygon"):
            return next((tool for tool, structure in _PAINTS.items() if structure == label), Tool.MOVE)
        return Tool.MOVE

    def use(self, tool: Tool) -> None:
        """Take a tool into the hand."""
        if self.labels is None:
            return
        self._viewer.layers.selection.active = self.labels
        self.labels.visible = True  # painting what is hidden would surprise
        if tool in _PAINTS:
            self.labels.selected_label = int(_PAINTS[tool])
            self.labels.mode = "paint"
        else:
            self.labels.mode = "erase" if tool is Tool.ERASE else "pan_zoom"

    @property
    def brush_size(self) -> int:
        """Diameter of the brush in pixels."""
        return BRUSH_PIXELS if self.labels is None else int(self.labels.brush_size)

    def set_brush_size(self, pixels: int) -> None:
        """Choose the diameter of the brush."""
        if self.labels is not None:
            self.labels.brush_size = pixels

    @contextmanager
    def brush_laid_down(self) -> Iterator[None]:
        """Keep the brush from painting for the length of a drag that is meant for something else."""
        labels = self.labels
        if labels is None or self._viewer.layers.selection.active is not labels:
            yield
            return
        mode = labels.mode
        labels.mode = "pan_zoom"
        try:
            yield
        finally:
            labels.mode = mode

    def toggle_contours(self) -> None:
        """Hide the contours, or show them again."""
        if self.labels is not None:
            self.labels.visible = not self.labels.visible

    def _tool_changed(self, event: Any = None) -> None:
        self.tool_changed.emit()

    def _visibility_changed(self, event: Any = None) -> None:
        self.visibility_changed.emit()

    # ---------------------------------------------------------------- from the reading to the screen

    @contextmanager
    def _we_set(self) -> Iterator[None]:
        """Mark changes of the layers as ours, so that they do not come back as edits."""
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    def _show_cine(self) -> None:
        if not self._reading.is_open:
            return
        cine = self._reading.cine
        scale = scale_mm(cine)
        low, high = np.percentile(cine.pixels[0], DISPLAYED_PERCENTILES)
        self._found_heart = None
        self.opening_limits = (float(low), float(max(high, low + 1)))
        with self._we_set():
            self._show_image(scale, self.opening_limits)
            self._show_label_layer(scale)
            self._shown = None
            self._viewer.dims.axis_labels = AXES
            self._viewer.dims.set_current_step((0, 1), (0, cine.n_slices // 2))
        self.zoom_to_heart()
        self._moved()

    def _canvas_resized(self, event: Any = None) -> None:
        """Keep the heart as large as the canvas allows, until the reader chooses another view."""
        if self._our_zoom is not None and self._viewer.scene.camera.zoom == self._our_zoom:
            self.zoom_to_heart()

    def _show_image(self, scale: tuple[float, ...], limits: tuple[float, float]) -> None:
        cine = self._reading.cine
        if self.image is None:
            # Smoothed between the pixels, as every cardiac workstation shows it; labels stay as they are.
            self.image = Image(
                cine.pixels,
                name="Cine",
                scale=scale,
                axis_labels=AXES,
                contrast_limits=limits,
                interpolation2d="linear",
            )
            self._viewer.add_layer(self.image)
        else:
            self.image.data = cine.pixels
            self.image.scale = scale
        self.image.contrast_limits_range = (float(cine.pixels.min()), float(max(cine.pixels.max(), limits[1])))
        self.image.contrast_limits = limits
        self.image.metadata["cinema"] = {"study": self._reading.study_id, "role": "image"}

    def _show_label_layer(self, scale: tuple[float, ...]) -> None:
        data = self._reading.labels.copy()
        if self.labels is None:
            self.labels = Labels(
                data, name="Contours", scale=scale, axis_labels=AXES, colormap=anatomy_colormap(), opacity=0.9
            )
            self.labels.contour = CONTOUR_PIXELS
            self.labels.n_edit_dimensions = 2
            self.labels.brush_size = BRUSH_PIXELS
            self.labels.selected_label = int(Structure.LV_CAVITY)
            self._viewer.add_layer(self.labels)
            for event in (self.labels.events.paint, self.labels.events.labels_update, self.labels.events.set_data):
                event.connect(self._take_stroke)
            self.labels.events.data.connect(self._take_all)
            for event in (self.labels.events.mode, self.labels.events.selected_label, self.labels.events.brush_size):
                event.connect(self._tool_changed)
            self.labels.events.visible.connect(self._visibility_changed)
        else:
            self.labels.data = data
            self.labels.scale = scale
        self.labels.metadata["cinema"] = {"study": self._reading.study_id, "role": "labels"}
        self.labels._reset_history()
        self._viewer.layers.selection.active = self.labels

    def _show_labels(self, slices: tuple[Slice, ...]) -> None:
        if self.labels is None:
            return
        first_drawing = not np.any(self.labels.data)
        with self._we_set():
            changed = False
            for where in slices:
                if not np.array_equal(self.labels.data[where], self._reading.labels[where]):
                    self.labels.data[where] = self._reading.labels[where]
                    changed = True
            self.labels._reset_history()
            if changed:
                self.labels.refresh()
        if first_drawing and len(slices) > 1 and self._viewer.scene.camera.zoom == self._our_zoom:
            # Now it is known where the ventricles are; but a view that the reader chose stays.
            self.zoom_to_heart()

    # ---------------------------------------------------------------- from the screen to the reading

    def _moved(self, event: Any = None) -> None:
        if self._setting or not self._reading.is_open or self.here == self._shown:
            return
        left, self._shown = self._shown, self.here
        if left is not None:
            # A stroke that ended while the cine was moving on is not lost.
            self._take(left)
        self.moved.emit(*self.here)

    def _take_stroke(self, event: Any = None) -> None:
        """Hand the viewed slice to the reading if it was painted on.

        A stroke of the mouse sends ``paint`` when it ends; the bucket sends it before it fills, and then
        ``labels_update``. Both other events also come at every mouse move of a stroke, which is not yet an edit.
        """
        if self.labels is not None and (event.type == "paint" or not self.labels._block_history):
            self._take(self.here)

    def _take_all(self, event: Any = None) -> None:
        """Hand everything to the reading that a script or another plugin changed."""
        if self._setting or self.labels is None or not self._reading.is_open:
            return
        if self.labels.data.shape == self._reading.labels.shape:
            for t, z in np.argwhere((self.labels.data != self._reading.labels).any(axis=(2, 3))):
                self._take((int(t), int(z)))

    def _take(self, where: Slice) -> None:
        if self._setting or self.labels is None or not self._reading.is_open:
            return
        if self.labels.data.shape != self._reading.labels.shape:
            return
        with self._we_set():
            try:
                self._reading.correct(*where, self.labels.data[where], "brush")
            except CinemaError as error:
                # Not saved, so not shown either.
                self.labels.data[where] = self._reading.labels[where]
                self.labels.refresh()
                self._reading.notify(str(error), Severity.ERROR)
            self.labels._reset_history()

    def _forget_removed(self, event: Any) -> None:
        """Let go of a layer that the reader removed; the labels are safe in the project."""
        if event.value is self.image:
            self.image = None
        if event.value is self.labels:
            self.labels = None
