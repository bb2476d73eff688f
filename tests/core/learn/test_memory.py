"""Fine-tuning that does not fit in memory goes on with less, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cinema_core.cases import TrainingCase
from cinema_core.errors import EngineError
from cinema_core.learn import bench, memory
from cinema_core.learn.finetune import finetune
from cinema_core.learn.holdout import BLENDS_OF_NORMS
from cinema_core.learn.memory import is_out_of_memory, rungs
from cinema_core.learn.settings import FineTuneSettings, Tier
from cinema_core.models.zoo import LoadedModel

Make = Callable[..., TrainingCase]
SETTINGS = FineTuneSettings(steps=3, batch_size=4)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def large(base: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.setattr(memory, "LARGE_MODEL_PARAMETERS", 3)
    return base.network


def test_a_small_model_gives_up_slices_and_then_the_gpu() -> None:
    found = list(rungs(SETTINGS, nn.Linear(2, 2), GPU, "sax", few=True, stacks=False))
    assert [(r.settings.batch_size, r.settings.device) for r in found] == [
        (4, "auto"),
        (2, "auto"),
        (1, "auto"),
        (4, "cpu"),
    ]
    assert [r.words for r in found][1:] == [
        "2 slices at a time",
        "one slice at a time",
        "the processor instead of the GPU",
    ]


def test_a_large_model_of_stacks_gives_up_parts_of_itself(large: nn.Module) -> None:
    found = list(rungs(SETTINGS, large, GPU, "sax", few=True, stacks=True))
    assert [r.settings.tier for r in found] == [Tier.AUTO, Tier.DECODER, Tier.LAST_BLOCKS, Tier.AUTO]
    assert found[-1].settings.device == "cpu"


def test_what_was_asked_for_already_is_not_tried_again(large: nn.Module) -> None:
    asked = SETTINGS.model_copy(update={"tier": Tier.DECODER})
    found = rungs(asked, large, CPU, "sax", few=True, stacks=True)
    assert [rung.settings.tier for rung in found] == [Tier.DECODER, Tier.LAST_BLOCKS]


def test_parts_that_a_model_does_not_have_are_no_rungs(
    make_unet: Callable[[], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE_MODEL_PARAMETERS", 3)
    found = list(rungs(SETTINGS, make_unet().network, CPU, "sax", few=True, stacks=True))
    assert [r.settings.tier for r in found] == [Tier.AUTO, Tier.DECODER]


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one


def short_of_memory(monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Let training run out of memory in its second step with more slices at a time than ``fits``."""
    tried: list[int] = []
    true_step = bench.fit.__globals__["take_step"]

    def step(network: Any, view: str, batch: Any, *rest: Any) -> Any:
        tried.append(len(batch.labels))
        if len(batch.labels) > fits and len(tried) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return true_step(network, view, batch, *rest)

    monkeypatch.setitem(bench.fit.__globals__, "take_step", step)
    return tried


def test_a_run_that_does_not_fit_ends_on_a_lower_rung(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    short_of_memory(monkeypatch, fits=1)
    result = finetune(
        [make_case()], base, SETTINGS, tmp_path, "v001", progress=lambda _share, words: told.append(words)
    )
    assert result.card.recipe["settings"]["batch_size"] == 1
    assert "Memory was too small; the model learned from one slice at a time." in result.notes
    assert "Memory was too small: trying again with 2 slices at a time" in told
    assert result.steps == 3
    assert [path.name for path in tmp_path.iterdir()] == ["v001"]


def test_the_rung_that_was_reached_gives_the_same_weights_when_asked_for(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        short_of_memory(patched, fits=2)
        fallen = finetune([make_case()], base, SETTINGS, tmp_path, "v001")
    asked = finetune([make_case()], base, SETTINGS.model_copy(update={"batch_size": 2}), tmp_path, "v002")
    assert fallen.card.sha256 == asked.card.sha256


def test_every_attempt_has_the_whole_budget(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_clock, true_opinions, lost_s = time.monotonic, bench.opinions, [0.0]

    def run_out_late(*arguments: Any, **named: Any) -> Any:
        if not lost_s[0]:
            lost_s[0] = 1000.0
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return true_opinions(*arguments, **named)

    monkeypatch.setattr(bench, "opinions", run_out_late)
    monkeypatch.setattr(time, "monotonic", lambda: true_clock() + lost_s[0])
    settings = FineTuneSettings(budget_s=60.0, max_steps=3, batch_size=2)
    result = finetune([make_case()], base, settings, tmp_path, "v001")
    assert result.steps == 3
    assert result.seconds > 1000


def test_nothing_fits_is_one_clear_error_and_leaves_nothing(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = short_of_memory(monkeypatch, fits=0)
    with pytest.raises(EngineError, match="even in the least demanding way"):
        finetune([make_case()], base, SETTINGS, tmp_path, "v001")
    assert set(tried) == {4, 2, 1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["first look", "a fold", "its measuring", "last run", "last look"])
def test_memory_that_runs_out_at_any_moment_ends_in_a_version(
    base: LoadedModel,
    make_case: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    # Two folds of one step and a last run of two: a look, one per blend and fold, a last one; trainings 0, 1, 2.
    call, number = {
        "first look": ("opinions", 0),
        "a fold": ("fit", 1),
        "its measuring": ("opinions", 2),
        "last run": ("fit", 2),
        "last look": ("opinions", 1 + 2 * len(BLENDS_OF_NORMS.tried)),
    }[moment]
    true_call, calls = getattr(bench, call), 0

    def run_out(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number + 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return true_call(*arguments, **named)

    monkeypatch.setattr(bench, call, run_out)
    settings = FineTuneSettings(steps=2, fold_min_steps=1, batch_size=2)
    result = finetune([make_case("a"), make_case("b", t=3)], base, settings, tmp_path, "v001")
    assert calls > number + 1
    assert result.card.recipe["settings"]["batch_size"] == 1
    assert "Memory was too small; the model learned from one slice at a time." in result.notes
    assert [path.name for path in tmp_path.iterdir()] == ["v001"]
