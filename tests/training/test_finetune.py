"""Fine-tuning of a tiny network: it learns, it resumes exactly, and its result loads back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import raw_datasets
import torch
import yaml
from processed_datasets import TINY, small_config, write_acdc
from safetensors.torch import load_file, save_file

from cinema_core.errors import EngineError, InputError
from cinema_core.models import build_model, load_model
from cinema_core.phantom import PhantomStudy
from training import segmenting
from training.datasets.preparing import prepare_dataset
from training.datasets.published import RECIPES
from training.finetune import Output, finetune, main
from training.loop import Training


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acdc")
    write_acdc(folder, n_per_group=4)
    return folder


def stop_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training be killed in its ``n + 1``-th step."""
    whole = Training.step

    def step(self: Training, *batches: object) -> float:
        if self.run.step == n:
            raise KeyboardInterrupt
        return whole(self, *batches)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "step", step)


def test_a_stopped_training_goes_on_to_the_same_weights(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(prepared, "train.checkpoint_minutes=0")
    whole = finetune(config, Output(tmp_path / "whole", "acdc_sax"))
    assert (whole.step, len(whole.curve)) == (8, 2)
    for n in (3, 6):  # within an epoch, before and after the first validation
        with monkeypatch.context() as killed:
            stop_after(n, killed)
            with pytest.raises(KeyboardInterrupt):
                finetune(config, Output(tmp_path / "stopped", "acdc_sax"))
    assert (tmp_path / "stopped" / "checkpoint_0.pt").exists()
    resumed = finetune(config, Output(tmp_path / "stopped", "acdc_sax"))
    assert resumed.step == 8
    for point, other in zip(whole.curve, resumed.curve, strict=True):
        assert point == pytest.approx(other, abs=1e-6)
    first, second = (load_file(tmp_path / name / "acdc_sax_0.safetensors") for name in ("whole", "stopped"))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=1e-6)
    assert not (tmp_path / "stopped" / "checkpoint_0.pt").exists()
    with pytest.raises(InputError, match="is there already"):
        finetune(config, Output(tmp_path / "stopped", "acdc_sax"))


def test_it_learns_and_the_result_loads_back_strictly(prepared: Path, tmp_path: Path) -> None:
    config = small_config(
        prepared, "train.n_epochs=24", "train.eval_interval=12", "train.lr=0.01", "transform.prob=0.1"
    )
    run = finetune(config, Output(tmp_path, "acdc_sax"))
    losses = [point["loss"] for point in run.curve]
    assert losses[-1] < 0.85 * losses[0]
    assert run.curve[-1]["val_mean_dice_score"] > run.curve[0]["val_mean_dice_score"]
    model = load_model(tmp_path / "acdc_sax_0.safetensors", tmp_path / "config.yaml")
    figures = segmenting.validate(config, segmenting.images_of(prepared, config)[1], model)
    best = max(point["val_mean_dice_score"] for point in run.curve)
    assert figures["val_mean_dice_score"] == pytest.approx(best, abs=1e-3)
    with (tmp_path / "curve_0.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["12.0", "24.0"]


def test_a_checkpoint_of_another_config_is_refused(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(prepared, "train.checkpoint_minutes=0")
    with monkeypatch.context() as killed:
        stop_after(2, killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(config, Output(tmp_path, "acdc_sax"))
    with pytest.raises(InputError, match="other settings, another seed or other data"):
        finetune(small_config(prepared, "train.lr=0.5"), Output(tmp_path, "acdc_sax"))


def test_bad_steps_are_left_out_and_too_many_stop_it_with_the_images_named(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = segmenting.dice_ce
    calls = iter(range(1000))
    monkeypatch.setattr(
        segmenting, "dice_ce", lambda *given: whole(*given) * (float("nan") if next(calls) == 0 else 1.0)
    )
    run = finetune(small_config(prepared), Output(tmp_path / "once", "acdc_sax"))
    assert (run.step, run.skipped) == (8, 1)
    assert all(np.isfinite(point["loss"]) for point in run.curve)
    monkeypatch.setattr(segmenting, "dice_ce", lambda *given: whole(*given) * float("nan"))
    with pytest.raises(EngineError, match=r"no number in 3 steps one after the other; the last was of patient0"):
        finetune(small_config(prepared, "train.max_bad_steps=3"), Output(tmp_path / "always", "acdc_sax"))


def test_a_pretrained_encoder_is_taken_over_and_may_be_frozen(prepared: Path, tmp_path: Path) -> None:
    config = small_config(prepared)
    mae = {
        "data": config.model_dump(mode="json")["data"],
        "model": {
            "size": "tiny",
            "views": ["sax"],
            "patch_size": [4, 4, 1],
            "scale_factor": [2, 2, 1],
            "enc_conv_chans": [4, 8],
            "enc_conv_n_blocks": 1,
        },
    }
    torch.manual_seed(5)
    weights = {name: value.contiguous() for name, value in build_model(mae).state_dict().items()}
    save_file(weights, tmp_path / "mae.safetensors")
    asked = (f"model.ckpt_path={tmp_path / 'mae.safetensors'}", "model.freeze_pretrained=true")
    finetune(small_config(prepared, *asked), Output(tmp_path / "out", "acdc_sax"))
    tuned = load_file(tmp_path / "out" / "acdc_sax_0.safetensors")
    name = "encoder.blocks.0.attn.q.weight"
    torch.testing.assert_close(tuned[name], weights[name], rtol=0, atol=0)
    with pytest.raises(InputError, match="not there"):
        finetune(small_config(prepared, "model.ckpt_path=none.safetensors"), Output(tmp_path / "none", "acdc_sax"))


def test_the_command_trains_on_a_prepared_miniature(
    tmp_path: Path, heart: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    patients = {f"patient{k:03d}": "training" for k in range(3)}
    raw = raw_datasets.acdc(tmp_path / "raw", heart, patients=patients, whole=False)
    prepare_dataset(RECIPES["acdc"], raw, tmp_path / "processed")
    settings = [*TINY, "data.sax.patch_size=[96, 96, 9]", f"data.dir={tmp_path / 'processed'}"]
    settings += [
        "train.n_workers=1",
        "train.n_epochs=2",
        "train.batch_size=2",
        "model.name=unet",
        "model.unet.chans=[2, 3, 4, 5, 6]",
    ]
    asked = ["segmentation", "acdc_sax", "--out", str(tmp_path / "out"), *settings, "--device", "cpu", "seed=0"]
    assert main(asked) == 0
    assert "2 steps, 0 left out" in capsys.readouterr().out
    load_model(tmp_path / "out" / "acdc_sax_0.safetensors", tmp_path / "out" / "config.yaml")
    config = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert config["data"]["dir"] is None
    assert main(["segmentation", "acdc_sax", "train.epochs=1", "--out", str(tmp_path / "out")]) == 2
    assert "train.epochs: there is no such setting" in capsys.readouterr().err
