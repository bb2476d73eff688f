"""There and back: what is drawn on the model's grid lies where it was on the study's own."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.cine import Geometry
from cinema_core.geometry import grid_map, interpolation_matrix, scale_frames

SIZE_XY = (192, 192)
MODEL_MM = (1.0, 1.0, 10.0)


def regular(n_slices: int, spacing_mm: tuple[float, float], step_mm: float = 10.0) -> Geometry:
    affine = np.diag([spacing_mm[1], spacing_mm[0], step_mm, 1.0])
    return Geometry.from_affine(affine, n_slices)


def disc(shape: tuple[int, int, int], centre: tuple[float, float], radius_px: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[: shape[1], : shape[2]]
    inside = ((y - centre[0]) / radius_px[0]) ** 2 + ((x - centre[1]) / radius_px[1]) ** 2 <= 1
    return np.broadcast_to(inside, shape).astype(np.float32)


@pytest.mark.parametrize("keep_slices", [True, False])
@pytest.mark.parametrize("spacing", [(1.25, 1.25), (0.8, 1.6)])
def test_a_disc_comes_back_with_its_area_and_place(spacing: tuple[float, float], keep_slices: bool) -> None:
    shape, centre = (6, 180, 160), (95.0, 70.5)
    image = disc(shape, centre, (30 / spacing[0], 30 / spacing[1]))  # 30 mm radius
    there = grid_map(regular(6, spacing, 10.0), shape, (90.0, 75.0), MODEL_MM, SIZE_XY, keep_slices=keep_slices)
    on_model = there.to_model(image[None])
    assert on_model.shape == (1, *SIZE_XY, 6)
    assert (on_model[0, ..., 2] > 0.5).sum() == pytest.approx(np.pi * 30**2, rel=0.01)  # 1 mm pixels

    back = there.to_native(on_model)[0]
    assert (back > 0.5).sum(axis=(1, 2)) == pytest.approx(image.sum(axis=(1, 2)), rel=0.01)
    y, x = np.nonzero(back[3] > 0.5)
    assert (y.mean(), x.mean()) == pytest.approx(centre, abs=0.1)


def test_axes_are_swapped_and_not_flipped() -> None:
    image = np.zeros((1, 192, 192), dtype=np.float32)
    image[0, 100, 50] = 1  # row 100, column 50
    there = grid_map(regular(1, (1.0, 1.0)), (1, 192, 192), (95.5, 95.5), MODEL_MM, SIZE_XY, keep_slices=True)
    on_model = there.to_model(image[None])
    assert np.unravel_index(on_model.argmax(), on_model.shape) == (0, 50, 100, 0)  # (t, x, y, z)


def test_a_study_of_the_models_own_grid_is_not_changed() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 192, 192), dtype=np.float32)
    there = grid_map(regular(3, (1.0, 1.0), 10.0), (3, 192, 192), (95.5, 95.5), MODEL_MM, SIZE_XY, keep_slices=False)
    np.testing.assert_allclose(there.to_native(there.to_model(image))[0], image[0], atol=1e-6)


def test_outside_the_window_nothing_is_drawn() -> None:
    there = grid_map(regular(1, (1.0, 1.0)), (1, 300, 300), (149.5, 149.5), MODEL_MM, SIZE_XY, keep_slices=True)
    back = there.to_native(np.ones((1, *SIZE_XY, 1), dtype=np.float32))[0, 0]
    assert back[149, 149] == 1
    assert back[:50].max() == 0 and back[:, 250:].max() == 0


def test_slices_are_resampled_between_the_same_outer_faces() -> None:
    # Five slices of 8 mm are 40 mm: four of 10 mm. A ramp along z keeps its slope.
    ramp = np.broadcast_to((np.arange(5, dtype=np.float32) * 8)[:, None, None], (5, 192, 192))
    there = grid_map(regular(5, (1.0, 1.0), 8.0), (5, 192, 192), (95.5, 95.5), MODEL_MM, SIZE_XY, keep_slices=False)
    depth = there.to_model(ramp[None].copy())[0, 96, 96]
    assert depth == pytest.approx([1.0, 11.0, 21.0, 31.0])


def test_edges_hold_or_fade() -> None:
    positions = np.array([-1.0, 0.5, 3.0])
    assert interpolation_matrix(3, positions, edge="hold").tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert interpolation_matrix(3, positions, edge="zero").tolist() == [[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]


def test_each_frame_is_scaled_by_its_own_percentiles() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(300, 50, (2, 3, 40, 40))
    frames[1] *= 7
    scaled = scale_frames(frames)
    low, high = np.percentile(frames[1], [0.95, 99.5])
    np.testing.assert_allclose(scaled[1], np.clip((frames[1] - low) / (high - low), 0, 1), atol=1e-6)
    np.testing.assert_allclose(scaled[0], scale_frames(frames[:1])[0])


def test_a_constant_frame_becomes_zero() -> None:
    assert scale_frames(np.full((1, 2, 8, 8), 77)).max() == 0
