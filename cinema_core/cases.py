"""Labelled frames that a model learns from or is measured on; plain arrays, no torch."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND, UNLABELLED, Structure
from cinema_core.cine import Cine, Geometry
from cinema_core.errors import CinemaError, InputError, LabelError
from cinema_core.io import load_study, read_labels

CASES_COLUMNS: Final = ("study", "image", "labels", "patient", "phase", "slices")
"""Columns of a case list; the first three are required."""

KNOWN_LABELS: Final = (*(int(structure) for structure in Structure), UNLABELLED)


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One phase of a short-axis stack with the labels that a reader vouches for.

    Attributes
    ----------
    case_id
        Name of the case in tables, unique in a list of cases.
    study_id, patient
        Whose it is. Cases of one patient never lie on both sides of a split.
    image
        Intensities, float32, shape (z, y, x), on the study's own grid.
    labels
        uint8, shape (z, y, x); 255 where nothing is known.
    phase
        ``ed``, ``es`` or empty.
    heart_yx
        Where the heart is, in native pixels; None if nobody looked for it.
    phase_index
        Frame index in the cine, from 0; None if the file holds one frame only.

    Raises
    ------
    LabelError
        If labels have another shape than the image or hold unknown values.
    """

    case_id: str
    study_id: str
    patient: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    geometry: Geometry
    phase: str = ""
    heart_yx: tuple[float, float] | None = None
    phase_index: int | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.labels.shape != self.image.shape:
            raise LabelError(
                f"{self.case_id}: the labels have shape {_size(self.labels)} but the image has {_size(self.image)} "
                "(slices x rows x columns). Choose the labels that were drawn on this image."
            )
        unknown = sorted(set(np.unique(self.labels).tolist()) - set(KNOWN_LABELS))
        if unknown:
            raise LabelError(
                f"{self.case_id}: label value {unknown[0]} is not known. "
                "Use 0 background, 1 RV, 2 myocardium, 3 LV and 255 unlabelled."
            )
        if self.image.shape[0] != self.geometry.n_slices:
            raise LabelError(
                f"{self.case_id}: the image has {self.image.shape[0]} slices but {self.geometry.n_slices} positions."
            )

    @property
    def labelled_slices(self) -> tuple[int, ...]:
        """Indices z of slices on which anything is known."""
        return tuple(int(z) for z in np.flatnonzero((self.labels != UNLABELLED).any(axis=(1, 2))))

    @property
    def structures(self) -> frozenset[Structure]:
        """Structures that occur in the labels."""
        return frozenset(s for s in FOREGROUND if bool((self.labels == s).any()))

    @property
    def heart_centre_yx(self) -> tuple[float, float] | None:
        """Centre of the labelled heart, else :attr:`heart_yx`, in native pixels."""
        _, rows, columns = np.nonzero(np.isin(self.labels, FOREGROUND))
        if rows.size:
            return float(rows.mean()), float(columns.mean())
        return self.heart_yx


def group_of(case: TrainingCase) -> str:
    """Return what a split may not cut through: the patient, or the study if no patient is named."""
    return case.patient or case.study_id


def n_labelled_slices(cases: Iterable[TrainingCase]) -> int:
    """Count the slices on which anything is known."""
    return sum(len(case.labelled_slices) for case in cases)


def case_set_sha256(cases: Sequence[TrainingCase]) -> str:
    """Hash of all that a model learns from these cases, whatever their order: labels, pixels, where they lie, whose."""
    return hashlib.sha256("".join(sorted(_sha256(case) for case in cases)).encode()).hexdigest()


def in_fixed_order(cases: Iterable[TrainingCase]) -> list[TrainingCase]:
    """Cases by study, phase and content, in whatever order they came: chance draws from them by number.

    All that it goes by is in :func:`case_set_sha256`; the names of the cases, which may count lines of a list, are not.
    """
    return sorted(cases, key=lambda case: (case.study_id, _phase_number(case), _sha256(case)))


def _phase_number(case: TrainingCase) -> int:
    return -1 if case.phase_index is None else case.phase_index


