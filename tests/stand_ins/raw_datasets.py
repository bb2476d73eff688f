"""Miniatures of the public datasets: synthetic hearts under the names and in the layouts of the downloads."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image

from cinema_core.io import write_dicom
from cinema_core.io.nifti import RAS_TO_LPS
from cinema_core.phantom import PhantomStudy, PhantomView

LV_FIRST = {0: 0, 1: 3, 2: 2, 3: 1}
"""Label values of the phantom to those of M&Ms, M&Ms-2 and Rescan."""


def relabel(labels: np.ndarray, values: Mapping[int, int]) -> np.ndarray:
    found = np.zeros(labels.shape, dtype=np.int16)
    for old, new in values.items():
        found[labels == old] = new
    return found


def write_nifti(path: Path, voxels: np.ndarray, view: PhantomView) -> None:
    """Voxels (z, y, x) or (t, z, y, x) on the grid of a view."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels.T, RAS_TO_LPS @ view.cine.geometry.affine()), path)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def phases(heart: PhantomStudy) -> tuple[int, int]:
    return heart.parameters.ed_phase, heart.parameters.es_phase


def acdc(folder: Path, heart: PhantomStudy, *, patients: Mapping[str, str], whole: bool = True) -> Path:
    """``patients``: name to split folder, training or testing."""
    ed, es = phases(heart)
    for name, split in patients.items():
        place = folder / "database" / split / name
        for t in (ed, es):
            stem = f"{name}_frame{t + 1:02d}"
            write_nifti(place / f"{stem}.nii.gz", heart.cine.pixels[t], heart.sax)
            write_nifti(place / f"{stem}_gt.nii.gz", heart.labels[t], heart.sax)
        if whole:
            write_nifti(place / f"{name}_4d.nii.gz", heart.cine.pixels, heart.sax)
        facts = {"ED": ed + 1, "ES": es + 1, "Group": "DCM", "Height": 184.0, "NbFrame": heart.cine.n_phases}
        lines = [f"{key}: {value}" for key, value in (facts | {"Weight": 95.0}).items()]
        (place / "Info.cfg").write_text("\n".join(lines) + "\n")
    return folder


