"""Agreement: against MONAI, and by hand where MONAI has no answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.surface_distance import compute_average_surface_distance

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.errors import LabelError
from cinema_core.measure.agreement import dice, hd95_mm, mean_surface_distance_mm

LV = Structure.LV_CAVITY


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    z, y, x = np.mgrid[:8, :50, :60]
    truth = np.where((z - 4) ** 2 * 9 + (y - 25) ** 2 + (x - 30) ** 2 < 15**2, LV, 0).astype(np.uint8)
    drawn = np.where((z - 4) ** 2 * 9 + (y - 22) ** 2 / 1.3 + (x - 33) ** 2 < 16**2, LV, 0).astype(np.uint8)
    return drawn, truth


def test_dice_is_monais(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = (torch.from_numpy(mask == LV)[None, None] for mask in pair)
    assert dice(*pair, LV) == pytest.approx(float(compute_dice(drawn, truth)))


def test_hd95_is_monais(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = (torch.from_numpy(mask == LV)[None, None] for mask in pair)
    spacing = (8.0, 1.4, 1.2)
    expected = compute_hausdorff_distance(drawn, truth, include_background=True, percentile=95, spacing=spacing)
    assert hd95_mm(*pair, LV, spacing) == pytest.approx(float(expected), abs=1e-3)


def test_hd95_is_monais_where_a_structure_touches_the_border() -> None:
    rng = np.random.default_rng(5)
    drawn, truth = (np.where(rng.random((4, 12, 12)) < share, LV, 0).astype(np.uint8) for share in (0.5, 0.1))
    masks = (torch.from_numpy(mask == LV)[None, None] for mask in (drawn, truth))
    spacing = (10.0, 1.5, 1.5)
    expected = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
    assert hd95_mm(drawn, truth, LV, spacing) == pytest.approx(float(expected), abs=1e-3)


def test_mean_surface_distance_is_monais(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = (torch.from_numpy(mask == LV)[None, None] for mask in pair)
    spacing = (8.0, 1.4, 1.2)
    expected = compute_average_surface_distance(drawn, truth, include_background=True, symmetric=True, spacing=spacing)
    assert mean_surface_distance_mm(*pair, LV, spacing) == pytest.approx(float(expected), abs=1e-3)


def test_mean_surface_distance_of_a_grown_line_is_by_hand() -> None:
    truth, drawn = np.zeros((1, 1, 30), np.uint8), np.zeros((1, 1, 30), np.uint8)
    truth[..., 5:15], drawn[..., 5:17] = LV, LV
    # Without a neighbour above and below every voxel is surface: two of 22 lie 1 and 2 columns away.
    assert mean_surface_distance_mm(drawn, truth, LV, (8.0, 1.0, 1.5)) == pytest.approx((1.5 + 3.0) / 22)


def test_hd95_of_a_shifted_square_is_the_shift() -> None:
    truth, drawn = np.zeros((2, 30, 30), np.uint8), np.zeros((2, 30, 30), np.uint8)
    truth[:, 5:15, 5:15] = LV
    drawn[:, 5:15, 9:19] = LV  # 4 columns of 1.5 mm
    assert hd95_mm(drawn, truth, LV, (8.0, 1.0, 1.5)) == pytest.approx(6.0)


def test_other_structures_do_not_count(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = (mask.copy() for mask in pair)
    expected = dice(drawn, truth, LV)
    drawn[drawn == 0] = Structure.RV_CAVITY
    assert dice(drawn, truth, LV) == expected


def test_labels_of_different_shapes_are_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = pair
    with pytest.raises(LabelError, match="cannot be compared"):
        dice(drawn, truth[:1], LV)  # numpy would stretch the one slice over all


def test_what_is_unlabelled_does_not_count(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, truth = pair
    truth = truth.copy()
    truth[:4] = UNLABELLED
    assert dice(drawn, truth, LV) == pytest.approx(dice(drawn[4:], truth[4:], LV))


def test_neither_shows_it_is_no_score() -> None:
    empty = np.zeros((2, 5, 5), dtype=np.uint8)
    assert np.isnan(dice(empty, empty, LV)) and np.isnan(hd95_mm(empty, empty, LV, (1, 1, 1)))


def test_missed_altogether_is_zero_and_has_no_distance(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, truth = pair
    empty = np.zeros_like(truth)
    assert dice(empty, truth, LV) == 0 and np.isnan(hd95_mm(empty, truth, LV, (1, 1, 1)))
    assert np.isnan(mean_surface_distance_mm(empty, truth, LV, (1, 1, 1)))
