"""What lies around the ventricles and is not to be labelled: atria, great vessels, pulmonary veins.

All are blood in a thin wall, placed in the heart's own frame (see :mod:`cinema_core.phantom.beat`). They hang on
the valve planes and move with them; the atria are largest when the ventricles are smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.phantom.beat import Beat

Points = NDArray[np.floating]
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Chamber:
    """Ellipsoid of blood; lengths in mm."""

    name: str
    centre: Place
    radii: Place
    wall_mm: float
    blood: float
    """Signal relative to that of the LV's blood."""

    def depth_mm(self, x: Points, y: Points, z: Points) -> Points:
        """Distance from the border, positive inside; exact enough near it."""
        scaled = (
            ((x - self.centre[0]) / self.radii[0]) ** 2
            + ((y - self.centre[1]) / self.radii[1]) ** 2
            + ((z - self.centre[2]) / self.radii[2]) ** 2
        )
        return np.asarray((1 - np.sqrt(scaled)) * min(self.radii))


@dataclass(frozen=True)
class Vessel:
    """Tube along a line of points; lengths in mm."""

    name: str
    points: Sequence[Place]
    radius_mm: float
    wall_mm: float
    blood: float

    def depth_mm(self, x: Points, y: Points, z: Points) -> Points:
        """Distance from the border, positive inside."""
        best: Points | None = None
        for (ax, ay, az), (bx, by, bz) in zip(self.points[:-1], self.points[1:], strict=True):
            dx, dy, dz = bx - ax, by - ay, bz - az
            along = ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz)
            along = np.clip(along, 0, 1)
            square = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + (z - az - along * dz) ** 2
            best = square if best is None else np.minimum(best, square)
        assert best is not None  # a line has two points at least
        return np.asarray(self.radius_mm - np.sqrt(best))


Neighbour = Chamber | Vessel


def neighbours_of(beat: Beat, t: int, rng: np.random.Generator | None = None) -> tuple[Neighbour, ...]:
    """Everything that hangs on the valve planes at phase t, farthest from the viewer first.

    Parameters
    ----------
    beat
        The ventricles.
    t
        Phase.
    rng
        Varies places and sizes; None: the usual ones. The same state gives the same neighbours at every phase.
    """

    def vary(spread: float) -> float:
        return 1.0 if rng is None else float(np.exp(rng.normal(0, spread)))

    def shift(spread: float) -> float:
        return 0.0 if rng is None else float(rng.normal(0, spread))

    base, rv_base = float(beat.base_z_mm[t]), float(beat.rv_base_z_mm[t])
    size = beat.anatomy.radius_mm
    filled = float(beat.emptied[t])
    la = vary(0.18)
    la_height = (26 + 4 * filled) * la
    la_across = size * (0.98 + 0.06 * filled) * la
    left_atrium = Chamber(
        "left atrium",
        (4 + shift(4), 6 + shift(4), base - 0.78 * la_height),
        (la_across, 0.85 * la_across, la_height),
        2.0,
        0.92 * vary(0.06),
    )
    ra = vary(0.18)
    ra_height = (24 + 4 * filled) * ra
    right_atrium = Chamber(
        "right atrium",
        (-1.95 * size + shift(4), 12 + shift(4), rv_base - 0.78 * ra_height),
        (0.85 * size * ra, 0.95 * size * ra, ra_height),
        1.8,
        0.88 * vary(0.08),
    )
    wide = 13.5 * vary(0.12)
    ax, ay = -7 + shift(3), -13 + shift(3)
    aorta = Vessel(
        "aortic root",
        ((ax, ay, base + 4), (ax - 7, ay - 1, base - 26), (ax - 16, ay + 6, base - 62)),
        wide,
        1.8,
        0.95 * vary(0.06),
    )
    out_x, out_y = -0.85 * size + shift(4), -1.5 * size + shift(4)
    pulmonary = Vessel(
        "pulmonary trunk",
        ((out_x, out_y, rv_base + 6), (out_x + 9, out_y - 5, rv_base - 22), (out_x + 24, out_y + 6, rv_base - 52)),
        13.0 * vary(0.12),
        1.8,
        0.9 * vary(0.08),
    )
    cx, cy, cz = left_atrium.centre
    veins = tuple(
        Vessel("pulmonary vein", ((cx, cy, cz), (cx + dx, cy + dy, cz + dz)), 6.0 * vary(0.15), 1.0, 0.9)
        for dx, dy, dz in ((42.0, 18.0, -14.0), (-34.0, 30.0, -20.0))
    )
    return (*veins, right_atrium, left_atrium, pulmonary, aorta)
