"""Agreement: against MONAI, and by hand where MONAI has no answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.measure.agreement import dice, hd95_mm

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
