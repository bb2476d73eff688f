"""Scars that are too small."""

from __future__ import annotations

import numpy as np

from training.scars import EDEMA, SCAR, without_small_scars

MUSCLE = 3


def muscle() -> np.ndarray:
    return np.full((40, 40, 2), MUSCLE, dtype=np.uint8)


def test_a_small_scar_becomes_what_lies_about_it_and_a_large_one_stays() -> None:
    labels = muscle()
    labels[2:9, 2:9, 0] = SCAR  # 49 pixels
    labels[12:32, 12:32, 0] = SCAR  # 400
    found = without_small_scars(labels)
    assert set(np.unique(found[:9, :9, 0])) == {MUSCLE}
    np.testing.assert_array_equal(found[10:, 10:], labels[10:, 10:])
    assert labels[2, 2, 0] == SCAR  # what was given stays


def test_a_small_scar_within_edema_becomes_edema_and_counts_with_it() -> None:
    labels = muscle()
    labels[5:20, 5:20, 1] = EDEMA  # 225 with the scar
    labels[8:12, 8:12, 1] = SCAR
    found = without_small_scars(labels)
    assert (found[5:20, 5:20, 1] == EDEMA).all()
    labels[5:7, 5:20, 1] = MUSCLE  # 195 are left
    assert (without_small_scars(labels)[..., 1] == MUSCLE).all()


def test_scar_of_enough_pixels_falls_with_too_little_edema_about_it() -> None:
    labels = muscle()
    labels[5:15, 5:15, 0] = SCAR  # 100 pixels: enough scar, too few together
    assert (without_small_scars(labels) == MUSCLE).all()


def test_parts_touch_across_corners_within_a_slice_and_the_border_is_no_harm() -> None:
    labels = muscle()
    labels[0:10, 0:11, 0] = labels[10:20, 11:22, 0] = SCAR  # 2 x 110 at a corner
    assert (without_small_scars(labels) == labels).all()
    apart = muscle()
    apart[0:10, 0:11, 0] = apart[10:20, 11:22, 1] = SCAR
    assert (without_small_scars(apart) == MUSCLE).all()
    assert (without_small_scars(np.full((4, 4, 1), SCAR, dtype=np.uint8)) == SCAR).all()
