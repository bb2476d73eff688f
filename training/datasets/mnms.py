"""The M&Ms challenge (Campello et al., IEEE TMI 2021): 4-D short axes of which ED and ES are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cinema_core.errors import InputError, PhaseError
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of, rows_of
from training.datasets.ventricles import Drawn, prepare_drawn
from training.datasets.volumes import LV_FIRST, label_image, read_frames

FOLDERS: Final = {"train": "Training/Labeled", "val": "Validation", "test": "Testing"}
KEY: Final = "External code"


def find_subjects(raw: Path) -> Found:
    """Subjects that have a folder; those that the table alone names are told.

    Images under ``Training/Unlabeled`` have no labels although label files lie beside them; they are not read.
    """
    root = root_of(raw, *FOLDERS.values(), below=("OpenDataset",))
    if root is None:
        raise RECIPE.absent(raw)
    tables = [rows for path in sorted(root.glob("*.csv")) if (rows := rows_of(path)) and KEY in rows[0]]
    if not tables:
        raise InputError(f"{root} has no table of subjects (a .csv with the column {KEY!r}). {RECIPE.get_it}")
    facts = {row[KEY]: row for row in tables[0]}
    cases, others, seen = [], [], set()
    for split, name in FOLDERS.items():
        for folder in sorted(path for path in (root / name).glob("*") if path.is_dir()):
            seen.add(folder.name)
            if folder.name not in facts:
                others.append(Result(folder.name, split, Status.SKIPPED, f"{tables_name(root)} does not name it."))
                continue
            files = tuple(folder / f"{folder.name}_sa{end}.nii.gz" for end in ("", "_gt"))
            cases.append(RawCase(folder.name, split, files, facts[folder.name], (f"{split}_metadata.csv",)))
    unlabelled = {path.name for path in (root / "Training" / "Unlabeled").glob("*")}
    for pid in facts:
        if pid in unlabelled:
            others.append(Result(pid, "", Status.LEFT_OUT, "it is not labelled (Training/Unlabeled)."))
        elif pid not in seen:
            others.append(Result(pid, "", Status.SKIPPED, "the table names it, but it has no folder."))
    return Found(tuple(cases), tuple(others))


def tables_name(root: Path) -> str:
    """Name the table of subjects."""
    return next((path.name for path in sorted(root.glob("*.csv"))), "the table")


def prepare_subject(case: RawCase, out: Path) -> Prepared:
    """Write ED and ES with their labels."""
    image_path, label_path = case.files
    images, labels = read_frames(image_path), read_frames(label_path)
    if len(images) != len(labels):
        raise PhaseError(
            f"{label_path.name} has {len(labels)} phases, its image {len(images)}. Take both files from one download."
        )
    phases = {name: _phase(case, name, len(images)) for name in ("ED", "ES")}
    ed, es = (Drawn(images[t], label_image(labels[t], images[t], LV_FIRST, label_path.name)) for t in phases.values())
    made = prepare_drawn(ed, es, out / case.folder / f"{case.pid}_sax")
    row: Row = {
        "pid": case.pid,
        "n_slices": made.n_slices,
        "vendor_name": case.facts.get("VendorName", ""),
        "vendor": case.facts.get("Vendor", ""),
        "center": case.facts.get("Centre", ""),
        "ed_index": phases["ED"],
        "es_index": phases["ES"],
        "age": case.facts.get("Age", ""),
        "pathology": case.facts.get("Pathology", ""),
        "sex": case.facts.get("Sex", ""),
        "height": case.facts.get("Height", ""),
        "weight": case.facts.get("Weight", ""),
        **made.spacing("orig_sax_spacing"),
        **made.volumes.row(),
    }
    return Prepared(row)


def _phase(case: RawCase, name: str, n_phases: int) -> int:
    """Index of ED or ES, from 0, as the table says."""
    text = case.facts.get(name, "")
    if not text.isdigit() or int(text) >= n_phases:
        raise PhaseError(f"the table says {name} is phase {text or 'nothing'!r}, the cine has 0 to {n_phases - 1}.")
    return int(text)


RECIPE: Final = Recipe(
    name="mnms",
    title="M&Ms",
    get_it="Ask for it at https://www.ub.edu/mnms (345 subjects are open, 30 more on application).",
    layout="OpenDataset/ with the table of subjects (.csv), Training/Labeled, Validation and Testing",
    published={"train": 150, "val": 34, "test": 136},
    find=find_subjects,
    prepare=prepare_subject,
)
