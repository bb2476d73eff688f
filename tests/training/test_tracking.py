"""What is told of a training, and to whom."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from training.config_files import Logging, Wandb
from training.tracking import Meter, Tracker


def test_throughput_and_waiting_are_those_since_the_last_time() -> None:
    meter = Meter(torch.device("cpu"))
    with meter.waiting():
        pass
    seconds = meter.lap(8) + meter.lap(8)
    figures = meter.figures()
    assert figures["samples_per_s"] > 0
    assert 0 <= figures["waiting_for_data_pct"] <= 100
    assert seconds >= 0
    assert meter.figures()["samples_per_s"] == 0  # nothing since


def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is absent: pip install 'napari-cinema[training]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = Tracker(tmp_path, "cinema_0", Logging(), {})
    for step in (10, 20):
        tracker.tell(step, {"loss": 1 / step, "samples_per_s": 3.0})
    tracker.close()
    found = EventAccumulator(str(tmp_path / "cinema_0")).Reload()
    assert [(event.step, round(event.value, 4)) for event in found.Scalars("loss")] == [(10, 0.1), (20, 0.05)]
    assert len(found.Scalars("samples_per_s")) == 2
    elsewhere = Tracker(tmp_path, "cinema_0", Logging(dir=tmp_path / "elsewhere"), {})
    elsewhere.close()
    assert (tmp_path / "elsewhere" / "cinema_0").is_dir()


def test_without_tensorboard_a_line_says_so_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    tracker = Tracker(tmp_path, "cinema_0", Logging(), {})
    tracker.tell(1, {"loss": 1.0})
    tracker.close()
    assert "TensorBoard is not installed" in caplog.text
    assert not list(tmp_path.iterdir())


def test_weights_and_biases_is_told_only_if_a_project_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []

    def init(**how: object) -> SimpleNamespace:
        told.append(how["project"])
        return SimpleNamespace(
            log=lambda figures, step: told.append((figures, step)), finish=lambda: told.append("end")
        )

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    Tracker(tmp_path, "run", Logging(), {}).tell(1, {"loss": 1.0})
    assert told == []
    tracker = Tracker(tmp_path, "run", Logging(wandb=Wandb(project="hearts")), {})
    tracker.tell(2, {"loss": 0.5})
    tracker.close()
    assert told == ["hearts", ({"loss": 0.5}, 2), "end"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    Tracker(tmp_path, "run", Logging(wandb=Wandb(project="hearts")), {}).close()
    assert "wandb is not installed" in caplog.text
