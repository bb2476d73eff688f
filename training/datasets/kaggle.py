"""Kaggle's second annual Data Science Bowl (2015): DICOM cines of three views, and LV volumes at ED and ES."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cinema_core.cine import Cine
from cinema_core.errors import StudyError
from cinema_core.io import load_study
from training.datasets.long_axes import VIEWS, cut_out, meeting_point
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of, rows_of
from training.datasets.volumes import as_bytes, ejection_fraction_pct, frames_of, spacing_columns, write_frames

TABLES: Final = {"train": "train.csv", "validate": "validate.csv", "test": "solution.csv"}
PATTERNS: Final = {"sax": "sax_*", "lax_2c": "2ch_*", "lax_4c": "4ch_*"}
LEFT_OUT: Final = {"761": "left out as published."}


def find_patients(raw: Path) -> Found:
    """Patients of all splits, with their volumes."""
    root = root_of(raw, *TABLES, below=("second-annual-data-science-bowl",))
    if root is None:
        raise RECIPE.absent(raw)
    cases, others = [], []
    for split, table in TABLES.items():
        volumes = volumes_of(root / table) if (root / table).is_file() else {}
        nested = root / split / split
        folders = nested if nested.is_dir() else root / split
        for folder in sorted(path for path in folders.glob("*") if path.name.isdigit()):
            pid = folder.name
            if pid in LEFT_OUT:
                others.append(Result(pid, split, Status.LEFT_OUT, LEFT_OUT[pid]))
                continue
            files = tuple(sorted((folder / "study").glob("*/*.dcm")))
            cases.append(RawCase(pid, split, files, volumes.get(pid, {}), (f"{split}_metadata.csv",)))
        there = {path.name for path in folders.glob("*")}
        others += [
            Result(pid, split, Status.SKIPPED, f"{table} names it, but it has no folder.")
            for pid in volumes
            if pid not in there
        ]
    return Found(tuple(cases), tuple(others))


def volumes_of(table: Path) -> dict[str, dict[str, str]]:
    """Systole and diastole (ml) by patient: a row per patient, or a row per volume (``701_Diastole``)."""
    found: dict[str, dict[str, str]] = {}
    for row in rows_of(table):
        pid, _, phase = row.get("Id", "").partition("_")
        if phase:
            found.setdefault(pid, {})[phase] = row.get("Volume", "")
        else:
            found[pid] = {name: row.get(name, "") for name in ("Systole", "Diastole")}
    return found


def prepare_patient(case: RawCase, out: Path) -> Prepared:
    """Write the cines of the three views."""
    read = {view: _read_cine(case, view) for view in VIEWS}
    cines = {view: cine.for_model() for view, cine in read.items()}
    frames = {view: frames_of(cine.pixels, cine.geometry) for view, cine in cines.items()}
    centre_mm = meeting_point(frames)
    prepared = {view: cut_out(view, frames[view], centre_mm) for view in VIEWS}
    for view in VIEWS:
        times = cines[view].timing.trigger_ms
        frame_ms = times[1] - times[0] if times and len(times) > 1 else None
        write_frames(out / case.folder / f"{case.pid}_{view}_t.nii.gz", as_bytes(prepared[view]), frame_ms)
    row: Row = {
        "pid": case.pid,
        "n_slices": prepared["sax"][0].GetSize()[2],
        "n_frames": len(frames["sax"]),
        **spacing_columns("original_sax_spacing", frames["sax"][0]),
        **_volume_columns(case),
    }
    return Prepared(row, tuple(_gaps(view, cine) for view, cine in read.items() if cine.missing))


def _volume_columns(case: RawCase) -> Row:
    try:
        systole, diastole = (float(case.facts[name]) for name in ("Systole", "Diastole"))
    except (KeyError, ValueError):
        raise StudyError(
            f"{TABLES[case.split]} states no volumes of it. Put the table beside the folders of the splits."
        ) from None
    ef = ejection_fraction_pct(diastole, systole)
    return {"systole_volume": systole, "diastole_volume": diastole, "ef": ef}


def _read_cine(case: RawCase, view: str) -> Cine:
    """Read the largest cine of a view; of several takes the lexically last, as published."""
    study = case.files[0].parent.parent if case.files else Path()
    folders = sorted({path.parent for path in case.files if path.parent.match(PATTERNS[view])})
    if not folders:
        raise StudyError(f"its study has no {PATTERNS[view]} folder with .dcm files; found: {_names(study)}.")
    cines = load_study(folders if view == "sax" else [folders[-1]]).cines
    return max(cines, key=lambda cine: cine.n_phases * cine.n_slices)


def _names(study: Path) -> str:
    return ", ".join(sorted(path.name for path in study.glob("*"))[:8]) or "nothing"


def _gaps(view: str, cine: Cine) -> str:
    return (
        f"{view}: {len(cine.missing)} of {cine.n_phases * cine.n_slices} images are missing; "
        "the nearest phase stands in their place"
    )


RECIPE: Final = Recipe(
    name="kaggle",
    title="Kaggle DSB",
    get_it=(
        "Accept the rules of https://www.kaggle.com/c/second-annual-data-science-bowl and run: "
        "kaggle competitions download -c second-annual-data-science-bowl"
    ),
    layout="second-annual-data-science-bowl/ with train.csv, train/train/1/study/sax_5 and so on",
    published={"train": 500, "validate": 200, "test": 440},
    find=find_patients,
    prepare=prepare_patient,
)
