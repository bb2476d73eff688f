"""How unsure the model is of each slice."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BAND: Final = 0.1
"""A pixel belongs to the heart, for this purpose, if the model gives some structure at least this probability."""

LEAST_AREA_MM2: Final = 100.0
"""Doubt is averaged over at least this area: a few doubtful pixels beyond the apex do not make a doubtful slice."""


def slice_uncertainty(probabilities: Array, pixel_area_mm2: float) -> Array:
    """Mean entropy of the class probabilities over the heart of each slice, from 0 (sure) to 1 (no idea).

    Parameters
    ----------
    probabilities
        Shape (c, z, y, x), background first. Where they add up to zero the model saw nothing.

    Returns
    -------
    Shape (z,); 0 for a slice on which the model sees no heart.
    """
    n_classes = len(probabilities)
    heart = probabilities[1:].sum(axis=0) >= BAND  # (z, y, x)
    z, y, x = np.nonzero(heart)
    shares = probabilities[:, z, y, x]  # (c, pixels of the heart)
    shares = shares / shares.sum(axis=0)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=0) / np.log(n_classes)
    total = np.bincount(z, weights=entropy, minlength=heart.shape[0])
    pixels = np.maximum(heart.sum(axis=(1, 2)), LEAST_AREA_MM2 / pixel_area_mm2)
    return np.asarray(np.clip(total / pixels, 0, 1), dtype=np.float32)
