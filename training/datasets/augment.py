"""Images as a segmenter is shown them: varied as published, stretched to 0 to 1, cut or padded to the model's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import radians
from typing import Any, Final

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandCoarseDropoutd,
    RandGaussianNoised,
    RandSpatialCropd,
    ScaleIntensityd,
    SpatialPadd,
)
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cinema_core.errors import LabelError
from training.datasets.processed import LabelledImage, read_channels, read_truth
from training.losses import IGNORED
from training.settings import Behaviour, FineTuneConfig

IMAGE: Final = "image"
LABELS: Final = "labels"
NOISE: Final = 0.1
"""Largest standard deviation."""

KEPT: Final = 512
"""Images that stay in memory, in each loading process: about 2 MB each, which would be unpacked anew in every epoch."""


class TeachingImages(Dataset[tuple[Tensor, Tensor]]):
    """Varied images with their labels: (c, *spatial) float32 and (*spatial) int64 of the model's size.

    How image ``i`` is varied in an epoch follows from the seed, the epoch and ``i`` alone, so that a training that was
    stopped sees what it would have seen. An index is ``epoch * len(images) + i``.
    """

    def __init__(self, images: Sequence[LabelledImage], config: FineTuneConfig) -> None:
        self.images = tuple(images)
        self._config = config
        self._transform = augmentation(config)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, labels = read_sample(self.images[index % len(self.images)], self._config)
        self._transform.set_random_state(seed=seed_of(self._config, index))
        varied = self._transform({IMAGE: torch.from_numpy(pixels), LABELS: torch.from_numpy(labels).float()[None]})
        truth = torch.as_tensor(varied[LABELS]).as_subclass(Tensor)[0].round().long()
        return torch.as_tensor(varied[IMAGE]).as_subclass(Tensor).float().contiguous(), truth.contiguous()


def seed_of(config: FineTuneConfig, index: int) -> int:
    """Seed of what is drawn for an image of an epoch."""
    return int(np.random.SeedSequence([config.seed, index]).generate_state(1)[0])


@lru_cache(maxsize=KEPT)
def read_sample(image: LabelledImage, config: FineTuneConfig) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image (c, *spatial), grey values as stored, and labels (*spatial); a long-axis view has no slice axis.

    Raises
    ------
    LabelError
        If the two have different sizes, or the labels cannot be used.
    """
    pixels, labels = read_channels(image.images, image.t), read_truth(image, config)
    if pixels.shape[1:] != labels.shape:
        raise LabelError(
            f"{image.labels.name} has {labels.shape} voxels, its image {pixels.shape[1:]}. Prepare the dataset again."
        )
    if len(config.view.patch_size) == 2:
        if labels.shape[2] != 1:
            raise LabelError(f"{image.labels.name} has {labels.shape[2]} slices; a long-axis view has one.")
        pixels, labels = pixels[..., 0], labels[..., 0]
    return pixels, labels.astype(np.uint8)


def augmentation(config: FineTuneConfig, keys: Sequence[str] = (IMAGE, LABELS)) -> Compose:
    """Build the steps, in the published order.

    The published noise is added before the grey values are stretched, where a standard deviation of 0.1 among 0 to 255
    does nothing; mended it comes after.
    """
    transform, view, size = config.transform, config.view_transform, config.view.patch_size
    contrast = RandAdjustContrastd(IMAGE, prob=transform.prob, gamma=transform.gamma)
    noise = RandGaussianNoised(IMAGE, prob=transform.prob, std=NOISE, sample_std=True)
    stretch = ScaleIntensityd(IMAGE)
    published = config.behaviour is Behaviour.PUBLISHED
    steps: list[Any] = [contrast, noise, stretch] if published else [contrast, stretch, noise]
    steps.append(
        RandAffined(
            keys,
            prob=transform.prob,
            rotate_range=tuple(radians(degrees) for degrees in view.rotate_range),
            translate_range=view.translate_range,
            scale_range=scale_ranges(config),
            mode=["nearest" if key == LABELS else "bilinear" for key in keys],
            padding_mode="zeros",
        )
    )
    if view.dropout_size is not None:
        steps.append(
            RandCoarseDropoutd(IMAGE, holes=1, spatial_size=view.dropout_size, fill_value=0, prob=transform.prob)
        )
    steps += [
        RandSpatialCropd(keys, roi_size=size, random_size=False),
        SpatialPadd([key for key in keys if key != LABELS], size, method="end"),
        SpatialPadd(LABELS, size, method="end", constant_values=IGNORED, allow_missing_keys=True),
    ]
    return Compose(steps)


def scale_ranges(config: FineTuneConfig) -> Any:
    """Give MONAI one number, which it takes for the first axis alone, as published; or both axes of the plane."""
    reach = config.transform.scale_range
    if config.behaviour is Behaviour.PUBLISHED:
        return reach
    across = ((0.0, 0.0),) if len(config.view.patch_size) == 3 else ()
    return ((-reach, reach), (-reach, reach), *across)
