"""Open a study, whatever it is stored as."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from cinema_core.errors import InputError, SeveralStudiesError, StudyError
from cinema_core.io.datasets import dataset_folder
from cinema_core.io.dicom import find_studies, load_dicom, nothing_usable, read_study
from cinema_core.io.files import listed
from cinema_core.io.nifti import is_image, read_cine
from cinema_core.io.pair import load_pair
from cinema_core.io.study import ImportChoices, ImportReport, RefusedFile, Study, as_chosen, content_pseudonym
from cinema_core.progress import CancelToken, Progress, no_progress

_LABEL_NAME: Final = re.compile(r"(^|[_.-])(gt|scribble|labels?|seg|segmentation|mask)(?=[_.-])", re.IGNORECASE)
"""File names of label images, which lie beside images and are not studies."""


def load_study(
    path: Path | str | Sequence[Path | str],
    *,
    ed: Path | str | None = None,
    es: Path | str | None = None,
    study: str | None = None,
    choices: ImportChoices | Callable[[str], ImportChoices] | None = None,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Study:
    """Open a cine study.

    Parameters
    ----------
    path
        A 4-D or 3-D NIfTI, MetaImage or NRRD file, a subject's folder of ACDC, M&Ms or M&Ms-2, a DICOM folder (read
        with its subfolders), a DICOMDIR, a
        zip archive of DICOM files, one DICOM file or a list of them, or a folder with one NIfTI image.
    ed, es
        Two 3-D NIfTI files instead; relative to ``path`` if that is a folder and they do not exist by themselves.
    study
        Pseudonym of the study to open, where a place holds several.
    choices
        What the reader decided against the importer, or a function that looks it up by the study's pseudonym.
    progress
        Told how many files are read.
    cancel
        Looked at every few files.

    Raises
    ------
    StudyError
        If there is nothing to read, nothing usable, or more than one study.
    Cancelled
        If ``cancel`` was raised.
    GeometryError
        If spacing or positions cannot be used.
    """
    if not isinstance(path, (str, Path)):
        places = [Path(place) for place in path]
        if len(places) != 1:
            return _open_dicom(places, study, choices, progress, cancel)
        path = places[0]
    path = Path(path)
    if ed is not None or es is not None:
        if ed is None or es is None:
            raise InputError("A pair needs both files: give end-diastole with --ed and end-systole with --es.")
        return as_chosen(replace(load_pair(_in(path, ed), _in(path, es)), path=path), choices)
    if not path.exists():
        raise StudyError(f"There is no file or folder {path}. Check the path.")
    try:
        nifti = _nifti_in(path)
        if nifti is None:
            return _open_dicom([path], study, choices, progress, cancel)
        return as_chosen(nifti(), choices)
    except OSError as error:
        raise StudyError(f"{path} cannot be opened: {error.strerror or error}. Check that you may read it.") from error


def load_studies(
    path: Path | str, *, progress: Progress = no_progress, cancel: CancelToken | None = None
) -> Iterator[Study]:
    """Open every study below a place, one after the other, so that one at a time is in memory.

    Parameters
    ----------
    path
        As for :func:`load_study`; a folder of DICOM files may hold several studies.

    Raises
    ------
    StudyError
        If there is nothing usable.
    Cancelled
        If ``cancel`` was raised.
    """
    path = Path(path)
    if not path.exists() or _nifti_in(path) is not None:
        yield load_study(path, progress=progress, cancel=cancel)
        return
    with listed(path) as listing:
        studies, refused = find_studies(listing.files, progress, cancel)
        refused = [*listing.refused, *refused]
        if not studies:
            raise nothing_usable(path, refused)
        for k, found in enumerate(studies):
            # What was refused belongs to no study; it is told once.
            yield read_study(path, found, () if k else refused, progress=progress, cancel=cancel)


def is_label_name(path: Path) -> bool:
    """Whether a file is a label image by its name."""
    return _LABEL_NAME.search(path.name) is not None


def _in(path: Path, name: Path | str) -> Path:
    name = Path(name)
    return path / name if path.is_dir() and not name.exists() else name


def _nifti_in(path: Path) -> Callable[[], Study] | None:
    """How to open a place that holds NIfTI; None if it holds none, or DICOM beside it."""
    if path.is_file():
        return partial(_open_nifti, path, ()) if is_image(path) else None
    subject = dataset_folder(path)
    if subject is not None:
        return subject.load
    files = sorted(file for file in path.rglob("*") if file.is_file())
    images = [file for file in files if is_image(file)]
    if not images or any(file.suffix.lower() in (".dcm", ".ima") for file in files):
        return None
    if all(map(is_label_name, images)) and len(images) < len(files):
        return None  # labels that lie beside DICOM files without a suffix, or beside an archive
    return partial(_open_nifti_folder, path, images)


def _open_dicom(
    places: Sequence[Path],
    study: str | None,
    choices: ImportChoices | Callable[[str], ImportChoices] | None,
    progress: Progress,
    cancel: CancelToken | None,
) -> Study:
    if not places:
        raise StudyError("No file was given. Choose the files of a study, or its folder.")
    path = places[0] if len(places) == 1 else Path(os.path.commonpath([place.absolute().parent for place in places]))
    with listed(places) as listing:
        return load_dicom(
            path,
            listing.files,
            study=study,
            choices=choices,
            refused=listing.refused,
            progress=progress,
            cancel=cancel,
        )


def _open_nifti_folder(path: Path, images: list[Path]) -> Study:
    labels = [file for file in images if is_label_name(file)]
    studies = [file for file in images if file not in labels]
    if not studies:
        raise StudyError(f"{path} holds label images only. Choose the image that they were drawn on.")
    if len(studies) > 1:
        folders = sorted({file.parent for file in studies})
        found = folders if len(folders) > 1 else studies
        names = ", ".join(str(file.relative_to(path)) for file in found[:4])
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        what = "folders with NIfTI images" if len(folders) > 1 else "NIfTI images"
        raise SeveralStudiesError(
            f"{path} holds {len(found)} {what}: {names}{more}. "
            "Choose one image, one ACDC patient folder, or a pair with --ed and --es."
        )
    refused = tuple(RefusedFile(str(file), "a label image by its name") for file in labels)
    return replace(_open_nifti(studies[0], refused), path=path)


def _open_nifti(path: Path, refused: tuple[RefusedFile, ...]) -> Study:
    cine, notes = read_cine(path)
    return Study(content_pseudonym([cine]), path, (cine,), ImportReport(refused, notes))
