"""What the camera sees of the heart in one plane, short-axis or long-axis, and the truth there.

Each tissue is laid over what is behind it with an edge one pixel wide, so that pixels which a border
crosses hold a mixture, as in an image. Signal is relative to blood = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from cinema_core.anatomy import Structure
from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.beat import Beat
from cinema_core.phantom.camera import Camera
from cinema_core.phantom.chest import BLOOD, FAT, MUSCLE
from cinema_core.phantom.neighbours import neighbours_of

PAPILLARIES: Final = ((-0.75, 0.60, 0.17), (2.05, 0.60, 0.16))
"""Angle, distance and radius of the two papillary muscles, the last two relative to the cavity's radius."""

PAPILLARY_HEIGHTS: Final = (0.3, 0.75)
"""Between which shares of the LV's length they stand."""

RV_WALL_MM: Final = 3.0

TABLE_ANGLES: Final = 720

EDGE_PIXELS: Final = 3.0
"""Farther than this from a border its distance no longer matters."""


@dataclass(frozen=True, eq=False)
class Borders:
    """Radius about the LV axis of each surface in the direction of every pixel, mm; shape (y, x)."""

    cavity: FloatArray
    epicardium: FloatArray
    rv: FloatArray


def heart_borders(beat: Beat, camera: Camera, t: int) -> Borders:
    """Cut the surfaces of phase t by the camera's plane."""
    if camera.height_mm is None:
        near = (camera.r_mm < 1.05 * beat.reach_mm + 20) & (camera.z_mm > -1) & (camera.z_mm < beat.tip_z_mm + 1)
        radii = beat.surfaces_mm(t, camera.theta[near], camera.z_mm[near])
        images = [np.zeros(near.shape) for _ in radii]
        for image, radius in zip(images, radii, strict=True):
            image[near] = radius
        return Borders(*images)
    # Square to the axis one outline says it all; it is read off by angle.
    angles = np.linspace(-np.pi, np.pi, TABLE_ANGLES + 1)
    tables = beat.surfaces_mm(t, angles, camera.height_mm)
    return Borders(*(np.interp(camera.theta, angles, table) for table in tables))


def label_plane(beat: Beat, camera: Camera, t: int) -> NDArray[np.uint8]:
    """Truth at the pixel centres of the camera's plane; papillary muscles count as cavity."""
    borders = heart_borders(beat, camera, t)
    labels = np.zeros(camera.r_mm.shape, dtype=np.uint8)
    labels[camera.r_mm < borders.rv] = Structure.RV_CAVITY
    labels[camera.r_mm < borders.epicardium] = Structure.LV_MYOCARDIUM
    labels[camera.r_mm < borders.cavity] = Structure.LV_CAVITY
    return labels


def contours_of(beat: Beat, camera: Camera, t: int) -> dict[str, tuple[FloatArray, ...]]:
    """Borders as curves, in pixels.

    Returns
    -------
    ``lv_endocardium``, ``lv_epicardium`` and ``rv_endocardium``: closed curves of shape (n, 2) as (x, y), with whole
    numbers at pixel centres. Empty where the plane does not meet the structure.
    """
    borders, r = heart_borders(beat, camera, t), camera.r_mm
    fields = {
        "lv_endocardium": borders.cavity - r,
        "lv_epicardium": borders.epicardium - r,
        "rv_endocardium": np.where(
            borders.rv > borders.epicardium, np.minimum(borders.rv - r, r - borders.epicardium), -1.0
        ),
    }
    # A surface that ends at the valve plane drops to 0 there: a few mm say as much, and the curve keeps its place.
    return {
        name: tuple(curve[:, ::-1] for curve in find_contours(np.clip(field, -3, 3), 0.0) if len(curve) > 3)
        for name, field in fields.items()
    }


def draw_heart(image: FloatArray, beat: Beat, camera: Camera, t: int, bars: FloatArray, papillary_scale: float) -> None:
    """Draw the heart over the chest, in place."""
    r, oblique = camera.r_mm, camera.height_mm is None

    def lay(field_mm: FloatArray, signal: float | FloatArray, where: NDArray[np.bool_] | None = None) -> None:
        if oblique:
            # Surfaces end at the valve plane with a jump, which far from the border would look like one.
            far = EDGE_PIXELS * camera.pixel_mm
            field_mm = camera.in_plane(np.clip(field_mm, -far, far))
        cover = camera.inside(field_mm)
        if where is not None:
            cover = cover * where
        image[:] += cover * (signal - image)

    for neighbour in neighbours_of(beat, t):
        depth = np.asarray(neighbour.depth_mm(camera.x_mm, camera.y_mm, camera.z_mm), dtype=np.float64)
        lay(depth + neighbour.wall_mm, 0.8 * MUSCLE)
        lay(depth, BLOOD * neighbour.blood)
    borders = heart_borders(beat, camera, t)
    if borders.epicardium.max() <= 0 and borders.rv.max() <= 0:
        return
    there = borders.rv > 0
    has_rv = borders.rv > borders.epicardium + 0.3
    wall = np.where(has_rv, RV_WALL_MM, 0.0)
    fat = np.where(np.cos(camera.theta - 2.4) > 0.2, 3.5, 1.0)
    lay(borders.rv + wall + fat - r, 0.8 * FAT, there)
    lay(borders.rv + wall - r, MUSCLE, there)
    lay(borders.rv - r, BLOOD * (0.93 - 0.22 * bars), has_rv)
    lay(borders.epicardium - r, MUSCLE, borders.epicardium > 0)
    lay(borders.cavity - r, BLOOD, borders.cavity > 0)
    if papillary_scale > 0:
        for field in _papillaries(beat, camera, t, papillary_scale):
            lay(np.minimum(field, borders.cavity - r + 1), 1.15 * MUSCLE)


def _papillaries(beat: Beat, camera: Camera, t: int, scale: float) -> list[FloatArray]:
    """Two muscles in the middle third of the cavity, positive inside; they stay muscle while the blood leaves."""
    base, apex = float(beat.base_z_mm[t]), beat.apex_z_mm
    z = camera.z_mm
    relative = (z - base) / (apex - base)
    low, high = PAPILLARY_HEIGHTS
    within = np.clip((relative - low) / (high - low), 0, 1)
    if not ((within > 0) & (within < 1)).any():
        return []
    heights = np.linspace(base, apex, 64)
    found = []
    for angle, distance, radius in PAPILLARIES:
        rho = np.interp(z, heights, beat.cavity_mm(t, np.full(64, angle), heights))
        reach = scale * np.minimum(radius * beat.anatomy.radius_mm, 0.34 * rho)
        reach = reach * (0.5 + 0.5 * np.sin(np.pi * within))
        away = np.hypot(camera.x_mm - distance * rho * np.cos(angle), camera.y_mm - distance * rho * np.sin(angle))
        ends = np.minimum(relative - low, high - relative) * (apex - base)
        found.append(np.asarray(np.minimum(reach - away, ends)))
    return found


def trabeculae(camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Muscle bars that roughen the RV's blood: 0 to 1 at every pixel."""
    field = ndimage.gaussian_filter(rng.standard_normal(camera.r_mm.shape), 2.0 / camera.pixel_mm, mode="wrap")
    return np.asarray(np.clip(field / max(float(field.std()), 1e-9) - 0.8, 0, 1))


def coil_field(camera: Camera, slope: float, tilt: float) -> FloatArray:
    """Sensitivity of a surface coil on the chest: brighter in front."""
    left, back, _ = camera.lps_mm
    return np.asarray(np.exp(-slope * back - tilt * left))
