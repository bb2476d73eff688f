"""The reader's rules, on studies whose drawings are made up; what a model gains by them is no matter of tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import TrainingCase
from cinema_core.cine import Geometry
from cinema_core.learn.guard import Scope
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.measure.agreement import dice
from training import simulated_reader
from training.simulated_reader import (
    Desk,
    Reader,
    Round,
    Session,
    draw_rounds,
    ejection_fraction_pct,
    is_wrong,
    report,
    session,
    trembling,
)
from training.table import append_row, read_rows

SIZE, SLICES = 48, 5
BASE: Any = SimpleNamespace(device="cpu")


def heart(radius: float) -> np.ndarray:
    """Stack of a ring of muscle around a cavity, (z, y, x)."""
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    plane = np.zeros((SIZE, SIZE), dtype=np.uint8)
    plane[np.hypot(x, y) < radius + 5] = 2
    plane[np.hypot(x, y) < radius] = 3
    return np.repeat(plane[None], SLICES, axis=0)


def study(name: str) -> list[TrainingCase]:
    geometry = Geometry.from_affine(np.diag([1.5, 1.5, 10.0, 1.0]), SLICES)
    image = np.random.default_rng(0).random((SLICES, SIZE, SIZE), dtype=np.float32)
    return [
        TrainingCase(f"{name}-{phase}", name, name, image, heart(radius), geometry, phase)
        for phase, radius in (("ed", 15), ("es", 9))
    ]


@dataclass
class Model:
    """Draws hearts at ES as large as at ED, until it is tuned."""

    good: bool = False

    def __call__(self, cine: Any, model: Any, device: str) -> Any:
        labels = np.stack([heart(15), heart(9 if self.good else 11)])
        return SimpleNamespace(labels=labels, uncertainty=np.zeros(labels.shape[:2], np.float32), mirrors=None)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    drawn = Model()
    monkeypatch.setattr(simulated_reader, "segment_cine", drawn)
    return drawn


def test_reader_corrects_wrong_slices_until_the_ejection_fraction_is_near(model: Model) -> None:
    desk = Desk(Reader.IDEAL, 0, BASE, FineTuneSettings())
    desk.read(study("a"))
    assert 0 < desk.corrected < SLICES  # five points are allowed: not every slice is asked for
    assert desk.corrected <= desk.looked_at
    assert desk.errors_pct[0] <= 5
    kept = [case for case in desk._labelled if case.phase == "es"]
    assert len(kept[0].labelled_slices) >= desk.corrected
    z = kept[0].labelled_slices[0]
    np.testing.assert_array_equal(kept[0].labels[z], heart(9)[z])
    assert (kept[0].labels == UNLABELLED).any()


def test_study_whose_ejection_fraction_is_near_costs_nothing(model: Model) -> None:
    model.good = True
    desk = Desk(Reader.IDEAL, 0, BASE, FineTuneSettings())
    desk.read(study("a"))
    assert (desk.corrected, desk.looked_at, desk._labelled) == (0, 0, [])


def test_noisy_reader_misses_errors_and_ends_when_all_was_looked_at(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_reader, "MISSED_SHARE", 1.0)
    desk = Desk(Reader.NOISY, 0, BASE, FineTuneSettings())
    desk.read(study("a"))
    assert desk.corrected == 0
    assert desk.looked_at == 2 * SLICES
    assert desk.errors_pct[0] > 5


@pytest.mark.parametrize("scope", [Scope.PROJECT, Scope.STUDY, None])
def test_only_a_version_that_the_gate_offers_for_the_project_is_taken(
    scope: Scope | None, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[int] = []
    ledgers: list[dict[str, int]] = [{}]

    def finetune(cases: list[TrainingCase], base: Any, *_: Any, ledger: dict[str, int]) -> Any:
        assert base is BASE  # never from an earlier version
        assert ledger.items() >= ledgers[-1].items()  # who has a fold keeps it
        ledgers.append(dict(ledger))
        taught.append(len(cases))
        return SimpleNamespace(scope=scope, folder=Path("tuned"))

    def load(folder: Path, device: str) -> Any:
        model.good = True
        return SimpleNamespace(device=device)

    monkeypatch.setattr(simulated_reader, "finetune", finetune)
    monkeypatch.setattr(simulated_reader.zoo, "load", load)
    monkeypatch.setattr(simulated_reader, "N_STUDIES", 6)
    monkeypatch.setattr(simulated_reader, "judge_on", lambda cases: lambda _: (float(model.good), len(cases)))
    studies = [study(f"patient{k}") for k in range(7)]
    tuned, rounds = session(Reader.IDEAL, studies, BASE, 0, FineTuneSettings(), tuned=True)
    model.good = False
    plain, plain_rounds = session(Reader.IDEAL, studies, BASE, 0, FineTuneSettings(), tuned=False)
    assert taught == sorted(taught)
    assert [each.n_studies for each in rounds] == [each.n_studies for each in plain_rounds] == [0, 2, 4]
    assert {each.dice for each in plain_rounds} == {0.0}
    assert [each.dice for each in rounds] == [0.0, *[float(scope is Scope.PROJECT)] * 2]
    assert {each.unread_lvef_mae for each in rounds} == {2.0}  # ED and ES of the study that nobody reads
    if scope is Scope.PROJECT:
        assert tuned.n_kept == 2
        assert tuned.corrected < plain.corrected / 2
    else:
        assert (tuned.n_kept, tuned.corrected) == (0, plain.corrected)


def test_small_faults_are_let_pass_and_others_are_not() -> None:
    truth, pixel = heart(12)[0], (1.5, 1.5)
    assert not is_wrong(truth, truth, pixel)
    assert is_wrong(heart(9)[0], truth, pixel)
    assert is_wrong(np.zeros_like(truth), truth, pixel)
    spot = truth.copy()
    spot[2, 2] = 3  # a speck far away: Dice hardly falls, and 95 % of the surface lies where it should
    assert not is_wrong(spot, truth, pixel)


def test_trembling_hand_stays_near_the_border() -> None:
    truth = heart(12)[0]
    drawn = trembling(truth, np.random.default_rng(0))
    assert (drawn != truth).any()
    assert dice(drawn, truth, Structure.LV_CAVITY) > 0.85
    assert not (drawn[np.hypot(*(np.indices(truth.shape) - SIZE / 2)) > 22]).any()


def test_ejection_fraction_of_drawings() -> None:
    assert ejection_fraction_pct(np.stack([heart(10), heart(10)])) == 0
    assert ejection_fraction_pct(np.zeros((2, 1, 4, 4), dtype=np.uint8)) == 0
    assert ejection_fraction_pct(np.stack([heart(16), heart(8)])) == pytest.approx(75, abs=2)


def test_saved_share_is_told_seed_by_seed(tmp_path: Path) -> None:
    held = [
        Session("ideal", tuned, seed, corrected, 20, tuned, 4.0)
        for seed, counts in enumerate([(10, 5), (20, 10)])
        for tuned, corrected in enumerate(counts)
    ]
    for each in held:
        append_row(tmp_path / "sessions.csv", each)
    assert read_rows(tmp_path / "sessions.csv", Session) == held
    (line,) = report(held).splitlines()[2:]
    assert line == "| ideal | 2 | 15.0 | 7.5 | 50 % [50, 50] | 4.0 / 4.0 |"


def test_the_curves_are_drawn_from_all_rounds(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rounds = [
        Round("ideal", tuned, seed, k, 3 * k + seed, 0.8 + 0.01 * k * tuned, 5.0 - 0.1 * k * tuned)
        for tuned in (0, 1)
        for seed in range(3)
        for k in (0, 2, 4)
    ]
    draw_rounds(rounds, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
