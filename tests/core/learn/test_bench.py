"""What the runs of a fine-tuning start from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cinema_core.cases import TrainingCase
from cinema_core.learn.bench import Bench
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.models.zoo import LoadedModel
from cinema_core.progress import CancelToken

Make = Callable[..., TrainingCase]
SETTINGS = FineTuneSettings(batch_size=2, device="cpu")


def test_the_copy_of_the_base_needs_no_room_where_the_base_is(
    base: LoadedModel, make_case: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(nn.Parameter, "__deepcopy__", full)
    monkeypatch.setattr(torch.Tensor, "__deepcopy__", full)
    bench = Bench.set_up([make_case()], base, SETTINGS, CancelToken())
    ours, theirs = bench.network.state_dict(keep_vars=True), base.network.state_dict(keep_vars=True)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value)
        assert ours[name].data_ptr() != value.data_ptr()
        assert type(ours[name]) is type(value)
    assert bench.trained


def test_a_step_takes_time_on_a_clock_that_ticks_rarely(
    base: LoadedModel, make_case: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.set_up([make_case()], base, SETTINGS, CancelToken())
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    assert bench.time_a_step() > 0