def _sha256(case: TrainingCase) -> str:
    """Hash of one case; geometry and heart decide which windows are cut, the patient who is held out together."""
    whose = f"{case.study_id}|{group_of(case)}|{case.phase_index}|{case.image.shape}"
    geometry = case.geometry
    where = f"{case.heart_centre_yx}|{geometry.single_slice_step_mm}|{geometry.spacing_is_stated}"
    digest = hashlib.sha256(f"{whose}|{where}".encode())
    for plane in geometry.planes:
        for values in (plane.origin_mm, plane.x_direction, plane.y_direction, plane.spacing_mm):
            digest.update(np.asarray(values, dtype=np.float64).tobytes())
    digest.update(np.ascontiguousarray(case.labels).tobytes())
    digest.update(np.ascontiguousarray(case.image, dtype=np.float32).tobytes())
    return digest.hexdigest()


def refuse_contradictions(cases: Sequence[TrainingCase]) -> None:
    """Make sure that no slice is labelled twice in different ways; which one counts only its reader can say.

    Raises
    ------
    InputError
        If one is.
    """
    by_image: dict[str, list[TrainingCase]] = {}
    for case in cases:
        image = _image_sha256(case)
        for other in by_image.setdefault(image, []):
            both = (case.labels != UNLABELLED) & (other.labels != UNLABELLED)
            differ = np.flatnonzero((both & (case.labels != other.labels)).any(axis=(1, 2)))
            if differ.size:
                raise InputError(
                    f"{other.case_id} and {case.case_id} are the same image, but slice {int(differ[0])} is labelled in "
                    "two ways. Leave one of them out."
                )
        by_image[image].append(case)


def under_one_name(cases: Sequence[TrainingCase], names: Iterable[str]) -> list[TrainingCase]:
    """Take patients who have an image in common as one: a split between them would measure what was learned.

    It happens where one examination was imported twice, with and without its names.

    Parameters
    ----------
    names
        All that :func:`group_of` gives for the cases; of those who are one patient, the first gives the name.
    """
    rank = {name: k for k, name in enumerate(names)}
    same_as = {name: name for name in rank}

    def first_name(name: str) -> str:
        while same_as[name] != name:
            name = same_as[name]
        return name

    by_image: dict[str, str] = {}
    for case in cases:
        other = by_image.setdefault(_image_sha256(case), group_of(case))
        first, second = sorted((first_name(other), first_name(group_of(case))), key=rank.__getitem__)
        same_as[second] = first
    found = [(case, first_name(group_of(case))) for case in cases]
    return [case if name == group_of(case) else replace(case, patient=name) for case, name in found]


def _image_sha256(case: TrainingCase) -> str:
    pixels = np.ascontiguousarray(case.image, dtype=np.float32)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def load_cases(csv_path: Path | str) -> list[TrainingCase]:
    """Read a case list ``study,image,labels[,patient][,phase][,slices]``.

    Image and labels are NIfTI files, by absolute path or relative to the list. A file with several phases
    gives one case per phase that holds a label.

    Raises
    ------
    InputError
        If the list cannot be read, or any of its rows cannot; all that is wrong is said at once.
    """
    path = Path(csv_path)
    rows = read_case_rows(path)
    cases: list[TrainingCase] = []
    problems: list[str] = []
    for number, row in rows:
        try:
            cases += _cases_of_row(row, path.parent)
        except CinemaError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = f" ({len(problems) - 3} more lines have problems.)" if len(problems) > 3 else ""
        raise InputError(f"{path}: " + " ".join(problems[:3]) + more)
    return _with_unique_names(cases)


