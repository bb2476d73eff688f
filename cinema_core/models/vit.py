"""View encoder and shared transformer of the published networks: images to tokens, and attention among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cinema_core.models.layers import ConvNormAct, DropPath, MaskedConvBlock, Mlp

TRANSFORMER_NORM_EPS: Final = 1e-5


@dataclass(frozen=True)
class TransformerSize:
    """Widths, depths and heads of encoder and (masked-autoencoder) decoder."""

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int


SIZES: Final[Mapping[str, TransformerSize]] = {
    "tiny": TransformerSize(16, 1, 2, 16, 1, 2),
    # Ours, not published: small enough to ship and to tune on a CPU.
    "small": TransformerSize(192, 6, 6, 192, 4, 6),
    "base": TransformerSize(768, 12, 12, 512, 8, 16),
    "large": TransformerSize(1024, 24, 16, 512, 8, 16),
    "huge": TransformerSize(1280, 32, 16, 512, 8, 16),
}


def position_table(width: int, grid: Sequence[int]) -> Tensor:
    """Sine-cosine position of each token, shape (1, tokens, width).

    Tokens are in C order over ``grid`` (x slowest). Published quirk, kept because checkpoints were trained
    with it: rows are decomposed over the grid with its first two axes swapped, so on a non-square grid they
    do not follow the token order.
    """
    n_dims = len(grid)
    part = width // n_dims
    part -= part % 2
    swapped = (grid[1], grid[0], *grid[2:])
    index = torch.arange(prod(grid))
    coordinates = list(torch.unravel_index(index, swapped))  # a, b[, c]
    order = [coordinates[1], coordinates[0], *coordinates[2:]]
    frequencies = 10000.0 ** (-torch.arange(part // 2, dtype=torch.float64) / (part / 2))
    blocks = []
    for coordinate in order:
        phase = coordinate.to(torch.float64)[:, None] * frequencies  # (tokens, part / 2)
        blocks += [phase.sin(), phase.cos()]
    table = torch.cat(blocks, dim=1).float()
    return F.pad(table, (0, width - table.shape[1]))[None]


def patchify(x: Tensor, patch: Sequence[int]) -> Tensor:
    """Cut into patches: (b, c, *spatial) -> (b, tokens, prod(patch) * c), channel fastest within a patch."""
    batch, chans, *spatial = x.shape
    n_dims = len(spatial)
    split: list[int] = [batch, chans]
    for size, p in zip(spatial, patch, strict=True):
        split += [size // p, p]
    grid_axes = [2 + 2 * i for i in range(n_dims)]
    patch_axes = [3 + 2 * i for i in range(n_dims)]
    x = x.reshape(split).permute(0, *grid_axes, *patch_axes, 1)  # (b, *grid, *patch, c)
    return x.reshape(batch, prod(x.shape[1 : 1 + n_dims]), prod(patch) * chans)


class PatchEmbed(nn.Module):
    """Non-overlapping patches to token vectors."""

    def __init__(self, in_chans: int, width: int, patch: Sequence[int]) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.proj = nn.Linear(prod(patch) * in_chans, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, *spatial) to (b, tokens, width)."""
        tokens: Tensor = self.proj(patchify(x, self.patch))
        return tokens


class ConvStage(nn.Module):
    """Down-sampling convolution followed by masked convolution blocks."""

    def __init__(
        self, in_chans: int, out_chans: int, factor: Sequence[int], n_blocks: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.patch_embed = ConvNormAct(in_chans, out_chans, factor)
        self.conv = nn.ModuleList(MaskedConvBlock(out_chans, len(factor), drop_path) for _ in range(n_blocks))

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Map (b, in, *spatial) to (b, out, *spatial / factor)."""
        x = self.patch_embed(x)
        for block in self.conv:
            x = block(x, visible)
        return x


class ViewEncoder(nn.Module):
    """Convolution stages and patch embedding of one view; its stage outputs serve as skips.

    Parameters
    ----------
    image_size
        Input size (x, y[, z]) for which the position table is made.
    in_chans, conv_chans, n_blocks
        Input channels, channels of each convolution stage, masked convolution blocks per stage.
    patch, scale
        Factor of the first stage, and of each later stage and of the patch embedding.
    width
        Token width.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        in_chans: int,
        conv_chans: Sequence[int],
        n_blocks: int,
        patch: Sequence[int],
        scale: Sequence[int],
        width: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        factors = [tuple(patch)] + [tuple(scale)] * len(conv_chans)
        self.conv_blocks = nn.ModuleList(
            ConvStage(c_in, c_out, factor, n_blocks, drop_path)
            for c_in, c_out, factor in zip([in_chans, *conv_chans], conv_chans, factors, strict=False)
        )
        self.patch_embed = PatchEmbed(conv_chans[-1] if conv_chans else in_chans, width, factors[-1])
        self.linear = nn.Linear(width, width)
        self.effective_patch = tuple(prod(factor[axis] for factor in factors) for axis in range(len(patch)))
        self.grid = tuple(size // p for size, p in zip(image_size, self.effective_patch, strict=True))
        self.pos_embed = nn.Parameter(position_table(width, self.grid), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Tokens (b, n, width) with positions, and the output of every convolution stage."""
        skips = []
        for stage in self.conv_blocks:
            x = stage(x)
            skips.append(x)
        tokens: Tensor = self.linear(self.patch_embed(x))
        return tokens + self.pos_embed, skips


class Attention(nn.Module):
    """Multi-head attention with separate query and key-value projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attend from (b, n, c) to (b, m, c)."""
        batch, n, width = queries.shape
        q = self._split(self.q(queries))
        k, v = (self._split(part) for part in self.kv(keys).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v)  # (b, heads, n, c / heads)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, n, width))
        return out

    def _split(self, x: Tensor) -> Tensor:
        batch, n, width = x.shape
        return x.reshape(batch, n, self.heads, width // self.heads).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP, both residual."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)
        self.mlp = Mlp(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """Map (b, n, c); with ``keys`` (b, m, c) attend to those instead, as they are (not normalised)."""
        queries = self.norm1(x)
        x = x + self.drop_path(self.attn(queries, queries if keys is None else keys))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class SharedEncoder(nn.Module):
    """Transformer over the tokens of all views, with one class token in front."""

    def __init__(self, width: int, depth: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, drop_path) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)
        self.grad_ckpt = False
        nn.init.normal_(self.cls_token, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (b, n, c) to (b, 1 + n, c), class token first."""
        x = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.grad_ckpt and self.training else block(x)
        out: Tensor = self.norm(x)
        return out
