"""Where the heart lies in the patient, and which planes the scanner cuts through it.

The heart's own frame is that of :mod:`cinema_core.phantom.beat`: x towards the lateral wall, y towards the inferior
wall, z towards the apex, origin in the middle of the mitral plane at end-diastole, which is also the origin of the
patient's LPS axes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Plane, View
from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.parameters import HeartParameters

# DICOM patient axes (LPS). The heart points to the left, forward and down; the short-axis image shows the
# lateral wall on the right and the inferior wall at the bottom.
TOWARDS_APEX: Final = np.array([0.66, -0.55, -0.51]) / np.linalg.norm([0.66, -0.55, -0.51])
IMAGE_RIGHT: Final = np.array([0.55, 0.66, 0.0]) / np.hypot(0.55, 0.66)
IMAGE_DOWN: Final = np.cross(TOWARDS_APEX, IMAGE_RIGHT) * -1.0

LONG_AXIS_ANGLES_DEG: Final = {View.LAX_2C: 78.0, View.LAX_3C: 22.0, View.LAX_4C: 145.0}
"""Which way each long-axis plane cuts the ring of the LV: 2C anterior to inferior, 3C through the outflow tract and
the lateral wall, 4C through the acute margin of the RV and the anterolateral wall. Measured as the heart's angles are,
and chosen so that the views stand to each other as in real studies."""

IMAGE_X_OF: Final = {View.LAX_2C: (0.0, 1.0, 0.0), View.LAX_3C: (1.0, 0.0, 0.0), View.LAX_4C: (1.0, 0.0, 0.0)}
IMAGE_Y_OF: Final = {View.LAX_2C: (0.0, 0.0, -1.0), View.LAX_3C: (0.0, 0.0, -1.0), View.LAX_4C: (0.0, 1.0, 0.0)}
"""Which way of the patient goes right and down in each long-axis image, as scanners show it."""

PIVOT_SHARE: Final = 0.5
"""Share of the LV's length at which a tilted stack still meets the axis at right height."""


@dataclass(frozen=True, eq=False)
class HeartFrame:
    """Directions of the heart's axes in the patient, unit vectors, shape (3,)."""

    x: FloatArray
    y: FloatArray
    z: FloatArray

    @classmethod
    def of(cls, p: HeartParameters) -> HeartFrame:
        """Frame of a heart that is turned about its axis by ``rotation_deg``."""
        turn = np.deg2rad(p.rotation_deg)
        c, s = np.cos(turn), np.sin(turn)
        return cls(c * IMAGE_RIGHT + s * IMAGE_DOWN, c * IMAGE_DOWN - s * IMAGE_RIGHT, TOWARDS_APEX)

    def to_patient(self, x: float, y: float, z: float) -> FloatArray:
        """Place in the patient, mm, shape (3,)."""
        return np.asarray(x * self.x + y * self.y + z * self.z)


@dataclass(frozen=True, eq=False)
class Camera:
    """Positions of all pixels of one plane, mm; arrays of shape (y, x).

    ``x_mm, y_mm, z_mm, r_mm, theta`` are in the heart's frame, ``lps_mm`` (3, y, x) in the patient's.
    ``height_mm`` is the place along the LV axis if the plane lies square to it, else None.
    """

    x_mm: FloatArray
    y_mm: FloatArray
    z_mm: FloatArray
    r_mm: FloatArray
    theta: FloatArray
    lps_mm: FloatArray
    pixel_mm: float
    height_mm: float | None

    @classmethod
    def on(cls, plane: Plane, rows: int, columns: int, frame: HeartFrame, offset_mm: float = 0.0) -> Camera:
        """Camera on a plane, or on one that lies ``offset_mm`` farther along its normal."""
        normal = np.cross(plane.x_direction, plane.y_direction)
        if normal @ frame.z < 0:
            normal = -normal
        row, column = np.mgrid[:rows, :columns].astype(np.float64)
        lps = (
            (plane.origin_mm + offset_mm * normal)[:, None, None]
            + plane.x_direction[:, None, None] * (column * plane.spacing_mm[1])
            + plane.y_direction[:, None, None] * (row * plane.spacing_mm[0])
        )
        x, y, z = (np.tensordot(axis, lps, axes=1) for axis in (frame.x, frame.y, frame.z))
        square = abs(abs(float(normal @ frame.z)) - 1) < 1e-9
        return cls(
            x, y, z, np.hypot(x, y), np.arctan2(y, x), lps, plane.spacing_mm[0], float(z[0, 0]) if square else None
        )

    def inside(self, distance_mm: FloatArray) -> FloatArray:
        """Share of each pixel that lies inside a border; ``distance_mm`` is positive inside, measured in the plane."""
        return np.asarray(np.clip(distance_mm / self.pixel_mm + 0.5, 0.0, 1.0))

    def in_plane(self, distance_mm: FloatArray) -> FloatArray:
        """Distance within the plane from a border, from any smooth function that is 0 on it and positive inside."""
        along_y, along_x = np.gradient(distance_mm, self.pixel_mm)
        return np.asarray(distance_mm / np.maximum(np.hypot(along_x, along_y), 0.2))


def short_axis_planes(p: HeartParameters, frame: HeartFrame) -> tuple[Plane, ...]:
    """Planes of the stack, base first."""
    tilt, towards = np.deg2rad(p.tilt_deg), np.deg2rad(p.tilt_towards_deg)
    across = np.cos(towards) * frame.x + np.sin(towards) * frame.y
    normal = np.cos(tilt) * frame.z + np.sin(tilt) * across
    right = IMAGE_RIGHT - (IMAGE_RIGHT @ normal) * normal
    right /= np.linalg.norm(right)
    down = np.cross(right, normal)
    pivot = PIVOT_SHARE * p.cavity_axes_mm[1]
    spacing = (p.pixel_spacing_mm, p.pixel_spacing_mm)
    # The LV's axis meets the image a little right of its middle, since the RV lies left of it.
    to_corner = -(p.columns / 2 + 6) * p.pixel_spacing_mm * right - p.rows / 2 * p.pixel_spacing_mm * down
    heights = p.first_slice_mm + p.slice_step_mm * np.arange(p.n_slices)
    return tuple(
        Plane(pivot * frame.z + (z - pivot) * normal + to_corner, right, down, spacing) for z in heights.tolist()
    )


def long_axis_plane(view: View, p: HeartParameters, frame: HeartFrame) -> Plane:
    """Plane of a long-axis view: it holds the LV's axis, and the image shows what scanners show where."""
    angle = np.deg2rad(LONG_AXIS_ANGLES_DEG[view])
    across = np.cos(angle) * frame.x + np.sin(angle) * frame.y
    down = _within(np.array(IMAGE_Y_OF[view]), frame.z, across)
    right = np.cross(np.cross(frame.z, across), down)
    if right @ np.array(IMAGE_X_OF[view]) < 0:
        right = -right
    centre = 0.25 * p.cavity_axes_mm[1] * frame.z
    spacing = (p.pixel_spacing_mm, p.pixel_spacing_mm)
    corner = centre - p.columns / 2 * p.pixel_spacing_mm * right - p.rows / 2 * p.pixel_spacing_mm * down
    return Plane(corner, right, down, spacing)


def _within(direction: NDArray[np.float64], a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the unit vector nearest to a direction within the plane of two that are square to each other."""
    found = (direction @ a) * a + (direction @ b) * b
    return np.asarray(found / np.linalg.norm(found))
