from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from cinema_core.cases import TrainingCase
from cinema_core.learn import tiers
from cinema_core.learn.settings import LARGE_MODEL_PARAMETERS, Tier
from cinema_core.learn.tiers import are_few, choose_tier, freeze_all_but
from cinema_core.models.zoo import LoadedModel

CPU = torch.device("cpu")


@pytest.fixture
def large() -> nn.Module:
    with torch.device("meta"):
        block = nn.Linear(LARGE_MODEL_PARAMETERS // 1000, 1001)
    return nn.ModuleDict({"decoder_dict": nn.ModuleDict({"sax": nn.ModuleDict({"blocks": nn.ModuleList([block])})})})


def test_a_small_model_is_tuned_whole_once_there_are_labels_enough(base: LoadedModel) -> None:
    assert choose_tier(base.network, CPU, Tier.AUTO, "sax", few=True) is Tier.NORMS
    assert choose_tier(base.network, CPU, Tier.AUTO, "sax", few=False) is Tier.WHOLE
    trained = freeze_all_but(base.network, Tier.WHOLE, "sax")
    assert len(trained) == len(list(base.network.parameters())) - 1  # not the position table


def test_labels_are_few_if_they_are_of_several_patients(make_case: Callable[..., TrainingCase]) -> None:
    one, other = make_case("a", slices=(1, 2, 3)), make_case("b", slices=(2, 3, 4))
    assert are_few([one, other])
    assert are_few([one, other, replace(one, phase="es"), replace(other, phase="es")])  # 12 slices
    assert not are_few([one, other, *(replace(one, phase=phase) for phase in ("es", "t 1", "t 2"))])
    assert not are_few([one, replace(one, study_id="another study of the same patient")])


def test_norms_and_biases_are_all_vectors_and_nothing_else(base: LoadedModel) -> None:
    trained = freeze_all_but(base.network, Tier.NORMS, "sax")
    assert set(trained) == {name for name, parameter in base.network.named_parameters() if parameter.ndim == 1}
    norms = [n for n, m in base.network.named_modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d)]
    assert norms
    assert {f"{name}.weight" for name in norms} <= set(trained)


def test_a_large_model_trains_what_the_machine_can(large: nn.Module) -> None:
    assert choose_tier(large, CPU, Tier.AUTO, "sax", few=True) is Tier.LAST_BLOCKS
    assert choose_tier(large, torch.device("cuda"), Tier.AUTO, "sax", few=True) is Tier.DECODER


def test_the_readers_wish_comes_first(large: nn.Module) -> None:
    assert choose_tier(large, CPU, Tier.WHOLE, "sax", few=True) is Tier.WHOLE


@pytest.mark.parametrize("tier", [Tier.DECODER, Tier.LAST_BLOCKS])
def test_a_frozen_encoder_gets_no_gradient(base: LoadedModel, tier: Tier) -> None:
    trained = freeze_all_but(base.network, tier, "sax")
    base.network({"sax": torch.rand(1, 1, 32, 32, 1)})["sax"].sum().backward()
    with_gradient = {name for name, parameter in base.network.named_parameters() if parameter.grad is not None}
    assert with_gradient == set(trained)
    assert not any(name.startswith(("encoder.", "enc_down_dict.")) for name in trained)


def test_the_last_blocks_are_two_with_image_skip_and_head(base: LoadedModel) -> None:
    trained = freeze_all_but(base.network, Tier.LAST_BLOCKS, "sax")
    parts = {".".join(name.split(".")[:4]) if name.startswith("decoder") else name.split(".")[0] for name in trained}
    assert parts == {
        "decoder_dict.sax.blocks.3",
        "decoder_dict.sax.blocks.4",
        "dec_image_conv_block_dict",
        "pred_head_dict",
    }


def test_a_unet_has_no_last_blocks_and_is_tuned_whole(
    make_unet: Callable[[], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_unet().network
    assert choose_tier(network, CPU, Tier.AUTO, "sax", few=True) is Tier.WHOLE
    monkeypatch.setattr(tiers, "LARGE_MODEL_PARAMETERS", 3)
    assert choose_tier(network, CPU, Tier.AUTO, "sax", few=True) is Tier.WHOLE
    assert choose_tier(network, CPU, Tier.LAST_BLOCKS, "sax", few=True) is Tier.WHOLE
    assert choose_tier(network, CPU, Tier.DECODER, "sax", few=True) is Tier.DECODER
    trained = freeze_all_but(network, Tier.DECODER, "sax")
    assert {name.split(".")[0] for name in trained} == {"decoder", "out_conv"}
