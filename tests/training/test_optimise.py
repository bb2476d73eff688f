"""Layer decay and the learning rate's course."""

from __future__ import annotations

from pathlib import Path

import pytest
from processed_datasets import small_config

from cinema_core.models import build_model
from cinema_core.models.depth import layer_of
from training.optimise import parameter_groups, rate_at


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("enc_down_dict.sax.linear.weight", 0),
        ("enc_fusion_dict.sax.norm.weight", 0),
        ("encoder.cls_token", 0),
        ("encoder.blocks.0.norm1.weight", 1),
        ("encoder.blocks.11.mlp.fc2.bias", 12),
        ("encoder.norm.weight", 13),
        ("decoder_dict.sax.blocks.0.up.weight", 13),
        ("pred_head_dict.sax.bias", 13),
    ],
)
def test_layers_are_numbered_as_published(name: str, layer: int) -> None:
    assert layer_of(name, depth=12) == layer


def test_pretrained_layers_near_the_image_learn_slower_and_every_parameter_once(tmp_path: Path) -> None:
    config = small_config(tmp_path, "model.ckpt_path=mae.safetensors")
    network = build_model(config.model_dump(mode="json"))
    groups = parameter_groups(network, config)
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert len(scales) == sum(len(group["params"]) for group in groups) == len(named)
    assert scales[id(named["pred_head_dict.sax.weight"])] == 1
    assert scales[id(named["encoder.blocks.0.attn.q.weight"])] == pytest.approx(0.75)
    assert scales[id(named["encoder.cls_token"])] == pytest.approx(0.75**2)
    assert decays[id(named["encoder.blocks.0.attn.q.weight"])] == 0.05
    assert decays[id(named["encoder.blocks.0.attn.q.bias"])] == 0


def test_from_nothing_the_config_is_kept_to_or_the_published_defect(tmp_path: Path) -> None:
    for behaviour, decays in (("mended", [0.05, 0.0]), ("published", [0.01])):
        config = small_config(tmp_path, f"behaviour={behaviour}")
        groups = parameter_groups(build_model(config.model_dump(mode="json")), config)
        assert [group["weight_decay"] for group in groups] == decays
        assert all("lr_scale" not in group for group in groups)


def test_the_rate_rises_to_its_peak_and_falls_to_its_floor(tmp_path: Path) -> None:
    train = small_config(tmp_path, "train.n_warmup_epochs=10", "train.n_epochs=110").train
    assert rate_at(0, train) == 0
    assert rate_at(5, train) == pytest.approx(train.lr / 2)
    assert rate_at(10, train) == pytest.approx(train.lr)
    assert rate_at(60, train) == pytest.approx((train.lr + train.min_lr) / 2)
    assert rate_at(110, train) == pytest.approx(train.min_lr)
