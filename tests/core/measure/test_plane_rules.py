"""Rules of one slice against their plain definitions, pixel by pixel, also where a heart reaches the image's edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cinema_core.anatomy import Structure, outside_of
from cinema_core.measure.plane_rules import cut_to_heart, drawn_part, farthest_piece_mm, open_share
from cinema_core.measure.volumes import count_pixels

VALUES = (*Structure, outside_of([Structure.LV_CAVITY]))


@pytest.fixture(params=range(6))
def labels(request: pytest.FixtureRequest) -> np.ndarray:
    """Specks of every value in a part of the image that may touch its edges; shape (t, z, y, x)."""
    rng = np.random.default_rng(request.param)
    labels = np.zeros((2, 3, 17, 23), np.uint8)
    top, left = rng.integers(0, 10), rng.integers(0, 12)
    part = labels[:, :, top : top + rng.integers(3, 17), left : left + rng.integers(3, 17)]
    part[:] = rng.choice(VALUES[: 4 + request.param % 2], size=part.shape)
    return labels


def plain_open_share(plane: np.ndarray, to: Structure | None) -> float:
    border = touched = 0
    for y, x in np.argwhere(plane == Structure.LV_CAVITY):
        for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            is_inside = 0 <= v < plane.shape[0] and 0 <= u < plane.shape[1]
            beside = plane[v, u] if is_inside else Structure.BACKGROUND
            if beside != Structure.LV_CAVITY:
                border += 1
                touched += beside != Structure.LV_MYOCARDIUM if to is None else beside == to
    return touched / border if border else 0.0


@pytest.mark.parametrize("to", [None, Structure.RV_CAVITY])
def test_open_share_counts_sides_of_pixels(labels: np.ndarray, to: Structure | None) -> None:
    for plane in labels.reshape(-1, *labels.shape[2:]):
        assert open_share(plane, to) == plain_open_share(plane, to)
        assert open_share(cut_to_heart(plane), to) == plain_open_share(cut_to_heart(plane), to)


def test_counts_are_those_of_the_whole_image(labels: np.ndarray) -> None:
    expected = [[[int((plane == s).sum()) for s in Structure] for plane in frame] for frame in labels]
    np.testing.assert_array_equal(count_pixels(labels, range(2)), expected)


def test_nothing_is_drawn_outside_the_drawn_part(labels: np.ndarray) -> None:
    rows, columns = drawn_part(labels, [1])
    inside = labels[1][:, rows, columns]
    assert np.count_nonzero(inside) == np.count_nonzero(labels[1])
    for edge in (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]):
        assert edge.any()


def test_labels_without_a_heart_have_no_part() -> None:
    empty = np.zeros((1, 2, 5, 5), np.uint8)
    assert empty[:, :, *drawn_part(empty, [0])].size == 0
    assert cut_to_heart(empty[0, 0]).size == 0
    np.testing.assert_array_equal(count_pixels(empty, [0])[0], [[25, 0, 0, 0]] * 2)


def test_the_farthest_piece_is_as_far_as_its_nearest_pixel(labels: np.ndarray) -> None:
    for plane in labels.reshape(-1, *labels.shape[2:]):
        lv = np.argwhere((plane == Structure.LV_CAVITY) | (plane == Structure.LV_MYOCARDIUM)) * (1.5, 2.0)
        pieces, n = ndimage.label(plane == Structure.RV_CAVITY, np.ones((3, 3)))
        expected = 0.0
        for k in range(1, n + 1) if len(lv) else ():
            rv = np.argwhere(pieces == k) * (1.5, 2.0)
            expected = max(expected, float(np.linalg.norm(rv[:, None] - lv[None], axis=-1).min()))
        assert farthest_piece_mm(plane, (1.5, 2.0)) == pytest.approx(expected)
