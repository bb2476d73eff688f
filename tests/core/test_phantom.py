from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pydicom
import pytest

from cinema_core.anatomy import Structure
from cinema_core.errors import InputError, StorageError
from cinema_core.io import load_study
from cinema_core.phantom import (
    HeartParameters,
    PhantomStudy,
    make_phantom,
    random_parameters,
    training_slice,
    write_phantom,
)
from cinema_core.phantom.beat import beat_of
from cinema_core.phantom.parameters import truncated_ellipsoid_ml
from cinema_core.phantom.slices import LEVELS

SMALL = HeartParameters(n_slices=4, slice_step_mm=20.0, n_phases=3, rows=160, columns=160, pixel_spacing_mm=1.6)


@pytest.fixture(scope="module")
def heart() -> PhantomStudy:
    return make_phantom(SMALL, seed=3)


# --- volumes ---------------------------------------------------------------------------------------------------


def test_half_of_a_sphere_has_the_volume_of_the_textbook() -> None:
    assert truncated_ellipsoid_ml(30.0, 30.0, 0.0) == pytest.approx(2 / 3 * np.pi * 30**3 / 1000)


def test_whole_ellipsoid_has_the_volume_of_the_textbook() -> None:
    assert truncated_ellipsoid_ml(20.0, 45.0, 45.0) == pytest.approx(4 / 3 * np.pi * 20**2 * 45 / 1000)


@pytest.mark.parametrize("ef_pct", [15.0, 58.0, 78.0])
def test_volumes_are_those_asked_for(ef_pct: float) -> None:
    p = HeartParameters(lv_edv_ml=140, lv_ef_pct=ef_pct, rv_edv_ml=150, rv_ef_pct=40)
    beat = beat_of(p, np.random.default_rng(0))
    assert beat.lv_ml.max() == beat.lv_ml[p.ed_phase] == pytest.approx(140)
    assert beat.lv_ml.min() == beat.lv_ml[p.es_phase] == pytest.approx(140 * (1 - ef_pct / 100))
    assert beat.rv_ml.min() == beat.rv_ml[p.es_phase] == pytest.approx(90)


def test_planes_a_tenth_of_a_millimetre_apart_sum_to_the_volumes() -> None:
    """The drawn outlines, summed numerically, give the closed forms and the RV asked for."""
    p = replace(SMALL, n_phases=2)
    beat = beat_of(p, np.random.default_rng(5))
    step = 0.1
    z = np.arange(-30, 130, step) + step / 2
    for t in range(p.n_phases):
        rv, myo, lv = np.array([beat.areas_mm2(t, float(at)) for at in z]).sum(axis=0) * step / 1000
        assert lv == pytest.approx(beat.lv_ml[t], rel=2e-3)
        assert rv == pytest.approx(beat.rv_ml[t], rel=4e-3)
        assert myo == pytest.approx(beat.myo_ml[t], rel=4e-3)


def test_labels_count_to_the_area_of_each_plane(heart: PhantomStudy) -> None:
    voxel_ml = SMALL.pixel_spacing_mm**2 * SMALL.slice_step_mm / 1000
    for structure, discs in (
        (Structure.LV_CAVITY, heart.lv_discs_ml),
        (Structure.LV_MYOCARDIUM, heart.myo_discs_ml),
        (Structure.RV_CAVITY, heart.rv_discs_ml),
    ):
        counted = (heart.labels == structure).sum(axis=(1, 2, 3)) * voxel_ml
        np.testing.assert_allclose(counted, discs, rtol=0.02)


def test_muscle_keeps_its_volume_and_thickens_in_systole() -> None:
    p = HeartParameters(wall_mm=9.0)
    beat = beat_of(p, np.random.default_rng(0))
    assert beat.wall_mm[0] == pytest.approx(9.0, abs=1e-6)
    assert beat.wall_mm[p.es_phase] > 1.3 * 9.0
    assert np.ptp(beat.myo_ml) == 0


