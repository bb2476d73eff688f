"""Masked autoencoder: how the published encoder was pretrained, and what it saw in a study.

References
----------
Fu et al., CineMA: A Foundation Model for Cine Cardiac MRI, arXiv 2506.00679.
Gao et al., MCMAE: Masked Convolution Meets Masked Autoencoders, NeurIPS 2022 (masked convolution stages).
Fu et al., Rethinking Patch Dependence for Masked Autoencoders, TMLR 2025 (cross-attention decoder).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from cinema_core.errors import GeometryError
from cinema_core.models.view_encoder import (
    EncoderSettings,
    ViewInput,
    check_images,
    feature_fusions,
    fused_features,
    keep_visible,
    shared_encoder,
    split_views,
    view_encoders,
)
from cinema_core.models.vit import (
    TRANSFORMER_NORM_EPS,
    TransformerBlock,
    patchify,
    position_table,
    run_block,
    unpatchify,
)


@dataclass(frozen=True, eq=False)
class MaskedOutput:
    """What a masked autoencoder made of a batch, by view.

    Attributes
    ----------
    loss
        Mean squared error over masked patches, mean over the views where it is finite.
    predictions
        Masked patches in token order, (b, masked, prod(patch) * c), channel fastest.
    masks
        True where a token was removed, (b, tokens).
    metrics
        ``<view>_mse_loss``, ``<view>_target_mean``, ``<view>_target_std``, without gradient.
    """

    loss: Tensor
    predictions: dict[str, Tensor]
    masks: dict[str, Tensor]
    metrics: dict[str, Tensor]


class TokenQueries(nn.Module):
    """Decoder's positions of one view, and the vector that asks for a masked token."""

    def __init__(self, width: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(position_table(width, grid), requires_grad=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)


class CrossAttentionDecoder(nn.Module):
    """Transformer whose queries look at the visible tokens only, never at each other."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        size = settings.size
        self.blocks = nn.ModuleList(
            TransformerBlock(size.decoder_width, size.decoder_heads, settings.drop_path)
            for _ in range(size.decoder_depth)
        )
        self.norm = nn.LayerNorm(size.decoder_width, eps=TRANSFORMER_NORM_EPS)
        self.grad_ckpt = settings.grad_ckpt

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Map queries (b, n, c) with keys (b, m, c), which are the same at every block."""
        for block in self.blocks:
            queries = run_block(block, queries, keys, forget=self.grad_ckpt and self.training)
        out: Tensor = self.norm(queries)
        return out


class MaskedAutoencoder(nn.Module):
    """Encode the visible patches of any of its views together, predict the masked ones.

    Parameters
    ----------
    views
        Input of each view by its key; any subset of them can be given at run time.
    settings
        Sizes, as in the published config.
    """

    def __init__(self, views: Mapping[str, ViewInput], settings: EncoderSettings) -> None:
        super().__init__()
        self.view_inputs = dict(views)
        self.patches = {view: settings.effective_patch(len(found.image_size)) for view, found in views.items()}
        self.grids = {
            view: tuple(n // p for n, p in zip(found.image_size, self.patches[view], strict=True))
            for view, found in views.items()
        }
        width = settings.size.decoder_width
        self.enc_down_dict = view_encoders(views, settings)
        self.enc_fusion_dict = feature_fusions(views, settings)
        self.encoder = shared_encoder(settings)
        self.dec_linear = nn.Linear(settings.size.width, width)
        self.dec_embed_dict = nn.ModuleDict({view: TokenQueries(width, self.grids[view]) for view in views})
        self.decoder = CrossAttentionDecoder(settings)
        self.pred_head_dict = nn.ModuleDict(
            {view: nn.Linear(width, prod(self.patches[view]) * found.in_chans) for view, found in views.items()}
        )

    def forward(
        self, images: Mapping[str, Tensor], mask_ratio: float = 0.75, noise: Mapping[str, Tensor] | None = None
    ) -> MaskedOutput:
        """Mask, encode, predict, compare.

        Parameters
        ----------
        images
            View key to (b, c, x, y[, z]), values 0 to 1, of the configured size.
        mask_ratio
            Share of the tokens of each view that is removed, 0 up to but not including 1.
        noise
            View key to uniform noise (b, tokens): the tokens with the smallest stay. Drawn here if not given.

        Raises
        ------
        GeometryError
            If a view is unknown or its size differs from the configured one.
        ValueError
            If the ratio is out of range.
        """
        if not 0.0 <= mask_ratio < 1.0:
            raise ValueError(f"mask_ratio is {mask_ratio}; it is 0 or more and below 1")
        check_images(images, self.view_inputs)
        masks = self._masks(images, mask_ratio, noise)
        features = fused_features(images, self.enc_down_dict, self.encoder, self.enc_fusion_dict, masks)
        predictions = self._decode({view: self.dec_linear(tokens) for view, tokens in features.items()}, masks)
        loss, metrics = self._compare(images, predictions, masks)
        return MaskedOutput(loss, predictions, masks, metrics)

    def features(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tokens of whole images: ``cls`` (b, 1, width), and for each given view (b, n, width).

        Other sizes than the configured one get interpolated positions.
        """
        check_images(images, self.view_inputs, self.patches)
        return fused_features(images, self.enc_down_dict, self.encoder, self.enc_fusion_dict)

    def reconstruct(self, images: Mapping[str, Tensor], output: MaskedOutput) -> dict[str, Tensor]:
        """Images with their masked patches replaced by the predictions, (b, c, x, y[, z]) by view."""
        pictures = {}
        for view, predicted in output.predictions.items():
            patches = patchify(images[view], self.patches[view]).to(predicted.dtype)
            patches[output.masks[view]] = predicted.reshape(-1, predicted.shape[-1])
            pictures[view] = unpatchify(patches, self.grids[view], self.patches[view])
        return pictures

    def n_tokens(self, view: str) -> int:
        """Tokens of a view at its configured size."""
        return prod(self.grids[view])

    def masked_voxels(self, output: MaskedOutput) -> dict[str, Tensor]:
        """Where images were hidden: bool (b, 1, x, y[, z]) by view."""
        found = {}
        for view, mask in output.masks.items():
            n_voxels = prod(self.patches[view])
            patches = mask[..., None].expand(-1, -1, n_voxels)
            found[view] = unpatchify(patches, self.grids[view], self.patches[view])
        return found

    def _masks(
        self, images: Mapping[str, Tensor], mask_ratio: float, noise: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        masks = {}
        for view, image in images.items():
            shape = (image.shape[0], self.n_tokens(view))
            drawn = torch.rand(shape, device=image.device) if noise is None else noise[view].to(image.device)
            if tuple(drawn.shape) != shape:
                raise GeometryError(f"The noise of {view} is {tuple(drawn.shape)}; (samples, tokens) is {shape}.")
            kept = drawn.argsort(dim=1)[:, : int(shape[1] * (1 - mask_ratio))]
            masks[view] = torch.ones(shape, dtype=torch.bool, device=image.device).scatter(1, kept, False)
        return masks

    def _decode(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        queries, keys = [features["cls"]], []
        for view, removed in masks.items():
            embed = cast(TokenQueries, self.dec_embed_dict[view])
            positions = embed.pos_embed.expand(removed.shape[0], -1, -1)
            keys.append(features[view] + keep_visible(positions, removed))
            queries.append(embed.mask_token + keep_visible(positions, ~removed))
        decoded = self.decoder(torch.cat(queries, dim=1), torch.cat(keys, dim=1))
        _, chunks = split_views(decoded, [part.shape[1] for part in queries[1:]])
        return {view: self.pred_head_dict[view](chunk) for view, chunk in zip(masks, chunks, strict=True)}

    def _compare(
        self, images: Mapping[str, Tensor], predictions: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses, metrics = [], {}
        for view, predicted in predictions.items():
            # Raw pixels are the target; the published models normalise neither patches nor frames here.
            patches = patchify(images[view], self.patches[view]).float()
            loss = (predicted.float() - keep_visible(patches, ~masks[view])).square().mean()
            losses.append(loss)
            metrics[f"{view}_mse_loss"] = loss.detach()
            metrics[f"{view}_target_mean"] = patches.mean()
            metrics[f"{view}_target_std"] = patches.std(dim=-1).mean()
        finite = [loss for loss in losses if torch.isfinite(loss)]
        return torch.stack(finite or losses).mean(), metrics
