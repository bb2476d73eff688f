"""Where a measure lies among healthy adults: published ranges by convention, sex and age, each with its source.

The tables are ``resources/reference/``: ``values.csv`` has one row per range with the paper it comes from and how far
it was checked, ``tables.csv`` the papers. A verdict says below, within or above a range, and never how severe: no
severity grades of cine measures have been validated.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from math import floor, isfinite
from typing import Final

from cinema_core.cine import Patient
from cinema_core.errors import InputError
from cinema_core.measure.function import CONVENTION, VentricularFunction

DEFAULT_TABLE: Final = "HHC2024"
"""Largest, and the only one by decade of age and by convention."""

ADULT_FROM_YEARS: Final = 18

PREDICTION_INTERVAL: Final = "95% prediction interval"
"""Limits that are as far from the middle on both sides: 1.96 standard deviations of the prediction."""


class Convention(StrEnum):
    """What papillary muscles and trabeculae are counted as; each has ranges of its own."""

    SMOOTH = "smooth"
    """All as cavity."""
    PAPILLARY = "papillary"
    """Papillary muscles as muscle, trabeculae as cavity."""
    ANATOMICAL = "anatomical"
    """All as muscle."""


class Position(StrEnum):
    """Where a value lies; a value on a limit is within."""

    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"


class NoVerdict(StrEnum):
    """Why there is no verdict."""

    NO_VALUE = "not measured"
    NO_SEX = "no verdict without the patient's sex"
    NO_AGE = "no verdict without the patient's age"
    CHILD = f"no reference below {ADULT_FROM_YEARS} years"
    NO_BSA = "no indexed verdict without height and weight"
    NOT_IN_TABLE = "the table has no range for this measure, convention, age and ethnicity"
    NO_LIMITS = "the table gives no limits"


@dataclass(frozen=True)
class ReferenceTable:
    """A publication. ``persons`` and ``ages`` are in words, as far as they are known."""

    name: str
    title: str
    citation: str
    persons: str
    ages: str


@dataclass(frozen=True)
class ReferenceRange:
    """One row: who it is of, what it says, and how far it was checked. None is not given.

    Attributes
    ----------
    measure
        Name of the value in :class:`~cinema_core.measure.VentricularFunction`; its unit is in the name.
    convention
        One of :class:`Convention`, where a table of two knows "papillary in volume" (taken as smooth) and "papillary in
        mass" (as papillary); or ``not confirmed``: such rows are never used for a verdict.
    published_convention
        The table's own word.
    sex
        ``F`` or ``M``.
    ethnicity
        As published; empty where the table is of all.
    age_from, age_to
        Completed years, both included; no ``age_to`` for no upper end.
    """

    table: ReferenceTable
    convention: str
    published_convention: str
    sex: str
    ethnicity: str
    age_from: int
    age_to: int | None
    measure: str
    mean: float | None
    sd: float | None
    lower: float | None
    upper: float | None
    limit_kind: str
    verification: str

    def holds(self, age_years: float) -> bool:
        """Whether a person of this age belongs to it."""
        return self.age_from <= floor(age_years) and (self.age_to is None or floor(age_years) <= self.age_to)

    def position(self, value: float) -> Position | None:
        """Where a value lies; None if the table gives no limits."""
        if self.lower is not None and value < self.lower:
            return Position.BELOW
        if self.upper is not None and value > self.upper:
            return Position.ABOVE
        # With one limit given, the other side stays open, as published.
        return None if self.lower is None and self.upper is None else Position.WITHIN

    def z(self, value: float) -> float | None:
        """Return standard deviations from the mean; None where the table tells no spread."""
        if self.mean is not None and self.sd:
            return (value - self.mean) / self.sd
        if self.limit_kind == PREDICTION_INTERVAL and self.lower is not None and self.upper is not None:
            # Limits are printed as whole numbers, which moves z by up to 0.1.
            return (value - (self.lower + self.upper) / 2) / ((self.upper - self.lower) / (2 * 1.96))
        return None

    @property
    def description(self) -> str:
        """Who and what the range is of, in one line, to stand beside a verdict."""
        years = f"{self.age_from} years and more" if self.age_to is None else f"{self.age_from} to {self.age_to} years"
        who = ", ".join(part for part in ({"F": "women", "M": "men"}[self.sex], years, self.ethnicity) if part)
        return (
            f"{self.table.title} ({self.table.citation}): {who}; {self.published_convention}; n: {self.table.persons}; "
            f"limits: {self.limit_kind}; status: {self.verification}"
        )


@dataclass(frozen=True)
class Verdict:
    """Where one measure lies, or why that is not told.

    Attributes
    ----------
    position
        None if there is no verdict; ``reason`` then says why.
    z
        None where it cannot be known. A table may give it without limits.
    range
        Row that was compared with; None if none applies.
    """

    measure: str
    value: float | None
    position: Position | None = None
    z: float | None = None
    range: ReferenceRange | None = None
    reason: NoVerdict | None = None


@cache
def reference_ranges() -> tuple[ReferenceRange, ...]:
    """Every row of every table that comes with the program."""
    tables = {row["table"]: ReferenceTable(*row.values()) for row in _rows("tables.csv")}
    return tuple(
        ReferenceRange(
            table=tables[row["table"]],
            convention=row["convention"],
            published_convention=row["published_convention"],
            sex=row["sex"],
            ethnicity=row["ethnicity"],
            age_from=int(row["age_from"]),
            age_to=int(row["age_to"]) if row["age_to"] else None,
            measure=row["measure"],
            **{name: float(row[name]) if row[name] else None for name in ("mean", "sd", "lower", "upper")},
            limit_kind=row["limit_kind"],
            verification=row["verification"],
        )
        for row in _rows("values.csv")
    )


@cache
def reference_tables() -> tuple[ReferenceTable, ...]:
    """Tables that come with the program, the default one first."""
    return tuple(dict.fromkeys(row.table for row in reference_ranges()))


@cache
def _measures() -> tuple[str, ...]:
    """Measures that any table knows."""
    return tuple(dict.fromkeys(row.measure for row in reference_ranges()))


def verdict(
    measure: str,
    value: float | None,
    patient: Patient,
    convention: Convention = Convention.SMOOTH,
    *,
    table: str = DEFAULT_TABLE,
    ethnicity: str | None = None,
) -> Verdict:
    """Compare one measure with a table.

    Parameters
    ----------
    measure
        Name in :class:`~cinema_core.measure.VentricularFunction`, such as ``lv_edvi_ml_m2``.
    value
        In the unit of the name; None if it was not measured.
    patient
        Sex ``F`` or ``M`` and age are needed, height and weight for what is indexed to body surface.
    convention
        How papillary muscles were counted.
    table
        Name of a table.
    ethnicity
        As the table names it; None takes the rows that the table has, and :attr:`ReferenceRange.ethnicity` says whose
        they are.

    Raises
    ------
    InputError
        If there is no such table, or no table knows such a measure.
    """
    _refuse_unknown(table, measure)
    if reason := _refusal(measure, value, patient):
        return Verdict(measure, value, reason=reason)
    assert value is not None and patient.age_years is not None
    for row in reference_ranges():
        if (
            (row.table.name, row.convention, row.sex, row.measure) == (table, convention, patient.sex, measure)
            and row.holds(patient.age_years)
            and (ethnicity is None or row.ethnicity.casefold() in ("", ethnicity.casefold()))
        ):
            position = row.position(value)
            reason = NoVerdict.NO_LIMITS if position is None else None
            return Verdict(measure, value, position, row.z(value), row, reason)
    return Verdict(measure, value, reason=NoVerdict.NOT_IN_TABLE)


def verdicts(
    function: VentricularFunction, patient: Patient, *, table: str = DEFAULT_TABLE, ethnicity: str | None = None
) -> Mapping[str, Verdict]:
    """Compare everything that was measured and that any table knows, by name; see :func:`verdict`."""
    smooth = function.convention == CONVENTION
    convention = Convention.SMOOTH if smooth else Convention.PAPILLARY
    return {
        measure: verdict(measure, getattr(function, measure), patient, convention, table=table, ethnicity=ethnicity)
        for measure in _measures()
    }


def _refusal(measure: str, value: float | None, patient: Patient) -> NoVerdict | None:
    if patient.age_years is not None and patient.age_years < ADULT_FROM_YEARS:
        return NoVerdict.CHILD
    if patient.sex not in ("F", "M"):
        return NoVerdict.NO_SEX
    if patient.age_years is None or not isfinite(patient.age_years):
        return NoVerdict.NO_AGE  # it might be a child
    if measure.endswith("_m2") and patient.bsa_m2 is None:
        return NoVerdict.NO_BSA
    return NoVerdict.NO_VALUE if value is None or not isfinite(value) else None


def _refuse_unknown(table: str, measure: str) -> None:
    known = [found.name for found in reference_tables()]
    if table not in known:
        raise InputError(f"There is no reference table {table!r}; there are {', '.join(known)}.")
    if measure not in _measures():
        raise InputError(f"No reference table knows {measure!r}.")


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("cinema_core") / "resources" / "reference" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
