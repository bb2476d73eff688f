"""The study's grid, the model's grid, and the way there and back; how image planes cut each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cinema_core.cine import Geometry, Plane

Array = NDArray[np.float32]

PERCENTILES: Final = (0.95, 99.5)
"""Intensity range of a frame that becomes 0 to 1; 0.95, not 0.5, is what the published weights have seen."""


CROSSING_STEP_PX: Final = 0.5
"""How finely a line is followed through a mask; between two steps the mask is taken as linear."""

PARALLEL_SINE: Final = 0.05
"""Planes within 3 degrees of each other have no line in common that means anything: it lies far off, or anywhere."""


def to_pixels(plane: Plane, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel positions (y, x) of points of the patient, dropped square onto a plane.

    Parameters
    ----------
    points_mm
        LPS, shape (..., 3).

    Returns
    -------
    Shape (..., 2), whole numbers at pixel centres.
    """
    away = points_mm - plane.origin_mm
    dy, dx = plane.spacing_mm
    return np.stack([away @ plane.y_direction / dy, away @ plane.x_direction / dx], axis=-1)


def cut_line(
    plane: Plane, size: tuple[int, int], other: Plane, other_size: tuple[int, int]
) -> NDArray[np.float64] | None:
    """Line along which two images cut each other, as far as both reach.

    Parameters
    ----------
    plane, other
        Where the images lie.
    size, other_size
        Their rows and columns.

    Returns
    -------
    The ends of the line in pixels (y, x) of ``plane``, shape (2, 2); None if the planes are parallel or the images
    do not meet.
    """
    along = np.cross(plane.normal, other.normal)
    sine = float(np.linalg.norm(along))
    if sine < PARALLEL_SINE:
        return None
    along /= sine
    # The point of the line nearest to the middle of the image, so that rounding is small where it is looked at.
    middle = plane.to_world_mm((size[0] - 1) / 2, (size[1] - 1) / 2)
    towards = np.cross(along, plane.normal)
    start = middle + towards * float((other.origin_mm - middle) @ other.normal) / float(towards @ other.normal)
    reach = np.array([-np.inf, np.inf])
    for of, (rows, columns) in ((plane, size), (other, other_size)):
        at, step = to_pixels(of, start), to_pixels(of, start + along) - to_pixels(of, start)
        for place, pace, n in zip(at, step, (rows, columns), strict=True):
            if abs(pace) < 1e-9:
                if not -0.5 <= place <= n - 0.5:
                    return None
                continue
            ends = sorted(((-0.5 - place) / pace, (n - 0.5 - place) / pace))
            reach = np.array([max(reach[0], ends[0]), min(reach[1], ends[1])])
    if reach[0] >= reach[1]:
        return None
    return to_pixels(plane, start + reach[:, None] * along)


