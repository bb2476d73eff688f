"""The wall of hearts whose thickness is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measures import segment_errors_mm
from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, Plane, View
from cinema_core.errors import GeometryError, LabelError, PhaseError
from cinema_core.measure import wall
from cinema_core.measure.ring import NoRing
from cinema_core.measure.segments import Insertions, Level
from cinema_core.measure.wall import wall_measures
from cinema_core.phantom import PhantomStudy, heart_called, make_phantom, random_parameters, true_wall


def annuli(inner_mm: list[list[float]], outer_mm: list[list[float]], **cine: object) -> tuple[np.ndarray, Cine]:
    """Rings about the middle of slices of 10 mm, by phase and slice; RV on the left; base to apex, seen from there."""
    right, down, apex = np.array([0.64, 0.77, 0.0]), np.array([-0.39, 0.33, -0.86]), np.array([0.66, -0.55, -0.51])
    y, x = np.mgrid[:80, :80] * 1.25 - 50
    r, septal = np.hypot(x, y), np.abs(np.rad2deg(np.arctan2(y, -x))) < 60
    labels = np.zeros((len(inner_mm), len(inner_mm[0]), 80, 80), dtype=np.uint8)
    for index in np.ndindex(labels.shape[:2]):
        inner, outer = inner_mm[index[0]][index[1]], outer_mm[index[0]][index[1]]
        labels[index][(r < outer + 12) & septal] = Structure.RV_CAVITY
        labels[index][r < outer] = Structure.LV_MYOCARDIUM
        labels[index][r < inner] = Structure.LV_CAVITY
    planes = tuple(Plane(10.0 * z * apex, right, down, (1.25, 1.25)) for z in range(labels.shape[1]))
    values = {"view": View.SAX, **cine}
    return labels, Cine("sax", np.zeros(labels.shape, np.int16), Geometry(planes), **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def beating() -> tuple[np.ndarray, Cine]:
    """Three slices; ED of 8, 9 and 10 mm, ES of 12, 12 and 12 mm."""
    return annuli([[24, 22, 18], [16, 15, 12]], [[32, 31, 28], [28, 27, 24]])


def test_thickness_thickening_and_motion_by_segment(beating: tuple[np.ndarray, Cine]) -> None:
    found = wall_measures(*beating, ed_phase=0)
    assert found.levels == (Level.BASAL, Level.MID, Level.APICAL)
    ed = [*[8.0] * 6, *[9.0] * 6, *[10.0] * 4]
    assert found.thickness_mm[0, :16] == pytest.approx(ed, abs=0.35)
    assert found.thickness_mm[1, :16] == pytest.approx(12, abs=0.45)
    assert found.thickening_pct[1, :16] == pytest.approx([100 * (12 / before - 1) for before in ed], abs=6)
    assert found.thickening_pct[0, :16] == pytest.approx(0)
    assert found.motion_mm[1, :16] == pytest.approx([*[8.0] * 6, *[7.0] * 6, *[6.0] * 4], abs=0.35)
    assert found.gaps == {} and found.warnings == ()


def test_the_cap_of_the_apex_has_no_thickness(beating: tuple[np.ndarray, Cine]) -> None:
    assert np.isnan(wall_measures(*beating, ed_phase=0).thickness_mm[:, 16]).all()


def test_the_thickest_wall_is_told_with_its_place() -> None:
    labels, cine = annuli([[24, 22, 18]], [[32, 31, 28]])
    y, x = np.mgrid[:80, :80] * 1.25 - 50
    labels[0, 1][(np.hypot(x, y + 7) < 31) & (labels[0, 1] == 0)] = Structure.LV_MYOCARDIUM  # 16 mm towards the top
    found = wall_measures(labels, cine, ed_phase=0).thickest
    assert found is not None
    assert found.thickness_mm == pytest.approx(16, abs=1)
    assert (found.z, found.segment) == (1, 7)  # mid anterior


def test_a_heart_that_moves_aside_moves_in_on_one_side_only() -> None:
    labels, cine = annuli([[20], [20]], [[28], [28]])
    labels[1] = np.roll(labels[1], 3, axis=-1)  # 3.75 mm towards the lateral wall
    found = wall_measures(labels, cine, ed_phase=0)
    septal, lateral = found.motion_mm[1, [7, 8]].mean(), found.motion_mm[1, [10, 11]].mean()
    assert septal == pytest.approx(3, abs=0.6) and lateral == pytest.approx(-3, abs=0.6)
    assert found.thickening_pct[1, 6:12] == pytest.approx(0, abs=4)


def test_insertions_that_the_reader_sets_win(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating
    at_right_and_left = Insertions((25.0, 65.0), (25.0, 15.0))  # on both sides of the top
    found = wall_measures(labels, cine, ed_phase=0, insertions=dict.fromkeys(range(3), at_right_and_left))
    assert found.insertions == (at_right_and_left,) * 3
    top = 3 * 120 // 4  # chords go from x towards y, which is down
    assert set(found.chord_segment[0, 0, top - 5 : top + 5]) == {2, 3}  # the septum
    assert set(wall_measures(labels, cine, ed_phase=0).chord_segment[0, 0, top - 5 : top + 5]) == {1}
    with pytest.raises(LabelError, match="slice 4; there are 3"):
        wall_measures(labels, cine, ed_phase=0, insertions={3: at_right_and_left})


def test_a_slice_without_rv_takes_the_septum_of_its_neighbour(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating[0].copy(), beating[1]
    labels[:, 2][labels[:, 2] == Structure.RV_CAVITY] = Structure.BACKGROUND
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.insertions[2] is None
    np.testing.assert_array_equal(found.chord_segment, wall_measures(*beating, ed_phase=0).chord_segment)


def test_without_an_rv_there_is_thickness_but_no_segments(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating[0].copy(), beating[1]
    labels[labels == Structure.RV_CAVITY] = Structure.BACKGROUND
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.warnings == (wall.NO_INSERTIONS,)
    assert np.isnan(found.thickness_mm).all()
    assert found.thickest is not None and found.thickest.segment is None
    assert np.nanmean(found.chord_mm[0, 1]) == pytest.approx(9, abs=0.2)


def test_only_a_cavity_has_no_wall(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating[0].copy(), beating[1]
    labels[labels == Structure.LV_MYOCARDIUM] = Structure.BACKGROUND
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.warnings == (wall.NO_RING,)
    assert found.thickest is None and np.isnan(found.thickness_mm).all()


def test_a_slice_that_loses_its_ring_is_told_with_the_reason(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating[0].copy(), beating[1]
    labels[1, 0][labels[1, 0] != Structure.RV_CAVITY] = Structure.BACKGROUND  # the base has moved on at ES
    labels[1, 1, :30][labels[1, 1, :30] == Structure.LV_MYOCARDIUM] = Structure.BACKGROUND
    cine = replace(cine, missing=frozenset({(1, 2)}))
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.gaps == {(1, 0): NoRing.NO_CAVITY, (1, 1): NoRing.OPEN, (1, 2): NoRing.NO_IMAGE}
    assert np.isnan(found.thickness_mm[1]).all() and np.isfinite(found.thickness_mm[0, :16]).all()


def test_thickening_compares_the_same_slices() -> None:
    # Two basal slices of 6 and 10 mm at ED; at ES only the first is left: 9 mm are 50 % more than 6, not 12 % than 8.
    labels, cine = annuli(
        [[24, 24, 24, 22, 20, 18], [18, 18, 18, 17, 15, 12]], [[30, 34, 30, 30, 30, 28], [27, 27, 27, 27, 25, 22]]
    )
    labels[1, 1] = 0
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.levels[:3] == (Level.BASAL, Level.BASAL, Level.MID)
    assert found.thickness_mm[0, 0] == pytest.approx(8, abs=0.3)
    assert found.thickening_pct[1, 0] == pytest.approx(50, abs=6)


def test_phases_that_are_not_asked_for_are_left_out(beating: tuple[np.ndarray, Cine]) -> None:
    found = wall_measures(*beating, ed_phase=0, phases=[0])
    assert np.isnan(found.chord_mm[1]).all() and (found.chord_segment[1] == 0).all()
    with pytest.raises(PhaseError, match="ED is phase 2"):
        wall_measures(*beating, ed_phase=1, phases=[0])


def test_labels_of_another_grid_and_pixels_of_unknown_size_are_refused(beating: tuple[np.ndarray, Cine]) -> None:
    labels, cine = beating
    with pytest.raises(LabelError, match="shape"):
        wall_measures(labels[:, :2], cine, ed_phase=0)
    with pytest.raises(GeometryError, match="no pixel spacing"):
        wall_measures(labels, replace(cine, geometry=Geometry.without_spacing(3)), ed_phase=0)
    at_one_place = Geometry((cine.geometry.planes[0],) * 3)
    with pytest.raises(GeometryError, match="same position"):
        wall_measures(labels, replace(cine, geometry=at_one_place), ed_phase=0)


def test_one_slice_is_measured_without_its_step() -> None:
    labels, cine = annuli([[22]], [[31]])
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.levels == (Level.MID,)
    assert found.thickness_mm[0, 6:12] == pytest.approx(9, abs=0.45)


def test_a_single_pixel_of_each_structure_is_no_error() -> None:
    labels, cine = annuli([[22, 22]], [[31, 31]])
    labels[:] = 0
    labels[0, 0, 40, 40:43] = [Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.RV_CAVITY]
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.warnings == (wall.NO_RING,) and found.levels == (None, None)


def reordered(
    labels: np.ndarray, cine: Cine, change: Callable[[np.ndarray], np.ndarray], planes: tuple[Plane, ...], **more: bool
) -> tuple[np.ndarray, Cine]:
    labels = np.ascontiguousarray(change(labels))
    return labels, replace(cine, pixels=np.zeros(labels.shape, np.int16), geometry=Geometry(planes), **more)


@pytest.mark.parametrize("way", ["mirrored", "transposed", "apex first"])
def test_the_same_heart_stored_otherwise_has_the_same_segments(phantom_study: PhantomStudy, way: str) -> None:
    labels, cine = phantom_study.labels, phantom_study.cine
    planes, columns = cine.geometry.planes, labels.shape[-1]
    if way == "mirrored":
        turned = tuple(
            Plane(p.to_world_mm(0, columns - 1), -p.x_direction, p.y_direction, p.spacing_mm) for p in planes
        )
        other = reordered(labels, cine, lambda a: a[..., ::-1], turned)
    elif way == "transposed":
        turned = tuple(Plane(p.origin_mm, p.y_direction, p.x_direction, p.spacing_mm[::-1]) for p in planes)
        other = reordered(labels, cine, lambda a: a.swapaxes(-1, -2), turned)
    else:
        other = reordered(labels, cine, lambda a: a[:, ::-1], planes[::-1], apex_first=True)
    own, found = (wall_measures(*study, ed_phase=0) for study in ((labels, cine), other))
    np.testing.assert_allclose(found.thickness_mm, own.thickness_mm, atol=0.15)


def test_a_stack_whose_direction_is_wrong_is_measured_along_its_cavity_and_said_so(phantom_study: PhantomStudy) -> None:
    cine = replace(phantom_study.cine, apex_first=True)
    own, found = (wall_measures(phantom_study.labels, c, ed_phase=0) for c in (phantom_study.cine, cine))
    assert found.warnings == (wall.APEX_AT_OTHER_END,)
    np.testing.assert_array_equal(found.thickness_mm, own.thickness_mm)


def test_a_file_without_orientation_is_taken_as_scanners_show_it(phantom_study: PhantomStudy) -> None:
    left, back, up = np.eye(3)
    planes = tuple(
        Plane(p.origin_mm @ p.normal * up, -left, -back, p.spacing_mm) for p in phantom_study.cine.geometry.planes
    )
    labels, cine = reordered(phantom_study.labels, phantom_study.cine, lambda a: a, planes)
    found = wall_measures(labels, cine, ed_phase=0)
    assert found.warnings == (wall.ORIENTATION_LOST,)
    own = wall_measures(phantom_study.labels, phantom_study.cine, ed_phase=0)
    np.testing.assert_array_equal(found.thickness_mm, own.thickness_mm)


@pytest.mark.parametrize("name", ["hypertrophic", "infarcted", "right ventricular overload", 1, 2, 5])
def test_segments_of_a_heart_are_as_thick_as_its_anatomy(name: str | int) -> None:
    p = heart_called(name) if isinstance(name, str) else random_parameters(np.random.default_rng(name))
    study = make_phantom(replace(p, n_phases=3), seed=4)
    found = wall_measures(study.labels, study.cine, ed_phase=0)
    for phase in (0, 1):
        errors_mm = segment_errors_mm(study, found, phase)
        assert len(errors_mm) == 16
        assert np.abs(errors_mm).max() < 0.5


def test_the_rv_is_found_where_it_begins() -> None:
    study = make_phantom(replace(heart_called("healthy"), n_phases=2), seed=4)
    found = wall_measures(study.labels, study.cine, ed_phase=0)
    for z, insertions in enumerate(found.insertions):
        truth = true_wall(study.sax, 0, z)
        if insertions is None or truth is None or truth.insertions_px is None:
            continue
        for (y, x), end in zip((insertions.anterior_yx, insertions.inferior_yx), truth.insertions_px, strict=True):
            here, there = (np.arctan2(*(np.array(place) - truth.cavity_px)[::-1]) for place in ((x, y), end))
            assert np.abs(np.rad2deg(np.angle(np.exp(1j * (here - there))))) < 7