def test_end_systole_comes_about_a_third_into_the_beat() -> None:
    p = HeartParameters(n_phases=25)
    lv = beat_of(p, np.random.default_rng(0)).lv_ml
    assert int(lv.argmax()) == 0
    assert int(lv.argmin()) / 25 == pytest.approx(0.35, abs=0.02)


def test_volume_curve_has_one_contraction_and_one_filling() -> None:
    lv = beat_of(HeartParameters(n_phases=40), np.random.default_rng(0)).lv_ml
    es = int(lv.argmin())
    assert np.all(np.diff(lv[: es + 1]) < 0)
    assert np.all(np.diff(lv[es:]) > 0)


# --- images ---------------------------------------------------------------------------------------------------


def test_first_slice_lies_above_the_base_and_holds_no_ventricle(heart: PhantomStudy) -> None:
    assert not heart.labels[:, 0].any()
    assert (heart.labels[0, 1] == Structure.LV_CAVITY).any()


def test_blood_is_brighter_than_muscle_and_muscle_than_lung(heart: PhantomStudy) -> None:
    pixels, labels = heart.cine.pixels[0, 2], heart.labels[0, 2]
    blood = np.median(pixels[labels == Structure.LV_CAVITY])
    muscle = np.median(pixels[labels == Structure.LV_MYOCARDIUM])
    assert blood > 2 * muscle
    assert muscle > 2 * np.percentile(pixels, 10)


def test_papillary_muscles_count_as_cavity() -> None:
    heart = make_phantom(replace(SMALL, n_slices=1, n_phases=2, noise=0.0), seed=0)
    cavity = heart.cine.pixels[0, 0][heart.labels[0, 0] == Structure.LV_CAVITY]
    assert np.mean(cavity < 0.5 * np.median(cavity)) > 0.01


def test_same_seed_gives_the_same_study(heart: PhantomStudy) -> None:
    again = make_phantom(SMALL, seed=3)
    assert again.cine.content_sha256 == heart.cine.content_sha256
    np.testing.assert_array_equal(again.labels, heart.labels)


def test_another_seed_gives_another_study(heart: PhantomStudy) -> None:
    assert make_phantom(SMALL, seed=4).cine.content_sha256 != heart.cine.content_sha256


def test_stack_has_the_step_and_the_timing_asked_for(heart: PhantomStudy) -> None:
    assert heart.cine.geometry.slice_step_mm == pytest.approx(20.0)
    assert heart.cine.geometry.is_regular
    assert heart.cine.timing.trigger_ms == pytest.approx((0.0, 300.0, 600.0))
    assert heart.cine.timing.heart_rate_bpm == pytest.approx(60000 / 900)


def test_random_hearts_can_all_be_imaged() -> None:
    for seed in range(6):
        parameters = replace(random_parameters(np.random.default_rng(seed)), n_phases=2, n_slices=2)
        assert make_phantom(parameters, seed=seed).labels.any()


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lv_ef_pct": 110.0}, "LV ejection fraction is 110 %"),
        ({"rv_ef_pct": -3.0}, "RV ejection fraction is -3 %"),
        ({"lv_edv_ml": float("nan")}, "LV end-diastolic volume is nan ml"),
        ({"lv_edv_ml": 80.0, "wall_mm": 28.0}, "wall of 28 mm is thicker than the cavity is deep"),
        ({"rr_ms": 10.0}, "RR interval is 10 ms"),
        ({"n_phases": 1}, "a beat needs end-diastole and end-systole"),
        ({"slice_step_mm": 0.0}, "Slice step is 0 mm"),
        ({"n_slices": 3, "slices_above_base": 3}, "3 of 3 slices lie above the base"),
    ],
)
def test_impossible_heart_is_refused_in_clinical_words(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        HeartParameters(**wrong)  # type: ignore[arg-type]


def test_every_impossible_parameter_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"LV ejection fraction.*Wall thickness"):
        HeartParameters(lv_ef_pct=110, wall_mm=0)


def test_heart_larger_than_its_image_is_refused() -> None:
    with pytest.raises(InputError, match="larger than its image of 64 x 64 mm"):
        make_phantom(replace(SMALL, rows=40, columns=40))


# --- files -----------------------------------------------------------------------------------------------------


