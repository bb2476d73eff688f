"""Folders of the public datasets, by their file names: ACDC (see ``pair``), M&Ms and M&Ms-2.

M&Ms (Campello et al., IEEE TMI 2021): ``PID/PID_sa.nii.gz``, a 4-D short axis; a table beside the folders says which
phases are ED and ES, counted from 0. M&Ms-2 (Martin-Isla et al., IEEE JBHI 2023): ``NNN/NNN_{SA,LA}_{ED,ES,CINE}``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.cine import Cine, Patient, View
from cinema_core.io.nifti import ASSUMED, read_cine
from cinema_core.io.pair import is_acdc, load_acdc, load_pair, read_info
from cinema_core.io.study import ImportReport, RefusedFile, Study, content_pseudonym

CONFIDENCE: Final = 0.9
"""Datasets are sorted by hand, but not by us."""

_MNMS: Final = re.compile(r"^(?P<pid>.+)_sa\.nii(\.gz)?$")
_MNMS2: Final = re.compile(r"^(?P<pid>.+)_(?P<view>SA|LA)_(?P<phase>ED|ES|CINE)\.nii(\.gz)?$")
_VIEWS: Final = {"SA": View.SAX, "LA": View.LAX_4C}

_KEYS: Final = ("External code", "SUBJECT_CODE")
"""Columns that name the subject, in the tables of M&Ms and of M&Ms-2."""

_UP: Final = 4
"""A table lies at most this many folders above a subject's (``OpenDataset/Training/Labeled/PID``)."""


@dataclass(frozen=True)
class DatasetFolder:
    """One subject of a public dataset.

    Attributes
    ----------
    kind
        ``acdc``, ``mnms`` or ``mnms2``; also the order of the label values that lie beside the images.
    subject
        Name of the subject in the dataset.
    """

    kind: str
    folder: Path
    subject: str

    def load(self) -> Study:
        """Open it.

        Raises
        ------
        StudyError
            If files are missing or cannot be read.
        GeometryError
            If ED and ES do not lie on one grid.
        """
        return {"acdc": _load_acdc, "mnms": _load_mnms, "mnms2": _load_mnms2}[self.kind](self)

    @property
    def group(self) -> str:
        """Diagnosis as the dataset states it; empty if it does not."""
        if self.kind == "acdc":
            return read_info(self.folder / "Info.cfg").get("Group", "")
        row = table_row(self.folder, self.subject)
        return row.get("Pathology", "") or row.get("DISEASE", "")

    @property
    def labels(self) -> tuple[Path, ...]:
        """Label images that lie beside the images."""
        return tuple(sorted(path for path in self.folder.iterdir() if re.search(r"_gt\.nii(\.gz)?$", path.name)))


def dataset_folder(folder: Path) -> DatasetFolder | None:
    """Recognise the folder of one subject by its files; None if it is none."""
    if is_acdc(folder):
        return DatasetFolder("acdc", folder, folder.name)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    for kind, pattern in (("mnms2", _MNMS2), ("mnms", _MNMS)):
        subjects = {match["pid"] for match in map(pattern.match, names) if match}
        if len(subjects) == 1:
            return DatasetFolder(kind, folder, subjects.pop())
    return None


def table_row(folder: Path, subject: str) -> Mapping[str, str]:
    """Row of a subject in the dataset's table, which lies above its folder; empty if there is none."""
    for place in (folder, *list(folder.absolute().parents)[:_UP]):
        for table in sorted(place.glob("*.csv")):
            for row in _rows(table):
                if any(row.get(key, "").strip().lstrip("0") == subject.lstrip("0") for key in _KEYS if row.get(key)):
                    return row
    return {}


