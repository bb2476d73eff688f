"""Who teaches, who validates and who is tested, where a dataset does not say so itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def sixty_twenty_twenty(names: Iterable[str], seed: int = 0) -> dict[str, str]:
    """Draw 60 % of the names for training, 20 % for validation, the rest for the test; by name, repeatable.

    The tables that are written decide; this only draws them the first time.
    """
    ordered = sorted(names)
    drawn = [ordered[k] for k in np.random.default_rng(seed).permutation(len(ordered))]
    n_train, n_val = int(0.6 * len(drawn)), int(0.2 * len(drawn))
    splits = dict.fromkeys(drawn[:n_train], "train")
    splits |= dict.fromkeys(drawn[n_train : n_train + n_val], "val")
    return splits | dict.fromkeys(drawn[n_train + n_val :], "test")
