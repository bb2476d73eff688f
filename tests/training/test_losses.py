"""Cross-entropy plus Dice, against MONAI's own and by what padding does."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from training.losses import dice_ce
from training.settings import Behaviour


@pytest.mark.parametrize("behaviour", list(Behaviour))
def test_without_padding_it_is_monais(behaviour: Behaviour) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 6, 5, 3), torch.randint(0, 4, (2, 6, 5, 3))
    known = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True)(logits, labels[:, None])
    torch.testing.assert_close(dice_ce(logits, labels, behaviour), known)


def test_padding_teaches_nothing_when_mended_and_counts_in_dice_as_published() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (1, 6, 6))
    labels[:, 4:] = -1
    gradients = {}
    for behaviour in Behaviour:
        logits = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
        dice_ce(logits, labels, behaviour).backward()
        assert logits.grad is not None
        gradients[behaviour] = logits.grad[..., 4:, :]
    assert gradients[Behaviour.MENDED].abs().max() == 0
    assert gradients[Behaviour.PUBLISHED].abs().max() > 1e-6