def test_nifti_holds_the_pixels_where_they_lie_in_the_patient(heart: PhantomStudy, tmp_path: Path) -> None:
    image = nib.load(write_phantom(tmp_path, heart))
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, heart.cine.pixels)
    ras = image.affine @ [10, 20, 2, 1]
    lps = heart.cine.geometry.planes[2].to_world_mm(20, 10)
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-3)
    assert image.header.get_zooms()[3] == pytest.approx(300.0)


def test_truth_is_written_apart_from_the_images(heart: PhantomStudy, tmp_path: Path) -> None:
    write_phantom(tmp_path, heart)
    labels = nib.load(tmp_path / "truth" / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj).T, heart.labels)


def test_dicom_is_read_back_with_its_positions_times_and_pixels(heart: PhantomStudy, tmp_path: Path) -> None:
    files = [pydicom.dcmread(path) for path in sorted(write_phantom(tmp_path, heart, "dicom").iterdir())]
    assert len(files) == 4 * 3
    for number, image in enumerate(files):
        z, t = divmod(number, 3)
        plane = heart.cine.geometry.planes[z]
        np.testing.assert_allclose(image.ImagePositionPatient, plane.origin_mm, atol=1e-4)
        np.testing.assert_allclose(image.ImageOrientationPatient[:3], plane.x_direction, atol=1e-6)
        np.testing.assert_allclose(image.ImageOrientationPatient[3:], plane.y_direction, atol=1e-6)
        assert image.TriggerTime == pytest.approx(300 * t)
        assert image.NominalInterval == 900
        np.testing.assert_array_equal(image.pixel_array, heart.cine.pixels[t, z])


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_written_study_opens_as_the_same_cine(
    heart: PhantomStudy, tmp_path: Path, kind: Literal["nifti", "dicom"]
) -> None:
    cine = load_study(write_phantom(tmp_path, heart, kind)).best("sax")
    np.testing.assert_array_equal(cine.pixels, heart.cine.pixels)
    assert cine.geometry.slice_step_mm == pytest.approx(SMALL.slice_step_mm, rel=1e-6)
    assert cine.timing.trigger_ms == pytest.approx(heart.cine.timing.trigger_ms)


def test_dicom_names_nobody_and_its_uids_are_unique(heart: PhantomStudy, tmp_path: Path) -> None:
    files = [pydicom.dcmread(path) for path in write_phantom(tmp_path, heart, "dicom").iterdir()]
    assert {str(image.PatientName) for image in files} == {""}
    assert all(image.PatientID.startswith("PHANTOM-") for image in files)
    assert len({image.SOPInstanceUID for image in files}) == len(files)
    assert len({image.SeriesInstanceUID for image in files}) == 1


def test_unknown_file_format_is_refused(heart: PhantomStudy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nifti or dicom"):
        write_phantom(tmp_path, heart, "analyze")  # type: ignore[arg-type]


def test_folder_that_cannot_be_made_is_one_clear_error(heart: PhantomStudy, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        write_phantom(tmp_path / "taken", heart)


# --- training slices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_training_slice_has_the_size_and_range_of_the_model(level: str) -> None:
    image, labels = training_slice(np.random.default_rng(1), level=level)
    assert image.shape == labels.shape == (192, 192)
    assert image.dtype == np.float32
    assert labels.dtype == np.uint8
    assert 0 <= image.min() <= image.max() <= 1
    assert labels.any() == (level not in ("above", "beyond"))


def test_training_slice_follows_from_its_seed() -> None:
    first, again = (training_slice(np.random.default_rng([4, 2])) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_cavity_of_a_training_slice_is_enclosed_by_muscle() -> None:
    for seed in range(20):
        labels = training_slice(np.random.default_rng(seed), level="middle")[1]
        cavity = labels == Structure.LV_CAVITY
        inside = cavity[1:-1, 1:-1]
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            beside = labels[dy : dy + 190, dx : dx + 190][inside]
            assert set(np.unique(beside)) <= {Structure.LV_MYOCARDIUM, Structure.LV_CAVITY}
