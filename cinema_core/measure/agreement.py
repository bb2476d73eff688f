"""How well two segmentations agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import UNLABELLED, Structure

Labels = NDArray[np.uint8]


def dice(pred: Labels, truth: Labels, structure: Structure, ignore: int = UNLABELLED) -> float:
    """Dice of a structure; NaN where neither shows it."""
    known = truth != ignore
    a, b = (pred == structure) & known, (truth == structure) & known
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")


def hd95_mm(
    pred: Labels, truth: Labels, structure: Structure, spacing_mm: tuple[float, ...], ignore: int = UNLABELLED
) -> float:
    """95th percentile of the distances between the two surfaces; NaN where one is empty."""
    known = truth != ignore
    a, b = (pred == structure) & known, (truth == structure) & known
    if not a.any() or not b.any():
        return float("nan")
    edge_a, edge_b = (mask & ~ndimage.binary_erosion(mask) for mask in (a, b))
    to_b = ndimage.distance_transform_edt(~edge_b, sampling=spacing_mm)[edge_a]
    to_a = ndimage.distance_transform_edt(~edge_a, sampling=spacing_mm)[edge_b]
    return float(max(np.percentile(to_b, 95), np.percentile(to_a, 95)))
