"""Volumes: area times the length that a slice stands for."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Geometry, Plane
from cinema_core.errors import GeometryError, LabelError
from cinema_core.measure import volume_curves
from cinema_core.phantom import PhantomStudy


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


def test_labels_of_another_stack_are_refused() -> None:
    with pytest.raises(LabelError, match="has 2 slices"):
        volume_curves(lv([1, 1, 1]), stack([0, 10]))


def test_discs_of_the_phantom_are_found(phantom_study: PhantomStudy) -> None:
    found = volume_curves(phantom_study.labels, phantom_study.cine.geometry)
    # Pixels of 1.4 mm against exact areas.
    np.testing.assert_allclose(found.lv_ml, phantom_study.lv_discs_ml, rtol=0.02)
    np.testing.assert_allclose(found.myo_ml, phantom_study.myo_discs_ml, rtol=0.02)
    np.testing.assert_allclose(found.rv_ml, phantom_study.rv_discs_ml, rtol=0.03)
