"""Thickness of rings that are known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ellipe

from cinema_core.anatomy import Structure
from cinema_core.measure.ring import NoRing, Ring, ring_of_curves, ring_of_labels

ANGLES = np.arange(1000) * (2 * np.pi / 1000)

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def circle(radius: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.stack([x + radius * np.cos(ANGLES), y + radius * np.sin(ANGLES)], axis=1)


def disc(radius: float, x: float = 0.0, y: float = 0.0) -> Inside:
    return lambda at_x, at_y: (at_x - x) ** 2 + (at_y - y) ** 2 < radius**2


def drawn(cavity: Inside, heart: Inside, spacing_mm: tuple[float, float], at_mm: tuple[float, float]) -> np.ndarray:
    """Labels at pixel centres; ``at_mm`` is where (x, y) = (0, 0) lies in the image."""
    y, x = np.mgrid[: round(130 / spacing_mm[0]), : round(130 / spacing_mm[1])]
    x, y = x * spacing_mm[1] - at_mm[0], y * spacing_mm[0] - at_mm[1]
    labels = np.zeros(x.shape, dtype=np.uint8)
    labels[heart(x, y)] = Structure.LV_MYOCARDIUM
    labels[cavity(x, y)] = Structure.LV_CAVITY
    return labels


def ring(*args: object, **kwargs: object) -> Ring:
    found = ring_of_labels(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(found, Ring)
    return found


def test_an_annulus_is_as_thick_everywhere() -> None:
    found = ring_of_curves(circle(20), circle(28.5)).chords().thickness_mm
    np.testing.assert_allclose(found, 8.5, atol=0.002)


def test_an_ellipse_and_its_parallel_curve_are_as_far_apart_everywhere() -> None:
    # The curve at a fixed distance outside an ellipse is no ellipse; rays from the middle would see up to 0.5 mm more.
    a, b, wall = 30.0, 20.0, 9.0
    inner = np.stack([a * np.cos(ANGLES), b * np.sin(ANGLES)], axis=1)
    outwards = np.stack([np.cos(ANGLES) / a, np.sin(ANGLES) / b], axis=1)
    outer = inner + wall * outwards / np.linalg.norm(outwards, axis=1, keepdims=True)
    np.testing.assert_allclose(ring_of_curves(inner, outer).chords().thickness_mm, wall, atol=0.01)
    rays = np.linalg.norm(outer, axis=1) - np.interp(
        np.arctan2(*outer.T[::-1]), np.arctan2(*inner.T[::-1]), np.linalg.norm(inner, axis=1), period=2 * np.pi
    )
    assert rays.max() > wall + 0.4


def test_an_eccentric_annulus_is_thick_on_one_side() -> None:
    inner, outer, shift = 20.0, 30.0, 4.0
    chords = ring_of_curves(circle(inner), circle(outer, x=shift)).chords()
    assert chords.thickness_mm.max() == pytest.approx(outer + shift - inner, abs=0.01)
    assert chords.thickness_mm.min() == pytest.approx(outer - shift - inner, abs=0.01)
    assert chords.middle_mm[chords.thickness_mm.argmax()] == pytest.approx((27, 0), abs=0.3)
    # Its middle is an ellipse with the two centres as foci; thickness times its length is the area of the muscle.
    a = (inner + outer) / 2
    length = 4 * a * ellipe((shift / 2 / a) ** 2)
    assert chords.thickness_mm.mean() == pytest.approx(np.pi * (outer**2 - inner**2) / length, rel=0.003)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.8, 1.8), (1.2, 1.9)])
def test_labels_tell_the_thickness_of_a_ring_to_a_third_of_a_pixel(spacing_mm: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        radius, wall = rng.uniform(12, 30), rng.uniform(5, 15)
        labels = drawn(disc(radius), disc(radius + wall), spacing_mm, (65 + rng.random(), 65 + rng.random()))
        found = ring(labels, spacing_mm).chords().thickness_mm
        assert found.mean() == pytest.approx(wall, abs=0.12 * max(spacing_mm))
        assert np.abs(found.reshape(6, -1).mean(axis=1) - wall).max() < 0.33 * max(spacing_mm)


def test_the_ring_is_found_where_it_lies() -> None:
    found = ring(drawn(disc(20), disc(30), (1.5, 2.0), (70, 60)), (1.5, 2.0))
    assert found.centre_mm == pytest.approx((70, 60), abs=0.3)
    middle = found.chords().middle_mm - found.centre_mm
    assert np.linalg.norm(middle, axis=1) == pytest.approx(25, abs=0.8)
    # Chords begin in the direction of x and go round towards y.
    assert middle[0] == pytest.approx((25, 0), abs=1) and middle[30] == pytest.approx((0, 25), abs=1.5)


def test_muscle_that_is_not_all_round_is_no_ring() -> None:
    labels = drawn(disc(20), disc(28), (1.4, 1.4), (65, 65))
    labels[:46][labels[:46] == Structure.LV_MYOCARDIUM] = Structure.BACKGROUND  # as at the outflow tract
    assert ring_of_labels(labels, (1.4, 1.4)) is NoRing.OPEN


def test_the_heart_at_the_edge_of_the_image_is_no_ring() -> None:
    labels = drawn(disc(20), disc(28), (1.4, 1.4), (65, 19))
    assert ring_of_labels(labels, (1.4, 1.4)) is NoRing.OPEN


def test_muscle_without_a_cavity_has_no_thickness() -> None:
    assert ring_of_labels(np.zeros((40, 40), np.uint8), (1.4, 1.4)) is NoRing.NO_CAVITY
    cap = drawn(disc(0), disc(12), (1.4, 1.4), (65, 65))
    assert ring_of_labels(cap, (1.4, 1.4)) is NoRing.NO_CAVITY
    assert ring_of_labels(drawn(disc(2), disc(12), (1.4, 1.4), (65, 65)), (1.4, 1.4)) is NoRing.TINY_CAVITY


def test_papillary_muscles_and_stray_pixels_change_nothing() -> None:
    labels = drawn(disc(20), disc(30), (1.4, 1.4), (65, 65))
    clean = ring(labels, (1.4, 1.4)).chords().thickness_mm
    labels[44:47, 44:47] = Structure.LV_MYOCARDIUM  # within the cavity
    labels[2:4, 2:4] = Structure.LV_MYOCARDIUM
    labels[80:82, 2:4] = Structure.LV_CAVITY
    np.testing.assert_allclose(ring(labels, (1.4, 1.4)).chords().thickness_mm, clean)


def test_a_border_that_folds_back_is_not_smoothed_over() -> None:
    def open_c(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (np.hypot(x, y) < 24) & ~((np.hypot(x, y) > 8) & (np.abs(np.arctan2(y, x)) < 0.5))

    labels = drawn(open_c, disc(33), (1.4, 1.4), (65, 65))
    assert ring_of_labels(labels, (1.4, 1.4)) is NoRing.FOLDED
