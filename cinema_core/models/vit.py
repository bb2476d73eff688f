"""Transformer of the published networks: patches, positions, attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cinema_core.models.layers import DropPath, Mlp

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


def resize_positions(table: Tensor, grid: Sequence[int], new_grid: Sequence[int]) -> Tensor:
    """Interpolate a position table (1, tokens, width) of one grid to another, in float32: bicubic or trilinear."""
    if tuple(grid) == tuple(new_grid):
        return table
    volume = table.float().reshape(1, *grid, -1).movedim(-1, 1)  # (1, width, *grid)
    mode = "trilinear" if len(grid) == 3 else "bicubic"
    resized = F.interpolate(volume, size=tuple(new_grid), mode=mode, align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(table.dtype)


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


def unpatchify(patches: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Put patches together again: (b, tokens, prod(patch) * c) -> (b, c, *grid * patch)."""
    n_dims = len(grid)
    x = patches.reshape(patches.shape[0], *grid, *patch, -1)  # (b, *grid, *patch, c)
    interleaved = [axis for i in range(n_dims) for axis in (1 + i, 1 + n_dims + i)]
    x = x.permute(0, 1 + 2 * n_dims, *interleaved)
    return x.reshape(x.shape[0], x.shape[1], *(g * p for g, p in zip(grid, patch, strict=True)))


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


def run_block(block: nn.Module, *inputs: Tensor | None, forget: bool) -> Tensor:
    """Run a block; ``forget`` its inner activations and compute them again on the way back (same numbers)."""
    out: Tensor = checkpoint(block, *inputs, use_reentrant=False) if forget else block(*inputs)
    return out


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of (b, heads, n, c) on (b, heads, m, c).

    In bfloat16 torch's fused kernel for CPUs is no faster than in float32: 91 ms for a layer of the base size on
    two cores, where plain products with a softmax between take 35 ms. Training, which would keep all the scores
    for the way back, stays with the fused kernel.
    """
    if q.device.type != "cpu" or q.dtype is not torch.bfloat16 or torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v)
    queries, keys, values = (x.flatten(0, 1).contiguous() for x in (q * q.shape[-1] ** -0.5, k, v))
    attended = torch.empty_like(queries)  # (b * heads, n, c)
    with torch.autocast("cpu", enabled=False):  # which would make the softmax float32, and twice as long
        for head in range(len(queries)):  # the scores of one head fit into the cache
            scores = queries[head] @ keys[head].T  # (n, m)
            torch.softmax(scores, dim=-1, out=scores)
            torch.mm(scores, values[head], out=attended[head])
    return attended.reshape(*q.shape[:2], *attended.shape[1:])


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
        attended = attend(q, k, v)  # (b, heads, n, c / heads)
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
            x = run_block(block, x, forget=self.grad_ckpt and self.training)
        out: Tensor = self.norm(x)
        return out
