"""ConvUNetR: the published segmentation and heatmap network, a transformer between convolutional halves.

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from cinema_core.errors import CheckpointError
from cinema_core.models.layers import ResidualConvBlock, conv, conv_transpose
from cinema_core.models.view_encoder import (
    EncoderSettings,
    ViewEncoder,
    ViewInput,
    check_images,
    shared_encoder,
    split_views,
    view_encoders,
)


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
        # Deepest first: 512 -> 256 -> ... -> 32, and once more 32 -> 32 at full resolution.
        widths = [*reversed(chans), chans[0]]
        factors = [scale] * (len(chans) - 1) + [patch]
        self.blocks = nn.ModuleList(
            DecoderBlock(c_in, c_out, factor)
            for c_in, c_out, factor in zip(widths[:-1], widths[1:], factors, strict=True)
        )

    def forward(self, x: Tensor, skips: Sequence[Tensor | None]) -> Tensor:
        """Decode the deepest features (b, c, *spatial) with one skip (or None) per block."""
        for block, skip in zip(self.blocks, skips, strict=True):
            x = block(x, skip)
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
        self.n_without_skip, n_down = _level_counts(views, settings)

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
                for c_in, c_out in zip(sources, chans[self.n_without_skip :], strict=True)
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
        # The decoder is tied to the grid of its view; only the encoder could take another one.
        check_images(images, self.view_inputs)
        encoded = {view: self.enc_down_dict[view](image) for view, image in images.items()}
        tokens = torch.cat([tokens for tokens, _ in encoded.values()], dim=1)
        _, chunks = split_views(self.encoder(tokens), [part.shape[1] for part, _ in encoded.values()])
        return {
            view: self._decode(view, images[view], encoded[view][1], chunk)
            for view, chunk in zip(images, chunks, strict=True)
        }

    def _decode(self, view: str, image: Tensor, stages: Sequence[Tensor], tokens: Tensor) -> Tensor:
        # Containers of torch forget what they hold.
        grid = cast(ViewEncoder, self.enc_down_dict[view]).grid
        downs = cast(nn.ModuleList, self.dec_down_blocks_dict[view])
        blocks = cast(nn.ModuleList, self.dec_conv_blocks_dict[view])
        features = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)  # (b, n, c) -> (b, c, *grid)
        sources = [*stages, features]
        for down in downs:
            sources.append(down(sources[-1]))
        adjusted = [block(x) for block, x in zip(blocks, sources, strict=True)]
        image_skip = self.dec_image_conv_block_dict[view](image)
        skips: list[Tensor | None] = [image_skip, *[None] * self.n_without_skip, *adjusted[:-1]]
        decoded = self.decoder_dict[view](adjusted[-1], skips[::-1])
        logits: Tensor = self.pred_head_dict[view](decoded)
        return logits


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
