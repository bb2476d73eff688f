"""From labels to figures: volumes, function, agreement. No torch, no files."""

from __future__ import annotations

from cinema_core.measure.choices import ReportChoices
from cinema_core.measure.drivers import EfDriver, ef_drivers
from cinema_core.measure.findings import Finding, Light, light_of
from cinema_core.measure.function import (
    VentricularFunction,
    cardiac_output_l_min,
    indexed,
    myocardial_mass_g,
    ventricular_function,
)
from cinema_core.measure.quality import Flag
from cinema_core.measure.rates import FillingRates, filling_rates
from cinema_core.measure.reference import Convention, Position, Verdict, reference_tables, verdict, verdicts
from cinema_core.measure.segments import SEGMENT_NAMES, Insertions
from cinema_core.measure.study_measures import StudyMeasures, study_measures
from cinema_core.measure.ventricle import ejection_fraction_pct, stroke_volume_ml
from cinema_core.measure.volumes import AreaRule, EndSliceRule, VolumeCurves, VolumeMethod, volume_curves
from cinema_core.measure.wall import WallMeasures, wall_measures

__all__ = [
    "SEGMENT_NAMES",
    "AreaRule",
    "Convention",
    "EfDriver",
    "EndSliceRule",
    "FillingRates",
    "Finding",
    "Flag",
    "Insertions",
    "Light",
    "Position",
    "ReportChoices",
    "StudyMeasures",
    "VentricularFunction",
    "Verdict",
    "VolumeCurves",
    "VolumeMethod",
    "WallMeasures",
    "cardiac_output_l_min",
    "ef_drivers",
    "ejection_fraction_pct",
    "filling_rates",
    "indexed",
    "light_of",
    "myocardial_mass_g",
    "reference_tables",
    "stroke_volume_ml",
    "study_measures",
    "ventricular_function",
    "verdict",
    "verdicts",
    "volume_curves",
    "wall_measures",
]
