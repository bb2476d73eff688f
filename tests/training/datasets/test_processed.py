"""Who teaches and who validates, and what is wrong with prepared files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import raw_datasets
from processed_datasets import disc_heart, small_config, write_acdc

from cinema_core.errors import InputError, LabelError
from cinema_core.phantom import PhantomStudy
from training.datasets.augment import TeachingImages, read_sample
from training.datasets.preparing import prepare_dataset
from training.datasets.processed import SETS, images_of, looks_swapped, read_channels, read_truth
from training.datasets.published import RECIPES
from training.settings import read_config

Miniature = Callable[[Path, PhantomStudy], Path]


def test_two_patients_of_each_group_validate_as_pandas_draws_them(tmp_path: Path) -> None:
    write_acdc(tmp_path, n_per_group=4)
    train, val = images_of(tmp_path, small_config(tmp_path))
    rows = pd.read_csv(tmp_path / "train_metadata.csv", dtype=str)
    expected = rows.groupby("pathology").sample(n=2, random_state=0)["pid"]
    assert {image.pid for image in val} == set(expected)
    assert len(val) == len(train) == 2 * 2 * 2  # ED and ES of two patients of two groups
    assert not {image.pid for image in train} & {image.pid for image in val}


def test_less_data_is_asked_for_by_share_and_by_number(tmp_path: Path) -> None:
    write_acdc(tmp_path, n_per_group=4)
    assert len(images_of(tmp_path, small_config(tmp_path, "data.proportion=0.5"))[0]) == 4
    assert len(images_of(tmp_path, small_config(tmp_path, "data.max_n_samples=3"))[0]) == 3


def test_every_phase_of_rescan_counts_and_the_first_scan_of_each_group_validates() -> None:
    known = SETS["rescan"]
    assert known.split is not None
    rows = pd.DataFrame({"pid": ["A/s_0", "A/s_1", "B/s_0", "B/s_1"], "n_frames": "3"})
    train, val = known.split(rows)
    assert list(val["pid"]) == ["A/s_0", "B/s_0"]
    images = known.images_of(Path("train"), train.to_dict("records")[0], "sax")
    assert [image.t for image in images] == [0, 1, 2]
    assert images[0].labels == Path("train/A/s_1/sax_gt_t.nii.gz")


def test_the_other_datasets_name_their_files() -> None:
    (image,) = SETS["myops2020"].images_of(Path("train"), {"pid": "101"}, "sax")
    assert [path.name for path in image.images] == ["101_c0.nii.gz", "101_de.nii.gz", "101_t2.nii.gz"]
    (image,) = SETS["emidec"].images_of(Path("train"), {"pid": "Case_N006"}, "sax")
    assert image.labels == Path("train/Case_N006/Case_N006_gt.nii.gz")
    ed, es = SETS["mnms2"].images_of(Path("val"), {"pid": "161"}, "lax_4c")
    assert (ed.labels.name, es.images[0].name) == ("161_lax_4c_ed_gt.nii.gz", "161_lax_4c_es.nii.gz")


def test_missing_tables_files_and_patients_are_told(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    with pytest.raises(InputError, match=r"There is no .*train_metadata.csv. Run: python -m training.prepare acdc"):
        images_of(tmp_path, config)
    write_acdc(tmp_path, n_per_group=2)
    with pytest.raises(InputError, match="DCM, NOR has fewer than three"):
        images_of(tmp_path, config)
    write_acdc(tmp_path, n_per_group=4)
    next((tmp_path / "train").rglob("*_sax_es_gt.nii.gz")).unlink()
    with pytest.raises(InputError, match="1 prepared files are missing"):
        images_of(tmp_path, config)
    with pytest.raises(InputError, match="No segmenter learns from 'kaggle'"):
        images_of(tmp_path, small_config(tmp_path, "data.name=kaggle"))


def test_pixels_and_labels_come_in_the_models_axes(tmp_path: Path) -> None:
    write_acdc(tmp_path, n_per_group=3)
    config = small_config(tmp_path)
    image = images_of(tmp_path, config)[0][0]
    assert read_channels(image.images).shape == (1, 32, 32, 2)
    expected = np.asarray(nib.load(image.labels).dataobj)
    np.testing.assert_array_equal(read_truth(image, config), expected)


def test_swapped_ventricles_are_seen_and_told_how_to_be_set_right(tmp_path: Path) -> None:
    _, labels = disc_heart(0)
    swapped = np.array([0, 3, 2, 1])[labels]
    assert not looks_swapped(labels)
    assert looks_swapped(swapped)
    assert not looks_swapped(np.zeros_like(labels))
    write_acdc(tmp_path, n_per_group=3, order=(0, 3, 2, 1))
    image = images_of(tmp_path, small_config(tmp_path))[0][0]
    with pytest.raises(LabelError, match=r"LV and RV are swapped. Set data.label_order"):
        read_truth(image, small_config(tmp_path))
    (tmp_path / "val_metadata.csv").write_text((tmp_path / "train_metadata.csv").read_text())
    right = read_truth(image, small_config(tmp_path, "data.name=mnms", "data.label_order=original"))
    np.testing.assert_array_equal(right, np.array([0, 3, 2, 1])[np.asarray(nib.load(image.labels).dataobj)])
    with pytest.raises(LabelError, match=r"leave data.label_order out"):
        read_truth(image, small_config(tmp_path, "data.label_order=original"))


def test_labels_that_the_model_does_not_draw_are_refused(tmp_path: Path) -> None:
    write_acdc(tmp_path, n_per_group=3, order=(0, 1, 2, 7))
    image = images_of(tmp_path, small_config(tmp_path))[0][0]
    with pytest.raises(LabelError, match="holds the label 7; the model draws 0 to 3"):
        read_truth(image, small_config(tmp_path))


@pytest.mark.parametrize(
    ("name", "make", "folder", "pid", "shape"),
    [
        ("mnms_sax", raw_datasets.mnms, "train", "A0S9V9", (1, 64, 64, 4)),
        ("mnms2_sax", raw_datasets.mnms2, "val", "161", (1, 64, 64, 4)),
        ("mnms2_lax_4c", raw_datasets.mnms2, "train", "001", (1, 64, 64)),
        ("rescan_sax", raw_datasets.rescan, "train", "A/s_0000", (1, 64, 64, 4)),
        ("emidec_sax", raw_datasets.emidec, "train", "Case_P001", (1, 64, 64, 4)),
        ("myops2020_sax", raw_datasets.myops2020, "train", "101", (3, 64, 64, 4)),
    ],
)
def test_what_is_prepared_is_what_is_learned_from(
    tmp_path: Path, heart: PhantomStudy, name: str, make: Miniature, folder: str, pid: str, shape: tuple[int, ...]
) -> None:
    key = "lax" if "lax" in name else "sax"
    config = read_config("segmentation", name, [f"data.{key}.patch_size={list(shape[1:])}", "transform.prob=0"])
    results = prepare_dataset(RECIPES[config.data.name], make(tmp_path / "raw", heart), tmp_path / "processed")
    row = next(result.row for result in results if result.pid == pid)
    known = SETS[config.data.name]
    images = known.images_of(tmp_path / "processed" / folder, row, config.model.views)
    whole, truth = read_sample(images[-1], config)
    assert whole.shape[1:] == truth.shape
    assert set(np.unique(truth)) >= {0, 1, 2, 3}
    pixels, labels = TeachingImages(images, config)[0]
    assert (tuple(pixels.shape), tuple(labels.shape)) == (shape, shape[1:])
    assert len(images) == {"rescan": 3, "emidec": 1, "myops2020": 1}.get(config.data.name, 2)
