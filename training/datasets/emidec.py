"""The EMIDEC challenge (Lalande et al., Data 5:89, 2020): late enhancement of the LV with infarction and no-reflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.errors import InputError
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of
from training.datasets.splits import sixty_twenty_twenty
from training.datasets.volumes import (
    MYOCARDIUM,
    SAX_SIZE,
    array_of,
    as_bytes,
    box_around,
    crop,
    label_image,
    read_volume,
    resample,
    spacing_columns,
    write_volume,
)

SPACING_MM: Final = (1.458, 1.458, 10.0)
LABELS: Final = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
"""Background, cavity, muscle, infarction, no-reflow."""

COLUMNS: Final = {
    "sex": "sex",
    "age": "age",
    "tobacco": "tobacco",
    "overweight": "overweight",
    "arterial_hypertension": "arterial hypertension",
    "diabetes": "diabetes",
    "family_history": "familial history of coronary artery disease",
    "ecg": "ecg (st +)",
    "troponin": "troponin",
    "killip_max": "killip max",
    "ef": "fevg",
    "ntprobnp": "ntprobnp",
}
"""Column of the table to the line of ``Case N006.txt`` that it is read from."""

_CASE: Final = re.compile(r"^Case_(?P<kind>[NP])\d+$")
ALL: Final = "all_metadata.csv"


def find_cases(raw: Path) -> Found:
    """Cases of the training set; 60, 20 and 20 % of the normal and of the pathological ones."""
    root = raw if any(raw.glob("Case_*")) else root_of(raw / "emidec-dataset-1.0.1", ".")
    if root is None:
        raise RECIPE.absent(raw)
    names = sorted(path.name for path in root.glob("Case_*") if path.is_dir())
    folders = {name: match["kind"] for name in names if (match := _CASE.match(name))}
    splits: dict[str, str] = {}
    for kind in "NP":
        splits |= sixty_twenty_twenty(name for name, of in folders.items() if of == kind)
    cases = []
    others = [
        Result(name, "", Status.SKIPPED, "its name says neither N (normal) nor P (pathological).")
        for name in names
        if name not in folders
    ]
    for name, kind in folders.items():
        text = root / f"{name.replace('_', ' ')}.txt"
        if not text.is_file():
            others.append(Result(name, splits[name], Status.SKIPPED, f"there is no {text.name} beside it."))
            continue
        files = tuple(root / name / part / f"{name}.nii.gz" for part in ("Images", "Contours"))
        facts = read_case_text(text) | {"pathology": kind}
        cases.append(RawCase(name, splits[name], files, facts, (f"{splits[name]}_metadata.csv", ALL)))
    return Found(tuple(cases), tuple(others))


def read_case_text(path: Path) -> dict[str, str]:
    """Read the lines ``Name : value``, names in small letters.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read. Unpack the dataset again.") from error
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {re.sub(r"[^\x20-\x7e]", "", key).strip().lower(): value.strip() for key, _, value in pairs}


def prepare_case(case: RawCase, out: Path) -> Prepared:
    """Write the image and its labels, centred on what is labelled as healthy muscle, as published."""
    image_path, label_path = case.files
    raw = read_volume(image_path)
    labels = resample(label_image(read_volume(label_path), raw, LABELS, label_path.name), SPACING_MM, labels=True)
    box = box_around(array_of(labels) == MYOCARDIUM, SAX_SIZE)
    labels = crop(labels, box)
    (image,) = as_bytes([crop(resample(raw, SPACING_MM), box)])
    folder = out / "train" / case.pid  # all of them, whatever their split, as published
    write_volume(folder / f"{case.pid}.nii.gz", image)
    write_volume(folder / f"{case.pid}_gt.nii.gz", labels)
    voxels = array_of(labels)
    row: Row = {
        "pid": case.pid,
        "n_slices": labels.GetSize()[2],
        **{column: case.facts.get(line, "") for column, line in COLUMNS.items()},
        "pathology": case.facts["pathology"],
        **spacing_columns("orig_spacing", raw),
        **{f"cls_{value}_proportion": float(np.mean(voxels == value)) for value in LABELS if value},
    }
    return Prepared(row)


RECIPE: Final = Recipe(
    name="emidec",
    title="EMIDEC",
    get_it="Ask for it at https://emidec.com.",
    layout="emidec-dataset-1.0.1/ with Case_N006/Images, Case_N006/Contours, 'Case N006.txt' and so on",
    published={"train": 59, "val": 19, "test": 22},
    find=find_cases,
    prepare=prepare_case,
)
