"""Where insertion points are suggested, and how those of the reader are told."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.measure.insertions import suggested_insertions
from cinema_core.measure.segments import Insertions
from cinema_core.measure.wall import METHOD, wall_measures
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom

Z = 3


@pytest.fixture(scope="module")
def heart() -> PhantomStudy:
    return make_phantom(HeartParameters(n_slices=8, n_phases=4), seed=1)


def without_rv(heart: PhantomStudy, *slices: int) -> np.ndarray:
    labels = heart.labels[0].copy()
    for z in slices:
        labels[z][labels[z] == Structure.RV_CAVITY] = Structure.BACKGROUND
    return labels


def away_mm(points: Insertions, others: Insertions, heart: PhantomStudy) -> float:
    pairs = ((points.anterior_yx, others.anterior_yx), (points.inferior_yx, others.inferior_yx))
    step = np.array(heart.cine.geometry.pixel_spacing_mm)
    return max(float(np.linalg.norm((np.array(one) - other) * step)) for one, other in pairs)


def test_they_begin_where_those_of_the_nearest_slice_are(heart: PhantomStudy) -> None:
    found = wall_measures(heart.labels, heart.cine, 0)
    truth = found.insertions[Z]
    assert truth is not None
    known = tuple(None if z == Z else points for z, points in enumerate(found.insertions))
    suggested = suggested_insertions(without_rv(heart, Z), heart.cine, Z, known)
    assert suggested is not None
    assert away_mm(suggested, truth, heart) < 12


def test_without_any_they_lie_on_both_sides_of_the_rv(heart: PhantomStudy) -> None:
    truth = wall_measures(heart.labels, heart.cine, 0).insertions[Z]
    assert truth is not None
    suggested = suggested_insertions(without_rv(heart, Z), heart.cine, Z, (None,) * 8)
    assert suggested is not None
    assert away_mm(suggested, truth, heart) < 25  # the right one for anterior, and on the right side


def test_without_an_rv_the_septum_is_taken_to_be_at_the_left(heart: PhantomStudy) -> None:
    labels = without_rv(heart, *range(8))
    suggested = suggested_insertions(labels, heart.cine, Z, (None,) * 8)
    assert suggested is not None
    middle = np.argwhere(labels[Z] == Structure.LV_CAVITY).mean(axis=0)
    assert max(suggested.anterior_yx[1], suggested.inferior_yx[1]) < middle[1]
    measured = wall_measures(np.stack([labels] * 4), heart.cine, 0, insertions={Z: suggested})
    assert np.isfinite(measured.thickness_mm[0, :16]).all()


def test_a_slice_without_a_wall_has_none(heart: PhantomStudy) -> None:
    labels = np.zeros_like(heart.labels[0])
    assert suggested_insertions(labels, heart.cine, Z, (None,) * 8) is None


def test_those_of_the_reader_are_named_with_their_slices(heart: PhantomStudy) -> None:
    found = wall_measures(heart.labels, heart.cine, 0)
    assert found.description == METHOD and found.set_by_reader == ()
    points = found.insertions[Z]
    assert points is not None
    one = wall_measures(heart.labels, heart.cine, 0, insertions={Z: points})
    assert one.description == f"{METHOD}; insertion points of the RV set by the reader on slice 4"
    two = wall_measures(heart.labels, heart.cine, 0, insertions={Z: points, Z + 1: points})
    assert two.description.endswith("on slices 4, 5")
