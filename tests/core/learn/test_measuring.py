"""Ejection fractions of models and readers over the slices that are labelled, against volumes counted by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import TrainingCase
from cinema_core.learn.augment import Sample
from cinema_core.learn.losses import masked_dice_ce
from cinema_core.learn.measuring import Opinion, ejection_fraction_errors, figures, opinions, slice_changes
from cinema_core.learn.windows import Window
from cinema_core.progress import CancelToken

LV, RV = Structure.LV_CAVITY, Structure.RV_CAVITY

Make = Callable[..., TrainingCase]


def plane(lv_px: int, rv_px: int = 0) -> np.ndarray:
    """Label (x, y, 1) with so many pixels of each cavity."""
    flat = np.zeros(20 * 20, np.uint8)
    flat[:lv_px], flat[200 : 200 + rv_px] = LV, RV
    return flat.reshape(20, 20, 1)


def window(case: TrainingCase, z: int, truth: np.ndarray) -> Window:
    image = torch.zeros(truth.shape)
    return Window(Sample(image, torch.from_numpy(truth)), case, ((z, 0),))


def asked(
    make_case: Make, true: dict[str, int], drawn: dict[str, int], slices: tuple[int, ...] = (1, 2, 3), study: str = "a"
) -> tuple[list[Window], list[Opinion]]:
    """One study whose LV has these pixels on every labelled slice, by phase."""
    windows, found = [], []
    for t, (phase, px) in enumerate(true.items()):
        case = make_case(study, t=t, slices=slices, phase=phase)
        for z in slices:
            windows.append(window(case, z, plane(px)))
            found.append(Opinion(plane(drawn[phase]), 0.5))
    return windows, found


class SeesTheFirstColumns(nn.Module):
    """Sure of LV cavity in the first quarter of x, whatever is shown; and of background elsewhere, but less."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        (image,) = views.values()
        logits = torch.zeros((len(image), 4, *image.shape[2:]))
        logits[:, 0] = 1.0
        logits[:, LV, :5] = 9.0
        return {"sax": logits}


def test_the_opinion_is_the_mean_of_the_mirror_images_that_the_model_is_shown(make_case: Make) -> None:
    windows = [window(make_case("a", slices=(1,)), 1, plane(100))]
    network = SeesTheFirstColumns()
    (alone,) = opinions(network, "sax", windows, ((),), CancelToken(), with_probabilities=True)
    (both,) = opinions(network, "sax", windows, ((), (0,)), CancelToken(), with_probabilities=True)
    assert alone.probabilities is not None and both.probabilities is not None
    mean = (alone.probabilities + alone.probabilities.flip(1)) / 2
    assert torch.allclose(both.probabilities, mean, atol=1e-6)
    assert (alone.labels[:5] == LV).all() and not (alone.labels[5:] == LV).any()
    assert (both.labels[:5] == LV).all() and (both.labels[-5:] == LV).all() and not (both.labels[5:-5] == LV).any()
    assert both.loss == pytest.approx(float(masked_dice_ce(mean.log()[None], windows[0].sample.labels[None])), rel=1e-4)


def test_the_error_is_drawn_minus_true_ejection_fraction(make_case: Make) -> None:
    errors = ejection_fraction_errors(*asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 50}))
    assert errors[LV] == pytest.approx([50 - 60])
    assert errors[RV] == []  # the reader drew none


def test_the_figures_hold_the_mean_absolute_error_and_how_many_studies_say(make_case: Make) -> None:
    one = asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 50})
    two = asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 36}, study="b")
    found = figures(one[0] + two[0], one[1] + two[1])
    assert found.ef_error_points == {"lv": pytest.approx((10 + 4) / 2), "rv": None}
    assert found.ef_studies == {"lv": 2, "rv": 0}


def test_only_slices_labelled_at_both_phases_count(make_case: Make) -> None:
    windows, found = asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 50})
    lone = make_case("a", t=0, slices=(1, 2, 3, 4), phase="ed")
    windows.append(window(lone, 4, plane(150)))
    found.append(Opinion(plane(0), 0.5))
    assert ejection_fraction_errors(windows, found)[LV] == pytest.approx([-10])


@pytest.mark.parametrize(
    ("true", "slices"),
    [({"ed": 100}, (1, 2, 3)), ({"ed": 100, "": 40}, (1, 2, 3)), ({"ed": 100, "es": 40}, (1, 2))],
    ids=["no ES", "a phase that is neither", "two slices"],
)
def test_labels_that_do_not_allow_an_ejection_fraction_give_none(
    make_case: Make, true: dict[str, int], slices: tuple[int, ...]
) -> None:
    assert ejection_fraction_errors(*asked(make_case, true, true, slices)) == {LV: [], RV: []}


def test_a_slice_that_is_partly_labelled_does_not_count(make_case: Make) -> None:
    windows, found = asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 40})
    open_somewhere = windows[0].case.labels.copy()
    open_somewhere[1, :5] = UNLABELLED
    case = replace(windows[0].case, labels=open_somewhere)
    windows = [replace(w, case=case) if w.case is windows[0].case else w for w in windows]
    assert ejection_fraction_errors(windows, found)[LV] == []  # two slices are left


def test_a_model_that_draws_nothing_is_as_far_off_as_the_true_value(make_case: Make) -> None:
    errors = ejection_fraction_errors(*asked(make_case, {"ed": 100, "es": 40}, {"ed": 0, "es": 0}))
    assert errors[LV] == pytest.approx([-60])


def test_slices_without_a_distance_have_no_ejection_fraction(make_case: Make) -> None:
    windows, found = asked(make_case, {"ed": 100, "es": 40}, {"ed": 100, "es": 40})
    bare = replace(windows[0].case.geometry, spacing_is_stated=False)
    windows = [replace(w, case=replace(w.case, geometry=bare)) for w in windows]
    assert ejection_fraction_errors(windows, found) == {LV: [], RV: []}


def test_a_changed_slice_is_pictured_around_the_heart_the_right_way_round(make_case: Make) -> None:
    truth = np.zeros((60, 60, 1), np.uint8)
    truth[30:40, 20:24] = LV  # 10 wide (x), 4 high (y)
    shown = window(make_case(slices=(2,)), 2, truth)
    (change,) = slice_changes([shown], [Opinion(truth, 0.1)], [Opinion(np.zeros_like(truth), 0.9)], pixel_mm=3.0)
    rows, columns = np.nonzero(change.truth)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (4, 10)
    assert change.image.shape == change.truth.shape == change.before.shape == change.after.shape
    assert max(change.image.shape) < 30
    assert change.before.any()
    assert not change.after.any()
