"""There and back: what is drawn on the model's grid lies where it was on the study's own."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.cine import Geometry, Plane
from cinema_core.geometry import border_crossings, cut_line, grid_map, interpolation_matrix, scale_frames, to_pixels
from cinema_core.phantom import LONG_AXIS, HeartParameters, make_phantom

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


# ------------------------------------------------------------------ planes that cut each other


def upright(x_mm: float, spacing_mm: tuple[float, float] = (2.0, 1.0)) -> Plane:
    """Plane x = x_mm: columns run along -y from y = 40 mm, rows along -z from z = 30 mm."""
    return Plane(np.array([x_mm, 40.0, 30.0]), np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0]), spacing_mm)


def level(z_mm: float) -> Plane:
    """Plane z = z_mm from the origin: columns along x, rows along y."""
    return Plane(np.array([0.0, 0.0, z_mm]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), (1.25, 1.25))


def test_points_of_a_plane_come_back_as_its_pixels() -> None:
    plane = upright(12.0)
    places = np.array([[3.0, 7.5], [0.0, 0.0], [-2.0, 31.0]])
    np.testing.assert_allclose(to_pixels(plane, plane.to_world_mm(places[:, 0], places[:, 1])), places)
    off = plane.to_world_mm(3.0, 7.5) + 9.0 * plane.normal
    np.testing.assert_allclose(to_pixels(plane, off), [3.0, 7.5])


def test_a_short_axis_slice_is_a_straight_row_of_an_upright_image() -> None:
    line = cut_line(upright(20.0), (31, 41), level(10.0), (64, 64))
    assert line is not None
    np.testing.assert_allclose(line[:, 0], (30 - 10) / 2)  # 20 mm below the first row, 2 mm a row
    # The slice begins half a pixel before y = 0, at column 40; the upright image at half a pixel before its first.
    np.testing.assert_allclose(sorted(line[:, 1]), [-0.5, 40.5])


def test_a_line_ends_where_either_image_ends() -> None:
    small = cut_line(upright(20.0), (31, 41), level(10.0), (8, 64))  # rows from -0.625 mm to 9.375 mm
    assert small is not None
    np.testing.assert_allclose(sorted(small[:, 1]), [40 - 9.375, 40.5])
    assert cut_line(upright(20.0), (31, 41), level(40.0), (64, 64)) is None  # above the first row
    assert cut_line(upright(90.0), (31, 41), level(10.0), (64, 64)) is None  # beside the slice


def test_parallel_planes_have_no_line() -> None:
    tilted = Plane(np.zeros(3), np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(0.04), np.sin(0.04)]), (1.25, 1.25))
    assert cut_line(level(0.0), (64, 64), level(10.0), (64, 64)) is None
    assert cut_line(level(0.0), (64, 64), tilted, (64, 64)) is None


def test_both_images_agree_on_the_line_of_oblique_planes() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        tilted = Plane(rng.normal(size=3) * 5 - 40 * (axes[0] + axes[1]), axes[0], axes[1], (1.3, 0.9))
        one, other = (tilted, (90, 120)), (level(0.0), (70, 70))
        there, back = cut_line(*one, *other), cut_line(*other, *one)
        assert (there is None) == (back is None)
        if there is None or back is None:
            continue
        ends = tilted.to_world_mm(there[:, 0], there[:, 1])
        np.testing.assert_allclose(ends[:, 2], 0.0, atol=1e-6)  # they lie in the other plane
        expected = level(0.0).to_world_mm(back[:, 0], back[:, 1])
        np.testing.assert_allclose(ends[np.argsort(ends[:, 0])], expected[np.argsort(expected[:, 0])], atol=1e-6)


def test_a_line_crosses_a_disc_at_its_radius() -> None:
    inside = disc((1, 101, 101), (50.0, 50.0), (20.0, 20.0))[0] > 0.5
    for angle in np.deg2rad([0.0, 17.0, 45.0, 90.0, 130.0]):
        way = np.array([np.sin(angle), np.cos(angle)])
        found = border_crossings(inside, np.stack([50 - 45 * way, 50 + 45 * way]))
        assert len(found) == 2
        np.testing.assert_allclose(found, [50 - 20 * way, 50 + 20 * way], atol=0.75)  # a mask knows no finer
    assert len(border_crossings(inside, np.array([[75.0, 0.0], [75.0, 100.0]]))) == 0
    assert len(border_crossings(inside, np.array([[50.0, 50.0], [50.0, 100.0]]))) == 1


def test_contours_of_the_short_axis_meet_those_of_the_long_axis() -> None:
    heart = make_phantom(HeartParameters(n_slices=6, slice_step_mm=15.0, n_phases=4), seed=2, views=LONG_AXIS)
    sax, found = heart.sax, 0
    for lax in heart.long_axis:
        plane = lax.cine.geometry.planes[0]
        for t in (0, 2):
            truth = lax.contours(t, 0)["lv_endocardium"]
            for z, slice_plane in enumerate(sax.cine.geometry.planes):
                line = cut_line(slice_plane, sax.cine.shape[2:], plane, lax.cine.shape[2:])
                assert line is not None
                places = border_crossings(sax.labels[t, z] == 3, line)
                for y, x in to_pixels(plane, slice_plane.to_world_mm(places[:, 0], places[:, 1])):
                    away = min(np.hypot(curve[:, 0] - x, curve[:, 1] - y).min() for curve in truth)
                    assert away < 1.0, (lax.cine.view, t, z)
                    found += 1
    assert found >= 40
