"""What the recipes minimise, as published or mended."""

from __future__ import annotations

from typing import Final

from monai.losses import MaskedDiceLoss
from torch import Tensor
from torch.nn import functional

from training.settings import Behaviour

IGNORED: Final = -1
"""Label of what lies beyond the image: padding."""

_DICE: Final = MaskedDiceLoss(include_background=False, softmax=True)


def dice_ce(logits: Tensor, labels: Tensor, behaviour: Behaviour) -> Tensor:
    """Cross-entropy plus soft Dice without background.

    The published recipe leaves padding out of the cross-entropy, but takes it as background in Dice; mended it has no
    say there either.

    Parameters
    ----------
    logits
        Shape (b, c, ...).
    labels
        Integers, shape (b, ...); -1: ignored.
    """
    logits = logits.float()
    known = labels != IGNORED
    cross_entropy = functional.cross_entropy(logits, labels.long(), ignore_index=IGNORED)
    truth = functional.one_hot(labels.clamp(min=0).long(), logits.shape[1]).movedim(-1, 1)  # (b, ...) -> (b, c, ...)
    counted = known if behaviour is Behaviour.MENDED else known.new_ones(known.shape)
    dice: Tensor = _DICE(logits, truth.to(logits.dtype), counted[:, None].to(logits.dtype))
    return cross_entropy + dice
