"""Pictures of slices as DICOM Secondary Captures of the study, for archives that show neither SEG nor SR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cinema_core.cine import Cine, Plane
from cinema_core.errors import LabelError
from cinema_core.io.dicom_seg import series_number
from cinema_core.io.dicom_sources import (
    CHARACTERS,
    MANUFACTURER,
    SERIAL_NUMBER,
    SourceFrame,
    made_of_images,
    source_frames,
)

if TYPE_CHECKING:
    from highdicom.sc import SCImage

SERIES_DESCRIPTION: Final = "Key images, research use only"

_LETTERS: Final = ("LR", "PA", "HF")
"""Towards plus and minus along each axis of the patient (LPS)."""


@dataclass(frozen=True, eq=False)
class Capture:
    """One picture of a slice.

    Attributes
    ----------
    pixels
        RGB, uint8, shape (rows, columns, 3).
    t, z
        Phase and slice that it shows.
    description
        What is seen, in one line; without a name.
    """

    pixels: NDArray[np.uint8]
    t: int
    z: int
    description: str


def secondary_captures(captures: Sequence[Capture], cine: Cine, software_version: str) -> list[SCImage]:
    """Make one object per picture; together they are a series of the cine's study.

    Each refers to the image that it shows, and names the patient as the images do. Pixel spacing is not stated: a
    picture has a margin with words, and nobody should measure on it.

    Returns
    -------
    highdicom's objects in the order of the pictures, ready to be saved.

    Raises
    ------
    StudyError
        If the cine was not read from DICOM files that are still there, or they lack what a picture needs.
    LabelError
        If there is no picture.
    """
    if not captures:
        raise LabelError("There is no key image: neither ED nor ES shows the LV. Segment the cine first.")
    with made_of_images(cine):
        sources = source_frames(cine, {one.t for one in captures})
        return list(_objects(captures, cine, sources, software_version))


def _objects(
    captures: Sequence[Capture], cine: Cine, sources: Mapping[tuple[int, int], SourceFrame], software_version: str
) -> Iterator[SCImage]:
    from highdicom import UID
    from highdicom.sc import SCImage

    series_uid, now = str(UID()), datetime.now()
    for number, capture in enumerate(captures, start=1):
        source = sources[capture.t, capture.z]
        made = SCImage.from_ref_dataset(
            ref_dataset=_sex_as_written(source.header),
            pixel_array=capture.pixels,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=patient_orientation(cine.geometry.planes[capture.z]),
            series_instance_uid=series_uid,
            series_number=series_number(source.header, 4),
            sop_instance_uid=str(UID()),
            instance_number=number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=software_version,
            device_serial_number=SERIAL_NUMBER,
            series_description=SERIES_DESCRIPTION,
            content_qualification="RESEARCH",
            content_date=now.date(),
            content_time=now.time(),
            specific_character_set=CHARACTERS,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        made.ConversionType = "WSD"  # made by a workstation
        made.BodyPartExamined = "HEART"  # not paired, so that it has no side
        made.BurnedInAnnotation = "NO"  # the words tell slice, phase and use, not who it is
        made.ImageComments = capture.description
        made.SourceImageSequence = [_reference(source)]
        yield made


def patient_orientation(plane: Plane) -> tuple[str, str]:
    """Letters of where a picture's rows and columns lead (DICOM PS3.3, C.7.6.1.1.1), of the nearest axis each."""
    letters = []
    for direction in (plane.x_direction, plane.y_direction):
        axis = int(np.abs(direction).argmax())
        letters.append(_LETTERS[axis][0 if direction[axis] > 0 else 1])
    return letters[0], letters[1]


def _sex_as_written(header: Dataset) -> Dataset:
    """Return the header, its empty sex left out: highdicom takes letters only, and writes an empty one by itself."""
    if header.PatientSex:
        return header
    copied = Dataset()
    copied.update(header)
    del copied.PatientSex
    return copied


def _reference(source: SourceFrame) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.is_multi_frame:
        reference.ReferencedFrameNumber = source.frame + 1
    return reference
