"""How differently a model draws a slice when it is shown the mirror images of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def mirror_disagreement(answers: Sequence[Array]) -> Array:
    """One minus the mean Dice of what each answer draws with what their mean draws, 0 (all the same) to 1.

    The mean is over answers and structures; a structure that neither draws on a slice is not counted there.
    Of the measures that were tried on ACDC (docs/decisions/006-mirrors-in-review.md) this one tells most.

    Parameters
    ----------
    answers
        Class probabilities of one frame, one array (c, x, y, z) for each mirror image, turned back; background first.

    Returns
    -------
    Shape (z,); 0 where nothing is drawn.
    """
    n_slices = answers[0].shape[-1]
    # Where every answer is more sure of the background than not, all draw nothing.
    maybe = np.min([answer[0] for answer in answers], axis=0) <= 0.5  # (x, y, z)
    columns, rows = np.flatnonzero(maybe.any(axis=(1, 2))), np.flatnonzero(maybe.any(axis=(0, 2)))
    if not columns.size:
        return np.zeros(n_slices, dtype=np.float32)
    box = (slice(None), slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1))
    answers = [answer[box] for answer in answers]
    together = np.mean(answers, axis=0).argmax(axis=0)  # (x, y, z)
    agreement, n_counted = np.zeros((2, n_slices))
    for answer in answers:
        alone = answer.argmax(axis=0)
        for structure in range(1, len(answer)):
            one, other = alone == structure, together == structure
            pixels = one.sum(axis=(0, 1)) + other.sum(axis=(0, 1))  # (z,)
            agreement += 2 * (one & other).sum(axis=(0, 1)) / np.maximum(pixels, 1)
            n_counted += pixels > 0
    return np.where(n_counted > 0, 1 - agreement / np.maximum(n_counted, 1), 0).astype(np.float32)
