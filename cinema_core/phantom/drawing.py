"""What a training slice is drawn with: a plane of pixels, signals of tissues, soft edges and smooth random fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

Image = NDArray[np.float32]

SLICE_SIZE: Final = 128
"""Rows and columns of a training slice, as the bundled model takes it."""

PIXEL_MM: Final = 1.5
"""Side of its pixels. Cine pixels measure 1.2 to 1.8 mm, so finer ones would cost more and show no more."""

FIELD_MM: Final = SLICE_SIZE * PIXEL_MM
"""Side of a training slice."""

ANGLES: Final = 512
"""Outlines are drawn at this many angles and read off by table."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixel positions about the LV axis, in mm and in the heart's own (turned, perhaps mirrored) orientation."""

    x: Image
    y: Image
    r: Image
    theta: Image
    angle_index: NDArray[np.intp]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Grid:
        """Place the heart somewhere about the middle, turned and now and then mirrored."""
        # The finder of the heart may be off by some 3 cm, and a reader's window too.
        reach = 35 * np.sqrt(rng.random())
        toward = rng.uniform(0, 2 * np.pi)
        centre = reach * np.array([np.sin(toward), np.cos(toward)])
        # Files store images in any orientation, so every turn and mirror image is met; the usual one more often.
        turn = rng.normal(0, 0.5) if rng.random() < 0.4 else rng.uniform(0, 2 * np.pi)
        axis = axis_mm()
        dy, dx = (axis - np.float32(centre[0]))[:, None], (axis - np.float32(centre[1]))[None, :]
        if rng.random() < 0.4:
            dy = -dy
        x = (np.cos(turn) * dx + np.sin(turn) * dy).astype(np.float32)
        y = (-np.sin(turn) * dx + np.cos(turn) * dy).astype(np.float32)
        theta = np.arctan2(y, x)
        index = np.floor(theta * (ANGLES / (2 * np.pi))).astype(np.intp) % ANGLES
        return cls(x, y, np.hypot(x, y), theta, index)

    def ellipse(self, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Image:
        """Signed distance to an ellipse in mm, positive inside; exact enough near the border."""
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        scaled = np.hypot((c * dx + s * dy) / np.float32(rx), (c * dy - s * dx) / np.float32(ry))
        return (1 - scaled) * np.float32(min(rx, ry))


@dataclass(frozen=True)
class Contrast:
    """Signal of each tissue in this slice."""

    blood: float
    rv_blood: float
    muscle: float
    fat: float
    lung: float
    organ: float
    rv_wall: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Contrast:
        """Draw signals of which one thing is sure: blood is nearly always brighter than muscle."""
        blood = rng.uniform(0.55, 1.0)
        # Blood is brighter than muscle in every cine; how much differs, and rarely it is the other way round.
        muscle = blood * (rng.uniform(1.2, 2.0) if rng.random() < 0.02 else rng.uniform(0.12, 0.72))
        return cls(
            blood=blood,
            rv_blood=blood * rng.uniform(0.75, 1.15),
            muscle=muscle,
            fat=blood * rng.uniform(0.4, 1.8),
            lung=muscle * rng.uniform(0.0, 0.6),
            organ=muscle * rng.uniform(0.4, 1.9),
            rv_wall=muscle * rng.uniform(0.7, 1.3),
        )


def lay(image: Image, distance: Image, signal: float | Image) -> None:
    """Lay a tissue over the image where ``distance`` (mm) is positive, with an edge one pixel wide."""
    cover = np.clip(distance * np.float32(1 / PIXEL_MM) + np.float32(0.5), 0, 1)
    image += cover * (np.asarray(signal, dtype=np.float32) - image)


def axis_mm() -> Image:
    """Positions of the pixels of a row or column, 0 in the middle; shape (SLICE_SIZE,)."""
    return np.asarray((np.arange(SLICE_SIZE) - (SLICE_SIZE - 1) / 2) * PIXEL_MM, dtype=np.float32)


@cache
def _spline_basis(n: int) -> Image:
    """Cubic B-splines that spread ``n`` coefficients over the image; shape (SLICE_SIZE, n)."""
    knots = np.arange(-3, n + 1, dtype=np.float64)
    at = np.linspace(0, n - 3 - 1e-6, SLICE_SIZE)
    return np.asarray(BSpline.design_matrix(at, knots, 3).toarray(), dtype=np.float32)


def smooth_field(rng: np.random.Generator, scale_mm: float) -> Image:
    """Random field of about unit deviation whose features measure ``scale_mm``; shape of a slice."""
    n = max(4, int(FIELD_MM / scale_mm) + 3)
    basis = _spline_basis(n)
    field = basis @ rng.standard_normal((n, n), dtype=np.float32) @ basis.T
    return np.asarray(field / np.float32(0.48))  # 0.48: a cubic B-spline field of white coefficients
