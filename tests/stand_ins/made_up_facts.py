"""Slices that nobody drew, for tests of the queues."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cinema_core.anatomy import LabelState
from cinema_core.learn.select import Level, SliceFacts
from cinema_core.mirror_answers import MirrorAnswers


def fact(study: str = "a", t: int = 0, z: int = 0, **changes: object) -> SliceFacts:
    values: dict[str, object] = {
        "uncertainty": 0.2,
        "signs": (),
        "lv_ef_weight_pct": 5.0,
        "rv_ef_weight_pct": 0.0,
        "lv_ef_spread_pct": None,
        "rv_ef_spread_pct": None,
        "has_heart": True,
        "state": LabelState.PREDICTED,
        "level": Level.MIDDLE,
        "phases_from_ed_es": 0,
    }
    return SliceFacts(study, t, z, **{**values, **changes})  # type: ignore[arg-type]


def mirrors(disagreement: ArrayLike, lv_spread_px: ArrayLike = 0.0, rv_spread_px: ArrayLike = 0.0) -> MirrorAnswers:
    """Make answers to mirror images; each shape (t, z), or one value for all slices."""
    parts = np.broadcast_arrays(disagreement, lv_spread_px, rv_spread_px)
    return MirrorAnswers(np.stack(parts, axis=-1, dtype=np.float32))


def heart(n_phases: int = 4, n_slices: int = 8) -> np.ndarray:
    labels = np.zeros((n_phases, n_slices, 20, 20), dtype=np.uint8)
    labels[:, 1:7, 5:15, 5:15] = 2
    labels[:, 1:7, 8:12, 8:12] = 3
    return labels
