"""Two readings as tables: a row per structure and phase, per measure, per slice, and over the set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cinema_core.measure.bland_altman import Interval, bland_altman
from cinema_core.measure.comparison import COMPARED_MEASURES, ReadingComparison

COMPARISON_DECIMALS: Final = 3
"""Dice differs in the third decimal between good models."""


@dataclass(frozen=True)
class StructureRow:
    """A structure on one phase; ``phase_number`` counts from 1, and None is an empty field."""

    study_id: str
    structure: str
    phase: str
    phase_number: int | None
    dice: float | None
    hd95_mm: float | None
    mean_surface_mm: float | None


@dataclass(frozen=True)
class MeasureRow:
    """One measure of both readings; the difference is second minus first.

    Attributes
    ----------
    other_rules
        Rules by which the second was measured otherwise, which is part of the difference; empty if none.
    """

    study_id: str
    measure: str
    first: float | None
    second: float | None
    difference: float | None
    other_rules: str


@dataclass(frozen=True)
class SliceRow:
    """What one slice (from 1) contributes to the difference of a ventricle, second minus first."""

    study_id: str
    ventricle: str
    slice: int
    edv_ml: float
    esv_ml: float
    ef_points: float


@dataclass(frozen=True)
class RuleRow:
    """A rule of measuring that the two readings of a study do not share."""

    study_id: str
    rule: str
    first: str
    second: str


@dataclass(frozen=True)
class SetRow:
    """One measure over all studies; see :class:`~cinema_core.measure.bland_altman.BlandAltman`.

    Attributes
    ----------
    n_other_rules
        Studies among them whose two readings were measured by different rules.
    """

    measure: str
    n: int
    n_other_rules: int
    bias: float | None
    bias_low: float | None
    bias_high: float | None
    sd: float | None
    lower_limit: float | None
    lower_limit_low: float | None
    lower_limit_high: float | None
    upper_limit: float | None
    upper_limit_low: float | None
    upper_limit_high: float | None
    cv_pct: float | None


def structure_rows(study_id: str, found: ReadingComparison) -> list[StructureRow]:
    """Overlap and distance of every structure at ED and ES."""
    return [
        StructureRow(
            study_id,
            one.structure.key,
            one.phase,
            None if one.t is None else one.t + 1,
            one.dice,
            one.hd95_mm,
            one.mean_surface_mm,
        )
        for one in found.structures
    ]


def measure_rows(study_id: str, found: ReadingComparison) -> list[MeasureRow]:
    """Measures of both readings."""
    other = "; ".join(f"{one.rule}: {one.first} / {one.second}" for one in found.rules)
    return [MeasureRow(study_id, one.measure, one.first, one.second, one.difference, other) for one in found.measures]


def rule_rows(study_id: str, found: ReadingComparison) -> list[RuleRow]:
    """Rules that differ."""
    return [RuleRow(study_id, one.rule, one.first, one.second) for one in found.rules]


def slice_rows(study_id: str, found: ReadingComparison) -> list[SliceRow]:
    """Slices in the order in which they move EF."""
    return [
        SliceRow(study_id, one.cavity.key, one.z + 1, one.edv_ml, one.esv_ml, one.ef_points) for one in found.slices
    ]


def set_rows(rows: Iterable[MeasureRow]) -> list[SetRow]:
    """Agreement over all studies, a row per measure."""
    by_measure: dict[str, list[MeasureRow]] = {name: [] for name in COMPARED_MEASURES}
    for row in rows:
        by_measure[row.measure].append(row)
    return [_set_row(name, found) for name, found in by_measure.items()]


def _set_row(measure: str, rows: list[MeasureRow]) -> SetRow:
    nan = float("nan")
    over = bland_altman(*([nan if value is None else value for value in side] for side in _sides(rows)))
    return SetRow(
        measure,
        over.n,
        sum(1 for row in rows if row.other_rules and row.difference is not None),
        over.bias,
        *_ends(over.bias_interval),
        over.sd,
        over.lower,
        *_ends(over.lower_interval),
        over.upper,
        *_ends(over.upper_interval),
        over.cv_pct,
    )


def _sides(rows: list[MeasureRow]) -> tuple[list[float | None], list[float | None]]:
    return [row.first for row in rows], [row.second for row in rows]


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return interval or (None, None)
