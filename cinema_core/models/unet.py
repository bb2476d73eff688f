"""UNet baseline of the CineMA paper: residual blocks with a skip from every intermediate of the encoder.

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import torch.nn.functional as F
from torch import Tensor, nn

from cinema_core.models.layers import ResidualConvBlock, conv, conv_transpose, instance_norm, same_conv
from cinema_core.models.view_encoder import ViewInput, check_one_view

N_BLOCKS: Final = 2


@dataclass(frozen=True)
class UNetSettings:
    """Sizes of a UNet, by the names of the published config."""

    chans: tuple[int, ...]
    patch_size: tuple[int, ...]
    scale_factor: tuple[int, ...]
    dropout: float = 0.0

    def factors(self, n_dims: int) -> list[tuple[int, ...]]:
        """Down-sampling from each level to the next."""
        return [self.patch_size[:n_dims]] + [self.scale_factor[:n_dims]] * (len(self.chans) - 2)


class StemConv(nn.Module):
    """3-wide convolution, norm, GELU."""

    def __init__(self, in_chans: int, out_chans: int, n_dims: int) -> None:
        super().__init__()
        self.conv = same_conv(in_chans, out_chans, 3, n_dims)
        self.norm = instance_norm(out_chans, n_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, in, ...) to (b, out, ...)."""
        return F.gelu(self.norm(self.conv(x)))


class Level(nn.Module):
    """Residual blocks of one resolution, and the way to the next: ``down``, ``up`` or (at the end) none."""

    def __init__(self, chans: int, n_dims: int, dropout: float, **way: nn.Module) -> None:
        super().__init__()
        norm = partial(instance_norm, n_dims=n_dims)
        self.conv = nn.ModuleList(ResidualConvBlock(chans, chans, n_dims, dropout, norm) for _ in range(N_BLOCKS))
        self.down = way.get("down")
        self.up = way.get("up")


class UNetEncoder(nn.Module):
    """Stem and levels, from the image to the coarsest resolution."""

    def __init__(self, in_chans: int, n_dims: int, settings: UNetSettings) -> None:
        super().__init__()
        chans, factors = settings.chans, settings.factors(n_dims)
        self.in_conv = StemConv(in_chans, chans[0], n_dims)
        downs = [
            {"down": conv(c_in, c_out, factor, stride=factor)}
            for c_in, c_out, factor in zip(chans[:-1], chans[1:], factors, strict=True)
        ]
        self.blocks = nn.ModuleList(
            Level(width, n_dims, settings.dropout, **way) for width, way in zip(chans, [*downs, {}], strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Every intermediate, finest first."""
        found = [self.in_conv(x)]
        for level in cast("Iterable[Level]", self.blocks):
            for block in level.conv:
                found.append(block(found[-1]))
            if level.down is not None:
                found.append(level.down(found[-1]))
        return found


class UNetDecoder(nn.Module):
    """Levels from the coarsest resolution back to the image."""

    def __init__(self, n_dims: int, settings: UNetSettings) -> None:
        super().__init__()
        chans, factors = settings.chans[::-1], settings.factors(n_dims)[::-1]
        # Published quirk: a stem that nothing runs through; the checkpoints hold its weights.
        self.in_conv = StemConv(chans[0], chans[-1], n_dims)
        ups = [
            {"up": conv_transpose(c_in, c_out, factor)}
            for c_in, c_out, factor in zip(chans[:-1], chans[1:], factors, strict=True)
        ]
        self.blocks = nn.ModuleList(
            Level(width, n_dims, settings.dropout, **way) for width, way in zip(chans, [*ups, {}], strict=True)
        )

    def forward(self, intermediates: Sequence[Tensor]) -> Tensor:
        """Decode the last intermediate with all others, from the last to the first."""
        *skips, x = intermediates
        for level in cast("Iterable[Level]", self.blocks):
            for block in level.conv:
                x = block(x) + skips.pop()
            if level.up is not None:
                skip = skips.pop()
                x = _pad_to(level.up(x), skip.shape[2:]) + skip
        return x


class UNet(nn.Module):
    """2-D or 3-D UNet of one view.

    Parameters
    ----------
    view
        View key of the input.
    view_input
        Its configured size and channels; any size that leaves a voxel at the coarsest level is taken.
    settings
        Sizes, as in the published config.
    out_chans
        Output channels.
    """

    def __init__(self, view: str, view_input: ViewInput, settings: UNetSettings, out_chans: int) -> None:
        super().__init__()
        self.view_inputs = {view: view_input}
        n_dims = len(view_input.image_size)
        self.encoder = UNetEncoder(view_input.in_chans, n_dims, settings)
        self.decoder = UNetDecoder(n_dims, settings)
        self.out_conv = conv(settings.chans[0], out_chans, (1,) * n_dims)

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits (b, out, x, y[, z]) of the view, for images (b, c, x, y[, z]) with values 0 to 1."""
        ((view, view_input),) = self.view_inputs.items()
        check_one_view(images, view, view_input)
        return {view: self.out_conv(self.decoder(self.encoder(images[view])))}


def _pad_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Zeros at the end of each axis, where down-sampling cut off what was no whole step."""
    missing = [wanted - found for found, wanted in zip(x.shape[2:], size, strict=True)]
    return F.pad(x, [n for gap in reversed(missing) for n in (0, gap)])
