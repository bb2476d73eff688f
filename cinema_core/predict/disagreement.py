"""How differently a model draws a slice when it is shown the mirror images of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure

Array = NDArray[np.float32]


def compare_mirrors(answers: Sequence[Array]) -> Array:
    """How far the answers to mirror images are apart, slice by slice.

    Of the measures that were tried on ACDC (docs/decisions/006-mirrors-in-review.md) the first tells most of what is
    drawn wrong, the others most of what that does to an ejection fraction.

    Parameters
    ----------
    answers
        Class probabilities of one frame, one array (c, x, y, z) for each mirror image, turned back; background first.

    Returns
    -------
    Shape (z, 3), in the order of :class:`~cinema_core.mirror_answers.SliceMirrors`: one minus the mean Dice of what
    each answer draws with what their mean draws, over answers and structures, where a structure that neither draws on
    a slice is not counted; then the largest less the smallest area of the LV cavity, and of the RV's, in pixels of the
    answers. 0 where nothing is drawn.
    """
    n_slices = answers[0].shape[-1]
    # Where every answer is more sure of the background than not, all draw nothing.
    maybe = np.min([answer[0] for answer in answers], axis=0) <= 0.5  # (x, y, z)
    columns, rows = np.flatnonzero(maybe.any(axis=(1, 2))), np.flatnonzero(maybe.any(axis=(0, 2)))
    if not columns.size:
        return np.zeros((n_slices, 3), dtype=np.float32)
    box = (slice(None), slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1))
    answers = [answer[box] for answer in answers]
    together = np.mean(answers, axis=0).argmax(axis=0)  # (x, y, z)
    n_classes = len(answers[0])
    area = np.zeros((len(answers), n_classes, n_slices))
    agreement, n_counted = np.zeros((2, n_slices))
    for k, answer in enumerate(answers):
        alone = answer.argmax(axis=0)
        for structure in range(1, n_classes):
            one, other = alone == structure, together == structure
            area[k, structure] = one.sum(axis=(0, 1))
            pixels = area[k, structure] + other.sum(axis=(0, 1))  # (z,)
            agreement += 2 * (one & other).sum(axis=(0, 1)) / np.maximum(pixels, 1)
            n_counted += pixels > 0
    disagreement = np.where(n_counted > 0, 1 - agreement / np.maximum(n_counted, 1), 0)
    spread = np.ptp(area, axis=0)  # (c, z)
    return np.stack([disagreement, spread[Structure.LV_CAVITY], spread[Structure.RV_CAVITY]], axis=1, dtype=np.float32)
