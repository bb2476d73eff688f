from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from cinema_core.anatomy import Structure
from cinema_core.cine import View
from cinema_core.errors import InputError, StorageError
from cinema_core.io import load_study, read_labels
from cinema_core.measure import ventricular_function
from cinema_core.phantom import (
    HEARTS,
    LONG_AXIS,
    HeartParameters,
    PhantomStudy,
    heart_called,
    make_phantom,
    random_parameters,
    scene,
    training_slice,
    write_phantom,
)
from cinema_core.phantom.anatomy import FloatArray
from cinema_core.phantom.beat import Beat, beat_of
from cinema_core.phantom.camera import Camera, HeartFrame, long_axis_plane, short_axis_planes
from cinema_core.phantom.drawing import SLICE_SIZE, Contrast, Grid
from cinema_core.phantom.parameters import shortening_of, truncated_ellipsoid_ml
from cinema_core.phantom.scene import contours_of
from cinema_core.phantom.slices import LEVELS, HardCase
from cinema_core.phantom.study import _tilted_areas_mm2
from cinema_core.phantom.surroundings import draw_bowel

SMALL = HeartParameters(n_slices=4, slice_step_mm=20.0, n_phases=3, rows=160, columns=160, pixel_spacing_mm=1.6)


RING = np.deg2rad(np.arange(0, 360, 5.0))


def wall_at(beat: Beat, t: int, angle_deg: float | None = None) -> FloatArray:
    """Thickness of the wall half way down the LV, around the ring or at one angle."""
    theta = RING if angle_deg is None else np.deg2rad(np.array([angle_deg]))
    z = float(beat.base_z_mm[t] + 0.45 * (beat.apex_z_mm - beat.base_z_mm[t]))
    cavity, epicardium, _ = beat.surfaces_mm(t, theta, z)
    return epicardium - cavity


def polygon_area(points: FloatArray) -> float:
    """Area inside a closed curve."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


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
    lv, _, rv = integrated_ml(beat_of(p, np.random.default_rng(0)))
    assert lv.max() == lv[p.ed_phase] == pytest.approx(140, rel=1e-3)
    assert lv.min() == lv[p.es_phase] == pytest.approx(140 * (1 - ef_pct / 100), rel=1e-3)
    assert rv.min() == rv[p.es_phase] == pytest.approx(90, rel=1e-3)


def integrated_ml(beat: Beat) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Volumes of LV cavity, LV muscle and RV cavity at every phase, from the surfaces alone."""
    theta = np.linspace(0, 2 * np.pi, 120, endpoint=False)

    def between(t: int, low: float, high: float, inner: int | None, outer: int) -> float:
        step = (high - low) / 400
        z = low + (np.arange(400) + 0.5) * step
        surfaces = beat.surfaces_mm(t, theta[None], z[:, None])
        square = surfaces[outer] ** 2 - (0 if inner is None else surfaces[inner] ** 2)
        return float(0.5 * square.mean(axis=1).sum() * 2 * np.pi * step / 1000)

    phases = range(len(beat.emptied))
    lv = [between(t, beat.base_z_mm[t], beat.apex_z_mm, None, 0) for t in phases]
    muscle = [between(t, beat.base_z_mm[t], beat.tip_z_mm, 0, 1) for t in phases]
    rv = [between(t, beat.rv_base_z_mm[t], beat.tip_z_mm, 1, 2) for t in phases]
    return np.array(lv), np.array(muscle), np.array(rv)


@pytest.mark.parametrize("name", sorted(HEARTS))
def test_the_surfaces_hold_the_volumes_at_every_phase(name: str) -> None:
    beat = beat_of(heart_called(name, n_phases=4), np.random.default_rng(5))
    for found, said in zip(integrated_ml(beat), (beat.lv_ml, beat.myo_ml, beat.rv_ml), strict=True):
        np.testing.assert_allclose(found, said, rtol=1e-3)


def test_the_largest_rv_is_counted_whole_in_a_tilted_plane() -> None:
    beat = beat_of(HeartParameters(rv_edv_ml=600, lv_edv_ml=60, rv_reach=0.7, n_phases=2), np.random.default_rng(0))
    tilted = _tilted_areas_mm2(beat, 0, 30.0, 1e-3, 0.0)  # so little that the areas are those of the square plane
    np.testing.assert_allclose(tilted, beat.areas_mm2(0, 30.0), rtol=0.01)


