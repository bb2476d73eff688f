"""Every dataset from a miniature in its raw layout to the published files, and what is wrong with a download."""

from __future__ import annotations

import csv
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import raw_datasets
import SimpleITK as sitk
from PIL import Image

from cinema_core.errors import InputError
from cinema_core.phantom import PhantomStudy
from training.datasets.preparing import Recipe, Result, Status, prepare_dataset
from training.datasets.processed import looks_swapped
from training.datasets.published import RECIPES
from training.datasets.volumes import array_of
from training.prepare import main

Miniature = Callable[[Path, PhantomStudy], Path]


def acdc(folder: Path, heart: PhantomStudy) -> Path:
    return raw_datasets.acdc(folder, heart, patients={"patient001": "training", "patient101": "testing"})


MINIATURES: dict[str, Miniature] = {
    "acdc": acdc,
    "mnms": raw_datasets.mnms,
    "mnms2": raw_datasets.mnms2,
    "kaggle": raw_datasets.kaggle,
    "rescan": raw_datasets.rescan,
    "landmark": raw_datasets.landmark,
    "emidec": raw_datasets.emidec,
    "myops2020": raw_datasets.myops2020,
}


class Place:
    """A prepared miniature."""

    def __init__(self, name: str, folder: Path, heart: PhantomStudy) -> None:
        self.recipe: Recipe = RECIPES[name]
        self.raw = MINIATURES[name](folder / "raw", heart)
        self.out = folder / "processed"

    def prepare(self) -> dict[str, Result]:
        return {result.pid: result for result in prepare_dataset(self.recipe, self.raw, self.out)}

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def image(self, name: str) -> sitk.Image:
        return sitk.ReadImage(str(self.out / name))


@pytest.fixture
def place(tmp_path: Path, heart: PhantomStudy) -> Callable[[str], Place]:
    return lambda name: Place(name, tmp_path, heart)


def assert_ventricles(labels: sitk.Image, heart: PhantomStudy, phase: str) -> None:
    """Labels in the models' order with the volumes of the heart, as its own slices see them."""
    t = heart.parameters.ed_phase if phase == "ed" else heart.parameters.es_phase
    voxels = array_of(labels)
    volume = float(np.prod(labels.GetSpacing()) / 1000)
    for value, known in ((1, heart.rv_discs_ml), (2, heart.myo_discs_ml), (3, heart.lv_discs_ml)):
        assert np.count_nonzero(voxels == value) * volume == pytest.approx(known[t], rel=0.25), value


def assert_brighter_blood(image: sitk.Image, labels: sitk.Image) -> None:
    """Image and labels lie on one grid and show the same heart: blood is brighter than muscle."""
    assert image.GetSize() == labels.GetSize()
    assert image.GetPixelID() == sitk.sitkUInt8
    pixels, voxels = array_of(image), array_of(labels)
    assert pixels.max() == 255
    assert pixels[voxels == 3].mean() > 1.5 * pixels[voxels == 2].mean()


def test_acdc_is_prepared_as_published(place: Callable[[str], Place], heart: PhantomStudy) -> None:
    here = place("acdc")
    assert {result.status for result in here.prepare().values()} == {Status.PREPARED}
    for split, pid in (("train", "patient001"), ("test", "patient101")):
        for phase in ("ed", "es"):
            image = here.image(f"{split}/{pid}/{pid}_sax_{phase}.nii.gz")
            labels = here.image(f"{split}/{pid}/{pid}_sax_{phase}_gt.nii.gz")
            np.testing.assert_allclose(image.GetSpacing(), (1, 1, 10))
            assert image.GetSize() == (192, 192, 9)
            assert_ventricles(labels, heart, phase)
            assert_brighter_blood(image, labels)
        cine = here.image(f"{split}/{pid}/{pid}_sax_t.nii.gz")
        assert cine.GetSize() == (192, 192, 9, 3)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(cine)[0], array_of(here.image(f"{split}/{pid}/{pid}_sax_ed.nii.gz"))
        )
        (row,) = here.table(f"{split}_metadata.csv")
        assert (
            list(row)
            == (
                "pid n_slices pathology height weight bmi n_frames ed_frame es_frame original_sax_spacing_x "
                "original_sax_spacing_y original_sax_spacing_z lv_edv lv_esv lv_ef rv_edv rv_esv rv_ef"
            ).split()
        )
        assert (row["pid"], row["pathology"], row["height"], row["n_frames"]) == (pid, "DCM", "1.84", "3")
        assert float(row["bmi"]) == pytest.approx(95 / 1.84**2)
        assert float(row["lv_ef"]) == pytest.approx(heart.parameters.lv_ef_pct, abs=8)
        assert float(row["original_sax_spacing_z"]) == pytest.approx(18.0)
        labels = array_of(here.image(f"{split}/{pid}/{pid}_sax_ed_gt.nii.gz"))
        _, rows, columns = np.nonzero(labels == 3)
        assert abs((rows.min() + rows.max()) / 2 - 95.5) <= 1
        assert abs((columns.min() + columns.max()) / 2 - 95.5) <= 1