def mnms(folder: Path, heart: PhantomStudy) -> Path:
    ed, es = phases(heart)
    root, rows = folder / "OpenDataset", []
    places = {"A0S9V9": "Training/Labeled", "A5C2D2": "Validation", "A1K2P5": "Testing"}
    for name, place in places.items():
        labels = np.zeros(heart.labels.shape, dtype=np.int16)
        for t in (ed, es):
            labels[t] = relabel(heart.labels[t], LV_FIRST)
        write_nifti(root / place / name / f"{name}_sa.nii.gz", heart.cine.pixels, heart.sax)
        write_nifti(root / place / name / f"{name}_sa_gt.nii.gz", labels, heart.sax)
    (root / "Training" / "Unlabeled" / "B0Z9X9").mkdir(parents=True)
    for name in [*places, "B0Z9X9"]:
        facts = {"External code": name, "VendorName": "Siemens", "Vendor": "A", "Centre": 1, "ED": ed, "ES": es}
        rows.append(facts | {"Age": 61, "Pathology": "HCM", "Sex": "M", "Height": 172.0, "Weight": 80.0})
    write_table(root / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv", rows)
    return folder


def mnms2(folder: Path, heart: PhantomStudy, numbers: Sequence[int] = (1, 161, 201)) -> Path:
    """The 4-chamber view must be among the heart's."""
    root, rows = folder / "MnM2", []
    views = {"SA": heart.sax, "LA": next(view for view in heart.long_axis if view.cine.id == "lax_4c")}
    for number in numbers:
        pid = f"{number:03d}"
        for name, view in views.items():
            for phase, t in zip(("ED", "ES"), phases(heart), strict=True):
                stem = root / "dataset" / pid / f"{pid}_{name}_{phase}"
                write_nifti(stem.with_name(f"{stem.name}.nii.gz"), view.cine.pixels[t], view)
                write_nifti(stem.with_name(f"{stem.name}_gt.nii.gz"), relabel(view.labels[t], LV_FIRST), view)
        rows.append(
            {"SUBJECT_CODE": number, "DISEASE": "HCM", "VENDOR": "SIEMENS", "SCANNER": "Avanto", "FIELD": "1.5"}
        )
    write_table(root / "dataset_information.csv", rows)
    return folder


def kaggle(folder: Path, heart: PhantomStudy) -> Path:
    root = folder / "second-annual-data-science-bowl"
    for split, pid in (("train", 1), ("validate", 501), ("test", 701)):
        study = root / split / split / str(pid) / "study"
        for view in heart.views:
            name = {"sax": "sax", "lax_2c": "2ch", "lax_4c": "4ch"}[view.cine.id]
            files = write_dicom(view.cine, study / "whole", patient_id=str(pid), study_entropy=str(pid))
            for z, file in enumerate(sorted(files)):
                target = study / f"{name}_{5 + z // view.cine.n_phases}"
                target.mkdir(exist_ok=True)
                content = pydicom.dcmread(file)
                content.SeriesDescription = name
                content.save_as(target / file.name)
                file.unlink()
            (study / "whole").rmdir()
    for table, pid in (("train", 1), ("validate", 501)):
        write_table(root / f"{table}.csv", [{"Id": pid, "Systole": 50.0, "Diastole": 125.0}])
    solution = [
        {"Id": f"701_{name}", "Volume": ml, "Usage": "Private"} for name, ml in (("Diastole", 100.0), ("Systole", 40.0))
    ]
    write_table(root / "solution.csv", solution)
    return folder


def pickled(view: PhantomView) -> dict[str, Any]:
    """A cine as Rescan pickles it; its slices are stored the other way round."""
    first = view.cine.geometry.planes[-1]
    positions = [plane.origin_mm.tolist() for plane in reversed(view.cine.geometry.planes)]
    return {
        "image_voxels": view.cine.pixels.transpose(1, 0, 2, 3)[::-1].copy(),  # (t, z, y, x) -> (z, t, y, x)
        "PixelSpacing": list(first.spacing_mm),
        "ImagePositionPatient": positions,
        "ImageOrientationPatient": [*first.x_direction.tolist(), *first.y_direction.tolist()],
        "SliceThickness": 8.0,
    }


def rescan(folder: Path, heart: PhantomStudy, training: Sequence[str] = ("A/s_0000",)) -> Path:
    root = folder / "pickle"
    names = {"sax": "SAX", "lax_2c": "2C", "lax_4c": "4C"}
    for scan in (*(f"train/{name}" for name in training), "test/scan_00_A", "test/scan_00_B", "test_retest_100/1027"):
        (root / scan).mkdir(parents=True)
        for view in heart.views:
            (root / scan / f"{names[view.cine.id]}.pickle").write_bytes(pickle.dumps(pickled(view)))
        if not scan.startswith("test_retest"):
            labels = relabel(heart.labels, LV_FIRST).astype(np.uint8).transpose(1, 0, 2, 3)[::-1].copy()
            (root / scan / "SAX_segs.pickle").write_bytes(pickle.dumps(labels))
    write_table(root / "test_retest_100.csv", [{"id": "1027", "edv": 130.0, "esv": 54.6, "ef": 58.0}])
    return folder


def landmark(folder: Path, heart: PhantomStudy, n_patients: int = 5) -> Path:
    root = folder / "raw"
    for view in heart.long_axis:
        name, rows = view.cine.id, []
        assert view.landmarks_px is not None
        for kind in ("images", "masks"):
            (root / name / kind).mkdir(parents=True)
        for k in range(n_patients):
            for t in (0, 1):
                uid = f"{k:04d}__{t:02d}"
                pixels = view.cine.pixels[t, 0]
                Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(
                    root / name / "images" / f"{uid}.png"
                )
                mask = np.zeros(pixels.shape, dtype=np.uint8)
                for number, (x, y) in enumerate(view.landmarks_px[t], start=1):
                    mask[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = 85 * number
                    facts = {"cohort_name": "A", "uid": uid, "view": name, "number": number}
                    rows.append(facts | {"x": round(x), "y": round(y)})
                Image.fromarray(mask).save(root / name / "masks" / f"{uid}.png")
        write_table(root / f"{name}.csv", rows)
    return folder


def emidec(folder: Path, heart: PhantomStudy, n_each: int = 5) -> Path:
    root = folder / "emidec-dataset-1.0.1"
    labels = relabel(heart.labels[0], {3: 1, 2: 2})  # cavity, muscle
    scar = (labels == 2) & (np.arange(labels.shape[-1]) > labels.shape[-1] // 2)
    for kind in "NP":
        for k in range(n_each):
            name = f"Case_{kind}{k:03d}"
            drawn = np.where(scar, 3, labels).astype(np.int16) if kind == "P" else labels
            write_nifti(root / name / "Images" / f"{name}.nii.gz", heart.cine.pixels[0], heart.sax)
            write_nifti(root / name / "Contours" / f"{name}.nii.gz", drawn, heart.sax)
            text = f"Case {kind}{k:03d}\n\nGap between slices\u2020: 10 mm\nSex\u2020: F\nAge : 70\nTobacco : 3\n"
            text += "Overweight : N\n"
            text += "Arterial hypertension : Y\nDiabetes : N\nFamilial history of coronary artery disease: N\n"
            text += "ECG (ST +) : Y\nTroponin : 1.1\nKillip Max: 1\nFEVG : 60\nNTProBNP : 248\n"
            (root / f"Case {kind}{k:03d}.txt").write_text(text, encoding="utf-8")
    return folder


def myops2020(folder: Path, heart: PhantomStudy, n_training: int = 2) -> Path:
    labels = relabel(heart.labels[0], {1: 600, 2: 200, 3: 500})
    labels[(labels == 200) & (np.arange(labels.shape[-1]) > labels.shape[-1] // 2)] = 2221
    cases = [("train25", "training", 101 + k) for k in range(n_training)]
    for split, kind, number in (*cases, ("test20", "test", 201)):
        stem = f"myops_{kind}_{number}"
        for modality in ("C0", "DE", "T2"):
            write_nifti(folder / split / f"{stem}_{modality}.nii.gz", heart.cine.pixels[0], heart.sax)
        if kind == "training":
            write_nifti(folder / "train25_myops_gd" / f"{stem}_gd.nii.gz", labels, heart.sax)
    return folder
