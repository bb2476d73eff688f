"""Outlines of both ventricles in one plane: random ones, or cut from a heart of the phantom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.phantom.beat import Beat
from cinema_core.phantom.drawing import ANGLES, Grid, Image

FARTHEST_MM: Final = 110.0
"""Beyond this from the LV axis nothing is cut: of 60 random hearts none reaches farther than 101 mm."""


@dataclass(frozen=True, eq=False)
class Heart:
    """Radius of the outlines in mm in the direction of each pixel, shape (y, x); 0 where there is no heart."""

    cavity: Image
    epicardium: Image
    rv: Image

    @classmethod
    def of_tables(cls, cavity: Image, epicardium: Image, rv: Image, grid: Grid) -> Heart:
        """Heart of outlines given at each angle, shape (ANGLES,)."""
        k = grid.angle_index
        return cls(cavity[k], epicardium[k], rv[k])

    @property
    def radius(self) -> float:
        """Radius of a circle of the cavity's size."""
        inside = self.cavity[self.cavity > 0]
        return float(np.median(inside)) if inside.size else 0.0

    def scaled(self, cavity: float, muscle: float, rv: float) -> Heart:
        """Return the neighbouring plane: the same heart a little wider or narrower."""
        inner = self.cavity * np.float32(cavity)
        outer = inner + (self.epicardium - self.cavity) * np.float32(muscle)
        return Heart(inner, outer, outer + (self.rv - self.epicardium) * np.float32(rv))

    def with_less_rv(self, share: float) -> Heart:
        """Return the heart with an RV of so much of its depth; below 1.5 mm there is none."""
        depth = (self.rv - self.epicardium) * np.float32(share)
        return Heart(self.cavity, self.epicardium, self.epicardium + np.where(depth > 1.5, depth, 0))


def random_heart(level: str, grid: Grid, rng: np.random.Generator, *, emptied: bool) -> Heart:
    """Random outlines of cavity, epicardium and RV free wall."""
    kind = "filled" if emptied else rng.choice(["healthy", "dilated", "thick", "emptied"], p=[0.4, 0.2, 0.18, 0.22])
    radius, wall = {
        "healthy": (rng.uniform(18, 29), rng.uniform(5.5, 12)),
        "dilated": (rng.uniform(27, 42), rng.uniform(3.5, 10)),
        "thick": (rng.uniform(9, 25), rng.uniform(11, 23)),
        "emptied": (rng.uniform(8, 20), rng.uniform(8, 18)),
        **({"filled": (rng.uniform(6, 17), rng.uniform(9, 22))} if emptied else {}),
    }[str(kind)]
    if level == "apex":
        radius *= rng.uniform(0.12, 0.75)
        wall *= rng.uniform(0.6, 1.1)
    elif level == "base":
        wall *= rng.uniform(0.7, 1.0)

    septum = _from_septum()
    shared = outline(rng, 0.045)
    if rng.random() < 0.25:  # a septum flattened by pressure or volume of the RV
        shared *= 1 - np.float32(rng.uniform(0.05, 0.35)) * np.exp(-((septum / np.float32(0.75)) ** 2))
    cavity = np.float32(radius) * shared * outline(rng, 0.025, 2, 8)
    thickness = np.float32(wall) * outline(rng, rng.uniform(0.05, 0.2), 1, 4)
    if rng.random() < 0.2:  # asymmetric hypertrophy or a thinned scar, anywhere
        where = np.angle(np.exp(1j * (septum - rng.uniform(-np.pi, np.pi))))
        bump = np.exp(-((where / rng.uniform(0.4, 0.9)) ** 2))
        thickness *= np.asarray(1 + rng.uniform(-0.55, 0.9) * bump, dtype=np.float32)
    thickness = np.maximum(thickness, 2.5)
    epicardium = cavity + thickness
    return Heart.of_tables(cavity, epicardium, epicardium + _rv_depth(level, septum, rng), grid)


