"""Moving a pretrained encoder: what is refused, and what freezing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from cinema_core.errors import CheckpointError
from cinema_core.models import build_model, transfer_pretrained

TARGET = "transfer_mae_convvit_sax_2frames"


@pytest.fixture
def config(shared_golden: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((shared_golden / f"{TARGET}.yaml").read_text())
    return found


def test_freezing_takes_the_loaded_parameters_out_of_training(config: dict[str, Any], shared_golden: Path) -> None:
    model = build_model(config)
    report = transfer_pretrained(model, shared_golden / "mae.safetensors", freeze=True)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == set(report.not_loaded) - {"enc_down_dict.sax.pos_embed"}


def test_first_convolution_is_repeated_and_not_divided(config: dict[str, Any], shared_golden: Path) -> None:
    model = build_model(config)
    transfer_pretrained(model, shared_golden / "mae.safetensors")
    key = "enc_down_dict.sax.conv_blocks.0.patch_embed.conv.weight"
    single = load_file(shared_golden / "mae.safetensors")[key]
    weight = model.state_dict()[key]
    assert weight.shape[1] == 2
    assert all(torch.equal(weight[:, [chan]], single) for chan in range(2))


def test_a_baseline_takes_no_encoder(shared_golden: Path) -> None:
    with pytest.raises(CheckpointError, match="A UNet takes no pretrained encoder"):
        transfer_pretrained(build_model(shared_golden / "unet_sax.yaml"), shared_golden / "mae.safetensors")


@pytest.mark.parametrize("fault", ["another size", "missing"])
def test_an_encoder_that_does_not_fit_changes_nothing(
    fault: str, config: dict[str, Any], shared_golden: Path, tmp_path: Path
) -> None:
    pretrained = shared_golden / "mae.safetensors"
    if fault == "another size":
        config["model"]["convvit"]["size"] = "small"
    else:
        kept = {key: value for key, value in load_file(pretrained).items() if key != "encoder.norm.bias"}
        pretrained = tmp_path / "mae.safetensors"
        save_file(kept, pretrained)
    model = build_model(config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"mae.safetensors holds no encoder for this ConvViT.*same size"):
        transfer_pretrained(model, pretrained)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
