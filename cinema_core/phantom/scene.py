"""What the camera sees: the heart in one plane, and the chest around it.

Each tissue is laid over what is behind it with an edge one pixel wide, so that pixels which a border
crosses hold a mixture, as in an image. Signal is relative to blood = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import Structure
from cinema_core.phantom.beat import Beat, FloatArray

BLOOD: Final = 1.0
MUSCLE: Final = 0.32
"""Balanced SSFP at 1.5 T shows blood about three times as bright as heart muscle."""
FAT: Final = 0.95
LUNG: Final = 0.06
LIVER: Final = 0.36
SKELETAL_MUSCLE: Final = 0.22

PAPILLARIES: Final = ((-0.75, 0.60, 0.17), (2.05, 0.60, 0.16))
"""Angle, distance and radius of the two papillary muscles, the last two relative to the cavity's radius."""

RV_WALL_MM: Final = 3.0


@dataclass(frozen=True, eq=False)
class Camera:
    """Positions of all pixels relative to the LV axis, in the heart's own orientation; shape (y, x)."""

    x_mm: FloatArray
    y_mm: FloatArray
    r_mm: FloatArray
    theta: FloatArray
    pixel_mm: float
    image_x_mm: FloatArray
    image_y_mm: FloatArray

    @classmethod
    def looking_at(
        cls, rows: int, columns: int, pixel_mm: float, centre_yx: tuple[float, float], rotation_deg: float
    ) -> Camera:
        """Camera with the LV axis at ``centre_yx`` (pixels) and the heart turned by ``rotation_deg``."""
        y, x = np.mgrid[:rows, :columns].astype(np.float64)
        image_y, image_x = (y - centre_yx[0]) * pixel_mm, (x - centre_yx[1]) * pixel_mm
        turn = np.deg2rad(rotation_deg)
        x_mm = np.cos(turn) * image_x + np.sin(turn) * image_y
        y_mm = -np.sin(turn) * image_x + np.cos(turn) * image_y
        return cls(x_mm, y_mm, np.hypot(x_mm, y_mm), np.arctan2(y_mm, x_mm), pixel_mm, image_x, image_y)

    def inside(self, distance_mm: FloatArray) -> FloatArray:
        """Share of each pixel that lies inside a border; ``distance_mm`` is positive inside."""
        return np.asarray(np.clip(distance_mm / self.pixel_mm + 0.5, 0.0, 1.0))

    def blob(self, x: float, y: float, radius_x: float, radius_y: float | None = None) -> FloatArray:
        """Share of each pixel inside an ellipse given in heart coordinates."""
        radius_y = radius_x if radius_y is None else radius_y
        scaled = np.hypot((self.x_mm - x) / radius_x, (self.y_mm - y) / radius_y)
        return self.inside((1 - scaled) * min(radius_x, radius_y))


def lay(image: FloatArray, cover: FloatArray, signal: float | FloatArray) -> None:
    """Lay a tissue over the image, in place."""
    image += cover * (signal - image)


