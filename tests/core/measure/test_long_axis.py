"""Length, GLS and MAPSE from landmarks placed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.errors import LabelError
from cinema_core.measure.long_axis import long_axis_function, lv_length_mm

SPACING = (2.0, 1.0)  # mm along y and x: not square on purpose


def points(apex_y: float, valve_y: float = 10.0) -> list[list[float]]:
    return [[valve_y, 20.0], [valve_y, 40.0], [apex_y, 30.0]]


def test_length_runs_from_the_middle_of_the_valve_to_the_apex() -> None:
    assert lv_length_mm(np.array(points(50.0)), SPACING) == pytest.approx(80.0)  # 40 rows of 2 mm


def test_shortening_and_way_of_the_valve() -> None:
    # Diastole: valve at row 10. Systole: the valve comes down by 5 rows, its insertions 2 columns closer each.
    systole = [[15.0, 22.0], [15.0, 38.0], [50.0, 30.0]]
    found = long_axis_function(np.array([points(50.0), systole, points(48.0)]), SPACING)
    np.testing.assert_allclose(found.lv_length_mm, [80.0, 70.0, 76.0])
    assert (found.longest, found.shortest) == (0, 1)
    assert found.gls_pct == pytest.approx((80 - 70) / 80 * 100)
    assert found.mapse_mm == pytest.approx(np.hypot(10.0, 2.0))


def test_one_phase_has_a_length_but_no_motion() -> None:
    found = long_axis_function(np.array([points(50.0)]), SPACING)
    assert found.gls_pct is None
    assert found.mapse_mm is None


@pytest.mark.parametrize("shape", [(3, 2), (4, 2, 2), (0, 3, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabelError, match=r"\(phases, 3, 2\) is expected"):
        long_axis_function(np.ones(shape), SPACING)


def test_a_missing_landmark_is_refused() -> None:
    broken = np.array([points(50.0), points(45.0)])
    broken[1, 2] = np.nan
    with pytest.raises(LabelError, match="A landmark is missing"):
        long_axis_function(broken, SPACING)
