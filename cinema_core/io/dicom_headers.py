"""First step of opening DICOM: read headers, keep what a cine can be made of, and say why the rest is refused."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom import config
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from cinema_core.cine import Patient, Plane
from cinema_core.errors import GeometryError
from cinema_core.io.study import RefusedFile
from cinema_core.progress import Progress

DEFER_BYTES: Final = 1024
"""Longer values, pixels and vendors' private blocks, are left in the file."""

HEADERS_SHARE: Final = 0.4
"""Part of the time of opening that headers take, for progress."""

UNDEFINED_LENGTH: Final = 0xFFFFFFFF

_PIXEL_DATA: Final = 0x7FE00010

_PYDICOM_SETTINGS: Final = threading.RLock()
"""pydicom's settings are the process's: two studies read at once must not restore each other's."""


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """What one image file says of its place, its moment and its series; nothing that names the person.

    Attributes
    ----------
    kind
        Part of ImageType that tells magnitude from phase images of one series (``M``, ``P``).
    text
        Series description and protocol, for view hints only; it may hold anything and is shown nowhere.
    trigger_ms, temporal_position, acquisition_s, instance_number
        When the image was taken, as far as the file says.
    rr_ms
        Length of the beat: NominalInterval, else from HeartRate.
    """

    path: Path
    study_uid: str
    series_uid: str
    series_number: int | None
    sop_uid: str
    plane: Plane
    rows: int
    columns: int
    kind: str
    text: str
    trigger_ms: float | None
    temporal_position: float | None
    acquisition_s: float | None
    instance_number: float | None
    rr_ms: float | None
    patient: Patient


class _Refusal(Exception):
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


def read_headers(paths: list[Path], progress: Progress) -> tuple[list[ImageHeader], list[RefusedFile]]:
    """Read every file's header; a file that is no usable MR image is refused with its reason."""
    headers: list[ImageHeader] = []
    refused: list[RefusedFile] = []
    seen: set[str] = set()
    with tolerant_pydicom():
        for k, path in enumerate(paths):
            if k % 25 == 0:
                progress(HEADERS_SHARE * k / len(paths), f"Reading file {k + 1} of {len(paths)}")
            try:
                header = _read_header(path)
                if header.sop_uid in seen:
                    raise _Refusal("a second copy of an image that was read already")
            except _Refusal as refusal:
                refused.append(RefusedFile(str(path), str(refusal)))
                continue
            if header.sop_uid:
                seen.add(header.sop_uid)
            headers.append(header)
    return headers, refused


def _read_header(path: Path) -> ImageHeader:
    try:
        data = pydicom.dcmread(path, defer_size=DEFER_BYTES)
        _check_is_image(data, path)
        return _header(data, path)
    except _Refusal:
        raise
    except InvalidDicomError as error:
        raise _Refusal("not a DICOM file (no DICOM mark at its start)") from error
    # A damaged file can make pydicom fail in many ways; each is a reason to refuse this file, not the study.
    except Exception as error:
        raise _Refusal(f"damaged: its header cannot be read ({type(error).__name__})") from error


def _check_is_image(data: pydicom.FileDataset, path: Path) -> None:
    if data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise _Refusal("a DICOM directory, which holds no image")
    modality = str(data.get("Modality", ""))
    if modality not in ("", "MR"):
        raise _Refusal(f"not an MR image (modality {modality[:16]})")
    if _PIXEL_DATA not in data or "Rows" not in data or "Columns" not in data:
        raise _Refusal("holds no pixel data")
    _check_is_whole(data, path)
    missing = [name for tag, name in _GEOMETRY_TAGS.items() if data.get(tag) is None or data.get(tag) == ""]
    n_frames = int(data.get("NumberOfFrames") or 1)
    if missing:
        frames = f"{n_frames} frames, " if n_frames > 1 else ""
        raise _Refusal(f"no geometry: {frames}{', '.join(missing)} not given, so volumes cannot be measured")
    if n_frames > 1:
        raise _Refusal(f"multi-frame object of {n_frames} frames; export the study as classic MR, one file per image")
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise _Refusal("a colour image, not a measurement")


_GEOMETRY_TAGS: Final = {
    "PixelSpacing": "PixelSpacing",
    "ImagePositionPatient": "ImagePositionPatient",
    "ImageOrientationPatient": "ImageOrientationPatient",
}