def heart_borders(beat: Beat, camera: Camera, t: int, z: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Radius of LV cavity, epicardium and inside of the RV free wall at every pixel's angle, in mm."""
    factor = beat.outline_factor(camera.theta)
    cavity = beat.cavity_rho_mm(t, z) * factor
    epicardium = beat.epicardium_rho_mm(t, z) * factor
    return cavity, epicardium, epicardium + beat.rv_depth_at_mm(t, z, camera.theta)


def label_plane(beat: Beat, camera: Camera, t: int, z: float) -> NDArray[np.uint8]:
    """Truth at the pixel centres of the plane at height z; papillary muscles count as cavity."""
    cavity, epicardium, rv = heart_borders(beat, camera, t, z)
    labels = np.zeros(camera.r_mm.shape, dtype=np.uint8)
    labels[camera.r_mm < rv] = Structure.RV_CAVITY
    labels[camera.r_mm < epicardium] = Structure.LV_MYOCARDIUM
    labels[camera.r_mm < cavity] = Structure.LV_CAVITY
    return labels


def draw_heart(image: FloatArray, beat: Beat, camera: Camera, t: int, z: float, trabeculae: FloatArray) -> None:
    """Draw the plane at height z over the chest, in place."""
    _draw_atria(image, beat, camera, t, z)
    cavity, epicardium, rv = heart_borders(beat, camera, t, z)
    if epicardium.max() <= 0:
        return
    has_rv = rv > epicardium + 0.3
    wall = np.where(has_rv, RV_WALL_MM, 0.0)
    fat = np.where(np.cos(camera.theta - 2.4) > 0.2, 3.5, 1.0)
    lay(image, camera.inside(rv + wall + fat - camera.r_mm), 0.8 * FAT)
    lay(image, camera.inside(rv + wall - camera.r_mm), MUSCLE)
    lay(image, camera.inside(rv - camera.r_mm) * has_rv, BLOOD * (0.93 - 0.22 * trabeculae))
    lay(image, camera.inside(epicardium - camera.r_mm), MUSCLE)
    lay(image, camera.inside(cavity - camera.r_mm), BLOOD)
    _draw_papillaries(image, beat, camera, t, z)


def _draw_papillaries(image: FloatArray, beat: Beat, camera: Camera, t: int, z: float) -> None:
    """Two muscles in the middle third of the cavity; they stay muscle while the blood leaves."""
    rho = beat.cavity_rho_mm(t, z)
    relative = (z - beat.base_z_mm[t]) / (beat.apex_z_mm - beat.base_z_mm[t])
    if rho <= 0 or not 0.3 < relative < 0.75:
        return
    size = float(np.sin(np.pi * (relative - 0.3) / 0.45))
    for angle, distance, radius in PAPILLARIES:
        reach = min(radius * beat.cavity_radius_mm[0], 0.34 * rho) * (0.5 + 0.5 * size)
        centre = distance * rho
        lay(image, camera.blob(centre * np.cos(angle), centre * np.sin(angle), reach), 1.15 * MUSCLE)


def _draw_atria(image: FloatArray, beat: Beat, camera: Camera, t: int, z: float) -> None:
    """Left atrium, aortic root, right atrium and outflow above the valves: blood, but no ventricle."""
    base, rv_base = float(beat.base_z_mm[t]), float(beat.rv_base_z_mm[t])
    size = float(beat.cavity_radius_mm[0])
    if z < base:
        depth = min(1.0, 0.65 + (base - z) / 40)
        for cover_mm, signal in ((2.5, 0.75 * MUSCLE), (0.0, 0.9 * BLOOD)):
            lay(image, camera.blob(6, 9, 1.0 * size * depth + cover_mm, 0.72 * size * depth + cover_mm), signal)
            lay(image, camera.blob(-9, -15, 13 + cover_mm), signal)
    if z < rv_base:
        for cover_mm, signal in ((2.0, 0.75 * MUSCLE), (0.0, 0.85 * BLOOD)):
            lay(image, camera.blob(-1.55 * size, 10, 0.85 * size + cover_mm, 0.95 * size + cover_mm), signal)
            lay(image, camera.blob(-24, -1.35 * size, 14 + cover_mm, 12 + cover_mm), signal)


def draw_chest(camera: Camera, z: float, heart_mm: float, rng: np.random.Generator) -> FloatArray:
    """Chest without the heart: skin, fat, muscle and ribs, lungs with vessels, liver, stomach, aorta.

    Parameters
    ----------
    camera
        Where the pixels are; the chest does not turn with the heart.
    z
        Height of the plane; the diaphragm rises towards the apex.
    heart_mm
        Radius that the heart takes up; the chest wall keeps clear of it.
    rng
        Must be in the same state for every slice, so that the slices belong to one chest.
    """
    x, y, inside = camera.image_x_mm, camera.image_y_mm, camera.inside
    shape = x.shape
    waves = [_texture(shape, 14 / camera.pixel_mm, rng) for _ in range(3)]
    grain = _texture(shape, 2.2 / camera.pixel_mm, rng)
    image = np.full(shape, 0.01)

    # Chest wall: skin at the top left, running down on both sides.
    top = -(heart_mm + 52) + 4 * waves[0]
    along = x + 25
    skin = y - top - 0.0020 * along**2 - 0.25 * along
    lay(image, inside(skin), FAT * (0.9 + 0.1 * grain))
    lay(image, inside(skin - 15 - 5 * waves[1]), SKELETAL_MUSCLE * (1 + 0.25 * grain))
    ribs = (np.sin(along / 9.5 + 1.5 * waves[2]) > 0.35) & (skin > 22) & (skin < 29)
    image[ribs] = 0.55 * FAT
    chest = inside(skin - 32)
    lay(image, chest, LUNG * (1 + 0.4 * grain))
    vessels = np.clip(_texture(shape, 2.0 / camera.pixel_mm, rng) - 2.1, 0, 1) * 1.2
    image += chest * vessels

    # Mediastinal fat on the right of the heart, then the organs under the diaphragm.
    lay(image, chest * inside(-x - 0.75 * heart_mm - 6 * waves[0] + 0.2 * y), 0.5 * FAT * (0.8 + 0.2 * waves[1]))
    dome = y - (0.62 * heart_mm + 16 - 0.10 * z) - 0.0016 * (x + 20) ** 2 - 3 * waves[1]
    lay(image, inside(dome + 3), 0.7 * FAT)
    liver_vessels = np.clip(_texture(shape, 3.0 / camera.pixel_mm, rng) - 1.5, 0, 1)
    lay(image, inside(dome), LIVER * (1 + 0.08 * grain) + 0.4 * liver_vessels)
    stomach = np.hypot((x - 46 - 8 * waves[2]) / 40, (y - heart_mm - 42) / 26)
    lay(image, inside((1.12 - stomach) * 26), 0.6 * FAT)
    lay(image, inside((1 - stomach) * 26), 0.2 + 0.1 * waves[0])
    for aorta_mm, signal in ((13.0, 0.7 * MUSCLE), (11.0, 0.9 * BLOOD)):
        lay(image, inside(aorta_mm - np.hypot(x - 8, y - heart_mm - 52)), signal)
    return image


def _texture(shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator) -> FloatArray:
    """Smooth noise of unit standard deviation."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma_px, mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-9))


def trabeculae(camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Muscle bars that roughen the RV's blood: 0 to 1 at every pixel."""
    return np.asarray(np.clip(_texture(camera.r_mm.shape, 2.0 / camera.pixel_mm, rng) - 0.8, 0, 1))


def coil_field(camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Sensitivity of a surface coil on the chest: brighter at the top of the image."""
    slope = rng.uniform(0.0022, 0.0042)
    tilt = rng.uniform(-0.0015, 0.0015)
    return np.asarray(np.exp(-slope * camera.image_y_mm - tilt * camera.image_x_mm))
