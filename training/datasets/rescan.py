"""Rescan (Bhuva et al., Circ Cardiovasc Imaging 12:e009214, 2019): pairs of scans of one heart, as pickled arrays.

The dataset must be asked for and was not at hand: names in its pickles beyond ``image_voxels`` and ``PixelSpacing`` are
taken to be DICOM's. A pickle that holds others is refused with what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Geometry
from cinema_core.errors import GeometryError, LabelError, StudyError
from training.datasets.long_axes import VIEWS, cut_out, meeting_point
from training.datasets.preparing import Found, Prepared, RawCase, Recipe, Result, Row, Status, root_of, rows_of
from training.datasets.safe_pickle import read_arrays
from training.datasets.volumes import (
    LV,
    LV_FIRST,
    Frames,
    frames_of,
    label_image,
    spacing_columns,
    stretched,
    volume_ml,
    write_frames,
)

DEPTHS: Final = {"train": "*/*", "test": "scan_*", "test_retest_100": "*"}
"""Where the folders of a split lie below it."""

FILES: Final = {"sax": "SAX.pickle", "lax_2c": "2C.pickle", "lax_4c": "4C.pickle"}
LABELS: Final = "SAX_segs.pickle"
VOXELS: Final = "image_voxels"
UNLABELLED: Final = "test_retest_100"
"""This split has volumes instead of labels."""


@dataclass(frozen=True, eq=False)
class PickledCine:
    """A cine of the dataset: voxels (t, z, y, x) and where they lie."""

    pixels: NDArray[Any]
    geometry: Geometry


def find_scans(raw: Path) -> Found:
    """Find the scans of all splits."""
    root = root_of(raw, *DEPTHS, below=("pickle",))
    if root is None:
        raise RECIPE.absent(raw)
    volumes = _volumes(root / UNLABELLED)
    cases, others = [], []
    for split, pattern in DEPTHS.items():
        for folder in sorted(path for path in (root / split).glob(pattern) if path.is_dir()):
            pid = folder.relative_to(root / split).as_posix()
            wanted = [*FILES.values(), *([] if split == UNLABELLED else [LABELS])]
            absent = [name for name in wanted if not (folder / name).is_file()]
            if absent:
                others.append(Result(pid, split, Status.SKIPPED, f"it has no {', '.join(absent)}."))
                continue
            files = tuple(folder / name for name in wanted)
            cases.append(RawCase(pid, split, files, volumes.get(pid, {}), (f"{split}_metadata.csv",)))
    return Found(tuple(cases), tuple(others))


def _volumes(folder: Path) -> dict[str, dict[str, str]]:
    """EDV, ESV and EF by scan, from any table beside the scans with a column ``id`` or ``pid``."""
    found = {}
    for table in sorted([*folder.glob("*.csv"), *folder.parent.glob("*.csv")]):
        for row in rows_of(table):
            named = {key.lower(): value for key, value in row.items()}
            if pid := named.get("pid") or named.get("id"):
                found[pid] = named
    return found


def prepare_scan(case: RawCase, out: Path) -> Prepared:
    """Write the cines of three views, and the labels of the short axis where there are any."""
    folder = case.files[0].parent
    cines = {view: read_cine(folder / FILES[view]) for view in VIEWS}
    frames = {view: frames_of(cine.pixels, cine.geometry) for view, cine in cines.items()}
    centre_mm = meeting_point(frames)
    prepared = {view: cut_out(view, frames[view], centre_mm) for view in VIEWS}
    for view in VIEWS:
        write_frames(out / case.folder / f"{view}_t.nii.gz", stretched(prepared[view]))
    row: Row = {
        "pid": case.pid,
        "n_slices": prepared["sax"][0].GetSize()[2],
        **spacing_columns("orig_sax_spacing", frames["sax"][0]),
        **spacing_columns("orig_lax_spacing", frames["lax_2c"][0], "xy"),
        "n_frames": len(frames["sax"]),
    }
    if case.split == UNLABELLED:
        known = {name: case.facts.get(name, "") for name in ("edv", "esv", "ef")}
        notes = () if all(known.values()) else (f"no table beside the scans states {', '.join(known)}",)
        return Prepared(row | known, notes)
    drawn = read_labels(folder / LABELS, cines["sax"])
    labels = [
        label_image(image, frame, LV_FIRST, LABELS)
        for image, frame in zip(frames_of(drawn, cines["sax"].geometry), frames["sax"], strict=True)
    ]
    cut = cut_out("sax", labels, centre_mm, labels=True)
    write_frames(out / case.folder / "sax_gt_t.nii.gz", cut)
    return Prepared(row | _phases(cut))


def _phases(labels: Frames) -> Row:
    """ED and ES: the phases of the largest and the smallest LV."""
    volumes = [volume_ml(frame, LV) for frame in labels]
    if not any(volumes):
        raise LabelError(f"{LABELS} shows no LV in the window. Leave the case out.")
    return {"ed_index": int(np.argmax(volumes)), "es_index": int(np.argmin(volumes))}


def read_cine(path: Path) -> PickledCine:
    """Read a cine; its slices are counted the other way round, as published.

    Raises
    ------
    StudyError
        If the pickle is none of this dataset.
    GeometryError
        If it does not say where the image lies.
    """
    content = read_arrays(path)
    voxels = content.get(VOXELS) if isinstance(content, dict) else None
    if not isinstance(voxels, np.ndarray) or voxels.ndim != 4 or voxels.dtype.kind not in "iuf":
        raise StudyError(f"{path.name} has no {VOXELS} with four axes (z, t, y, x); it holds {_what(content)}.")
    n_slices = voxels.shape[0]
    positions = _numbers(path, content, "ImagePositionPatient", 3)
    orientation = _numbers(path, content, "ImageOrientationPatient", 6)[0]
    spacing_y, spacing_x = _numbers(path, content, "PixelSpacing", 2)[0]
    row, column = orientation[:3], orientation[3:]  # along x, along y
    across = np.cross(row, column)
    if len(positions) == n_slices and n_slices > 1:
        step = (positions[-1] - positions[0]) / (n_slices - 1)
    else:
        step = across * _step_mm(path, content)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * spacing_x, column * spacing_y, step], axis=1)
    affine[:3, 3] = positions[0]
    whole = Geometry.from_affine(affine, n_slices)
    turned = Geometry(whole.planes[::-1], single_slice_step_mm=float(np.linalg.norm(step)))
    pixels = voxels[::-1].transpose(1, 0, 2, 3)  # (z, t, y, x) -> (t, z, y, x)
    return PickledCine(np.ascontiguousarray(pixels), turned)


def read_labels(path: Path, cine: PickledCine) -> NDArray[np.uint8]:
    """Read labels (t, z, y, x), as the file counts them: an array (z, t, y, x), by itself or in a mapping."""
    content = read_arrays(path)
    found = content.get(VOXELS) if isinstance(content, dict) else content
    if not isinstance(found, np.ndarray) or found.ndim != 4:
        raise LabelError(f"{path.name} holds no labels with four axes (z, t, y, x); it holds {_what(content)}.")
    labels = found[::-1].transpose(1, 0, 2, 3)
    if labels.shape != cine.pixels.shape:
        sizes = [" x ".join(map(str, shape)) for shape in (labels.shape, cine.pixels.shape)]
        raise LabelError(
            f"{path.name} has {sizes[0]} voxels, its image {sizes[1]} (t x z x y x x). Copy the folder again."
        )
    return np.ascontiguousarray(labels).astype(np.uint8)


def _numbers(path: Path, content: dict[str, Any], name: str, n: int) -> NDArray[np.float64]:
    """Read an attribute of one image or of every image, shape (images, n)."""
    try:
        values = np.asarray(content[name], dtype=np.float64).reshape(-1, n)
    except (KeyError, TypeError, ValueError):
        values = np.empty((0, n))
    if not len(values) or not np.isfinite(values).all():
        raise GeometryError(f"{path.name} states no {name} of {n} numbers; it holds {_what(content)}.")
    return values


def _step_mm(path: Path, content: dict[str, Any]) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        if content.get(name):
            return float(_numbers(path, content, name, 1)[0, 0])
    raise GeometryError(
        f"{path.name} states neither SpacingBetweenSlices nor SliceThickness nor every slice's position."
    )


def _what(content: object) -> str:
    if isinstance(content, dict):
        return "the entries " + ", ".join(sorted(map(str, content))[:12])
    return f"a {type(content).__name__}"


RECIPE: Final = Recipe(
    name="rescan",
    title="Rescan",
    get_it="It must be asked for: Rhodri Davies, rhodri.davies@ucl.ac.uk.",
    layout="pickle/ with train/GROUP/ID, test/scan_00_A, test_retest_100/ID; in each SAX.pickle, 2C.pickle, 4C.pickle",
    published={},
    find=find_scans,
    prepare=prepare_scan,
)
