"""The nouns: planes, stacks, beats, bodies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinema_core.cine import Cine, Geometry, Patient, Plane, Timing, View
from cinema_core.errors import GeometryError, StudyError


def stack(positions: list[float], spacing: tuple[float, float] = (1.5, 1.25)) -> Geometry:
    return Geometry(
        tuple(Plane(np.array([3.0, 4.0, z]), np.array([1, 0, 0]), np.array([0, 1, 0]), spacing) for z in positions)
    )


def cine(geometry: Geometry) -> Cine:
    return Cine("sax", np.zeros((2, geometry.n_slices, 4, 5), np.int16), geometry)


def test_step_is_the_median_distance() -> None:
    assert stack([0, 10, 20.02, 30]).slice_step_mm == pytest.approx(10.0)


def test_regular_stack_gives_each_slice_the_step() -> None:
    assert stack([0, 10, 20]).slice_extent_mm() == pytest.approx([10, 10, 10])


def test_irregular_stack_shares_the_gaps() -> None:
    geometry = stack([0, 10, 30])
    assert not geometry.is_regular
    assert geometry.slice_extent_mm() == pytest.approx([10, 15, 20])


def test_turned_slice_is_not_regular() -> None:
    tilted = Plane(np.array([0, 0, 10.0]), np.array([1.0, 0, 0]), np.array([0, 0.9, np.sqrt(0.19)]), (1.5, 1.25))
    assert not Geometry((*stack([0]).planes, tilted, *stack([20]).planes)).is_regular


def test_single_slice_without_step_cannot_be_measured() -> None:
    geometry = stack([0])
    assert geometry.slice_step_mm is None
    assert not cine(geometry).measurable
    with pytest.raises(GeometryError, match="volumes cannot be measured"):
        geometry.slice_extent_mm()


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.floats(-3.1, 3.1),
    st.tuples(*[st.floats(0.3, 20)] * 3),
    st.integers(1, 15),
)
def test_affine_comes_back(axis: list[float], angle: float, steps: tuple[float, float, float], n_slices: int) -> None:
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(angle * np.asarray(axis)).as_matrix() * np.asarray(steps)
    matrix[:3, 3] = [7, -8, 9]
    geometry = Geometry.from_affine(matrix, n_slices)
    assert np.allclose(geometry.affine(), matrix, atol=1e-9)
    assert geometry.slice_step_mm == pytest.approx(steps[2])
    assert geometry.planes[-1].to_world_mm(2, 3) == pytest.approx((matrix @ [3, 2, n_slices - 1, 1])[:3])


@pytest.mark.parametrize("steps", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_voxel_without_size_is_refused(steps: tuple[int, int, int]) -> None:
    with pytest.raises(GeometryError, match="above zero"):
        Geometry.from_affine(np.diag([*steps, 1]), 3)


def test_plane_without_spacing_is_refused() -> None:
    with pytest.raises(GeometryError, match="above zero"):
        stack([0], spacing=(0.0, 1.0))


def test_no_slices_are_refused() -> None:
    with pytest.raises(GeometryError, match="at least one slice"):
        Geometry(())


def test_pixels_must_fit_the_slices() -> None:
    with pytest.raises(GeometryError, match="3 slices but 2 slice positions"):
        Cine("sax", np.zeros((2, 3, 4, 5)), stack([0, 10]))


def test_pixels_must_have_four_axes() -> None:
    with pytest.raises(StudyError, match="this one has 3"):
        Cine("sax", np.zeros((2, 4, 5)), stack([0, 10]))


def test_heart_rate_is_of_the_median_beat() -> None:
    assert Timing(rr_ms=(750, 1000, 800)).heart_rate_bpm == pytest.approx(75)
    assert Timing().heart_rate_bpm is None


def test_body_surface_is_mostellers() -> None:
    # Mosteller's own example: 60 inches (152.4 cm), 100 lb (45.36 kg) has 1.39 m2.
    assert Patient(height_m=1.524, weight_kg=45.36).bsa_m2 == pytest.approx(1.386, abs=0.005)
    assert Patient(height_m=1.7).bsa_m2 is None


def test_hash_is_of_the_pixels_not_the_name() -> None:
    a, b = cine(stack([0, 10])), cine(stack([0, 12]))
    assert a.content_sha256 == b.with_view(View.LAX_2C).content_sha256
    changed = a.pixels.copy()
    changed[0, 0, 0, 0] = 1
    assert Cine("sax", changed, a.geometry).content_sha256 != a.content_sha256


def test_a_view_that_the_reader_chose_is_sure() -> None:
    chosen = cine(stack([0, 10])).with_view(View.LAX_3C)
    assert (chosen.view, chosen.view_confidence) == (View.LAX_3C, 1.0)
