"""From the image of one view to tokens: convolution stages, patch embedding, and the fusion of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema_core.errors import GeometryError
from cinema_core.models.layers import ConvNormAct, MaskedConvBlock, conv
from cinema_core.models.vit import (
    TRANSFORMER_NORM_EPS,
    PatchEmbed,
    SharedEncoder,
    TransformerSize,
    position_table,
    resize_positions,
    run_block,
)


@dataclass(frozen=True)
class ViewInput:
    """Size (x, y[, z]) and channels of one view's input."""

    image_size: tuple[int, ...]
    in_chans: int


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of the encoder that all published networks share, by the names of the published config.

    Factor lists have three entries; 2-D views use the first two.
    """

    size: TransformerSize
    patch_size: tuple[int, ...]
    scale_factor: tuple[int, ...]
    conv_chans: tuple[int, ...]
    conv_n_blocks: int
    drop_path: float = 0.0
    grad_ckpt: bool = False

    def factors(self, n_dims: int) -> list[tuple[int, ...]]:
        """Down-sampling of each convolution stage, and last of the patch embedding."""
        return [self.patch_size[:n_dims]] + [self.scale_factor[:n_dims]] * len(self.conv_chans)

    def effective_patch(self, n_dims: int) -> tuple[int, ...]:
        """Voxels per token along each axis."""
        return tuple(prod(factor[axis] for factor in self.factors(n_dims)) for axis in range(n_dims))


class ConvStage(nn.Module):
    """Down-sampling convolution followed by masked convolution blocks."""

    def __init__(self, in_chans: int, out_chans: int, factor: Sequence[int], settings: EncoderSettings) -> None:
        super().__init__()
        self.grad_ckpt = settings.grad_ckpt
        self.patch_embed = ConvNormAct(in_chans, out_chans, factor)
        self.conv = nn.ModuleList(
            MaskedConvBlock(out_chans, len(factor), settings.drop_path) for _ in range(settings.conv_n_blocks)
        )

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Map (b, in, *spatial) to (b, out, *spatial / factor)."""
        x = self.patch_embed(x)
        for block in self.conv:
            x = run_block(block, x, visible, forget=self.grad_ckpt and self.training)
        return x


