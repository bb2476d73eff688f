"""From labels to figures: volumes, function, agreement. No torch, no files."""

from __future__ import annotations

from cinema_core.measure.function import VentricularFunction, ventricular_function
from cinema_core.measure.volumes import VolumeCurves, volume_curves

__all__ = ["VentricularFunction", "VolumeCurves", "ventricular_function", "volume_curves"]