def _rows(table: Path) -> list[dict[str, str]]:
    """Rows of a table that names subjects; none of any other table."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(_KEYS) & set(reader.fieldnames or ()):
                return []
            return [{key: value or "" for key, value in row.items() if isinstance(key, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []  # some other file


def _load_acdc(found: DatasetFolder) -> Study:
    return load_acdc(found.folder)


def _load_mnms(found: DatasetFolder) -> Study:
    image = next(path for path in sorted(found.folder.iterdir()) if _MNMS.match(path.name))
    cine, notes = read_cine(image)
    row = table_row(found.folder, found.subject)
    cine = replace(
        cine,
        view=View.SAX,
        id=View.SAX.value,
        view_confidence=CONFIDENCE,
        view_reason="M&Ms holds short-axis stacks",
        patient=_patient(row),
    )
    told = _told_phases(row, cine)
    others = _others(found.folder, {image})
    kept = (line for line in notes if ASSUMED not in line)
    report = ImportReport(others, (*kept, *told, *_table_note(row, found)), 1 + len(others))
    return Study(content_pseudonym([cine]), found.folder, (cine,), report)


def _told_phases(row: Mapping[str, str], cine: Cine) -> tuple[str, ...]:
    """Say what the table says of ED and ES."""
    stated = [row.get(name, "").strip() for name in ("ED", "ES")]
    if not all(text.isdigit() for text in stated):
        return ()
    ed, es = (int(text) + 1 for text in stated)
    if max(ed, es) > cine.n_phases:
        return (f"The dataset's table names phases {ed} and {es}, but the file holds {cine.n_phases}.",)
    return (f"By the dataset's table phase {ed} is end-diastole and phase {es} is end-systole.",)


def _load_mnms2(found: DatasetFolder) -> Study:
    files = {
        (match["view"], match["phase"]): path
        for path in sorted(found.folder.iterdir())
        if (match := _MNMS2.match(path.name))
    }
    row = table_row(found.folder, found.subject)
    cines, notes, used = [], [], set()
    for name, view in _VIEWS.items():
        if (name, "CINE") in files:
            cine, lines = read_cine(files[name, "CINE"])
            used.add(files[name, "CINE"])
        elif (name, "ED") in files and (name, "ES") in files:
            pair = load_pair(files[name, "ED"], files[name, "ES"])
            cine, lines = pair.cines[0], pair.report.notes
            used |= {files[name, "ED"], files[name, "ES"]}
        else:
            continue
        cines.append(
            replace(
                cine,
                id=view.value,
                view=view,
                view_confidence=CONFIDENCE,
                view_reason=f"M&Ms-2 calls it {name}",
                patient=_patient(row),
            )
        )
        notes += [f"{view.value}: {line}" for line in lines if ASSUMED not in line]
    if not cines:
        first = sorted(files.values())[0]
        cine, lines = read_cine(first)
        cines, notes, used = [cine], list(lines), {first}
    others = _others(found.folder, used)
    report = ImportReport(others, (*notes, *_table_note(row, found)), len(used) + len(others))
    return Study(content_pseudonym(cines), found.folder, tuple(cines), report)


def _table_note(row: Mapping[str, str], found: DatasetFolder) -> tuple[str, ...]:
    if row:
        return ()
    return (f"No table of the dataset names {found.subject}: sex, age, height and weight are not known.",)


def _others(folder: Path, used: set[Path]) -> tuple[RefusedFile, ...]:
    """Images of the folder that are not part of the study."""
    return tuple(
        RefusedFile(
            str(path),
            "a label image by its name" if "_gt." in path.name else "repeats phases of the cine; open it by itself",
        )
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith((".nii", ".nii.gz")) and path not in used
    )


def _patient(row: Mapping[str, str]) -> Patient:
    sex = row.get("Sex", "").strip().upper()
    return Patient(
        sex=sex if sex in ("F", "M") else None,
        age_years=_number(row.get("Age"), 1, 0, 120),
        height_m=_number(row.get("Height"), 100, 0.3, 2.5),
        weight_kg=_number(row.get("Weight"), 1, 0.5, 400),
    )


def _number(text: str | None, per_unit: float, low: float, high: float) -> float | None:
    try:
        value = float(text or "nan") / per_unit
    except ValueError:
        return None
    return value if np.isfinite(value) and low <= value <= high else None
