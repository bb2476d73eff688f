"""A cine as classic DICOM: one MR image per slice and phase, without the person it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, InputError, StorageError

MANUFACTURER: Final = "napari-cinema"

STORED_MAX: Final = 65535
"""Pixels that do not fit into 16 bits are scaled to this many steps between the smallest and the largest."""


def write_dicom(
    cine: Cine,
    folder: Path | str,
    *,
    patient_id: str,
    series_description: str | None = None,
    series_number: int = 1,
    study_entropy: str | None = None,
) -> tuple[Path, ...]:
    """Write a cine as MR images that any viewer reads.

    Whole numbers of 16 bits are stored as they are; others are scaled, which moves them by no more than 1/131070 of
    the range of the cine. Images that do not exist are not written. UIDs follow from the pixels, so that writing again
    makes the same study.

    Parameters
    ----------
    folder
        Absent or empty; made. Files are ``IM0001.dcm`` and on, slice by slice.
    patient_id
        Pseudonym. Names, dates and the UIDs of the source are not written.
    series_description
        None for ``cine_`` and the view, which is how the view comes back.
    study_entropy
        What the study's UID follows from, for cines of one study; None for the pixels of this one.

    Returns
    -------
    The files.

    Raises
    ------
    GeometryError
        If the cine does not say where it lies.
    InputError
        If the folder holds something.
    StorageError
        If a file cannot be written.
    """
    if not cine.geometry.spacing_is_stated:
        raise GeometryError(
            f"The cine {cine.id} states no spacing, so it cannot be written as DICOM. Write a NIfTI file."
        )
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty. Choose another folder.")
    shared = common_attributes(cine, patient_id, study_entropy or cine.content_sha256)
    _add_classic_attributes(shared, cine)
    shared.SeriesDescription = series_description or f"cine_{cine.view.value}"
    shared.SeriesNumber = series_number
    stored, slope, intercept = stored_pixels(cine)
    if (slope, intercept) != (1.0, 0.0):
        shared.RescaleSlope, shared.RescaleIntercept, shared.RescaleType = decimal(slope), decimal(intercept), "US"
    signed = stored.dtype.kind == "i"
    shared.PixelRepresentation = int(signed)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for z in range(cine.n_slices):
            for t in range(cine.n_phases):
                if not cine.has_image(t, z):
                    continue
                number = z * cine.n_phases + t + 1
                image = _image(shared, cine, t, z, number)
                rows, columns = cine.image_extent(z)
                pixels = stored[t, z, :rows, :columns].astype("<i2" if signed else "<u2")
                image.PixelData = np.ascontiguousarray(pixels).tobytes()
                path = folder / f"IM{number:04d}.dcm"
                image.save_as(path, enforce_file_format=True)
                written.append(path)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written: {error.strerror or error}. Choose another folder or free some space."
        ) from error
    return tuple(written)


def stored_pixels(cine: Cine) -> tuple[NDArray[Any], float, float]:
    """Pixels as whole numbers of 16 bits, with slope and intercept that give them back."""
    pixels = cine.pixels
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind in "iub":
        if low >= np.iinfo(np.int16).min and high <= np.iinfo(np.int16).max:
            return pixels.astype(np.int16), 1.0, 0.0
        if low >= 0 and high <= STORED_MAX:
            return pixels.astype(np.uint16), 1.0, 0.0
    # Read back as it is written, so that the rounding of the slope does not add up.
    slope = float(decimal((high - low) / STORED_MAX)) if high > low else 1.0
    intercept = float(decimal(low))
    steps = np.round((pixels.astype(np.float64) - intercept) / (slope or 1.0))
    return np.clip(steps, 0, STORED_MAX).astype(np.uint16), slope or 1.0, intercept


def common_attributes(cine: Cine, patient_id: str, study_entropy: str) -> Dataset:
    """Attributes that all images of the cine have, in classic and in enhanced objects."""
    series = [cine.content_sha256, cine.id]
    shared = Dataset()
    shared.StudyInstanceUID = generate_uid(entropy_srcs=[study_entropy, "study"])
    shared.SeriesInstanceUID = generate_uid(entropy_srcs=[*series, "series"])
    shared.FrameOfReferenceUID = generate_uid(entropy_srcs=[study_entropy, "frame"])
    shared.PatientName = shared.PatientBirthDate = ""
    shared.PatientID = patient_id
    shared.PatientSex = cine.patient.sex or ""
    if cine.patient.age_years is not None:
        shared.PatientAge = f"{min(int(cine.patient.age_years), 999):03d}Y"
    if cine.patient.height_m:
        shared.PatientSize = decimal(cine.patient.height_m)
    if cine.patient.weight_kg:
        shared.PatientWeight = decimal(cine.patient.weight_kg)
    shared.PatientIdentityRemoved = "YES"
    shared.DeidentificationMethod = "written anew from pixels, geometry and times"
    shared.StudyDate = shared.StudyTime = shared.AccessionNumber = shared.StudyID = ""
    shared.ReferringPhysicianName = shared.PositionReferenceIndicator = ""
    shared.Modality = "MR"
    shared.Manufacturer = MANUFACTURER
    shared.SamplesPerPixel, shared.PhotometricInterpretation = 1, "MONOCHROME2"
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit = 15
    return shared


def _add_classic_attributes(shared: Dataset, cine: Cine) -> None:
    """Add what classic MR images say at the top and enhanced ones elsewhere."""
    shared.SOPClassUID = MRImageStorage
    shared.ImageType = ["DERIVED", "PRIMARY", "M"]
    shared.ScanningSequence, shared.SequenceVariant = "GR", "SS"
    shared.ScanOptions, shared.MRAcquisitionType = "CG", "2D"
    # Not known, but the standard wants them there.
    shared.EchoTime = shared.RepetitionTime = shared.EchoTrainLength = ""
    shared.CardiacNumberOfImages = shared.NumberOfTemporalPositions = cine.n_phases
    if cine.geometry.slice_step_mm is not None:
        shared.SpacingBetweenSlices = decimal(cine.geometry.slice_step_mm)


def _image(shared: Dataset, cine: Cine, t: int, z: int, number: int) -> Dataset:
    plane, timing = cine.geometry.planes[z], cine.timing
    uid = UID(generate_uid(entropy_srcs=[cine.content_sha256, cine.id, str(number)]))
    image = Dataset()
    image.update(shared)
    image.SOPInstanceUID = uid
    image.Rows, image.Columns = cine.image_extent(z)
    image.InstanceNumber, image.AcquisitionNumber = number, z + 1
    image.TemporalPositionIdentifier = t + 1
    image.ImageOrientationPatient = [decimal(v) for v in (*plane.x_direction, *plane.y_direction)]
    image.ImagePositionPatient = [decimal(v) for v in plane.origin_mm]
    image.PixelSpacing = [decimal(v) for v in plane.spacing_mm]
    # How thick a slice is was never kept. Readers of DICOM SEG want a number: the length that the slice stands for.
    image.SliceThickness = decimal(cine.geometry.slice_step_mm) if cine.geometry.slice_step_mm else ""
    trigger_ms = trigger_ms_of(cine, t, z)
    if trigger_ms is not None:
        image.TriggerTime = decimal(trigger_ms)
    if timing.rr_ms:
        image.NominalInterval = round(timing.rr_ms[z])
        image.HeartRate = round(60000 / timing.rr_ms[z])
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = uid
    return image


def trigger_ms_of(cine: Cine, t: int, z: int) -> float | None:
    """Time of an image: its own breath-hold's, else that of the phase."""
    timing = cine.timing
    if timing.slice_trigger_ms and np.isfinite(timing.slice_trigger_ms[z][t]):
        return timing.slice_trigger_ms[z][t]
    return None if timing.trigger_ms is None else timing.trigger_ms[t]


def decimal(value: float) -> str:
    """Decimal string of at most 16 characters, as DICOM's DS wants it."""
    text = f"{float(value):.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"