@pytest.mark.parametrize("name", sorted(HEARTS))
def test_counting_small_cubes_gives_the_volumes(name: str) -> None:
    """Another way to the same truth: every point of a fine grid in space is asked where it lies."""
    p = heart_called(name, n_phases=4)
    beat = beat_of(p, np.random.default_rng(5))
    side = 1.25
    x, y = np.meshgrid(*(np.arange(-130, 90, side) + side / 2,) * 2, indexing="ij")
    r, theta = np.hypot(x, y), np.arctan2(y, x)
    for t in (0, p.es_phase):
        counted = np.zeros(3)
        for z in np.arange(-5, 150, side) + side / 2:
            in_lv, in_epicardium, in_all = (r < radius for radius in beat.surfaces_mm(t, theta, float(z)))
            counted += [in_lv.sum(), (in_epicardium & ~in_lv).sum(), (in_all & ~in_epicardium).sum()]
        truth = (beat.lv_ml[t], beat.myo_ml[t], beat.rv_ml[t])
        # The valve planes are flat: where they cut the grid decides on half a layer of it.
        np.testing.assert_allclose(counted * side**3 / 1000, truth, rtol=0.012)


def test_lv_and_muscle_are_the_ellipsoids_of_the_textbook() -> None:
    p = HeartParameters(lv_edv_ml=130, wall_mm=9, septum_to_lateral=1.5)
    radius, length = p.cavity_axes_mm
    long = length / 1.25
    cavity = truncated_ellipsoid_ml(radius, long, 0.25 * long)
    outside = truncated_ellipsoid_ml(radius + 9, long + 0.7 * 9, 0.25 * long)
    study = beat_of(p, np.random.default_rng(2))
    assert cavity == pytest.approx(130)
    assert study.myo_ml[0] == pytest.approx(outside - cavity, rel=1e-6)


@pytest.mark.parametrize("tilt_deg", [0.0, 9.0])
def test_contours_integrate_to_the_volumes(tilt_deg: float) -> None:
    """The curves that a reader would draw, summed over thin slices, give the volumes asked for to 0.5 %."""
    p = replace(SMALL, n_phases=2, n_slices=40, slice_step_mm=3.0, slices_above_base=8, tilt_deg=tilt_deg)
    beat, frame = beat_of(p, np.random.default_rng(5)), HeartFrame.of(p)
    for t in range(2):
        area = dict.fromkeys(("lv_endocardium", "lv_epicardium", "rv_endocardium"), 0.0)
        for plane in short_axis_planes(p, frame):
            camera = Camera.on(plane, p.rows, p.columns, frame)
            for name, curves in contours_of(beat, camera, t).items():
                area[name] += sum(polygon_area(curve) for curve in curves)
        lv, epi, rv = (a * p.pixel_spacing_mm**2 * p.slice_step_mm / 1000 for a in area.values())
        assert lv == pytest.approx(beat.lv_ml[t], rel=5e-3)
        assert epi - lv == pytest.approx(beat.myo_ml[t], rel=1e-2)
        assert rv == pytest.approx(beat.rv_ml[t], rel=2e-2)


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
    assert wall_at(beat, 0).mean() == pytest.approx(9.0, rel=0.03)
    assert wall_at(beat, p.es_phase).mean() > 1.3 * 9.0
    np.testing.assert_allclose(integrated_ml(beat)[1], beat.myo_ml[0], rtol=1e-3)


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


def test_mass_decides_the_wall() -> None:
    p = HeartParameters(lv_mass_g=180.0)
    beat = beat_of(p, np.random.default_rng(0))
    assert beat.myo_ml[0] * 1.05 == pytest.approx(180.0, rel=1e-6)
    assert p.ed_wall_mm > 11


@pytest.mark.parametrize("thickening_pct", [35.0, 48.0])
def test_wall_thickens_as_asked_for(thickening_pct: float) -> None:
    p = HeartParameters(wall_thickening_pct=thickening_pct)
    beat = beat_of(replace(p, septal_flattening=0.0), np.random.default_rng(0))
    ed, es = ((b := beat.surfaces_mm(t, RING, _widest(beat, t)))[1] - b[0] for t in (0, p.es_phase))
    assert 100 * (es.mean() / ed.mean() - 1) == pytest.approx(thickening_pct, abs=0.5)


