from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cinema_core.errors import Cancelled, EngineError
from cinema_core.learn import fit as fitting
from cinema_core.learn.augment import Sample
from cinema_core.learn.fit import Batches, blend, fit, learning_rate_at, optimiser_of
from cinema_core.learn.settings import FineTuneSettings

SETTINGS = FineTuneSettings(learning_rate=0.05, batch_size=2)


class Tiny(nn.Module):
    """One convolution, called as the real models are."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv3d(1, 4, 1)
        self.head = nn.Conv3d(4, 4, (3, 3, 1), padding=(1, 1, 0))
        self.dropout = nn.Dropout(0.1)

    def forward(self, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {view: self.head(self.dropout(self.frozen(image))) for view, image in views.items()}


def tiny() -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny()


def squares(n: int = 3) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(n):
        labels = torch.zeros((32, 32, 1), dtype=torch.uint8)
        x, y = rng.integers(4, 14, 2)
        labels[x : x + 12, y : y + 12] = 3
        samples.append(Sample(labels.float() / 3, labels))
    return samples


def run(
    steps: int = 6, seed: int = 0, samples: list[Sample] | None = None, on_step: Callable[..., None] | None = None
) -> dict[str, torch.Tensor]:
    network = tiny()
    batches = Batches(samples or squares(), size=2, seed=seed)
    fitted = fit(
        network, ["head.weight", "head.bias"], "sax", batches, steps, SETTINGS, seed, on_step or (lambda *_: None)
    )
    return dict(fitted.weights)


def test_the_same_seed_and_steps_give_the_same_weights() -> None:
    first, second, other = run(seed=1), run(seed=1), run(seed=2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_only_the_named_parameters_change() -> None:
    after, before = run(), tiny().state_dict()
    assert torch.equal(after["frozen.weight"], before["frozen.weight"])
    assert not torch.equal(after["head.weight"], before["head.weight"])


def test_the_loss_falls() -> None:
    losses: list[float] = []
    run(steps=40, on_step=losses.append)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_step_without_a_finite_loss_is_skipped_and_counted() -> None:
    broken = squares(1)[0]
    broken.image[12:20, 12:20] = float("nan")
    network = tiny()
    batches = Batches([broken, *squares(3)], size=1, seed=0)
    seen: list[float | None] = []
    names = ["head.weight", "head.bias"]
    fitted = fit(network, names, "sax", batches, 8, SETTINGS, 0, seen.append)
    assert fitted.skipped == seen.count(None) > 0
    assert all(bool(torch.isfinite(value).all()) for value in fitted.weights.values())


def test_no_finite_loss_at_all_is_an_error_that_says_what_to_look_at() -> None:
    broken = squares(1)
    broken[0].image[:] = float("nan")
    with pytest.raises(EngineError, match="None of 3 training steps"):
        run(steps=3, samples=broken)


def test_the_run_stops_at_the_step_that_raises() -> None:
    losses: list[float | None] = []

    def stop(loss: float | None) -> None:
        losses.append(loss)
        if len(losses) == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run(steps=50, on_step=stop)
    assert len(losses) == 2


def test_training_leaves_the_programs_own_chance_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run(steps=2)
    assert torch.equal(torch.rand(1), expected)


def test_every_window_is_seen_once_before_any_comes_again() -> None:
    samples = [Sample(torch.full((8, 8, 1), k / 10), torch.zeros((8, 8, 1), dtype=torch.uint8)) for k in range(5)]
    batches = Batches(samples, size=5, seed=3)
    order = batches._waiting
    for _ in range(3):
        batches.draw()
        assert batches._waiting == []
    assert order == []


def test_the_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    rates = [learning_rate_at(step, 50, 1.0) for step in range(1, 51)]
    assert np.argmax(rates) == 4
    assert rates[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(rates[5:]))


def test_blends_lie_between_base_and_tuned() -> None:
    base, tuned = {"w": torch.zeros(2), "n": torch.tensor(3)}, {"w": torch.ones(2), "n": torch.tensor(3)}
    assert blend(base, tuned, 0.25)["w"].tolist() == [0.25, 0.25]
    assert blend(base, tuned, 0.0)["w"].tolist() == [0, 0]
    assert blend(base, tuned, 0.25)["n"] == 3


def test_a_large_model_learns_more_slowly_towards_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "enc_down_dict.sax.linear.weight",
        "encoder.blocks.0.mlp.weight",
        "encoder.blocks.1.mlp.weight",
        "head.weight",
    )
    parameters = {name: nn.Parameter(torch.zeros(2, 2)) for name in names}
    settings = FineTuneSettings(layer_decay=0.5)

    def scales() -> list[float]:
        groups = optimiser_of(parameters, settings).param_groups
        by_parameter = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
        return [by_parameter[id(parameters[name])] for name in names]

    assert scales() == [1.0] * 4  # the bundled model is small
    monkeypatch.setattr(fitting, "LARGE_MODEL_PARAMETERS", 10)
    assert scales() == [0.125, 0.25, 0.5, 1.0]


def test_norms_and_biases_alone_learn_faster() -> None:
    norms = {name: nn.Parameter(torch.zeros(2)) for name in ("encoder.blocks.0.norm.weight", "head.bias")}
    settings = FineTuneSettings(norms_rate=5.0)
    (group,) = optimiser_of(norms, settings).param_groups
    assert (group["lr_scale"], group["weight_decay"]) == (5.0, 0.0)
    together = optimiser_of({**norms, "head.weight": nn.Parameter(torch.zeros(2, 2))}, settings).param_groups
    assert {group["lr_scale"] for group in together} == {1.0}


def test_the_scale_of_a_group_holds_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = run(steps=2)
    true_optimiser_of = fitting.optimiser_of

    def still(*asked: Any) -> torch.optim.Optimizer:
        optimiser = true_optimiser_of(*asked)
        for group in optimiser.param_groups:
            group["lr_scale"] = 0.0
        return optimiser

    monkeypatch.setattr(fitting, "optimiser_of", still)
    assert not torch.equal(fast["head.weight"], tiny().head.weight)
    assert torch.equal(run(steps=2)["head.weight"], tiny().head.weight)
