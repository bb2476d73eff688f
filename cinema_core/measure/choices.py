"""What a reader decides about a report: who the person is, and by which rules and table it is made."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator

from cinema_core.cine import BsaFormula, Patient
from cinema_core.errors import InputError
from cinema_core.measure.papillary import HALF_WAY
from cinema_core.measure.reference import DEFAULT_TABLE, reference_tables
from cinema_core.measure.volumes import AreaRule, EndSliceRule, VolumeMethod
from cinema_core.rules import PapillaryRule

AGE_YEARS: Final = (0.0, 120.0)
HEIGHT_CM: Final = (30.0, 250.0)
WEIGHT_KG: Final = (1.0, 400.0)
"""From a newborn to the heaviest patients of a scanner; outside, the unit is another one."""

_OTHER_UNITS: Final = {
    "age_years": ("Age", "years", AGE_YEARS, r"m|mo|months?|d|days?|w|weeks?", "Enter completed years, not months."),
    "height_cm": ("Height", "cm", HEIGHT_CM, r"m|mm|in|ft|inch(es)?", "Enter centimetres, not metres or inches."),
    "weight_kg": ("Weight", "kg", WEIGHT_KG, r"lbs?|pounds?|g|st", "Enter kilograms, not pounds or grams."),
}
_OWN_UNITS: Final = {"age_years": r"y|yrs?|years?", "height_cm": r"cm", "weight_kg": r"kg"}


class ReportChoices(BaseModel, frozen=True, extra="forbid"):
    """What the reader entered and chose; kept in the project. None and empty are not entered."""

    sex: Literal["F", "M"] | None = None
    age_years: float | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    ethnicity: str = ""
    """As the reference table names it; empty takes the rows that it has."""
    table: str = DEFAULT_TABLE
    """Reference table of the verdicts."""
    areas: AreaRule = AreaRule.PIXELS
    ends: EndSliceRule = EndSliceRule.FULL
    bsa_formula: BsaFormula = BsaFormula.MOSTELLER
    papillary: PapillaryRule = PapillaryRule.CAVITY
    papillary_level: float = Field(HALF_WAY, gt=0, lt=1)
    """Between the intensity of the wall (0) and of the blood (1): what is darker is muscle."""

    @field_validator("age_years", "height_cm", "weight_kg", mode="before")
    @classmethod
    def _in_its_unit(cls, value: Any, info: Any) -> float | None:
        return _quantity(info.field_name, value)

    @field_validator("table")
    @classmethod
    def _known_table(cls, value: str) -> str:
        known = [table.name for table in reference_tables()]
        if value not in known:
            raise ValueError(f"There is no reference table {value!r}; there are {', '.join(known)}.")
        return value

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Check what a reader entered, texts with or without a unit.

        Raises
        ------
        InputError
            Which value is not believed, and in which unit it is expected.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            place = ".".join(map(str, first["loc"]))
            raise InputError(
                str(cause) if cause else f"{place}: {first['msg']}. Choose one that is offered."
            ) from error

    @property
    def method(self) -> VolumeMethod:
        """How areas become volumes."""
        return VolumeMethod(self.areas, self.ends)

    def patient(self, of_files: Patient) -> Patient:
        """Who the person is: what was entered wins over what the files say."""
        return Patient(
            sex=self.sex or of_files.sex,
            age_years=of_files.age_years if self.age_years is None else self.age_years,
            height_m=of_files.height_m if self.height_cm is None else self.height_cm / 100,
            weight_kg=of_files.weight_kg if self.weight_kg is None else self.weight_kg,
        )


NOTHING_CHOSEN: Final = ReportChoices()


def _quantity(name: str, value: Any) -> float | None:
    """Read a number with or without its unit; a ValueError in the reader's words if it is not believed."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    title, unit, (least, most), other, advice = _OTHER_UNITS[name]
    text = str(value).strip().replace(",", ".").lower()
    found = re.fullmatch(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-z]*)", text)
    if found is None:
        raise ValueError(f"{title} {value!r} is no number. {advice}")
    if found[2] and not re.fullmatch(_OWN_UNITS[name], found[2]):
        meant = f"is in {found[2]}" if re.fullmatch(other, found[2]) else f"has the unknown unit {found[2]}"
        raise ValueError(f"{title} {value} {meant}. {advice}")
    number = float(found[1])
    if not least <= number <= most:
        raise ValueError(f"{title} {number:g} {unit} is not between {least:g} and {most:g} {unit}. {advice}")
    return number
