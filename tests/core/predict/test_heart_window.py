"""The window around the heart: learnt from whole frames, left when the heart leaves it."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.predict.heart_window import MARGIN, RIM, HeartWindow, scouts

Array = np.ndarray


def showing(*boxes: tuple[slice, slice], size: tuple[int, int] = (100, 80), share: float = 1.0) -> Array:
    """Probabilities (1, c, x, y, z) of a heart in boxes, on the second of two slices."""
    found = np.zeros((1, 4, *size, 2), dtype=np.float32)
    for box in boxes:
        found[0, 3, *box, 1] = share
    found[:, 0] = 1 - found[:, 3]
    return found


def test_the_window_is_the_box_of_all_that_was_seen_with_a_margin() -> None:
    heart = HeartWindow((100, 80))
    assert heart.region is None  # nothing seen: everything
    heart.see(showing((slice(40, 50), slice(30, 40))))
    heart.see(showing((slice(45, 60), slice(5, 35))))
    assert heart.region == (slice(40 - MARGIN, 60 + MARGIN), slice(0, 40 + MARGIN))


def test_a_window_of_nearly_everything_is_everything() -> None:
    heart = HeartWindow((100, 80))
    heart.see(showing((slice(10, 95), slice(10, 70))))
    assert heart.region is None


@pytest.mark.parametrize("share", [1.0, 0.15])
def test_heart_in_the_rim_is_not_held(share: float) -> None:
    heart, region = HeartWindow((100, 80)), (slice(30, 60), slice(0, 50))
    inside = showing((slice(RIM, 30 - RIM), slice(0, 50 - RIM)), size=(30, 50), share=share)
    assert heart.holds(inside, region)  # it may touch the border of the image
    for reaching in ((slice(0, 2), slice(9, 10)), (slice(29, 30), slice(9, 10)), (slice(9, 10), slice(48, 49))):
        assert not heart.holds(showing(reaching, size=(30, 50), share=share), region)


def test_scouts_are_spread_over_the_beat() -> None:
    assert scouts(25) == [0, 8, 16]
    assert [scouts(n) for n in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]
