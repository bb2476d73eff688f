"""The order of images, the steps of an epoch, and when a training has had enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from processed_datasets import small_config

from training.epochs import Plan, best_point, steps_per_epoch
from training.settings import Behaviour


def flat(plan: Plan, steps: range) -> list[int]:
    return [index for step in steps for batch in plan.batches(step) for index in batch]


def test_every_epoch_shows_every_image_once_in_its_own_order(tmp_path: Path) -> None:
    plan = Plan(10, small_config(tmp_path))  # 4 images a step, 2 at a time, 4 epochs
    assert (plan.per_epoch, plan.n_steps) == (3, 12)
    assert [[len(batch) for batch in plan.batches(step)] for step in range(3)] == [[2, 2], [2, 2], [2]]
    first, second = flat(plan, range(3)), flat(plan, range(3, 6))
    assert sorted(first) == list(range(10))
    assert sorted(second) == list(range(10, 20))
    assert [index - 10 for index in second] != first
    assert flat(Plan(10, small_config(tmp_path)), range(4, 6)) == second[4:]  # whatever came before
    assert flat(Plan(10, small_config(tmp_path, "seed=1")), range(3)) != first


@pytest.mark.parametrize(("behaviour", "n", "steps"), [("mended", 10, 3), ("published", 10, 2), ("published", 3, 1)])
def test_what_is_left_over_is_learned_from_or_dropped_as_published(
    tmp_path: Path, behaviour: str, n: int, steps: int
) -> None:
    assert steps_per_epoch(n, small_config(tmp_path).train, Behaviour(behaviour)) == steps


def test_patience_and_what_is_kept_share_one_rule_when_mended(tmp_path: Path) -> None:
    train = small_config(tmp_path, "train.early_stopping.min_delta=0.01").train

    def best(*values: float, behaviour: Behaviour = Behaviour.MENDED) -> tuple[int, int]:
        return best_point([{"val_mean_dice_score": value} for value in values], train, behaviour)

    assert best(0.5) == (0, 0)
    assert best(0.5, 0.6, 0.605) == (1, 1)
    assert best(0.5, 0.6, 0.605, behaviour=Behaviour.PUBLISHED) == (2, 1)
    assert best(0.5, 0.4, 0.3) == (0, 2)
    nan = float("nan")
    assert best(nan, nan, 0.1) == (2, 0)
    assert best(0.5, nan) == (0, 1)


def test_a_low_figure_is_the_best_where_the_config_says_so(tmp_path: Path) -> None:
    rule = small_config(tmp_path).train.early_stopping.model_copy(update={"metric": "val_mae", "mode": "min"})
    train = small_config(tmp_path).train.model_copy(update={"early_stopping": rule})
    assert best_point([{"val_mae": value} for value in (0.9, 0.5, 0.7)], train, Behaviour.MENDED) == (1, 1)
