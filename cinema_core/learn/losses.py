"""What fine-tuning minimises; voxels labelled 255 have no say in it."""

from __future__ import annotations

from typing import Final

import torch
from monai.losses import MaskedDiceLoss
from torch import Tensor
from torch.nn import functional

from cinema_core.anatomy import UNLABELLED

SURE: Final = 0.9
"""The base's own opinion is kept only where it gives one label at least this probability."""

# MONAI's DiceCELoss has no mask; its MaskedDiceLoss has, and applies it after the softmax, so that a masked
# voxel enters neither intersection nor union. (Masking the logits would count it as a quarter of each label.)
# batch=True: one Dice over all slices of the batch, so that a slice without RV does not weigh as much as one with.
_DICE: Final = MaskedDiceLoss(include_background=False, softmax=True, batch=True, reduction="none")


def masked_dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy over the labelled voxels only.

    The published recipe scores ignored voxels as background in its Dice term, which teaches a model to erase
    the heart wherever the reader has not drawn it yet; here their gradient is exactly zero.

    Parameters
    ----------
    logits
        Shape (b, c, ...), c labels with background first.
    labels
        Integers, shape (b, ...); 255 = unlabelled.

    Returns
    -------
    Scalar. Zero, with zero gradient, if nothing is labelled. The Dice of a structure counts if the batch holds
    a voxel of it; elsewhere cross-entropy alone keeps it away.
    """
    known = labels != UNLABELLED
    n_known = known.sum()
    target = torch.where(known, labels, 0).long()
    cross_entropy = functional.cross_entropy(logits, labels.long(), ignore_index=UNLABELLED, reduction="sum")
    cross_entropy = cross_entropy / n_known.clamp(min=1)

    one_hot = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(logits.dtype)  # (b, ...) -> (b, c, ...)
    dice = _DICE(logits, one_hot, known[:, None].to(logits.dtype)).flatten()  # (c - 1,)
    present = ((one_hot * known[:, None]).flatten(2).sum(dim=(0, 2)) > 0)[1:]  # (c - 1,)
    dice = torch.where(present, dice, 0.0).sum() / present.sum().clamp(min=1)
    return dice + cross_entropy


def stay_with_base(logits: Tensor, base_probabilities: Tensor, where: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the base's soft output, where the base is sure.

    Parameters
    ----------
    logits
        Shape (b, c, ...).
    base_probabilities
        Soft output of the base on the same voxels, shape (b, c, ...).
    where
        Voxels that may count, bool, shape (b, ...): those that the reader has not labelled.

    Returns
    -------
    Scalar, mean over the voxels that count; zero if there are none.
    """
    counted = where & (base_probabilities.amax(dim=1) >= SURE)
    divergence = functional.kl_div(functional.log_softmax(logits, dim=1), base_probabilities, reduction="none").sum(1)
    return torch.where(counted, divergence, 0.0).sum() / counted.sum().clamp(min=1)
