import csv
import io
import json

import pytest

from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.learn.scores import CaseScore, Protocol, Summary, summarise, table

LV, RV = Structure.LV_CAVITY, Structure.RV_CAVITY


def score(
    study: str = "a",
    phase: str = "",
    dice: float | None = 0.9,
    lv: tuple[float | None, float | None] = (None, None),
    rv: tuple[float | None, float | None] = (None, None),
) -> CaseScore:
    return CaseScore(
        case_id=f"{study}-{phase}",
        study_id=study,
        patient=study,
        phase=phase,
        protocol=Protocol.NATIVE,
        n_slices=10,
        dice=dict.fromkeys(FOREGROUND, dice),
        hd95_mm=dict.fromkeys(FOREGROUND, 4.0),
        drawn_ml={LV: lv[0], RV: rv[0]},
        true_ml={LV: lv[1], RV: rv[1]},
    )


def summary(*scores: CaseScore) -> Summary:
    return summarise(scores, Protocol.NATIVE)


def test_the_summary_has_the_agreed_form() -> None:
    values = json.loads(json.dumps(summary(score()).to_json()))
    assert values == {
        "n_cases": 1,
        "protocol": "native",
        "dice": {"lv": 0.9, "myo": 0.9, "rv": 0.9, "mean": pytest.approx(0.9)},
        "hd95_mm": {"lv": 4.0, "myo": 4.0, "rv": 4.0, "mean": 4.0},
        "lvef": {"n": 0, "mae": None, "bias": None, "sd": None},
        "rvef": {"n": 0, "mae": None, "bias": None, "sd": None},
    }


def test_ejection_fractions_are_paired_by_study() -> None:
    found = summary(
        score("a", "ed", lv=(100, 100)),
        score("b", "ed", lv=(200, 200)),
        score("a", "es", lv=(50, 40)),  # 50 instead of 60
        score("b", "es", lv=(80, 100)),  # 60 instead of 50
        score("c", "ed", lv=(90, 90)),  # no ES
    )
    assert (found.lvef.n, found.lvef.mae, found.lvef.bias) == (2, pytest.approx(10), pytest.approx(0))
    assert found.lvef.sd == pytest.approx(200**0.5)
    assert found.rvef.n == 0


def test_a_ventricle_that_was_not_drawn_counts_as_an_error_not_as_absent() -> None:
    found = summary(score("a", "ed", lv=(0, 100)), score("a", "es", lv=(0, 40)))
    assert (found.lvef.n, found.lvef.bias) == (1, pytest.approx(-60))


def test_a_structure_without_truth_is_left_out_of_the_mean() -> None:
    assert summary(score(dice=0.8), score(dice=None)).dice["lv"] == pytest.approx(0.8)
    assert summary(score(dice=None)).dice["mean"] is None


def test_the_table_has_a_row_per_case_that_names_its_protocol_and_leaves_unknowns_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(table([score("a", "ed", lv=(101.5, 99)), score("b", dice=None)]))))
    assert [row["study"] for row in rows] == ["a", "b"]
    assert {row["protocol"] for row in rows} == {"native"}
    assert rows[0]["lv_ml"] == "101.5000"
    assert rows[1]["dice_lv"] == rows[0]["rv_ml"] == ""
