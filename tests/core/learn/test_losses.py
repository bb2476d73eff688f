import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from cinema_core.anatomy import UNLABELLED
from cinema_core.learn.losses import masked_dice_ce, stay_with_base


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn((2, 4, 12, 10, 3), generator=torch.Generator().manual_seed(1), requires_grad=True)


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, 4, (2, 12, 10, 3), generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, logits)
    return found


def test_ignored_voxels_get_exactly_zero_gradient(logits: torch.Tensor, labels: torch.Tensor) -> None:
    ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) < 0.6
    labels[ignored] = UNLABELLED
    found = gradient(masked_dice_ce(logits, labels), logits).movedim(1, -1)
    assert torch.count_nonzero(found[ignored]) == 0
    assert torch.count_nonzero(found[~ignored]) > 0


def test_value_does_not_depend_on_what_is_drawn_on_ignored_voxels(logits: torch.Tensor, labels: torch.Tensor) -> None:
    labels[:, :6] = UNLABELLED
    other = logits.detach().clone()
    other[:, :, :6] = 100 * torch.randn(other[:, :, :6].shape)
    assert masked_dice_ce(logits, labels).item() == masked_dice_ce(other, labels).item()


def test_equals_monais_loss_when_everything_is_labelled(logits: torch.Tensor, labels: torch.Tensor) -> None:
    monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    assert masked_dice_ce(logits, labels).item() == pytest.approx(monai(logits, labels[:, None]).item(), abs=1e-6)


def test_equals_the_loss_of_the_labelled_part_alone(logits: torch.Tensor, labels: torch.Tensor) -> None:
    part = masked_dice_ce(logits[:, :, 4:], labels[:, 4:]).item()
    labels[:, :4] = UNLABELLED
    assert masked_dice_ce(logits, labels).item() == pytest.approx(part, abs=1e-6)


def test_nothing_labelled_is_zero_with_zero_gradient(logits: torch.Tensor, labels: torch.Tensor) -> None:
    loss = masked_dice_ce(logits, torch.full_like(labels, UNLABELLED))
    assert loss.item() == 0
    assert torch.count_nonzero(gradient(loss, logits)) == 0


def test_dice_of_a_structure_without_truth_does_not_count() -> None:
    labels = torch.zeros((1, 8, 8, 1), dtype=torch.uint8)
    labels[:, 2:5, 2:5] = 3
    logits = 10 * torch.nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float()
    # A perfect drawing of the one structure there is: no penalty for the two that are absent.
    assert masked_dice_ce(logits, labels).item() < 0.01


def test_staying_with_the_base_counts_sure_voxels_in_the_given_place_only() -> None:
    logits = torch.randn((1, 4, 6, 6, 1), requires_grad=True)
    sure = torch.zeros((1, 4, 6, 6, 1))
    sure[:, 2] = 1
    sure[:, :, :2] = 0.25  # unsure in the first rows
    where = torch.ones((1, 6, 6, 1), dtype=torch.bool)
    where[:, :, 4:] = False
    found = gradient(stay_with_base(logits, sure, where), logits).abs().sum(1)[0, :, :, 0]
    counted = np.zeros((6, 6), dtype=bool)
    counted[2:, :4] = True
    np.testing.assert_array_equal(found.numpy() > 0, counted)


def test_staying_with_the_base_costs_nothing_for_the_base_itself() -> None:
    logits = 8 * torch.randn((1, 4, 6, 6, 1))
    assert stay_with_base(logits, logits.softmax(1), torch.ones((1, 6, 6, 1), dtype=torch.bool)).item() < 1e-6
