"""The beating ventricles as surfaces in space and time, with their volumes.

Coordinates are millimetres in the heart's own frame: ``z`` along the LV long axis, 0 at the mitral plane of
end-diastole and growing towards the apex; ``r`` and ``theta`` about that axis, ``theta`` 0 towards the lateral
wall, 90 degrees towards the inferior, 180 the septal and 270 the anterior wall. Every surface is a radius
``r(theta, z)`` at each phase, so any plane through the heart, short-axis or long-axis, can be cut from it.

At end-diastole the LV cavity and the epicardium are truncated ellipsoids of a not quite round outline. A
point of the muscle keeps its angle and its share of the length, while the base descends. At each angle and
height the ring of muscle keeps its volume, so the wall thickens where, and only where, it moves inwards.
How far it moves inwards is one number per phase, which follows from the volume that is asked for.

The RV is the space between the epicardium and a free wall that bulges from it.
Volumes are integrals by Gauss-Legendre quadrature; where a closed form exists they equal it to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
from scipy.interpolate import PchipInterpolator

from cinema_core.errors import InputError
from cinema_core.phantom.anatomy import Anatomy, FloatArray
from cinema_core.phantom.parameters import HeartParameters, epicardial_ml, shortening_of

TRICUSPID_TRAVEL: Final = 1.3
"""The tricuspid annulus travels farther than the mitral one."""

LEAST_RING: Final = 0.02
"""Share of its end-diastolic area that every ring of the cavity keeps at least."""

Z_NODES: Final = 48
THETA_NODES: Final = 240


@dataclass(frozen=True, eq=False)
class Beat:
    """Shape of the heart at every phase; arrays have shape (t,)."""

    anatomy: Anatomy
    emptied: FloatArray
    """How far the ventricles have emptied, 0 at end-diastole, 1 at end-systole."""
    local_emptied: tuple[FloatArray, FloatArray, FloatArray]
    """The same of the septum, between, and of the lateral wall: apart if the heart is dyssynchronous."""
    base_z_mm: FloatArray
    rv_base_z_mm: FloatArray
    squeeze: FloatArray
    """By how much a contracting ring of the cavity has lost area, relative to how far its wall has got."""
    rv_depth_mm: FloatArray
    lv_ml: FloatArray
    rv_ml: FloatArray
    myo_ml: FloatArray

    @property
    def apex_z_mm(self) -> float:
        """Tip of the LV cavity; it keeps its place while the base descends."""
        return self.anatomy.length_mm

    @property
    def tip_z_mm(self) -> float:
        """Tip of the epicardium at end-diastole; in systole it is not farther."""
        return self.anatomy.tip_height * self.anatomy.length_mm

    @cached_property
    def reach_mm(self) -> float:
        """Largest distance of any ventricle from the LV axis over the beat."""
        theta, z = np.meshgrid(_around(72), np.linspace(0, self.tip_z_mm, 25), indexing="ij")
        return max(float(self.surfaces_mm(t, theta, z)[2].max()) for t in range(len(self.emptied)))

    @property
    def stretch(self) -> FloatArray:
        """Length of the cavity at each phase over that at end-diastole, shape (t,)."""
        return np.asarray(1 - self.base_z_mm / self.anatomy.length_mm)

    def cavity_mm(self, t: int, theta: FloatArray, z: FloatArray | float) -> FloatArray:
        """Radius of the LV cavity; 0 above the mitral plane and beyond the tip.

        Parameters
        ----------
        t
            Phase.
        theta, z
            Angle (radians) and place along the axis (mm); they broadcast.
        """
        height = self._height(t, z)
        square = self._cavity_square(t, theta, height)
        return np.asarray(np.where(height >= 0, np.sqrt(square), 0.0))

    def epicardium_mm(self, t: int, theta: FloatArray, z: FloatArray | float) -> FloatArray:
        """Radius of the LV epicardium; 0 above the mitral plane and beyond the tip."""
        height = self._height(t, z)
        muscle = self.anatomy.muscle_square(theta, height) / self.stretch[t]
        return np.asarray(np.where(height >= 0, np.sqrt(self._cavity_square(t, theta, height) + muscle), 0.0))

    def surfaces_mm(
        self, t: int, theta: FloatArray, z: FloatArray | float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Radius of the LV cavity, of the epicardium, and of the inside of the RV free wall.

        Where there is no RV the last is that of the epicardium; above the mitral plane and beyond the tip all are 0.
        """
        epicardium = self.epicardium_mm(t, theta, z)
        rv = np.asarray(epicardium + self.rv_depth_at_mm(t, theta, z))
        return self.cavity_mm(t, theta, z), epicardium, rv

    def rv_depth_at_mm(self, t: int, theta: FloatArray, z: FloatArray | float) -> FloatArray:
        """Distance from the epicardium to the inside of the RV free wall; 0 where there is no RV."""
        tip = rv_tip_z_mm(self.apex_z_mm)
        height = (np.asarray(z, dtype=np.float64) - self.rv_base_z_mm[t]) / (tip - self.rv_base_z_mm[t])
        return np.asarray(self.rv_depth_mm[t] * self.anatomy.rv_profile(theta, height))

    def areas_mm2(self, t: int, z: float) -> tuple[float, float, float]:
        """Areas of RV cavity, LV myocardium and LV cavity in the plane at height z."""
        theta = _around(720)
        share = 2 * np.pi / len(theta)
        cavity, epicardium, rv = (radius**2 for radius in self.surfaces_mm(t, theta, z))
        return (
            float(0.5 * share * (rv - epicardium).sum()),
            float(0.5 * share * (epicardium - cavity).sum()),
            float(0.5 * share * cavity.sum()),
        )

    def _height(self, t: int, z: FloatArray | float) -> FloatArray:
        return np.asarray(
            (np.asarray(z, dtype=np.float64) - self.base_z_mm[t]) / (self.anatomy.length_mm - self.base_z_mm[t])
        )

    def _cavity_square(self, t: int, theta: FloatArray, height: FloatArray) -> FloatArray:
        return np.asarray(self.anatomy.cavity_square(theta, height) * self._ring_share(t, theta, height))

    def _ring_share(self, t: int, theta: FloatArray, height: FloatArray) -> FloatArray:
        """r^2 of the cavity over that at end-diastole."""
        healthy, passive = _shares(self.anatomy, theta, height, float(self.stretch[t]))
        local = _local(theta, *(float(part[t]) for part in self.local_emptied))
        return np.asarray(healthy * (1 - self.squeeze[t] * local) + passive)


