"""No study is learned from and measured in the same run, and no patient changes sides, however the labels grow."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cinema_core.anatomy import LabelState
from cinema_core.cases import TrainingCase, group_of
from cinema_core.folds import digests_of
from cinema_core.learn import finetune as finetuning
from cinema_core.learn.bench import Bench
from cinema_core.learn.finetune import finetune
from cinema_core.learn.guard import Scope, Validation
from cinema_core.learn.holdout import BLENDS, HeldOut, choose_alpha
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.project import Project, SliceEdit, training_frames

Make = Callable[..., TrainingCase]

SETTINGS = FineTuneSettings(steps=2, fold_min_steps=1, batch_size=2)
ROUNDS = 10


@pytest.fixture
def make_case(make_case: Make) -> Make:
    """Take a phase of the phantom, with other pixels in each study: who shares an image is taken as one patient."""

    def make(study: str = "a", **changes: Any) -> TrainingCase:
        case = make_case(study, **changes)
        return replace(case, image=case.image + zlib.crc32(study.encode()) % 1000)

    return make


class Watch:
    """Writes down, for each run with a fold held out, whom it learned from and whom it was measured on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[tuple[set[tuple[str, str]], set[tuple[str, str]]]] = []
        self._holding_out = False
        true_train, true_opinions, true_hold_out = Bench.train, Bench.opinions_of, finetuning.hold_out

        def train(bench: Bench, windows: Sequence[Any], *rest: Any) -> Any:
            if self._holding_out:
                self.runs.append((_studies(windows), set()))
            return true_train(bench, windows, *rest)

        def opinions_of(bench: Bench, weights: Any, windows: Sequence[Any], **how: Any) -> Any:
            if self._holding_out:
                self.runs[-1][1].update(_studies(windows))
            return true_opinions(bench, weights, windows, **how)

        def hold_out(*everything: Any) -> Any:
            self._holding_out = True
            try:
                return true_hold_out(*everything)
            finally:
                self._holding_out = False

        monkeypatch.setattr(Bench, "train", train)
        monkeypatch.setattr(Bench, "opinions_of", opinions_of)
        monkeypatch.setattr(finetuning, "hold_out", hold_out)

    def take(self) -> list[tuple[set[tuple[str, str]], set[tuple[str, str]]]]:
        taken, self.runs = self.runs, []
        return taken


def _studies(windows: Sequence[Any]) -> set[tuple[str, str]]:
    return {(group_of(window.case), window.case.study_id) for window in windows}


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def label(project: Project, study: str, patient: str, case: TrainingCase) -> None:
    """Let a reader correct one slice of a study, which may be new."""
    shape = (1, *case.image.shape)
    project.add_study(study, study, project.folder.parent / study, "sax", shape, "sax", patient=patient)
    z = case.labelled_slices[0]
    project.record(SliceEdit(study, 0, z, case.labels[z], LabelState.CORRECTED, "brush"))


def test_ten_rounds_of_growing_labels_leak_nothing(
    base: LoadedModel, make_case: Make, tmp_path: Path, watch: Watch
) -> None:
    held_out_with: dict[str, set[frozenset[str]]] = {}
    sides: dict[str, set[int]] = {}
    with Project.open(tmp_path / "test.cinema", create=True) as project:
        label(project, "study-0", "patient-0", make_case())
        for number in range(ROUNDS):
            # A new patient in each round, in no order of the alphabet; in each third a second study of an older one.
            label(project, f"study-{number + 1}", f"patient-{(7 * (number + 1)) % 11}", make_case())
            if number % 3 == 2:
                label(project, f"second-{number}", f"patient-{(7 * (number - 1)) % 11}", make_case())
            cases = [
                make_case(frame.study.study_id, patient=frame.study.patient, labels=frame.labels)
                for frame in training_frames(project)
            ]
            ledger = project.ledger()
            result = finetune(cases, base, SETTINGS, tmp_path / "out", f"v{number}", ledger=ledger)
            runs = watch.take()

            everybody = {(group_of(case), case.study_id) for case in cases}
            assert result.validation is Validation.HELD_OUT
            assert len(runs) == min(3, number + 2)
            for learned, measured in runs:
                assert not learned & measured
                assert not {patient for patient, _ in learned} & {patient for patient, _ in measured}
                assert learned | measured == everybody
            assert sorted(study for _, measured in runs for study in measured) == sorted(everybody)
            assert result.card.lineage["split_ledger"] == digests_of(ledger)
            for _, measured in runs:
                together = {patient for patient, _ in measured}
                for patient in together:
                    sides.setdefault(patient, set()).add(ledger[patient])
                    held_out_with.setdefault(patient, set()).add(frozenset(together))
    assert len(sides) == ROUNDS + 1
    assert all(len(folds) == 1 for folds in sides.values()), "a patient changed its fold"
    for groups in held_out_with.values():  # company only grows: nobody leaves it
        ordered = sorted(groups, key=len)
        assert all(smaller < larger for smaller, larger in pairwise(ordered))


def test_the_ledger_counts_and_not_the_order_of_names(
    base: LoadedModel, make_case: Make, tmp_path: Path, watch: Watch
) -> None:
    ledger = {"a": 2, "b": 0, "c": 2, "somebody else": 1}
    finetune([make_case(name) for name in "abc"], base, SETTINGS, tmp_path, "v001", ledger=ledger)
    assert [{patient for patient, _ in measured} for _, measured in watch.take()] == [{"b"}, {"a", "c"}]


