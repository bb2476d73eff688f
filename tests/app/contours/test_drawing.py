"""Contours and label of a slice: one from the other without drift, and which curve yields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cinema_app.contours.curve import Contour, feet_on
from cinema_app.contours.drawing import curves_of, inside, painted, settled, shown_in_full, written
from cinema_app.contours.fitting import MAX_POINTS, contour_of, drawn, pulled
from cinema_app.contours.interpolation import between
from cinema_core.anatomy import Structure, outside_of
from cinema_core.io.contours import Outline
from cinema_core.phantom import PhantomStudy

ENDO, EPI, RV = Outline.LV_ENDO, Outline.LV_EPI, Outline.RV_ENDO
MOST_MOVED_PX = 0.3


def acdc_slices(data: Path) -> Iterator[np.ndarray]:
    """Every slice of the expert's labels of some patients, with all three structures on it."""
    for path in sorted((data / "acdc").glob("*/*_gt.nii.gz"))[::20]:
        labels = np.asarray(nib.load(path).dataobj).astype(np.uint8).transpose(2, 1, 0)
        yield from (mask for mask in labels if len(np.unique(mask)) == 4)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def moved(before: Contour, after: Contour) -> float:
    """Root mean square distance between two curves in pixels, looked at from both."""
    off = [feet_on(one.outline, other.outline)[1] for one, other in ((before, after), (after, before))]
    return float(np.sqrt((np.concatenate(off) ** 2).mean()))