def _local(theta: FloatArray, septum: float, between: float, lateral: float) -> FloatArray:
    """How far the wall has got at each angle, smooth around the ring, its mean ``between``-ish."""
    if septum == lateral == between:
        return np.full_like(theta, between)
    cosine = np.cos(theta)
    return np.asarray(
        between
        + 0.5 * (lateral - septum) * cosine
        + (0.5 * (lateral + septum) - between) * cosine**2  # meets all three at 180, 90 and 0 degrees
    )


def _shares(
    anatomy: Anatomy, theta: FloatArray, height: FloatArray, stretch: float
) -> tuple[FloatArray | float, FloatArray | float]:
    """Share of a ring that contracts, and the relative r^2 of its infarcted rest, which keeps its thickness."""
    if not anatomy.infarct_segments:
        return 1.0, 0.0
    infarct = anatomy.infarct(theta, height)
    inner_square = anatomy.cavity_square(theta, height)
    inner = np.sqrt(inner_square)
    wall = np.sqrt(inner_square + anatomy.muscle_square(theta, height)) - inner
    # A scar neither thickens nor thins: as the length falls, it is stretched around the ring.
    radius = (inner + wall / 2) / stretch - wall / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        passive = np.where(inner > 0.2, (radius / np.maximum(inner, 0.2)) ** 2, 1.0)
    return np.asarray(1 - infarct), np.asarray(infarct * np.minimum(passive, 1.5))


@cache
def _gauss_nodes() -> tuple[FloatArray, FloatArray]:
    """Places from -1 to 1 and weights of Gauss's rule; a training slice needs them three times."""
    nodes, weights = np.polynomial.legendre.leggauss(Z_NODES)
    return np.asarray(nodes), np.asarray(weights)


