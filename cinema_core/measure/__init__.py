"""From labels to figures: volumes, function, agreement. No torch, no files."""

from __future__ import annotations

from cinema_core.measure.function import (
    VentricularFunction,
    cardiac_output_l_min,
    indexed,
    myocardial_mass_g,
    ventricular_function,
)
from cinema_core.measure.quality import Flag
from cinema_core.measure.ventricle import ejection_fraction_pct, stroke_volume_ml
from cinema_core.measure.volumes import VolumeCurves, volume_curves

__all__ = [
    "Flag",
    "VentricularFunction",
    "VolumeCurves",
    "cardiac_output_l_min",
    "ejection_fraction_pct",
    "indexed",
    "myocardial_mass_g",
    "stroke_volume_ml",
    "ventricular_function",
    "volume_curves",
]
