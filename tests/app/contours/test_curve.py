"""One smooth contour and what a hand does to it."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_app.contours.curve import MIN_POINTS, Contour, feet_on
from cinema_app.contours.fitting import pulled


def circle(n: int = 12, radius: float = 20.0, centre: tuple[float, float] = (50.0, 60.0)) -> Contour:
    angle = np.arange(n) * 2 * np.pi / n
    return Contour(np.array(centre) + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1))


def radii(curve: Contour, centre: tuple[float, float] = (50.0, 60.0)) -> np.ndarray:
    return np.linalg.norm(curve.outline - centre, axis=1)


def test_twelve_points_make_a_circle_within_a_twentieth_of_a_pixel() -> None:
    assert np.abs(radii(circle()) - 20).max() < 0.05


def test_the_curve_goes_through_its_points() -> None:
    curve = circle(7)
    assert feet_on(curve.outline, curve.points)[1].max() < 1e-9


def test_area_and_centre_are_those_of_the_circle() -> None:
    assert circle().area == pytest.approx(np.pi * 400, rel=0.01)
    assert circle().centre == pytest.approx([50, 60], abs=0.01)


def test_a_moved_point_changes_only_the_curve_beside_it() -> None:
    before = circle()
    after = before.with_point_moved(0, before.points[0] + [0, 5])
    opposite = slice(3 * 8, 9 * 8)  # from the third point to the ninth
    assert np.array_equal(after.outline[opposite], before.outline[opposite])
    assert after.area > before.area


def test_a_new_point_hardly_moves_the_curve() -> None:
    before = circle()
    after, index = before.with_point_at(np.array([50 + 21 * np.sin(0.3), 60 + 21 * np.cos(0.3)]))
    assert len(after.points) == 13
    assert np.linalg.norm(after.points[index] - [50, 60]) == pytest.approx(20, abs=0.05)
    assert np.abs(radii(after) - 20).max() < 0.2


def test_the_last_points_cannot_be_taken_away() -> None:
    curve = circle(MIN_POINTS)
    assert curve.without_point(1) is curve


def test_a_pull_reaches_as_far_as_it_should_and_no_farther() -> None:
    before = circle(radius=30.0)
    grip = np.array([50.0, 90.0])
    pulled_to = np.array([50.0, 94.0])
    after = pulled(before, grip, pulled_to, reach=15.0)
    assert after.nearest(pulled_to)[0] < 0.1
    far = np.linalg.norm(after.outline - grip, axis=1) > 26
    assert far.sum() > 50
    assert np.abs(radii(after)[far] - 30).max() < 0.2
    near = np.linalg.norm(after.outline - grip, axis=1) < 7
    assert (radii(after)[near] > 31).all()


def test_a_curve_of_few_points_is_pulled_locally_too() -> None:
    before = circle(6, radius=30.0)
    grip = before.outline[4]
    after = pulled(before, grip, grip + 3 * (grip - [50, 60]) / 30, reach=10.0)
    off = feet_on(before.outline, after.outline[np.linalg.norm(after.outline - grip, axis=1) > 18])[1]
    assert off.max() < 0.5


@pytest.mark.parametrize("clockwise", [True, False])
def test_growing_moves_every_part_outwards(clockwise: bool) -> None:
    curve = circle() if clockwise else Contour(circle().points[::-1])
    assert radii(curve.grown(1.5)) == pytest.approx(21.5, abs=0.1)
    assert radii(curve.grown(-1.5)) == pytest.approx(18.5, abs=0.1)


def test_a_curve_does_not_shrink_to_nothing() -> None:
    curve = circle(radius=3.0)
    assert curve.grown(-4.0) is curve


def test_smoothing_takes_a_dent_out_and_keeps_the_area() -> None:
    dented = circle().with_point_moved(3, np.array([50.0 + 14.0, 60.0]))
    smooth = dented.smoothed()
    assert np.ptp(radii(smooth)) < 0.7 * np.ptp(radii(dented))
    assert smooth.area == pytest.approx(dented.area, rel=0.001)


def test_scaling_keeps_the_centre() -> None:
    made = circle().scaled(1.2)
    assert made.centre == pytest.approx([50, 60], abs=0.01)
    assert radii(made) == pytest.approx(24, abs=0.1)
