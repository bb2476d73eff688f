"""NIfTI: images and labels in, labels and images out.

NIfTI counts (x, y, z, t) in RAS axes; everything above this file is (t, z, y, x) in LPS.
"""

from __future__ import annotations

import gzip
import io
import os
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cine import Cine, Geometry, Timing, View
from cinema_core.errors import GeometryError, InputError, LabelError, StorageError, StudyError
from cinema_core.io.itk_images import is_itk_image, read_itk_voxels
from cinema_core.io.sidecar import sidecar_path, sidecar_text, with_sidecar

SUFFIXES: Final = (".nii", ".nii.gz")

RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's axes to DICOM's, and back."""

RR_RANGE_MS: Final = (300.0, 2500.0)
"""A beat outside this range is a wrong unit or a placeholder (ACDC and M&Ms write a frame time of 1)."""

KNOWN_LABELS: Final = (*(int(structure) for structure in Structure), UNLABELLED)

ASSUMED: Final = "assumed from the number of slices"
"""Why a view is what it is, where the file does not say; a dataset knows better."""

ASSUMED_VIEW_CONFIDENCE: Final = 0.5

SAME_SPACING: Final = 0.01
"""Voxel sizes that differ by less than 1 % are one, rounded."""

SAME_PLACE_MM: Final = 1.0
"""Statements of a place that differ by less are one, rounded."""

_UNREADABLE: Final = (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError)


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """Voxels of a file and where they lie.

    Attributes
    ----------
    voxels
        Shape (t, z, y, x); a 3-D file has t = 1.
    frame_ms
        Time between phases; None if the file does not say or cannot be believed.
    remarks
        What the reader should know of how the file states its geometry.
    """

    voxels: NDArray[Any]
    geometry: Geometry
    frame_ms: float | None
    remarks: tuple[str, ...] = ()


def is_nifti(path: Path) -> bool:
    """Whether the name is one of a NIfTI file."""
    return path.name.lower().endswith(SUFFIXES)


def is_image(path: Path) -> bool:
    """Whether the name is one of a file that :func:`read_image` reads."""
    return is_nifti(path) or is_itk_image(path)


def read_image(path: Path | str, *, with_voxels: bool = True) -> NiftiImage:
    """Read a 3-D or 4-D image: NIfTI, or MetaImage and NRRD.

    Parameters
    ----------
    with_voxels
        False to read no more of a NIfTI file than its header: the voxels are then 0 and mean nothing.

    Raises
    ------
    StudyError
        If the file cannot be read, has another number of axes, or holds voxels that are not numbers.
    GeometryError
        If a voxel has no size.
    """
    path = Path(path)
    if not path.is_file():
        raise StudyError(f"There is no file {path}. Check the path.")
    if is_itk_image(path):
        voxels, geometry, step = read_itk_voxels(path)
        return NiftiImage(_finite(path, _plain(voxels)), geometry, _believable_frame_ms(step, None, len(voxels)))
    try:
        image: Any = nib.load(path, mmap=False)
        shape = tuple(int(n) for n in image.shape)
        header, affine = image.header, np.asarray(image.affine, dtype=np.float64)
        zooms = _stated_zooms(path, header)
    except _UNREADABLE as error:
        raise StudyError(
            f"{path} is not a NIfTI image that can be read ({_one_line(error)}). Export or copy it again."
        ) from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or 0 in shape:
        raise StudyError(
            f"{path} has shape {_size(shape)}; a cine has 3 axes (x, y, slice) or 4 (x, y, slice, phase). "
            "Choose the file of the whole stack."
        )
    if image.get_data_dtype().fields is not None or image.get_data_dtype().kind not in "biuf":
        raise StudyError(f"{path} holds colours or complex numbers. Choose a grey-scale image.")
    geometry = _geometry(path, zooms, affine, shape[2])
    remarks = _conflicts(header, zooms, affine, shape)
    if not with_voxels:
        t, z, y, x = (*shape, 1)[3], shape[2], shape[1], shape[0]
        grid = np.broadcast_to(np.zeros((), dtype=np.uint8), (t, z, y, x))
        return NiftiImage(grid, geometry, _frame_ms(header, t), remarks)
    try:
        voxels = np.asanyarray(_decompressed(path, image.dataobj)).reshape(shape)
    except _UNREADABLE as error:
        raise StudyError(
            f"{path} is cut short or damaged: its {_size(shape)} voxels cannot be read ({_one_line(error)}). "
            "Copy it again."
        ) from error
    voxels = _finite(path, _plain(voxels))
    stack = voxels if voxels.ndim == 4 else voxels[..., None]
    stack = np.ascontiguousarray(stack.transpose(3, 2, 1, 0))  # (x, y, z, t) -> (t, z, y, x)
    return NiftiImage(stack, geometry, _frame_ms(header, stack.shape[0]), remarks)


def _finite(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        n_bad = int(voxels.size - np.isfinite(voxels).sum())
        raise StudyError(
            f"{path}: {n_bad} of {voxels.size} voxels are not finite numbers (NaN or infinite). Export the image again."
        )
    return voxels


def read_cine(path: Path | str, *, with_voxels: bool = True) -> tuple[Cine, tuple[str, ...]]:
    """Read a 3-D or 4-D image as a cine, with one line per assumption that was made.

    ``with_voxels``, and errors, as for :func:`read_image`.
    """
    image = read_image(path, with_voxels=with_voxels)
    n_phases, n_slices = image.voxels.shape[:2]
    view, confidence = assumed_view(n_slices)
    warnings, notes = [*image.remarks], [f"View {view.value}: {ASSUMED} ({n_slices})."]
    if n_phases == 1:
        warnings.append("The cine holds one phase: function (EF, stroke volume) cannot be measured from one phase.")
    timing = Timing()
    if image.frame_ms is not None:
        rr_ms = image.frame_ms * n_phases
        trigger_ms = tuple(image.frame_ms * t for t in range(n_phases))
        timing = Timing(trigger_ms, (rr_ms,) * n_slices, "file order", "time between phases")
        notes.append(f"RR interval {rr_ms:.0f} ms: {n_phases} phases x {image.frame_ms:.1f} ms frame time.")
    elif n_phases > 1:
        notes.append("The file states no believable frame time: heart rate and cardiac output are not known.")
    cine = Cine(
        view.value,
        image.voxels,
        image.geometry,
        view,
        confidence,
        timing,
        warnings=tuple(warnings),
        view_reason=f"{ASSUMED} ({n_slices})",
        direction_reason="as the file counts them",
    )
    completed = with_sidecar(cine, Path(path))
    if completed is not cine:
        notes = [f"Geometry, times and view are those of {sidecar_path(Path(path)).name}."]
    return completed, tuple(notes)


def assumed_view(n_slices: int) -> tuple[View, float]:
    """View of an image that does not name it: more than one slice is a short-axis stack."""
    return (View.SAX, ASSUMED_VIEW_CONFIDENCE) if n_slices > 1 else (View.OTHER, 0.0)


def read_labels(path: Path | str, like: Cine | None = None) -> NDArray[np.uint8]:
    """Read a label image.

    Parameters
    ----------
    path
        3-D or 4-D NIfTI with values 0 to 3 and 255 (unlabelled).
    like
        The cine that the labels must lie on.

    Returns
    -------
    uint8, shape (t, z, y, x); t is 1 for a 3-D file.

    Raises
    ------
    LabelError
        If the shape is not the cine's, or a value is not known.
    StudyError, GeometryError
        If the file cannot be read.
    """
    voxels = read_image(path).voxels
    if like is not None and (voxels.shape[1:] != like.shape[1:] or voxels.shape[0] not in (1, like.n_phases)):
        raise LabelError(
            f"{path} has {_size(voxels.shape)} voxels but the image has {_size(like.shape)} "
            "(phases x slices x rows x columns). Choose the labels that were drawn on this image."
        )
    _check_values(voxels, str(path))
    return voxels.astype(np.uint8, copy=False)


def write_labels(path: Path | str, labels_tzyx: NDArray[Any], cine: Cine) -> None:
    """Store labels on the cine's grid: the file appears whole or not at all.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``; replaced if it exists.
    labels_tzyx
        Values 0 to 3 or 255, shape of the cine.

    Raises
    ------
    LabelError
        If shape or values do not fit.
    StorageError
        If the file cannot be written.
    """
    labels = np.asarray(labels_tzyx)
    if labels.shape != cine.shape:
        raise LabelError(
            f"The labels have shape {_size(labels.shape)} but the cine has {_size(cine.shape)} "
            "(phases x slices x rows x columns). Nothing was written."
        )
    _check_values(labels, "The labels")
    _write(Path(path), labels.astype(np.uint8), cine)


def write_image(path: Path | str, cine: Cine, study: str = "") -> None:
    """Store the pixels of a cine, and beside them what NIfTI cannot hold: each slice's plane, times, view, gaps.

    Both files appear whole or not at all, the image last.

    Parameters
    ----------
    path
        ``NAME.nii.gz`` or ``NAME.nii``; the sidecar is ``NAME.cine.json``.
    study
        Pseudonym of the study.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    path = Path(path)
    _check_name(path)
    _replace_with(sidecar_path(path), sidecar_text(cine, study).encode())
    _write(path, cine.pixels, cine)


