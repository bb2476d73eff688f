"""The basal slice in or out, against ventricles that are cylinders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, View
from cinema_core.measure.base import basal_slice, ejection_fraction_with, left_out, taken_in

LV, MYO, RV = Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.RV_CAVITY


@pytest.fixture
def cine() -> Cine:
    return Cine("sax", np.zeros((2, 5, 12, 12), np.int16), Geometry.from_affine(np.diag([1, 1, 10, 1]), 5), View.SAX)


@pytest.fixture
def labels() -> np.ndarray:
    """LV of 16 pixels on slices 1 to 4 at ED, of 9 on slices 2 to 4 at ES; RV of 10 on slices 0 to 4."""
    labels = np.zeros((2, 5, 12, 12), np.uint8)
    labels[0, 1:, 3:9, 3:9] = MYO
    labels[0, 1:, 4:8, 4:8] = LV
    labels[1, 2:, 3:9, 3:9] = MYO
    labels[1, 2:, 4:7, 4:7] = LV
    labels[:, :, 0, :10] = RV
    return labels


def test_the_base_is_where_the_stack_begins(labels: np.ndarray, cine: Cine) -> None:
    assert [basal_slice(labels, cine, t, LV) for t in (0, 1)] == [1, 2]
    assert basal_slice(labels, cine, 0, RV) == 0
    assert basal_slice(labels[:, ::-1], replace(cine, apex_first=True), 0, LV) == 3
    assert basal_slice(np.zeros_like(labels), cine, 0, LV) is None


def test_leaving_a_slice_out_at_ed_lowers_ef_by_what_it_holds(labels: np.ndarray, cine: Cine) -> None:
    assert ejection_fraction_with(labels, cine, LV, 0, 1, {}) == pytest.approx(100 * (64 - 27) / 64)
    out = {(0, 1): left_out(labels[0, 1], LV)}
    assert ejection_fraction_with(labels, cine, LV, 0, 1, out) == pytest.approx(100 * (48 - 27) / 48)
    assert ejection_fraction_with(labels, cine, RV, 0, 1, out) == pytest.approx(0.0)


def test_the_lv_leaves_with_its_muscle_and_the_rv_stays(labels: np.ndarray) -> None:
    mask = left_out(labels[0, 1], LV)
    assert set(np.unique(mask)) == {0, RV}
    assert set(np.unique(left_out(labels[0, 1], RV))) == {0, MYO, LV}


def test_what_comes_back_does_not_cover_what_is_drawn_now(labels: np.ndarray) -> None:
    earlier = labels[0, 1]
    now = left_out(earlier, LV)
    now[5, 5] = RV
    back = taken_in(now, earlier, LV)
    assert back[5, 5] == RV
    assert (back != earlier).sum() == 1
