"""Structures that a study's reader left out are not taught away; those that are truly absent are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import TrainingCase
from cinema_core.learn.bench import Bench, _spare_unlabelled_structures
from cinema_core.learn.measuring import Opinion
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.learn.windows import Window, windows_of
from cinema_core.models.zoo import LoadedModel, short_axis_grid
from cinema_core.progress import CancelToken

Make = Callable[..., TrainingCase]
RV = Structure.RV_CAVITY


def without(case: TrainingCase, structure: Structure) -> TrainingCase:
    """What a reader leaves who draws all but one structure."""
    return replace(case, labels=np.where(case.labels == structure, 0, case.labels).astype(np.uint8))


@pytest.fixture
def cut(base: LoadedModel) -> Callable[[Sequence[TrainingCase]], list[Window]]:
    return lambda cases: [window for case in cases for window in windows_of(case, short_axis_grid(base))]


def truth_of(windows: Sequence[Window]) -> list[Opinion]:
    """Answers of a base that draws what the windows' labels say."""
    return [Opinion(window.sample.labels.numpy().copy(), 0.0) for window in windows]


def unknown(window: Window) -> int:
    return int((window.sample.labels == UNLABELLED).sum())


def test_a_study_whose_reader_left_out_the_rv_keeps_it_though_another_has_one(make_case: Make, cut: Any) -> None:
    cases = [make_case("a"), make_case("b"), make_case("c")]
    base = truth_of(cut(cases))
    windows = cut([cases[0], *(without(case, RV) for case in cases[1:])])
    spared, notes = _spare_unlabelled_structures(windows, base)
    assert notes == [
        "RV cavity is in none of the labels of 2 studies, though the base model sees it; there it was left as the base "
        "model draws it."
    ]
    for before, after, opinion in zip(windows, spared, base, strict=True):
        if before.case.study_id == "a":
            assert torch.equal(after.sample.labels, before.sample.labels)
        else:
            left = torch.from_numpy(opinion.labels == RV) & (before.sample.labels == 0)
            assert bool(left.any())
            assert bool((after.sample.labels[left] == UNLABELLED).all())
            assert torch.equal(after.sample.labels[~left], before.sample.labels[~left])


def test_a_false_rv_that_the_reader_took_away_is_taught_away(make_case: Make, cut: Any) -> None:
    cases = [make_case("a"), without(make_case("b", slices=(3,)), RV)]
    windows = cut(cases)
    base = truth_of(windows)
    usual = int(np.median([(w.sample.labels == RV).sum() for w in windows if w.case.study_id == "a"]))
    false = base[-1].labels
    false[tuple(np.argwhere(false == 0)[: usual // 2 - 1].T)] = RV
    spared, notes = _spare_unlabelled_structures(windows, base)
    assert notes == []
    assert [unknown(window) for window in spared] == [unknown(window) for window in windows]
    false[tuple(np.argwhere(false == 0)[:2].T)] = RV  # and large enough to be a whole one
    spared, notes = _spare_unlabelled_structures(windows, base)
    assert len(notes) == 1
    assert unknown(spared[-1]) - unknown(windows[-1]) == int((base[-1].labels == RV).sum())


def test_a_study_that_has_it_on_some_slice_or_phase_means_its_background(make_case: Make, cut: Any) -> None:
    whole = [make_case("a", t) for t in (0, 2)]
    base = truth_of(cut(whole))
    windows = cut([whole[0], without(whole[1], RV)])
    spared, notes = _spare_unlabelled_structures(windows, base)
    assert notes == []
    assert all(torch.equal(a.sample.labels, b.sample.labels) for a, b in zip(spared, windows, strict=True))


def test_the_order_of_the_cases_does_not_matter(make_case: Make, cut: Any) -> None:
    cases = [make_case("a"), make_case("b", slices=(1, 2, 3)), make_case("c"), make_case("d", slices=(3,))]
    base = truth_of(cut(cases))
    windows = cut([*cases[:2], *(without(case, RV) for case in cases[2:])])
    spared, notes = _spare_unlabelled_structures(windows, base)
    backwards, same = _spare_unlabelled_structures(windows[::-1], base[::-1])
    assert notes == same != []
    assert all(torch.equal(x.sample.labels, y.sample.labels) for x, y in zip(spared, backwards[::-1], strict=True))


def test_what_was_left_out_has_no_say_in_the_loss_of_a_run(
    make_case: Make, base: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run learns from windows that say nothing where the structure was left out."""
    windows = [w for case in (make_case("a"), make_case("b", 1)) for w in windows_of(case, short_axis_grid(base))]
    answers = truth_of(windows)
    monkeypatch.setattr("cinema_core.learn.bench.opinions", lambda *_args, **_more: answers)
    settings = FineTuneSettings(batch_size=2, device="cpu", base_weight=0.0)
    bench = Bench.set_up([make_case("a"), without(make_case("b", 1), RV)], base, settings, CancelToken())
    left = [
        (w.sample.labels == UNLABELLED).numpy() & (o.labels == RV) for w, o in zip(bench.windows, answers, strict=True)
    ]
    assert [bool(part.any()) for part in left] == [w.case.study_id == "b" for w in bench.windows]
    assert "RV cavity is in none of the labels of 1 study" in bench.notes[0]
