"""The beating biventricular heart as surfaces in space and time, with its volumes.

Coordinates are millimetres: ``z`` along the LV long axis, 0 at the mitral plane of end-diastole and
growing towards the apex; in a short-axis plane ``r`` and ``theta`` are taken about the LV axis, with
``theta`` 0 to the lateral wall (image right) and growing clockwise as the image is seen (y points down).

The LV cavity and the epicardium are truncated ellipsoids. Their outline is not a circle:
``r(theta)^2 = rho^2 (1 + sum a_k cos(k theta + p_k))`` has the area of a circle of radius ``rho``
whatever the small ``a_k``, so the volumes stay those of the ellipsoids, in closed form.
The muscle keeps its volume through the beat, so the wall thickens as the cavity empties.
The RV is the space between the epicardium and a free wall that bulges from it; its volume is a smooth
integral, taken by Gauss-Legendre quadrature to about 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from cinema_core.phantom.parameters import (
    BASE_BEYOND_EQUATOR,
    HeartParameters,
    cavity_axes_mm,
    truncated_ellipsoid_ml,
)

FloatArray = NDArray[np.float64]

APICAL_WALL: Final = 0.7
"""Wall at the apex relative to mid-ventricle; it is the thinnest place of the LV."""

LONGITUDINAL_SHARE: Final = 0.24
"""Shortening of the LV length per unit of ejection fraction: 14 % at an EF of 58 %."""

RV_INFERIOR_REACH_DEG: Final = 76.0
RV_ANTERIOR_REACH_DEG: Final = 80.0
"""How far round the LV the RV reaches from the middle of the septum, at the base."""

RV_OUTFLOW_REACH_DEG: Final = 24.0
"""What the outflow tract adds to the anterior reach at the base."""


@dataclass(frozen=True, eq=False)
class Beat:
    """Shape of the heart at every phase; arrays have shape (t,)."""

    cavity_radius_mm: FloatArray
    cavity_long_mm: FloatArray
    beyond_mm: FloatArray
    wall_mm: FloatArray
    base_z_mm: FloatArray
    rv_base_z_mm: FloatArray
    rv_depth_mm: FloatArray
    outline: tuple[tuple[int, float, float], ...]
    lv_ml: FloatArray
    rv_ml: FloatArray
    myo_ml: FloatArray

    @property
    def apex_z_mm(self) -> float:
        """Tip of the LV cavity; it keeps its place while the base descends."""
        return float(self.base_z_mm[0] + self.beyond_mm[0] + self.cavity_long_mm[0])

    def outline_factor(self, theta: FloatArray) -> FloatArray:
        """How much farther than a circle of equal area the outline lies at each angle."""
        square = np.ones_like(theta)
        for k, amplitude, phase in self.outline:
            square += amplitude * np.cos(k * theta + phase)
        return np.asarray(np.sqrt(square))

    def cavity_rho_mm(self, t: int, z: float) -> float:
        """Radius of the circle that has the area of the LV cavity at height z; 0 where there is none."""
        return self._rho(t, z, self.cavity_radius_mm[t], self.cavity_long_mm[t])

    def epicardium_rho_mm(self, t: int, z: float) -> float:
        """Radius of the circle that has the area inside the epicardium at height z; 0 where there is none."""
        wall = self.wall_mm[t]
        return self._rho(t, z, self.cavity_radius_mm[t] + wall, self.cavity_long_mm[t] + APICAL_WALL * wall)

    def _rho(self, t: int, z: float, short: float, long: float) -> float:
        if z < self.base_z_mm[t]:
            return 0.0
        from_centre = z - self.base_z_mm[t] - self.beyond_mm[t]
        return float(short * np.sqrt(max(0.0, 1 - (from_centre / long) ** 2)))

    def rv_depth_at_mm(self, t: int, z: float, theta: FloatArray) -> FloatArray:
        """Distance from the epicardium to the inside of the RV free wall; 0 where there is no RV."""
        depth = rv_profile(self._rv_height(t, z), theta)
        return np.asarray(self.rv_depth_mm[t] * depth)

    def _rv_height(self, t: int, z: float) -> float:
        """0 at the tricuspid plane, 1 at the tip of the RV; outside 0..1 there is no RV."""
        tip = rv_tip_z_mm(self.apex_z_mm)
        return float((z - self.rv_base_z_mm[t]) / (tip - self.rv_base_z_mm[t]))

    def areas_mm2(self, t: int, z: float) -> tuple[float, float, float]:
        """Areas of RV cavity, LV myocardium and LV cavity in the plane at height z."""
        cavity, epicardium = self.cavity_rho_mm(t, z), self.epicardium_rho_mm(t, z)
        theta, weights = _around(400)
        inner = epicardium * self.outline_factor(theta)
        outer = inner + self.rv_depth_at_mm(t, z, theta)
        rv = 0.5 * float(np.sum(weights * (outer**2 - inner**2)))
        return rv, float(np.pi * (epicardium**2 - cavity**2)), float(np.pi * cavity**2)


@cache
def _around(n: int) -> tuple[FloatArray, FloatArray]:
    """Angles and weights of a Gauss-Legendre rule over the circle."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return np.pi * nodes, np.pi * weights


def rv_tip_z_mm(apex_z_mm: float) -> float:
    """Height of the RV's tip: the apex of the heart belongs to the LV."""
    return 0.93 * apex_z_mm


