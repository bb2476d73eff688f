"""Pretraining of a tiny masked autoencoder: it learns, it resumes exactly, fine-tuning starts from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from processed_datasets import TINY_MAE, small_config, small_pretraining, write_acdc, write_cines
from safetensors.torch import load_file

from cinema_core.errors import CheckpointError, EngineError, InputError, StorageError
from cinema_core.model_config import ALL_VIEWS
from cinema_core.models import MaskedAutoencoder, load_model
from training import checkpoints, pretrain
from training.config_files import Behaviour
from training.datasets.cines import files_by_study
from training.datasets.shards import write_shards
from training.finetune import finetune
from training.loop import Training
from training.output import Output
from training.pretrain_settings import read_pretrain_config


@pytest.fixture(scope="module")
def cines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cines")
    write_cines(folder, 6)
    return folder


def stop_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training be killed in its ``n + 1``-th step."""
    whole = Training.step

    def step(self: Training, *batches: object, **how: object) -> float:
        if self.run.step == n:
            raise KeyboardInterrupt
        return whole(self, *batches, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "step", step)


def test_the_config_holds_the_published_settings() -> None:
    config = read_pretrain_config("cinema")
    train = config.train
    assert (train.lr, train.min_lr, train.betas, train.weight_decay) == (1e-3, 1e-6, (0.9, 0.95), 0.05)
    assert (train.n_warmup_epochs, train.n_epochs, train.batch_size, train.accumulate) == (10, 800, 64, 4)
    assert (train.clip_grad, train.enc_mask_ratio, train.keep_interval, train.ema_decay) == (5.0, 0.75, 100, 0)
    assert (config.transform.prob, config.transform.zoom, config.data.val_share) == (0.5, (0.9, 1.1), 0)
    assert (config.model.size, config.data.views) == ("base", ("sax", "lax_2c", "lax_3c", "lax_4c"))
    assert (config.data.sax.patch_size, config.data.lax.patch_size) == ((192, 192, 16), (256, 256))
    assert config.behaviour is Behaviour.MENDED


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.layer_decay=0.5", "train.layer_decay: there is no such setting"),
        ("data.views=[lax_5c]", "data.views.0: Input should be 'sax'"),
        ("model.views=[sax]", "data.views must be some of model.views"),
        ("data.sax.patch_size=[40, 32, 2]", "data.sax.patch_size must be multiples of [16, 16, 1]"),
        ("data.lax.spacing=[1, 1, 10]", "data.lax.spacing and data.lax.patch_size need 2 numbers"),
        ("transform.zoom=[1.1, 0.9]", "zoom needs the smallest"),
        (
            "data={dir: a, shards: b, sax: {spacing: [1, 1, 1], patch_size: [16, 16, 1]}, lax: {spacing: [1, 1], "
            "patch_size: [16, 16]}}",
            "data.dir and data.shards both say where the cines are",
        ),
        ("train.batch_size=63", "batch_size must be a multiple of batch_size_per_device"),
    ],
)
def test_impossible_settings_are_told_by_name(override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_pretrain_config("cinema", [override])
    assert told in str(caught.value)
    with pytest.raises(InputError, match=r"There is no config 'mae' for pretraining. There are: cinema"):
        read_pretrain_config("mae")


def test_a_stopped_pretraining_goes_on_to_the_same_losses(
    cines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_pretraining(cines, "train.checkpoint_minutes=0")
    whole = pretrain.pretrain(config, Output(tmp_path / "whole", "cinema"))
    assert (whole.step, len(whole.curve)) == (8, 4)
    for n in (1, 5):  # within the first epoch and a later one
        with monkeypatch.context() as killed:
            stop_after(n, killed)
            with pytest.raises(KeyboardInterrupt):
                pretrain.pretrain(config, Output(tmp_path / "stopped", "cinema"))
    resumed = pretrain.pretrain(config, Output(tmp_path / "stopped", "cinema"))
    for point, other in zip(whole.curve, resumed.curve, strict=True):
        assert point == pytest.approx(other, abs=1e-6)
    first, second = (load_file(tmp_path / name / "cinema_0.safetensors") for name in ("whole", "stopped"))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=1e-6)
    assert not (tmp_path / "stopped" / "checkpoint_0.pt").exists()


def test_from_shards_it_goes_on_to_the_losses_of_the_folder(
    cines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("train.checkpoint_minutes=0", "train.n_workers=1")
    whole = pretrain.pretrain(small_pretraining(cines, *asked), Output(tmp_path / "whole", "cinema"))
    write_shards(files_by_study(cines, ALL_VIEWS), tmp_path / "shards", per_shard=4)
    config = small_pretraining(cines, *asked, "data.dir=null", f"data.shards={tmp_path / 'shards'}")
    with monkeypatch.context() as killed:
        stop_after(3, killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain.pretrain(config, Output(tmp_path / "stopped", "cinema"))
    resumed = pretrain.pretrain(config, Output(tmp_path / "stopped", "cinema"))
    for point, other in zip(whole.curve, resumed.curve, strict=True):
        assert point == pytest.approx(other, abs=1e-6)
    assert (tmp_path / "whole" / "config.yaml").read_text() == (tmp_path / "stopped" / "config.yaml").read_text()


def test_it_learns_and_is_measured_by_who_does_not_teach(cines: Path, tmp_path: Path) -> None:
    asked = ("train.n_epochs=60", "train.eval_interval=20", "train.lr=0.01", "data.val_share=0.3", "transform.prob=0")
    config = small_pretraining(cines, *asked)
    found = pretrain.lesson(config)
    assert 0 < len(found.names) < 6
    run = pretrain.pretrain(config, Output(tmp_path, "cinema"))
    assert run.curve[-1]["loss"] < 0.6 * run.curve[0]["loss"]
    assert run.curve[-1]["val_masked_error"] < run.curve[0]["val_masked_error"]
    views = [run.curve[-1][f"val_{view}_masked_error"] for view in config.data.views]
    assert run.curve[-1]["val_masked_error"] == pytest.approx(sum(views) / 4, abs=2e-4)


def test_forgotten_activations_and_accumulated_gradients_change_no_loss(cines: Path, tmp_path: Path) -> None:
    plain = pretrain.pretrain(small_pretraining(cines), Output(tmp_path / "plain", "cinema"))
    for name, asked in (("forgets", "grad_ckpt=true"), ("adds up", "train.batch_size_per_device=1")):
        other = pretrain.pretrain(small_pretraining(cines, asked), Output(tmp_path / name, "cinema"))
        for point, same in zip(plain.curve, other.curve, strict=True):
            assert point["loss"] == pytest.approx(same["loss"], abs=1e-4)


def test_half_precision_is_an_option(cines: Path, tmp_path: Path) -> None:
    full = pretrain.pretrain(small_pretraining(cines), Output(tmp_path / "full", "cinema"))
    half = pretrain.pretrain(small_pretraining(cines, "train.precision=bf16"), Output(tmp_path / "half", "cinema"))
    assert half.curve[-1]["loss"] == pytest.approx(full.curve[-1]["loss"], rel=0.05)
    assert half.curve != full.curve


def test_the_command_leaves_published_files_that_fine_tuning_starts_from(
    cines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*TINY_MAE, f"data.dir={cines}", "train.n_epochs=2", "train.keep_interval=2", "train.n_workers=1"]
    assert pretrain.main([*asked, "--out", str(tmp_path / "mae"), "--device", "cpu"]) == 0
    assert "4 steps, 0 left out" in capsys.readouterr().out
    weights = tmp_path / "mae" / "cinema_0.safetensors"
    network = load_model(weights, tmp_path / "mae" / "config.yaml")
    assert isinstance(network, MaskedAutoencoder)
    kept = load_file(tmp_path / "mae" / "cinema_0_epoch0002.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in load_file(weights).items())
    assert yaml.safe_load((tmp_path / "mae" / "config.yaml").read_text())["data"]["dir"] is None
    write_acdc(tmp_path / "acdc", n_per_group=4)
    config = small_config(tmp_path / "acdc", f"model.ckpt_path={weights}", "model.freeze_pretrained=true")
    finetune(config, Output(tmp_path / "tuned", "acdc_sax"))
    tuned = load_file(tmp_path / "tuned" / "acdc_sax_0.safetensors")
    name = "encoder.blocks.0.attn.q.weight"
    assert torch.equal(tuned[name], network.state_dict()[name])
    assert pretrain.main([*asked, "--out", str(tmp_path / "mae"), "--device", "cpu"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert pretrain.main(["--out", str(tmp_path / "none"), "--device", "cpu"]) == 2
    assert "data.dir=FOLDER" in capsys.readouterr().err


def test_studies_with_one_view_are_learned_from_and_the_network_is_whole(tmp_path: Path) -> None:
    write_cines(tmp_path / "cines", 3, views=("sax",))
    config = small_pretraining(tmp_path / "cines", "data.views=[sax]", "train.n_epochs=2")
    pretrain.pretrain(config, Output(tmp_path / "out", "cinema"))
    network = load_model(tmp_path / "out" / "cinema_0.safetensors", tmp_path / "out" / "config.yaml")
    assert isinstance(network, MaskedAutoencoder)
    assert list(network.view_inputs) == ["sax", "lax_2c", "lax_3c", "lax_4c"]


def test_it_goes_on_from_weights_and_refuses_those_of_another_network(cines: Path, tmp_path: Path) -> None:
    pretrain.pretrain(small_pretraining(cines, "train.n_epochs=2"), Output(tmp_path / "first", "cinema"))
    start = f"model.ckpt_path={tmp_path / 'first' / 'cinema_0.safetensors'}"
    asked = (start, "train.n_epochs=2", "train.lr=1e-9", "train.weight_decay=0")
    pretrain.pretrain(small_pretraining(cines, *asked), Output(tmp_path / "second", "cinema"))
    first, second = (load_file(tmp_path / name / "cinema_0.safetensors") for name in ("first", "second"))
    assert all(torch.allclose(value, second[name], atol=1e-5) for name, value in first.items())
    with pytest.raises(CheckpointError, match=r"cinema_0.safetensors does not fit its config"):
        pretrain.pretrain(
            small_pretraining(cines, start, "model.enc_conv_chans=[8, 8]"), Output(tmp_path / "other", "cinema")
        )


def test_bad_steps_are_left_out_and_too_many_name_the_studies(
    cines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = pretrain._loss, iter(range(1000))
    monkeypatch.setattr(pretrain, "_loss", lambda *given: whole(*given) * (float("nan") if next(calls) == 0 else 1.0))
    run = pretrain.pretrain(small_pretraining(cines), Output(tmp_path / "once", "cinema"))
    assert (run.step, run.skipped) == (8, 1)
    monkeypatch.setattr(pretrain, "_loss", lambda *given: whole(*given) * float("nan"))
    with pytest.raises(EngineError, match=r"no number in 3 steps one after the other; the last was of 00\d, 00\d"):
        pretrain.pretrain(small_pretraining(cines, "train.max_bad_steps=3"), Output(tmp_path / "always", "cinema"))


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint_whole(
    cines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_pretraining(cines, "train.checkpoint_minutes=0")
    output, saves, whole = Output(tmp_path / "run", "cinema"), iter(range(100)), torch.save

    def full(state: object, path: Path) -> None:
        if next(saves) < 3:
            whole(state, path)
        else:
            Path(path).write_bytes(b"half a")
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as filled:
        filled.setattr(checkpoints.torch, "save", full)
        with pytest.raises(StorageError, match=r"checkpoint_0.pt could not be written: No space left .* Make room"):
            pretrain.pretrain(config, output)
    assert not list((tmp_path / "run").glob("*.partial"))
    assert pretrain.pretrain(config, output).step == 8


def test_a_checkpoint_that_is_none_or_another_ones_is_refused(
    cines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, output = small_pretraining(cines, "train.checkpoint_minutes=0"), Output(tmp_path, "cinema")
    output.checkpoint(config).write_bytes(b"half a file")
    with pytest.raises(InputError, match="is no whole checkpoint of a training"):
        pretrain.pretrain(config, output)
    whole = {"network": {}, "optimizer": {}, "mean": None, "recipe": "{}"}
    torch.save(whole, output.checkpoint(config))
    with pytest.raises(InputError, match="other settings, another seed or other data"):
        pretrain.pretrain(config, output)
    output.checkpoint(config).unlink()
    with monkeypatch.context() as killed:
        stop_after(2, killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain.pretrain(config, output)
    write_cines(tmp_path / "more", 7)
    with pytest.raises(InputError, match="other settings, another seed or other data"):
        pretrain.pretrain(small_pretraining(tmp_path / "more", "train.checkpoint_minutes=0"), output)
