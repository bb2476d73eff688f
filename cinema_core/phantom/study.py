"""A synthetic study: the beating heart imaged slice by slice, with its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine, Geometry, Patient, Plane, Timing, View
from cinema_core.errors import InputError
from cinema_core.phantom.beat import Beat, FloatArray, beat_of
from cinema_core.phantom.parameters import HeartParameters
from cinema_core.phantom.scene import Camera, coil_field, draw_chest, draw_heart, label_plane, trabeculae

BLOOD_SIGNAL = 900.0
"""Stored value of blood at the image centre, as a scanner's 12 bits would hold it."""

# DICOM patient axes (LPS). The heart points to the left, forward and down; the short-axis image shows the
# lateral wall on the right and the inferior wall at the bottom.
TOWARDS_APEX = np.array([0.66, -0.55, -0.51]) / np.linalg.norm([0.66, -0.55, -0.51])
IMAGE_RIGHT = np.array([0.55, 0.66, 0.0]) / np.hypot(0.55, 0.66)
IMAGE_DOWN = np.cross(TOWARDS_APEX, IMAGE_RIGHT) * -1.0


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """A cine whose truth is known.

    Attributes
    ----------
    cine
        The images, shape (t, z, y, x), first slice at the base.
    labels
        Truth at the pixel centres of every plane, uint8, shape (t, z, y, x).
    lv_ml, rv_ml, myo_ml
        Volumes of the anatomy itself, shape (t,): closed form for LV and muscle, quadrature (1e-5) for the RV.
        A stack of slices sees them only as well as its step allows.
    lv_discs_ml, rv_discs_ml, myo_discs_ml
        What perfect contours on exactly these slices would sum to (area times slice step), shape (t,).
    parameters
        What was asked for.
    """

    cine: Cine
    labels: NDArray[np.uint8]
    lv_ml: FloatArray
    rv_ml: FloatArray
    myo_ml: FloatArray
    lv_discs_ml: FloatArray
    rv_discs_ml: FloatArray
    myo_discs_ml: FloatArray
    parameters: HeartParameters


def make_phantom(parameters: HeartParameters | None = None, seed: int = 0) -> PhantomStudy:
    """Image a synthetic heart.

    Parameters
    ----------
    parameters
        Which heart and which stack; the defaults are a healthy adult.
    seed
        Everything that is left to chance: outline, chest, texture, noise. Same seed, same study.

    Raises
    ------
    InputError
        If the image is too small for the heart.
    """
    p = parameters or HeartParameters()
    anatomy_rng, noise_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    beat = beat_of(p, anatomy_rng)
    chest_seed = int(anatomy_rng.integers(2**32))
    camera = Camera.looking_at(p.rows, p.columns, p.pixel_spacing_mm, (p.rows / 2, p.columns / 2 + 6), p.rotation_deg)
    z_mm: FloatArray = p.first_slice_mm + p.slice_step_mm * np.arange(p.n_slices, dtype=np.float64)

    labels = np.empty((p.n_phases, p.n_slices, p.rows, p.columns), dtype=np.uint8)
    pixels = np.empty(labels.shape, dtype=np.int16)
    coil = coil_field(camera, anatomy_rng)
    for k, z in enumerate(z_mm):
        bars = trabeculae(camera, np.random.default_rng(chest_seed + 1 + k))
        chest = draw_chest(camera, z, _heart_radius_mm(beat), np.random.default_rng(chest_seed))
        for t in range(p.n_phases):
            labels[t, k] = label_plane(beat, camera, t, z)
            pixels[t, k] = _expose(_through_plane(beat, camera, chest, bars, t, z, p) * coil, p.noise, noise_rng)
    _refuse_cut_heart(labels, p)

    areas = np.array([[beat.areas_mm2(t, z) for z in z_mm] for t in range(p.n_phases)])  # (t, z, 3)
    rv_discs, myo_discs, lv_discs = areas.sum(axis=1).T * p.slice_step_mm / 1000
    cine = Cine(
        id="sax",
        pixels=pixels,
        geometry=_geometry(p, z_mm, camera),
        view=View.SAX,
        view_confidence=1.0,
        timing=Timing(
            trigger_ms=tuple(float(v) for v in np.arange(p.n_phases) * p.rr_ms / p.n_phases),
            rr_ms=(p.rr_ms,) * p.n_slices,
            order_rule="trigger time",
        ),
        patient=Patient(height_m=1.75, weight_kg=75.0),
    )
    return PhantomStudy(cine, labels, beat.lv_ml, beat.rv_ml, beat.myo_ml, lv_discs, rv_discs, myo_discs, parameters=p)


def _heart_radius_mm(beat: Beat) -> float:
    """How far the heart reaches from the LV axis, without its RV."""
    return float(beat.cavity_radius_mm[0] + beat.wall_mm[0])


def _through_plane(
    beat: Beat, camera: Camera, chest: FloatArray, bars: FloatArray, t: int, z: float, p: HeartParameters
) -> FloatArray:
    """Average of three planes within the slice's thickness."""
    total = np.zeros_like(chest)
    for offset in (-1 / 3, 0.0, 1 / 3):
        plane = chest.copy()
        draw_heart(plane, beat, camera, t, z + offset * p.slice_thickness_mm, bars)
        total += plane
    return total / 3


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


def _geometry(p: HeartParameters, z_mm: FloatArray, camera: Camera) -> Geometry:
    """Planes in the patient; the mitral plane's centre at end-diastole is the world's origin."""
    corner = camera.image_x_mm[0, 0] * IMAGE_RIGHT + camera.image_y_mm[0, 0] * IMAGE_DOWN
    spacing = (p.pixel_spacing_mm, p.pixel_spacing_mm)
    planes = tuple(Plane(corner + z * TOWARDS_APEX, IMAGE_RIGHT, IMAGE_DOWN, spacing) for z in z_mm)
    return Geometry(planes, single_slice_step_mm=p.slice_step_mm)