def _widest(beat: Beat, t: int) -> float:
    return float(beat.base_z_mm[t] + 0.2 * (beat.apex_z_mm - beat.base_z_mm[t]))


def test_infarcted_wall_neither_thickens_nor_moves_inwards() -> None:
    p = heart_called("infarcted", infarct_thinning=0.4)
    beat = beat_of(p, np.random.default_rng(0))
    scar, remote = 240.0, 60.0  # mid anterior and anteroseptal, and inferolateral
    assert wall_at(beat, p.es_phase, scar)[0] == pytest.approx(wall_at(beat, 0, scar)[0], rel=0.06)
    assert wall_at(beat, p.es_phase, remote)[0] > 1.3 * wall_at(beat, 0, remote)[0]
    assert wall_at(beat, 0, scar)[0] < 0.72 * wall_at(beat, 0, remote)[0]
    assert beat.lv_ml.min() == pytest.approx(p.lv_esv_ml)


def test_asymmetric_wall_has_the_ratio_and_the_mass_asked_for() -> None:
    p = heart_called("hypertrophic", septum_to_lateral=1.6)
    beat = beat_of(p, np.random.default_rng(0))
    ratio = wall_at(beat, 0, 180)[0] / wall_at(beat, 0, 0)[0]
    assert 1.25 < ratio < 1.65  # 1.6 at the base, even at the tip
    even = beat_of(replace(p, septum_to_lateral=1.0), np.random.default_rng(0))
    assert beat.myo_ml[0] == pytest.approx(even.myo_ml[0], rel=1e-6)


def test_dyssynchronous_lateral_wall_comes_late() -> None:
    p = heart_called("dyssynchronous", dyssynchrony_ms=150.0, n_phases=60)
    beat = beat_of(p, np.random.default_rng(0))
    mid = 0.4 * beat.apex_z_mm
    radius = np.array([beat.cavity_mm(t, np.array([np.pi, 0.0]), mid) for t in range(60)])
    septum, lateral = radius.argmin(axis=0) * p.rr_ms / 60
    assert lateral - septum == pytest.approx(150, abs=40)
    assert beat.lv_ml.argmin() == p.es_phase


def test_septum_is_flattened_towards_the_cavity() -> None:
    round_, flat = (
        beat_of(HeartParameters(septal_flattening=f), np.random.default_rng(0)).cavity_mm(0, np.array([np.pi, 0]), 40.0)
        for f in (0.0, 0.3)
    )
    assert flat[0] < 0.85 * round_[0]
    assert flat[1] > round_[1]


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


def test_images_beat_with_the_labels(heart: PhantomStudy) -> None:
    """Where the wall has taken the place of blood at ES the image has gone dark."""
    es = SMALL.es_phase
    labels, pixels = heart.labels[:, 2], heart.cine.pixels[:, 2]
    taken = (labels[0] == Structure.LV_CAVITY) & (labels[es] == Structure.LV_MYOCARDIUM)
    assert taken.sum() > 20
    assert np.median(pixels[es][taken]) < 0.6 * np.median(pixels[0][taken])


def test_long_axis_images_beat_with_their_labels() -> None:
    p = replace(SMALL, n_phases=2, noise=0.0)
    (view,) = make_phantom(p, seed=3, views=[View.LAX_4C]).long_axis
    ed, es = view.labels[:, 0]
    taken = (ed == Structure.LV_CAVITY) & (es == Structure.LV_MYOCARDIUM)
    assert np.median(view.cine.pixels[1, 0][taken]) < 0.6 * np.median(view.cine.pixels[0, 0][taken])


