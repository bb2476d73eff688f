"""From a cine of any view to what a published model is shown, and from its answer back to the cine's pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine, View
from cinema_core.errors import PhaseError, StudyError
from cinema_core.geometry import Array, GridMap, grid_map, scale_frames
from cinema_core.localise import find_heart
from cinema_core.model_config import ViewSettings


@dataclass(frozen=True, eq=False)
class ModelView:
    """One cine on the grid of a model: its spacing, cut out around the heart, never more than its size in plane.

    Attributes
    ----------
    grid
        Spacing and size of the model's input.
    to_grid
        Resampling there and back.
    centre_yx
        Native pixel in the middle of the window.
    """

    cine: Cine
    grid: ViewSettings
    to_grid: GridMap
    centre_yx: tuple[float, float]

    def frames(self, phases: Sequence[int]) -> Array:
        """Show phases to the model: (t, x, y[, z]), 0 to 1, each frame by its own percentiles.

        Raises
        ------
        StudyError
            If a frame is one grey all over.
        """
        pixels = self.cine.for_model().pixels[list(phases)]
        for t, frame in zip(phases, pixels, strict=True):
            if frame.min() == frame.max():
                raise StudyError(
                    f"Phase {t + 1} of the cine {self.cine.id} is one grey all over: there is nothing to see. "
                    "Export the study again, or choose another phase."
                )
        on_grid = self.to_grid.to_model(scale_frames(pixels))  # (t, x, y, z)
        return on_grid[..., 0] if len(self.grid.patch_size) == 2 else on_grid

    def to_native(self, values: Array) -> Array:
        """Bring one frame (c, x, y[, z]) back to (c, z, y, x); 0 outside of the window."""
        stack = values[..., None] if len(self.grid.patch_size) == 2 else values
        native = self.to_grid.to_native(stack)
        return native[:, ::-1] if self.cine.apex_first else native

    def native_yx(self, points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Bring points (..., 2) from (x, y) pixels of the model's window to (y, x) pixels of the cine."""
        size = np.array(self.grid.patch_size[:2], dtype=np.float64)
        steps = np.array(self.grid.spacing_mm[:2]) / np.array(self.cine.geometry.pixel_spacing_mm[::-1])
        centre_xy = np.array(self.centre_yx[::-1])
        native_xy = centre_xy + (np.asarray(points_xy, dtype=np.float64) - (size - 1) / 2) * steps
        return np.asarray(native_xy[..., ::-1])


def model_view(cine: Cine, view: str, grid: ViewSettings) -> ModelView:
    """Place the window of a model on a cine.

    Along an axis that fits, the image begins where the window begins and zeros follow it, as published; else the
    window is centred on the heart.

    Parameters
    ----------
    view
        Key of the model's view.

    Raises
    ------
    StudyError
        If the cine shows another view, holds values that are no numbers, or is a long-axis cine of several slices.
    """
    if cine.view != view:
        raise StudyError(
            f"The cine {cine.id} is taken as {cine.view.display_name.lower()}; this model looks at "
            f"{View(view).display_name.lower()}. Choose another cine, or set the view with --view if it was misjudged."
        )
    is_plane = len(grid.patch_size) == 2
    _, n_slices, rows, columns = cine.shape
    if is_plane and n_slices != 1:
        raise StudyError(
            f"The cine {cine.id} has {n_slices} slices; a {cine.view.display_name.lower()} model looks at one. "
            "Open the slice that shows the view best as a study of its own."
        )
    broken = [t for t, frame in enumerate(cine.pixels) if not np.isfinite(frame).all()]
    if broken:
        raise StudyError(
            f"Phase {broken[0] + 1} of the cine {cine.id} holds values that are no numbers. Export the study again."
        )
    heart = find_heart(cine.for_model()).centre_yx
    dy, dx = cine.geometry.pixel_spacing_mm
    spacing = (grid.spacing_mm[0], grid.spacing_mm[1], 1.0 if is_plane else grid.spacing_mm[2])
    centre_yx = (
        _centre(rows, dy, heart[0], spacing[1], grid.patch_size[1]),
        _centre(columns, dx, heart[1], spacing[0], grid.patch_size[0]),
    )
    keep_slices = is_plane or grid.patch_size[2] == 1
    size_xy = (grid.patch_size[0], grid.patch_size[1])
    to_grid = grid_map(cine.geometry, (n_slices, rows, columns), centre_yx, spacing, size_xy, keep_slices=keep_slices)
    return ModelView(cine, grid, to_grid, centre_yx)


def _centre(n_native: int, native_mm: float, heart: float, model_mm: float, n_model: int) -> float:
    ratio = model_mm / native_mm
    if n_native <= n_model * ratio:
        return (n_model * ratio - 1) / 2  # the outer edges of both first pixels meet
    return heart


def scale_sample(sample: Array) -> Array:
    """Stretch one sample (c, ...) to 0 to 1 over all its channels together, as published."""
    low, high = float(sample.min()), float(sample.max())
    return (sample - low) / (high - low) if high > low else np.zeros_like(sample)


def study_sample(
    cines: Mapping[str, Cine], grids: Mapping[str, ViewSettings], phases: Mapping[str, Sequence[int]]
) -> dict[str, Array]:
    """Show a study to a model that answers once.

    Parameters
    ----------
    cines, grids
        By view key of the model.
    phases
        Frames of each cine that the model sees as channels, ED before ES.

    Returns
    -------
    dict
        View key to (c, x, y[, z]), 0 to 1.

    Raises
    ------
    StudyError
        If a view is missing, or a cine shows another one.
    PhaseError
        If a phase lies outside of a cine.
    """
    absent = [View(view).display_name.lower() for view in grids if view not in cines]
    if absent:
        raise StudyError(f"This model also looks at the {', '.join(absent)}; the study has no such cine.")
    samples = {}
    for view, grid in grids.items():
        cine, chosen = cines[view], phases[view]
        outside = [t for t in chosen if not 0 <= t < cine.n_phases]
        if outside:
            raise PhaseError(
                f"Phase {outside[0] + 1} was asked for; the cine {cine.id} has phases 1 to {cine.n_phases}."
            )
        samples[view] = scale_sample(model_view(cine, view, grid).frames(chosen))
    return samples