def _check_name(path: Path) -> None:
    if not is_nifti(path):
        raise InputError(f"{path} is not the name of a NIfTI file. End it with .nii.gz or .nii.")


def _write(path: Path, voxels: NDArray[Any], cine: Cine) -> None:
    """Write (t, z, y, x) voxels with the cine's geometry and frame time."""
    _check_name(path)
    array = np.transpose(voxels, (3, 2, 1, 0))  # (t, z, y, x) -> (x, y, z, t)
    if cine.n_phases == 1:
        array = array[..., 0]
    image: Any = nib.Nifti1Image(array, RAS_TO_LPS @ cine.geometry.affine(), dtype=array.dtype)
    image.header.set_xyzt_units("mm", "sec")
    if cine.n_phases > 1:
        frame_ms = _frame_ms_of(cine)
        image.header.set_zooms((*image.header.get_zooms()[:3], (frame_ms or 0.0) / 1000))
    image.set_sform(image.affine, code=1)  # 1: scanner coordinates
    image.set_qform(image.affine, code=1)
    content = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        # No time stamp: the same labels are the same file.
        content = gzip.compress(content, compresslevel=3, mtime=0)
    _replace_with(path, content)


def _replace_with(path: Path, content: bytes) -> None:
    """Put content at a path in one step: written beside it, synced, renamed."""
    partial = path.with_name(f".partial-{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. Choose another folder or free some space."
        ) from error
    finally:
        # Also after Ctrl+C; once renamed there is nothing left to remove.
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _decompressed(path: Path, voxels: Any) -> Any:
    """Return nibabel's voxels of a file, of a compressed one after it was read to its end, where the checksum lies.

    nibabel stops at the last voxel: a file with a damaged byte opened without a word, with other pixels.
    """
    if not path.name.lower().endswith(".gz"):
        return voxels
    n_bytes = voxels.offset + int(np.prod(voxels.shape)) * voxels.dtype.itemsize
    with gzip.open(path) as file:
        content = io.BytesIO(file.read(n_bytes))
        while file.read(1 << 20):
            pass
    return ArrayProxy(content, (voxels.shape, voxels.dtype, voxels.offset, voxels.slope, voxels.inter), mmap=False)


