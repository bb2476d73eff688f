"""The Landmark dataset: long-axis frames with the two insertions of the mitral valve and the apex."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cinema_core.disk import disk_errors
from cinema_core.errors import LabelError, StudyError
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of, rows_of
from training.datasets.splits import sixty_twenty_twenty

VIEWS: Final = ("lax_2c", "lax_4c")
GREYS: Final = (85, 170, 255)
"""Grey value of each landmark in a mask."""
SHARE: Final = 0.25
"""Size of a prepared image, of the raw one."""


def find_frames(raw: Path) -> Found:
    """Frames of both views; those of one patient are in one split."""
    root = root_of(raw, *VIEWS, below=("raw",))
    if root is None:
        raise RECIPE.absent(raw)
    cases, others = [], []
    for view in VIEWS:
        images = sorted((root / view / "images").glob("*.png"))
        cohorts = _cohorts(root / f"{view}.csv")
        splits = sixty_twenty_twenty({patient_of(path.stem) for path in images})
        for path in images:
            split = splits[patient_of(path.stem)]
            mask = root / view / "masks" / path.name
            if not mask.is_file():
                others.append(Result(path.stem, split, Status.SKIPPED, f"{view}/masks has no {path.name}."))
                continue
            facts = {"view": view, "cohort_name": cohorts.get(path.stem, "")}
            cases.append(RawCase(path.stem, split, (path, mask), facts, (f"{view}_{split}.csv",)))
        there = {path.stem for path in images}
        others += [
            Result(uid, "", Status.SKIPPED, f"{view}.csv names it, but {view}/images has no {uid}.png.")
            for uid in cohorts
            if uid not in there
        ]
    return Found(tuple(cases), tuple(others))


def patient_of(uid: str) -> str:
    """Patient of a frame ``0001__09``."""
    return uid.split("__")[0]


def _cohorts(table: Path) -> dict[str, str]:
    """Cohort by frame; none if there is no table."""
    rows = rows_of(table) if table.is_file() else []
    return {row["uid"]: row.get("cohort_name") or row.get("cohort", "") for row in rows if row.get("uid")}


def prepare_frame(case: RawCase, out: Path) -> Prepared:
    """Write a frame at a quarter of its size, mirrored if its landmarks go round the wrong way."""
    image, mask = (_grey(path) for path in case.files)
    view = case.facts["view"]
    if image.size != mask.size:
        raise LabelError(
            f"the mask has {mask.size[0]} x {mask.size[1]} pixels, the image {image.size[0]} x {image.size[1]}. "
            "Take both from one download."
        )
    points = landmarks_of(np.asarray(mask))
    size = (max(1, round(image.width * SHARE)), max(1, round(image.height * SHARE)))
    small = image.resize(size, Image.Resampling.BILINEAR)
    points = points * SHARE
    if is_clockwise(points) != (view == "lax_2c"):
        small = small.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        points[:, 1] = size[1] - 1 - points[:, 1]
    target = out / view / "images" / f"{case.pid}.png"
    with disk_errors(f"{target.name} could not be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        small.save(target)
    row: Row = {"cohort_name": case.facts["cohort_name"], "uid": case.pid, "view": view}
    for k, (x, y) in enumerate(points.tolist(), start=1):
        row |= {f"x{k}": x, f"y{k}": y}
    return Prepared(row | {"pid": patient_of(case.pid)})


def _grey(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("L")
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise StudyError(f"{path.parent.name}/{path.name} is no image that can be read. Copy it again.") from error


def landmarks_of(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Middle (x, y) of the pixels of each landmark, shape (3, 2).

    Raises
    ------
    LabelError
        If one is not marked.
    """
    points = np.empty((len(GREYS), 2))
    for k, grey in enumerate(GREYS):
        rows, columns = np.nonzero(mask == grey)
        if not rows.size:
            raise LabelError(f"landmark {k + 1} is not marked in the mask (no pixel of grey value {grey}).")
        points[k] = columns.mean(), rows.mean()
    return points


def is_clockwise(points: NDArray[np.float64]) -> bool:
    """Whether three points (x, y) go round clockwise on a screen, where y points down."""
    (x1, y1), (x2, y2), (x3, y3) = points.tolist()
    return bool((x2 - x1) * (y3 - y1) - (y2 - y1) * (x3 - x1) > 0)


RECIPE: Final = Recipe(
    name="landmark",
    title="Landmark",
    get_it="It must be asked for: Rhodri Davies, rhodri.davies@ucl.ac.uk.",
    layout="raw/lax_2c/images, raw/lax_2c/masks, the same of lax_4c, and raw/lax_2c.csv, raw/lax_4c.csv",
    published={},
    find=find_frames,
    prepare=prepare_frame,
)