def test_acdc_without_the_cine_says_so(tmp_path: Path, heart: PhantomStudy) -> None:
    raw = raw_datasets.acdc(tmp_path / "raw", heart, patients={"patient001": "training"}, whole=False)
    flat = raw / "database" / "training"  # a folder of patients
    (result,) = prepare_dataset(RECIPES["acdc"], flat, tmp_path / "out")
    assert result.reason == "no patient001_4d.nii.gz, so no patient001_sax_t.nii.gz"
    assert not (tmp_path / "out/train/patient001/patient001_sax_t.nii.gz").exists()


def test_a_real_acdc_patient_keeps_its_volumes(tmp_path: Path, shared_data: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "patient003").symlink_to(shared_data / "acdc" / "patient003", target_is_directory=True)
    (result,) = prepare_dataset(RECIPES["acdc"], raw, tmp_path / "out")
    with (shared_data / "acdc" / "metadata.csv").open(newline="") as file:
        known = next(row for row in csv.DictReader(file) if row["patient"] == "patient003")
    for column, reference in (("lv_edv", "lv_ed_ml"), ("lv_esv", "lv_es_ml"), ("rv_edv", "rv_ed_ml")):
        assert result.row[column] == pytest.approx(float(known[reference]), rel=0.02)
    assert result.row["lv_ef"] == pytest.approx(float(known["lvef_pct"]), abs=1)
    assert result.row["pathology"] == known["group"]


def test_a_real_mnms2_subject_has_its_lv_within_its_muscle(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "raw" / "dataset").mkdir(parents=True)
    (tmp_path / "raw" / "dataset" / "001").symlink_to(shared_data / "mnms2_001", target_is_directory=True)
    raw_datasets.write_table(tmp_path / "raw" / "dataset_information.csv", [{"SUBJECT_CODE": 1, "DISEASE": "NOR"}])
    (result,) = prepare_dataset(RECIPES["mnms2"], tmp_path / "raw", tmp_path / "out")
    assert result.status is Status.PREPARED, result.reason
    labels = array_of(sitk.ReadImage(str(tmp_path / "out/train/001/001_sax_ed_gt.nii.gz")))
    assert not looks_swapped(labels.T.astype(np.int64))
    assert 25 < result.row["lv_ef"] < 80
    long_axis = sitk.ReadImage(str(tmp_path / "out/train/001/001_lax_4c_es.nii.gz"))
    np.testing.assert_allclose(long_axis.GetSpacing()[:2], (1, 1))


def test_mnms_is_prepared_as_published(place: Callable[[str], Place], heart: PhantomStudy) -> None:
    here = place("mnms")
    results = here.prepare()
    assert results["B0Z9X9"].status is Status.LEFT_OUT
    for split, pid in (("train", "A0S9V9"), ("val", "A5C2D2"), ("test", "A1K2P5")):
        for phase in ("ed", "es"):
            labels = here.image(f"{split}/{pid}/{pid}_sax_{phase}_gt.nii.gz")
            assert_ventricles(labels, heart, phase)
            assert_brighter_blood(here.image(f"{split}/{pid}/{pid}_sax_{phase}.nii.gz"), labels)
        (row,) = here.table(f"{split}_metadata.csv")
        assert (row["vendor_name"], row["center"], row["ed_index"], row["es_index"]) == ("Siemens", "1", "0", "1")
        assert (row["pathology"], row["sex"], row["age"]) == ("HCM", "M", "61")


