"""Reference ranges: the rows that ship, and when they may be used."""

from __future__ import annotations

import csv
import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, Patient, View
from cinema_core.errors import InputError
from cinema_core.measure import VentricularFunction, ventricular_function
from cinema_core.measure.reference import (
    Convention,
    NoVerdict,
    Position,
    ReferenceRange,
    reference_ranges,
    reference_tables,
    verdict,
    verdicts,
)

WOMAN_45 = Patient(sex="F", age_years=45.9, height_m=1.7, weight_kg=65)


def test_every_row_has_its_source_and_its_status() -> None:
    for row in reference_ranges():
        assert row.table.citation and row.table.title and row.table.persons
        assert row.verification and row.limit_kind and row.published_convention
        assert row.table.title in row.description and row.verification in row.description


def test_every_measure_of_the_tables_is_one_that_is_measured() -> None:
    known = {field.name for field in fields(VentricularFunction)}
    assert {row.measure for row in reference_ranges()} <= known


def test_lower_limits_lie_below_upper_ones_and_bands_do_not_overlap() -> None:
    groups: dict[tuple[str, ...], list[ReferenceRange]] = {}
    for row in reference_ranges():
        if row.lower is not None and row.upper is not None:
            assert row.lower < (row.mean or (row.lower + row.upper) / 2) < row.upper
        key = (row.table.name, row.published_convention, row.sex, row.ethnicity, row.measure)
        groups.setdefault(key, []).append(row)
    for rows in groups.values():
        bands = sorted((row.age_from, row.age_to) for row in rows)
        for (_, end), (start, _) in pairwise(bands):
            assert end is not None and start == end + 1


def as_researched(row: ReferenceRange) -> dict[str, str]:
    def text(value: float | None) -> str:
        return "" if value is None else f"{value:g}"

    ages = f"{row.age_from}+" if row.age_to is None else f"{row.age_from}-{row.age_to}"
    return {
        "source": row.table.name,
        "convention": row.published_convention,
        "sex": row.sex,
        "ethnicity": row.ethnicity,
        "age": "adult" if ages == "18+" else ages,
        "metric": re.sub(r"_(ml|g|pct)(_m2)?$", "", row.measure).replace("_", "").replace("mass", "m"),
        "mean": text(row.mean),
        "sd": text(row.sd),
        "lower": text(row.lower),
        "upper": text(row.upper),
        "limit_kind": row.limit_kind,
        "verification": row.verification,
    }


def test_the_table_that_ships_is_the_one_that_was_researched(shared_data: Path) -> None:
    with (shared_data.parent / "spec" / "reference_values.csv").open(encoding="utf-8", newline="") as file:
        researched = [row | {"metric": row["metric"].lower()} for row in csv.DictReader(file)]
    for row, expected in zip(reference_ranges(), researched, strict=True):
        expected.pop("unit")
        assert as_researched(row) == expected


@pytest.mark.parametrize(
    ("value", "position"),
    [(93.9, Position.BELOW), (94.0, Position.WITHIN), (179.0, Position.WITHIN), (179.1, Position.ABOVE)],
)
def test_a_value_on_a_limit_is_within(value: float, position: Position) -> None:
    # Women of 40 to 49, smooth: LV EDV 94 to 179 ml.
    found = verdict("lv_edv_ml", value, WOMAN_45)
    assert (found.position, found.reason) == (position, None)
    assert found.range is not None and (found.range.age_from, found.range.age_to) == (40, 49)


def test_z_of_a_prediction_interval_is_196_at_its_limits() -> None:
    for value, z in ((94, -1.96), (179, 1.96), (136.5, 0)):
        assert verdict("lv_edv_ml", value, WOMAN_45).z == pytest.approx(z, abs=1e-9)


def test_z_from_a_mean_and_its_standard_deviation() -> None:
    found = verdict("lv_edv_ml", 198, Patient("M", 60), table="UKBB_Petersen2017")  # 166 +- 32, 93 to 232
    assert (found.z, found.position) == (pytest.approx(1.0), Position.WITHIN)


def test_limits_without_a_spread_give_no_z() -> None:
    found = verdict("rv_edv_ml", 180, Patient("M", 60), table="UKBB_Petersen2017")
    assert (found.position, found.z) == (Position.WITHIN, None)


def test_a_spread_without_limits_gives_z_but_no_verdict() -> None:
    found = verdict("lv_ef_pct", 48, Patient("M", 60), table="UKBB_Petersen2017")  # 58 +- 5
    assert (found.position, found.reason, found.z) == (None, NoVerdict.NO_LIMITS, pytest.approx(-2))


def test_a_table_with_a_lower_limit_only_knows_no_above() -> None:
    man = Patient("M", 60)
    assert verdict("rv_ef_pct", 43, man, table="SCMR2025").position is Position.BELOW
    assert verdict("rv_ef_pct", 85, man, table="SCMR2025").position is Position.WITHIN


