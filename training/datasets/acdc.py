"""The ACDC challenge (Bernard et al., IEEE TMI 2018) in its raw layout: one folder per patient with ``Info.cfg``.

:data:`RECIPE` prepares it in the published form; :func:`cases_of` reads it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.cases import TrainingCase
from cinema_core.errors import InputError, StudyError
from cinema_core.io import load_study, read_labels
from cinema_core.io.pair import read_info
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of
from training.datasets.ventricles import Pair, prepare_pair
from training.datasets.volumes import MODEL_ORDER, as_bytes, read_frames, write_frames

SPLITS: Final = {"training": "train", "testing": "test"}
"""Folder of the download to split."""


@dataclass(frozen=True)
class AcdcPatient:
    """What ``Info.cfg`` says of a patient.

    Attributes
    ----------
    group
        ``NOR``, ``DCM``, ``HCM``, ``MINF`` or ``RV``.
    ed_frame, es_frame
        Number of the frame, from 1, as in the file names.
    """

    name: str
    group: str
    ed_frame: int
    es_frame: int
    folder: Path


def read_patients(folder: Path) -> list[AcdcPatient]:
    """All patients of a folder, by name.

    Raises
    ------
    InputError
        If there is none, or an ``Info.cfg`` lacks a line.
    """
    found = []
    for path in sorted(folder.glob("patient*/Info.cfg")):
        values = read_info(path)
        missing = [key for key in ("Group", "ED", "ES") if not values.get(key)]
        if missing:
            raise InputError(f"{path} has no line {missing[0]!r}; take the file as the challenge gives it.")
        name = path.parent.name
        found.append(AcdcPatient(name, values["Group"], int(values["ED"]), int(values["ES"]), path.parent))
    if not found:
        raise InputError(
            f"{folder} holds no patient*/Info.cfg. Give the folder of ACDC's patients "
            "(https://www.creatis.insa-lyon.fr/Challenge/acdc)."
        )
    return found


def cases_of(patient: AcdcPatient) -> list[TrainingCase]:
    """ED and ES of a patient, every slice labelled.

    Raises
    ------
    InputError
        If a file is missing or cannot be read.
    """
    cases = []
    for phase, frame in (("ed", patient.ed_frame), ("es", patient.es_frame)):
        stem = patient.folder / f"{patient.name}_frame{frame:02d}"
        (cine,) = load_study(stem.with_name(f"{stem.name}.nii.gz")).cines
        labels = read_labels(stem.with_name(f"{stem.name}_gt.nii.gz"))[0]
        cases.append(
            TrainingCase(
                case_id=f"{patient.name}-{phase}",
                study_id=patient.name,
                patient=patient.name,
                image=cine.pixels[0].astype(np.float32),
                labels=labels,
                geometry=cine.geometry,
                phase=phase,
            )
        )
    return cases


def find_patients(raw: Path) -> Found:
    """Patients of the download, or of a folder of patients, which then all are for training."""
    root = root_of(raw, *SPLITS, below=("database",))
    folders = {split: root / name for name, split in SPLITS.items()} if root else {"train": raw}
    cases, others = [], []
    for split, folder in folders.items():
        for patient in sorted(folder.glob("patient*")):
            if not patient.is_dir():
                continue
            try:
                facts = read_info(patient / "Info.cfg")
            except StudyError:
                others.append(
                    Result(patient.name, split, Status.SKIPPED, "its folder has no Info.cfg that can be read.")
                )
                continue
            files = tuple(sorted(path for path in patient.iterdir() if path.is_file()))
            cases.append(RawCase(patient.name, split, files, facts, (f"{split}_metadata.csv",)))
    return Found(tuple(cases), tuple(others))


def prepare_patient(case: RawCase, out: Path) -> Prepared:
    """Write ED and ES with their labels, and the whole cine if the download has it."""
    facts = _numbers(case)
    folder = case.files[0].parent
    frames = {phase: int(facts[phase]) for phase in ("ED", "ES")}
    stems = {phase: f"{case.pid}_frame{number:02d}" for phase, number in frames.items()}
    images = {phase: folder / f"{stem}.nii.gz" for phase, stem in stems.items()}
    labels = {phase: folder / f"{stem}_gt.nii.gz" for phase, stem in stems.items()}
    made = prepare_pair(
        Pair(images["ED"], images["ES"], labels["ED"], labels["ES"]), MODEL_ORDER, out / case.folder / f"{case.pid}_sax"
    )
    notes = []
    whole = folder / f"{case.pid}_4d.nii.gz"
    if whole.is_file():
        frames_4d = [made.place(frame) for frame in read_frames(whole)]
        write_frames(out / case.folder / f"{case.pid}_sax_t.nii.gz", as_bytes(frames_4d))
    else:
        notes.append(f"no {whole.name}, so no {case.pid}_sax_t.nii.gz")
    height_m = facts["Height"] / 100
    row: Row = {
        "pid": case.pid,
        "n_slices": made.n_slices,
        "pathology": case.facts["Group"],
        "height": height_m,
        "weight": facts["Weight"],
        "bmi": facts["Weight"] / height_m**2,
        "n_frames": int(facts["NbFrame"]),
        "ed_frame": frames["ED"],
        "es_frame": frames["ES"],
        **made.spacing("original_sax_spacing"),
        **made.volumes.row(),
    }
    return Prepared(row, tuple(notes))


def _numbers(case: RawCase) -> dict[str, float]:
    """Read the numbers of ``Info.cfg``."""
    found = {}
    for key in ("ED", "ES", "NbFrame", "Height", "Weight"):
        try:
            found[key] = float(case.facts.get(key, ""))
        except ValueError:
            found[key] = 0.0
        if not found[key] > 0:
            raise InputError(f"Info.cfg has no {key} above zero. Take the file as the challenge gives it.")
    if not case.facts.get("Group"):
        raise InputError("Info.cfg has no Group. Take the file as the challenge gives it.")
    return found


RECIPE: Final = Recipe(
    name="acdc",
    title="ACDC",
    get_it="It is open: https://www.creatis.insa-lyon.fr/Challenge/acdc (CC BY-NC-SA 4.0).",
    layout="database/training/patient001/Info.cfg and so on",
    published={"train": 100, "test": 50},
    find=find_patients,
    prepare=prepare_patient,
)
