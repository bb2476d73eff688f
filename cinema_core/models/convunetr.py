"""ConvUNetR: the published segmentation and heatmap network, a transformer between convolutional halves.

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import torch
from torch import Tensor, nn

from cinema_core.errors import CheckpointError
from cinema_core.models.layers import RESIDUAL_BLOCK_REACH, ResidualConvBlock, conv, conv_transpose
from cinema_core.models.region import DecoderPlan, Region, cut, grow, plan_decoder, whole
from cinema_core.models.view_encoder import (
    EncoderSettings,
    ViewEncoder,
    ViewInput,
    check_images,
    shared_encoder,
    split_views,
    view_encoders,
)

DECODER_BLOCK_REACH: Final = 2 * RESIDUAL_BLOCK_REACH


@dataclass(frozen=True)
class ConvUNetRSettings:
    """Sizes of a ConvUNetR, by the names of the published config.

    Factor lists have three entries; 2-D views use the first two.
    """

    encoder: EncoderSettings
    dec_chans: tuple[int, ...]
    dec_patch_size: tuple[int, ...]
    dec_scale_factor: tuple[int, ...]
    dropout: float = 0.0


@dataclass(frozen=True, eq=False)
class EncodedView:
    """What the decoder of a view takes.

    Attributes
    ----------
    image
        Input (b, c, *spatial).
    stages
        Outputs of the convolution stages, finest first.
    tokens
        Tokens of the transformer (b, n, width), class token left out.
    """

    image: Tensor
    stages: tuple[Tensor, ...]
    tokens: Tensor


@dataclass(frozen=True, eq=False)
class HalfDecoded:
    """What the last blocks of the decoder of a view take, and its head after them.

    Attributes
    ----------
    image
        Input (b, c, *spatial).
    features
        Output of the block before them (b, c, *spatial) at its level.
    skips
        Skip (b, c, *spatial) of each of them, None for a level without; not that of the very last, which is made
        from the image.
    """

    image: Tensor
    features: Tensor
    skips: tuple[Tensor | None, ...]


class DecoderBlock(nn.Module):
    """Up-sample, add the skip of that resolution, two residual blocks."""

    def __init__(self, in_chans: int, out_chans: int, factor: Sequence[int]) -> None:
        super().__init__()
        n_dims = len(factor)
        self.up = conv_transpose(in_chans, out_chans, factor)
        self.conv = nn.ModuleList(ResidualConvBlock(out_chans, out_chans, n_dims) for _ in range(2))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map (b, in, *spatial) to (b, out, *spatial * factor)."""
        x = self.up(x)
        if skip is not None:
            x = x + skip
        for block in self.conv:
            x = block(x)
        return x


