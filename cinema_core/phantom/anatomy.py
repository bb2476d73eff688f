"""The ventricles at end-diastole: outline, wall, infarct and the reach of the RV, in the frame of the beat.

See :mod:`cinema_core.phantom.beat` for the frame and for what these shapes do during a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.phantom.parameters import APICAL_WALL, BASE_BEYOND_EQUATOR

FloatArray = NDArray[np.float64]

RV_INFERIOR_REACH_DEG: Final = 76.0
RV_ANTERIOR_REACH_DEG: Final = 80.0
"""How far round the LV the RV reaches from the middle of the septum, at the base."""

RV_OUTFLOW_REACH_DEG: Final = 24.0
"""What the outflow tract adds to the anterior reach at the base."""

SEGMENT_CENTRES_DEG: Final = {
    **{base + i: angle for base in (1, 7) for i, angle in enumerate((270, 210, 150, 90, 30, 330))},
    **dict(zip((13, 14, 15, 16), (270, 180, 90, 0), strict=True)),
}
"""Middle of each AHA segment around the ring; segment 17 is the tip and has none."""

SEGMENT_HEIGHTS: Final = {"basal": (-0.05, 0.35), "mid": (0.35, 0.68), "apical": (0.68, 0.95), "tip": (0.95, 9.0)}
"""Where each ring of segments lies, as shares of the cavity's length from the mitral plane."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What a heart looks like at end-diastole and how its parts take part in the beat.

    Functions of the angle and of ``height``, the share of the cavity's length from the mitral plane (0) to the tip of
    the cavity (1); the epicardium goes on to ``tip_height``.
    """

    radius_mm: float
    length_mm: float
    wall_mm: float
    outline: tuple[tuple[int, float, float], ...]
    septal_flattening: float
    septum_to_lateral: float
    infarct_segments: tuple[int, ...]
    infarct_thinning: float
    rv_reach: float
    muscle_scale: float = 1.0

    @property
    def long_mm(self) -> float:
        """Long half-axis of the ellipsoid that the cavity is cut from."""
        return self.length_mm / (1 + BASE_BEYOND_EQUATOR)

    @property
    def tip_height(self) -> float:
        """Height of the epicardium's tip."""
        return 1 + APICAL_WALL * self.wall_mm / self.length_mm

    def outline_square(self, theta: FloatArray) -> FloatArray:
        """Square of how much farther than a circle the outline lies at each angle; its mean is 1, so areas stay."""
        square = np.ones_like(theta)
        for k, amplitude, phase in self.outline:
            square += amplitude * np.cos(k * theta + phase)
        if self.septal_flattening:
            dent = np.exp(3.5 * (np.cos(theta - np.pi) - 1))
            mean = np.exp(-3.5) * np.i0(3.5)
            square -= 1.9 * self.septal_flattening * (dent - mean)
        return square

    def cavity_square(self, theta: FloatArray, height: FloatArray) -> FloatArray:
        """r^2 of the cavity at end-diastole, mm^2; 0 beyond its tip."""
        return self._ring_square(height, self.radius_mm, self.long_mm) * self.outline_square(theta)

    def muscle_square(self, theta: FloatArray, height: FloatArray) -> FloatArray:
        """r^2 of the epicardium less that of the cavity at end-diastole, mm^2."""
        inner = np.sqrt(self._ring_square(height, self.radius_mm, self.long_mm))
        outer = np.sqrt(
            self._ring_square(height, self.radius_mm + self.wall_mm, self.long_mm + APICAL_WALL * self.wall_mm)
        )
        thick = (outer - inner) * self._wall_share(theta, height)
        square = (2 * inner + thick) * thick * self.outline_square(theta) * self.muscle_scale
        if self.infarct_segments and self.infarct_thinning:
            square = square * (1 - self.infarct_thinning * self.infarct(theta, height))
        return np.asarray(square)

    def infarct(self, theta: FloatArray, height: FloatArray) -> FloatArray:
        """1 in the middle of infarcted segments, 0 in healthy muscle, smooth between."""
        theta, height = np.broadcast_arrays(theta, height)
        found = np.zeros(theta.shape)
        for segment in self.infarct_segments:
            name = "basal" if segment <= 6 else "mid" if segment <= 12 else "apical" if segment <= 16 else "tip"
            low, high = SEGMENT_HEIGHTS[name]
            inside = _smooth_step((height - low) / 0.12) * _smooth_step((high - height) / 0.12)
            if segment in SEGMENT_CENTRES_DEG:
                half = np.deg2rad(45 if name == "apical" else 30)
                away = np.abs(np.angle(np.exp(1j * (theta - np.deg2rad(SEGMENT_CENTRES_DEG[segment])))))
                inside = inside * _smooth_step((half - away) / np.deg2rad(20))
            found = found + inside
        return np.asarray(np.minimum(found, 1.0))

    def rv_profile(self, theta: FloatArray, height: FloatArray) -> FloatArray:
        """RV depth over its largest depth; ``height`` is 0 at the tricuspid plane and 1 at the tip of the RV."""
        inside = (height >= 0) & (height <= 1)
        height = np.clip(height, 0, 1)
        from_septum = np.mod(theta, 2 * np.pi) - np.pi  # positive: anterior
        outflow = RV_OUTFLOW_REACH_DEG * np.exp(-height / 0.18)
        narrowing = (1 - 0.35 * height) * self.rv_reach
        anterior = np.deg2rad(RV_ANTERIOR_REACH_DEG * narrowing + outflow)
        inferior = np.deg2rad(RV_INFERIOR_REACH_DEG * narrowing)
        u = from_septum / np.where(from_septum > 0, anterior, inferior)
        across = np.maximum(1 - u * u, 0.0) ** 0.8
        # Fullest a little below the tricuspid plane, then tapering to the tip.
        along = np.sqrt(1 - height**1.8) * (0.88 + 0.12 * np.sin(np.pi * np.minimum(1.0, 0.25 + height)))
        return np.asarray(np.where(inside, across * along, 0.0))

    def _ring_square(self, height: FloatArray, short: float, long: float) -> FloatArray:
        from_centre = height * self.length_mm - BASE_BEYOND_EQUATOR * self.long_mm
        return np.asarray(short**2 * np.maximum(1 - (from_centre / long) ** 2, 0.0))

    def _wall_share(self, theta: FloatArray, height: FloatArray) -> FloatArray | float:
        """Wall relative to the mean of its ring."""
        if self.septum_to_lateral == 1.0:
            return 1.0
        lateral = 2 / (1 + self.septum_to_lateral)
        septal = lateral * self.septum_to_lateral
        towards_apex = 0.5 * (1 + np.cos(np.pi * np.clip(height, 0, 1)))  # the tip is of one thickness
        share = lateral + (septal - lateral) * 0.5 * (1 - np.cos(theta))
        return np.asarray(1 + (share - 1) * towards_apex)


def _smooth_step(x: FloatArray) -> FloatArray:
    """0 well below 0, 1 well above, 1/2 at 0."""
    return np.asarray(0.5 * (1 + np.tanh(2 * x)))