def test_each_convention_has_its_own_range() -> None:
    limits = {
        convention: (found.lower, found.upper)
        for convention in Convention
        if (found := verdict("lv_mass_g", 100, WOMAN_45, convention).range)
    }
    assert limits[Convention.SMOOTH] == (53, 99)
    assert len(set(limits.values())) == 3


def test_a_convention_that_nobody_confirmed_gives_no_verdict() -> None:
    for convention in Convention:
        found = verdict("lv_edv_ml", 130, Patient("F", 40), convention, table="KawelBoehm2015")
        assert found.reason is NoVerdict.NOT_IN_TABLE


@pytest.mark.parametrize(
    ("patient", "reason"),
    [
        (Patient(None, 45, 1.7, 65), NoVerdict.NO_SEX),
        (Patient("O", 45, 1.7, 65), NoVerdict.NO_SEX),
        (Patient("F", None, 1.7, 65), NoVerdict.NO_AGE),
        (Patient("F", 17.9, 1.7, 65), NoVerdict.CHILD),
        (Patient(None, 9, 1.3, 30), NoVerdict.CHILD),
        (Patient("F", 45, None, 65), NoVerdict.NO_BSA),
    ],
)
def test_no_verdict_without_what_it_rests_on(patient: Patient, reason: NoVerdict) -> None:
    found = verdict("lv_edvi_ml_m2", 75, patient)
    assert (found.position, found.z, found.range, found.reason) == (None, None, None, reason)


def test_without_body_surface_what_is_not_indexed_still_has_a_verdict() -> None:
    assert verdict("lv_edv_ml", 130, Patient("F", 45)).position is Position.WITHIN


def test_what_was_not_measured_has_no_verdict() -> None:
    assert verdict("lv_edv_ml", None, WOMAN_45).reason is NoVerdict.NO_VALUE
    assert verdict("lv_edv_ml", float("nan"), WOMAN_45).reason is NoVerdict.NO_VALUE


def test_ages_that_the_table_does_not_cover_have_no_verdict() -> None:
    assert verdict("lv_edv_ml", 130, Patient("F", 30), table="UKBB_Petersen2017").reason is NoVerdict.NOT_IN_TABLE
    assert verdict("lv_edv_ml", 130, Patient("F", 95)).range is not None  # 70 and more


def test_ethnicity_is_optional_and_said() -> None:
    own = verdict("lv_edv_ml", 130, WOMAN_45)
    assert own.range is not None and "White" in own.range.description
    assert verdict("lv_edv_ml", 130, WOMAN_45, ethnicity="white") == own
    assert verdict("lv_edv_ml", 130, WOMAN_45, ethnicity="South Asian").reason is NoVerdict.NOT_IN_TABLE
    everybody = verdict("lv_edv_ml", 130, Patient("F", 60), table="UKBB_Petersen2017", ethnicity="South Asian")
    assert everybody.position is Position.WITHIN


def test_unknown_tables_and_measures_are_refused() -> None:
    with pytest.raises(InputError, match="there are HHC2024, "):
        verdict("lv_edv_ml", 130, WOMAN_45, table="HHC")
    with pytest.raises(InputError, match="lv_volume"):
        verdict("lv_volume", 130, WOMAN_45)


def test_no_word_of_severity() -> None:
    words = " ".join([*Position, *NoVerdict, *(row.description for row in reference_ranges())])
    assert not re.search(r"\b(mild|moderate|severe|normal|borderline)", words, re.IGNORECASE)


def test_all_measures_of_a_study_at_once() -> None:
    labels = np.zeros((2, 2, 60, 60), dtype=np.uint8)
    labels[0, :, :40] = Structure.LV_CAVITY
    labels[1, :, :20] = Structure.LV_CAVITY
    geometry = Geometry.from_affine(np.diag([1.5, 1.5, 10.0, 1.0]), 2)
    cine = Cine("sax", np.zeros(labels.shape, np.int16), geometry, View.SAX, patient=WOMAN_45)
    function = ventricular_function(labels, cine)
    found = verdicts(function, WOMAN_45)
    assert found["lv_edv_ml"] == verdict("lv_edv_ml", 108.0, WOMAN_45)
    assert found["lv_edv_ml"].position is Position.WITHIN and found["lv_ef_pct"].position is Position.WITHIN
    assert found["rv_edv_ml"].reason is NoVerdict.NO_VALUE
    assert set(found) == {row.measure for row in reference_ranges()}


def test_the_default_table_stands_first() -> None:
    assert [table.name for table in reference_tables()] == [
        "HHC2024",
        "SCMR2025",
        "UKBB_Petersen2017",
        "KawelBoehm2015",
    ]
