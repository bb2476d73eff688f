"""First step of opening DICOM: read headers, keep what a cine can be made of, and say why the rest is refused."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pydicom
from pydicom import config
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cinema_core.cine import Patient, Plane
from cinema_core.errors import GeometryError
from cinema_core.io.files import SourceFile
from cinema_core.io.study import RefusedFile
from cinema_core.progress import CancelToken, Progress

DEFER_BYTES: Final = 1024
"""Longer values, pixels and vendors' private blocks, are left in the file."""

HEADERS_SHARE: Final = 0.4
"""Part of the time of opening that headers take, for progress."""

N_READERS: Final = 4
"""Files opened at once: a network drive answers slowly, and parsing waits for nobody else."""

UNDEFINED_LENGTH: Final = 0xFFFFFFFF

RR_BELIEVABLE_MS: Final = (200.0, 3000.0)
"""20 to 300 beats a minute; outside it stands a placeholder."""

_PIXEL_DATA: Final = 0x7FE00010

_PYDICOM_SETTINGS: Final = threading.RLock()
"""pydicom's settings are the process's: two studies read at once must not restore each other's."""


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """What one image says of its place, its moment and its series; nothing that names the person.

    Attributes
    ----------
    file, frame
        Where its pixels are; the frame is 0 in a file of one image.
    plane
        None in a multi-frame object that does not say where it lies.
    kind
        Part of ImageType that tells magnitude from phase images of one series (``M``, ``P``).
    text
        Series description and protocol, for view hints only; it may hold anything and is shown nowhere.
    trigger_ms, temporal_position, acquisition_s, instance_number
        When the image was taken, as far as the file says.
    inversion_ms, echo_ms
        Contrast of the image; images of a cine share it, those of a map do not.
    rr_ms, rr_source
        Length of the beat: ``stated`` (NominalInterval) or from the ``heart rate``.
    frame_of_reference_uid
        Coordinate system that the plane is given in; empty if the file does not say.
    """

    file: SourceFile
    frame: int
    study_uid: str
    series_uid: str
    series_number: int | None
    sop_uid: str
    sop_class_uid: str
    plane: Plane | None
    rows: int
    columns: int
    kind: str
    text: str
    trigger_ms: float | None
    temporal_position: float | None
    acquisition_s: float | None
    instance_number: float | None
    acquisition_number: int | None
    inversion_ms: float | None
    echo_ms: float | None
    rr_ms: float | None
    rr_source: str
    patient: Patient
    frame_of_reference_uid: str = ""

    @property
    def path(self) -> str:
        """The file, for the report."""
        return str(self.file.path)


class Refusal(Exception):
    """Why a file is not used."""


@contextmanager
def tolerant_pydicom() -> Iterator[None]:
    """Take values as they are written while reading.

    Anonymisers leave illegal UIDs and dates (Sunnybrook: leading zeros, ``20120000``). pydicom would warn of
    each, and log it with its value, which may be a patient's. Nothing that is read here depends on them.
    """
    with _PYDICOM_SETTINGS, config.disable_value_validation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom(\.|$)")
        yield


def read_headers(
    files: Sequence[SourceFile], progress: Progress, cancel: CancelToken | None = None
) -> tuple[list[ImageHeader], list[RefusedFile]]:
    """Read every file's header; a file that is no usable MR image is refused with its reason.

    Raises
    ------
    Cancelled
        If ``cancel`` was raised; it is looked at every few files.
    """
    headers: list[ImageHeader] = []
    refused: list[RefusedFile] = []
    seen: set[str] = set()
    with tolerant_pydicom(), ThreadPoolExecutor(N_READERS) as pool:
        for start in range(0, len(files), 32):
            if cancel is not None:
                cancel.raise_if_cancelled()
            progress(HEADERS_SHARE * start / len(files), f"Reading file {start + 1} of {len(files)}")
            some = files[start : start + 32]
            for file, found in zip(some, pool.map(_read_file, some), strict=True):
                if isinstance(found, str):
                    refused.append(RefusedFile(str(file.path), found))
                elif found[0].sop_uid in seen:
                    refused.append(RefusedFile(str(file.path), "a second copy of an image that was read already"))
                else:
                    headers += found
                    seen |= {found[0].sop_uid} - {""}
    return headers, refused


def _read_file(file: SourceFile) -> list[ImageHeader] | str:
    """Headers of the images in a file, or why it is not used."""
    try:
        with file.open() as stream:
            data = read_dataset(stream, defer_size=DEFER_BYTES)
            _check_is_image(data, file)
            # An anonymiser left an empty item in Sunnybrook's files, which makes no multi-frame object of them.
            is_enhanced = any(len(group) for group in data.get("PerFrameFunctionalGroupsSequence") or [])
            if int(data.get("NumberOfFrames") or 1) == 1 and not is_enhanced:
                return [_classic(data, file)]
            # Long sequences were deferred above, and cannot be fetched from within an archive.
            stream.seek(0)
            data = read_dataset(stream, stop_before_pixels=True)
        from cinema_core.io.dicom_frames import frame_headers

        return frame_headers(data, file)
    except Refusal as refusal:
        return str(refusal)
    except InvalidDicomError:
        return "not a DICOM file (no DICOM mark at its start)"
    except OSError as error:
        if error.errno is None and not file.is_in_archive:  # raised by the parser, not by the disk
            return f"damaged: its header cannot be read ({type(error).__name__})"
        return f"cannot be opened: {error.strerror or error}"
    # A damaged file can make pydicom fail in many ways; each is a reason to refuse this file, not the study.
    except Exception as error:
        return f"damaged: its header cannot be read ({type(error).__name__})"