def rv_profile(height: float, theta: FloatArray) -> FloatArray:
    """RV depth over its largest depth, at one height between base (0) and tip (1)."""
    if not 0 <= height <= 1:
        return np.zeros_like(theta)
    from_septum = np.mod(theta, 2 * np.pi) - np.pi  # positive: anterior (image top)
    outflow = RV_OUTFLOW_REACH_DEG * np.exp(-height / 0.18)
    narrowing = 1 - 0.35 * height
    anterior = np.deg2rad(RV_ANTERIOR_REACH_DEG * narrowing + outflow)
    inferior = np.deg2rad(RV_INFERIOR_REACH_DEG * narrowing)
    u = from_septum / np.where(from_septum > 0, anterior, inferior)
    across = np.where(np.abs(u) < 1, (1 - np.minimum(u * u, 1.0)) ** 0.8, 0.0)
    # Fullest a little below the tricuspid plane, then tapering to the tip.
    along = np.sqrt(max(0.0, 1 - height**1.8)) * (0.88 + 0.12 * np.sin(np.pi * min(1.0, 0.25 + height)))
    return np.asarray(across * along)


def contraction(n_phases: int, es_phase: int) -> FloatArray:
    """How far the ventricle has emptied at each phase: 0 at end-diastole, 1 at end-systole; shape (t,)."""
    es = es_phase / n_phases
    rest = 1 - es
    # Ejection, rapid filling, diastasis, atrial kick; monotone pieces keep ED and ES the only extremes.
    time = np.array([0.0, 0.12 * es, 0.5 * es, 0.85 * es, es, es + 0.1 * rest, es + 0.35 * rest, es + 0.72 * rest, 1.0])
    emptied = np.array([0.0, 0.03, 0.55, 0.95, 1.0, 0.93, 0.36, 0.24, 0.0])
    curve = PchipInterpolator(time, emptied)(np.arange(n_phases) / n_phases)
    return np.asarray(np.clip(curve, 0.0, 1.0))


def beat_of(parameters: HeartParameters, rng: np.random.Generator) -> Beat:
    """Heart whose volumes are those asked for, at every phase.

    Parameters
    ----------
    parameters
        Volumes and wall.
    rng
        Draws the outline's departure from a circle.
    """
    emptied = contraction(parameters.n_phases, parameters.es_phase)
    lv_ml = parameters.lv_edv_ml - emptied * (parameters.lv_edv_ml - parameters.lv_esv_ml)
    rv_ml = parameters.rv_edv_ml - emptied * (parameters.rv_edv_ml - parameters.rv_esv_ml)

    radius_ed, length_ed = cavity_axes_mm(parameters.lv_edv_ml)
    descent = length_ed * LONGITUDINAL_SHARE * parameters.lv_ef_pct / 100 * emptied
    length = length_ed - descent
    long = length / (1 + BASE_BEYOND_EQUATOR)
    beyond = BASE_BEYOND_EQUATOR * long
    unit_ml = np.array([truncated_ellipsoid_ml(1.0, c, h) for c, h in zip(long, beyond, strict=True)])
    radius = np.sqrt(lv_ml / unit_ml)

    myo_ml = _epicardial_ml(radius_ed, long[0], beyond[0], parameters.wall_mm) - parameters.lv_edv_ml
    wall = np.array([_wall_for(myo_ml + v, a, c, h) for v, a, c, h in zip(lv_ml, radius, long, beyond, strict=True)])
    # The tricuspid annulus travels farther than the mitral one.
    rv_base = 1.3 * descent
    outline = (
        (2, float(rng.uniform(0.0, 0.05)), float(rng.uniform(0, 2 * np.pi))),
        (3, float(rng.uniform(0.0, 0.025)), float(rng.uniform(0, 2 * np.pi))),
    )
    beat = Beat(
        cavity_radius_mm=radius,
        cavity_long_mm=long,
        beyond_mm=beyond,
        wall_mm=wall,
        base_z_mm=descent,
        rv_base_z_mm=rv_base,
        rv_depth_mm=np.zeros_like(radius),
        outline=outline,
        lv_ml=lv_ml,
        rv_ml=rv_ml,
        myo_ml=np.full_like(lv_ml, myo_ml),
    )
    beat.rv_depth_mm[:] = [_rv_depth_for(beat, t) for t in range(parameters.n_phases)]
    return beat


def _epicardial_ml(radius: float, long: float, beyond: float, wall: float) -> float:
    """Volume inside the epicardium, cavity included."""
    return truncated_ellipsoid_ml(radius + wall, long + APICAL_WALL * wall, beyond)


def _wall_for(volume_ml: float, radius: float, long: float, beyond: float) -> float:
    """Wall thickness that encloses this volume of cavity and muscle."""
    low, high = 0.0, 80.0
    for _ in range(50):
        middle = (low + high) / 2
        if _epicardial_ml(radius, long, beyond, middle) < volume_ml:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _rv_depth_for(beat: Beat, t: int) -> float:
    """Depth that gives the RV its volume at phase t."""
    z_nodes, z_weights = np.polynomial.legendre.leggauss(48)
    theta, theta_weights = _around(240)
    bottom, top = float(beat.rv_base_z_mm[t]), rv_tip_z_mm(beat.apex_z_mm)
    outline = beat.outline_factor(theta)
    # Volume = depth * linear + depth^2 * square, since an RV column has area (outer^2 - inner^2) / 2.
    linear = square = 0.0
    for node, weight in zip(z_nodes, z_weights, strict=True):
        height = (node + 1) / 2
        z = bottom + height * (top - bottom)
        profile = rv_profile(height, theta)
        inner = beat.epicardium_rho_mm(t, z) * outline
        measure = weight * (top - bottom) / 2 / 1000
        linear += float(measure * np.sum(theta_weights * inner * profile))
        square += float(measure * np.sum(theta_weights * profile**2) / 2)
    volume = float(beat.rv_ml[t])
    return float((-linear + np.sqrt(linear**2 + 4 * square * volume)) / (2 * square))