def read_case_rows(
    path: Path, required: Sequence[str] = CASES_COLUMNS[:3], what: str = "labelled image"
) -> list[tuple[int, dict[str, str]]]:
    """Rows of a case list with their line numbers, values stripped.

    Parameters
    ----------
    required
        Columns that the list must have, of :data:`CASES_COLUMNS`.
    what
        Stands on a line, for the message about a list without one.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, has an unknown one, or has no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [(name or "").strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The case list {path} cannot be read: {error}. Give a CSV file.") from error
    missing = [name for name in required if name not in header]
    unknown = [name for name in header if name and name not in CASES_COLUMNS]
    if missing or unknown:
        wrong = f"column {missing[0]!r} is missing" if missing else f"column {unknown[0]!r} is not known"
        raise InputError(f"The case list {path}: {wrong}. Its columns are {','.join(CASES_COLUMNS)}.")
    if not rows:
        raise InputError(f"The case list {path} has no rows. Add one line per {what}.")
    return rows


def _cases_of_row(row: dict[str, str], folder: Path) -> list[TrainingCase]:
    """One case per labelled phase of a row's files."""
    for name in CASES_COLUMNS[:3]:
        if not row.get(name):
            raise InputError(f"{name} is empty.")
    phase = row.get("phase", "").lower()
    if phase not in ("", "ed", "es"):
        raise InputError(f"phase is {phase!r}. Write ed, es, or nothing.")
    study = row["study"]
    cine = load_study(folder / row["image"]).cines[0]
    labels = _labels_of(folder / row["labels"], cine, parse_slices(row.get("slices", ""), cine.n_slices))
    labelled = [t for t in range(cine.n_phases) if _says_something(labels[t], cine.n_phases)]
    if phase and len(labelled) > 1:
        raise InputError(f"phase is {phase!r} but {len(labelled)} phases of the file are labelled. Leave phase empty.")
    several = cine.n_phases > 1
    return [
        TrainingCase(
            case_id="-".join(filter(None, (study, phase or (f"phase{t + 1:02d}" if several else "")))),
            study_id=study,
            patient=row.get("patient") or study,
            image=np.asarray(cine.pixels[t], dtype=np.float32),
            labels=labels[t],
            geometry=cine.geometry,
            phase=phase,
            phase_index=t if several else None,
        )
        for t in labelled
    ]


def _labels_of(path: Path, cine: Cine, slices: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Labels (t, z, y, x) with 255 on the slices that the row does not name."""
    labels = read_labels(path, like=cine).copy()
    if labels.shape[0] != cine.n_phases:
        raise LabelError(f"{path} has {labels.shape[0]} phases but its image has {cine.n_phases}.")
    if slices is not None:
        others = [z for z in range(cine.n_slices) if z not in slices]
        labels[:, others] = UNLABELLED
    return labels


def _says_something(labels: NDArray[np.uint8], n_phases: int) -> bool:
    """Whether this phase was labelled.

    In a file of several phases an all-zero phase is one that nobody drew (M&Ms labels ED and ES only and
    leaves the other phases zero); taken as background it would teach the model to erase the heart.
    """
    known = labels != UNLABELLED
    return bool(known.any()) and (n_phases == 1 or bool((labels[known] > 0).any()))


def parse_slices(text: str, n_slices: int) -> tuple[int, ...] | None:
    """Slice indices of ``3;5;6``; None for all.

    Raises
    ------
    InputError
        If that is no list of slices of the image.
    """
    if not text:
        return None
    try:
        slices = tuple(sorted({int(part) for part in text.split(";") if part.strip()}))
    except ValueError as error:
        raise InputError(f"slices is {text!r}. Write indices from 0, separated by semicolons: 3;5;6.") from error
    outside = [z for z in slices if not 0 <= z < n_slices]
    if outside:
        raise InputError(f"slices names {outside[0]} but the image has {n_slices} slices, 0 to {n_slices - 1}.")
    return slices


def _with_unique_names(cases: list[TrainingCase]) -> list[TrainingCase]:
    """Put a number behind names that occur before."""
    seen: dict[str, int] = {}
    unique = []
    for case in cases:
        seen[case.case_id] = seen.get(case.case_id, 0) + 1
        count = seen[case.case_id]
        unique.append(case if count == 1 else replace(case, case_id=f"{case.case_id}-{count}"))
    return unique


def _size(array: NDArray[np.generic]) -> str:
    return " x ".join(str(n) for n in array.shape)