def test_mnms2_is_prepared_as_published(place: Callable[[str], Place], heart: PhantomStudy) -> None:
    here = place("mnms2")
    here.prepare()
    for split, pid in (("train", "001"), ("val", "161"), ("test", "201")):
        assert_ventricles(here.image(f"{split}/{pid}/{pid}_sax_ed_gt.nii.gz"), heart, "ed")
        image = here.image(f"{split}/{pid}/{pid}_lax_4c_ed.nii.gz")
        labels = here.image(f"{split}/{pid}/{pid}_lax_4c_ed_gt.nii.gz")
        assert image.GetDimension() == 3
        assert image.GetSize()[2] == 1
        np.testing.assert_allclose(image.GetSpacing()[:2], (1, 1))
        assert_brighter_blood(image, labels)
        (row,) = here.table(f"{split}_metadata.csv")
        assert (row["pid"], row["vendor"], row["field"]) == (pid, "SIEMENS", "1.5")
        assert float(row["orig_lax_4c_spacing_x"]) == pytest.approx(heart.parameters.pixel_spacing_mm, rel=1e-5)


def test_kaggle_is_prepared_as_published(place: Callable[[str], Place]) -> None:
    here = place("kaggle")
    results = here.prepare()
    assert {result.status for result in results.values()} == {Status.PREPARED}, results
    for split, pid, ef in (("train", "1", 60.0), ("validate", "501", 60.0), ("test", "701", 60.0)):
        sax = here.image(f"{split}/{pid}/{pid}_sax_t.nii.gz")
        assert sax.GetSize() == (192, 192, 9, 3)
        for view in ("lax_2c", "lax_4c"):
            assert here.image(f"{split}/{pid}/{pid}_{view}_t.nii.gz").GetSize() == (256, 256, 1, 3)
        (row,) = here.table(f"{split}_metadata.csv")
        assert list(row)[:3] == ["pid", "n_slices", "n_frames"]
        assert (row["n_slices"], row["n_frames"]) == ("9", "3")
        assert float(row["ef"]) == pytest.approx(ef)


def test_rescan_is_prepared_as_published(place: Callable[[str], Place], heart: PhantomStudy) -> None:
    here = place("rescan")
    results = here.prepare()
    assert {result.status for result in results.values()} == {Status.PREPARED}, results
    for scan in ("train/A/s_0000", "test/scan_00_A", "test/scan_00_B"):
        image, labels = here.image(f"{scan}/sax_t.nii.gz"), here.image(f"{scan}/sax_gt_t.nii.gz")
        assert image.GetPixelID() == sitk.sitkFloat32
        assert image.GetSize() == labels.GetSize() == (192, 192, 9, 3)
        assert_ventricles(labels[..., 0], heart, "ed")
        pixels, voxels = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(labels)
        assert pixels[voxels == 3].mean() > 1.5 * pixels[voxels == 2].mean()
        assert here.image(f"{scan}/lax_4c_t.nii.gz").GetSize() == (256, 256, 1, 3)
    (row,) = here.table("train_metadata.csv")
    assert (row["pid"], row["ed_index"], row["es_index"], row["n_frames"]) == ("A/s_0000", "0", "1", "3")
    (row,) = here.table("test_retest_100_metadata.csv")
    assert (row["pid"], row["edv"], row["esv"], row["ef"]) == ("1027", "130.0", "54.6", "58.0")
    assert not (here.out / "test_retest_100/1027/sax_gt_t.nii.gz").exists()


