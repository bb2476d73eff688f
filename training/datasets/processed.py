"""Prepared datasets as a segmenter learns from them: which images, who teaches, who validates, what is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cinema_core.errors import GeometryError, InputError, LabelError
from cinema_core.io.nifti import read_image
from training.datasets.myops2020 import ORIGINAL
from training.datasets.volumes import LV, LV_FIRST, MYOCARDIUM, RV
from training.settings import FineTuneConfig

ENCLOSED: Final = 0.5
"""Of the rim of the LV muscle touches more than this, of that of the RV less.

In the 60 labelled frames of 30 ACDC patients it was 99.5 % and more of the LV's and at most 43 % of the RV's.
"""


@dataclass(frozen=True)
class LabelledImage:
    """Files of one labelled image.

    Attributes
    ----------
    pid
        Of the patient.
    images
        One file per channel.
    t
        Phase of 4-D files, from 0; 0 for 3-D files.
    phase
        Which one of the patient's phases it is: ``ed``, ``es`` or a number; empty if there is one image.
    """

    pid: str
    images: tuple[Path, ...]
    labels: Path
    t: int = 0
    phase: str = ""


Example = TypeVar("Example")
Rows = Any  # a DataFrame; pandas has no types here
Split = Literal["train", "val", "test"]
Scored = Mapping[str, tuple[int, ...]]
VENTRICLES: Final[Scored] = MappingProxyType({"rv": (RV,), "myo": (MYOCARDIUM,), "lv": (LV,)})
LESION: Final[Scored] = MappingProxyType(
    {"cavity": (1,), "myocardium": (2, 3, 4), "infarction": (3, 4), "no_reflow": (4,)}
)
"""Of EMIDEC: an infarction is part of the muscle, and what does not reflow part of the infarction."""
EDEMA: Final[Scored] = MappingProxyType(
    {"rv": (1,), "lv": (2,), "myocardium": (3, 4, 5), "edema_or_scar": (4, 5), "scar": (5,)}
)
"""Of MyoPS."""


@dataclass(frozen=True)
class ProcessedSet:
    """How a prepared dataset is read.

    Attributes
    ----------
    images_of
        Folder of the prepared files, row of the table and view to images.
    split
        Table of the training split to those that teach and those that validate; None: the table of validation says.
    folder
        Of the files, if all lie in one whatever their split.
    scored
        Structures whose Dice counts, in the order of the published figures, and the labels that make up each.
    empty_is_perfect
        Whether a structure that is neither drawn nor there has Dice 1 (else it has none).
    order
        Values of the original labels to the models'; None: only the models' are known.
    test_is_labelled
        Whether the dataset gives out the labels of its test.
    """

    images_of: Callable[[Path, Mapping[str, Any], str], list[LabelledImage]]
    split: Callable[[Rows], tuple[Rows, Rows]] | None = None
    folder: str | None = None
    scored: Scored = field(default_factory=lambda: VENTRICLES)
    empty_is_perfect: bool = False
    order: Mapping[int, int] | None = None
    test_is_labelled: bool = True


def _ed_and_es(folder: Path, row: Mapping[str, Any], view: str) -> list[LabelledImage]:
    pid = row["pid"]
    stems = {phase: f"{pid}_{view}_{phase}" for phase in ("ed", "es")}
    return [
        LabelledImage(pid, (folder / pid / f"{stem}.nii.gz",), folder / pid / f"{stem}_gt.nii.gz", phase=phase)
        for phase, stem in stems.items()
    ]


def _single(folder: Path, row: Mapping[str, Any], view: str) -> list[LabelledImage]:
    pid = row["pid"]
    return [LabelledImage(pid, (folder / pid / f"{pid}.nii.gz",), folder / pid / f"{pid}_gt.nii.gz")]


def _modalities(folder: Path, row: Mapping[str, Any], view: str) -> list[LabelledImage]:
    pid = row["pid"]
    images = tuple(folder / pid / f"{pid}_{name}.nii.gz" for name in ("c0", "de", "t2"))
    return [LabelledImage(pid, images, folder / pid / f"{pid}_gt.nii.gz")]


def _every_phase(folder: Path, row: Mapping[str, Any], view: str) -> list[LabelledImage]:
    place = folder / row["pid"]
    return [
        LabelledImage(row["pid"], (place / "sax_t.nii.gz",), place / "sax_gt_t.nii.gz", t, str(t))
        for t in range(int(row["n_frames"]))
    ]


def _two_per_pathology(rows: Rows) -> tuple[Rows, Rows]:
    """Take out two patients of each group, drawn by pandas as published."""
    small = [str(group) for group, n in rows["pathology"].value_counts().items() if n < 3]
    if small:
        raise InputError(
            f"Two patients of each group validate, and {', '.join(small)} has fewer than three. Prepare more patients."
        )
    val = rows.groupby("pathology").sample(n=2, random_state=0)
    return rows.drop(val.index), val


def _five(rows: Rows) -> tuple[Rows, Rows]:
    if len(rows) < 6:
        raise InputError(f"Five cases validate, and the table has {len(rows)}. Prepare more cases.")
    val = rows.sample(n=5, random_state=0)
    return rows.drop(val.index), val


def _first_of_each_group(rows: Rows) -> tuple[Rows, Rows]:
    val = rows.groupby(rows["pid"].str.split("/").str[0]).head(1)
    return rows.drop(val.index), val


SETS: Final[Mapping[str, ProcessedSet]] = MappingProxyType(
    {
        "acdc": ProcessedSet(_ed_and_es, split=_two_per_pathology),
        "mnms": ProcessedSet(_ed_and_es, order=LV_FIRST),
        "mnms2": ProcessedSet(_ed_and_es, order=LV_FIRST),
        "rescan": ProcessedSet(_every_phase, split=_first_of_each_group, order=LV_FIRST),
        "emidec": ProcessedSet(_single, folder="train", scored=LESION, empty_is_perfect=True),
        "myops2020": ProcessedSet(
            _modalities,
            split=_five,
            scored=EDEMA,
            empty_is_perfect=True,
            order=ORIGINAL,
            test_is_labelled=False,
        ),
    }
)


def images_of(folder: Path, config: FineTuneConfig) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """List the images that teach and those that validate.

    Parameters
    ----------
    folder
        Prepared files.

    Raises
    ------
    InputError
        If the dataset has no labels to learn from, a table or a file is missing, or nobody is left on one side.
    """
    _refuse_unlabelled(config)
    return both_sides([_listed(place, rows, config) for place, rows in rows_of_sides(folder, config)], folder, config)


def both_sides(
    sides: Sequence[list[Example]], folder: Path, config: FineTuneConfig
) -> tuple[list[Example], list[Example]]:
    """Keep as many of those who teach, the first of two sides, as the config allows.

    Raises
    ------
    InputError
        If nobody is left on one side.
    """
    teaching, validating = sides
    if config.data.max_n_samples >= 0:
        teaching = teaching[: config.data.max_n_samples]
    if not (teaching and validating):
        raise InputError(f"{folder} leaves nobody to teach, or nobody to validate. Prepare more cases.")
    return teaching, validating


def split_images(folder: Path, config: FineTuneConfig, split: Split) -> list[LabelledImage]:
    """List the labelled images of a split.

    Raises
    ------
    InputError
        As :func:`images_of`, and if the labels of the test are not given out.
    """
    if split != "test":
        return images_of(folder, config)[0 if split == "train" else 1]
    _refuse_unlabelled(config)
    if not SETS[config.data.name].test_is_labelled:
        raise InputError(f"{config.data.name} keeps the labels of its test to itself; ask for the split val.")
    return _listed(*test_rows(folder, config), config)


def _refuse_unlabelled(config: FineTuneConfig) -> None:
    if config.data.name not in SETS:
        raise InputError(f"No segmenter learns from {config.data.name!r}; data.name is one of {', '.join(SETS)}.")


def _listed(place: Path, rows: Rows, config: FineTuneConfig) -> list[LabelledImage]:
    known, view = SETS[config.data.name], config.model.views
    listed = [image for row in rows.to_dict("records") for image in known.images_of(place, row, view)]
    refuse_missing([path for image in listed for path in (*image.images, image.labels)], config.data.name)
    return listed


def test_rows(folder: Path, config: FineTuneConfig) -> tuple[Path, Rows]:
    """Folder of the files of the test, and rows of its table.

    Raises
    ------
    InputError
        If the table is missing.
    """
    name = config.data.name
    return folder / (SETS[name].folder or "test"), read_table(folder / "test_metadata.csv", name)


def rows_of_sides(folder: Path, config: FineTuneConfig) -> list[tuple[Path, Rows]]:
    """Folder of the files and rows of the table: first of those who teach, then of those who validate.

    Raises
    ------
    InputError
        If a table is missing, or too few are there to take some out.
    """
    name, known = config.data.name, SETS[config.data.name]
    if known.split is None:
        train, val = (read_table(folder / f"{split}_metadata.csv", name) for split in ("train", "val"))
    else:
        train, val = known.split(read_table(folder / "train_metadata.csv", name))
    if config.data.proportion < 1:
        train = train.sample(frac=config.data.proportion, random_state=config.seed)
    val_folder = known.folder or ("val" if known.split is None else "train")
    return [(folder / (known.folder or "train"), train), (folder / val_folder, val)]


def refuse_missing(paths: Sequence[Path], name: str) -> None:
    """Make sure that prepared files are there.

    Raises
    ------
    InputError
        If some are not.
    """
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise InputError(
            f"{len(absent)} prepared files are missing, the first is {absent[0]}. "
            f"Run: python -m training.prepare {name}"
        )


def read_table(path: Path, name: str) -> Rows:
    """Read a table of prepared cases; every value is text.

    Raises
    ------
    InputError
        If it is missing or empty.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(
            f"There is no {path}. Run: python -m training.prepare {name} --raw DIR --out {path.parent}"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}). Prepare the dataset again.") from error
    if "pid" not in rows:
        raise InputError(f"{path} has no column pid. Prepare the dataset again.")
    return rows


