"""A copy of a DICOM study without the person: the Basic Application Level Confidentiality Profile (DICOM PS3.15, E).

Which attribute is removed, emptied or replaced is the table of the standard, as dicom-anonymizer carries it. On top
of the table, what it cannot name is taken away by its kind: private attributes, names of persons, dates, UIDs that
are not the standard's own. Pixel data is copied byte by byte; geometry and the times of the heartbeat stay.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import pydicom
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, MRImageStorage

from cinema_core.errors import StorageError
from cinema_core.io.dicom import DicomStudy
from cinema_core.io.dicom_headers import read_dataset, tolerant_pydicom
from cinema_core.io.dicom_views import view_hint
from cinema_core.io.study import RefusedFile, pseudonym
from cinema_core.progress import CancelToken, Progress, no_progress

TABLE: Final = "dicomfields_2026c"
"""Edition of PS3.15 table E.1-1."""

STANDARD_ROOT: Final = "1.2.840.10008."
"""UIDs of the standard itself (classes, syntaxes) name no one."""

IMPLEMENTATION_UID: Final = UID("2.25.302066420541834022926018441277905208321")

MAX_SHIFT_DAYS: Final = 3650

CHARACTERISTICS: Final = ("PatientSex", "PatientAge", "PatientSize", "PatientWeight")
"""Kept on request: indexed volumes need height and weight."""

_CODES: Final = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}
"""DICOM PS3.16, context group 7050."""


@dataclass(frozen=True)
class Rules:
    """How a copy is made.

    Attributes
    ----------
    key
        Secret that new UIDs and the shift of dates follow from: with the same key the copies of one person's
        studies fit together, without it nobody finds the way back.
    shift_dates
        Whether all dates of a person move by the same secret number of days, and times of day stay; else both go.
    keep_characteristics
        Whether sex, age, height and weight stay.
    """

    key: bytes
    shift_dates: bool = False
    keep_characteristics: bool = False

    def uid(self, original: str) -> str:
        """Return the UID that takes the place of another."""
        digest = hmac.new(self.key, f"uid {original}".encode(), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    def person(self, patient_id: str) -> str:
        """Return the pseudonym of a person, the same for all studies that state this patient ID."""
        return f"person-{hmac.new(self.key, f'person {patient_id}'.encode(), hashlib.sha256).hexdigest()[:8]}"

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days the dates of a person move into the past."""
        digest = hmac.new(self.key, f"dates {patient_id}".encode(), hashlib.sha256).digest()
        return -1 - int.from_bytes(digest[:4], "big") % MAX_SHIFT_DAYS


@dataclass(frozen=True)
class DeidentifiedCopy:
    """What was written.

    Attributes
    ----------
    study
        Pseudonym of the copy, by which the program knows it when it is opened.
    original
        Pseudonym of the study that was copied.
    refused
        Files that were not copied, each with its reason.
    """

    study: str
    original: str
    files: tuple[Path, ...]
    refused: tuple[RefusedFile, ...]


def copy_study(
    study: DicomStudy,
    folder: Path,
    rules: Rules,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> DeidentifiedCopy:
    """Write a copy of the MR images of one study without the person.

    Parameters
    ----------
    study
        As :func:`cinema_core.io.dicom.find_studies` gives it. Its files are only read.
    folder
        Made; files are ``IM00001.dcm`` and on, in the order of the originals.

    Raises
    ------
    StorageError
        If a file cannot be written.
    Cancelled
        If ``cancel`` was raised.
    """
    study_uid = rules.uid(study.study_uid or study.id)
    new_id = pseudonym(study_uid)
    files = {header.file.path: header.file for header in study.headers}
    written: list[Path] = []
    refused: list[RefusedFile] = []
    folder.mkdir(parents=True, exist_ok=True)
    for k, (path, file) in enumerate(files.items()):
        if cancel is not None:
            cancel.raise_if_cancelled()
        progress(k / len(files), f"Copying file {k + 1} of {len(files)}")
        try:
            with file.open() as stream, tolerant_pydicom():
                data = deidentified(read_dataset(stream), rules, new_id)
                data.StudyInstanceUID = study_uid
        except _Unsafe as reason:
            refused.append(RefusedFile(str(path), str(reason)))
            continue
        # A damaged element can make pydicom fail in many ways; a copy that may hold a name is not written.
        except Exception as error:
            refused.append(RefusedFile(str(path), f"cannot be de-identified for sure ({type(error).__name__})"))
            continue
        target = folder / f"IM{k + 1:05d}.dcm"
        try:
            with tolerant_pydicom():
                data.save_as(target, enforce_file_format=True)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror or error}. Choose another folder or free some space."
            ) from error
        written.append(target)
    progress(1.0, "Study copied")
    return DeidentifiedCopy(new_id, study.id, tuple(written), tuple(refused))


