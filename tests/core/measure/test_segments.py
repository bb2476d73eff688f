"""Segments: which slices, which way round, which names."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Plane
from cinema_core.measure.ring import Ring, ring_of_labels
from cinema_core.measure.segments import (
    SEGMENT_NAMES,
    Insertions,
    Level,
    find_insertions,
    levels_of,
    segments_around,
    sense_of,
)

RIGHT, DOWN, TOWARDS_APEX = np.array([0.64, 0.77, 0.0]), np.array([-0.39, 0.33, -0.86]), np.array([0.66, -0.55, -0.51])


def stack(right: np.ndarray, down: np.ndarray, towards_apex: np.ndarray = TOWARDS_APEX, n: int = 3) -> list[Plane]:
    return [Plane(10.0 * z * towards_apex, right, down, (1.0, 1.0)) for z in range(n)]


def heart_in_a_slice(rv_from_deg: float, rv_to_deg: float, gap_mm: float = 0.0) -> np.ndarray:
    """LV of radius 30 at (50, 50), pixels of 1 mm; the RV lies on it between two angles, from x towards y."""
    y, x = np.mgrid[:100, :100] - 50.0
    r, angle = np.hypot(x, y), np.rad2deg(np.arctan2(y, x)) % 360
    labels = np.zeros(r.shape, dtype=np.uint8)
    span = (rv_to_deg - rv_from_deg) % 360
    labels[(r < 45) & (r > 30 + gap_mm) & ((angle - rv_from_deg) % 360 < span)] = Structure.RV_CAVITY
    labels[r < 30] = Structure.LV_MYOCARDIUM
    labels[r < 21] = Structure.LV_CAVITY
    return labels


def ring_of(labels: np.ndarray) -> Ring:
    ring = ring_of_labels(labels, (1.0, 1.0))
    assert isinstance(ring, Ring)
    return ring


def angle_of(yx: tuple[float, float]) -> float:
    return float(np.rad2deg(np.arctan2(yx[0] - 50, yx[1] - 50)) % 360)


def names_at(level: Level, *degrees: float) -> list[str]:
    return [SEGMENT_NAMES[s - 1] for s in segments_around(level, np.deg2rad(np.array(degrees)))]


def test_six_segments_of_60_degrees_follow_from_the_septum_to_the_anterior_wall() -> None:
    found = names_at(Level.BASAL, 1, 59, 61, 119, 121, 179, 181, 239, 241, 299, 301, 359)
    assert found == [
        f"basal {name}"
        for name in ("anteroseptal", "anterior", "anterolateral", "inferolateral", "inferior", "inferoseptal")
        for _ in range(2)
    ]
    assert names_at(Level.MID, 30, -30) == ["mid anteroseptal", "mid inferoseptal"]


def test_four_segments_of_90_degrees_at_the_apex() -> None:
    found = names_at(Level.APICAL, -44, 44, 46, 134, 136, 224, 226, 314)
    assert found == [f"apical {name}" for name in ("septal", "anterior", "lateral", "inferior") for _ in range(2)]


def test_thirds_are_of_the_length_that_shows_muscle_all_round() -> None:
    shows = np.array([False, *[True] * 10, False])
    found = levels_of(10.0 * np.arange(12), np.full(12, 10.0), shows)
    assert found == (None, *[Level.BASAL] * 3, *[Level.MID] * 4, *[Level.APICAL] * 3, None)


def test_thirds_are_lengths_not_numbers_of_slices() -> None:
    # Dense at the base, sparse at the apex: faces at -2 and 64 mm.
    positions, extents = np.array([0.0, 4, 8, 12, 28, 52]), np.array([4.0, 4, 4, 10, 20, 24])
    found = levels_of(positions, extents, np.ones(6, dtype=bool))
    assert found == (*[Level.BASAL] * 4, Level.MID, Level.APICAL)


def test_a_slice_without_a_ring_between_others_keeps_its_third() -> None:
    found = levels_of(10.0 * np.arange(3), np.full(3, 10.0), np.array([True, False, True]))
    assert found == (Level.BASAL, Level.MID, Level.APICAL)


def test_one_slice_is_mid_ventricular_and_none_has_no_level() -> None:
    assert levels_of(np.zeros(1), np.ones(1), np.array([True])) == (Level.MID,)
    assert levels_of(np.zeros(1), np.ones(1), np.array([False])) == (None,)


def test_which_way_round_does_not_depend_on_how_the_image_is_stored() -> None:
    assert sense_of(stack(RIGHT, DOWN), apex_first=False) == 1
    assert sense_of(stack(-RIGHT, DOWN), apex_first=False) == -1  # mirrored
    assert sense_of(stack(DOWN, RIGHT), apex_first=False) == -1  # transposed
    assert sense_of(stack(-DOWN, RIGHT), apex_first=False) == 1  # turned
    assert sense_of(stack(RIGHT, DOWN)[::-1], apex_first=True) == 1


def test_without_an_orientation_the_image_is_as_scanners_show_it() -> None:
    left, back, up = np.eye(3)
    assert sense_of(stack(-left, -back, up), apex_first=False) == 1
    assert sense_of(stack(-RIGHT, DOWN, n=1), apex_first=False) == 1


@pytest.mark.parametrize("gap_mm", [0.0, 1.0])
def test_insertions_are_the_ends_of_the_contact(gap_mm: float) -> None:
    labels = heart_in_a_slice(120, 250, gap_mm)  # septum on the left, 250 degrees is up
    found = find_insertions(labels, ring_of(labels), (1.0, 1.0), sense=1)
    assert found is not None
    assert angle_of(found.anterior_yx) == pytest.approx(250, abs=5)
    assert angle_of(found.inferior_yx) == pytest.approx(120, abs=5)
    mirrored = find_insertions(labels, ring_of(labels), (1.0, 1.0), sense=-1)
    assert mirrored == Insertions(found.inferior_yx, found.anterior_yx)


def test_the_contact_may_cross_the_direction_of_x() -> None:
    labels = heart_in_a_slice(300, 60)
    found = find_insertions(labels, ring_of(labels), (1.0, 1.0), sense=1)
    assert found is not None
    assert angle_of(found.anterior_yx) == pytest.approx(60, abs=5)
    centre = np.array([50.0, 50.0])
    assert np.rad2deg(found.septum_angle(centre, (1.0, 1.0), 1)) % 360 == pytest.approx(0, abs=3) or np.rad2deg(
        found.septum_angle(centre, (1.0, 1.0), 1)
    ) % 360 == pytest.approx(360, abs=3)


def test_a_break_in_the_contact_is_bridged() -> None:
    labels = heart_in_a_slice(120, 250)
    labels[45:51, :30][labels[45:51, :30] == Structure.RV_CAVITY] = Structure.BACKGROUND
    found = find_insertions(labels, ring_of(labels), (1.0, 1.0), sense=1)
    assert found is not None
    assert angle_of(found.anterior_yx) == pytest.approx(250, abs=5)


def test_an_rv_that_hardly_touches_does_not_tell_where_the_septum_is() -> None:
    for labels in (heart_in_a_slice(120, 145), heart_in_a_slice(120, 250, gap_mm=5.0)):
        assert find_insertions(labels, ring_of(labels), (1.0, 1.0), sense=1) is None


@pytest.mark.parametrize("sense", [1, -1])
def test_the_septum_lies_half_way_between_the_insertions(sense: int) -> None:
    def at(degrees: float) -> tuple[float, float]:  # pixels of 2 mm (y) and 1 mm (x), about (40, 60) mm
        angle = np.deg2rad(degrees)
        return float(60 + 30 * np.sin(angle)) / 2, float(40 + 30 * np.cos(angle))

    insertions = Insertions(at(180 + 70 * sense), at(180 - 50 * sense))
    found = np.rad2deg(insertions.septum_angle(np.array([40.0, 60.0]), (2.0, 1.0), sense)) % 360
    assert found == pytest.approx(180 + 10 * sense)
