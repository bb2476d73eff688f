"""A copy laid out for a CPU answers as the network does, and leaves it as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cinema_core.models import build_model
from cinema_core.models.layout import PackedLinear, laid_out
from cinema_core.models.precision import multiplies_bfloat16
from cinema_core.models.vit import attend

IMAGES = {"sax": torch.rand(1, 1, 64, 64, 4, generator=torch.Generator().manual_seed(0))}

needs_bfloat16 = pytest.mark.skipif(
    not (multiplies_bfloat16(torch.device("cpu")) and PackedLinear.is_available()),
    reason="this processor or torch does not multiply bfloat16 itself",
)


def test_channels_last_changes_no_number(shared_golden: Path) -> None:
    model = build_model(shared_golden / "seg_sax.yaml")
    copy = laid_out(model, torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(copy(IMAGES)["sax"], model(IMAGES)["sax"], rtol=0, atol=1e-5)
    assert all(parameter.is_contiguous() for parameter in model.parameters())


@needs_bfloat16
def test_bfloat16_is_near_and_the_network_keeps_its_weights(shared_golden: Path) -> None:
    model = build_model(shared_golden / "seg_sax.yaml")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy = laid_out(model, torch.bfloat16)
    with torch.inference_mode():
        expected = model(IMAGES)["sax"]
        with torch.autocast("cpu", torch.bfloat16):
            found = copy(IMAGES)["sax"].float()
    assert found.isfinite().all()
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(isinstance(module, PackedLinear) for module in model.modules())


@needs_bfloat16
@pytest.mark.parametrize("bias", [True, False])
def test_packed_layer_equals_the_layer_in_bfloat16(bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 80, bias=bias), torch.randn(2, 37, 48)
    with torch.inference_mode():
        found, expected = PackedLinear(linear)(x), linear.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), expected.float(), rtol=0, atol=0.02)


def test_attention_by_plain_products_equals_the_fused_kernel() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 33, 16), torch.randn(2, 3, 21, 16), torch.randn(2, 3, 21, 16)
    with torch.inference_mode():
        found = attend(*(x.bfloat16() for x in (q, k, v)))
    assert found.shape == q.shape
    torch.testing.assert_close(found.float(), attend(q, k, v), rtol=0, atol=0.03)