def _rv_depth(level: str, septum: Image, rng: np.random.Generator) -> Image:
    """How far the RV bulges from the epicardium at each angle."""
    if level == "apex" and rng.random() < 0.3:
        return np.zeros_like(septum)
    widest = {"base": (18, 58), "middle": (12, 58), "apex": (4, 34)}[level]
    depth = np.exp(rng.uniform(np.log(widest[0]), np.log(widest[1])))
    front, back = np.deg2rad(rng.uniform(45, 105)), np.deg2rad(rng.uniform(40, 95))
    if level == "apex":
        front, back = front * 0.8, back * 0.8
    u = np.where(septum > 0, septum / front, septum / back) - rng.uniform(-0.15, 0.15)
    u = np.clip(np.abs(u), 0, 1)
    round_, pointed = (1 - u**2) ** rng.uniform(0.45, 1.1), (1 - u) ** rng.uniform(0.6, 1.0)
    share = rng.beta(1, 2)
    profile = (1 - share) * round_ + share * pointed
    # A bulge at either end of the crescent: the acute margin below, the outflow tract in front.
    for side in (-1.0, 1.0):
        size = rng.uniform(-0.3, 0.45)
        profile = profile * (1 + size * np.exp(-(((septum - side * 0.8) / 0.5) ** 2)))
    bulge = np.float32(depth) * profile.astype(np.float32) * outline(rng, 0.04, 2, 8)
    return np.asarray(np.where(bulge > 1.5, bulge, 0), dtype=np.float32)


def cut_heart(beat: Beat, grid: Grid, z: float, lean: Image | None, uneven: Image) -> Heart:
    """Outlines of a plane at height z, tilted by ``lean`` (mm at each pixel)."""
    if lean is None:
        angles: NDArray[np.float64] = (np.arange(ANGLES, dtype=np.float64) + 0.5) * (2 * np.pi / ANGLES)
        cavity, epicardium, rv = (np.asarray(table, np.float32) for table in beat.surfaces_mm(0, angles, z))
        heart = Heart.of_tables(cavity, epicardium, rv, grid)
    else:
        near = grid.r < FARTHEST_MM
        radii = beat.surfaces_mm(0, grid.theta[near].astype(np.float64), z + lean[near].astype(np.float64))
        heart = Heart(*(_spread(near, radius) for radius in radii))
    return Heart(heart.cavity * uneven, heart.epicardium * uneven, heart.rv * uneven)


def _spread(where: NDArray[np.bool_], values: NDArray[np.float64]) -> Image:
    """Values of some pixels as an image that is 0 elsewhere."""
    image = np.zeros(where.shape, dtype=np.float32)
    image[where] = values
    return image


def valve_opening(heart: Heart, grid: Grid, towards: float, rng: np.random.Generator) -> Image:
    """At the base part of the ring is outflow tract or mitral valve: the blood reaches the epicardium there."""
    where = np.angle(np.exp(1j * (_from_septum() - towards)))
    width = rng.uniform(0.3, 0.8)
    share = np.asarray(1 / (1 + np.exp((np.abs(where) - width) / 0.06)), dtype=np.float32)[grid.angle_index]
    reach = (heart.epicardium - heart.cavity) * rng.uniform(0.6, 1.0) - rng.uniform(0.0, 2.0)
    return np.asarray(np.maximum(reach, 0) * share, dtype=np.float32)


def outline(rng: np.random.Generator, amplitude: float, lowest: int = 2, highest: int = 6) -> Image:
    """Factor around 1 at each angle, rougher terms smaller; shape (ANGLES,)."""
    theta = np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)
    factor = np.ones(ANGLES, dtype=np.float32)
    for k in range(lowest, highest + 1):
        size = amplitude * rng.standard_normal() * (lowest / k) ** 1.2
        factor += np.float32(size) * np.cos(k * theta + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.clip(factor, 0.5, 1.6)


def _from_septum() -> Image:
    """Angle from the middle of the septum, -pi to pi, positive towards the front; shape (ANGLES,)."""
    theta = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
    return np.asarray(theta - np.pi, dtype=np.float32)