def spacing_mm(path: Path, n_axes: int) -> tuple[float, ...]:
    """Voxel size that a prepared file states, along (x, y[, z])."""
    return tuple(float(mm) for mm in np.linalg.norm(read_image(path).geometry.affine()[:3, :n_axes], axis=0))


def read_channels(paths: Sequence[Path], t: int = 0) -> NDArray[np.float32]:
    """Read the channels of an image at a phase, shape (c, x, y, z), grey values as stored.

    Raises
    ------
    GeometryError
        If they differ in size.
    """
    channels = [np.asarray(read_image(path).voxels[t], dtype=np.float32).T for path in paths]
    if len({channel.shape for channel in channels}) != 1:
        raise GeometryError(f"{paths[0].name} and its like differ in size. Prepare the dataset again.")
    return np.stack(channels)


def read_truth(image: LabelledImage, config: FineTuneConfig) -> NDArray[np.int64]:
    """Read the labels of an image in the models' order, shape (x, y, z).

    Raises
    ------
    LabelError
        If a value is unknown, or the labels of ventricles are in another order than the config says.
    """
    known, name = SETS[config.data.name], image.labels.name
    labels: NDArray[np.int64] = read_image(image.labels).voxels[image.t].T.astype(np.int64)  # (z, y, x) -> (x, y, z)
    if config.data.label_order == "original":
        if known.order is None:
            raise LabelError(f"Original labels of {config.data.name} are the models' own; leave data.label_order out.")
        unknown = sorted(set(np.unique(labels).tolist()) - set(known.order))
        if unknown:
            raise LabelError(f"{name} holds {unknown[0]}, which is no original label. Is data.label_order right?")
        mapped = np.zeros_like(labels)
        for original, value in known.order.items():
            mapped[labels == original] = value
        labels = mapped
    n_labels = config.model.out_chans or 0
    if labels.min() < 0 or labels.max() >= n_labels:
        raise LabelError(
            f"{name} holds the label {labels.max()}; the model draws 0 to {n_labels - 1}. "
            "Prepare the dataset again, or set data.label_order=original."
        )
    if known.scored is VENTRICLES and config.model.views == "sax" and looks_swapped(labels):
        raise LabelError(
            f"In {name} muscle lies around label {RV} and not around label {LV}: LV and RV are swapped. "
            "Set data.label_order to the other value."
        )
    return labels


def looks_swapped(labels: NDArray[np.int64]) -> bool:
    """Whether muscle lies around what is labelled RV, and not around what is labelled LV, in a short axis (x, y, z)."""
    return _rim_in_muscle(labels, RV) > ENCLOSED > _rim_in_muscle(labels, LV)


def _rim_in_muscle(labels: NDArray[np.int64], value: int) -> float:
    """Share of the neighbours of a structure, in the plane, that are muscle."""
    touching, around = 0, 0
    for axis in (0, 1):
        first, second = (np.moveaxis(labels, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        for inside, outside in ((first, second), (second, first)):
            rim = (inside == value) & (outside != value)
            around += int(rim.sum())
            touching += int((rim & (outside == MYOCARDIUM)).sum())
    return touching / around if around else 0.0
