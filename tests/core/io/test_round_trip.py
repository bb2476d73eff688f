"""A cine written as DICOM or NIfTI comes back, and other libraries read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from cinema_app import cli
from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, InputError, StudyError
from cinema_core.io import load_study, write_dicom, write_image
from cinema_core.phantom import PhantomStudy

STUDIES = ["sunnybrook_dicom/dicoms/SCD0000301", "bivme_siemens_dicom/dicoms"]


def assert_same_cine(found: Cine, wanted: Cine) -> None:
    assert np.array_equal(found.pixels, wanted.pixels)
    assert (found.view, found.missing, found.slice_sizes) == (wanted.view, wanted.missing, wanted.slice_sizes)
    for plane, other in zip(found.geometry.planes, wanted.geometry.planes, strict=True):
        assert plane.origin_mm == pytest.approx(other.origin_mm, abs=1e-3)
        assert plane.to_world_mm(255, 255) == pytest.approx(other.to_world_mm(255, 255), abs=1e-3)
    assert found.timing.trigger_ms == pytest.approx(wanted.timing.trigger_ms, abs=1e-3)
    assert found.timing.rr_ms == pytest.approx(wanted.timing.rr_ms, abs=0.51)  # DICOM keeps whole ms
    assert np.allclose(found.timing.slice_trigger_ms, wanted.timing.slice_trigger_ms, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("folder", STUDIES)
def test_real_cines_come_back_from_dicom(shared_data: Path, tmp_path: Path, folder: str) -> None:
    wanted = load_study(shared_data / folder)
    write_dicom(wanted.best("sax"), tmp_path / "out", patient_id=wanted.id)
    assert_same_cine(load_study(tmp_path / "out").best("sax"), wanted.best("sax"))


@pytest.mark.parametrize("folder", STUDIES)
def test_real_cines_come_back_from_nifti(shared_data: Path, tmp_path: Path, folder: str) -> None:
    wanted = load_study(shared_data / folder)
    for cine in wanted.cines:
        write_image(tmp_path / f"{cine.id}.nii.gz", cine, wanted.id)
        (found,) = load_study(tmp_path / f"{cine.id}.nii.gz").cines
        assert_same_cine(found, cine)
        assert found.timing == cine.timing or found.timing.slice_trigger_ms  # NaN differs from itself
        assert (found.view_confidence, found.patient) == (cine.view_confidence, cine.patient)


@pytest.fixture
def gappy(dicom_folder: Path) -> Cine:
    """A cine with a gap, a slice of another size, and an uneven step."""
    for k, path in enumerate(sorted(dicom_folder.iterdir())):
        data = pydicom.dcmread(path)
        if k // 5 == 2:
            data.Rows, data.PixelData = data.Rows - 8, data.pixel_array[:-8].tobytes()
        if k // 5 == 3:
            data.ImagePositionPatient = [v + 4 for v in data.ImagePositionPatient]
        data.save_as(path)
    sorted(dicom_folder.iterdir())[7].unlink()
    cine = load_study(dicom_folder).best("sax")
    assert cine.missing == {(2, 1)}
    assert cine.slice_sizes
    assert not cine.geometry.is_regular
    return cine


def test_gaps_sizes_and_uneven_steps_come_back(gappy: Cine, tmp_path: Path) -> None:
    write_dicom(gappy, tmp_path / "out", patient_id="study-x")
    assert_same_cine(load_study(tmp_path / "out").best("sax"), gappy)
    write_image(tmp_path / "cine.nii.gz", gappy)
    assert_same_cine(load_study(tmp_path / "cine.nii.gz").best("sax"), gappy)


def test_fractions_come_back_to_a_65535th(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    cine = replace(tiny_heart.cine, pixels=tiny_heart.cine.pixels.astype(np.float32) * 0.37 - 11)
    write_dicom(cine, tmp_path / "out", patient_id="study-x")
    found = load_study(tmp_path / "out").best("sax")
    span = float(cine.pixels.max() - cine.pixels.min())
    assert np.abs(found.pixels - cine.pixels).max() <= 0.51 * span / 65535 + 1e-4


def test_simpleitk_and_highdicom_read_what_was_written(shared_data: Path, tmp_path: Path) -> None:
    cine = load_study(shared_data / "bivme_siemens_dicom/dicoms").best("sax")
    files = write_dicom(cine, tmp_path / "out", patient_id="study-x")
    first_phase = [str(files[z * cine.n_phases]) for z in range(cine.n_slices)]
    series = sitk.ImageSeriesReader()
    series.SetFileNames(first_phase)
    image = series.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), cine.pixels[0])
    corner = image.TransformContinuousIndexToPhysicalPoint((207.0, 100.0, 5.0))
    assert corner == pytest.approx(cine.geometry.planes[5].to_world_mm(100, 207), abs=0.02)
    stacked = hd.get_volume_from_series([pydicom.dcmread(file) for file in first_phase])
    assert stacked.spatial_shape == cine.shape[1:]
    assert sorted(stacked.spacing) == pytest.approx(
        sorted((cine.geometry.slice_step_mm, *cine.geometry.pixel_spacing_mm)), abs=1e-3
    )


def test_nothing_of_the_person_is_written(dicom_folder: Path, tmp_path: Path) -> None:
    for path in dicom_folder.iterdir():
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID, data.AccessionNumber = "DOE^JANE", "4711-PID", "ACC-4712"
        data.StudyDate, data.PatientBirthDate = "19991231", "19500101"
        data.add_new(0x00211010, "LO", "DOE^JANE")
        data.save_as(path)
    uid = pydicom.dcmread(path).StudyInstanceUID
    for to in ("dicom", "nifti"):
        assert cli.run(["convert", str(dicom_folder), "--out", str(tmp_path / to), "--to", to]) == 0
    written = [path for to in ("dicom", "nifti") for path in (tmp_path / to).rglob("*")]
    content = b"".join(path.read_bytes() for path in written if path.is_file()) + str(written).encode()
    for secret in ("DOE", "4711-PID", "ACC-4712", "19991231", "19500101", str(uid)):
        assert secret.encode() not in content


def test_convert_keeps_every_cine(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = shared_data / "bivme_siemens_dicom/dicoms"
    assert cli.run(["convert", str(source), "--out", str(tmp_path / "out"), "--to", "dicom", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["sax", "lax_2c", "lax_2c-2", "lax_3c", "lax_4c", "other"]
    found, wanted = load_study(tmp_path / "out"), load_study(source)
    assert [cine.shape for cine in found.cines] == [cine.shape for cine in wanted.cines]


def test_a_folder_with_something_in_it_is_refused(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        write_dicom(tiny_heart.cine, tmp_path, patient_id="study-x")


def test_a_cine_without_spacing_is_no_dicom(shared_data: Path, tmp_path: Path) -> None:
    (cine,) = load_study(shared_data / "multiframe_dicom").cines
    with pytest.raises(GeometryError, match="states no spacing"):
        write_dicom(cine, tmp_path / "out", patient_id="study-x")
    write_image(tmp_path / "cine.nii.gz", cine)
    assert not load_study(tmp_path / "cine.nii.gz").cines[0].measurable


BAD_SIDECARS = {
    "no json": ("{", "damaged"),
    "another image": ('{"shape": [9, 9, 9, 9]}', "describes an image of 9 x 9 x 9 x 9"),
    "another place": ("MOVED", "mm from where"),
    "not a number": ('{"view_confidence": NaN}', "damaged"),
    "unknown key": ('{"surprise": 1}', "surprise"),
}


@pytest.mark.parametrize("name", BAD_SIDECARS)
def test_sidecar_that_does_not_fit_is_refused(tiny_heart: PhantomStudy, tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "cine.nii.gz", tiny_heart.cine)
    path = tmp_path / "cine.cine.json"
    change, sentence = BAD_SIDECARS[name]
    if change == "{":
        path.write_text(change, encoding="utf-8")
    else:
        record = json.loads(path.read_text(encoding="utf-8"))
        if change == "MOVED":
            record["planes"][0]["origin_mm"][0] += 3
        else:
            record |= json.loads(change)
        path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(StudyError, match=sentence):
        load_study(tmp_path / "cine.nii.gz")
