"""The studies of a case list, whole: a cine each, with labels where somebody drew them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import UNLABELLED
from cinema_core.cases import CASES_COLUMNS, parse_slices, read_case_rows
from cinema_core.cine import Cine, View
from cinema_core.errors import InputError, LabelError, StudyError
from cinema_core.io import load_pair, load_study, read_labels
from cinema_core.io.contours import import_labels
from cinema_core.io.nifti import is_image, is_nifti, read_cine

Labels = NDArray[np.uint8]

PAIR: Final = ("ed", "es")


@dataclass(frozen=True)
class CohortEntry:
    """One study of a case list.

    Attributes
    ----------
    study
        Its name in the list, unique there.
    images
        A whole cine, or ED and ES of a pair.
    labels
        As many, or none: then the study is to be segmented.
    slices
        Indices of the labelled slices as the list has them; empty for all.
    """

    study: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...] = ()
    slices: str = ""

    @property
    def is_header_enough(self) -> bool:
        """Whether nothing looks at the image's pixels: a NIfTI file that has labels."""
        return bool(self.labels) and len(self.images) == 1 and is_nifti(self.images[0])

    def open_cine(self) -> Cine:
        """Read the image; of a NIfTI file that has labels no more than the header, as nothing looks at its pixels.

        Raises
        ------
        StudyError, GeometryError
            If it cannot be read, or is no short axis.
        """
        if self.is_header_enough:
            cine, _ = read_cine(self.images[0], with_voxels=False)
            if cine.view is not View.SAX:
                raise StudyError(f"{self.images[0]} holds no short-axis cine. Choose another image.")
            return cine
        study = load_pair(*self.images) if len(self.images) == len(PAIR) else load_study(self.images[0])
        return study.best(View.SAX)

    def read_labels(self, cine: Cine) -> Labels:
        """Labels on the grid of the cine; uint8, shape (t, z, y, x).

        Raises
        ------
        LabelError
            If they do not fit the cine.
        """
        drawn = [labels_on(path, cine) for path in self.labels]
        labels = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
        if len(labels) != cine.n_phases:
            raise LabelError(f"The labels have {len(labels)} phases but the image has {cine.n_phases}.")
        slices = parse_slices(self.slices, cine.n_slices)
        if slices is not None:
            labels[:, [z for z in range(cine.n_slices) if z not in slices]] = UNLABELLED
        return labels


def read_cohort(path: Path, *, labelled: bool = False) -> list[CohortEntry]:
    """Read a case list ``study,image[,labels][,patient][,phase][,slices]`` by studies.

    A study is one line with a whole cine, or two lines whose phases are ``ed`` and ``es``. Images are what
    :func:`~cinema_core.io.load_study` opens, labels NIfTI files or contours from elsewhere; by absolute path or
    relative to the list.

    Parameters
    ----------
    labelled
        Whether every line must have labels.

    Raises
    ------
    InputError
        If the list cannot be read, or lines do not make up studies; the first such line is named.
    """
    required = CASES_COLUMNS[: 3 if labelled else 2]
    by_study: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in read_case_rows(path, required, "study"):
        if empty := [name for name in required if not row.get(name)]:
            raise InputError(f"{path}, line {number}: {empty[0]} is empty.")
        by_study.setdefault(row["study"], []).append((number, row))
    return [_entry(path, study, rows) for study, rows in by_study.items()]


def labels_on(path: Path, cine: Cine) -> Labels:
    """Labels of a file, or contours from elsewhere, on a cine; uint8, shape (t, z, y, x).

    Slices that a source of contours leaves out are 255, unlabelled.

    Raises
    ------
    LabelError
        If nothing at the path fits the cine.
    """
    if path.is_file() and is_image(path):
        return read_labels(path, like=cine)
    labels = np.full(cine.shape, UNLABELLED, dtype=np.uint8)
    for where, mask in import_labels(path, cine).masks.items():
        labels[where] = mask
    return labels


def drawn_phases(labels: Labels) -> list[int]:
    """Phases that somebody labelled completely.

    An all-zero phase is one that nobody drew: public sets label ED and ES and leave the rest zero.

    Raises
    ------
    LabelError
        If there is none.
    """
    phases = [t for t, frame in enumerate(labels) if frame.any() and not (frame == UNLABELLED).any()]
    if not phases:
        raise LabelError("No phase of the labels is drawn completely, so nothing can be measured. Label ED and ES.")
    return phases


def _entry(path: Path, study: str, rows: list[tuple[int, dict[str, str]]]) -> CohortEntry:
    where = f"{path}, line {rows[-1][0]}"
    by_phase = {row.get("phase", "").lower(): row for _, row in rows}
    if len(by_phase) != len(rows):
        raise InputError(f"{where}: study {study!r} stands in the list twice. Name each study once.")
    if set(by_phase) == set(PAIR):
        chosen = [by_phase[phase] for phase in PAIR]
    elif set(by_phase) == {""}:
        chosen = [by_phase[""]]
    else:
        raise InputError(
            f"{where}: study {study!r} has the phases {', '.join(filter(None, by_phase)) or 'none'}. Give one line "
            "without a phase for a whole cine, or two lines, ed and es."
        )
    labels = tuple(path.parent / row["labels"] for row in chosen if row.get("labels"))
    if labels and len(labels) != len(chosen):
        raise InputError(f"{where}: study {study!r} has labels of one phase only. Give both, or neither.")
    if len({row.get("slices", "") for row in chosen}) > 1:
        raise InputError(f"{where}: ED and ES of study {study!r} name different slices.")
    images = tuple(path.parent / row["image"] for row in chosen)
    return CohortEntry(study, images, labels, chosen[0].get("slices", ""))