def _check_is_whole(data: pydicom.FileDataset, path: Path) -> None:
    """Compare the pixels that the header promises with the bytes that are there."""
    element = data.get_item(_PIXEL_DATA, keep_deferred=True)
    length = int(getattr(element, "length", UNDEFINED_LENGTH))
    if length == UNDEFINED_LENGTH or data.file_meta.TransferSyntaxUID.is_compressed:
        return  # compressed: its length says nothing; decoding will tell
    bits = int(data.BitsAllocated) * int(data.get("SamplesPerPixel") or 1) * int(data.get("NumberOfFrames") or 1)
    expected = int(data.Rows) * int(data.Columns) * bits // 8
    found = min(length, path.stat().st_size - int(getattr(element, "value_tell", 0)))
    if found < expected:
        raise _Refusal(f"cut short: {max(found, 0)} of {expected} bytes of pixels are there; copy the file again")


def _header(data: pydicom.FileDataset, path: Path) -> ImageHeader:
    orientation = np.array([float(v) for v in data.ImageOrientationPatient])
    spacing = [float(v) for v in data.PixelSpacing]
    if len(orientation) != 6 or len(spacing) != 2:
        raise _Refusal("no geometry: orientation or pixel spacing is incomplete")
    lengths = np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])
    if min(lengths) < 0.5 or abs(float(orientation[:3] @ orientation[3:])) > 0.01:
        raise _Refusal("no geometry: rows and columns of the image do not stand at right angles")
    try:
        plane = Plane(
            np.array([float(v) for v in data.ImagePositionPatient]),
            orientation[:3] / lengths[0],
            orientation[3:] / lengths[1],
            (spacing[0], spacing[1]),
        )
    except GeometryError as error:
        raise _Refusal(f"no geometry: {str(error).rstrip('.')}") from error
    image_type = [str(part) for part in data.get("ImageType") or []]
    return ImageHeader(
        path=path,
        study_uid=str(data.get("StudyInstanceUID", "")),
        series_uid=str(data.get("SeriesInstanceUID", "")),
        series_number=_integer(data.get("SeriesNumber")),
        sop_uid=str(data.get("SOPInstanceUID", "")),
        plane=plane,
        rows=int(data.Rows),
        columns=int(data.Columns),
        kind=image_type[2] if len(image_type) > 2 else "",
        text=f"{data.get('SeriesDescription', '')} {data.get('ProtocolName', '')}",
        trigger_ms=_number(data.get("TriggerTime")),
        temporal_position=_number(data.get("TemporalPositionIdentifier")),
        acquisition_s=_seconds(data.get("AcquisitionTime")),
        instance_number=_number(data.get("InstanceNumber")),
        rr_ms=_rr_ms(data),
        patient=_patient(data),
    )


def _rr_ms(data: pydicom.Dataset) -> float | None:
    """Length of the beat, of those values that a heart can have."""
    rate = _number(data.get("HeartRate"))
    for rr_ms in (_number(data.get("NominalInterval")), 60000 / rate if rate else None):
        if rr_ms is not None and 200 <= rr_ms <= 3000:
            return rr_ms
    return None


def _patient(data: pydicom.Dataset) -> Patient:
    sex = str(data.get("PatientSex") or "").upper()
    return Patient(
        sex=sex if sex in ("F", "M", "O") else None,
        age_years=_age_years(str(data.get("PatientAge") or "")),
        # Zero is written for "unknown"; a height in cm is an error of the sender that is not guessed away.
        height_m=_within(_number(data.get("PatientSize")), 0.3, 2.5),
        weight_kg=_within(_number(data.get("PatientWeight")), 0.5, 400.0),
    )


def _age_years(text: str) -> float | None:
    """Read an age string: three digits and a unit, ``045Y``."""
    units = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
    if len(text) < 2 or not text[:-1].isdigit() or text[-1].upper() not in units:
        return None
    return int(text[:-1]) * units[text[-1].upper()]


def _seconds(value: Any) -> float | None:
    """Read ``HHMMSS.ffffff`` as seconds of the day."""
    text = str(value or "").replace(":", "")
    if len(text) < 6 or not text[:6].isdigit():
        return None
    seconds = _number(text[4:])
    return None if seconds is None else int(text[:2]) * 3600 + int(text[2:4]) * 60 + seconds


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None