def test_landmarks_are_prepared_as_published(place: Callable[[str], Place]) -> None:
    here = place("landmark")
    here.prepare()
    for view in ("lax_2c", "lax_4c"):
        tables = {split: here.table(f"{view}_{split}.csv") for split in ("train", "val", "test")}
        assert {split: len({row["pid"] for row in rows}) for split, rows in tables.items()} == {
            "train": 3,
            "val": 1,
            "test": 1,
        }
        row = tables["train"][0]
        assert list(row) == "cohort_name uid view x1 y1 x2 y2 x3 y3 pid".split()
        with Image.open(here.out / view / "images" / f"{row['uid']}.png") as image:
            assert image.size == (44, 40)  # a quarter of 176 x 160
        points = np.array([[float(row[f"x{k}"]), float(row[f"y{k}"])] for k in (1, 2, 3)])
        along, across = points[1] - points[0], points[2] - points[0]
        turn = along[0] * across[1] - along[1] * across[0]  # above zero: clockwise on the screen
        assert turn > 0 if view == "lax_2c" else turn < 0


def test_emidec_is_prepared_as_published(place: Callable[[str], Place]) -> None:
    here = place("emidec")
    here.prepare()
    rows = here.table("all_metadata.csv")
    assert len(rows) == 10
    sizes = {
        split: [row["pathology"] for row in here.table(f"{split}_metadata.csv")] for split in ("train", "val", "test")
    }
    assert {split: sorted(kinds) for split, kinds in sizes.items()} == {
        "train": ["N"] * 3 + ["P"] * 3,
        "val": ["N", "P"],
        "test": ["N", "P"],
    }
    pid = next(row["pid"] for row in rows if row["pathology"] == "P")
    image, labels = here.image(f"train/{pid}/{pid}.nii.gz"), here.image(f"train/{pid}/{pid}_gt.nii.gz")
    np.testing.assert_allclose(image.GetSpacing(), (1.458, 1.458, 10.0), rtol=1e-6)
    assert image.GetSize() == labels.GetSize()
    assert set(np.unique(array_of(labels))) == {0, 1, 2, 3}
    row = next(row for row in rows if row["pid"] == pid)
    assert (row["sex"], row["age"], row["family_history"], row["ecg"], row["ef"]) == ("F", "70", "N", "Y", "60")
    assert float(row["cls_3_proportion"]) == pytest.approx(np.mean(array_of(labels) == 3))
    assert float(row["cls_4_proportion"]) == 0


def test_myops_is_prepared_as_published(place: Callable[[str], Place], heart: PhantomStudy) -> None:
    here = place("myops2020")
    here.prepare()
    columns, rows = heart.parameters.columns, heart.parameters.rows
    for name in ("c0", "de", "t2", "gt"):
        assert here.image(f"train/101/101_{name}.nii.gz").GetSize() == (min(192, columns), min(192, rows), 5)
    assert set(np.unique(array_of(here.image("train/101/101_gt.nii.gz")))) == {0, 1, 2, 3, 5}
    assert not (here.out / "test/201/201_gt.nii.gz").exists()
    assert [row["pid"] for row in here.table("train_metadata.csv")] == ["101", "102"]
    assert here.table("test_metadata.csv")[0]["crop_lower_x"] == "0"


def damage_acdc(raw: Path) -> str:
    path = raw / "database/training/patient001/patient001_frame01.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    return "patient001"


def damaged_info_in_acdc(raw: Path) -> str:
    (raw / "database/training/patient001/Info.cfg").write_bytes(b"\xff\xfe\x00")
    return "patient001"


def incomplete_info_in_acdc(raw: Path) -> str:
    path = raw / "database/training/patient001/Info.cfg"
    path.write_text(path.read_text().replace("Weight", "Wt"))
    return "patient001"


def misfit_mnms2(raw: Path) -> str:
    path = raw / "MnM2/dataset/001/001_SA_ES_gt.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:, :-2], image.affine), path)
    return "001"


def foreign_labels_in_mnms(raw: Path) -> str:
    path = raw / "OpenDataset/Validation/A5C2D2/A5C2D2_sa_gt.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 7, image.affine), path)
    return "A5C2D2"


def hostile_rescan(raw: Path) -> str:
    (raw / "pickle/test/scan_00_A/SAX.pickle").write_bytes(pickle.dumps(print))
    return "scan_00_A"


