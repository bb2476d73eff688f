"""Images as a segmenter is shown them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from processed_datasets import small_config, write_acdc

from training.datasets.augment import IMAGE, LABELS, TeachingImages, augmentation, scale_ranges
from training.datasets.processed import images_of
from training.settings import FineTuneConfig

STILL = ("transform.sax.rotate_range=[0, 0, 0]", "transform.sax.translate_range=[0, 0, 0]", "transform.scale_range=0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_acdc(tmp_path, n_per_group=3)
    return tmp_path


def teaching(folder: Path, *overrides: str) -> TeachingImages:
    config = small_config(folder, *overrides)
    return TeachingImages(images_of(folder, config)[0], config)


def varied(
    config: FineTuneConfig, image: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    transform = augmentation(config)
    transform.set_random_state(seed=seed)
    found = transform({IMAGE: torch.from_numpy(image)[None], LABELS: torch.from_numpy(labels).float()[None]})
    return np.asarray(found[IMAGE])[0], np.asarray(found[LABELS])[0]


def test_an_image_follows_from_seed_epoch_and_number_alone(folder: Path) -> None:
    images, again = teaching(folder), teaching(folder)
    first = images[len(images) + 1]
    _ = images[0], images[3]
    for one, other in zip(first, images[len(images) + 1], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(first[0], again[len(images) + 1][0])
    assert not torch.equal(first[0], images[1][0])  # the same image in another epoch
    assert not torch.equal(first[0], teaching(folder, "seed=1")[len(images) + 1][0])


def test_images_are_0_to_1_and_labels_whole_and_of_the_models_size(folder: Path) -> None:
    images = teaching(folder, "data.sax.patch_size=[48, 16, 3]", "model.name=unet")
    for index in range(20):
        image, labels = images[index]
        assert image.shape == (1, 48, 16, 3)
        assert labels.shape == (48, 16, 3)
        assert image.dtype is torch.float32
        assert set(labels.unique().tolist()) <= {-1, 0, 1, 2, 3}
        assert (labels[32:] == -1).all()  # beyond the image
        assert (labels[:32, :, :2] >= 0).all()
        assert image[:, 32:].abs().max() == 0


def test_labels_move_with_their_image(folder: Path) -> None:
    config = small_config(folder, "transform.prob=1", "transform.sax.dropout_size=null", "transform.gamma=[1, 1]")
    x, y, _ = np.mgrid[:32, :32, :2]
    labels = (np.hypot(x - 18, y - 13) < 7).astype(np.int64)
    moved = 0
    for seed in range(5):
        image, found = varied(config, (labels * 200).astype(np.float32), labels, seed)
        inside = found == 1
        assert image[inside].mean() > 0.8 > 0.2 > image[~inside].mean()
        moved += bool((inside != labels).any())
    assert moved == 5


def test_published_noise_does_nothing_and_mended_noise_does(folder: Path) -> None:
    image = np.linspace(0, 255, 2048, dtype=np.float32).reshape(32, 32, 2)
    labels = np.zeros(image.shape, dtype=np.int64)
    off = {}
    for behaviour in ("published", "mended"):
        still = (*STILL, "transform.prob=1", "transform.gamma=[1, 1]", "transform.sax.dropout_size=null")
        config = small_config(folder, f"behaviour={behaviour}", *still)
        off[behaviour] = np.abs(varied(config, image, labels)[0] - image / 255).mean()
    assert off["published"] < 0.001 < 0.005 < off["mended"]


def test_the_plane_is_scaled_in_both_axes_when_mended(folder: Path) -> None:
    assert scale_ranges(small_config(folder, "behaviour=published")) == 0.2
    assert scale_ranges(small_config(folder)) == ((-0.2, 0.2), (-0.2, 0.2), (0.0, 0.0))


def test_a_box_is_dropped_from_the_image_and_not_from_the_labels(folder: Path) -> None:
    config = small_config(folder, *STILL, "transform.prob=1", "behaviour=published")
    image = np.full((32, 32, 2), 100, dtype=np.float32)
    image[0] = 0
    found, labels = varied(config, image, np.ones(image.shape, dtype=np.int64))
    assert int((found[1:] == 0).sum()) == pytest.approx(36, abs=6)
    assert (labels == 1).all()