def test_the_same_ledger_gives_the_same_weights_and_figures(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cases = [make_case("a"), make_case("b", t=3), make_case("c", t=2)]

    def tuned(name: str, ledger: Mapping[str, int] | None) -> Any:
        return finetune(cases, base, SETTINGS, tmp_path, name, ledger=ledger)

    one, two = tuned("one", {"a": 0, "b": 0, "c": 1}), tuned("two", {"c": 1, "b": 0, "a": 0, "gone": 2})
    assert one.card.sha256 == two.card.sha256
    assert one.after == two.after
    assert tuned("three", {"a": 0, "b": 1, "c": 1}).card.lineage["split_ledger"] != one.card.lineage["split_ledger"]


def test_without_a_ledger_names_and_seed_decide(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cases = [make_case("a"), make_case("b", t=3), make_case("c", t=2)]
    one = finetune(cases, base, SETTINGS, tmp_path, "one")
    two = finetune(cases[::-1], base, SETTINGS, tmp_path, "two")
    assert one.card.lineage["split_ledger"] == two.card.lineage["split_ledger"]
    assert len(set(one.card.lineage["split_ledger"].values())) == 3


def test_patients_of_one_fold_cannot_be_held_out_and_that_is_said(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    cases = [make_case("a"), make_case("b", t=3)]
    result = finetune(cases, base, SETTINGS, tmp_path, "v001", ledger={"a": 1, "b": 1})
    assert result.validation is Validation.SEEN
    assert any("All labelled patients are of one fold" in note for note in result.notes)
    assert np.isfinite(result.after.loss)


def test_patients_who_share_an_image_are_not_held_out_from_each_other(
    base: LoadedModel, make_case: Make, tmp_path: Path, watch: Watch
) -> None:
    one, other = make_case("a"), make_case("c", t=3)
    again = replace(make_case("b"), image=one.image)
    result = finetune([other, again, one], base, SETTINGS, tmp_path, "v001", ledger={"c": 0, "b": 2, "a": 1})
    runs = watch.take()
    assert sorted(sorted(study for _, study in measured) for _, measured in runs) == [["a", "b"], ["c"]]
    assert not any(learned & measured for learned, measured in runs)
    assert result.card.lineage["n_patients"] == 2
    assert result.card.lineage["split_ledger"] == digests_of({"a": 1, "b": 2, "c": 0})
    assert any("1 of them was taken as another one" in note for note in result.notes)


def test_one_heart_under_two_names_opens_no_project(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    one = make_case("a")
    result = finetune([one, replace(make_case("b"), image=one.image)], base, SETTINGS, tmp_path, "v001")
    assert result.validation is Validation.SEEN
    assert Scope.PROJECT not in result.verdict.offered_scopes
    assert any("One patient is labelled" in note for note in result.notes)


def test_the_runs_are_averaged_with_equal_weight() -> None:
    runs = [{"w": torch.tensor([float(k), 2.0]), "n": torch.tensor(k)} for k in (1, 4, 7)]
    assert HeldOut(0.5).with_run(runs[0]) is runs[0]
    two = HeldOut(0.5, mean_weights=HeldOut(0.5, mean_weights=runs[0], n_runs=1).with_run(runs[1]), n_runs=2)
    assert two.with_run(runs[2])["w"].tolist() == [4.0, 2.0]


def test_the_version_is_the_mean_of_its_runs_taken_back_towards_the_base(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    true_train = Bench.train

    def train(bench: Bench, *rest: Any) -> Any:
        fitted = true_train(bench, *rest)
        kept.append(dict(fitted.weights))
        return fitted

    monkeypatch.setattr(Bench, "train", train)
    result = finetune([make_case(f"s{k}") for k in range(3)], base, SETTINGS, tmp_path / "out", "v")
    assert len(kept) == 4  # three folds and all labels together
    published = zoo.load(result.folder, device="cpu").network.state_dict()
    before = base.network.state_dict()
    for name, value in before.items():
        if value.is_floating_point():
            mean = torch.stack([weights[name] for weights in kept]).mean(0)
            assert torch.allclose(published[name], value + result.alpha * (mean - value), atol=1e-6)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ({0.0: [1.0, 1.0, 1.0, 1.0], 0.45: [0.5, 0.5, 0.5, 0.5]}, BLENDS.usual),  # nothing better
        ({0.0: [0.3, 0.3, 0.3, 0.2], 0.45: [0.39, 0.39, 0.4, 0.38]}, 0.0),  # of two that are better, the one by more
        ({0.0: [0.9, 0.9, 0.9, 0.9], 0.45: [0.3, 0.31, 0.29, 0.3]}, 0.45),
        ({0.45: [0.1, 0.6, 0.3, 0.5]}, BLENDS.usual),  # better on the mean, by less than chance
    ],
)
def test_the_usual_blend_is_taken_unless_held_out_patients_speak_for_another(
    others: dict[float, list[float]], chosen: float
) -> None:
    losses = {BLENDS.usual: [0.4, 0.4, 0.4, 0.4], **others}
    assert choose_alpha(losses, ["a", "b", "c", "d"], BLENDS.usual) == chosen


def test_one_patient_does_not_speak_for_others_however_many_slices_there_are() -> None:
    losses = {BLENDS.usual: [0.4] * 12, 0.45: [0.1] * 12}
    assert choose_alpha(losses, ["a"] * 12, BLENDS.usual) == BLENDS.usual
    # Ten slices of one patient are better, those of the other are not.
    losses[0.45][10:] = [0.4, 0.4]
    assert choose_alpha(losses, ["a"] * 10 + ["b"] * 2, BLENDS.usual) == BLENDS.usual
