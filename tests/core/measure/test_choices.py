"""What a reader enters: in its unit, or refused with the unit that is expected."""

from __future__ import annotations

import pytest

from cinema_core.cine import BsaFormula, Patient
from cinema_core.errors import InputError
from cinema_core.measure import AreaRule, EndSliceRule, ReportChoices


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_kg": "800"}, r"Weight 800 kg is not between 1 and 400 kg.*not pounds"),
        ({"weight_kg": "150 lb"}, r"Weight 150 lb is in lb.*kilograms"),
        ({"height_cm": "1.80"}, r"Height 1.8 cm is not between 30 and 250 cm.*not metres"),
        ({"height_cm": "1.80 m"}, r"Height 1.80 m is in m\."),
        ({"age_years": "54 months"}, r"Age 54 months is in months.*completed years, not months"),
        ({"age_years": "480"}, r"Age 480 years is not between 0 and 120 years.*not months"),
        ({"age_years": "old"}, r"Age 'old' is no number"),
        ({"age_years": "nan"}, "is no number"),
        ({"table": "Nobody2030"}, "no reference table 'Nobody2030'"),
        ({"sex": "X"}, "sex: "),
    ],
)
def test_what_is_not_believed_is_refused_with_its_unit(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReportChoices.of(**values)


def test_numbers_come_with_or_without_their_unit() -> None:
    found = ReportChoices.of(age_years="54 y", height_cm="172,5 cm", weight_kg=" 70 ")
    assert (found.age_years, found.height_cm, found.weight_kg) == (54.0, 172.5, 70.0)


def test_empty_is_not_entered() -> None:
    assert ReportChoices.of(age_years="", height_cm=None, weight_kg="  ") == ReportChoices()


def test_what_was_entered_wins_over_the_files() -> None:
    of_files = Patient("M", 60.0, 1.70, 70.0)
    assert ReportChoices(height_cm=180, sex="F").patient(of_files) == Patient("F", 60.0, 1.80, 70.0)


def test_rules_are_told_in_words() -> None:
    method = ReportChoices(areas=AreaRule.CONTOURS, ends=EndSliceRule.HALF).method
    assert "sub-pixel contours" in method.description and "by half" in method.description


def test_dubois_is_that_of_the_paper() -> None:
    # 0.007184 x 70^0.425 x 170^0.725
    assert Patient(None, None, 1.70, 70.0).body_surface_m2(BsaFormula.DUBOIS) == pytest.approx(1.8097, abs=1e-3)
