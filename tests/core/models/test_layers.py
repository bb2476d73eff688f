"""Convolutions on a stack one slice thick are two-dimensional; what they compute must not change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cinema_core.models.layers import PlaneAwareConv3d, PlaneAwareConvTranspose3d


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_channels": 6, "out_channels": 8, "kernel_size": (3, 3, 3), "padding": (1, 1, 1)},
        {"in_channels": 6, "out_channels": 6, "kernel_size": (7, 7, 7), "padding": (3, 3, 3), "groups": 6},
        {"in_channels": 6, "out_channels": 8, "kernel_size": (2, 2, 1), "stride": (2, 2, 1)},
        {"in_channels": 1, "out_channels": 8, "kernel_size": (1, 1, 1)},
    ],
)
@pytest.mark.parametrize("n_slices", [1, 3])
def test_convolution_equals_torch(arguments: dict[str, object], n_slices: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv3d(**arguments)  # type: ignore[arg-type]
    ours = PlaneAwareConv3d(**arguments)  # type: ignore[arg-type]
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, plain.in_channels, 8, 12, n_slices)
    torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", [(2, 2, 1), (4, 4, 1)])
@pytest.mark.parametrize("n_slices", [1, 3])
def test_transposed_convolution_equals_torch(factor: tuple[int, int, int], n_slices: int) -> None:
    torch.manual_seed(0)
    plain = nn.ConvTranspose3d(6, 4, factor, stride=factor)
    ours = PlaneAwareConvTranspose3d(6, 4, factor, stride=factor)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, 5, 7, n_slices)
    torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 2, 2, 2), (2, 8, 4, 4, 2), (2, 8, 4, 9, 3), (2, 8, 4, 4, 1), (2, 8, 9, 9, 2)])
def test_half_precision_teaches_depth_wise_weights_as_float32_does(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = PlaneAwareConv3d(8, 8, (5, 5, 5), padding=(2, 2, 2), groups=8)
    x, back = (torch.randn(shape).contiguous(memory_format=torch.channels_last_3d) for _ in range(2))
    gradients = []
    for half in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            y = layer(x)
        assert y.dtype is (torch.bfloat16 if half else torch.float32)
        y.backward(back.to(y.dtype))
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad.clone())
    full, other = gradients
    torch.testing.assert_close(other, full, rtol=0, atol=0.02 * float(full.abs().max()))