class _Unsafe(Exception):
    """Why an image cannot be given away."""


def deidentified(data: pydicom.FileDataset, rules: Rules, name: str) -> pydicom.FileDataset:
    """Take the person out of a data set, in place.

    Parameters
    ----------
    name
        Pseudonym that takes the place of the name.
    """
    if str(data.get("BurnedInAnnotation") or "").upper() == "YES":
        raise _Unsafe("text is burnt into its pixels, which may be a name")
    kept = {word: data[word].value for word in CHARACTERISTICS if rules.keep_characteristics and data.get(word)}
    patient_id = str(data.get("PatientID") or "")
    shift = rules.shift_days(patient_id) if rules.shift_dates else None
    described = view_hint(f"{data.get('SeriesDescription', '')} {data.get('ProtocolName', '')}")
    syntax = UID(data.file_meta.TransferSyntaxUID)
    _clean(data, rules, shift)
    for keyword, value in kept.items():
        setattr(data, keyword, value)
    data.PatientName, data.PatientID = name, rules.person(patient_id) if patient_id else name
    # The words of a technician may hold anything; of them only the view is said again.
    data.SeriesDescription = f"cine_{described.value}" if described else ""
    _say_so(data, rules)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = UID(data.get("SOPClassUID") or MRImageStorage)
    meta.MediaStorageSOPInstanceUID = UID(data.get("SOPInstanceUID") or rules.uid(name))
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    data.file_meta = meta
    data.preamble = b"\0" * 128
    return data


def _clean(data: Dataset, rules: Rules, shift: int | None) -> None:
    """Apply the table, and the rules by kind of value, to a data set and all sequences in it."""
    for tag in list(data.keys()):
        group = tag.group
        if tag.is_private or group in range(0x5000, 0x5100) or group in range(0x6000, 0x6100):
            del data[tag]  # private blocks, curves and overlays (drawn names)
            continue
        if tag == 0x7FE00010:
            continue
        element = data[tag]
        action = _actions().get((group, tag.element), "")
        if element.VR in ("DA", "TM", "DT"):
            _clean_date(data, element, shift, action)
        elif action == "remove" or element.VR == "UN":
            del data[tag]
        elif element.VR == "SQ":
            if action in ("empty", "replace"):
                element.value = []
            for item in element.value or []:
                _clean(item, rules, shift)
        elif element.VR == "UI":
            element.value = _other_uids(element.value, rules)
        elif action or element.VR == "PN":
            element.value = None


def _clean_date(data: Dataset, element: DataElement, shift: int | None, action: str) -> None:
    # A birth date is one also when it is shifted; ages are kept on request.
    if shift is None or element.keyword in ("PatientBirthDate", "PatientBirthTime"):
        if action == "remove" or not action:
            del data[element.tag]
        else:
            element.value = None
        return
    if element.VR == "TM" or not element.value:
        return
    try:
        element.value = _shifted(str(element.value), shift)
    except ValueError:
        element.value = None  # not a date: whatever it is, it does not stay


def _shifted(text: str, days: int) -> str:
    """Move ``YYYYMMDD``, or a date and time that begins so."""
    day = datetime.strptime(text[:8], "%Y%m%d") + timedelta(days=days)
    return day.strftime("%Y%m%d") + text[8:]


def _other_uids(value: Any, rules: Rules) -> Any:
    if not value:
        return value
    if isinstance(value, str):
        return value if value.startswith(STANDARD_ROOT) else rules.uid(value)
    return [one if str(one).startswith(STANDARD_ROOT) else rules.uid(str(one)) for one in value]


def _say_so(data: Dataset, rules: Rules) -> None:
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "napari-cinema, DICOM PS3.15 basic profile"
    codes = ["113100", "113105"]
    codes += ["113107"] if rules.shift_dates else []
    codes += ["113108"] if rules.keep_characteristics else []
    data.DeidentificationMethodCodeSequence = [_code(code) for code in codes]
    if rules.shift_dates:
        data.LongitudinalTemporalInformationModified = "MODIFIED"
    else:
        data.LongitudinalTemporalInformationModified = "REMOVED"


def _code(value: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", _CODES[value]
    return code


@cache
def _actions() -> dict[tuple[int, int], str]:
    """Read the table: what becomes of an attribute, by group and element.

    Where the standard leaves a choice by the type of the attribute, it is emptied: that fits types 2 and 3, and of
    those of type 1 in MR images only UIDs are concerned, which are replaced.
    """
    table = dicom_anonymization_database_selector(TABLE)
    by_category = {"X_TAGS": "remove", "D_TAGS": "replace"}
    actions = {}
    for category, tags in table.items():
        if category in ("ALL_TAGS", "U_TAGS"):
            continue
        for tag in tags:
            if len(tag) == 2:  # groups of tags (curves, overlays) are removed by their group
                actions[tag] = by_category.get(category, "empty")
    return actions
