"""A synthetic study as files: 4-D NIfTI, or classic DICOM with one file per slice and phase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cinema_core.cine import Cine
from cinema_core.errors import InputError, StorageError
from cinema_core.phantom.study import PhantomStudy

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes to NIfTI's."""


def write_phantom(folder: Path | str, phantom: PhantomStudy, kind: Literal["nifti", "dicom"] = "nifti") -> Path:
    """Store a synthetic study; what is returned can be opened by ``load_study``.

    Parameters
    ----------
    folder
        Made if absent. NIfTI: ``cine_sax.nii.gz`` and, apart from it, ``truth/labels.nii.gz``.
        DICOM: ``dicom/IM0001.dcm`` and on, and the same ``truth/labels.nii.gz``.
    phantom
        The study.
    kind
        File format of the images.

    Returns
    -------
    The image file (NIfTI) or the folder of images (DICOM).

    Raises
    ------
    InputError
        If ``kind`` is neither of the two.
    StorageError
        If the files cannot be written.
    """
    if kind not in ("nifti", "dicom"):
        raise InputError(f"A synthetic study is written as nifti or dicom, not as {kind!r}.")
    folder = Path(folder)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        _write_nifti(folder / "truth" / "labels.nii.gz", phantom.labels, phantom.cine)
        if kind == "nifti":
            _write_nifti(folder / "cine_sax.nii.gz", phantom.cine.pixels, phantom.cine)
            return folder / "cine_sax.nii.gz"
        (folder / "dicom").mkdir(exist_ok=True)
        _write_dicom(folder / "dicom", phantom.cine)
        return folder / "dicom"
    except OSError as error:
        raise StorageError(
            f"The synthetic study could not be written to {folder}: {error.strerror or error}. "
            "Choose another folder or free some space."
        ) from error


def _write_nifti(path: Path, voxels: NDArray[Any], cine: Cine) -> None:
    """Write (t, z, y, x) voxels in NIfTI's order (x, y, z, t); the file appears whole or not at all."""
    image = nib.Nifti1Image(np.transpose(voxels, (3, 2, 1, 0)), LPS_TO_RAS @ cine.geometry.affine())
    times = cine.timing.trigger_ms
    step_ms = times[1] - times[0] if times and len(times) > 1 else 0.0
    image.header.set_zooms((*image.header.get_zooms()[:3], step_ms))
    image.header.set_xyzt_units("mm", "msec")
    temporary = path.with_name(f".partial-{path.name}")
    nib.save(image, temporary)
    os.replace(temporary, path)


def _write_dicom(folder: Path, cine: Cine) -> None:
    """Write one MR image per slice and phase; UIDs follow from the pixels, so a rewrite is the same study."""
    root = [cine.content_sha256]
    shared = Dataset()
    shared.SOPClassUID = MRImageStorage
    shared.StudyInstanceUID = generate_uid(entropy_srcs=[*root, "study"])
    shared.SeriesInstanceUID = generate_uid(entropy_srcs=[*root, "series"])
    shared.FrameOfReferenceUID = generate_uid(entropy_srcs=[*root, "frame"])
    shared.PatientName = ""
    shared.PatientID = f"PHANTOM-{cine.content_sha256[:8]}"
    shared.PatientBirthDate = shared.PatientSex = ""
    shared.StudyDate = shared.StudyTime = shared.AccessionNumber = shared.StudyID = ""
    shared.ReferringPhysicianName = shared.PositionReferenceIndicator = ""
    shared.Modality = "MR"
    shared.Manufacturer = "napari-cinema"
    shared.ManufacturerModelName = "synthetic heart"
    shared.SeriesDescription = "cine_sax"
    shared.SeriesNumber = 1
    shared.ImageType = ["DERIVED", "PRIMARY", "M"]
    shared.ScanningSequence, shared.SequenceVariant = "GR", "SS"
    shared.ScanOptions, shared.MRAcquisitionType = "CG", "2D"
    shared.EchoTime, shared.RepetitionTime, shared.EchoTrainLength = 1.5, 3.0, 1
    if cine.patient.height_m:
        shared.PatientSize = cine.patient.height_m
    if cine.patient.weight_kg:
        shared.PatientWeight = cine.patient.weight_kg
    shared.CardiacNumberOfImages = cine.n_phases
    if cine.geometry.slice_step_mm is not None:
        shared.SpacingBetweenSlices = _decimal(cine.geometry.slice_step_mm)
    shared.SamplesPerPixel, shared.PhotometricInterpretation = 1, "MONOCHROME2"
    shared.Rows, shared.Columns = cine.shape[2:]
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit, shared.PixelRepresentation = 15, 1

    number = 0
    for z in range(cine.n_slices):
        for t in range(cine.n_phases):
            number += 1
            image = _dicom_image(shared, cine, t, z, number, generate_uid(entropy_srcs=[*root, str(number)]))
            image.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def _dicom_image(shared: Dataset, cine: Cine, t: int, z: int, number: int, uid: UID) -> Dataset:
    plane, timing = cine.geometry.planes[z], cine.timing
    image = Dataset()
    image.update(shared)
    image.SOPInstanceUID = uid
    image.InstanceNumber, image.AcquisitionNumber = number, z + 1
    image.ImageOrientationPatient = [_decimal(v) for v in (*plane.x_direction, *plane.y_direction)]
    image.ImagePositionPatient = [_decimal(v) for v in plane.origin_mm]
    image.PixelSpacing = [_decimal(v) for v in plane.spacing_mm]
    image.SliceThickness = _decimal(min(8.0, cine.geometry.slice_step_mm or 8.0))
    if timing.trigger_ms is not None:
        image.TriggerTime = _decimal(timing.trigger_ms[t])
    if timing.rr_ms:
        image.NominalInterval = round(timing.rr_ms[z])
        image.HeartRate = round(60000 / timing.rr_ms[z])
    image.PixelData = np.ascontiguousarray(cine.pixels[t, z].astype("<i2")).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = uid
    return image


def _decimal(value: float) -> str:
    """Decimal string of at most 16 characters, as DICOM's DS wants it."""
    return f"{float(value):.9g}"
