"""Soft Dice and cross-entropy for slices of which only some structures are labelled."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from cinema_core.anatomy import Structure

SMOOTH = 1.0
"""Pixels added to both sides of Dice: a batch without a structure then teaches not to draw it."""


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor, only_lv: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice without background.

    Where only the LV cavity is labelled, the four classes are seen as two: the cavity, and the sum of all
    others. Which of the others a pixel is, nobody said, so nothing is taught about it.

    Parameters
    ----------
    logits
        Shape (b, 4, x, y).
    labels
        Shape (b, x, y), int64.
    only_lv
        Shape (b,), bool.
    """
    logits = logits.float()
    total = logits.new_zeros(())
    full = ~only_lv
    if full.any():
        total = total + full.float().mean() * _all_classes(logits[full], labels[full])
    if only_lv.any():
        total = total + only_lv.float().mean() * _lv_against_rest(logits[only_lv], labels[only_lv])
    return total


def _all_classes(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()  # (b, 4, x, y)
    return F.cross_entropy(logits, labels) + _dice_loss(logits.softmax(1)[:, 1:], truth[:, 1:])


def _lv_against_rest(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    lv = int(Structure.LV_CAVITY)
    others = torch.cat([logits[:, :lv], logits[:, lv + 1 :]], dim=1).logsumexp(1)
    margin = logits[:, lv] - others  # log odds of "LV cavity" against everything else
    truth = (labels == lv).float()
    return F.binary_cross_entropy_with_logits(margin, truth) + _dice_loss(margin.sigmoid()[:, None], truth[:, None])


def _dice_loss(probability: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice over the whole batch, mean over classes; slices without heart keep a gradient that way."""
    axes = (0, 2, 3)
    overlap = (probability * truth).sum(axes)
    both = probability.sum(axes) + truth.sum(axes)
    return 1 - ((2 * overlap + SMOOTH) / (both + SMOOTH)).mean()