def with_mask_of(shape: tuple[int, int], middle: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.indices(shape)
    return np.asarray(np.hypot(y - middle[0], x - middle[1]) < radius)


# ------------------------------------------------------------------ one truth


def test_curves_of_an_expert_lie_on_the_labels_with_few_points(shared_data: Path) -> None:
    found = [(mask, curves_of(mask)) for mask in acdc_slices(shared_data)]
    assert len(found) > 15
    for _, curves in found:
        assert all(len(curve.points) <= MAX_POINTS for curve in curves.values())
    agreement = {
        structure: np.mean(
            [dice(painted(curves, mask.shape) == structure, mask == structure) for mask, curves in found]
        )
        for structure in (1, 2, 3)
    }
    assert agreement[Structure.LV_CAVITY] > 0.985
    assert agreement[Structure.LV_MYOCARDIUM] > 0.965
    assert agreement[Structure.RV_CAVITY] > 0.975


def test_contour_to_label_to_contour_moves_less_than_a_third_of_a_pixel(shared_data: Path) -> None:
    for mask in acdc_slices(shared_data):
        for curve in curves_of(mask).values():
            again = contour_of(inside(curve, mask.shape))
            assert again is not None
            assert moved(curve, again) < MOST_MOVED_PX


def test_pulls_to_and_fro_leave_the_contour_where_it_was(shared_data: Path) -> None:
    rng = np.random.default_rng(0)
    for mask in acdc_slices(shared_data):
        for before in curves_of(mask).values():
            grip = before.outline[rng.integers(len(before.outline))]
            pulled_to = grip + 3 * (grip - before.centre) / np.linalg.norm(grip - before.centre)
            after = before
            for _ in range(4):
                after = pulled(pulled(after, grip, pulled_to, reach=10.0), pulled_to, grip, reach=10.0)
            assert moved(before, after) < MOST_MOVED_PX
            assert after.area == pytest.approx(before.area, abs=10)


def test_ten_ways_there_and_back_neither_shrink_nor_wander(phantom_study: PhantomStudy) -> None:
    mask = phantom_study.labels[0, 2]
    for first in curves_of(mask).values():
        curve = first
        for _ in range(10):
            again = contour_of(inside(curve, mask.shape))
            assert again is not None
            curve = again
        assert curve.area == pytest.approx(first.area, rel=0.01)
        assert moved(first, curve) < 0.5


def test_a_label_and_its_curve_have_the_same_area(phantom_study: PhantomStudy) -> None:
    for z in range(1, 5):
        cavity = phantom_study.labels[0, z] == Structure.LV_CAVITY
        found = contour_of(cavity)
        assert found is not None
        assert found.area == pytest.approx(cavity.sum(), rel=0.005)


def test_nothing_is_written_away_from_the_edit(shared_data: Path) -> None:
    mask = next(acdc_slices(shared_data))
    before = curves_of(mask)
    grip = before[ENDO].points[0]
    outward = (grip - before[ENDO].centre) / np.linalg.norm(grip - before[ENDO].centre)
    after = {**before, ENDO: pulled(before[ENDO], grip, grip + 2 * outward, reach=8.0)}
    differ = np.argwhere(written(mask, before, after) != mask)
    assert len(differ) > 5
    assert np.linalg.norm(differ - grip, axis=1).max() < 20


def test_an_edit_to_nothing_new_writes_nothing(shared_data: Path) -> None:
    mask = next(acdc_slices(shared_data))
    curves = curves_of(mask)
    assert np.array_equal(written(mask, curves, curves), mask)


def test_a_curve_that_moves_away_leaves_no_rim_behind(phantom_study: PhantomStudy) -> None:
    mask = phantom_study.labels[0, 2]
    before = curves_of(mask)
    after = {border: curve.shifted(np.array([0.0, 30.0])) for border, curve in before.items()}
    assert np.array_equal(written(mask, before, after), painted(after, mask.shape))


def test_what_an_import_left_open_stays_open(phantom_study: PhantomStudy) -> None:
    mask = phantom_study.labels[0, 2].copy()
    around = outside_of([Structure.LV_CAVITY])
    mask[mask != Structure.LV_CAVITY] = around
    before = curves_of(mask)
    after = {ENDO: before[ENDO].grown(-3.0)}
    result = written(mask, before, after)
    assert set(np.unique(result)) == {Structure.LV_CAVITY, around}
    assert (result == Structure.LV_CAVITY).sum() == pytest.approx(after[ENDO].area, rel=0.02)


def test_a_second_piece_is_told_and_stays(phantom_study: PhantomStudy) -> None:
    mask = phantom_study.labels[0, 2].copy()
    assert shown_in_full(mask, curves_of(mask))
    mask[20:26, 20:26] = Structure.RV_CAVITY
    before = curves_of(mask)
    assert not shown_in_full(mask, before)
    result = written(mask, before, {**before, ENDO: before[ENDO].grown(-2.0)})
    assert (result[20:26, 20:26] == Structure.RV_CAVITY).all()


def test_a_few_pixels_have_no_curve() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10, 10] = Structure.LV_CAVITY
    assert curves_of(mask) == {}


def test_muscle_alone_has_an_epicardium_alone() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[with_mask_of((60, 60), (30, 30), 8)] = Structure.LV_MYOCARDIUM
    assert set(curves_of(mask)) == {EPI}


