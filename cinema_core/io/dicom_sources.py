"""The DICOM images that a cine was read from, for objects that refer to them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage
from pydicom.valuerep import DA, TM

from cinema_core.cine import Cine
from cinema_core.errors import StorageError, StudyError
from cinema_core.io.dicom_headers import read_dataset, tolerant_pydicom
from cinema_core.io.files import is_zip, listed

MANUFACTURER: Final = "napari-cinema"
SERIAL_NUMBER: Final = "1"
"""Of the device that makes the objects; the standard wants one, and a program has none."""
MULTI_FRAME_CLASSES: Final = (EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)

CHARACTERS: Final = "ISO_IR 192"
"""UTF-8, whatever the images are in: a reader's name may have letters that theirs do not know."""

_TYPE_2: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes that every object of a study repeats, and that may be empty: archives leave some out."""

_TIMES: Final = {"DA": DA, "TM": TM}
_SEXES: Final = ("", "F", "M", "O")


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One image of a cine.

    Attributes
    ----------
    header
        Its DICOM object without pixels; one for all frames of a multi-frame object.
    frame
        Frame within a multi-frame object, from 0.
    """

    header: Dataset
    frame: int

    @property
    def is_multi_frame(self) -> bool:
        """Whether the object was made to hold several images.

        By its class: classic images may carry NumberOfFrames or per-frame groups too (Sunnybrook's do).
        """
        return self.header.SOPClassUID in MULTI_FRAME_CLASSES


def source_frames(cine: Cine, phases: Iterable[int]) -> dict[tuple[int, int], SourceFrame]:
    """Read the headers of the images of some phases, by (t, z).

    Raises
    ------
    StudyError
        If the cine was not read from DICOM, or its files are no longer there or are others by now.
    """
    wanted = {where: source for where, source in cine.sources.items() if where[0] in set(phases)}
    if not wanted or not all(source.sop_instance_uid for source in wanted.values()):
        raise StudyError(
            f"The cine {cine.id} was not read from DICOM, so no DICOM object can refer to its images. Export NIfTI."
        )
    headers = _headers({source.path for source in wanted.values()})
    for source in wanted.values():
        found = headers.get(source.path)
        if found is None or found.SOPInstanceUID != source.sop_instance_uid:
            raise StudyError("An image file is not the one that was read before. Open the study again.")
    return {where: SourceFrame(headers[source.path], source.frame) for where, source in wanted.items()}


@contextmanager
def made_of_images(cine: Cine) -> Iterator[None]:
    """Let highdicom make an object of a cine's images.

    Raises
    ------
    StudyError
        If the images lack what the object needs: highdicom checks them deeply, and says so in many ways.
    """
    try:
        with tolerant_pydicom(), warnings.catch_warnings():
            # It warns of names of one part, and quotes the patient's.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"highdicom(\.|$)")
            yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"The images of the cine {cine.id} cannot carry this DICOM object ({type(error).__name__}): something that "
            "the standard asks for is missing or wrong in them. Export CSV or NIfTI."
        ) from error


def write_object(made: Any, path: Path) -> None:
    """Write an object of highdicom's.

    Identifiers that are repeated from the images are written as they are there, legal or not: another one would
    belong to another study.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    try:
        with tolerant_pydicom():
            made.save_as(path)
    except OSError as error:
        raise StorageError(
            f"{path.name} could not be written: {error.strerror or error}. Choose another folder or free some space."
        ) from error


def _headers(paths: Iterable[Path]) -> dict[Path, Dataset]:
    places = sorted({_place(path) for path in paths})
    headers: dict[Path, Dataset] = {}
    with listed(places) as listing, tolerant_pydicom():
        for file in listing.files:
            if file.path not in paths:
                continue
            with file.open() as stream:
                header = read_dataset(stream, stop_before_pixels=True)
            for keyword in _TYPE_2:
                if keyword not in header or not _is_legal(header[keyword]):
                    setattr(header, keyword, "")
            headers[file.path] = header
    return headers


def _is_legal(element: DataElement) -> bool:
    """Whether an object of the study can repeat it: anonymisers leave days that never were (Sunnybrook: 20120000)."""
    if element.keyword == "PatientSex":
        return (element.value or "") in _SEXES
    try:
        _TIMES.get(element.VR, str)(element.value)
    except ValueError:
        return False
    return True


def _place(path: Path) -> Path:
    """Return the file, or the archive that it is a member of."""
    return next((parent for parent in path.parents if is_zip(parent) and parent.is_file()), path)