def lost_view_in_kaggle(raw: Path) -> str:
    folder = raw / "second-annual-data-science-bowl/train/train/1/study/2ch_5"
    for path in folder.iterdir():
        path.unlink()
    return "1"


def unmarked_landmark(raw: Path) -> str:
    path = raw / "raw/lax_2c/masks/0002__01.png"
    mask = np.asarray(Image.open(path)).copy()
    mask[mask == 170] = 0
    Image.fromarray(mask).save(path)
    return "0002__01"


def lost_text_in_emidec(raw: Path) -> str:
    (raw / "emidec-dataset-1.0.1/Case P002.txt").unlink()
    return "Case_P002"


def another_kind_in_emidec(raw: Path) -> str:
    root = raw / "emidec-dataset-1.0.1"
    (root / "Case_P004").rename(root / "Case_M004")
    return "Case_M004"


def another_name_in_myops(raw: Path) -> str:
    folder = raw / "train25"
    (folder / "myops_training_102_C0.nii.gz").rename(folder / "case_102_C0.nii.gz")
    return "case_102_C0"


def lost_modality_in_myops(raw: Path) -> str:
    (raw / "train25/myops_training_102_T2.nii.gz").unlink()
    return "102"


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("acdc", damage_acdc, "cut short or damaged|cannot be read|can be read"),
        ("acdc", damaged_info_in_acdc, "no Info.cfg that can be read"),
        ("acdc", incomplete_info_in_acdc, "Info.cfg has no Weight above zero"),
        ("mnms", foreign_labels_in_mnms, "A5C2D2_sa_gt.nii.gz holds the label 7; known are 0, 1, 2, 3"),
        ("mnms2", misfit_mnms2, "001_SA_ES_gt.nii.gz has 176 x 158 x 5 voxels, its image has 176 x 160 x 5"),
        (
            "rescan",
            hostile_rescan,
            "SAX.pickle is no pickle of arrays that can be read safely: it asks for builtins.print",
        ),
        ("kaggle", lost_view_in_kaggle, r"no 2ch_\* folder with .dcm files; found: 2ch_5, 4ch_5, sax_5"),
        ("landmark", unmarked_landmark, "landmark 2 is not marked"),
        ("emidec", lost_text_in_emidec, "no Case P002.txt"),
        ("emidec", another_kind_in_emidec, "neither N .normal. nor P"),
        ("myops2020", another_name_in_myops, "case_102_C0.nii.gz is not named as"),
        ("myops2020", lost_modality_in_myops, "myops_training_102_T2.nii.gz is missing"),
    ],
)
def test_a_faulty_case_is_skipped_with_its_reason_and_the_others_go_on(
    place: Callable[[str], Place], name: str, spoil: Callable[[Path], str], reason: str
) -> None:
    here = place(name)
    pid = spoil(here.raw)
    results = prepare_dataset(here.recipe, here.raw, here.out)
    rows = [row for row in here.table("report.csv") if row["status"] == "skipped"]
    assert [row["pid"] for row in rows] == [pid]
    assert any(result.status is Status.PREPARED for result in results)
    assert re.search(reason, rows[0]["reason"]), rows[0]["reason"]


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_folder_of_something_else_is_refused_with_what_is_expected(name: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no raw folder of") as caught:
        prepare_dataset(RECIPES[name], tmp_path / "other", tmp_path / "out")
    assert RECIPES[name].get_it in str(caught.value)


def test_the_command_prepares_counts_and_says_what_was_skipped(
    tmp_path: Path, heart: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = raw_datasets.myops2020(tmp_path / "raw", heart)
    asked = ["myops2020", "--raw", str(raw), "--out", str(tmp_path / "out")]
    assert main([*asked, "--workers", "2"]) == 0
    assert "train: 2 prepared, 0 skipped, 0 left out; published: 25 (23 fewer)" in capsys.readouterr().out
    lost_modality_in_myops(raw)
    assert main(asked) == 1
    assert "skipped train 102: myops_training_102_T2.nii.gz is missing" in capsys.readouterr().err
    assert main(["acdc", "--raw", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
