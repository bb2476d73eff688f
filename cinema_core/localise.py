"""Where the heart is, without labels: the heart is what beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.cine import Cine

SMOOTHING_MM: Final = 8.0
"""Blur of the motion map: wider than an edge that moves, narrower than a ventricle."""

CENTRAL_PRIOR: Final = 0.35
"""Standard deviation of the prior on the image centre, as a share of the image: the heart is planned centrally."""

HEART_RADIUS_MM: Final = 65.0
"""Half the width of both ventricles of a large adult heart."""

STILL: Final = 1e-6
"""A change below this share of the image's range is rounding."""


@dataclass(frozen=True)
class HeartRegion:
    """A disc that holds both ventricles on every slice.

    Attributes
    ----------
    centre_yx
        Native pixel coordinates.
    radius_mm
        Radius of the disc.
    confidence
        Share of all motion that lies inside it, 0 to 1; 0 where the cine does not move.
    """

    centre_yx: tuple[float, float]
    radius_mm: float
    confidence: float


def find_heart(cine: Cine) -> HeartRegion:
    """Find the heart by its motion over the cycle.

    The map of motion is the first harmonic of each pixel over the cycle (its spread where there are fewer than
    six phases), which keeps what beats once per cycle and drops noise; blurred, weighted towards the image
    centre, its peak draws the centre of mass of the motion around it. Without motion: the image centre.
    """
    _, _, rows, columns = cine.shape
    spacing = np.array(cine.geometry.pixel_spacing_mm)
    motion = _motion(cine)
    middle = np.array([(rows - 1) / 2, (columns - 1) / 2])
    if motion.max() < STILL:
        return HeartRegion((float(middle[0]), float(middle[1])), HEART_RADIUS_MM, 0.0)

    y, x = np.mgrid[:rows, :columns]
    size = np.array([rows, columns])
    distance = ((y - middle[0]) / size[0]) ** 2 + ((x - middle[1]) / size[1]) ** 2
    smooth = ndimage.gaussian_filter(motion, SMOOTHING_MM / spacing)
    weighted = smooth * np.exp(-distance / (2 * CENTRAL_PRIOR**2))
    centre = np.array(np.unravel_index(int(weighted.argmax()), weighted.shape), dtype=float)
    inside = np.ones_like(weighted, dtype=bool)
    for _ in range(10):  # mean shift: settles within a few rounds
        inside = ((y - centre[0]) * spacing[0]) ** 2 + ((x - centre[1]) * spacing[1]) ** 2 <= HEART_RADIUS_MM**2
        weights = np.where(inside, weighted, 0.0)
        centre = np.array([(weights * y).sum(), (weights * x).sum()]) / weights.sum()
    confidence = float(motion[inside].sum() / motion.sum())
    return HeartRegion((float(centre[0]), float(centre[1])), HEART_RADIUS_MM, confidence)


def _motion(cine: Cine) -> NDArray[np.float64]:
    """How much each pixel changes once per cycle, over all slices; shape (y, x)."""
    n_phases = cine.n_phases
    total = np.zeros(cine.shape[2:])
    if n_phases < 2:
        return total
    whole_cycle = n_phases >= 6 and not cine.phase_names
    wave = np.exp(-2j * np.pi * np.arange(n_phases) / n_phases)
    for z in range(cine.n_slices):
        pixels = cine.pixels[:, z].astype(np.float32)  # (t, y, x)
        low, high = np.percentile(pixels, (1, 99))
        if high <= low:
            continue
        pixels = np.clip((pixels - low) / (high - low), 0, 1)
        change = np.abs(np.tensordot(wave, pixels, axes=1)) / n_phases if whole_cycle else pixels.std(axis=0)
        # Slices beyond the heart only add noise: what moves little is cut.
        total += np.clip(change - np.percentile(change, 90), 0, None)
    return total