def border_crossings(inside: NDArray[np.bool_], line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a straight line passes the borders of a mask.

    The border runs half way between a pixel inside and one outside, as a contour at 0.5 of the interpolated mask.

    Parameters
    ----------
    inside
        Shape (y, x).
    line
        Its ends in pixels (y, x), shape (2, 2).

    Returns
    -------
    Pixel positions (y, x) in the order of the line, shape (n, 2).
    """
    length = float(np.linalg.norm(line[1] - line[0]))
    share = np.linspace(0.0, 1.0, max(2, int(np.ceil(length / CROSSING_STEP_PX)) + 1))
    places = line[0] + share[:, None] * (line[1] - line[0])
    values = map_coordinates(inside.astype(np.float32), places.T, order=1, mode="constant") - 0.5
    before = np.flatnonzero((values[:-1] > 0) != (values[1:] > 0))
    part = values[before] / (values[before] - values[before + 1])
    return np.asarray(places[before] + part[:, None] * (places[before + 1] - places[before]), dtype=np.float64)


def scale_frames(frames: NDArray[np.generic]) -> Array:
    """Intensities 0 to 1, each frame by its own percentiles; a constant frame becomes zero.

    Parameters
    ----------
    frames
        Shape (t, z, y, x).
    """
    scaled = np.zeros(frames.shape, dtype=np.float32)
    for t, frame in enumerate(frames):
        low, high = np.percentile(frame, PERCENTILES)
        if high > low:
            scaled[t] = np.clip((frame.astype(np.float32) - low) / (high - low), 0, 1)
    return scaled


def interpolation_matrix(n_from: int, positions: NDArray[np.float64], *, edge: str) -> Array:
    """Linear interpolation along one axis as a matrix, shape (len(positions), n_from).

    Parameters
    ----------
    n_from
        Number of samples.
    positions
        Where to interpolate, in sample indices.
    edge
        ``zero``: nothing is known outside; ``hold``: the outermost sample goes on.
    """
    if edge == "hold":
        positions = np.clip(positions, 0, n_from - 1)
    below = np.floor(positions).astype(int)
    share = positions - below
    matrix = np.zeros((len(positions), n_from), dtype=np.float32)
    rows = np.arange(len(positions))
    for index, weight in ((below, 1 - share), (below + 1, share)):
        # Beyond half a pixel outside the image there is nothing to take from.
        valid = (index >= 0) & (index < n_from)
        matrix[rows[valid], index[valid]] += weight[valid].astype(np.float32)
    return matrix


@dataclass(frozen=True, eq=False)
class GridMap:
    """Linear resampling between a native stack and a model's window about the heart, and back.

    Both ways are products of one matrix per axis, so a whole cine is a few matrix products.

    Attributes
    ----------
    to_z, to_y, to_x
        Native axis to model axis, shape (model, native).
    from_z, from_y, from_x
        Model axis to native axis, shape (native, model).
    """

    to_z: Array
    to_y: Array
    to_x: Array
    from_z: Array
    from_y: Array
    from_x: Array

    def to_model(self, frames: Array) -> Array:
        """Images (t, z, y, x) on the native grid to (t, x, y, z) on the model's."""
        planes = np.matmul(np.matmul(self.to_y, frames), self.to_x.T)  # (t, z, y', x')
        return np.ascontiguousarray(np.einsum("Zz,tzyx->txyZ", self.to_z, planes, optimize=True))

    def to_native(self, values: Array) -> Array:
        """Probabilities (c, x, y, z) of one frame on the model's grid to (c, z, y, x) on the native one; 0 outside."""
        stack = np.einsum("zZ,cxyZ->czyx", self.from_z, values, optimize=True)
        return np.asarray(np.matmul(np.matmul(self.from_y, stack), self.from_x.T), dtype=np.float32)


def grid_map(
    geometry: Geometry,
    shape: tuple[int, int, int],
    centre_yx: tuple[float, float],
    spacing_mm: tuple[float, float, float],
    size_xy: tuple[int, int],
    *,
    keep_slices: bool,
) -> GridMap:
    """Map between a stack and a window of the model's spacing, centred on the heart.

    Parameters
    ----------
    geometry
        Planes of the native stack.
    shape
        Native size (z, y, x).
    centre_yx
        Centre of the window in native pixels.
    spacing_mm
        Spacing (x, y, z) of the model's grid.
    size_xy
        Pixels (x, y) of the window.
    keep_slices
        Keep the study's own slices; otherwise the stack is resampled to the model's slice distance, its outer
        faces where they are, as in the published preparation.
    """
    n_slices, rows, columns = shape
    dy, dx = geometry.pixel_spacing_mm
    to_y, from_y = _axis(rows, dy, centre_yx[0], spacing_mm[1], size_xy[1])
    to_x, from_x = _axis(columns, dx, centre_yx[1], spacing_mm[0], size_xy[0])
    if keep_slices:
        to_z = from_z = np.eye(n_slices, dtype=np.float32)
    else:
        to_z, from_z = _slices(n_slices, geometry.slice_step_mm or spacing_mm[2], spacing_mm[2])
    return GridMap(to_z, to_y, to_x, from_z, from_y, from_x)


def _axis(n_native: int, native_mm: float, centre: float, model_mm: float, n_model: int) -> tuple[Array, Array]:
    ratio = model_mm / native_mm
    positions = centre + (np.arange(n_model, dtype=np.float64) - (n_model - 1) / 2) * ratio
    back = (np.arange(n_native, dtype=np.float64) - centre) / ratio + (n_model - 1) / 2
    return interpolation_matrix(n_native, positions, edge="zero"), interpolation_matrix(n_model, back, edge="zero")


def _slices(n_native: int, step_mm: float, model_mm: float) -> tuple[Array, Array]:
    n_model = max(1, round(n_native * step_mm / model_mm))
    positions = (np.arange(n_model, dtype=np.float64) + 0.5) * model_mm / step_mm - 0.5
    back = (np.arange(n_native, dtype=np.float64) + 0.5) * step_mm / model_mm - 0.5
    return (
        interpolation_matrix(n_native, positions, edge="hold"),
        interpolation_matrix(n_model, back, edge="hold"),
    )
