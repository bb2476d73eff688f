"""A synthetic study: the beating heart imaged slice by slice and along its axis, with its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine, Geometry, Patient, Plane, Timing, View
from cinema_core.errors import InputError
from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.beat import Beat, beat_of
from cinema_core.phantom.camera import (
    LONG_AXIS_ANGLES_DEG,
    Camera,
    HeartFrame,
    long_axis_plane,
    short_axis_planes,
)
from cinema_core.phantom.chest import Chest
from cinema_core.phantom.parameters import MUSCLE_G_PER_ML, HeartParameters
from cinema_core.phantom.scene import coil_field, contours_of, draw_heart, label_plane, trabeculae

BLOOD_SIGNAL: Final = 900.0
"""Stored value of blood at the image centre, as a scanner's 12 bits would hold it."""

LONG_AXIS: Final = (View.LAX_2C, View.LAX_3C, View.LAX_4C)


@dataclass(frozen=True, eq=False)
class PhantomView:
    """One cine of the heart whose truth is known.

    Attributes
    ----------
    cine
        The images, shape (t, z, y, x); a short-axis stack begins at the base, a long-axis view has one slice.
    labels
        Truth at the pixel centres of every plane, uint8, shape (t, z, y, x).
    landmarks_px
        Of a long-axis view, shape (t, 3, 2): the two insertions of the mitral valve and the tip of the LV cavity, as
        (x, y) with whole numbers at pixel centres. None for the short axis.
    """

    cine: Cine
    labels: NDArray[np.uint8]
    landmarks_px: FloatArray | None
    _beat: Beat = field(repr=False)
    _frame: HeartFrame = field(repr=False)

    def contours(self, t: int, z: int) -> dict[str, tuple[FloatArray, ...]]:
        """Borders in one slice at one phase, see :func:`cinema_core.phantom.scene.contours_of`."""
        rows, columns = self.labels.shape[-2:]
        return contours_of(self._beat, Camera.on(self.cine.geometry.planes[z], rows, columns, self._frame), t)

    def in_heart(self, z: int, points_px: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Angle about the LV's axis and place along it (mm) of points (x, y) of a slice; each of shape (...)."""
        lps = self.cine.geometry.planes[z].to_world_mm(points_px[..., 1], points_px[..., 0])
        return np.arctan2(lps @ self._frame.y, lps @ self._frame.x), lps @ self._frame.z

    def base_mm(self, t: int) -> float:
        """Place of the mitral plane along the LV's axis."""
        return float(self._beat.base_z_mm[t])

    def rv_depth_mm(self, t: int, theta: FloatArray, z_mm: FloatArray) -> FloatArray:
        """Depth of the RV on the LV's epicardium, 0 where there is none; see :meth:`in_heart` for the places."""
        return self._beat.rv_depth_at_mm(t, theta, z_mm)


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """A heart whose truth is known, and its images.

    Attributes
    ----------
    sax
        The short-axis stack; ``cine`` and ``labels`` are its.
    long_axis
        The long-axis views that were asked for: planes of the same moving heart.
    lv_ml, rv_ml, myo_ml
        Volumes of the anatomy itself, shape (t,): as asked for; the muscle in closed form unless it is infarcted.
        A stack of slices sees them only as well as its step allows.
    lv_discs_ml, rv_discs_ml, myo_discs_ml
        What perfect contours on exactly these slices would sum to (area times slice step), shape (t,).
    parameters
        What was asked for.
    """

    sax: PhantomView
    long_axis: tuple[PhantomView, ...]
    lv_ml: FloatArray
    rv_ml: FloatArray
    myo_ml: FloatArray
    lv_discs_ml: FloatArray
    rv_discs_ml: FloatArray
    myo_discs_ml: FloatArray
    parameters: HeartParameters

    @property
    def cine(self) -> Cine:
        """Images of the short axis, shape (t, z, y, x)."""
        return self.sax.cine

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Truth of the short axis, shape (t, z, y, x)."""
        return self.sax.labels

    @property
    def views(self) -> tuple[PhantomView, ...]:
        """All cines, the short axis first."""
        return (self.sax, *self.long_axis)

    @property
    def lv_mass_g(self) -> float:
        """Mass of the LV muscle."""
        return float(self.myo_ml[0] * MUSCLE_G_PER_ML)


def make_phantom(
    parameters: HeartParameters | None = None, seed: int = 0, views: Sequence[View | str] = ()
) -> PhantomStudy:
    """Image a synthetic heart.

    Parameters
    ----------
    parameters
        Which heart and which stack; the defaults are a healthy adult.
    seed
        Everything that is left to chance: outline, chest, texture, noise. Same seed, same study.
    views
        Long-axis views to image as well, of :data:`LONG_AXIS`; the short-axis stack is always made and does not
        depend on them.

    Raises
    ------
    InputError
        If the image is too small for the heart, or a view is none of the long-axis ones.
    """
    p = parameters or HeartParameters()
    known = {view.value: view for view in LONG_AXIS_ANGLES_DEG}
    wanted = [views] if isinstance(views, str) else [str(view) for view in views]
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(f"A synthetic heart has the long-axis views {', '.join(known)}; it has no {unknown[0]!r}.")
    asked = tuple(known[name] for name in wanted)
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"The seed is {seed!r}; give a whole number from 0 on.")
    anatomy_seed, noise_seed, *view_seeds = np.random.SeedSequence(seed).spawn(2 + len(LONG_AXIS))
    anatomy_rng = np.random.default_rng(anatomy_seed)
    beat = beat_of(p, anatomy_rng)
    scanner = _Scanner(
        beat=beat,
        frame=HeartFrame.of(p),
        chest=Chest.draw(anatomy_rng),
        coil_slope=float(anatomy_rng.uniform(0.0022, 0.0042)),
        coil_tilt=float(anatomy_rng.uniform(-0.0015, 0.0015)),
        p=p,
    )
    stack = short_axis_planes(p, scanner.frame)
    sax = scanner.image(View.SAX, stack, np.random.default_rng(noise_seed))
    long_axis = tuple(
        scanner.image(
            view,
            (long_axis_plane(view, p, scanner.frame),),
            np.random.default_rng(view_seeds[LONG_AXIS.index(view)]),
        )
        for view in asked
    )
    rv, myo, lv = _disc_areas_mm2(beat, stack, scanner.frame).sum(axis=1).T * p.slice_step_mm / 1000
    return PhantomStudy(sax, long_axis, beat.lv_ml, beat.rv_ml, beat.myo_ml, lv, rv, myo, parameters=p)


@dataclass(frozen=True, eq=False)
class _Scanner:
    beat: Beat
    frame: HeartFrame
    chest: Chest
    coil_slope: float
    coil_tilt: float
    p: HeartParameters

    def image(self, view: View, planes: tuple[Plane, ...], rng: np.random.Generator) -> PhantomView:
        """Image every phase of some planes; each slice is an average over its thickness."""
        p = self.p
        labels = np.empty((p.n_phases, len(planes), p.rows, p.columns), dtype=np.uint8)
        pixels = np.empty(labels.shape, dtype=np.int16)
        for k, plane in enumerate(planes):
            middle = Camera.on(plane, p.rows, p.columns, self.frame)
            shares = (np.arange(n_layers := self._n_layers(middle)) + 0.5) / n_layers - 0.5
            layers = [
                Camera.on(plane, p.rows, p.columns, self.frame, share * p.slice_thickness_mm)
                for share in shares.tolist()
            ]
            bars = trabeculae(middle, rng)
            chest = self.chest.seen_by(middle)
            coil = coil_field(middle, self.coil_slope, self.coil_tilt)
            for t in range(p.n_phases):
                labels[t, k] = label_plane(self.beat, middle, t)
                total = np.zeros_like(chest)
                for layer in layers:
                    seen = chest.copy()
                    draw_heart(seen, self.beat, layer, t, bars, p.papillary_scale)
                    total += seen
                pixels[t, k] = _expose(total / len(layers) * coil, p.noise, rng)
        _refuse_cut_heart(labels, p)
        cine = Cine(
            id=view.value,
            pixels=pixels,
            geometry=Geometry(planes, single_slice_step_mm=p.slice_step_mm),
            view=view,
            view_confidence=1.0,
            timing=Timing(
                trigger_ms=tuple(float(v) for v in np.arange(p.n_phases) * p.rr_ms / p.n_phases),
                rr_ms=(p.rr_ms,) * len(planes),
                order_rule="trigger time",
            ),
            patient=Patient(height_m=1.75, weight_kg=75.0),
        )
        landmarks = None if view is View.SAX else self._landmarks_px(view, planes[0])
        return PhantomView(cine, labels, landmarks, self.beat, self.frame)

    def _n_layers(self, middle: Camera) -> int:
        """Sheets that a slice is averaged of: more where what it shows changes fast through its thickness."""
        on_axis = middle.z_mm[middle.r_mm < self.beat.anatomy.radius_mm]  # of a long-axis view, all of the heart
        near_base = on_axis.size and on_axis.min() < float(self.beat.base_z_mm.max()) + self.p.slice_thickness_mm / 2
        return 7 if near_base else 3

    def _landmarks_px(self, view: View, plane: Plane) -> FloatArray:
        """Both ends of the mitral plane in the view, and the tip of the cavity; the septal or anterior end first."""
        angle = np.deg2rad(LONG_AXIS_ANGLES_DEG[view])
        if view is not View.LAX_4C:
            angle += np.pi  # 2C and 3C: the anterior and the anteroseptal end
        found = np.empty((self.p.n_phases, 3, 2))
        for t in range(self.p.n_phases):
            base = float(self.beat.base_z_mm[t])
            for i, at in enumerate((angle, angle + np.pi)):
                r = float(self.beat.cavity_mm(t, np.array([at]), base)[0])
                found[t, i] = _pixel_of(plane, self.frame.to_patient(r * np.cos(at), r * np.sin(at), base))
            found[t, 2] = _pixel_of(plane, self.frame.to_patient(0.0, 0.0, self.beat.apex_z_mm))
        return found


def _pixel_of(plane: Plane, lps_mm: FloatArray) -> tuple[float, float]:
    """Place (x, y) in the image of a point of its plane."""
    away = lps_mm - plane.origin_mm
    return float(away @ plane.x_direction / plane.spacing_mm[1]), float(away @ plane.y_direction / plane.spacing_mm[0])


def _expose(signal: FloatArray, noise: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Magnitude image with noise in both channels, stored as whole numbers."""
    real = signal + noise * rng.standard_normal(signal.shape)
    imaginary = noise * rng.standard_normal(signal.shape)
    return np.clip(BLOOD_SIGNAL * np.hypot(real, imaginary), 0, 32767).astype(np.int16)


def _refuse_cut_heart(labels: NDArray[np.uint8], p: HeartParameters) -> None:
    """Refuse a heart that reaches the border of its image: its volume would be cut."""
    edges = (labels[..., 0, :], labels[..., -1, :], labels[..., :, 0], labels[..., :, -1])
    if any(edge.any() for edge in edges):
        raise InputError(
            f"This heart is larger than its image of {p.columns * p.pixel_spacing_mm:.0f} x "
            f"{p.rows * p.pixel_spacing_mm:.0f} mm; give more rows and columns or a larger pixel spacing."
        )


def _disc_areas_mm2(beat: Beat, stack: tuple[Plane, ...], frame: HeartFrame) -> FloatArray:
    """Areas of RV cavity, LV muscle and LV cavity in every plane at every phase, shape (t, z, 3)."""
    n_phases = len(beat.emptied)
    areas = np.empty((n_phases, len(stack), 3))
    for k, plane in enumerate(stack):
        lean = np.array([plane.normal @ axis for axis in (frame.x, frame.y, frame.z)])
        on_axis = float(plane.origin_mm @ plane.normal / lean[2])
        for t in range(n_phases):
            if abs(abs(lean[2]) - 1) < 1e-9:
                areas[t, k] = beat.areas_mm2(t, on_axis)
            else:
                areas[t, k] = _tilted_areas_mm2(beat, t, on_axis, -lean[0] / lean[2], -lean[1] / lean[2])
    return areas


def _tilted_areas_mm2(beat: Beat, t: int, on_axis_mm: float, slope_x: float, slope_y: float) -> FloatArray:
    """Areas in a plane that does not lie square to the axis: a fine polar grid is counted.

    Partial rings, as a tilted plane meets them at the base, are counted like any other place.
    """
    n_theta, step = 360, 0.25
    angles: FloatArray = (np.arange(n_theta, dtype=np.float64) + 0.5) * (2 * np.pi / n_theta)
    theta, r = np.meshgrid(angles, np.arange(step / 2, 1.02 * beat.reach_mm + 2, step), indexing="ij")
    z = on_axis_mm + r * (slope_x * np.cos(theta) + slope_y * np.sin(theta))
    weight = r * step * (2 * np.pi / n_theta) * np.sqrt(1 + slope_x**2 + slope_y**2)
    in_lv, in_epicardium, in_all = (r < radius for radius in beat.surfaces_mm(t, theta, z))
    in_rv = in_all & ~in_epicardium
    return np.array([float(weight[mask].sum()) for mask in (in_rv, in_epicardium & ~in_lv, in_lv)])
