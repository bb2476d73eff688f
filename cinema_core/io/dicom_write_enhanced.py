"""A cine as one enhanced MR object: all slices and phases as frames of one file (DICOM PS3.3, A.36)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, InputError, StorageError
from cinema_core.io.dicom_write import common_attributes, decimal, stored_pixels, trigger_ms_of

FRAME_TYPE: Final = ["DERIVED", "PRIMARY", "CARDIAC_GATED", "NONE"]


def write_enhanced_dicom(
    cine: Cine,
    path: Path | str,
    *,
    patient_id: str,
    series_description: str | None = None,
    series_number: int = 1,
    study_entropy: str | None = None,
) -> Path:
    """Write a cine as one enhanced MR object.

    Pixels, pseudonym and UIDs are treated as by :func:`cinema_core.io.dicom_write.write_dicom`.

    Parameters
    ----------
    path
        File to write; its folder is made.

    Returns
    -------
    The file.

    Raises
    ------
    GeometryError
        If the cine does not say where it lies.
    InputError
        If the file exists, or the slices have different sizes: one object holds frames of one size.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    if not cine.geometry.spacing_is_stated:
        raise GeometryError(
            f"The cine {cine.id} states no spacing, so it cannot be written as DICOM. Write a NIfTI file."
        )
    if len({cine.image_extent(z) for z in range(cine.n_slices)}) > 1:
        raise InputError(
            f"The slices of the cine {cine.id} have different numbers of rows or columns, which one enhanced object "
            "cannot hold. Write classic DICOM."
        )
    if path.exists():
        raise InputError(f"{path} exists already. Choose another name.")
    data = _object(cine, patient_id, study_entropy or cine.content_sha256)
    data.SeriesDescription = series_description or f"cine_{cine.view.value}"
    data.SeriesNumber = series_number
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(temporary, enforce_file_format=True)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror or error}. Choose another folder or free some space."
        ) from error
    return path


def _object(cine: Cine, patient_id: str, study_entropy: str) -> Dataset:
    """Whole object, frame after frame: all phases of the first slice, then of the next."""
    stored, slope, intercept = stored_pixels(cine)
    frames = [(t, z) for z in range(cine.n_slices) for t in range(cine.n_phases) if cine.has_image(t, z)]
    rows, columns = cine.image_extent(0)
    signed = stored.dtype.kind == "i"
    uid = UID(generate_uid(entropy_srcs=[cine.content_sha256, cine.id, "enhanced"]))
    data = common_attributes(cine, patient_id, study_entropy)
    data.SOPClassUID, data.SOPInstanceUID = EnhancedMRImageStorage, uid
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[cine.content_sha256, cine.id, "enhanced series"])
    data.PatientPosition, data.ContentQualification = "", "RESEARCH"
    data.ImageType = FRAME_TYPE
    data.InstanceNumber = 1
    data.ManufacturerModelName, data.DeviceSerialNumber, data.SoftwareVersions = "none", "none", "1"
    data.ContentDate, data.ContentTime = "19000101", "000000"  # wanted by the standard; nobody's dates are written
    data.PixelPresentation, data.VolumetricProperties = "MONOCHROME", "VOLUME"
    data.VolumeBasedCalculationTechnique = "NONE"
    data.ComplexImageComponent, data.AcquisitionContrast = "MAGNITUDE", "UNKNOWN"
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
    data.PresentationLUTShape = "IDENTITY"
    data.AcquisitionContextSequence = Sequence()
    data.PixelRepresentation = int(signed)
    data.Rows, data.Columns, data.NumberOfFrames = rows, columns, len(frames)
    dimension = generate_uid(entropy_srcs=[uid, "dimension"])
    data.DimensionOrganizationSequence = Sequence([_item(DimensionOrganizationUID=dimension)])
    data.DimensionIndexSequence = Sequence(
        _item(
            DimensionOrganizationUID=dimension,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=0x00209111,  # FrameContentSequence
            DimensionDescriptionLabel=label,
        )
        for pointer, label in ((0x00209057, "In-Stack Position Number"), (0x00209128, "Temporal Position Index"))
    )
    # Once for all frames: what no slice and no phase changes.
    frame_type = _item(
        FrameType=FRAME_TYPE,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="UNKNOWN",
    )
    heart = _item(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")
    anatomy = _item(FrameLaterality="U", AnatomicRegionSequence=Sequence([heart]))
    values = _item(RescaleSlope=decimal(slope), RescaleIntercept=decimal(intercept), RescaleType="US")
    middle = (float(stored.max()) + float(stored.min())) / 2 * slope + intercept
    width = max(1.0, (float(stored.max()) - float(stored.min())) * slope)
    window = _item(WindowCenter=decimal(middle), WindowWidth=decimal(width))
    data.SharedFunctionalGroupsSequence = Sequence(
        [
            _item(
                FrameAnatomySequence=Sequence([anatomy]),
                MRImageFrameTypeSequence=Sequence([frame_type]),
                PixelValueTransformationSequence=Sequence([values]),
                FrameVOILUTSequence=Sequence([window]),
            )
        ]
    )
    data.PerFrameFunctionalGroupsSequence = Sequence(_frame(cine, t, z) for t, z in frames)
    pixels = np.stack([stored[t, z, :rows, :columns] for t, z in frames]).astype("<i2" if signed else "<u2")
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = uid
    return data


def _frame(cine: Cine, t: int, z: int) -> Dataset:
    """Where and when one frame was taken."""
    plane, timing = cine.geometry.planes[z], cine.timing
    content = _item(
        StackID="1",
        InStackPositionNumber=z + 1,
        TemporalPositionIndex=t + 1,
        DimensionIndexValues=[z + 1, t + 1],
    )
    step_mm = cine.geometry.slice_step_mm
    measures = _item(PixelSpacing=[decimal(v) for v in plane.spacing_mm])
    if step_mm:
        # How thick a slice is was never kept: the length that it stands for.
        measures.SliceThickness = measures.SpacingBetweenSlices = decimal(step_mm)
    group = _item(
        FrameContentSequence=Sequence([content]),
        PixelMeasuresSequence=Sequence([measures]),
        PlanePositionSequence=Sequence([_item(ImagePositionPatient=[decimal(v) for v in plane.origin_mm])]),
        PlaneOrientationSequence=Sequence(
            [_item(ImageOrientationPatient=[decimal(v) for v in (*plane.x_direction, *plane.y_direction)])]
        ),
    )
    trigger_ms = trigger_ms_of(cine, t, z)
    if trigger_ms is not None:
        beat = _item(NominalCardiacTriggerDelayTime=float(trigger_ms))
        if timing.rr_ms:
            beat.RRIntervalTimeNominal = float(timing.rr_ms[z])
        group.CardiacSynchronizationSequence = Sequence([beat])
    return group


def _item(**values: object) -> Dataset:
    """Dataset of some attributes."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item
