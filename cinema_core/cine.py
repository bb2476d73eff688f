"""The nouns: a cine, where it lies in the patient, when its phases were taken, and of whom."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinema_core.errors import GeometryError, StudyError
from cinema_core.rules import BsaFormula as BsaFormula
from cinema_core.view import View as View

_T = TypeVar("_T")

PARALLEL_TOLERANCE_DEG: Final = 2.0
"""Planes of one stack differ by rounding of ImageOrientationPatient, not by more than this."""

REGULAR_STEP_TOLERANCE: Final = 0.05
"""A stack is regular if every step is within 5 % of the median (positions are written to 0.01 mm)."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one image plane lies in the patient (DICOM axes, LPS, millimetres).

    Attributes
    ----------
    origin_mm
        Centre of the pixel at row 0, column 0; shape (3,).
    x_direction
        Unit vector along which the column index x grows; shape (3,).
    y_direction
        Unit vector along which the row index y grows; shape (3,).
    spacing_mm
        Distance between pixel centres along y and along x (as DICOM PixelSpacing).
    """

    origin_mm: NDArray[np.float64]
    x_direction: NDArray[np.float64]
    y_direction: NDArray[np.float64]
    spacing_mm: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("origin_mm", "x_direction", "y_direction"):
            vector = np.asarray(getattr(self, name), dtype=np.float64)
            if vector.shape != (3,) or not np.all(np.isfinite(vector)):
                raise GeometryError(f"{name} of an image plane must be three finite numbers.")
            object.__setattr__(self, name, vector)
        if not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise GeometryError(
                f"Pixel spacing is {self.spacing_mm[0]} x {self.spacing_mm[1]} mm; it must be above zero. "
                "Export the study again with its spacing."
            )

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the plane: x direction cross y direction."""
        normal = np.cross(self.x_direction, self.y_direction)
        return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)

    def to_world_mm(self, y: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
        """Patient coordinates of pixel positions; returns shape (..., 3)."""
        y, x = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
        along_y = y[..., None] * self.spacing_mm[0] * self.y_direction
        along_x = x[..., None] * self.spacing_mm[1] * self.x_direction
        return np.asarray(self.origin_mm + along_y + along_x, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Planes of a cine's slices, in the order of its z axis.

    A regular stack is the common case, not an assumption: every slice keeps its own plane.

    Attributes
    ----------
    planes
        One plane per slice.
    single_slice_step_mm
        Distance that one slice stands for when there is a single slice and the file states it
        (third zoom of a NIfTI). Never SliceThickness: it leaves out the gap.
    spacing_is_stated
        False if the files say nothing of the size of a pixel. The planes then count in pixels: good to look
        at, never to measure.
    """

    planes: tuple[Plane, ...]
    single_slice_step_mm: float | None = None
    spacing_is_stated: bool = True

    def __post_init__(self) -> None:
        if not self.planes:
            raise GeometryError("A cine needs at least one slice.")

    @classmethod
    def from_affine(cls, affine: ArrayLike, n_slices: int) -> Self:
        """Regular stack from a 4 x 4 matrix that maps (x, y, z) indices to LPS millimetres."""
        matrix = np.asarray(affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise GeometryError("The affine must be a 4 x 4 matrix of finite numbers.")
        steps = np.linalg.norm(matrix[:3, :3], axis=0)  # x, y, z
        if np.any(steps <= 0):
            raise GeometryError(
                f"Voxel size is {steps[0]:g} x {steps[1]:g} x {steps[2]:g} mm; every side must be above zero. "
                "Export the study again with its spacing."
            )
        x_direction, y_direction = matrix[:3, 0] / steps[0], matrix[:3, 1] / steps[1]
        planes = tuple(
            Plane(matrix[:3, 3] + z * matrix[:3, 2], x_direction, y_direction, (float(steps[1]), float(steps[0])))
            for z in range(n_slices)
        )
        return cls(planes, single_slice_step_mm=float(steps[2]))

    @classmethod
    def without_spacing(cls, n_slices: int) -> Self:
        """Planes that count in pixels, for images that do not say where they lie or how large they are."""
        x_direction, y_direction = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
        planes = tuple(Plane(np.array([0.0, 0.0, z]), x_direction, y_direction, (1.0, 1.0)) for z in range(n_slices))
        return cls(planes, spacing_is_stated=False)

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return len(self.planes)

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Pixel spacing (y, x) of the first slice."""
        return self.planes[0].spacing_mm

    @cached_property
    def positions_mm(self) -> NDArray[np.float64]:
        """Position of each slice along the normal of the first, relative to the first; shape (z,)."""
        origin, normal = self.planes[0].origin_mm, self.planes[0].normal
        return np.array([float((plane.origin_mm - origin) @ normal) for plane in self.planes])

    @cached_property
    def slice_step_mm(self) -> float | None:
        """Median distance between neighbouring slices; None if it cannot be known."""
        if not self.spacing_is_stated:
            return None
        if self.n_slices == 1:
            return self.single_slice_step_mm
        return float(np.median(np.abs(np.diff(self.positions_mm))))

    @cached_property
    def is_regular(self) -> bool:
        """Whether all planes are parallel, share their pixel spacing, and are equally far apart."""
        if self.n_slices == 1:
            return True
        first = self.planes[0]
        limit = np.cos(np.deg2rad(PARALLEL_TOLERANCE_DEG))
        parallel = all(abs(float(plane.normal @ first.normal)) >= limit for plane in self.planes)
        same_pixels = all(np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-3) for plane in self.planes)
        steps = np.diff(self.positions_mm)
        median = float(np.median(steps))
        even = median != 0 and bool(np.all(np.abs(steps - median) <= REGULAR_STEP_TOLERANCE * abs(median)))
        return parallel and same_pixels and even

    def slice_extent_mm(self) -> NDArray[np.float64]:
        """Length along the stack that each slice stands for; shape (z,).

        A slice reaches half way to each neighbour; the first and last reach as far outwards as
        inwards. On a regular stack this is the slice step for every slice.

        Raises
        ------
        GeometryError
            If there is one slice only and its step is not stated, or the size of a pixel is not.
        """
        if not self.spacing_is_stated:
            raise GeometryError(
                "The files state no pixel spacing and no positions; the cine can be looked at, but not measured. "
                "Export the study again with its geometry."
            )
        if self.n_slices == 1:
            if self.single_slice_step_mm is None:
                raise GeometryError(
                    "The cine has one slice and does not say how far slices lie apart; volumes cannot be measured."
                )
            return np.array([self.single_slice_step_mm])
        if self.is_regular:
            return np.full(self.n_slices, self.slice_step_mm, dtype=np.float64)
        steps = np.abs(np.diff(self.positions_mm))
        half_before = np.concatenate([steps[:1], steps]) / 2
        half_after = np.concatenate([steps, steps[-1:]]) / 2
        return np.asarray(half_before + half_after, dtype=np.float64)

    def affine(self) -> NDArray[np.float64]:
        """4 x 4 matrix from (x, y, z) indices to LPS millimetres, of the best-fitting regular stack."""
        first, last = self.planes[0], self.planes[-1]
        matrix = np.eye(4)
        matrix[:3, 0] = first.x_direction * first.spacing_mm[1]
        matrix[:3, 1] = first.y_direction * first.spacing_mm[0]
        if self.n_slices > 1:
            matrix[:3, 2] = (last.origin_mm - first.origin_mm) / (self.n_slices - 1)
        else:
            matrix[:3, 2] = first.normal * (self.single_slice_step_mm or 1.0)
        matrix[:3, 3] = first.origin_mm
        return matrix


@dataclass(frozen=True)
class Timing:
    """When the phases were taken.

    Attributes
    ----------
    trigger_ms
        Time of each phase after the R wave, shape (t,) as a tuple; None if not known.
    rr_ms
        RR interval of each slice (breath-holds differ); empty if not known.
    order_rule
        What the phases were ordered by: ``trigger time``, ``temporal position``, ``acquisition time``,
        ``instance number`` or ``file order``.
    rr_source
        Where the RR interval is from: ``stated``, ``heart rate`` or ``time between phases``; empty if not known.
    slice_trigger_ms
        Time of every image of every slice, shape (z, t) as tuples, NaN where there is no image; empty if not
        known. Breath-holds differ in their beat, so their phases differ in ms.
    """

    trigger_ms: tuple[float, ...] | None = None
    rr_ms: tuple[float, ...] = ()
    order_rule: str = "file order"
    rr_source: str = ""
    slice_trigger_ms: tuple[tuple[float, ...], ...] = ()

    @property
    def rr_median_ms(self) -> float | None:
        """Median RR interval over the slices; None if not known."""
        return float(np.median(self.rr_ms)) if self.rr_ms else None

    @property
    def heart_rate_bpm(self) -> float | None:
        """Heart rate from the median RR interval; None if not known."""
        rr = self.rr_median_ms
        return 60000.0 / rr if rr else None


@dataclass(frozen=True)
class Patient:
    """What measurement needs to know of a person; nothing that names them."""

    sex: str | None = None
    age_years: float | None = None
    height_m: float | None = None
    weight_kg: float | None = None

    @property
    def bsa_m2(self) -> float | None:
        """Body surface area after Mosteller; None if not known."""
        return self.body_surface_m2(BsaFormula.MOSTELLER)

    def body_surface_m2(self, formula: BsaFormula) -> float | None:
        """Body surface area; None without height and weight.

        References
        ----------
        Mosteller, N Engl J Med 317:1098 (1987); DuBois and DuBois, Arch Intern Med 17:863 (1916).
        """
        if not self.height_m or not self.weight_kg:
            return None
        height_cm = self.height_m * 100
        if formula is BsaFormula.DUBOIS:
            return float(0.007184 * self.weight_kg**0.425 * height_cm**0.725)
        return sqrt(height_cm * self.weight_kg / 3600)


@dataclass(frozen=True)
class SourceImage:
    """The file that one image of a cine was read from.

    Attributes
    ----------
    path
        The file; ``ARCHIVE.zip/MEMBER`` for a member of an archive.
    frame
        Frame within a multi-frame object, from 0.
    sop_instance_uid, sop_class_uid
        The object's identity, by which contours and segmentations refer to it. Shown nowhere.
    """

    path: Path
    frame: int = 0
    sop_instance_uid: str = field(default="", repr=False)
    sop_class_uid: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class Cine:
    """A beating heart: every phase of every slice of one view.

    Attributes
    ----------
    id
        Short name within the study, without patient data (``sax``, ``lax_4c-2``).
    pixels
        Intensities, shape (t, z, y, x), integer or float, finite.
    view, view_confidence
        Plane, and how sure its finder was, 0 to 1.
    phase_names
        What the phases are when they are not a whole cycle: ``("ed", "es")`` for a pair; empty for a cine.
    view_reason
        Why the view is taken to be this one, for the reader.
    missing
        Images (t, z) that do not exist. Their pixels are 0 and mean nothing: a gap, never a copy of a neighbour.
    sources
        Where each image (t, z) came from; empty where a file holds the whole cine.
    slice_sizes
        Rows and columns of every slice if they differ; below and to the right of them is no image, and pixels
        are 0. Empty if all slices fill (y, x).
    apex_first
        Whether z counts from apex to base; usually it counts from base to apex.
    direction_reason
        How it was told which end is the base.
    frames_of_reference
        Coordinate system that each slice's plane is given in, as DICOM identifies it, shape (z,); an empty text where
        the file does not say, empty if no file can. Shown nowhere.
    """

    id: str
    pixels: NDArray[np.generic]
    geometry: Geometry
    view: View = View.OTHER
    view_confidence: float = 0.0
    timing: Timing = field(default_factory=Timing)
    patient: Patient = field(default_factory=Patient)
    warnings: tuple[str, ...] = ()
    phase_names: tuple[str, ...] = ()
    view_reason: str = ""
    missing: frozenset[tuple[int, int]] = frozenset()
    sources: Mapping[tuple[int, int], SourceImage] = field(default_factory=dict, repr=False)
    slice_sizes: tuple[tuple[int, int], ...] = ()
    apex_first: bool = False
    direction_reason: str = ""
    frames_of_reference: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4:
            raise StudyError(f"A cine has four axes (t, z, y, x); this one has {self.pixels.ndim}.")
        if self.pixels.shape[1] != self.geometry.n_slices:
            raise GeometryError(
                f"The cine has {self.pixels.shape[1]} slices but {self.geometry.n_slices} slice positions."
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Size (t, z, y, x)."""
        t, z, y, x = self.pixels.shape
        return t, z, y, x

    @property
    def n_phases(self) -> int:
        """Number of cardiac phases."""
        return self.shape[0]

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return self.shape[1]

    @property
    def phases_with_gaps(self) -> tuple[int, ...]:
        """Phases in which a slice has no image; they have no volume and cannot be ED or ES."""
        return tuple(sorted({t for t, _ in self.missing}))

    def has_image(self, t: int, z: int) -> bool:
        """Whether there is an image of a phase and slice."""
        return (t, z) not in self.missing

    def frame_of_reference(self, z: int) -> str:
        """Coordinate system of a slice; empty if it is not known."""
        return self.frames_of_reference[z] if self.frames_of_reference else ""

    def image_extent(self, z: int) -> tuple[int, int]:
        """Rows and columns of a slice that hold an image."""
        return self.slice_sizes[z] if self.slice_sizes else self.shape[2:]

    def of_slices(self, slices: slice) -> Cine:
        """Return a cine of some of the slices; its step stays that of the whole."""
        chosen = range(self.n_slices)[slices]
        index = {z: k for k, z in enumerate(chosen)}

        def of(values: tuple[_T, ...]) -> tuple[_T, ...]:
            return tuple(values[z] for z in chosen) if values else ()

        timing = self.timing
        return replace(
            self,
            pixels=self.pixels[:, slices],
            geometry=replace(
                self.geometry,
                planes=of(self.geometry.planes),
                single_slice_step_mm=self.geometry.slice_step_mm,
            ),
            timing=replace(timing, rr_ms=of(timing.rr_ms), slice_trigger_ms=of(timing.slice_trigger_ms)),
            missing=frozenset((t, index[z]) for t, z in self.missing if z in index),
            sources={(t, index[z]): source for (t, z), source in self.sources.items() if z in index},
            slice_sizes=of(self.slice_sizes),
            frames_of_reference=of(self.frames_of_reference),
        )

    def for_model(self) -> Cine:
        """Return the cine as a model is shown it: slices from base to apex, and no gaps.

        A gap holds the nearest phase of its slice there, as a black image would disturb its neighbours. What a
        model makes of it is never kept; the study itself keeps its gaps.
        """
        whole = self
        if self.missing:
            pixels = self.pixels.copy()
            for t, z in self.missing:
                pixels[t, z] = self.pixels[self._nearest_phase(t, z), z]
            whole = replace(self, pixels=pixels, missing=frozenset())
        return replace(whole.of_slices(slice(None, None, -1)), apex_first=False) if self.apex_first else whole

    def _nearest_phase(self, t: int, z: int) -> int:
        there = [k for k in range(self.n_phases) if self.has_image(k, z)]
        return min(there, key=lambda k: min(abs(k - t), self.n_phases - abs(k - t)), default=t)

    @property
    def measurable(self) -> bool:
        """Whether volumes can be computed: the distance between slices is known."""
        return self.geometry.slice_step_mm is not None

    @cached_property
    def content_sha256(self) -> str:
        """Hash of shape, type and pixels: the same cine under any file name."""
        digest = hashlib.sha256(f"{self.pixels.shape}{self.pixels.dtype.str}".encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()

    def with_view(self, view: View) -> Cine:
        """Return the same cine under the view that the reader chose."""
        return replace(self, view=view, view_confidence=1.0, view_reason="as chosen by the reader")
