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
from cinema_core.measure.reference import Convention, Position, Verdict, reference_tables, verdict, verdicts
from cinema_core.measure.segments import SEGMENT_NAMES, Insertions
from cinema_core.measure.ventricle import ejection_fraction_pct, stroke_volume_ml
from cinema_core.measure.volumes import VolumeCurves, volume_curves
from cinema_core.measure.wall import WallMeasures, wall_measures

__all__ = [
    "SEGMENT_NAMES",
    "Convention",
    "Flag",
    "Insertions",
    "Position",
    "VentricularFunction",
    "Verdict",
    "VolumeCurves",
    "WallMeasures",
    "cardiac_output_l_min",
    "ejection_fraction_pct",
    "indexed",
    "myocardial_mass_g",
    "reference_tables",
    "stroke_volume_ml",
    "ventricular_function",
    "verdict",
    "verdicts",
    "volume_curves",
    "wall_measures",
]
