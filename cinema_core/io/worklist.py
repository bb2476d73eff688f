"""Every study below a folder, as a list to work through: found by headers and file names, no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cinema_core.errors import StudyError
from cinema_core.io.datasets import DatasetFolder, dataset_folder
from cinema_core.io.dicom import DicomStudy, find_studies
from cinema_core.io.files import IGNORED, is_zip, listed
from cinema_core.io.load import is_label_name, load_study
from cinema_core.io.nifti import is_image
from cinema_core.io.study import ImportChoices, RefusedFile, Study
from cinema_core.progress import CancelToken, Progress, no_progress


class StudyKind(StrEnum):
    """What a study is stored as."""

    DICOM = "dicom"
    IMAGE = "image"
    ACDC = "acdc"
    MNMS = "mnms"
    MNMS2 = "mnms2"


@dataclass(frozen=True)
class WorklistEntry:
    """One study.

    Attributes
    ----------
    name
        What the reader sees: the pseudonym of a DICOM study, the place of files below the folder.
    path
        What is opened.
    study
        Pseudonym, where it is known without reading pixels (DICOM).
    summary
        What it holds, in a few words.
    group
        Diagnosis as a dataset states it; empty if it does not.
    labels
        Label images that lie beside it.
    """

    name: str
    path: Path
    kind: StudyKind
    study: str = ""
    summary: str = ""
    group: str = ""
    labels: tuple[Path, ...] = ()

    @property
    def label_order(self) -> str:
        """Order of the values of the labels that lie beside it; empty if it is not known."""
        return self.kind.value if self.kind in (StudyKind.ACDC, StudyKind.MNMS, StudyKind.MNMS2) else ""

    def load(
        self,
        *,
        choices: ImportChoices | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Study:
        """Open it; errors as of :func:`cinema_core.io.load_study`."""
        return load_study(self.path, study=self.study or None, choices=choices, progress=progress, cancel=cancel)


@dataclass(frozen=True)
class Worklist:
    """Studies of a place, in the order of their names.

    Attributes
    ----------
    refused
        Files that belong to no study, each with its reason.
    """

    path: Path
    entries: tuple[WorklistEntry, ...]
    refused: tuple[RefusedFile, ...] = ()


def open_worklist(path: Path | str, *, progress: Progress = no_progress, cancel: CancelToken | None = None) -> Worklist:
    """Find every study below a place.

    Parameters
    ----------
    path
        A folder: of DICOM studies, of image files, or of a dataset (ACDC, M&Ms, M&Ms-2); or anything that
        :func:`cinema_core.io.load_study` opens.

    Raises
    ------
    StudyError
        If there is no study.
    Cancelled
        If ``cancel`` was raised.
    """
    path = Path(path)
    if not path.exists():
        raise StudyError(f"There is no file or folder {path}. Check the path.")
    try:
        subjects, images, others = _sorted_out(path)
    except OSError as error:
        raise StudyError(f"{path} cannot be opened: {error.strerror or error}. Check that you may read it.") from error
    entries = [_of_subject(path, subject) for subject in subjects]
    refused = [RefusedFile(str(file), "a label image by its name") for file in images if is_label_name(file)]
    entries += [_of_image(path, file) for file in images if not is_label_name(file)]
    found, unusable = _dicom(path, others, progress, cancel)
    entries += found
    if not entries:
        raise StudyError(
            f"{path} holds no study: {len(refused) + len(unusable)} files, none of them a cine. "
            "Choose the folder that holds DICOM or NIfTI files."
        )
    entries.sort(key=lambda entry: (entry.name, str(entry.path)))
    return Worklist(path, tuple(entries), (*refused, *unusable))


def _sorted_out(path: Path) -> tuple[list[DatasetFolder], list[Path], list[Path]]:
    """Sort the files below a place: subjects of datasets, image files, and what may be DICOM."""
    if path.is_file():
        return ([], [path], []) if is_image(path) else ([], [], [path])
    subjects: list[DatasetFolder] = []
    images: list[Path] = []
    others: list[Path] = []
    for folder in [path, *sorted(place for place in path.rglob("*") if place.is_dir())]:
        files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.lower() not in IGNORED)
        subject = dataset_folder(folder) if any(is_image(file) for file in files) else None
        if subject is not None:
            subjects.append(subject)
            continue
        for file in files:
            (images if is_image(file) else others).append(file)
    if subjects or images:
        # Tables, licences and notes lie in every dataset: only what may be DICOM is worth opening.
        others = [file for file in others if file.suffix.lower() in ("", ".dcm", ".ima") or is_zip(file)]
    return subjects, images, others


def _of_subject(root: Path, subject: DatasetFolder) -> WorklistEntry:
    kind = StudyKind(subject.kind)
    summary = {
        StudyKind.ACDC: "short axis, ED and ES",
        StudyKind.MNMS: "short axis",
        StudyKind.MNMS2: "short axis and 4-chamber",
    }[kind]
    return WorklistEntry(subject.subject, subject.folder, kind, "", summary, subject.group, subject.labels)


def _of_image(root: Path, file: Path) -> WorklistEntry:
    name = file.relative_to(root).as_posix() if file != root else file.name
    return WorklistEntry(name, file, StudyKind.IMAGE, summary="image file")


def _dicom(
    path: Path, files: Sequence[Path], progress: Progress, cancel: CancelToken | None
) -> tuple[list[WorklistEntry], list[RefusedFile]]:
    if not files:
        return [], []
    with listed(files) as listing:
        studies, refused = find_studies(listing.files, progress, cancel)
        return [_of_dicom(path, study) for study in studies], [*listing.refused, *refused]


def _of_dicom(root: Path, study: DicomStudy) -> WorklistEntry:
    # The innermost folder that holds the study; from within an archive, the archive.
    place = next((parent for parent in (study.folder, *study.folder.parents) if parent.exists()), root)
    return WorklistEntry(study.id, place, StudyKind.DICOM, study.id, f"{study.n_images} images")
