"""ConvViT: the published network for one answer per study (class, value, landmark coordinates).

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from cinema_core.errors import GeometryError
from cinema_core.models.view_encoder import (
    EncoderSettings,
    ViewInput,
    check_images,
    feature_fusions,
    fused_features,
    shared_encoder,
    view_encoders,
)

Reduction = Literal["all", "patch", "cls"]


class ConvViT(nn.Module):
    """Per-view convolution encoders and one shared transformer; a linear head per view and for the class token.

    Parameters
    ----------
    views
        Input of each view by its key; its channels are frames times channels of one frame.
    settings
        Sizes, as in the published config.
    n_outputs
        Classes, values or coordinates.
    """

    def __init__(self, views: Mapping[str, ViewInput], settings: EncoderSettings, n_outputs: int) -> None:
        super().__init__()
        self.view_inputs = dict(views)
        self.patches = {view: settings.effective_patch(len(found.image_size)) for view, found in views.items()}
        self.enc_down_dict = view_encoders(views, settings)
        self.enc_fusion_dict = feature_fusions(views, settings)
        self.encoder = shared_encoder(settings)
        self.pred_head_dict = nn.ModuleDict(
            {name: nn.Linear(settings.size.width, n_outputs) for name in (*views, "cls")}
        )

    def forward(self, images: Mapping[str, Tensor], reduction: Reduction = "all") -> Tensor:
        """Answer for every sample.

        Parameters
        ----------
        images
            View key to (batch, frames * channels, x, y[, z]), values 0 to 1; other sizes than the configured one
            get interpolated positions.
        reduction
            ``all``, the published default: mean of the heads of all views and of the class token; ``patch``:
            of the views alone; ``cls``: of the class token alone.

        Returns
        -------
        Tensor
            Logits, standardised values or relative coordinates, (batch, n_outputs).

        Raises
        ------
        GeometryError
            If a view is unknown, missing or of a size that is no multiple of the patch.
        ValueError
            If the reduction is not known.
        """
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is {reduction!r}; it can be {', '.join(get_args(Reduction))}")
        check_images(images, self.view_inputs, self.patches)
        absent = [view for view in self.view_inputs if view not in images]
        if absent and reduction != "cls":
            raise GeometryError(f"The model answers from all its views together; {', '.join(absent)} is missing.")
        means = {name: tokens.mean(dim=1) for name, tokens in self.features(images).items()}
        names = {"all": (*self.view_inputs, "cls"), "patch": tuple(self.view_inputs), "cls": ("cls",)}[reduction]
        return torch.stack([self.pred_head_dict[name](means[name]) for name in names]).mean(dim=0)

    def features(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the tokens before the heads: ``cls`` (b, 1, width), and for each given view (b, n, width)."""
        check_images(images, self.view_inputs, self.patches)
        return fused_features(images, self.enc_down_dict, self.encoder, self.enc_fusion_dict)
