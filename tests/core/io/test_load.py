"""Opening a study: what is found, and the one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from cinema_core.cine import View
from cinema_core.errors import CinemaError, GeometryError, InputError, StudyError
from cinema_core.io import Study, load_pair, load_study
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom

# The table lies beside this file; tests are no package (import mode importlib).
_SPEC = importlib.util.spec_from_file_location("io_references", Path(__file__).with_name("references.py"))
assert _SPEC is not None and _SPEC.loader is not None
references: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["io_references"] = references
_SPEC.loader.exec_module(references)


@pytest.fixture(scope="session", params=references.REFERENCES, ids=lambda reference: reference.path)
def reference(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def study(reference: Any, shared_data: Path) -> Study:
    return load_study(shared_data / reference.path)


def test_shape_is_that_of_the_reference(reference: Any, study: Study) -> None:
    expected = (reference.n_phases, reference.n_slices, reference.rows, reference.columns)
    assert study.best("sax").shape == expected
    assert len(study.cines) == reference.n_cines


def test_spacing_and_step_are_those_of_the_reference(reference: Any, study: Study) -> None:
    geometry = study.best("sax").geometry
    assert geometry.pixel_spacing_mm == pytest.approx((reference.pixel_spacing_mm,) * 2, abs=1e-3)
    assert geometry.slice_step_mm == pytest.approx(reference.slice_step_mm, abs=0.02)
    assert geometry.is_regular


def test_beat_and_order_are_those_of_the_reference(reference: Any, study: Study) -> None:
    timing = study.best("sax").timing
    assert timing.order_rule == reference.order_rule
    assert (min(timing.rr_ms), max(timing.rr_ms)) == reference.rr_ms if reference.rr_ms else timing.rr_ms == ()


def test_trigger_times_grow(study: Study) -> None:
    times = study.best("sax").timing.trigger_ms
    assert times is None or np.all(np.diff(times) > 0)


def test_id_is_a_pseudonym_that_stays(reference: Any, study: Study, shared_data: Path) -> None:
    prefix, digits = study.id.split("-")
    assert prefix == "study" and len(digits) == 8 and int(digits, 16) >= 0
    if "acdc" in reference.path:
        assert load_study(shared_data / reference.path).id == study.id


def test_json_is_as_designed(study: Study) -> None:
    found = json.loads(json.dumps(study.to_json()))
    assert list(found) == ["cines", "refused", "n_files", "notes", "repeats", "study"]
    for cine in found["cines"]:
        assert list(cine) == [
            "id", "view", "view_confidence", "n_slices", "n_phases", "rows", "columns", "pixel_spacing_mm",
            "slice_step_mm", "rr_ms", "measurable", "warnings", "view_reason", "slice_positions_mm", "is_regular",
            "slice_sizes", "apex_first", "direction_reason", "phases_ordered_by", "missing", "study",
        ]  # fmt: skip
        assert list(cine["rr_ms"]) == ["median", "min", "max", "source"]


def test_sunnybrook_pixels_are_those_of_the_file(shared_data: Path) -> None:
    # Sunnybrook's first slice is instances 1 to 20; SimpleITK decodes with another library.
    sitk = pytest.importorskip("SimpleITK")
    folder = shared_data / "sunnybrook_dicom/dicoms/SCD0000101"
    image = sitk.ReadImage(str(folder / "7.dcm"))
    cine = load_study(folder).best("sax")
    (z,) = [
        z for z, plane in enumerate(cine.geometry.planes) if np.allclose(plane.origin_mm, image.GetOrigin(), atol=1e-3)
    ]
    assert np.array_equal(cine.pixels[6, z], sitk.GetArrayFromImage(image)[0])


def test_acdc_folder_is_a_pair_with_body_size(shared_data: Path) -> None:
    cine = load_study(shared_data / "acdc/patient003").best("sax")
    assert cine.phase_names == ("ed", "es")
    assert (cine.patient.height_m, cine.patient.weight_kg) == (1.65, 77.0)
    expected = nib.load(shared_data / "acdc/patient003/patient003_frame15.nii.gz").get_fdata()
    assert np.array_equal(cine.pixels[1], expected.transpose(2, 1, 0))


def test_pair_is_the_acdc_folder(shared_data: Path) -> None:
    folder = shared_data / "acdc/patient003"
    names = {"ed": "patient003_frame01.nii.gz", "es": "patient003_frame15.nii.gz"}
    pair = load_study(folder, ed=Path(names["ed"]), es=Path(names["es"]))
    assert pair.best().content_sha256 == load_study(folder).best().content_sha256
    assert load_pair(folder / names["ed"], folder / names["es"]).id == pair.id


def test_one_phase_says_that_function_cannot_be_measured(shared_data: Path) -> None:
    (cine,) = load_study(shared_data / "mnms2_001/001_SA_ED.nii.gz").cines
    assert any("cannot be measured from one phase" in warning for warning in cine.warnings)


def test_one_slice_is_no_short_axis(shared_data: Path) -> None:
    study = load_study(shared_data / "mnms2_001/001_LA_CINE.nii.gz")
    assert study.cines[0].view is View.OTHER
    with pytest.raises(StudyError, match="no short axis cine; found: other"):
        study.best("sax")


def test_unknown_view_is_said(nifti_file: Path) -> None:
    with pytest.raises(StudyError, match="'short' is not known"):
        load_study(nifti_file).best("short")


def test_labels_beside_the_image_are_refused_with_a_reason(nifti_file: Path) -> None:
    study = load_study(nifti_file.parent)
    assert [Path(file.path).name for file in study.report.refused] == ["labels.nii.gz"]
    assert study.report.refused[0].reason


def one_line(error: CinemaError, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path)
    one_line(caught.value, str(tmp_path), "empty folder")


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "absent")
    one_line(caught.value, "absent", "Check the path")


def test_half_a_pair(nifti_file: Path) -> None:
    with pytest.raises(InputError, match="needs both files"):
        load_study(nifti_file, ed=nifti_file)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.7, 0.0])
def test_truncated_nifti(tmp_path: Path, nifti_file: Path, suffix: str, kept: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    nib.save(nib.load(nifti_file), whole)
    cut = tmp_path / f"cut{suffix}"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StudyError) as caught:
        load_study(cut)
    one_line(caught.value, cut.name, "again")


def save(path: Path, voxels: np.ndarray, zooms: tuple[float, ...] | None = None) -> Path:
    image = nib.Nifti1Image(voxels, np.eye(4))
    if zooms is not None:
        image.header["pixdim"][1 : 1 + len(zooms)] = zooms
        image.header["sform_code"] = image.header["qform_code"] = 0
        path.write_bytes(image.header.binaryblock + b"\0" * 4 + voxels.tobytes(order="F"))
        header = bytearray(path.read_bytes())
        header[108:112] = np.float32(352).tobytes()
        header[344:348] = b"n+1\0"
        path.write_bytes(bytes(header))
    else:
        nib.save(image, path)
    return path


def test_two_dimensional_image(tmp_path: Path) -> None:
    path = save(tmp_path / "flat.nii", np.zeros((8, 9), np.int16))
    with pytest.raises(StudyError) as caught:
        load_study(path)
    one_line(caught.value, "flat.nii", "8 x 9", "3 axes")


def test_pixels_that_are_not_numbers(tmp_path: Path) -> None:
    voxels = np.zeros((8, 9, 4), np.float32)
    voxels[1, 2, 3] = np.nan
    with pytest.raises(StudyError) as caught:
        load_study(save(tmp_path / "nan.nii.gz", voxels))
    one_line(caught.value, "nan.nii.gz", "1 of 288 voxels")


def test_zero_spacing(tmp_path: Path) -> None:
    path = save(tmp_path / "zero.nii", np.zeros((8, 9, 4), np.int16), (1.0, 1.0, 0.0))
    with pytest.raises(GeometryError) as caught:
        load_study(path)
    one_line(caught.value, "zero.nii", "1 x 1 x 0 mm", "above zero")


def test_folder_with_two_nifti_studies_names_them(nifti_file: Path) -> None:
    shutil.copy(nifti_file, nifti_file.with_name("another.nii.gz"))
    with pytest.raises(StudyError) as caught:
        load_study(nifti_file.parent)
    one_line(caught.value, "2 NIfTI images", "another.nii.gz", "Choose one")


def test_folder_with_two_dicom_studies_names_them(dicom_folder: Path, tmp_path: Path) -> None:
    other = make_phantom(HeartParameters(n_slices=3, slice_step_mm=25.0, n_phases=3), seed=9)
    write_phantom(tmp_path / "phantom/second", other, kind="dicom")
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "phantom" / "dicom" / "..")
    one_line(caught.value, "2 studies", load_study(dicom_folder).id)


def test_pair_on_two_grids(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    ed = save(tmp_path / "ed.nii", np.zeros((8, 9, 4), np.int16))
    es = save(tmp_path / "es.nii", np.zeros((8, 9, 5), np.int16))
    with pytest.raises(GeometryError) as caught:
        load_pair(ed, es)
    one_line(caught.value, "4 x 9 x 8", "5 x 9 x 8", "same stack")


def test_progress_ends_at_one(dicom_folder: Path) -> None:
    seen: list[float] = []
    load_study(dicom_folder, progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_report_is_frozen(nifti_file: Path) -> None:
    report = load_study(nifti_file).report
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.notes = ()  # type: ignore[misc]


def test_acdc_folder_accounts_for_every_image(shared_data: Path) -> None:
    folder = shared_data / "acdc/patient003"
    refused = {Path(file.path).name: file.reason for file in load_study(folder).report.refused}
    assert len(refused) == 4
    assert refused["patient003_frame01_gt.nii.gz"] == "a label image by its name"
