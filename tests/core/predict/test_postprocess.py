"""Islands go, hearts stay."""

from __future__ import annotations

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.predict.postprocess import label_frame
from cinema_core.predict.uncertainty import doubt

SPACING = (1.25, 1.25)


def probabilities_of(labels: np.ndarray, second: Structure = Structure.BACKGROUND) -> np.ndarray:
    """0.7 for the label, 0.2 for the second choice, the rest spread."""
    found = np.full((4, *labels.shape), 0.05, dtype=np.float32)
    found[second] = 0.2
    np.put_along_axis(found, labels[None].astype(int), 0.7, axis=0)
    return found / found.sum(axis=0)


@pytest.fixture
def heart() -> np.ndarray:
    labels = np.zeros((4, 80, 80), dtype=np.uint8)
    y, x = np.mgrid[:80, :80]
    labels[:, (y - 40) ** 2 + (x - 45) ** 2 < 18**2] = Structure.LV_MYOCARDIUM
    labels[:, (y - 40) ** 2 + (x - 45) ** 2 < 12**2] = Structure.LV_CAVITY
    labels[:, 30:50, 12:25] = Structure.RV_CAVITY
    return labels


def test_a_clean_heart_is_not_touched(heart: np.ndarray) -> None:
    np.testing.assert_array_equal(label_frame(probabilities_of(heart), SPACING), heart)


def test_a_second_cavity_takes_the_next_likeliest_structure(heart: np.ndarray) -> None:
    seen = heart.copy()
    seen[1, 35:38, 15:18] = Structure.LV_CAVITY  # within the RV
    found = label_frame(probabilities_of(seen, second=Structure.RV_CAVITY), SPACING)
    np.testing.assert_array_equal(found, heart)


def test_a_speck_of_rv_far_away_goes(heart: np.ndarray) -> None:
    seen = heart.copy()
    seen[0, 2:4, 2:4] = Structure.RV_CAVITY
    np.testing.assert_array_equal(label_frame(probabilities_of(seen), SPACING), heart)


def test_an_outflow_tract_apart_from_the_rv_stays(heart: np.ndarray) -> None:
    seen = heart.copy()
    seen[0, 8:20, 30:42] = Structure.RV_CAVITY
    np.testing.assert_array_equal(label_frame(probabilities_of(seen), SPACING), seen)


def test_an_apex_shifted_by_a_breath_hold_stays(heart: np.ndarray) -> None:
    seen = heart.copy()
    seen[3][seen[3] == Structure.LV_CAVITY] = Structure.LV_MYOCARDIUM
    seen[3, 39:42, 58:60] = Structure.LV_CAVITY  # 1 pixel beside the cavity of the slice above
    assert (label_frame(probabilities_of(seen), SPACING)[3] == Structure.LV_CAVITY).sum() == 6


def test_where_the_model_saw_nothing_is_background() -> None:
    assert not label_frame(np.zeros((4, 2, 10, 10), dtype=np.float32), SPACING).any()


def test_uncertainty_is_zero_without_heart_and_one_without_idea() -> None:
    probabilities = np.zeros((4, 2, 40, 40), dtype=np.float32)
    probabilities[0, 0] = 1
    probabilities[:, 1] = 0.25
    assert doubt(probabilities, 1.0)[0] == pytest.approx([0, 1], abs=1e-6)


def test_a_few_doubtful_pixels_do_not_make_a_doubtful_slice() -> None:
    probabilities = np.zeros((4, 1, 40, 40), dtype=np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 0, :3] = 0.25
    assert doubt(probabilities, 1.0)[0][0] == pytest.approx(0.03)


def test_each_structure_has_its_own_uncertainty() -> None:
    """RV certain, muscle doubtful, no LV: what is not seen is no doubt."""
    probabilities = np.zeros((4, 1, 40, 40), dtype=np.float32)
    probabilities[0] = 1
    probabilities[:, 0, :20, :20] = np.array([0, 1, 0, 0])[:, None, None]
    probabilities[:, 0, 20:, 20:] = np.array([0.5, 0, 0.5, 0])[:, None, None]
    assert doubt(probabilities, 1.0)[1][0] == pytest.approx([0, 0.5, 0], abs=1e-6)
