"""Convolutional building blocks of the published networks, for 2-D and 3-D images alike.

Names of children are those of the published checkpoints (CineMA, arXiv 2506.00679); tensors are
``(batch, channel, x, y[, z])``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONV_NORM_EPS: Final = 1e-6
"""Epsilon of every convolutional norm; transformers use 1e-5."""

RESIDUAL_BLOCK_REACH: Final = 2
"""Voxels that a residual block sees to each side: one for each of its 3-wide convolutions."""


class PlaneAwareConv3d(nn.Conv3d):
    """3-D convolution that works in two dimensions when its input is one slice deep.

    A 3 x 3 x 3 kernel laid on one slice sees zeros above and below, so only its middle tap in z matters.
    The CPU kernels convolve all three: several times slower than the middle tap alone, for the same numbers.

    On an image smaller than its kernel torch 2.13's bfloat16 kernel for CPUs gets the gradient of depth-wise weights
    wrong: it reads memory that nobody wrote. There the convolution is done in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (b, c, x, y, z)."""
        if self._half_precision_is_wrong(x):
            bias = None if self.bias is None else self.bias.float()
            with torch.autocast("cpu", enabled=False):
                exact: Tensor = self._conv_forward(x.float(), self.weight.float(), bias)
            return exact.bfloat16()
        depth = self.kernel_size[2]
        if x.shape[-1] != 1 or depth % 2 == 0 or self.padding[2] != depth // 2 or isinstance(self.padding, str):
            return super().forward(x)
        if self.in_channels == 1 and self.kernel_size == (1, 1, 1):
            # One factor per channel; the backward pass of a convolution is far slower.
            scaled = x * self.weight.view(1, -1, 1, 1, 1)
            return scaled if self.bias is None else scaled + self.bias.view(1, -1, 1, 1, 1)
        weight = self.weight[..., depth // 2].contiguous(memory_format=torch.channels_last)
        y = F.conv2d(
            x.squeeze(-1), weight, self.bias, self.stride[:2], self.padding[:2], self.dilation[:2], self.groups
        )
        return y.unsqueeze(-1)

    def _half_precision_is_wrong(self, x: Tensor) -> bool:
        if x.device.type != "cpu" or self.groups == 1 or not torch.is_grad_enabled():
            return False
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
        smaller = any(n < width for n, width in zip(x.shape[2:4], self.kernel_size[:2], strict=True))
        return smaller and (half or x.dtype is torch.bfloat16)


class PlaneAwareConvTranspose3d(nn.ConvTranspose3d):
    """Transposed convolution that works in two dimensions on one slice, if its kernel is one slice deep."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Up-sample (b, c, x, y, z)."""
        if x.shape[-1] != 1 or self.kernel_size[2] != 1 or any(self.padding):
            return super().forward(x, output_size)
        weight = self.weight[..., 0].contiguous(memory_format=torch.channels_last)
        y = F.conv_transpose2d(x.squeeze(-1), weight, self.bias, self.stride[:2])
        return y.unsqueeze(-1)


def conv(
    in_chans: int,
    out_chans: int,
    kernel: Sequence[int],
    *,
    stride: Sequence[int] | None = None,
    padding: Sequence[int] | int = 0,
    groups: int = 1,
) -> nn.Module:
    """Convolution with bias of as many axes as the kernel has."""
    cls = PlaneAwareConv3d if len(kernel) == 3 else nn.Conv2d
    strides = tuple(stride) if stride is not None else (1,) * len(kernel)
    pads = tuple(padding) if not isinstance(padding, int) else (padding,) * len(kernel)
    return cls(in_chans, out_chans, tuple(kernel), stride=strides, padding=pads, groups=groups)  # type: ignore[arg-type]