def read_dataset(stream: BinaryIO, **options: Any) -> pydicom.FileDataset:
    """Read a DICOM file, also one whose first 132 bytes or file meta an archive has cut off.

    Raises
    ------
    InvalidDicomError
        If it is something else.
    """
    try:
        return pydicom.dcmread(stream, **options)
    except InvalidDicomError:
        stream.seek(0)
        start = stream.read(8)
        # Without the mark anything parses as something: only what begins like a data set is tried.
        if len(start) < 8 or int.from_bytes(start[:2], "little") not in (0x0002, 0x0008):
            raise
        stream.seek(0)
        data = pydicom.dcmread(stream, force=True, **options)
        if "SOPClassUID" not in data or "Rows" not in data:
            raise
    if "TransferSyntaxUID" not in data.file_meta:
        data.file_meta.TransferSyntaxUID = _encoding_of(data)
    return data


def _encoding_of(data: pydicom.FileDataset) -> UID:
    """Transfer syntax of a file that does not name it: as pydicom found it to be encoded, uncompressed."""
    is_implicit, is_little = data.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


_NO_IMAGES: Final = {
    "1.2.840.10008.1.3.10": "a DICOM directory, which holds no image",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation; import it as labels",
    "1.2.840.10008.5.1.4.1.1.104.1": "a PDF document, not an image",
}
"""Objects that lie beside images, by their SOP class."""


def _check_is_image(data: pydicom.FileDataset, file: SourceFile) -> None:
    # By what is there, not by the SOP class alone: archives write wrong ones, and anonymisers drop it.
    sop_class = str(data.file_meta.get("MediaStorageSOPClassUID") or data.get("SOPClassUID") or "")
    if sop_class in _NO_IMAGES:
        raise Refusal(_NO_IMAGES[sop_class])
    modality = str(data.get("Modality") or "")
    if modality not in ("", "MR"):
        raise Refusal(f"not an MR image (modality {modality[:16]})")
    if _PIXEL_DATA not in data or "Rows" not in data or "Columns" not in data:
        raise Refusal("holds no pixel data")
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise Refusal("a colour image, not a measurement")
    if str(data.get("PhotometricInterpretation") or "MONOCHROME2") not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refusal("a colour image, not a measurement")
    if not (0 < int(data.Rows) <= 8192 and 0 < int(data.Columns) <= 8192):
        raise Refusal(f"damaged: an image of {int(data.Rows)} x {int(data.Columns)} pixels")
    _check_is_whole(data, file)


def _check_is_whole(data: pydicom.FileDataset, file: SourceFile) -> None:
    """Compare the pixels that the header promises with the bytes that are there."""
    element = data.get_item(_PIXEL_DATA, keep_deferred=True)
    length = int(getattr(element, "length", UNDEFINED_LENGTH))
    if length == UNDEFINED_LENGTH or UID(data.file_meta.TransferSyntaxUID).is_compressed:
        return  # compressed: its length says nothing; decoding will tell
    bits = int(data.BitsAllocated) * int(data.get("NumberOfFrames") or 1)
    expected = int(data.Rows) * int(data.Columns) * bits // 8
    # Positions in a deflated file count unpacked bytes.
    is_deflated = UID(data.file_meta.TransferSyntaxUID).is_deflated
    found = length if is_deflated else min(length, file.n_bytes() - int(getattr(element, "value_tell", 0)))
    if found < expected:
        raise Refusal(f"cut short: {max(found, 0)} of {expected} bytes of pixels are there; copy the file again")


def _classic(data: pydicom.FileDataset, file: SourceFile) -> ImageHeader:
    """Header of a file of one image."""
    missing = [
        name
        for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
        if data.get(name) is None or data.get(name) == ""
    ]
    if missing:
        raise Refusal(f"no geometry: {', '.join(missing)} not given, so volumes cannot be measured")
    plane = plane_of(data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing)
    return image_header(data, file, 0, plane)


