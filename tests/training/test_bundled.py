from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard
from cinema_core.errors import InputError
from cinema_core.models import MaskedAutoencoder, build_model, load_model, transfer_pretrained
from cinema_core.phantom import training_slice
from training import bundled
from training.bundled import DEFAULT_CONFIG, keep_middle_taps, train_bundled
from training.bundled_config import read_config, read_settings
from training.datasets.slices import MaskedStream, SliceStream, is_held_out, read_sunnybrook
from training.loop import Run, Training, TrainSettings, learning_rate
from training.partial_loss import segmentation_loss


@pytest.fixture
def refined_config() -> dict[str, Any]:
    config = read_config(DEFAULT_CONFIG)
    config["model"]["convunetr"].update(size="tiny", enc_conv_chans=[4, 8], dec_chans=[4, 8, 8, 8, 8])
    config["train"].update(batch_size=4, n_workers=0, warmup_steps=2, lr=5e-3, ema_decay=0.5)
    config["pretrain"].update(steps=2, batch_size=4, n_workers=0, warmup_steps=1, ema_decay=0.5)
    config["refine"].update(steps=2, batch_size=4, n_workers=0, warmup_steps=1, ema_decay=0.5)
    return config


@pytest.fixture
def tiny_config(refined_config: dict[str, Any]) -> dict[str, Any]:
    """Without the last part: what it learns is what the segmenter learns."""
    return {part: values for part, values in refined_config.items() if part != "refine"}


def sunnybrook_folder(folder: Path) -> Path:
    """Two made-up patients, one of whom is held out."""
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for patient in ("SC-N-01", *(f"SC-N-{i:02d}" for i in range(2, 40) if is_held_out(f"SC-N-{i:02d}"))):
        name = f"{patient}-IM-0001-0001.png"
        Image.fromarray(rng.integers(0, 255, (256, 256), dtype=np.uint8)).save(folder / "images" / name)
        label = np.zeros((256, 256), dtype=np.uint8)
        if not is_held_out(patient):
            label[110:140, 115:150] = 255
        Image.fromarray(label).save(folder / "labels" / name)
    return folder


def test_short_training_lowers_the_loss_and_writes_a_model_that_loads(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["train"]["eval_minutes"] = 1e-9  # a point of the curve at every step
    run = train_bundled(
        tiny_config, out=tmp_path / "model", work=tmp_path / "work", sunnybrook=None, steps=18, n_judged_hearts=0
    )
    losses = [point["loss"] for point in run.curve if "loss" in point]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])
    model = load_model(tmp_path / "model" / "weights.safetensors", tmp_path / "model" / "config.yaml")
    with torch.inference_mode():
        assert model({"sax": torch.zeros(1, 1, 128, 128, 1)})["sax"].shape == (1, 4, 128, 128, 1)


