"""The M&Ms-2 challenge (Martin-Isla et al., IEEE JBHI 2023): short axis and 4-chamber view at ED and ES."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of, rows_of
from training.datasets.ventricles import Pair, prepare_drawn, read_drawn
from training.datasets.volumes import LAX_SIZE, LAX_SPACING_MM, LV_FIRST, SAX_SIZE, SAX_SPACING_MM

TABLE: Final = "dataset_information.csv"
KEY: Final = "SUBJECT_CODE"
LAST_TRAIN, LAST_VAL = 160, 200
PHASES: Final = ("ED", "ES")


def split_of(number: int) -> str:
    """Split of a subject, by its number as published."""
    return "train" if number <= LAST_TRAIN else "val" if number <= LAST_VAL else "test"


def find_subjects(raw: Path) -> Found:
    """Subjects of the table, with or without a folder."""
    root = root_of(raw, TABLE, below=("MnM2",))
    if root is None:
        raise RECIPE.absent(raw)
    cases, others = [], []
    for facts in rows_of(root / TABLE):
        number = facts.get(KEY, "")
        if not number.isdigit():
            others.append(Result(number, "", Status.SKIPPED, f"{TABLE} has a row without a number in {KEY}."))
            continue
        pid, split = f"{int(number):03d}", split_of(int(number))
        folder = root / "dataset" / pid
        if not folder.is_dir():
            others.append(Result(pid, split, Status.SKIPPED, f"{TABLE} names it, but there is no dataset/{pid}."))
            continue
        files = tuple(
            folder / f"{pid}_{view}_{phase}{end}.nii.gz"
            for view in ("SA", "LA")
            for end in ("", "_gt")
            for phase in PHASES
        )
        cases.append(RawCase(pid, split, files, facts, (f"{split}_metadata.csv",)))
    return Found(tuple(cases), tuple(others))


def prepare_subject(case: RawCase, out: Path) -> Prepared:
    """Write both views at ED and ES with their labels."""
    sa, la = Pair(*case.files[:4]), Pair(*case.files[4:])
    made = {}
    for view, pair, spacing_mm, size in (
        ("sax", sa, SAX_SPACING_MM, SAX_SIZE),
        ("lax_4c", la, LAX_SPACING_MM, LAX_SIZE),
    ):
        ed, es = read_drawn(pair.ed, pair.ed_labels, LV_FIRST), read_drawn(pair.es, pair.es_labels, LV_FIRST)
        made[view] = prepare_drawn(ed, es, out / case.folder / f"{case.pid}_{view}", spacing_mm, size)
    row: Row = {
        "pid": case.pid,
        "n_slices": made["sax"].n_slices,
        "pathology": case.facts.get("DISEASE", ""),
        "vendor": case.facts.get("VENDOR", ""),
        "scanner": case.facts.get("SCANNER", ""),
        "field": case.facts.get("FIELD", ""),
        **made["lax_4c"].spacing("orig_lax_4c_spacing", "xy"),
        **made["sax"].spacing("orig_sax_spacing"),
        **made["sax"].volumes.row(),
    }
    return Prepared(row)


RECIPE: Final = Recipe(
    name="mnms2",
    title="M&Ms-2",
    get_it="Ask for it at https://www.ub.edu/mnms-2.",
    layout=f"MnM2/{TABLE} and MnM2/dataset/001 and so on",
    published={"train": 160, "val": 40, "test": 160},
    find=find_subjects,
    prepare=prepare_subject,
)