def _stated_zooms(path: Path, header: Any) -> list[float]:
    """Voxel size as the file states it: nibabel, on loading, sets sizes of zero to 1 mm."""
    with ImageOpener(path) as file:
        raw = type(header).from_fileobj(file, check=False)
    return [float(abs(zoom)) for zoom in raw["pixdim"][1:4]]


def _geometry(path: Path, zooms: list[float], affine: NDArray[np.float64], n_slices: int) -> Geometry:
    """Geometry in LPS, with the file named if there is none."""
    if not all(np.isfinite(zoom) and zoom > 0 for zoom in zooms):
        raise GeometryError(
            f"{path}: voxel size is {zooms[0]:g} x {zooms[1]:g} x {zooms[2]:g} mm; every side must be above zero. "
            "Export the study again with its spacing."
        )
    try:
        return Geometry.from_affine(RAS_TO_LPS @ affine, n_slices)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def _conflicts(header: Any, zooms: list[float], affine: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Say where the ways in which NIfTI can state its geometry (sform, qform, pixdim) do not agree.

    The sform is used where it is set, else the qform (as nibabel does, and the standard leaves open).
    """
    remarks = []
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(sides / zooms - 1).max() > SAME_SPACING:
        used, other = (" x ".join(f"{mm:.3g}" for mm in values) for values in (sides, zooms))
        remarks.append(
            f"The file states two voxel sizes: {used} mm (used) and {other} mm (pixdim). Volumes depend on it; "
            "compare with the original study."
        )
    sform, qform = header.get_sform(coded=True), header.get_qform(coded=True)
    if sform[1] == 0 and qform[1] == 0:
        remarks.append("The file does not say how the heart lies in the patient (no sform, no qform).")
    elif sform[1] > 0 and qform[1] > 0:
        corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])]).T
        apart_mm = float(np.linalg.norm(((sform[0] - qform[0]) @ corners)[:3], axis=0).max())
        if apart_mm > SAME_PLACE_MM:
            remarks.append(
                f"The file states two places for its slices, up to {apart_mm:.0f} mm apart (sform and qform); "
                "the sform is used."
            )
    return tuple(remarks)


def _frame_ms(header: Any, n_phases: int) -> float | None:
    """Time between phases by the header's unit; None unless the beat it makes could be a heart's."""
    zooms = header.get_zooms()
    return _believable_frame_ms(float(zooms[3]) if len(zooms) > 3 else None, header.get_xyzt_units()[1], n_phases)


def _believable_frame_ms(stated: float | None, unit: str | None, n_phases: int) -> float | None:
    """Return what makes the beat of a heart: in the unit that is stated, else in seconds or milliseconds."""
    if n_phases < 2 or stated is None:
        return None
    factor = {"sec": 1000.0, "msec": 1.0, "usec": 1e-3}.get(unit or "")
    low, high = RR_RANGE_MS
    for candidate in (factor,) if factor else (1000.0, 1.0):
        # Zooms are float32; 0.1 us is beyond what a scanner knows.
        frame_ms = round(stated * candidate, 4)
        if low <= frame_ms * n_phases <= high:
            return frame_ms
    return None


def _frame_ms_of(cine: Cine) -> float | None:
    """Return the time between phases of a whole cycle."""
    if cine.phase_names:
        return None
    if cine.timing.trigger_ms is not None:
        # The mean: scanners round to whole ms, and the median of 46, 46, 47 would lose 3 ms of a beat of 923.
        return float(np.mean(np.diff(cine.timing.trigger_ms)))
    rr_ms = cine.timing.rr_median_ms
    return rr_ms / cine.n_phases if rr_ms else None


def _plain(voxels: NDArray[Any]) -> NDArray[Any]:
    """Native byte order, no more than 32-bit floats: the same pixels have the same hash."""
    if voxels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            return voxels.astype(np.float32)
    if voxels.dtype.kind == "b":
        return voxels.astype(np.uint8)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _check_values(labels: NDArray[Any], where: str) -> None:
    if labels.dtype == np.uint8 and labels.max(initial=0) <= max(Structure):
        return  # all but always; sorting the values of a whole cine takes longer than measuring it
    unknown = [value for value in np.unique(labels).tolist() if value not in KNOWN_LABELS]
    if unknown:
        raise LabelError(
            f"{where}: label value {unknown[0]:g} is not known. "
            "Use 0 background, 1 RV, 2 myocardium, 3 LV and 255 unlabelled."
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
