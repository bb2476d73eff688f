"""The MyoPS 2020 challenge (Zhuang, IEEE TPAMI 41:2933, 2019): bSSFP, late enhancement and T2 of one heart, aligned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cinema_core.errors import LabelError
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of
from training.datasets.volumes import (
    SAX_SIZE,
    as_bytes,
    crop,
    label_image,
    middle_box,
    read_volume,
    spacing_columns,
    write_volume,
)

MODALITIES: Final = ("C0", "DE", "T2")
ORIGINAL: Final = {0: 0, 600: 1, 500: 2, 200: 3, 1220: 4, 2221: 5}
"""RV, LV, healthy muscle, edema, scar: value in the download to the model's."""

_IMAGE: Final = re.compile(r"^myops_(training|test|testing)_(?P<pid>\d+)_C0\.nii\.gz$")
FOLDERS: Final = {"train": "train25", "test": "test20"}
LABELS: Final = "train25_myops_gd"


def find_cases(raw: Path) -> Found:
    """Cases of both folders; those of the test have no labels."""
    root = root_of(raw, *FOLDERS.values())
    if root is None:
        raise RECIPE.absent(raw)
    cases, others = [], []
    for split, name in FOLDERS.items():
        for path in sorted((root / name).glob("*_C0.nii.gz")):
            match = _IMAGE.match(path.name)
            if match is None:
                reason = f"{path.name} is not named as myops_training_101_C0.nii.gz is."
                others.append(Result(path.name.split(".")[0], split, Status.SKIPPED, reason))
                continue
            stem = path.name.removesuffix("_C0.nii.gz")
            files = [path.with_name(f"{stem}_{modality}.nii.gz") for modality in MODALITIES]
            if split == "train":
                files.append(root / LABELS / f"{stem}_gd.nii.gz")
            absent = [file.name for file in files if not file.is_file()]
            if absent:
                others.append(Result(match["pid"], split, Status.SKIPPED, f"{', '.join(absent)} is missing."))
                continue
            cases.append(RawCase(match["pid"], split, tuple(files), {}, (f"{split}_metadata.csv",)))
    return Found(tuple(cases), tuple(others))


def prepare_case(case: RawCase, out: Path) -> Prepared:
    """Write the three images on their own grid, cut in the middle, and the labels if there are any."""
    images = {name.lower(): read_volume(path) for name, path in zip(MODALITIES, case.files, strict=False)}
    first = images["c0"]
    for name, image in images.items():
        if image.GetSize() != first.GetSize():
            raise LabelError(f"{name} has another size than c0. Take all files from one download.")
    box = middle_box(first, SAX_SIZE)
    stem = out / case.folder / case.pid
    for name, image in images.items():
        (prepared,) = as_bytes([crop(image, box)])
        write_volume(stem.with_name(f"{case.pid}_{name}.nii.gz"), prepared)
    if case.split == "train":
        label_path = case.files[-1]
        labels = label_image(read_volume(label_path), first, ORIGINAL, label_path.name)
        write_volume(stem.with_name(f"{case.pid}_gt.nii.gz"), crop(labels, box))
    x, y = box
    row: Row = {
        "pid": case.pid,
        "n_slices": first.GetSize()[2],
        **spacing_columns("orig_spacing", first),
        "crop_lower_x": x.start,
        "crop_lower_y": y.start,
        "crop_upper_x": first.GetSize()[0] - x.stop,
        "crop_upper_y": first.GetSize()[1] - y.stop,
    }
    return Prepared(row)


RECIPE: Final = Recipe(
    name="myops2020",
    title="MyoPS 2020",
    get_it="Ask for it at https://zmiclab.github.io/zxh/0/myops20.",
    layout="train25/myops_training_101_C0.nii.gz and so on, train25_myops_gd and test20",
    published={"train": 25, "test": 20},
    find=find_cases,
    prepare=prepare_case,
)