def test_a_shaky_stroke_becomes_a_smooth_curve_of_its_size() -> None:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 90)
    stroke = 50 + (20 + rng.normal(0, 0.5, 90))[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    curve = drawn(stroke)
    assert curve is not None
    assert curve.area == pytest.approx(np.pi * 400, rel=0.03)
    assert len(curve.points) <= MAX_POINTS


def test_a_stroke_that_encloses_nothing_makes_no_curve() -> None:
    assert drawn(np.array([[5.0, 5.0], [6.0, 6.0]])) is None
    assert drawn(np.array([[5.0, 5.0], [25.0, 5.0], [5.0, 5.0]])) is None


# ------------------------------------------------------------------ which curve yields


@pytest.fixture
def curves(phantom_study: PhantomStudy) -> dict[Outline, Contour]:
    return curves_of(phantom_study.labels[0, 2])


def towards(curve: Contour, border: Contour, by: float, reach: float = 12.0) -> Contour:
    """Pull a curve at the place nearest to another's far side, straight outwards."""
    start = curve.outline[feet_on(border.outline, curve.outline)[1].argmin()]
    return pulled(curve, start, start + by * (start - curve.centre) / np.linalg.norm(start - curve.centre), reach)


def sticks_out(inner: Contour, outer: Contour) -> float:
    out = inner.outline[~outer.contains(inner.outline)]
    return float(feet_on(outer.outline, out)[1].max()) if len(out) else 0.0


def test_curves_of_one_label_do_not_push_each_other(curves: dict[Outline, Contour]) -> None:
    for border in Outline:
        assert settled(curves, border) == curves


def test_the_epicardium_gives_way_to_the_endocardium_in_hand(curves: dict[Outline, Contour]) -> None:
    pulled = towards(curves[ENDO], curves[EPI], by=14.0)
    assert sticks_out(pulled, curves[EPI]) > 3
    result = settled({**curves, ENDO: pulled}, ENDO)
    assert result[ENDO] is pulled
    assert sticks_out(pulled, result[EPI]) < 0.8
    assert result[EPI].area > curves[EPI].area


def test_the_endocardium_gives_way_to_the_epicardium_in_hand(curves: dict[Outline, Contour]) -> None:
    small = curves[EPI].grown(-12.0)
    result = settled({**curves, EPI: small}, EPI)
    assert result[EPI] is small
    assert sticks_out(result[ENDO], small) < 0.8


def test_what_need_not_yield_keeps_its_points(curves: dict[Outline, Contour]) -> None:
    result = settled({**curves, ENDO: towards(curves[ENDO], curves[EPI], by=14.0)}, ENDO)
    kept = sum((point == curves[EPI].points).all(axis=1).any() for point in result[EPI].points)
    assert kept >= len(curves[EPI].points) // 2


@pytest.mark.parametrize("held", [EPI, RV])
def test_the_rv_gives_way_to_the_muscle_whichever_is_in_hand(curves: dict[Outline, Contour], held: Outline) -> None:
    apart = curves[RV].centre - curves[EPI].centre
    by = 8 * apart / np.linalg.norm(apart) * (1 if held is EPI else -1)
    result = settled({**curves, held: curves[held].shifted(by)}, held)
    assert sticks_out(result[EPI], curves[EPI].shifted(by if held is EPI else by * 0)) < 1e-9
    within = result[RV].outline[result[EPI].contains(result[RV].outline)]
    assert len(within) == 0 or feet_on(result[EPI].outline, within)[1].max() < 1
    assert result[RV].area < curves[RV].area


def test_a_curve_of_which_nothing_is_left_goes(curves: dict[Outline, Contour]) -> None:
    result = settled({EPI: curves[EPI], RV: curves[EPI].scaled(0.5)}, EPI)
    assert set(result) == {EPI}


# ------------------------------------------------------------------ slices in between


def test_a_cone_is_filled_in_between(phantom_study: PhantomStudy) -> None:
    first, last = np.zeros((2, 80, 80), np.uint8)
    for mask, middle, radius in ((first, (36, 40), 20), (last, (44, 40), 10)):
        mask[with_mask_of((80, 80), middle, radius + 5)] = Structure.LV_MYOCARDIUM
        mask[with_mask_of((80, 80), middle, radius)] = Structure.LV_CAVITY
    made = between(first, last, 0.5)
    assert dice(made == Structure.LV_CAVITY, with_mask_of((80, 80), (40, 40), 15)) > 0.97
    assert dice(made >= 2, with_mask_of((80, 80), (40, 40), 20)) > 0.97


def test_ends_are_what_they_are(phantom_study: PhantomStudy) -> None:
    first, last = phantom_study.labels[0, 1], phantom_study.labels[0, 3]
    for part, expected in ((0.0, first), (1.0, last)):
        made = between(first, last, part)
        assert all(dice(made == k, expected == k) > 0.97 for k in (1, 2, 3))


def test_a_structure_on_one_side_reaches_half_way(phantom_study: PhantomStudy) -> None:
    empty = np.zeros_like(phantom_study.labels[0, 2])
    assert between(phantom_study.labels[0, 2], empty, 0.4).any()
    assert not between(phantom_study.labels[0, 2], empty, 0.6).any()