def test_stopped_training_goes_on_where_it_was(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config["train"]["eval_minutes"] = 1e-9

    def train() -> Run:
        return train_bundled(
            tiny_config,
            out=tmp_path / "model",
            work=tmp_path / "work",
            sunnybrook=None,
            steps=5,
            n_judged_hearts=0,
        )

    def stop_at_three(folder: Path, weights: bytes, text: str, card: ModelCard) -> None:
        if card.recipe["steps"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bundled, "write_model_folder", stop_at_three)
        train()
    run = train()
    assert [point["step"] for point in run.curve] == [1, 2, 3, 4, 5, 5]
    assert not (tmp_path / "work" / "checkpoint.pt").exists()


@pytest.mark.parametrize("other", [TrainSettings(steps=2), TrainSettings(steps=1, lr=2e-3)])
def test_checkpoint_of_other_settings_is_refused(
    other: TrainSettings, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    Training(build_model(tiny_config), TrainSettings(steps=1), no_loss).save(tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="made with other settings"):
        Training(build_model(tiny_config), other, no_loss).resume(tmp_path / "checkpoint.pt")


def no_loss(network: torch.nn.Module, batch: Any) -> torch.Tensor:
    raise AssertionError("nothing is trained here")


def test_checkpoint_of_another_network_is_refused(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    Training(build_model(tiny_config), TrainSettings(steps=1), no_loss).save(tmp_path / "checkpoint.pt")
    tiny_config["model"]["convunetr"]["enc_conv_chans"] = [8, 8]
    with pytest.raises(InputError, match="another network"):
        Training(build_model(tiny_config), TrainSettings(steps=1), no_loss).resume(tmp_path / "checkpoint.pt")


def test_card_says_what_taught_the_model(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    folder = sunnybrook_folder(tmp_path / "sunnybrook")
    train_bundled(
        tiny_config,
        out=tmp_path / "model",
        work=tmp_path / "work",
        sunnybrook=folder,
        steps=1,
        command="python -m training.bundled --steps 1",
        n_judged_hearts=0,
    )
    text = (tmp_path / "model" / "card.json").read_text(encoding="utf-8")
    assert "python -m training.bundled --steps 1" in text
    assert "Sunnybrook" in text
    assert "not for clinical use" in text.lower()


# --- the masked autoencoder ------------------------------------------------------------------------------------


def test_autoencoder_is_written_beside_and_its_encoder_is_where_the_segmenter_starts(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config["pretrain"].update(steps=6, eval_minutes=1e-9)
    started: dict[str, torch.Tensor] = {}

    def remember(network: torch.nn.Module) -> None:
        started.update({name: value.clone() for name, value in network.state_dict().items()})

    monkeypatch.setattr(bundled, "keep_middle_taps", remember)
    train_bundled(
        tiny_config, out=tmp_path / "bundled", work=tmp_path / "work", sunnybrook=None, steps=1, n_judged_hearts=0
    )
    folder = tmp_path / "bundled-mae"
    autoencoder = load_model(folder / "weights.safetensors", folder / "config.yaml")
    assert isinstance(autoencoder, MaskedAutoencoder)
    for name, value in autoencoder.encoder.state_dict().items():
        torch.testing.assert_close(started[f"encoder.{name}"], value, atol=2e-3, rtol=2e-3)  # float16 on disk
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    losses = [point["loss"] for point in card["recipe"]["curve"] if "loss" in point]
    assert losses[-1] < losses[0]
    target = load_model(tmp_path / "bundled" / "weights.safetensors", tmp_path / "bundled" / "config.yaml")
    report = transfer_pretrained(target, folder / "weights.safetensors")
    assert any(name.startswith("encoder.blocks") for name in report.loaded)
    assert not (tmp_path / "work" / "pretrained.safetensors").exists()


def test_pretraining_that_was_done_before_a_stop_is_not_done_again(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> Run:
        return train_bundled(
            tiny_config, out=tmp_path / "bundled", work=tmp_path / "work", sunnybrook=None, steps=1, n_judged_hearts=0
        )

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bundled, "transfer_pretrained", stop)
        train()
    before = (tmp_path / "bundled-mae" / "card.json").read_bytes()
    train()
    assert (tmp_path / "bundled-mae" / "card.json").read_bytes() == before


@pytest.mark.parametrize("changed", [{"seed": 1}, {"pretraining_steps": 3}, {"sunnybrook": True}])
def test_pretraining_of_another_recipe_is_not_gone_on_from(
    changed: dict[str, Any], tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(**more: Any) -> Run:
        more["sunnybrook"] = sunnybrook_folder(tmp_path / "sunnybrook") if more.get("sunnybrook") else None
        return train_bundled(
            tiny_config, out=tmp_path / "bundled", work=tmp_path / "work", steps=1, n_judged_hearts=0, **more
        )

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bundled, "transfer_pretrained", stop)
        train()
    with pytest.raises(InputError, match="made with other settings, another seed or other data"):
        train(**changed)


def test_weights_of_a_pretraining_that_is_not_asked_for_are_not_used(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pretrained.safetensors").write_bytes(b"of another time")
    train_bundled(
        tiny_config,
        out=tmp_path / "bundled",
        work=tmp_path / "work",
        sunnybrook=None,
        steps=1,
        pretraining_steps=0,
        n_judged_hearts=0,
    )
    card = json.loads((tmp_path / "bundled" / "card.json").read_text(encoding="utf-8"))
    assert "pretrained" not in card["recipe"]


def test_hidden_patches_depend_on_the_number_of_the_slice_alone() -> None:
    slices = SliceStream(seed=3)
    stream = MaskedStream(slices, seed=3, n_tokens=144)
    (image, noise), (_, again), (_, other) = stream[5], stream[5], stream[6]
    assert torch.equal(image, slices[5][0])
    assert noise.shape == (144,)
    assert torch.equal(noise, again)
    assert not torch.equal(noise, other)


# --- refining -----------------------------------------------------------------------------------------------------


def test_refining_starts_from_the_segmenter_as_it_would_ship(refined_config: dict[str, Any], tmp_path: Path) -> None:
    def train(refining_steps: int) -> dict[str, torch.Tensor]:
        out = tmp_path / str(refining_steps)
        train_bundled(
            refined_config,
            out=out / "bundled",
            work=out / "work",
            sunnybrook=None,
            steps=2,
            refining_steps=refining_steps,
            n_judged_hearts=0,
        )
        assert not list((out / "work").iterdir())
        return load_file(out / "bundled" / "weights.safetensors")

    refined_config["refine"].update(lr=1e-9, min_lr=1e-9, ema_decay=0.0)
    plain, refined = train(0), train(1)
    for name, value in plain.items():
        torch.testing.assert_close(refined[name], value, atol=1e-6, rtol=1e-3)
    refined_config["refine"].update(lr=1e-2, min_lr=1e-2)
    assert any(not torch.equal(value, plain[name]) for name, value in train(2).items())
    card = json.loads((tmp_path / "2" / "bundled" / "card.json").read_text(encoding="utf-8"))
    assert card["recipe"]["steps"] == 2
    assert card["recipe"]["refined"]["steps"] == 2
    assert [line.partition(" synthetic")[0] for line in card["trained_on"]] == ["8", "while refining: 8"]


def test_segmenter_that_was_done_before_a_stop_is_not_trained_again(
    refined_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def train() -> Run:
        return train_bundled(
            refined_config,
            out=tmp_path / "bundled",
            work=tmp_path / "work",
            sunnybrook=None,
            steps=2,
            n_judged_hearts=0,
        )

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bundled.Recipe, "refine", stopped)
        train()
    monkeypatch.setattr(bundled, "keep_middle_taps", lambda _: done.append("segmenter"))
    train()
    assert not done
    card = json.loads((tmp_path / "bundled" / "card.json").read_text(encoding="utf-8"))
    assert card["recipe"]["steps"] == 2  # told by what was kept
    assert len(card["recipe"]["curve"]) == 1


# --- a short version of the whole recipe --------------------------------------------------------------------------


def test_short_recipe_learns_to_find_hearts_it_never_saw(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """Dice on a synthetic heart rises well above what chance gives; it is judged once, at the end."""
    tiny_config["model"]["convunetr"].update(enc_conv_chans=[8, 16], dec_chans=[8, 16, 16, 16, 16])
    tiny_config["pretrain"].update(steps=10)
    tiny_config["train"].update(batch_size=8, lr=4e-3, warmup_steps=10, ema_decay=0.9, eval_minutes=60)
    run = train_bundled(
        tiny_config, out=tmp_path / "bundled", work=tmp_path / "work", sunnybrook=None, steps=60, n_judged_hearts=1
    )
    # The LV covers about a thirtieth of the window: chance would be a Dice of some 0.06.
    assert run.curve[-1]["phantom_dice_lv"] > 0.2


# --- the loss ----------------------------------------------------------------------------------------------------


def test_unlabelled_structures_teach_nothing_about_each_other() -> None:
    """Where only the LV cavity is labelled, RV against background must not matter."""
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 2:5, 2:5] = Structure.LV_CAVITY
    only_lv = torch.tensor([True])
    logits = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    swapped = logits[:, [1, 0, 2, 3]]
    torch.testing.assert_close(segmentation_loss(logits, labels, only_lv), segmentation_loss(swapped, labels, only_lv))


def test_certain_and_right_costs_nothing() -> None:
    labels = torch.randint(0, 4, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    logits = 50.0 * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    for only_lv in (False, True):
        assert segmentation_loss(logits, labels, torch.tensor([only_lv] * 2)) < 1e-4


# --- two dimensions ----------------------------------------------------------------------------------------------


def test_middle_taps_are_all_that_one_slice_sees(tiny_config: dict[str, Any]) -> None:
    network = build_model(tiny_config).eval()
    deep = [m for m in network.modules() if isinstance(m, torch.nn.Conv3d) and m.kernel_size[2] > 1]
    assert all(m.weight[..., 0].abs().max() > 0 for m in deep)
    x = torch.rand(1, 1, 128, 128, 1, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = network({"sax": x})["sax"]
        keep_middle_taps(network)
        after = network({"sax": x})["sax"]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)
    assert all(m.weight[..., 0].abs().max() == m.weight[..., -1].abs().max() == 0 for m in deep)


# --- slices and settings -----------------------------------------------------------------------------------------


def test_slice_depends_on_its_number_alone() -> None:
    stream = SliceStream(seed=3)
    first, again, other = stream[5], stream[5], stream[6]
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_image_and_labels_lie_on_each_other_in_the_model_order() -> None:
    image, labels, _ = SliceStream(seed=0)[4]
    rng = np.random.default_rng([0, 4])
    rng.random()  # whether it is a Sunnybrook slice
    drawn, truth = training_slice(rng)  # (y, x)
    assert (truth != truth.T).any()
    assert image.shape == (1, 128, 128, 1)
    np.testing.assert_array_equal(image[0, ..., 0].numpy(), drawn.T)
    np.testing.assert_array_equal(labels.numpy(), truth.T)


def test_held_out_sunnybrook_patients_never_teach(tmp_path: Path) -> None:
    folder = sunnybrook_folder(tmp_path)
    teaching = {s.patient for s in read_sunnybrook(folder) if not is_held_out(s.patient)}
    assert teaching == {"SC-N-01"}
    stream = SliceStream(seed=0, sunnybrook=folder, share=0.999)
    for image, labels, only_lv in (stream[i] for i in range(30)):
        assert only_lv
        # Those who are held out have no LV in this folder.
        assert set(labels.unique().tolist()) == {0, 3}
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_learning_rate_rises_and_falls() -> None:
    settings = TrainSettings(steps=1000, warmup_steps=10)
    rates = [learning_rate(Run(step=step), settings) for step in (0, 9, 500, 1000)]
    assert rates[0] < rates[2] < rates[1]
    assert rates[3] == pytest.approx(settings.min_lr)


@pytest.mark.parametrize(("name", "value"), [("lr", -1.0), ("learning_rat", 0.1)])
def test_wrong_setting_is_named(tiny_config: dict[str, Any], name: str, value: float) -> None:
    tiny_config["train"][name] = value
    with pytest.raises(InputError, match=name):
        read_settings(tiny_config, None, 3)


def test_missing_config_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a config"):
        read_config(tmp_path / "absent.yaml")


def test_config_without_data_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("train: {}\nmodel: {}\n", encoding="utf-8")
    with pytest.raises(InputError, match="needs the parts data, train and model"):
        read_config(tmp_path / "config.yaml")


def test_command_tells_a_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundled.main(["--config", str(tmp_path / "absent.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_card_tells_the_command_without_the_folders_of_the_machine(tmp_path: Path) -> None:
    given = ["--sunnybrook", str(tmp_path / "slices"), f"--out={tmp_path / 'made'}", "--config", "training/a.yaml"]
    expected = "python -m training.bundled --sunnybrook slices --out=made --config training/a.yaml"
    assert bundled.command_line(given) == expected
