"""napari-cinema without a window: read, segment, measure and learn from cine cardiac MR."""

from __future__ import annotations

__version__ = "0.1.0"