def plane_of(position: Any, orientation: Any, spacing: Any) -> Plane:
    """Plane from the three attributes that place an image; a :class:`Refusal` if they do not make one."""
    try:
        origin = np.array([float(v) for v in position])
        directions = np.array([float(v) for v in orientation])
        spacing_mm = [float(v) for v in spacing]
    except (TypeError, ValueError) as error:
        raise Refusal("no geometry: position, orientation or pixel spacing are not numbers") from error
    if len(origin) != 3 or len(directions) != 6 or len(spacing_mm) != 2:
        raise Refusal("no geometry: position, orientation or pixel spacing is incomplete")
    lengths = np.linalg.norm(directions[:3]), np.linalg.norm(directions[3:])
    # Cosines are written to six digits; a length of 1.1 or an angle of 89 degrees is a damaged value.
    if not all(abs(length - 1) <= 0.02 for length in lengths):
        raise Refusal("no geometry: the directions of rows and columns are not unit vectors")
    if abs(float(directions[:3] @ directions[3:])) > 0.01:
        raise Refusal("no geometry: rows and columns of the image do not stand at right angles")
    if np.abs(origin).max() > 1e4:
        raise Refusal("no geometry: the image would lie more than 10 m from the magnet's centre")
    if not all(0.05 <= mm <= 20 for mm in spacing_mm if np.isfinite(mm) and mm > 0):
        raise Refusal(f"no geometry: a pixel spacing of {spacing_mm[0]:g} x {spacing_mm[1]:g} mm is not one of MR")
    try:
        return Plane(origin, directions[:3] / lengths[0], directions[3:] / lengths[1], (spacing_mm[0], spacing_mm[1]))
    except GeometryError as error:
        raise Refusal(f"no geometry: {str(error).rstrip('.')}") from error


def image_header(
    data: pydicom.Dataset, file: SourceFile, frame: int, plane: Plane | None, **of_frame: Any
) -> ImageHeader:
    """Header of one image; what a frame says of itself goes before what its object says."""
    image_type = [str(part) for part in data.get("ImageType") or []]
    rr_ms, rr_source = _beat(data)
    values: dict[str, Any] = {
        "series_number": integer(data.get("SeriesNumber")),
        "kind": image_type[2] if len(image_type) > 2 else "",
        "trigger_ms": number(data.get("TriggerTime")),
        "temporal_position": number(data.get("TemporalPositionIdentifier")),
        "acquisition_s": seconds_of_day(data.get("AcquisitionTime") or data.get("ContentTime")),
        "instance_number": number(data.get("InstanceNumber")),
        "acquisition_number": integer(data.get("AcquisitionNumber")),
        "inversion_ms": number(data.get("InversionTime")),
        "echo_ms": number(data.get("EchoTime")),
        "rr_ms": rr_ms,
        "rr_source": rr_source,
    }
    return ImageHeader(
        file=file,
        frame=frame,
        study_uid=str(data.get("StudyInstanceUID", "")),
        series_uid=str(data.get("SeriesInstanceUID", "")),
        sop_uid=str(data.get("SOPInstanceUID", "")),
        sop_class_uid=str(data.get("SOPClassUID", "")),
        plane=plane,
        rows=int(data.Rows),
        columns=int(data.Columns),
        text=f"{data.get('SeriesDescription', '')} {data.get('ProtocolName', '')}",
        patient=_patient(data),
        frame_of_reference_uid=str(data.get("FrameOfReferenceUID") or ""),
        **(values | {name: value for name, value in of_frame.items() if value not in (None, "")}),
    )


def _beat(data: pydicom.Dataset) -> tuple[float | None, str]:
    """Length of the beat and its source, of those values that a heart can have."""
    rate = number(data.get("HeartRate"))
    stated = number(data.get("NominalInterval"))
    for rr_ms, source in ((stated, "stated"), (60000 / rate if rate else None, "heart rate")):
        if believable_beat(rr_ms):
            return rr_ms, source
    return None, ""


def believable_beat(rr_ms: float | None) -> bool:
    """Whether a heart can beat so."""
    return rr_ms is not None and RR_BELIEVABLE_MS[0] <= rr_ms <= RR_BELIEVABLE_MS[1]


def _patient(data: pydicom.Dataset) -> Patient:
    sex = str(data.get("PatientSex") or "").upper()
    return Patient(
        sex=sex if sex in ("F", "M", "O") else None,
        age_years=_age_years(str(data.get("PatientAge") or "")),
        # Zero is written for "unknown"; a height in cm is an error of the sender that is not guessed away.
        height_m=_within(number(data.get("PatientSize")), 0.3, 2.5),
        weight_kg=_within(number(data.get("PatientWeight")), 0.5, 400.0),
    )


def _age_years(text: str) -> float | None:
    """Read an age string: three digits and a unit, ``045Y``."""
    units = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
    if len(text) < 2 or not text[:-1].isdigit() or text[-1].upper() not in units:
        return None
    return int(text[:-1]) * units[text[-1].upper()]


def seconds_of_day(value: Any) -> float | None:
    """Read ``HHMMSS.ffffff``, or a date with it behind, as seconds of the day."""
    text = str(value or "").replace(":", "")
    whole = text.partition(".")[0]
    if len(whole) == 14:  # a DateTime: YYYYMMDDHHMMSS
        text = text[8:]
    if len(text) < 6 or not text[:6].isdigit():
        return None
    seconds = number(text[4:].partition("+")[0].partition("-")[0])
    return None if seconds is None else int(text[:2]) * 3600 + int(text[2:4]) * 60 + seconds


def number(value: Any) -> float | None:
    """Read a number; None for anything else, infinity included."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def integer(value: Any) -> int | None:
    """Read a whole number; None for anything else."""
    found = number(value)
    return None if found is None else int(found)


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None