@pytest.mark.parametrize("view", LONG_AXIS)
def test_nothing_of_the_heart_is_painted_far_from_it(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """The valve plane, where surfaces end with a jump, draws no line across lung and fat."""
    monkeypatch.setattr(scene, "neighbours_of", lambda *_: ())
    frame, beat = HeartFrame.of(SMALL), beat_of(SMALL, np.random.default_rng(0))
    camera = Camera.on(long_axis_plane(view, SMALL, frame), SMALL.rows, SMALL.columns, frame)
    image = np.zeros(camera.r_mm.shape)
    scene.draw_heart(image, beat, camera, 0, np.zeros_like(image), 1.0)
    away_mm = ndimage.distance_transform_edt(scene.label_plane(beat, camera, 0) == 0) * SMALL.pixel_spacing_mm
    assert image.max() > 0.9
    assert np.abs(image[away_mm > 10]).max() == 0


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


# --- long axis --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_views() -> PhantomStudy:
    return make_phantom(replace(SMALL, n_slices=5, slice_step_mm=16.0, tilt_deg=6.0, tilt_towards_deg=40), 3, LONG_AXIS)


def test_short_axis_does_not_depend_on_the_other_views(heart: PhantomStudy) -> None:
    again = make_phantom(SMALL, seed=3, views=["lax_4c"])
    assert again.cine.content_sha256 == heart.cine.content_sha256
    assert [view.cine.view for view in again.views] == [View.SAX, View.LAX_4C]


def test_all_views_show_one_heart(with_views: PhantomStudy) -> None:
    """Where a long-axis plane crosses a short-axis plane both say the same, at every phase."""
    stack = with_views.sax
    compared = 0
    for view in with_views.long_axis:
        plane = view.cine.geometry.planes[0]
        y, x = np.mgrid[: view.labels.shape[2], : view.labels.shape[3]]
        lps = plane.to_world_mm(y, x)
        for k, cut in enumerate(stack.cine.geometry.planes):
            away = lps - cut.origin_mm
            near = np.abs(away @ cut.normal) < 0.6
            at = np.stack(
                [away[near] @ cut.y_direction / cut.spacing_mm[0], away[near] @ cut.x_direction / cut.spacing_mm[1]]
            )
            row, column = np.round(at).astype(int)
            inside = (row >= 0) & (row < 160) & (column >= 0) & (column < 160)
            for t in range(3):
                there = stack.labels[t, k, row[inside], column[inside]]
                here = view.labels[t, 0][near][inside]
                heart = (there > 0) | (here > 0)
                if heart.sum() >= 20:
                    compared += 1
                    assert np.mean(there[heart] == here[heart]) > 0.88  # pixels of 1.6 mm at both borders
    assert compared >= 20


def test_four_chamber_view_shows_both_ventricles_side_by_side(with_views: PhantomStudy) -> None:
    labels = {view.cine.view: view.labels[0, 0] for view in with_views.long_axis}
    four = labels[View.LAX_4C]
    assert all((four == s).sum() > 200 for s in (1, 2, 3))
    # As on a scanner: the RV left of the LV.
    assert np.argwhere(four == 1)[:, 1].mean() < np.argwhere(four == 3)[:, 1].mean()


def test_landmarks_are_the_ends_of_the_valve_and_the_tip(with_views: PhantomStudy) -> None:
    p = with_views.parameters
    for view in with_views.long_axis:
        marks = view.landmarks_px
        assert marks is not None
        assert marks.shape == (3, 3, 2)
        length = np.linalg.norm(marks[:, :2].mean(axis=1) - marks[:, 2], axis=1) * p.pixel_spacing_mm
        assert length[0] == pytest.approx(p.cavity_axes_mm[1], rel=0.02)
        assert length[p.es_phase] < 0.93 * length[0]  # the base comes down
        np.testing.assert_allclose(marks[:, 2], marks[:1, 2].repeat(3, axis=0))  # the apex stays
        for t in range(3):
            edge = np.concatenate(view.contours(t, 0)["lv_endocardium"])
            for mark in marks[t]:
                assert np.min(np.linalg.norm(edge - mark, axis=1)) < 2.5


def test_unknown_view_is_refused() -> None:
    with pytest.raises(InputError, match="lax_2c, lax_3c, lax_4c"):
        make_phantom(SMALL, views=[View.SAX])


@pytest.mark.parametrize("kind", ["dicom", "enhanced"])
def test_views_are_told_apart_when_opened(
    with_views: PhantomStudy, tmp_path: Path, kind: Literal["dicom", "enhanced"]
) -> None:
    study = load_study(write_phantom(tmp_path, with_views, kind))
    for view in with_views.views:
        cine = study.best(view.cine.view)
        np.testing.assert_array_equal(cine.pixels, view.cine.pixels)
        np.testing.assert_allclose(cine.geometry.planes[0].origin_mm, view.cine.geometry.planes[0].origin_mm, atol=1e-3)
        assert cine.timing.trigger_ms == pytest.approx(view.cine.timing.trigger_ms)
        assert cine.timing.rr_ms[0] == 900


@pytest.mark.parametrize("kind", ["nifti", "dicom", "enhanced"])
def test_measured_after_writing_and_importing_the_volumes_are_the_true_ones(
    tmp_path: Path, kind: Literal["nifti", "dicom", "enhanced"]
) -> None:
    """Truth labels on thin slices, through files and our own measurement, against the closed form: 0.5 %."""
    p = replace(SMALL, n_phases=2, n_slices=30, slices_above_base=5, pixel_spacing_mm=1.5, noise=0.0)
    # A step that divides the travel of the base: at ED and at ES it then lies half way between two slices.
    p = replace(p, slice_step_mm=p.cavity_axes_mm[1] * shortening_of(p) / 3)
    phantom = make_phantom(p, seed=1)
    cine = load_study(write_phantom(tmp_path, phantom, kind)).best("sax")
    labels = read_labels(tmp_path / "truth" / "labels.nii.gz", cine)
    found = ventricular_function(labels, cine)
    assert found.lv_edv_ml == pytest.approx(p.lv_edv_ml, rel=5e-3)
    assert found.lv_esv_ml == pytest.approx(p.lv_esv_ml, rel=5e-3)
    assert found.lv_ef_pct == pytest.approx(p.lv_ef_pct, rel=5e-3)
    assert found.rv_edv_ml == pytest.approx(p.rv_edv_ml, rel=1e-2)
    assert found.lv_mass_g == pytest.approx(phantom.lv_mass_g, rel=1e-2)


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
        ({"lv_mass_g": 900.0}, "LV mass is 900 g, which no adult LV weighs"),
        ({"lv_mass_g": 480.0, "lv_edv_ml": 60.0}, "is thicker than the cavity is deep"),
        ({"lv_length_mm": 45.0, "lv_edv_ml": 300.0}, "would be wider than long"),
        ({"infarct_segments": (0, 18)}, "numbered 1 to 17; 0, 18 is none"),
        ({"wall_thickening_pct": 120.0}, "Wall thickening is 120 %, which muscle that keeps its volume cannot do"),
        ({"dyssynchrony_ms": 200.0, "rr_ms": 500.0}, "more than a quarter of the RR interval"),
        ({"septum_to_lateral": 5.0}, "Septum over lateral wall is 5"),
        ({"tilt_deg": 60.0}, "Tilt is 60 degrees"),
        ({"lv_edv_ml": "big"}, "lv_edv_ml is 'big', which is no number"),
        ({"lv_ef_pct": None}, "lv_ef_pct is None, which is no number"),
        ({"n_slices": 2.5}, r"n_slices is 2\.5; give a whole number"),
        ({"infarct_segments": 3}, "infarct_segments is 3; give AHA segments"),
        ({"rotation_deg": float("nan")}, "Rotation is nan degrees"),
        ({"lv_mass_g": 30.0}, r"has a wall of 2\.4 mm, which no LV measures"),
        ({"septum_to_lateral": 3.0, "wall_mm": 20.0}, "A septum of 30 mm is thicker than the cavity is deep"),
        ({"wall_thickening_pct": 30.0, "infarct_segments": (1,)}, "cannot be asked for together with an infarct"),
    ],
)
def test_impossible_heart_is_refused_in_clinical_words(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        HeartParameters(**wrong)  # type: ignore[arg-type]


def test_every_impossible_parameter_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"LV ejection fraction.*Wall thickness"):
        HeartParameters(lv_ef_pct=110, wall_mm=0)


