"""ResNet baseline of the CineMA paper: MONAI's network, fed like the others.

References
----------
He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from monai.networks.nets.resnet import ResNet as MonaiResNet
from torch import Tensor

from cinema_core.errors import CheckpointError
from cinema_core.models.view_encoder import ViewInput, check_one_view

DEPTHS: Final[Mapping[int, list[int]]] = {
    10: [1, 1, 1, 1],
    18: [2, 2, 2, 2],
    34: [3, 4, 6, 3],
    50: [3, 4, 6, 3],
    101: [3, 4, 23, 3],
    152: [3, 8, 36, 3],
    200: [3, 24, 36, 3],
}
"""Blocks of each of the four stages; from 50 on they are bottlenecks."""


class ResNet(MonaiResNet):
    """2-D or 3-D ResNet of one view, its frames as channels.

    Parameters
    ----------
    view
        View key of the input.
    view_input
        Its configured size and channels (frames times channels of one frame); any size is taken.
    depth
        10, 18, 34, 50, 101, 152 or 200.
    widths
        Channels of the four stages.
    n_outputs
        Classes, values or coordinates.
    """

    def __init__(self, view: str, view_input: ViewInput, depth: int, widths: Sequence[int], n_outputs: int) -> None:
        if depth not in DEPTHS:
            raise CheckpointError(f"The config asks for a ResNet of depth {depth}; known are {list(DEPTHS)}.")
        super().__init__(
            block="bottleneck" if depth >= 50 else "basic",
            layers=list(DEPTHS[depth]),
            block_inplanes=list(widths),
            spatial_dims=len(view_input.image_size),
            n_input_channels=view_input.in_chans,
            conv1_t_size=7,
            conv1_t_stride=2,
            num_classes=n_outputs,
            bias_downsample=False,
        )
        self.view_inputs = {view: view_input}

    def forward(self, images: Mapping[str, Tensor]) -> Tensor:
        """Answers (b, n_outputs) for images (b, frames * channels, x, y[, z]) with values 0 to 1 of the one view."""
        ((view, view_input),) = self.view_inputs.items()
        check_one_view(images, view, view_input)
        out: Tensor = super().forward(images[view])
        return out
