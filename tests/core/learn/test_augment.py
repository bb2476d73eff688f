import pytest
import torch

from cinema_core.anatomy import UNLABELLED
from cinema_core.learn.augment import Augmentation, Sample


@pytest.fixture
def window() -> Sample:
    """Bright square labelled 3 on a dark, labelled window of two slices that differ."""
    image = torch.full((64, 64, 2), 0.2)
    image[24:40, 24:40, 0] = 0.8
    labels = torch.zeros((64, 64, 2), dtype=torch.uint8)
    labels[24:40, 24:40, 0] = 3
    base = torch.nn.functional.one_hot(labels.long(), 4).movedim(-1, 0).float()
    return Sample(image, labels, base)


def test_image_labels_and_the_bases_opinion_move_together(window: Sample) -> None:
    augment = Augmentation(5, with_base=True)
    for _ in range(10):
        changed = augment(window)
        bright = changed.image[..., 0] > changed.image[..., 0].median() + 0.2
        square = changed.labels[..., 0] == 3
        assert (bright & square).sum() > 0.9 * square.sum() > 0
        assert (changed.base[3, ..., 0] > 0.5)[square].float().mean() > 0.9
        assert not bool((changed.labels[..., 1] == 3).any())  # nothing moves through the stack


def test_what_comes_from_outside_the_window_is_unlabelled_not_background(window: Sample) -> None:
    augment = Augmentation(5, with_base=False)
    plain = Sample(torch.ones_like(window.image), torch.full_like(window.labels, 2))
    seen = [augment(plain).labels for _ in range(10)]
    assert set(torch.cat(seen).unique().tolist()) == {2, UNLABELLED}


def test_unlabelled_stays_unlabelled(window: Sample) -> None:
    augment = Augmentation(5, with_base=False)
    blank = Sample(window.image, torch.full_like(window.labels, UNLABELLED))
    assert all(bool((augment(blank).labels == UNLABELLED).all()) for _ in range(5))


def test_the_image_stays_in_the_models_range(window: Sample) -> None:
    augment = Augmentation(6, with_base=True)
    for _ in range(10):
        image = augment(window).image
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.shape == window.image.shape


def test_the_same_seed_draws_the_same_variants(window: Sample) -> None:
    first, second = Augmentation(7, with_base=True), Augmentation(7, with_base=True)
    for _ in range(3):
        a, b = first(window), second(window)
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.labels, b.labels)