def test_infarct_that_leaves_too_little_muscle_is_refused() -> None:
    with pytest.raises(InputError, match=r"14 infarcted segments.*cannot reach an ejection fraction of 65 %"):
        make_phantom(replace(SMALL, lv_ef_pct=65.0, infarct_segments=tuple(range(1, 15))))


def test_a_beat_of_no_length_is_not_called_dyssynchronous() -> None:
    with pytest.raises(InputError, match="RR interval") as caught:
        HeartParameters(rr_ms=-900)
    assert "dyssynchrony" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    p = replace(SMALL, n_phases=2, n_slices=np.int64(4), infarct_segments=[np.int64(7)], lv_ef_pct=40)
    assert write_phantom(tmp_path, make_phantom(p)).is_file()
    assert p.infarct_segments == (7,)


@pytest.mark.parametrize(
    ("asked", "said"), [({"views": ["lax_5c"]}, "no 'lax_5c'"), ({"seed": -1}, "-1"), ({"seed": "a"}, "'a'")]
)
def test_wrong_views_and_seeds_are_named(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_phantom(SMALL, **asked)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(InputError, match="no parameter 'lv_ef'"):
        heart_called("healthy", lv_ef=3)


def test_unknown_heart_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'broken'; there are healthy"):
        heart_called("broken")


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
    truth = json.loads((tmp_path / "truth" / "heart.json").read_text(encoding="utf-8"))
    found = ventricular_function(heart.labels, heart.cine, ed_phase=0, es_phase=SMALL.es_phase)
    assert truth["lv_ef_discs_pct"] == pytest.approx(found.lv_ef_pct, abs=1)


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
    with pytest.raises(InputError, match="nifti or dicom or enhanced"):
        write_phantom(tmp_path, heart, "analyze")  # type: ignore[arg-type]


def test_folder_that_cannot_be_made_is_one_clear_error(heart: PhantomStudy, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        write_phantom(tmp_path / "taken", heart)


# --- training slices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_training_slice_has_the_size_and_range_of_the_model(level: str) -> None:
    image, labels = training_slice(np.random.default_rng(1), level=level)
    assert image.shape == labels.shape == (SLICE_SIZE, SLICE_SIZE)
    assert image.dtype == np.float32
    assert labels.dtype == np.uint8
    assert 0 <= image.min() <= image.max() <= 1
    assert labels.any() == (level not in ("above", "beyond"))


def test_training_slice_follows_from_its_seed() -> None:
    first, again = (training_slice(np.random.default_rng([4, 2])) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_emptied_slices_show_a_small_cavity_with_muscle_in_it() -> None:
    """The label is the whole cavity: what fills it counts as cavity, as papillary muscles do."""
    filled, plain = (
        [training_slice(np.random.default_rng([8, k]), level="middle", hard=e) for k in range(40)]
        for e in (HardCase.EMPTIED, None)
    )

    def median_area(slices: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.median([(labels == Structure.LV_CAVITY).sum() for _, labels in slices]))

    def contrast(slices: list[tuple[np.ndarray, np.ndarray]]) -> float:
        """Median over slices of cavity minus muscle, by the brightness of the cavity's darker half."""
        found = []
        for image, labels in slices:
            cavity, muscle = image[labels == Structure.LV_CAVITY], image[labels == Structure.LV_MYOCARDIUM]
            if cavity.size and muscle.size:
                found.append(np.percentile(cavity, 30) - np.median(muscle))
        return float(np.median(found))

    assert median_area(filled) < 0.5 * median_area(plain)
    assert contrast(filled) < 0.5 * contrast(plain)


def test_straddling_slices_lie_on_both_sides_of_the_valves() -> None:
    """Some show the ventricles, some only what is behind the valves, and some a ring that is open to the atrium."""

    def open_rings(slices: list[np.ndarray]) -> int:
        cavities = [ndimage.binary_dilation(labels == Structure.LV_CAVITY) for labels in slices]
        return sum(bool(((labels == 0) & near).any()) for labels, near in zip(slices, cavities, strict=True))

    straddling, plain = (
        [training_slice(np.random.default_rng([9, k]), hard=hard)[1] for k in range(60)]
        for hard in (HardCase.STRADDLING, None)
    )
    assert open_rings(straddling) >= 8
    assert open_rings(plain) <= 3
    assert 10 <= sum(not labels.any() for labels in straddling) <= 40


def test_bowel_lies_below_the_heart_as_bright_as_its_blood() -> None:
    for seed in range(20):
        rng = np.random.default_rng([10, seed])
        grid, tissue = Grid.draw(rng), Contrast.draw(rng)
        image = np.zeros((SLICE_SIZE, SLICE_SIZE), dtype=np.float32)
        draw_bowel(image, grid, tissue, rng)
        lumen = image > 0.6 * tissue.blood
        assert not image[grid.y < 0].any()
        assert lumen.any() or tissue.muscle > tissue.blood  # in the rare contrast that muscle is the brighter


def test_cavity_of_a_training_slice_is_enclosed_by_muscle() -> None:
    for seed in range(20):
        labels = training_slice(np.random.default_rng(seed), level="middle")[1]
        cavity = labels == Structure.LV_CAVITY
        inside = cavity[1:-1, 1:-1]
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            beside = labels[dy : dy + SLICE_SIZE - 2, dx : dx + SLICE_SIZE - 2][inside]
            assert set(np.unique(beside)) <= {Structure.LV_MYOCARDIUM, Structure.LV_CAVITY}
