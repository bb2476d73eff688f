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


def doubt(probabilities: Array, pixel_area_mm2: float) -> tuple[Array, Array]:
    """Mean entropy of the class probabilities over the heart of each slice, from 0 (sure) to 1 (no idea).

    Parameters
    ----------
    probabilities
        Shape (c, z, y, x), background first. Where they add up to zero the model saw nothing.

    Returns
    -------
    Over the whole heart, shape (z,), and over each structure alone, shape (z, c - 1); 0 where the model sees none.
    """
    entropy = _entropy(probabilities)
    heart = probabilities[1:].sum(axis=0) >= BAND  # (z, y, x)
    of_each = [_mean_by_slice(entropy, structure >= BAND, pixel_area_mm2) for structure in probabilities[1:]]
    return _mean_by_slice(entropy, heart, pixel_area_mm2), np.stack(of_each, axis=-1)


def _entropy(probabilities: Array) -> Array:
    """Entropy of the classes at each pixel of the heart, 0 to 1, shape (z, y, x); 0 elsewhere."""
    n_classes = len(probabilities)
    z, y, x = np.nonzero(probabilities[1:].sum(axis=0) >= BAND)
    shares = probabilities[:, z, y, x]  # (c, pixels of the heart)
    shares = shares / shares.sum(axis=0)
    entropy = np.zeros(probabilities.shape[1:], dtype=np.float32)
    entropy[z, y, x] = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=0) / np.log(n_classes)
    return entropy


def _mean_by_slice(entropy: Array, where: NDArray[np.bool_], pixel_area_mm2: float) -> Array:
    """Mean over some pixels of each slice, shape (z,)."""
    total = np.where(where, entropy, 0).sum(axis=(1, 2), dtype=np.float64)
    pixels = np.maximum(where.sum(axis=(1, 2)), LEAST_AREA_MM2 / pixel_area_mm2)
    return np.asarray(np.clip(total / pixels, 0, 1), dtype=np.float32)
