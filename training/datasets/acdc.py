"""The ACDC challenge (Bernard et al., IEEE TMI 2018) in its raw layout: one folder per patient with ``Info.cfg``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinema_core.cases import TrainingCase
from cinema_core.errors import InputError
from cinema_core.io import load_study, read_labels


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
        lines = path.read_text(encoding="utf-8").splitlines()
        values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
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
