"""Contours that follow the motion of a heart of which every phase is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinema_app.contours.propagation import MotionToFollow, propagated, propagated_slices
from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.errors import Cancelled
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom
from cinema_core.progress import CancelToken

Z = 4


@pytest.fixture(scope="module")
def heart() -> PhantomStudy:
    return make_phantom(HeartParameters(n_slices=8, n_phases=10), seed=1)


def motion_of(heart: PhantomStudy, t: int) -> MotionToFollow:
    spacing_mm = heart.cine.geometry.pixel_spacing_mm
    return MotionToFollow("study", Z, t, heart.cine.pixels[:, Z], heart.labels[t, Z], spacing_mm)


def dice(one: np.ndarray, other: np.ndarray, structure: int) -> float:
    return float(
        2 * ((one == structure) & (other == structure)).sum() / ((one == structure).sum() + (other == structure).sum())
    )


@pytest.mark.parametrize("start", [0, 4])
def test_contours_follow_the_heart_through_the_whole_cycle(heart: PhantomStudy, start: int) -> None:
    truth = heart.labels[:, Z]
    found = propagated(motion_of(heart, start))
    assert sorted(found) == [t for t in range(10) if t != start]
    for t, mask in found.items():
        for structure in FOREGROUND:
            assert dice(mask, truth[t], structure) > 0.88
    still = min(dice(truth[start], truth[t], Structure.LV_CAVITY) for t in found)
    assert still < 0.75  # a copy would not do


def test_following_stops_when_asked(heart: PhantomStudy) -> None:
    cancel, told = CancelToken(), []

    def progress(fraction: float, message: str) -> None:
        told.append(fraction)
        if len(told) == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        propagated(motion_of(heart, 0), progress, cancel)
    assert told == pytest.approx([1 / 9, 2 / 9])


def test_several_slices_are_followed_one_after_the_other(heart: PhantomStudy) -> None:
    told = []

    def progress(fraction: float, message: str) -> None:
        told.append((fraction, message))

    one = replace(motion_of(heart, 0), frames=heart.cine.pixels[:3, Z])
    other = replace(one, z=Z + 1, frames=heart.cine.pixels[:3, Z + 1], mask=heart.labels[0, Z + 1])
    found = propagated_slices([one, other], progress)
    assert sorted(found) == [(t, z) for t in (1, 2) for z in (Z, Z + 1)]
    for (t, z), mask in found.items():
        assert dice(mask, heart.labels[t, z], Structure.LV_CAVITY) > 0.9
    assert [fraction for fraction, _ in told] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert told[2][1] == f"Following the motion: slice {Z + 2}, phase 1 of 2"