def _around(n: int) -> FloatArray:
    """Angles of the trapezoid rule over the circle, which is exact for what is smooth and periodic."""
    return np.asarray((np.arange(n) + 0.5) * (2 * np.pi / n))


def rv_tip_z_mm(apex_z_mm: float) -> float:
    """Height of the RV's tip: the apex of the heart belongs to the LV."""
    return 0.93 * apex_z_mm


def contraction(at: FloatArray, end_systole: float) -> FloatArray:
    """How far the ventricle has emptied: 0 at end-diastole, 1 at end-systole.

    Parameters
    ----------
    at
        Times as shares of the RR interval, 0 to 1.
    end_systole
        When it is emptiest, as such a share.
    """
    es, rest = end_systole, 1 - end_systole
    # Ejection, rapid filling, diastasis, atrial kick; monotone pieces keep ED and ES the only extremes.
    time = np.array([0.0, 0.12 * es, 0.5 * es, 0.85 * es, es, es + 0.1 * rest, es + 0.35 * rest, es + 0.72 * rest, 1.0])
    emptied = np.array([0.0, 0.03, 0.55, 0.95, 1.0, 0.93, 0.36, 0.24, 0.0])
    return np.asarray(np.clip(PchipInterpolator(time, emptied)(at), 0.0, 1.0))


def beat_of(parameters: HeartParameters, rng: np.random.Generator, at: FloatArray | None = None) -> Beat:
    """Heart whose volumes are those asked for, at every phase.

    Parameters
    ----------
    parameters
        Volumes and wall.
    rng
        Draws the outline's departure from a circle.
    at
        Times of the phases as shares of the RR interval; None: ``n_phases`` of equal length from end-diastole on.

    Raises
    ------
    InputError
        If the healthy part of an infarcted or dyssynchronous heart cannot eject what is asked for.
    """
    p = parameters
    at = np.arange(p.n_phases) / p.n_phases if at is None else at
    es = p.es_phase / p.n_phases
    late = p.dyssynchrony_ms / p.rr_ms
    emptied = contraction(at, es)
    local = (emptied, emptied, emptied)
    if late:
        local = (contraction(at, es - late / 2), emptied, contraction(at, es + late / 2))
    lv_ml = p.lv_edv_ml - emptied * (p.lv_edv_ml - p.lv_esv_ml)
    rv_ml = p.rv_edv_ml - emptied * (p.rv_edv_ml - p.rv_esv_ml)
    length = p.cavity_axes_mm[1]
    descent = length * shortening_of(p) * emptied
    anatomy = _anatomy_of(p, rng)

    beat = Beat(
        anatomy=anatomy,
        emptied=emptied,
        local_emptied=local,
        base_z_mm=descent,
        rv_base_z_mm=TRICUSPID_TRAVEL * descent,
        squeeze=np.zeros_like(emptied),
        rv_depth_mm=np.zeros_like(emptied),
        lv_ml=lv_ml,
        rv_ml=rv_ml,
        myo_ml=np.full_like(emptied, _muscle_ml(anatomy)),
    )
    grid = _Quadrature.over(anatomy)
    beat.squeeze[:] = [_squeeze_for(beat, t, grid) for t in range(len(emptied))]
    _refuse_what_cannot_eject(beat, p, grid)
    beat.rv_depth_mm[:] = [_rv_depth_for(beat, t) for t in range(len(emptied))]
    return beat


def _anatomy_of(p: HeartParameters, rng: np.random.Generator) -> Anatomy:
    radius, length = p.cavity_axes_mm
    wall = p.ed_wall_mm
    outline = (
        (2, float(rng.uniform(0.0, 0.05)), float(rng.uniform(0, 2 * np.pi))),
        (3, float(rng.uniform(0.0, 0.025)), float(rng.uniform(0, 2 * np.pi))),
    )
    shape: dict[str, float] = {
        "radius_mm": radius,
        "length_mm": length,
        "wall_mm": wall,
        "septal_flattening": p.septal_flattening,
        "septum_to_lateral": p.septum_to_lateral,
        "rv_reach": p.rv_reach,
    }
    even = Anatomy(**shape, outline=outline, infarct_segments=(), infarct_thinning=0.0)
    # An uneven wall has the mass of the even one; only a scar has lost some.
    scale = (epicardial_ml(radius, length, wall) - p.lv_edv_ml) / _muscle_ml(even)
    return Anatomy(
        **shape,
        outline=outline,
        infarct_segments=tuple(p.infarct_segments),
        infarct_thinning=p.infarct_thinning,
        muscle_scale=scale,
    )