class Decoder(nn.Module):
    """Chain of decoder blocks from the deepest resolution to the image."""

    def __init__(self, chans: Sequence[int], scale: Sequence[int], patch: Sequence[int]) -> None:
        super().__init__()
        self.factors = [tuple(scale)] * (len(chans) - 1) + [tuple(patch)]
        # Deepest first: 512 -> 256 -> ... -> 32, and once more 32 -> 32 at full resolution.
        widths = [*reversed(chans), chans[0]]
        self.blocks = nn.ModuleList(
            DecoderBlock(c_in, c_out, factor)
            for c_in, c_out, factor in zip(widths[:-1], widths[1:], self.factors, strict=True)
        )

    def level_sizes(self, image_size: Sequence[int]) -> list[tuple[int, ...]]:
        """Size of every level, deepest first, image last."""
        sizes = [tuple(image_size)]
        for factor in reversed(self.factors):
            sizes.insert(0, tuple(n // f for n, f in zip(sizes[0], factor, strict=True)))
        return sizes

    def forward(
        self, x: Tensor, skips: Sequence[Tensor | None], plan: DecoderPlan, blocks: slice = slice(None)
    ) -> Tensor:
        """Decode features (b, c, *spatial) through some blocks with one skip (or None) each, all cut as planned."""
        for block, skip, computed, kept in zip(self.blocks[blocks], skips, plan.computed, plan.kept, strict=True):
            x = cut(block(x, skip), kept, of=computed)
        return x


class ConvUNetR(nn.Module):
    """Per-view convolution encoders, one shared transformer, per-view convolution decoders.

    Parameters
    ----------
    views
        Input of each view by its key (``sax``, ``lax_4c``); 3-D or 2-D by the length of its size.
    settings
        Sizes, as in the published config.
    out_chans
        Output channels: classes, or heatmaps.
    """

    def __init__(self, views: Mapping[str, ViewInput], settings: ConvUNetRSettings, out_chans: int) -> None:
        super().__init__()
        self.view_inputs = dict(views)
        encoder, chans, dropout = settings.encoder, settings.dec_chans, settings.dropout
        width = encoder.size.width
        n_without_skip, n_down = _level_counts(views, settings)

        self.enc_down_dict = view_encoders(views, encoder)
        self.encoder = shared_encoder(encoder)
        self.dec_image_conv_block_dict = nn.ModuleDict()
        self.dec_down_blocks_dict = nn.ModuleDict()
        self.dec_conv_blocks_dict = nn.ModuleDict()
        self.decoder_dict = nn.ModuleDict()
        self.pred_head_dict = nn.ModuleDict()
        for view, view_input in views.items():
            n_dims = len(view_input.image_size)
            scale, patch = settings.dec_scale_factor[:n_dims], settings.dec_patch_size[:n_dims]
            self.dec_image_conv_block_dict[view] = ResidualConvBlock(view_input.in_chans, chans[0], n_dims, dropout)
            self.dec_down_blocks_dict[view] = nn.ModuleList(
                conv(width, width, scale, stride=scale) for _ in range(n_down)
            )
            sources = [*encoder.conv_chans, *[width] * (n_down + 1)]
            self.dec_conv_blocks_dict[view] = nn.ModuleList(
                ResidualConvBlock(c_in, c_out, n_dims, dropout)
                for c_in, c_out in zip(sources, chans[n_without_skip:], strict=True)
            )
            self.decoder_dict[view] = Decoder(chans, scale, patch)
            self.pred_head_dict[view] = conv(chans[0], out_chans, (1,) * n_dims)

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Segment every given view.

        Parameters
        ----------
        images
            View key to (batch, channel, x, y[, z]), values 0 to 1, of the configured size.

        Returns
        -------
        dict
            View key to logits (batch, out_chans, x, y[, z]).

        Raises
        ------
        GeometryError
            If a view is unknown or its size differs from the configured one.
        """
        return {view: self.decode(view, encoded) for view, encoded in self.encode(images).items()}

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, EncodedView]:
        """Encode all views together; takes and raises what :meth:`forward` does."""
        # The decoder is tied to the grid of its view; only the encoder could take another one.
        check_images(images, self.view_inputs)
        encoded = {view: self.enc_down_dict[view](image) for view, image in images.items()}
        tokens = torch.cat([tokens for tokens, _ in encoded.values()], dim=1)
        _, chunks = split_views(self.encoder(tokens), [part.shape[1] for part, _ in encoded.values()])
        return {
            view: EncodedView(images[view], tuple(encoded[view][1]), chunk)
            for view, chunk in zip(images, chunks, strict=True)
        }

    def decode(self, view: str, encoded: EncodedView, window: Region | None = None) -> Tensor:
        """Logits (b, out_chans, *window) of a part of the image, by default of all of it.

        They are those that the whole image would have there: every level computes as much around the window as
        the levels above it look at. The norms have no statistics across space, and the convolutions reach four
        voxels per level, so that the costly fine levels shrink to little more than the window; the coarse ones,
        which reach far, stay nearly whole.
        """
        image_size = encoded.image.shape[2:]
        plan = self._plan(view, whole(image_size) if window is None else window)
        sources = self._sources(view, encoded)
        skips = self._skips(view, sources, (plan.deepest, *plan.computed[:-1]))
        skips.append(_adjust(self.dec_image_conv_block_dict[view], encoded.image, plan.computed[-1]))
        logits: Tensor = self.pred_head_dict[view](self._decoder(view)(cast(Tensor, skips[0]), skips[1:], plan))
        return logits

    def half_decode(self, view: str, encoded: EncodedView, n_last: int) -> HalfDecoded:
        """Decode the whole image up to the last few blocks, for :meth:`finish`; there are more blocks than those."""
        decoder = self._decoder(view)
        plan = self._plan(view, whole(encoded.image.shape[2:]))
        skips = self._skips(view, self._sources(view, encoded), (plan.deepest, *plan.computed[:-1]))
        n_first = len(decoder.factors) - n_last
        begun = replace(plan, computed=plan.computed[:n_first], kept=plan.kept[:n_first])
        features = decoder(cast(Tensor, skips[0]), skips[1 : 1 + n_first], begun, slice(n_first))
        return HalfDecoded(encoded.image, features, tuple(skips[1 + n_first :]))

    def finish(self, view: str, half: HalfDecoded, window: Region | None = None) -> Tensor:
        """Logits that :meth:`decode` gives, from the last few blocks on."""
        image_size = half.image.shape[2:]
        n_last = len(half.skips) + 1
        plan = self._plan(view, whole(image_size) if window is None else window, n_last)
        skips = [
            None if skip is None else cut(skip, region)
            for skip, region in zip(half.skips, plan.computed[:-1], strict=True)
        ]
        skips.append(_adjust(self.dec_image_conv_block_dict[view], half.image, plan.computed[-1]))
        decoded = self._decoder(view)(cut(half.features, plan.deepest), skips, plan, slice(-n_last, None))
        logits: Tensor = self.pred_head_dict[view](decoded)
        return logits

    def _decoder(self, view: str) -> Decoder:
        return cast(Decoder, self.decoder_dict[view])  # containers of torch forget what they hold

    def _plan(self, view: str, window: Region, n_last: int | None = None) -> DecoderPlan:
        """Plan a part of the image through the last blocks of the decoder, by default all of them."""
        sizes = self._decoder(view).level_sizes(self.view_inputs[view].image_size)
        return plan_decoder(window, sizes if n_last is None else sizes[-n_last - 1 :], DECODER_BLOCK_REACH)

    def _sources(self, view: str, encoded: EncodedView) -> list[Tensor]:
        """Collect what the skips are made of, finest first; the last one is the deepest features."""
        grid = cast(ViewEncoder, self.enc_down_dict[view]).grid
        tokens = encoded.tokens
        features = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)  # (b, n, c) -> (b, c, *grid)
        sources = [*encoded.stages, features]
        for down in cast(nn.ModuleList, self.dec_down_blocks_dict[view]):
            sources.append(down(sources[-1]))
        return sources

    def _skips(self, view: str, sources: Sequence[Tensor], regions: Sequence[Region]) -> list[Tensor | None]:
        """Deepest features and skips of the levels before the image, deepest first, cut to the region of each level.

        Fine to coarse there is none for some levels, then one from each source.
        """
        skips: list[Tensor | None] = [None] * len(regions)
        blocks = cast(nn.ModuleList, self.dec_conv_blocks_dict[view])
        for level, (block, source) in enumerate(zip(reversed(blocks), reversed(sources), strict=True)):
            skips[level] = _adjust(block, source, regions[level])
        return skips


def _adjust(block: nn.Module, source: Tensor, region: Region) -> Tensor:
    """Part of a skip: as much of its source as the residual block looks at, cut to the region afterwards."""
    seen = grow(region, RESIDUAL_BLOCK_REACH, source.shape[2:])
    return cut(block(cut(source, seen)), region, of=seen)


def _level_counts(views: Mapping[str, ViewInput], settings: ConvUNetRSettings) -> tuple[int, int]:
    """Count decoder levels without skip between image and first stage, and below the tokens; alike for all views."""
    counts = set()
    for view_input in views.values():
        n_dims = len(view_input.image_size)
        levels = [
            tuple(settings.dec_patch_size[axis] * settings.dec_scale_factor[axis] ** i for axis in range(n_dims))
            for i in range(len(settings.dec_chans))
        ]
        first, deepest = settings.encoder.patch_size[:n_dims], settings.encoder.effective_patch(n_dims)
        if first not in levels or deepest not in levels:
            raise CheckpointError(
                f"The decoder of the config has resolutions {levels}; the encoder's {first} and {deepest} must be "
                "among them. Check dec_patch_size, dec_scale_factor and dec_chans."
            )
        counts.add((levels.index(first), len(levels) - 1 - levels.index(deepest)))
    if len(counts) != 1:
        raise CheckpointError("The views of the config need decoders of different depth; give them alike sizes.")
    return counts.pop()
