"""From a cine to labels on its own grid. All tensors begin and end in this room; imports torch."""

from __future__ import annotations

from cinema_core.predict.segment import Segmentation, segment_cine

__all__ = ["Segmentation", "segment_cine"]
