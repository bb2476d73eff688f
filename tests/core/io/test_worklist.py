"""Datasets and archives as lists of studies."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from cinema_app import cli
from cinema_core.cine import View
from cinema_core.errors import StudyError
from cinema_core.io import load_study
from cinema_core.io.worklist import StudyKind, open_worklist

TABLE = "External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"


def save(path: Path, shape: tuple[int, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ones(shape, np.int16), np.diag([1.5, 1.5, 8.0, 1.0]))
    nib.save(image, path)
    return path


@pytest.fixture
def mnms(tmp_path: Path) -> Path:
    root = tmp_path / "OpenDataset"
    for pid in ("A0S9V9", "B2D9O2"):
        save(root / "Training" / "Labeled" / pid / f"{pid}_sa.nii.gz", (8, 9, 4, 6))
        save(root / "Training" / "Labeled" / pid / f"{pid}_sa_gt.nii.gz", (8, 9, 4, 6))
    rows = ["A0S9V9,Siemens,A,1,0,4,55,HCM,F,168,70", "B2D9O2,Philips,B,2,1,9,61,DCM,M,not known,0"]
    (root / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv").write_text(
        "\n".join([TABLE, *rows]), encoding="utf-8-sig"
    )
    return root


@pytest.fixture
def mnms2(tmp_path: Path) -> Path:
    root = tmp_path / "MnM2"
    for name, shape in (
        ("SA_ED", (8, 9, 4)),
        ("SA_ES", (8, 9, 4)),
        ("LA_CINE", (8, 9, 1, 5)),
        ("LA_ED", (8, 9, 1)),
        ("SA_ED_gt", (8, 9, 4)),
    ):
        save(root / "dataset" / "007" / f"007_{name}.nii.gz", shape)
    (root / "dataset_information.csv").write_text(
        "SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD\n7,FALL,SIEMENS,Avanto,1.5\n", encoding="utf-8"
    )
    return root


def test_mnms_is_a_list_of_its_subjects(mnms: Path) -> None:
    entries = open_worklist(mnms).entries
    assert [(entry.name, entry.kind, entry.group) for entry in entries] == [
        ("A0S9V9", StudyKind.MNMS, "HCM"),
        ("B2D9O2", StudyKind.MNMS, "DCM"),
    ]
    assert [entry.label_order for entry in entries] == ["mnms", "mnms"]
    assert [file.name for file in entries[0].labels] == ["A0S9V9_sa_gt.nii.gz"]


def test_mnms_subject_has_what_the_table_says(mnms: Path) -> None:
    study = open_worklist(mnms).entries[0].load()
    (cine,) = study.cines
    assert cine.view is View.SAX
    assert (cine.patient.sex, cine.patient.age_years, cine.patient.height_m) == ("F", 55, 1.68)
    assert any("phase 1 is end-diastole and phase 5 is end-systole" in note for note in study.report.notes)


def test_table_that_does_not_fit_is_told_and_not_believed(mnms: Path) -> None:
    study = open_worklist(mnms).entries[1].load()
    assert any("names phases 2 and 10, but the file holds 6" in note for note in study.report.notes)
    assert study.cines[0].patient.height_m is None
    assert study.cines[0].patient.weight_kg is None


def test_mnms2_subject_has_both_views(mnms2: Path) -> None:
    (entry,) = open_worklist(mnms2).entries
    assert (entry.name, entry.kind, entry.group) == ("007", StudyKind.MNMS2, "FALL")
    study = entry.load()
    assert [(cine.view, cine.n_phases) for cine in study.cines] == [(View.SAX, 2), (View.LAX_4C, 5)]
    assert {Path(file.path).name: file.reason for file in study.report.refused} == {
        "007_LA_ED.nii.gz": "repeats phases of the cine; open it by itself",
        "007_SA_ED_gt.nii.gz": "a label image by its name",
    }


def test_acdc_is_a_list_of_its_patients(shared_data: Path) -> None:
    entries = open_worklist(shared_data / "acdc").entries
    assert len(entries) == 30
    assert {entry.group for entry in entries} == {"NOR", "DCM", "HCM", "MINF", "RV"}
    assert entries[0].load().cines[0].phase_names == ("ed", "es")


def test_archive_of_dicom_studies_is_a_list_and_each_opens(shared_data: Path) -> None:
    entries = open_worklist(shared_data / "sunnybrook_dicom").entries
    assert sorted(entry.summary for entry in entries) == ["200 images", "240 images"]
    assert {entry.load().cines[0].n_slices for entry in entries} == {10, 12}
    assert all(entry.load().id == entry.name for entry in entries)


def test_two_studies_in_one_folder_open_one_by_one(dicom_folder: Path) -> None:
    for path in sorted(dicom_folder.iterdir()):
        data = pydicom.dcmread(path)
        data.StudyInstanceUID = "1.2.99"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{data.SOPInstanceUID[:50]}.9"
        data.save_as(path.with_name(f"second_{path.name}"))
    entries = open_worklist(dicom_folder).entries
    assert len({entry.load().id for entry in entries}) == 2


def test_studies_in_an_archive_open(dicom_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        for path in dicom_folder.iterdir():
            archive.write(path, f"disc/{path.name}")
    shutil.rmtree(dicom_folder)
    (entry,) = open_worklist(tmp_path).entries
    assert entry.load().id == entry.study


def test_other_images_are_listed_by_their_place(tmp_path: Path) -> None:
    save(tmp_path / "ward" / "one.nii.gz", (8, 9, 4, 6))
    save(tmp_path / "ward" / "one_seg.nii.gz", (8, 9, 4, 6))
    found = open_worklist(tmp_path)
    assert [entry.name for entry in found.entries] == ["ward/one.nii.gz"]
    assert [file.reason for file in found.refused] == ["a label image by its name"]


def test_folder_without_a_study_says_so(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(StudyError, match="holds no study"):
        open_worklist(tmp_path)


def test_command_lists_what_opens(mnms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["worklist", str(mnms), "--json"]) == 0
    studies = json.loads(capsys.readouterr().out)["studies"]
    assert [study["label_order"] for study in studies] == ["mnms", "mnms"]
    assert load_study(studies[0]["path"]).cines[0].n_phases == 6
