"""Open DICOM: headers first, which tell the studies apart; then the cines of one study."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cinema_core.errors import SeveralStudiesError, StudyError
from cinema_core.io.dicom_cines import read_cines
from cinema_core.io.dicom_headers import ImageHeader, read_headers
from cinema_core.io.files import SourceFile
from cinema_core.io.study import ImportChoices, ImportReport, RefusedFile, Study, as_chosen, pseudonym
from cinema_core.progress import CancelToken, Progress, no_progress


@dataclass(frozen=True, eq=False)
class DicomStudy:
    """Images of one examination, as far as their headers tell.

    Attributes
    ----------
    headers
        Of its images, in the order of the files.
    """

    headers: tuple[ImageHeader, ...]

    @cached_property
    def id(self) -> str:
        """Pseudonym: from the study's UID, or from those of its images where an anonymiser took that away."""
        return pseudonym(
            self.study_uid or ",".join(sorted(f"{header.sop_uid}/{header.frame}" for header in self.headers))
        )

    @property
    def study_uid(self) -> str:
        """UID as the files state it; empty where an anonymiser took it away."""
        return self.headers[0].study_uid

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.headers)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Files (or members of archives) that hold its images."""
        return tuple(dict.fromkeys(header.file.path for header in self.headers))

    @property
    def folder(self) -> Path:
        """Innermost folder that holds all files."""
        return Path(os.path.commonpath([file.parent for file in self.files]))


def find_studies(
    files: Sequence[SourceFile], progress: Progress, cancel: CancelToken | None = None
) -> tuple[list[DicomStudy], list[RefusedFile]]:
    """Read the headers of some files and sort them into studies; no pixel is read.

    Returns
    -------
    Studies, in the order of their files, and the files that are no usable MR image.

    Raises
    ------
    Cancelled
        If ``cancel`` was raised.
    """
    headers, refused = read_headers(files, progress, cancel)
    studies: dict[str, list[ImageHeader]] = defaultdict(list)
    for header in headers:
        studies[header.study_uid].append(header)
    return [DicomStudy(tuple(images)) for images in studies.values()], refused


def load_dicom(
    path: Path,
    files: Sequence[SourceFile],
    *,
    study: str | None,
    choices: ImportChoices | Callable[[str], ImportChoices] | None,
    refused: Sequence[RefusedFile],
    progress: Progress,
    cancel: CancelToken | None,
) -> Study:
    """Open the cines of one study among some files.

    Parameters
    ----------
    path
        What the reader pointed at.
    study
        Pseudonym of the study to open where there are several.
    refused
        What was refused before the files were opened.

    Raises
    ------
    StudyError
        If no file is a usable MR image, or they belong to more than one study and none was named.
    Cancelled
        If ``cancel`` was raised.
    """
    studies, unusable = find_studies(files, progress, cancel)
    unusable = [*refused, *unusable]
    if not studies:
        raise nothing_usable(path, unusable)
    return read_study(path, choose(path, studies, study), unusable, choices, progress, cancel)


def read_study(
    path: Path,
    study: DicomStudy,
    refused: Sequence[RefusedFile] = (),
    choices: ImportChoices | Callable[[str], ImportChoices] | None = None,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Study:
    """Read the cines of a study that was found.

    Parameters
    ----------
    path
        What the reader pointed at.
    refused
        Files beside it that were not used, for the report.

    Raises
    ------
    StudyError
        If no image can be decoded.
    Cancelled
        If ``cancel`` was raised.
    """
    chosen = choices(study.id) if callable(choices) else choices or ImportChoices()
    found = read_cines(study.headers, chosen, progress, cancel)
    progress(1.0, "Study read")
    report = ImportReport(
        (*refused, *found.refused), tuple(found.notes), len(study.files) + len(refused), found.repeats
    )
    return as_chosen(Study(study.id, path, found.cines, report), chosen)


def choose(path: Path, studies: Sequence[DicomStudy], study: str | None) -> DicomStudy:
    """Return the study that was asked for.

    Raises
    ------
    StudyError
        If it is not there, or none was asked for and there are several.
    """
    if study is None and len(studies) == 1:
        return studies[0]
    for candidate in studies:
        if candidate.id == study:
            return candidate
    named = [f"{found.id} ({found.n_images} images in {found.folder})" for found in studies]
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    listed = f"{', '.join(named[:4])}{more}"
    if study is not None:
        raise StudyError(f"{path} holds no study {study}; found: {listed}. Check the name, or open the right folder.")
    raise SeveralStudiesError(
        f"{path} holds {len(studies)} studies: {listed}. Choose one with --study, or open its folder."
    )


def nothing_usable(path: Path, refused: Sequence[RefusedFile]) -> StudyError:
    """Say why no study could be found."""
    if not refused:
        return StudyError(f"{path} is an empty folder. Choose the folder that holds the DICOM or NIfTI files.")
    if len(refused) == 1:
        return StudyError(f"{refused[0].path}: {refused[0].reason}. Choose a folder of MR images with their geometry.")
    reasons = Counter(file.reason for file in refused)
    reason, count = reasons.most_common(1)[0]
    return StudyError(
        f"{path}: none of {len(refused)} files is a usable MR image; {count} of them: {reason}. "
        "Choose the folder that holds the cine series."
    )