class ViewEncoder(nn.Module):
    """Convolution stages and patch embedding of one view; its stage outputs serve as skips.

    Parameters
    ----------
    view_input
        Input size, for which the position table is made, and channels.
    settings
        Sizes of the encoder.
    """

    def __init__(self, view_input: ViewInput, settings: EncoderSettings) -> None:
        super().__init__()
        n_dims = len(view_input.image_size)
        width, conv_chans = settings.size.width, settings.conv_chans
        factors = settings.factors(n_dims)
        chans = [view_input.in_chans, *conv_chans]
        self.conv_blocks = nn.ModuleList(
            ConvStage(c_in, c_out, factor, settings)
            for c_in, c_out, factor in zip(chans, conv_chans, factors, strict=False)
        )
        self.patch_embed = PatchEmbed(chans[-1], width, factors[-1])
        self.linear = nn.Linear(width, width)
        self.scale = settings.scale_factor[:n_dims]
        self.effective_patch = settings.effective_patch(n_dims)
        self.grid = self.grid_of(view_input.image_size)
        self.pos_embed = nn.Parameter(position_table(width, self.grid), requires_grad=False)

    def grid_of(self, image_size: Sequence[int]) -> tuple[int, ...]:
        """Tokens along each axis of an image of size (x, y[, z])."""
        return tuple(size // patch for size, patch in zip(image_size, self.effective_patch, strict=True))

    def forward(self, x: Tensor, removed: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Encode one view.

        Parameters
        ----------
        x
            Images (b, c, x, y[, z]); another size than the configured one gets interpolated positions.
        removed
            Masked tokens, bool (b, n): hidden from the depthwise convolutions. The tokens are not dropped here.

        Returns
        -------
        tokens, stages
            Tokens (b, n, width) with positions, and the output of every convolution stage.
        """
        grid = self.grid_of(x.shape[2:])
        visible = [None] * len(self.conv_blocks) if removed is None else self._visible(removed, grid, x.dtype)
        stages = []
        for stage, shown in zip(self.conv_blocks, visible, strict=True):
            x = stage(x, shown)
            stages.append(x)
        tokens: Tensor = self.linear(self.patch_embed(x))
        return tokens + resize_positions(self.pos_embed, self.grid, grid), stages

    def _visible(self, removed: Tensor, grid: Sequence[int], dtype: torch.dtype) -> list[Tensor | None]:
        # From the tokens back to the first stage, each token's fate is copied to the voxels that it covers.
        shown = (~removed).reshape(removed.shape[0], 1, *grid).to(dtype)
        found: list[Tensor | None] = []
        for _ in self.conv_blocks:
            shown = F.interpolate(shown, scale_factor=tuple(float(s) for s in self.scale), mode="nearest")
            found.insert(0, shown)
        return found


class FeatureFusion(nn.Module):
    """Add the convolution stages of a view, brought down to its tokens, to these tokens."""

    def __init__(self, settings: EncoderSettings, n_dims: int) -> None:
        super().__init__()
        width, n_stages = settings.size.width, len(settings.conv_chans)
        # What is left of the way from a stage down to the tokens.
        factors = [tuple(s ** (n_stages - i) for s in settings.scale_factor[:n_dims]) for i in range(n_stages)]
        self.down_convs = nn.ModuleList(
            conv(chans, width, factor, stride=factor)
            for chans, factor in zip(settings.conv_chans, factors, strict=True)
        )
        self.norm = nn.LayerNorm(width, eps=TRANSFORMER_NORM_EPS)

    def forward(self, tokens: Tensor, stages: Sequence[Tensor], removed: Tensor | None = None) -> Tensor:
        """Fuse tokens (b, n, width), which are the visible ones only if ``removed`` (b, all) is given."""
        for down, stage in zip(self.down_convs, stages, strict=True):
            flat = down(stage).flatten(2).transpose(1, 2)  # (b, all, width)
            tokens = tokens + (flat if removed is None else keep_visible(flat, removed))
        fused: Tensor = self.norm(tokens)
        return fused


def keep_visible(tokens: Tensor, removed: Tensor) -> Tensor:
    """Leave out removed tokens, (b, n, c) -> (b, m, c), in order; each sample has as many of them."""
    return tokens[~removed].reshape(tokens.shape[0], -1, tokens.shape[2])


def view_encoders(views: Mapping[str, ViewInput], settings: EncoderSettings) -> nn.ModuleDict:
    """Make an encoder for each view, by its key."""
    return nn.ModuleDict({view: ViewEncoder(view_input, settings) for view, view_input in views.items()})


def feature_fusions(views: Mapping[str, ViewInput], settings: EncoderSettings) -> nn.ModuleDict:
    """Make a fusion for each view, by its key."""
    return nn.ModuleDict({view: FeatureFusion(settings, len(found.image_size)) for view, found in views.items()})


def shared_encoder(settings: EncoderSettings) -> SharedEncoder:
    """Make the transformer over the tokens of all views."""
    encoder = SharedEncoder(settings.size.width, settings.size.depth, settings.size.heads, settings.drop_path)
    encoder.grad_ckpt = settings.grad_ckpt
    return encoder


def split_views(tokens: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Take apart what the shared encoder gave: the class token (b, 1, c), and the tokens of each view (b, n, c)."""
    cls, *views = tokens.split([1, *counts], dim=1)
    return cls, views


def check_images(
    images: Mapping[str, Tensor], views: Mapping[str, ViewInput], patch: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Compare images with what a network takes.

    Parameters
    ----------
    images
        View key to (b, c, x, y[, z]).
    views
        What the network was built for.
    patch
        Smallest step of each view's size, where other sizes than the configured one are taken; None: only that one.

    Raises
    ------
    GeometryError
        With the view, what was found and what is expected.
    """
    if not images:
        raise GeometryError(f"The model needs an image of one of its views: {', '.join(views)}.")
    for view, image in images.items():
        if view not in views:
            raise GeometryError(f"The model knows {', '.join(views)}, not {view}.")
        expected, found = (views[view].in_chans, *views[view].image_size), tuple(image.shape[1:])
        if len(found) != len(expected) or found[0] != expected[0] or (patch is None and found != expected):
            raise GeometryError(
                f"The {view} input is (channel, *size) = {found}; this model takes {expected}. "
                "Pad or crop the image to that size."
            )
        if patch is not None and any(n == 0 or n % p for n, p in zip(found[1:], patch[view], strict=True)):
            raise GeometryError(
                f"The {view} input has the size {found[1:]}; this model takes multiples of {tuple(patch[view])}. "
                "Pad the image with zeros at the end of each axis."
            )
    if len({image.shape[0] for image in images.values()}) > 1:
        counts = ", ".join(f"{view} {image.shape[0]}" for view, image in images.items())
        raise GeometryError(f"The views hold different numbers of samples ({counts}). Give as many of each.")


def fused_features(
    images: Mapping[str, Tensor],
    view_encoders: nn.ModuleDict,
    encoder: nn.Module,
    fusions: nn.ModuleDict,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Encode views together and add their convolution stages.

    Parameters
    ----------
    images
        View key to (b, c, x, y[, z]).
    view_encoders, encoder, fusions
        Parts of the network.
    masks
        View key to removed tokens, bool (b, n); these are dropped.

    Returns
    -------
    dict
        ``cls`` (b, 1, width), not fused, and for each view its visible tokens (b, m, width), fused.
    """
    removed = {view: None if masks is None else masks[view] for view in images}
    encoded = {view: view_encoders[view](image, removed[view]) for view, image in images.items()}
    visible = [
        tokens if (hidden := removed[view]) is None else keep_visible(tokens, hidden)
        for view, (tokens, _) in encoded.items()
    ]
    cls, chunks = split_views(encoder(torch.cat(visible, dim=1)), [tokens.shape[1] for tokens in visible])
    fused = {
        view: fusions[view](chunk, encoded[view][1], removed[view]) for view, chunk in zip(images, chunks, strict=True)
    }
    return {"cls": cls, **fused}


def check_one_view(images: Mapping[str, Tensor], view: str, view_input: ViewInput) -> None:
    """Compare images with the one view that a baseline takes; its size may differ.

    Raises
    ------
    GeometryError
        With what was found and what is expected.
    """
    if set(images) != {view}:
        raise GeometryError(f"The model takes {view}; {', '.join(images) or 'no image'} was given.")
    found, n_dims = tuple(images[view].shape[1:]), len(view_input.image_size)
    if len(found) != 1 + n_dims or found[0] != view_input.in_chans:
        raise GeometryError(
            f"The {view} input is (channel, *size) = {found}; this model takes {view_input.in_chans} channels and "
            f"{n_dims} axes."
        )
