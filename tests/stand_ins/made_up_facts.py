"""Slices that nobody drew, for tests of the queues."""

from __future__ import annotations

import numpy as np

from cinema_core.anatomy import LabelState
from cinema_core.learn.select import Level, SliceFacts


def fact(study: str = "a", t: int = 0, z: int = 0, **changes: object) -> SliceFacts:
    values: dict[str, object] = {
        "uncertainty": 0.2,
        "signs": (),
        "lv_ef_weight_pct": 5.0,
        "rv_ef_weight_pct": 0.0,
        "has_heart": True,
        "state": LabelState.PREDICTED,
        "level": Level.MIDDLE,
        "phases_from_ed_es": 0,
    }
    return SliceFacts(study, t, z, **{**values, **changes})  # type: ignore[arg-type]


def heart(n_phases: int = 4, n_slices: int = 8) -> np.ndarray:
    labels = np.zeros((n_phases, n_slices, 20, 20), dtype=np.uint8)
    labels[:, 1:7, 5:15, 5:15] = 2
    labels[:, 1:7, 8:12, 8:12] = 3
    return labels
