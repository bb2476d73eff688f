"""Volumes: area times the length that a slice stands for."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cine import Geometry, Plane
from cinema_core.errors import GeometryError, LabelError, PhaseError
from cinema_core.measure import AreaRule, EndSliceRule, VolumeMethod, volume_curves
from cinema_core.measure.volumes import outlined_pixels, polygon_area
from cinema_core.phantom import PhantomStudy

HALF = EndSliceRule.HALF


def stack(positions_mm: list[float], spacing_mm: tuple[float, float] = (1.0, 1.0)) -> Geometry:
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    return Geometry(tuple(Plane(np.array([0, 0, z]), x, y, spacing_mm) for z in positions_mm))


def lv(n_pixels: list[int]) -> np.ndarray:
    """One phase; a number of LV pixels on each slice."""
    labels = np.zeros((1, len(n_pixels), 40, 40), dtype=np.uint8)
    for z, n in enumerate(n_pixels):
        labels[0, z].flat[:n] = Structure.LV_CAVITY
    return labels


def test_a_stack_is_the_sum_of_its_discs() -> None:
    # (100 + 200 + 100) pixels of 1.5 x 2 mm, 8 mm apart: 9600 mm3
    found = volume_curves(lv([100, 200, 100]), stack([0, 8, 16], (1.5, 2.0)))
    assert found.lv_ml.tolist() == pytest.approx([9.6])
    assert found.rv_ml.tolist() == [0.0] and found.myo_ml.tolist() == [0.0]


def test_slices_at_uneven_distances_reach_half_way_to_their_neighbours() -> None:
    # Extents 10, (10 + 20) / 2 and 20 mm.
    found = volume_curves(lv([100, 100, 100]), stack([0, 10, 30]))
    assert found.lv_ml.tolist() == pytest.approx([(10 + 15 + 20) * 100 / 1000])


def test_the_order_of_slices_does_not_matter() -> None:
    up = volume_curves(lv([100, 50]), stack([0, 9])).lv_ml
    down = volume_curves(lv([50, 100]), stack([0, -9])).lv_ml
    assert up.tolist() == down.tolist()


def test_phases_that_were_not_segmented_have_no_volume() -> None:
    labels = np.repeat(lv([100, 100]), 3, axis=0)
    found = volume_curves(labels, stack([0, 10]), phases=[2])
    assert np.isnan(found.lv_ml).tolist() == [True, True, False]


def test_one_slice_without_a_stated_distance_has_no_volume() -> None:
    with pytest.raises(GeometryError, match="one slice"):
        volume_curves(lv([100]), stack([0]))


def test_slices_may_differ_in_pixel_spacing() -> None:
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    planes = (Plane(np.zeros(3), x, y, (1.0, 1.0)), Plane(np.array([0, 0, 10.0]), x, y, (2.0, 2.0)))
    found = volume_curves(lv([100, 100]), Geometry(planes))
    assert found.lv_ml.tolist() == pytest.approx([(100 + 400) * 10 / 1000])


def test_a_stack_that_lies_obliquely_is_measured_across_its_slices() -> None:
    # Turned by 30 degrees, and every slice shifted within its plane: neither changes a volume.
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    x, y, normal = np.array([1.0, 0, 0]), np.array([0, c, s]), np.array([0, -s, c])
    planes = tuple(Plane(normal * 8 * z + x * 3 * z, x, y, (1.5, 2.0)) for z in range(3))
    assert volume_curves(lv([100, 200, 100]), Geometry(planes)).lv_ml.tolist() == pytest.approx([9.6])


def test_slices_at_one_position_are_refused() -> None:
    with pytest.raises(GeometryError, match="Slices 2 and 3 lie at the same position"):
        volume_curves(lv([100, 100, 100, 100]), stack([0, 10, 10, 20]))


def test_slices_out_of_order_are_refused() -> None:
    with pytest.raises(GeometryError, match="Slices 2 and 3 lie out of order"):
        volume_curves(lv([100, 100, 100, 100]), stack([0, 20, 10, 30]))


def test_planes_that_fan_out_are_refused() -> None:
    y = np.array([0, 1.0, 0])
    angles = np.deg2rad([0, 30, 60])
    planes = tuple(Plane(np.zeros(3), np.array([np.cos(a), 0, np.sin(a)]), y, (1.0, 1.0)) for a in angles)
    with pytest.raises(GeometryError, match="Slice 2 is tilted by 30 degrees"):
        volume_curves(lv([100, 100, 100]), Geometry(planes))


def test_unlabelled_pixels_have_no_volume_to_give() -> None:
    labels = lv([100, 100])
    labels[0, 1, -1, -1] = UNLABELLED
    with pytest.raises(LabelError, match="Phase 1, slice 2 has unlabelled pixels"):
        volume_curves(labels, stack([0, 10]))


def test_unlabelled_pixels_in_other_phases_do_no_harm() -> None:
    labels = np.repeat(lv([100, 100]), 2, axis=0)
    labels[1] = UNLABELLED
    assert volume_curves(labels, stack([0, 10]), phases=[0]).lv_ml[0] == pytest.approx(2.0)


def test_a_value_that_names_no_structure_is_refused() -> None:
    labels = lv([100, 100])
    labels[0, 0, -1, -1] = 4
    with pytest.raises(LabelError, match="Phase 1, slice 1 has the label 4"):
        volume_curves(labels, stack([0, 10]))


@pytest.mark.parametrize("phases", [[2], [-1]])
def test_a_phase_that_is_not_there_is_refused(phases: list[int]) -> None:
    with pytest.raises(PhaseError, match="the cine has phases 1 to 1"):
        volume_curves(lv([100, 100]), stack([0, 10]), phases=phases)


def test_voxels_are_counted_not_added_up() -> None:
    # A published tool once summed label values; LV is 3, so its volumes were three times too large.
    labels = np.full((1, 2, 10, 10), Structure.LV_CAVITY, dtype=np.uint8)
    assert volume_curves(labels, stack([0, 10])).lv_ml.tolist() == pytest.approx([2.0])


def test_labels_of_another_stack_are_refused() -> None:
    with pytest.raises(LabelError, match="has 2 slices"):
        volume_curves(lv([1, 1, 1]), stack([0, 10]))


def test_discs_of_the_phantom_are_found(phantom_study: PhantomStudy) -> None:
    found = volume_curves(phantom_study.labels, phantom_study.cine.geometry)
    # Pixels of 1.4 mm against exact areas.
    np.testing.assert_allclose(found.lv_ml, phantom_study.lv_discs_ml, rtol=0.02)
    np.testing.assert_allclose(found.myo_ml, phantom_study.myo_discs_ml, rtol=0.02)
    np.testing.assert_allclose(found.rv_ml, phantom_study.rv_discs_ml, rtol=0.03)


def disc_stack(radii_px: list[float], wall_px: float = 8.0) -> np.ndarray:
    """One phase; on each slice a disc of LV in a ring of muscle."""
    y, x = np.mgrid[:120, :120]
    away = np.hypot(y - 60.3, x - 59.6)
    labels = np.zeros((1, len(radii_px), 120, 120), dtype=np.uint8)
    for z, radius in enumerate(radii_px):
        labels[0, z][away < radius + wall_px] = Structure.LV_MYOCARDIUM
        labels[0, z][away < radius] = Structure.LV_CAVITY
    return labels


@pytest.mark.parametrize("areas", list(AreaRule))
def test_both_rules_of_area_find_a_disc(areas: AreaRule) -> None:
    radii = [30.0, 25.0, 20.0]
    found = volume_curves(disc_stack(radii), stack([0, 10, 20]), method=VolumeMethod(areas=areas))
    true_ml = sum(np.pi * r**2 for r in radii) * 10 / 1000
    muscle_ml = sum(np.pi * ((r + 8) ** 2 - r**2) for r in radii) * 10 / 1000
    assert found.lv_ml[0] == pytest.approx(true_ml, rel=5e-3)
    assert found.myo_ml[0] == pytest.approx(muscle_ml, rel=1e-2)


def test_contours_cut_the_corners_of_pixels_and_leave_out_holes() -> None:
    labels = np.zeros((1, 1, 20, 20), dtype=np.uint8)
    labels[0, 0, 5:15, 5:15] = Structure.LV_CAVITY
    labels[0, 0, 8:12, 8:12] = 0
    # 10 x 10 with four corners of 1/8 pixel cut off; the hole of 4 x 4 grows smaller by as much.
    found = outlined_pixels(labels, [0])[0, 0, Structure.LV_CAVITY]
    assert found == pytest.approx(100 - 4 / 8 - (16 - 4 / 8))


def test_a_polygon_has_its_area() -> None:
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    ellipse = np.stack([7 * np.cos(angle), 3 * np.sin(angle)], axis=1)
    assert polygon_area(ellipse) == pytest.approx(np.pi * 21, rel=1e-5)
    assert polygon_area(ellipse[::-1]) == pytest.approx(-np.pi * 21, rel=1e-5)


def test_end_slices_can_count_by_half() -> None:
    found = volume_curves(lv([0, 100, 200, 100, 0]), stack([0, 10, 20, 30, 40]), method=VolumeMethod(ends=HALF))
    assert found.lv_ml.tolist() == pytest.approx([(50 + 200 + 50) * 10 / 1000])


def test_half_end_slices_leave_the_muscle_between_both_borders() -> None:
    # Cavity on slices 2 and 3, the whole LV on 1 to 4: its own outermost slices are the ones that are halved.
    labels = disc_stack([20.0, 20.0, 20.0, 20.0])
    labels[0, [0, 3]] = np.where(labels[0, [0, 3]] > 0, Structure.LV_MYOCARDIUM, 0)
    found = volume_curves(labels, stack([0, 10, 20, 30]), method=VolumeMethod(ends=HALF))
    whole = np.count_nonzero(labels[0, 0]) * 10 / 1000
    cavity = np.count_nonzero(labels[0, 1] == Structure.LV_CAVITY) * 10 / 1000
    assert found.lv_ml[0] == pytest.approx(cavity)
    assert found.myo_ml[0] == pytest.approx(3 * whole - cavity)


@pytest.mark.parametrize("ends", list(EndSliceRule))
def test_what_slices_add_is_the_volume(phantom_study: PhantomStudy, ends: EndSliceRule) -> None:
    found = volume_curves(phantom_study.labels, phantom_study.cine.geometry, method=VolumeMethod(ends=ends))
    added = found.slice_ml.sum(axis=1)
    np.testing.assert_allclose(added[:, Structure.LV_CAVITY], found.lv_ml)
    np.testing.assert_allclose(added[:, Structure.LV_MYOCARDIUM], found.myo_ml)
