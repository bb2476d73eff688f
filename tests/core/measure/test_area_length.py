"""Area-length against ellipsoids, whose volume is known, and against the phantom's."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import GeometryError, LabelError, PhaseError
from cinema_core.measure.area_length import (
    LongAxisCavity,
    area_length_volumes,
    biplane_ml,
    long_axis_cavity,
    single_plane_ml,
)
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom


def ellipsoid_ml(*axes_mm: float) -> float:
    """Volume from the three whole axes."""
    return np.pi / 6 * float(np.prod(axes_mm)) / 1000


def test_single_plane_is_exact_for_an_ellipsoid_of_revolution() -> None:
    assert single_plane_ml(np.pi / 4 * 90 * 50, 90) == pytest.approx(ellipsoid_ml(90, 50, 50))


def test_biplane_is_exact_for_any_ellipsoid() -> None:
    found = biplane_ml(np.pi / 4 * 90 * 50, 90, np.pi / 4 * 90 * 40, 90)
    assert found == pytest.approx(ellipsoid_ml(90, 50, 40))


def test_a_view_that_misses_the_apex_does_not_shorten_the_ventricle() -> None:
    # Seen 80 mm long, it still shows how wide the cavity is: 4 A / (pi L) = 40 mm.
    found = biplane_ml(np.pi / 4 * 90 * 50, 90, np.pi / 4 * 80 * 40, 80)
    assert found == pytest.approx(ellipsoid_ml(90, 50, 40))


def view(labels: np.ndarray, spacing: float = 0.5) -> Cine:
    affine = np.diag([spacing, spacing, 8.0, 1.0])
    return Cine("lax", np.zeros(labels.shape, np.uint8), Geometry.from_affine(affine, labels.shape[1]), View.LAX_2C)


def half_ellipse(length_mm: float, width_mm: float, spacing: float = 0.5) -> np.ndarray:
    """Cavity (t=1, z=1, y, x) from a flat valve at row 40 down to the apex, with muscle all round but at the valve."""
    y, x = (np.mgrid[:280, :280] + 0.0) * spacing
    y, x = y - 40 * spacing, x - 140 * spacing
    inside = (y >= 0) & ((y / length_mm) ** 2 + (x / (width_mm / 2)) ** 2 < 1)
    around = (y >= 0) & ((y / (length_mm + 8)) ** 2 + (x / (width_mm / 2 + 8)) ** 2 < 1)
    plane = np.where(inside, Structure.LV_CAVITY, np.where(around, Structure.LV_MYOCARDIUM, 0)).astype(np.uint8)
    return plane[None, None]


def test_length_and_area_of_a_drawn_cavity() -> None:
    labels = half_ellipse(80, 44)
    found = long_axis_cavity(labels, view(labels))
    assert found.length_mm[0] == pytest.approx(80, abs=0.5)
    assert found.area_mm2[0] == pytest.approx(np.pi * 80 * 22 / 2, rel=0.01)


def test_landmarks_win_over_the_border() -> None:
    labels = half_ellipse(80, 44)
    points = np.array([[[40.0, 100.0], [40.0, 180.0], [190.0, 140.0]]])
    assert long_axis_cavity(labels, view(labels), points).length_mm[0] == pytest.approx(75.0)


def test_without_a_valve_there_is_no_length() -> None:
    labels = half_ellipse(80, 44)
    labels[0, 0, 36:40, 60:220] = Structure.LV_MYOCARDIUM  # muscle across the valve
    found = long_axis_cavity(labels, view(labels))
    assert np.isnan(found.length_mm[0]) and found.area_mm2[0] > 0


def test_each_view_has_its_own_ed_and_es() -> None:
    one = LongAxisCavity(np.array([3000.0, 2000.0, 2500.0]), np.array([90.0, 80.0, 85.0]))
    two = LongAxisCavity(np.array([2500.0, 2900.0, 2000.0, 1900.0]), np.array([88.0, 90.0, 80.0, 80.0]))
    found = area_length_volumes(one, two)
    assert (found.ed_phases, found.es_phases) == ((0, 1), (1, 3))
    assert found.volume_ml.size == 0  # three phases and four: no curve
    assert found.edv_ml == pytest.approx(8 * 3000 * 2900 / (3 * np.pi * 90) / 1000)
    assert found.esv_ml == pytest.approx(8 * 2000 * 1900 / (3 * np.pi * 80) / 1000)
    assert found.ef_pct == pytest.approx(100 * (1 - found.esv_ml / found.edv_ml))


def test_one_phase_has_a_volume_but_no_function() -> None:
    found = area_length_volumes(LongAxisCavity(np.array([3000.0, np.nan]), np.array([90.0, np.nan])))
    assert found.volume_ml[0] == pytest.approx(8 * 3000**2 / (3 * np.pi * 90) / 1000)
    assert (found.edv_ml, found.ef_pct, found.method) == (None, None, "single plane")


def test_what_is_no_long_axis_is_refused(phantom_study: PhantomStudy) -> None:
    with pytest.raises(GeometryError, match="one slice"):
        long_axis_cavity(phantom_study.labels, phantom_study.cine)
    with pytest.raises(LabelError, match="have shape"):
        long_axis_cavity(phantom_study.labels[:2], phantom_study.cine)
    with pytest.raises(PhaseError, match="one or two"):
        area_length_volumes()


def test_the_phantoms_ejection_fraction() -> None:
    study = make_phantom(
        HeartParameters(n_slices=3, slice_step_mm=30.0, n_phases=4), seed=5, views=("lax_2c", "lax_4c")
    )
    cavities = []
    for seen in study.long_axis:
        assert seen.landmarks_px is not None
        by_border = long_axis_cavity(seen.labels, seen.cine)
        by_landmarks = long_axis_cavity(seen.labels, seen.cine, seen.landmarks_px[..., ::-1])
        np.testing.assert_allclose(by_border.length_mm, by_landmarks.length_mm, atol=4.0)
        cavities.append(by_landmarks)
    found = area_length_volumes(*cavities)
    ed, es = study.parameters.ed_phase, study.parameters.es_phase
    # A cut-off ellipsoid is fuller at its base than the formula has it.
    assert found.edv_ml == pytest.approx(study.lv_ml[ed], rel=0.12)
    assert found.ef_pct == pytest.approx(100 * (1 - study.lv_ml[es] / study.lv_ml[ed]), abs=5)
