"""What is refused at the door of the models: wrong, damaged and unsafe files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from cinema_core.cards import bundled_folder
from cinema_core.errors import CheckpointError
from cinema_core.model_config import view_settings
from cinema_core.models import build_model, load_model
from cinema_core.models.checkpoint import read_weights

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((bundled_folder() / "config.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def weights() -> Weights:
    return load_file(bundled_folder() / "weights.safetensors")


def saved(weights: Weights, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file(weights, path)
    return path


def test_bundled_weights_fit_their_config(config: dict[str, Any]) -> None:
    model = load_model(bundled_folder() / "weights.safetensors", config)
    assert not model.training
    assert {value.dtype for value in model.parameters()} == {torch.float32}  # the file is float16


def test_a_missing_key_is_named(weights: Weights, config: dict[str, Any], tmp_path: Path) -> None:
    key = sorted(weights)[5]
    path = saved({name: value for name, value in weights.items() if name != key}, tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"1 of {len(weights)} tensors are missing \(first: {key}\).*config.yaml"
    ):
        load_model(path, config)


def test_a_key_left_over_is_named(weights: Weights, config: dict[str, Any], tmp_path: Path) -> None:
    path = saved({**weights, "head.bias": torch.zeros(3)}, tmp_path)
    with pytest.raises(CheckpointError, match=r"1 are left over \(first: head.bias\)"):
        load_model(path, config)


def test_another_shape_is_named(weights: Weights, config: dict[str, Any], tmp_path: Path) -> None:
    key = "pred_head_dict.sax.bias"
    path = saved({**weights, key: torch.zeros(7)}, tmp_path)
    with pytest.raises(CheckpointError, match=rf"{key}, \(7,\) instead of \(4,\)"):
        load_model(path, config)


def test_weights_of_another_architecture_are_refused(config: dict[str, Any], shared_golden: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit its config"):
        load_model(shared_golden / "resnet_sax.safetensors", config)


def test_an_unknown_architecture_is_named(config: dict[str, Any]) -> None:
    other = {**config, "model": {**config["model"], "name": "perceptron"}}
    with pytest.raises(CheckpointError, match=r"no network 'perceptron'.*known are convunetr, convvit"):
        build_model(other)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_pickle_is_refused_without_being_opened(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it-ran",))

    path = tmp_path / name
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="is a pickle, which can run any program"):
        load_model(path, config)
    assert not (tmp_path / "it-ran").exists()


def test_what_torch_saves_is_taken_for_the_pickle_it_is(config: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="pickle"):
        load_model(tmp_path / "weights.safetensors", config)


def test_weights_whose_header_has_the_length_that_starts_a_pickle_are_opened(
    config: dict[str, Any], weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    for n in range(0, 2000, 4):  # the header is padded to 8 bytes, so one length in 32 ends in 0x80
        save_file(weights, path, {"note": "x" * n})
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"
    load_model(path, config)


def test_a_truncated_file_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    whole = (bundled_folder() / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"not a whole safetensors file.*Download or copy it again"):
        load_model(tmp_path / "weights.safetensors", config)


def test_absent_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors are not there"):
        read_weights(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("content", ["", "- a list", "a: [unclosed"])
def test_a_config_that_is_no_mapping_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config.yaml"):
        build_model(tmp_path / "config.yaml")


def test_a_config_without_a_setting_is_refused(config: dict[str, Any]) -> None:
    section = {key: value for key, value in config["model"]["convunetr"].items() if key != "dec_chans"}
    with pytest.raises(CheckpointError, match="dec_chans"):
        build_model({**config, "model": {**config["model"], "convunetr": section}})


def test_a_window_that_the_patches_do_not_tile_is_refused(config: dict[str, Any]) -> None:
    data = {"sax": {**config["data"]["sax"], "patch_size": [190, 192, 1]}}
    with pytest.raises(CheckpointError, match="not a multiple of the patch"):
        build_model({**config, "data": data})


def test_long_axis_views_share_one_section() -> None:
    found = view_settings(
        {"model": {"views": ["lax_2c", "lax_4c"]}, "data": {"lax": {"patch_size": [256, 256], "spacing": [1, 1]}}}
    )
    assert {view: settings.patch_size for view, settings in found.items()} == {
        "lax_2c": (256, 256),
        "lax_4c": (256, 256),
    }
