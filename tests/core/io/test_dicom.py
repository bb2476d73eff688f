"""DICOM: grouping by geometry, phases by time, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from cinema_core.cine import View
from cinema_core.errors import GeometryError, StudyError
from cinema_core.io import ImportChoices, load_study
from cinema_core.io.dicom_views import view_hint
from cinema_core.phantom import PhantomStudy

Edit = Callable[[pydicom.FileDataset, int], None]


def edit(folder: Path, change: Edit) -> None:
    """Change every file, given its index; files are slice by slice, phase by phase."""
    for k, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(data, k)
        data.save_as(path)


def test_phantom_comes_back_from_dicom(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    cine = load_study(dicom_folder).best("sax")
    assert cine.content_sha256 == tiny_heart.cine.content_sha256
    assert cine.geometry.slice_step_mm == pytest.approx(tiny_heart.cine.geometry.slice_step_mm)
    assert cine.timing.trigger_ms == pytest.approx(tiny_heart.cine.timing.trigger_ms)


def test_file_names_do_not_matter(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    paths = sorted(dicom_folder.iterdir())
    names = [f"{k}.ima" for k in range(len(paths))]
    random.Random(1).shuffle(names)
    for path, name in zip(paths, names, strict=True):
        path.rename(path.with_name(name))
    assert load_study(dicom_folder).best("sax").content_sha256 == tiny_heart.cine.content_sha256


@pytest.mark.parametrize("layout", ["slice", "phase"])
def test_series_do_not_matter(dicom_folder: Path, tiny_heart: PhantomStudy, layout: str) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        slice_, phase = divmod(k, tiny_heart.cine.n_phases)
        data.SeriesInstanceUID = f"1.2.3.{(slice_ if layout == 'slice' else phase) + 1}"
        data.FrameOfReferenceUID = f"1.2.4.{k + 1}"

    edit(dicom_folder, change)
    (cine,) = load_study(dicom_folder).cines
    assert cine.content_sha256 == tiny_heart.cine.content_sha256
    assert not any(cine.frames_of_reference)  # an anonymiser's, which say nothing


def test_the_frame_of_reference_of_each_slice_is_known(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def move(data: pydicom.FileDataset, k: int) -> None:
        data.FrameOfReferenceUID = "1.2.4.1" if k // tiny_heart.cine.n_phases < 2 else "1.2.4.2"

    cine = load_study(dicom_folder).best("sax")
    assert cine.frame_of_reference(0) and len(set(cine.frames_of_reference)) == 1
    edit(dicom_folder, move)
    moved = load_study(dicom_folder).best("sax")
    assert set(moved.frames_of_reference) == {"1.2.4.1", "1.2.4.2"}
    assert moved.of_slices(slice(0, 2)).frames_of_reference == moved.frames_of_reference[:2]
    assert "1.2.4" not in repr(moved)


def test_slice_step_comes_from_positions_not_thickness(dicom_folder: Path) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.SliceThickness = data.SpacingBetweenSlices = 6

    edit(dicom_folder, change)
    assert load_study(dicom_folder).best("sax").geometry.slice_step_mm == pytest.approx(22.0)


def philips(data: pydicom.FileDataset, k: int) -> None:
    data.TriggerTime = 308000 * (k % 5)


def constant(data: pydicom.FileDataset, _: int) -> None:
    data.TriggerTime = 0


def absent(data: pydicom.FileDataset, _: int) -> None:
    del data.TriggerTime


@pytest.mark.parametrize("trigger", [philips, constant, absent])
def test_unbelievable_trigger_times_are_not_used(dicom_folder: Path, tiny_heart: PhantomStudy, trigger: Edit) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        del data.TemporalPositionIdentifier
        trigger(data, k)

    edit(dicom_folder, change)
    cine = load_study(dicom_folder).best("sax")
    assert cine.timing.order_rule == "instance number"
    assert cine.timing.trigger_ms is None
    assert any("ordered by instance number" in warning for warning in cine.warnings)
    assert cine.content_sha256 == tiny_heart.cine.content_sha256


@pytest.mark.parametrize(
    ("tag", "rule"), [("TemporalPositionIdentifier", "temporal position"), ("AcquisitionTime", "acquisition time")]
)
def test_other_times_come_before_instance_numbers(
    dicom_folder: Path, tiny_heart: PhantomStudy, tag: str, rule: str
) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        del data.TriggerTime, data.TemporalPositionIdentifier
        phase = k % tiny_heart.cine.n_phases
        setattr(data, tag, f"12595{9 - phase}.5" if tag == "AcquisitionTime" else 9 - phase)

    edit(dicom_folder, change)
    cine = load_study(dicom_folder).best("sax")
    assert cine.timing.order_rule == rule
    assert np.array_equal(cine.pixels, tiny_heart.cine.pixels[::-1])


def test_rescale_is_applied(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.RescaleSlope, data.RescaleIntercept = "2", "-5"

    edit(dicom_folder, change)
    pixels = load_study(dicom_folder).best("sax").pixels
    assert np.allclose(pixels, tiny_heart.cine.pixels * 2.0 - 5)


def test_inverted_images_are_turned(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.PhotometricInterpretation = "MONOCHROME1"

    edit(dicom_folder, change)
    assert np.array_equal(load_study(dicom_folder).best("sax").pixels, -1 - tiny_heart.cine.pixels)


def test_patient_is_what_measuring_needs(dicom_folder: Path) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.PatientName, data.PatientSex, data.PatientAge = "Doe^Jane", "F", "045Y"
        data.PatientSize, data.PatientWeight = 1.7, 60

    edit(dicom_folder, change)
    study = load_study(dicom_folder)
    patient = study.best("sax").patient
    assert (patient.sex, patient.age_years, patient.height_m, patient.weight_kg) == ("F", 45, 1.7, 60)
    assert "Doe" not in str(study.to_json()) + str(study.report) + study.id


def test_text_file_named_dcm_is_refused(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    (dicom_folder / "notes.dcm").write_text("This is no image.", encoding="utf-8")
    study = load_study(dicom_folder)
    assert [(Path(file.path).name, file.reason[:17]) for file in study.report.refused] == [
        ("notes.dcm", "not a DICOM file ")
    ]
    assert study.best("sax").shape == tiny_heart.cine.shape


def test_only_a_text_file_named_dcm_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.dcm"
    path.write_text("This is no image.", encoding="utf-8")
    with pytest.raises(StudyError, match="not a DICOM file") as caught:
        load_study(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_truncated_file_is_refused_and_leaves_a_gap(dicom_folder: Path, tiny_heart: PhantomStudy, kept: float) -> None:
    path = sorted(dicom_folder.iterdir())[-1]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    study = load_study(dicom_folder)
    (refused,) = study.report.refused
    assert refused.path == str(path)
    assert refused.reason.startswith("cut short") or kept < 0.1
    sax = study.best("sax")
    last = tiny_heart.cine.n_phases - 1
    assert sax.shape == tiny_heart.cine.shape
    assert sax.phases_with_gaps == (last,)
    assert not sax.pixels[last, 3].any()
    assert any(f"Slice 4 has no image at phase {last + 1}" in warning for warning in sax.warnings)


def test_image_that_cannot_be_decoded_is_refused_and_the_rest_opens(
    dicom_folder: Path, tiny_heart: PhantomStudy
) -> None:
    path = sorted(dicom_folder.iterdir())[-1]
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([b"\xff\x4f no JPEG 2000 at all"])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.save_as(path)
    study = load_study(dicom_folder)
    (refused,) = study.report.refused
    assert refused.path == str(path)
    assert refused.reason.startswith("its pixels cannot be decoded")
    sax = study.best("sax")
    assert sax.missing == {(tiny_heart.cine.n_phases - 1, 3)}
    assert not sax.pixels[-1, 3].any()
    assert any("1 image cannot be decoded" in warning for warning in sax.warnings)


def test_file_without_pixels_is_refused(dicom_folder: Path) -> None:
    path = sorted(dicom_folder.iterdir())[0]
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    assert [file.reason for file in load_study(dicom_folder).report.refused] == ["holds no pixel data"]


def test_multiframe_without_geometry_is_for_viewing_only(shared_data: Path) -> None:
    (cine,) = load_study(shared_data / "multiframe_dicom").cines
    assert cine.shape == (16, 1, 256, 256)
    assert not cine.measurable
    assert any("can be looked at, but not measured" in warning for warning in cine.warnings)
    with pytest.raises(GeometryError, match="can be looked at, but not measured"):
        cine.geometry.slice_extent_mm()


def test_second_copy_of_an_image_is_refused(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    first = sorted(dicom_folder.iterdir())[0]
    (dicom_folder / "ZZ.dcm").write_bytes(first.read_bytes())
    study = load_study(dicom_folder)
    assert "second copy" in study.report.refused[0].reason
    assert study.best("sax").shape == tiny_heart.cine.shape


def test_missing_slice_is_said(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    n = tiny_heart.cine.n_phases
    for path in sorted(dicom_folder.iterdir())[2 * n : 3 * n]:
        path.unlink()
    sax = load_study(dicom_folder).best("sax")
    assert any("44.0 mm apart" in warning for warning in sax.warnings)


def test_repeated_slice_uses_the_latest_series_and_offers_the_other(
    dicom_folder: Path, tiny_heart: PhantomStudy
) -> None:
    for k, path in enumerate(sorted(dicom_folder.iterdir())[: tiny_heart.cine.n_phases]):
        data = pydicom.dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k + 1}"
        data.SeriesInstanceUID, data.SeriesNumber = "1.2.8", 99
        data.PixelData = (data.pixel_array + 1).tobytes()
        data.save_as(path.with_name(f"R{path.name}"))
    study = load_study(dicom_folder)
    sax = study.best("sax")
    assert sax.shape == tiny_heart.cine.shape
    changed = (sax.pixels != tiny_heart.cine.pixels).all(axis=(0, 2, 3))
    assert changed.sum() == 1
    assert any("more than once" in warning for warning in sax.warnings)
    (repeated,) = study.report.repeats["sax"]
    earlier, later = repeated.takes
    assert (repeated.used, later.series_number) == (later.key, 99)
    chosen = load_study(dicom_folder, choices=ImportChoices(takes={"sax": (earlier.key,)}))
    assert np.array_equal(chosen.best("sax").pixels, tiny_heart.cine.pixels)


def test_long_axis_views_of_the_volunteer_are_not_taken_at_their_word(shared_data: Path) -> None:
    study = load_study(shared_data / "bivme_siemens_dicom/dicoms")
    found = {cine.id: cine for cine in study.cines}
    assert sorted(found) == ["lax_2c", "lax_2c-2", "lax_3c", "lax_4c", "other", "sax"]
    # Series 16001 is called 4CH; the guide points that come with it include an aortic valve: a 3-chamber plane.
    disputed = found["lax_3c"]
    assert disputed.view_confidence <= 0.3
    assert any("called 4-chamber, but" in warning for warning in disputed.warnings)
    assert found["lax_4c"].view_confidence >= 0.6
    assert all(not cine.measurable for cine in study.cines if cine.view is not View.SAX)


def test_each_decision_leaves_a_line(shared_data: Path) -> None:
    study = load_study(shared_data / "bivme_siemens_dicom/dicoms")
    for cine in study.cines:
        assert any(note.startswith(f"{cine.id}: series") for note in study.report.notes)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("cine_trufi_retro 4CH", View.LAX_4C),
        ("CINE_3ch", View.LAX_3C),
        ("2 chamber", View.LAX_2C),
        ("cine_trufi_retro RVOT", View.OTHER),
        ("cine_sax", View.SAX),
        ("SA stack", View.SAX),
        ("cine_trufi_retro", None),
        ("Sagittal scout", None),
    ],
)
def test_words_of_a_series_are_hints(text: str, view: View | None) -> None:
    assert view_hint(text) is view


def crop(data: pydicom.FileDataset, _: int) -> None:
    pixels = data.pixel_array[:-8]
    data.Rows, data.PixelData = pixels.shape[0], pixels.tobytes()


@pytest.mark.parametrize("odd", [1, 3])
def test_slice_with_another_matrix_is_kept_and_said(dicom_folder: Path, tiny_heart: PhantomStudy, odd: int) -> None:
    n = tiny_heart.cine.n_phases
    edit(dicom_folder, lambda data, k: crop(data, k) if k // n == odd else None)
    study = load_study(dicom_folder)
    sax = study.best("sax")
    rows, columns = tiny_heart.cine.shape[2:]
    assert sax.n_slices == tiny_heart.cine.n_slices
    assert [sax.image_extent(z) for z in range(4)] == [
        (rows - 8, columns) if z == odd else (rows, columns) for z in range(4)
    ]
    assert not sax.pixels[:, odd, rows - 8 :].any()
    assert any(f"Slice {odd + 1} has another matrix" in warning for warning in sax.warnings)


def test_two_grids_at_the_same_places_lack_nothing(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    for k, path in enumerate(sorted(dicom_folder.iterdir())):
        data = pydicom.dcmread(path)
        crop(data, k)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k + 1}"
        data.save_as(path.with_name(f"R{path.name}"))
    study = load_study(dicom_folder)
    assert [cine.n_slices for cine in study.cines] == [tiny_heart.cine.n_slices] * 2
    assert not any("another matrix" in warning for cine in study.cines for warning in cine.warnings)


def test_other_modality_is_refused(dicom_folder: Path) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        data.Modality = "CT" if k == 0 else "MR"

    edit(dicom_folder, change)
    assert [file.reason for file in load_study(dicom_folder).report.refused] == ["not an MR image (modality CT)"]


def test_slope_without_intercept_is_applied(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.RescaleSlope = "2"

    edit(dicom_folder, change)
    assert np.array_equal(load_study(dicom_folder).best("sax").pixels, tiny_heart.cine.pixels * 2.0)


def test_one_phase_opens_and_says_that_function_cannot_be_measured(
    dicom_folder: Path, tiny_heart: PhantomStudy
) -> None:
    for k, path in enumerate(sorted(dicom_folder.iterdir())):
        if k % tiny_heart.cine.n_phases:
            path.unlink()
    cine = load_study(dicom_folder).best("sax")
    assert cine.n_phases == 1
    assert any("cannot be measured from one phase" in warning for warning in cine.warnings)


def test_beat_follows_from_all_trigger_times_if_it_is_not_stated(dicom_folder: Path) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        del data.NominalInterval, data.HeartRate
        data.TriggerTime = (0, 182, 364, 546, 730)[k % 5]  # whole ms, as scanners write 182.5

    edit(dicom_folder, change)
    study = load_study(dicom_folder)
    assert study.best("sax").timing.rr_median_ms == pytest.approx(912.5)
    assert study.best("sax").timing.rr_source == "time between phases"
    assert any("RR from time between phases" in note for note in study.report.notes)


def test_stack_that_does_not_tell_its_apex_says_so(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    # Normal (1, 1, 0): as far to the left as to the back, and level.
    normal = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)

    def change(data: pydicom.FileDataset, k: int) -> None:
        data.ImageOrientationPatient = [0, 0, 1, 0.70710678, -0.70710678, 0]
        data.ImagePositionPatient = [f"{v:.6f}" for v in -22.0 * (k // tiny_heart.cine.n_phases) * normal]

    edit(dicom_folder, change)
    study = load_study(dicom_folder)
    assert any("do not tell base from apex" in note for note in study.report.notes)


def test_illegal_values_reach_no_log(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    load_study(shared_data / "sunnybrook_dicom/dicoms/SCD0000301")
    assert caplog.text == ""


@pytest.mark.parametrize(("patient", "contours"), [("SCD0000101", "SC-HF-I-1"), ("SCD0000301", "SC-HF-I-4")])
def test_real_stack_runs_from_base_to_apex(shared_data: Path, patient: str, contours: str) -> None:
    # The expert's LV cavity tapers towards the apex; where it was drawn is found by the file's own position.
    root = shared_data / "sunnybrook_dicom"
    planes = load_study(root / "dicoms" / patient).best("sax").geometry.planes
    areas: dict[int, float] = {}
    for path in (root / "contourfiles" / contours / "i-contours").iterdir():
        # SimpleITK: another library reads the position.
        sitk = pytest.importorskip("SimpleITK")
        number = int(path.name.split("-")[2])
        origin = sitk.ReadImage(str(root / "dicoms" / patient / f"{number}.dcm")).GetOrigin()
        z = int(np.argmin([np.linalg.norm(plane.origin_mm - origin) for plane in planes]))
        x, y = np.loadtxt(path).T
        area = 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))
        areas[z] = max(areas.get(z, 0.0), area)
    drawn = sorted(areas)
    assert areas[drawn[-1]] == min(areas.values())
    assert areas[drawn[-1]] < 0.5 * areas[drawn[0]]
