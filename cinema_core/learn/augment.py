"""What a slice could also have looked like: turned, moved, scaled, under another contrast, noisier.

No flips: a mirrored heart has its RV on the wrong side, and the model is meant to know which side is right. One that is
shown mirror images at prediction gained no more from learning them, too (docs/decisions/005-mean-of-runs.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final

import torch
from monai.transforms import Compose, RandAdjustContrastd, RandAffined, RandGaussianNoised
from torch import Tensor

from cinema_core.anatomy import UNLABELLED

IMAGE: Final = "image"
LABELS: Final = "labels"
BASE: Final = "base"

ROTATION_RAD: Final = pi / 6
SHIFT_MM: Final = 15.0
"""At reading time the window is centred by a heart finder that is off by about a centimetre."""
SCALE: Final = 0.15
GAMMA: Final = (0.6, 1.7)
NOISE: Final = 0.06
"""Largest standard deviation, of images that span 0 to 1."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One window on the model's grid.

    Attributes
    ----------
    image
        float32 0 to 1, shape (x, y, z).
    labels
        uint8, shape (x, y, z); 255 = unlabelled.
    base
        Soft output of the base on this window, shape (c, x, y, z); None if it is not wanted.
    """

    image: Tensor
    labels: Tensor
    base: Tensor | None = None


class Augmentation:
    """Random change of a window, the same in every slice of a stack; repeatable from its seed.

    Slices are given to MONAI as channels, so that nothing ever moves through the stack: neighbouring slices
    lie a centimetre apart and mean different anatomy.
    """

    def __init__(self, seed: int, *, with_base: bool, pixel_mm: float = 1.0) -> None:
        shift = SHIFT_MM / pixel_mm
        keys = (IMAGE, LABELS, BASE) if with_base else (IMAGE, LABELS)
        modes = ("bilinear", "nearest", "bilinear")[: len(keys)]
        # Positions outside the window show nothing: black image, no label, no opinion of the base.
        affine = RandAffined(
            keys,
            prob=0.9,
            rotate_range=ROTATION_RAD,
            translate_range=(shift, shift),
            # One range per axis: a single number makes MONAI scale the first axis only.
            scale_range=((-SCALE, SCALE), (-SCALE, SCALE)),
            mode=modes,
            padding_mode="zeros",
        )
        contrast = RandAdjustContrastd((IMAGE,), prob=0.5, gamma=GAMMA)
        noise = RandGaussianNoised((IMAGE,), prob=0.3, std=NOISE, sample_std=True)
        self._transform = Compose([affine, contrast, noise])
        self._transform.set_random_state(seed)

    def __call__(self, sample: Sample) -> Sample:
        """Draw one variant of a window."""
        slices_first = {
            IMAGE: sample.image.movedim(-1, 0),  # (x, y, z) -> (z, x, y)
            # MONAI pads with zeros, which would read as background; moved by 255, zero reads as unlabelled.
            LABELS: sample.labels.movedim(-1, 0).float() - UNLABELLED,
        }
        if sample.base is not None:
            channels, x, y, z = sample.base.shape
            slices_first[BASE] = sample.base.movedim(-1, 1).reshape(channels * z, x, y)  # (c, x, y, z) -> (c * z, x, y)
        changed = {key: torch.as_tensor(value) for key, value in self._transform(slices_first).items()}
        base = None
        if sample.base is not None:
            base = changed[BASE].as_subclass(Tensor).reshape(channels, z, x, y).movedim(1, -1)
        image = changed[IMAGE].as_subclass(Tensor).movedim(0, -1).clamp(0, 1)
        labels = (changed[LABELS].as_subclass(Tensor).movedim(0, -1) + UNLABELLED).round().to(torch.uint8)
        return Sample(image, labels, base)