@dataclass(frozen=True, eq=False)
class _Quadrature:
    """Places within the LV cavity and the volume that each stands for at end-diastole, ml; shape (height, theta)."""

    theta: FloatArray
    height: FloatArray
    volume_ml: FloatArray

    @classmethod
    def over(cls, anatomy: Anatomy) -> _Quadrature:
        nodes, weights = _gauss_nodes()
        height = ((nodes + 1) / 2)[:, None]
        theta = _around(THETA_NODES)[None, :]
        weight = (weights / 2)[:, None] * (2 * np.pi / THETA_NODES) * anatomy.length_mm / 1000
        return cls(theta, height, np.asarray(0.5 * weight * anatomy.cavity_square(theta, height)))


def _muscle_ml(anatomy: Anatomy) -> float:
    """Volume of the LV muscle; the cavity's tip divides the range, for the integrand has a corner there."""
    nodes, weights = _gauss_nodes()
    theta = _around(THETA_NODES)[None, :]
    total = 0.0
    for low, high in ((0.0, 1.0), (1.0, anatomy.tip_height)):
        # Substituting h = high - u^2 smooths the square root at the far end.
        span = np.sqrt(high - low)
        u = (nodes + 1) / 2 * span
        height = (high - u**2)[:, None]
        weight = (weights / 2 * span * 2 * u)[:, None]
        total += float(np.sum(weight * anatomy.muscle_square(theta, height)))
    return 0.5 * total * (2 * np.pi / THETA_NODES) * anatomy.length_mm / 1000


def _squeeze_for(beat: Beat, t: int, grid: _Quadrature) -> float:
    """How far contracting rings must have emptied for the cavity to hold its volume at phase t."""
    stretch = float(beat.stretch[t])
    healthy, passive = _shares(beat.anatomy, grid.theta, grid.height, stretch)
    local = _local(grid.theta, *(float(part[t]) for part in beat.local_emptied))
    full = stretch * float(np.sum(grid.volume_ml * (healthy + passive)))
    by_unit = stretch * float(np.sum(grid.volume_ml * healthy * local))
    excess = full - float(beat.lv_ml[t])
    return excess / by_unit if by_unit > 1e-9 * full else 0.0


def _refuse_what_cannot_eject(beat: Beat, p: HeartParameters, grid: _Quadrature) -> None:
    for t in range(len(beat.emptied)):
        share = beat._ring_share(t, grid.theta, grid.height)
        if float(np.min(share)) < LEAST_RING:
            raise InputError(
                f"This heart cannot be made: with {len(p.infarct_segments)} infarcted segments and a dyssynchrony of "
                f"{p.dyssynchrony_ms:g} ms the muscle that is left cannot reach an ejection fraction of "
                f"{p.lv_ef_pct:g} %; give a lower one or a smaller infarct."
            )


def _rv_depth_for(beat: Beat, t: int) -> float:
    """Depth that gives the RV its volume at phase t."""
    nodes, weights = _gauss_nodes()
    theta = _around(THETA_NODES)[None, :]
    bottom, top = float(beat.rv_base_z_mm[t]), rv_tip_z_mm(beat.apex_z_mm)
    # The profile ends like a square root at the tip: substituting smooths it.
    u = (nodes + 1) / 2
    height = (1 - u**2)[:, None]
    z = bottom + height * (top - bottom)
    measure = (weights / 2 * 2 * u)[:, None] * (top - bottom) / 1000 * (2 * np.pi / THETA_NODES)
    profile = beat.anatomy.rv_profile(theta, height)
    inner = beat.epicardium_mm(t, theta, z)
    # Volume = depth * linear + depth^2 * square, since an RV column has area (outer^2 - inner^2) / 2.
    linear, square = float(np.sum(measure * inner * profile)), float(np.sum(measure * profile**2) / 2)
    volume = float(beat.rv_ml[t])
    return float((-linear + np.sqrt(linear**2 + 4 * square * volume)) / (2 * square))