def same_conv(in_chans: int, out_chans: int, width: int, n_dims: int, *, groups: int = 1) -> nn.Module:
    """Convolution that keeps the size: an odd kernel of the same width along every axis, zero padding."""
    return conv(in_chans, out_chans, (width,) * n_dims, padding=width // 2, groups=groups)


def conv_transpose(in_chans: int, out_chans: int, factor: Sequence[int]) -> nn.Module:
    """Up-sampling by whole factors: kernel = stride."""
    cls = PlaneAwareConvTranspose3d if len(factor) == 3 else nn.ConvTranspose2d
    return cls(in_chans, out_chans, tuple(factor), stride=tuple(factor))  # type: ignore[arg-type]


class ConvLayerNorm(nn.Module):
    """LayerNorm over the channels at each voxel; no statistics across space, so crops stay exact."""

    def __init__(self, chans: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(chans))
        self.bias = nn.Parameter(torch.zeros(chans))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (b, c, ...)."""
        normed = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, CONV_NORM_EPS)
        return normed.movedim(-1, 1)


def instance_norm(chans: int, n_dims: int) -> nn.Module:
    """Instance norm of the published UNet: no weights, no running statistics."""
    cls = nn.InstanceNorm3d if n_dims == 3 else nn.InstanceNorm2d
    return cls(chans, eps=CONV_NORM_EPS, affine=False, track_running_stats=False)


class Mlp(nn.Module):
    """Two layers with an exact GELU between: on tokens (..., c), or on voxels (b, c, ...) with 1 x 1 convolutions."""

    def __init__(self, chans: int, n_dims: int | None = None, ratio: int = 4) -> None:
        super().__init__()
        hidden = chans * ratio
        self.fc1: nn.Module
        self.fc2: nn.Module
        if n_dims is None:
            self.fc1, self.fc2 = nn.Linear(chans, hidden), nn.Linear(hidden, chans)
        else:
            self.fc1, self.fc2 = same_conv(chans, hidden, 1, n_dims), same_conv(hidden, chans, 1, n_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Map without changing the shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class ResidualConvBlock(nn.Module):
    """Pre-norm residual block of two 3-wide convolutions; 1 x 1 shortcut when the channel count changes."""

    def __init__(
        self,
        in_chans: int,
        out_chans: int,
        n_dims: int,
        dropout: float = 0.0,
        norm: Callable[[int], nn.Module] = ConvLayerNorm,
    ) -> None:
        super().__init__()
        self.norm1 = norm(in_chans)
        self.conv1 = same_conv(in_chans, out_chans, 3, n_dims)
        self.norm2 = norm(out_chans)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = same_conv(out_chans, out_chans, 3, n_dims)
        self.shortcut = same_conv(in_chans, out_chans, 1, n_dims) if in_chans != out_chans else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, in, ...) to (b, out, ...)."""
        y = self.conv1(F.gelu(self.norm1(x)))
        y = self.conv2(self.dropout(F.gelu(self.norm2(y))))
        out: Tensor = self.shortcut(x) + y
        return out


class DropPath(nn.Module):
    """Leave out a residual branch for some samples of a batch while training (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero whole samples with probability ``rate``; the others are scaled up to keep the mean."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask / keep


class MaskedConvBlock(nn.Module):
    """Large-kernel depthwise block and channel MLP, both residual; masked voxels feed nothing to their neighbours."""

    def __init__(self, chans: int, n_dims: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = ConvLayerNorm(chans)
        self.conv1 = same_conv(chans, chans, 1, n_dims)
        self.dw_conv = same_conv(chans, chans, 5, n_dims, groups=chans)
        self.conv2 = same_conv(chans, chans, 1, n_dims)
        self.norm2 = ConvLayerNorm(chans)
        self.mlp = Mlp(chans, n_dims)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Map (b, c, ...) to the same shape; ``visible`` is 1 or 0 per voxel, (b, 1, ...)."""
        y = self.conv1(self.norm1(x))
        if visible is not None:
            y = y * visible
        x = x + self.drop_path(self.conv2(self.dw_conv(y)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class ConvNormAct(nn.Module):
    """Non-overlapping strided convolution, norm, GELU."""

    def __init__(self, in_chans: int, out_chans: int, factor: Sequence[int]) -> None:
        super().__init__()
        self.conv = conv(in_chans, out_chans, factor, stride=factor)
        self.norm = ConvLayerNorm(out_chans)

    def forward(self, x: Tensor) -> Tensor:
        """Down-sample by ``factor``."""
        return F.gelu(self.norm(self.conv(x)))
