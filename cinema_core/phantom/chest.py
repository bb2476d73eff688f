"""The chest around the heart, in the patient's axes: it stands still while the heart beats.

Skin, fat, muscle, ribs and spine, lungs with vessels, mediastinal fat, descending aorta, liver and stomach under the
diaphragm. Sizes are those of an adult; nothing of it is labelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.camera import Camera

BLOOD: Final = 1.0
MUSCLE: Final = 0.32
"""Balanced SSFP at 1.5 T shows blood about three times as bright as heart muscle."""
FAT: Final = 0.95
LUNG: Final = 0.06
LIVER: Final = 0.36
SKELETAL_MUSCLE: Final = 0.22
BONE: Final = 0.5

LATTICE: Final = 48
"""Nodes per side of a random field; it repeats after as many of its scale."""


@dataclass(frozen=True, eq=False)
class Field:
    """Smooth random values in space, of unit deviation, whose features measure ``scale_mm``."""

    nodes: FloatArray
    scale_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, scale_mm: float) -> Field:
        """Draw a field."""
        return cls(rng.standard_normal((LATTICE, LATTICE, LATTICE)), scale_mm)

    def at(self, lps_mm: FloatArray) -> FloatArray:
        """Values at places of shape (3, ...)."""
        # White nodes as coefficients of cubic B-splines have a deviation of 0.33 between them.
        values = ndimage.map_coordinates(
            self.nodes, np.mod(lps_mm / self.scale_mm, LATTICE), order=3, mode="grid-wrap", prefilter=False
        )
        return np.asarray(values / 0.33)


@dataclass(frozen=True, eq=False)
class Chest:
    """One person's chest."""

    waves: tuple[Field, Field, Field]
    grain: Field
    vessels: Field
    half_width_mm: float
    half_depth_mm: float
    fat_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Chest:
        """Draw a chest; the same state of ``rng`` gives the same one."""
        return cls(
            waves=(Field.draw(rng, 22), Field.draw(rng, 22), Field.draw(rng, 22)),
            grain=Field.draw(rng, 4.0),
            vessels=Field.draw(rng, 4.5),
            half_width_mm=float(rng.uniform(150, 178)),
            half_depth_mm=float(rng.uniform(104, 118)),
            fat_mm=float(rng.uniform(6, 20)),
        )

    def seen_by(self, camera: Camera) -> FloatArray:
        """Signal of the chest without the heart in the camera's plane, blood = 1; shape (y, x)."""
        left, back, up = camera.lps_mm
        waves = [field.at(camera.lps_mm) for field in self.waves]
        grain, vessels = self.grain.at(camera.lps_mm), self.vessels.at(camera.lps_mm)
        inside = camera.inside
        image = np.full(left.shape, 0.01)

        def lay(distance_mm: FloatArray, signal: float | FloatArray) -> None:
            cover = inside(distance_mm)
            image[:] += cover * (signal - image)

        # Depth under the skin of a trunk that is an ellipse across, its middle right of and behind the heart.
        middle_left, middle_back = -34.0, 26.0
        across = np.hypot((left - middle_left) / self.half_width_mm, (back - middle_back) / self.half_depth_mm)
        skin = (1 - across) * self.half_depth_mm + 2 * waves[0]
        lay(skin, FAT * (0.9 + 0.08 * grain))
        lay(skin - self.fat_mm - 3 * waves[1], SKELETAL_MUSCLE * (1 + 0.25 * grain))
        rib = np.sin((up + 0.35 * left) / 5.2 + 0.3 * waves[2])
        deep = skin - self.fat_mm
        lay(np.minimum(3.5 - np.abs(deep - 13), 4 * (rib - 0.1)), BONE * FAT)
        cavity = deep - 20
        lay(cavity, LUNG * (1 + 0.4 * grain))
        branches = inside(cavity) * np.clip(vessels - 1.9, 0, 1)
        image += 1.1 * branches

        # Mediastinum: fat around the heart and the great vessels, from the breastbone to the spine.
        fat = 44 - np.abs(left + 30 + 0.25 * back) + 5 * waves[0]
        lay(np.minimum(cavity, fat), 0.5 * FAT * (0.85 + 0.2 * waves[1]))
        spine = 21 - np.hypot((left + 34) * 0.95, back - 96)
        lay(spine + 5, SKELETAL_MUSCLE)
        disc = np.sin(up / 5.0)
        lay(spine, np.where(disc > 0.75, 0.25, BONE * (1 + 0.1 * grain)))
        lay(8 - np.hypot(left + 34, back - 122), 0.75)  # spinal canal
        for wall_mm, signal in ((2.0, 0.7 * MUSCLE), (0.0, 0.92 * BLOOD)):
            lay(11 + wall_mm - np.hypot(left + 10, back - 74), signal)

        # Diaphragm: the heart lies on it; liver below on the right, stomach on the left.
        dome = (-up - 52 - 0.22 * left + 0.16 * back) - 0.0012 * (left**2 + back**2) + 3 * waves[1]
        dome = np.minimum(dome, cavity)
        lay(dome + 3, 0.65 * FAT)
        tubes = np.clip(self.vessels.at(camera.lps_mm / 2.0) - 1.5, 0, 1)
        lay(dome, LIVER * (1 + 0.08 * grain) + 0.45 * tubes)
        stomach = np.sqrt(((left - 62) / 40) ** 2 + ((back - 8) / 46) ** 2 + ((up + 108) / 34) ** 2)
        lay(np.minimum(dome, (1.12 - stomach) * 34 + 2 * waves[2]), 0.6 * FAT)
        lay(np.minimum(dome, (1 - stomach) * 34 + 2 * waves[2]), 0.2 + 0.08 * waves[0])
        return np.maximum(image, 0.0)
