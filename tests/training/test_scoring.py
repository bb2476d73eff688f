"""Scores of cases and the figures of all of them, against what is known by hand or from other code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from processed_datasets import small_config, write_acdc

from cinema_core.anatomy import Structure
from cinema_core.measure.agreement import dice, hd95_mm
from training import scoring
from training.datasets.augment import read_sample
from training.datasets.processed import split_images
from training.ejection import ejection_figures, ejection_rows, repeat_figures, repeat_rows, variation_pct
from training.scoring import area_under_curve, classification_figures, regression_figures, score_image, stability
from training.settings import Behaviour

NETWORK = torch.nn.Identity()


def test_what_is_drawn_beside_the_truth_is_scored_as_other_code_scores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_acdc(tmp_path, n_per_group=1, split="test")
    config = small_config(tmp_path)
    image = split_images(tmp_path, config, "test")[0]
    truth = read_sample(image, config)[1]
    drawn = np.roll(truth, 2, axis=0)
    logits = 10 * torch.nn.functional.one_hot(torch.from_numpy(drawn).long(), 4).movedim(-1, 0)[None].float()
    monkeypatch.setattr(scoring, "logits_of", lambda *given: logits)
    row = score_image(config, image, NETWORK)
    assert (row["patient"], row["pid"], row["phase"]) == ("patient000", "patient000", "ed")
    spacing = (1.0, 1.0, 10.0)
    for name, structure in (("rv", Structure.RV_CAVITY), ("myo", Structure.LV_MYOCARDIUM), ("lv", Structure.LV_CAVITY)):
        overlap = dice(drawn, truth, structure)
        assert row[f"dice_{name}"] == pytest.approx(overlap, abs=1e-6)
        assert row[f"iou_{name}"] == pytest.approx(overlap / (2 - overlap), abs=1e-6)
        assert row[f"hd95_mm_{name}"] == pytest.approx(hd95_mm(drawn, truth, structure, spacing), abs=1e-6)
    assert row["hd95_mm_mean"] == pytest.approx(np.mean([row[f"hd95_mm_{name}"] for name in ("rv", "myo", "lv")]))
    assert row["true_lv_ml"] == pytest.approx((truth == 3).sum() * 10 / 1000)
    assert row["predicted_lv_ml"] == row["true_lv_ml"]
    assert row["stability_label_3"] == 1


def test_a_structure_that_is_not_there_leaves_no_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_acdc(tmp_path, n_per_group=1, order=(0, 0, 2, 3), split="test")
    config = small_config(tmp_path)
    image = split_images(tmp_path, config, "test")[0]
    logits = torch.zeros(1, 4, 32, 32, 2)
    monkeypatch.setattr(scoring, "logits_of", lambda *given: logits)  # all background
    row = score_image(config, image, NETWORK)
    assert row["dice_lv"] == 0
    assert np.isnan([row["dice_rv"], row["dice_mean"], row["hd95_mm_lv"], row["hd95_mm_mean"]]).all()


def test_stability_is_the_share_of_the_outline_that_is_sure() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[0, 1] = torch.tensor([4.0, 1.0, -1.0, -4.0])  # centred: 2, 0.5, -0.5, -2
    assert stability(logits) == [pytest.approx(1 / 3)]


def phase(pid: str, name: str, lv: tuple[float, float], rv: tuple[float, float] = (100, 100)) -> dict[str, object]:
    volumes = {"predicted_lv_ml": lv[0], "true_lv_ml": lv[1], "predicted_rv_ml": rv[0], "true_rv_ml": rv[1]}
    return {"patient": pid.removesuffix("_A").removesuffix("_B"), "pid": pid, "phase": name, **volumes}


def test_ejection_fractions_of_ed_and_es_and_their_errors() -> None:
    phases = [
        *(phase("a", "ed", (110, 100)), phase("a", "es", (44, 50))),
        *(phase("b", "ed", (100, 100)), phase("b", "es", (120, 65))),
    ]
    rows = ejection_rows(phases, Behaviour.MENDED)
    assert [row["predicted_lv_ef_pct"] for row in rows] == pytest.approx([60, -20])
    assert [row["true_lv_ef_pct"] for row in rows] == pytest.approx([50, 35])
    figures = ejection_figures(rows)
    assert figures["lv_ef_pct_mae"] == pytest.approx((10 + 55) / 2)
    assert figures["lv_ef_pct_bias"] == pytest.approx((10 - 55) / 2)
    assert figures["lv_ef_pct_std_abs_error"] == pytest.approx(22.5)
    assert figures["lv_edv_ml_rmse"] == pytest.approx(np.sqrt(50))
    assert figures["lv_ef_region_accuracy"] == 0.5  # 60 is normal and 50 borderline; -20 and 35 are reduced
    published = ejection_rows(phases, Behaviour.PUBLISHED)
    assert [row["predicted_lv_ef_pct"] for row in published] == pytest.approx([60, 0])


def test_of_all_phases_the_largest_and_smallest_count_and_two_scans_say_how_well_they_repeat() -> None:
    volumes = {"scan_00_A": (80, 120, 60), "scan_00_B": (100, 90, 50), "scan_01_A": (1, 2, 3)}
    phases = [phase(pid, str(t), (ml, 100)) for pid, series in volumes.items() for t, ml in enumerate(series)]
    hearts = ejection_rows(phases, Behaviour.MENDED)
    assert [row["predicted_lv_ef_pct"] for row in hearts[:2]] == pytest.approx([50, 50])
    (pair,) = repeat_rows(hearts)
    assert (pair["patient"], pair["predicted_lv_edv_ml_A"], pair["predicted_lv_edv_ml_B"]) == ("scan_00", 120, 100)
    figures = repeat_figures([pair])
    assert figures["predicted_lv_edv_ml_cv_pct"] == pytest.approx(100 * np.sqrt(200) / 110)
    assert figures["predicted_lv_ef_pct_cv_pct"] == pytest.approx(0)
    assert variation_pct(np.array([0.0]), np.array([0.0])) != 0  # NaN: nothing varies about nothing


def test_area_under_the_curve_by_hand() -> None:
    true = np.array([0, 0, 1, 1])
    shares = np.array([0.9, 0.4, 0.6, 0.4])
    of_two = np.stack([shares, 1 - shares], axis=1)
    assert area_under_curve(true, of_two) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert area_under_curve(np.zeros(4, dtype=int), of_two) == 0
    assert area_under_curve(np.array([0, 1, 2]), np.eye(3)) == 1


def answer(true: str, given: str, *shares: float) -> dict[str, object]:
    return {"patient": "a", "true_class": true, "predicted_class": given, "entropy": 0.5} | {
        f"probability_{name}": share for name, share in zip("MF", shares, strict=True)
    }


def test_figures_of_two_classes_by_hand() -> None:
    rows = [
        *(answer("M", "M", 0.9, 0.1), answer("M", "F", 0.4, 0.6), answer("M", "M", 0.8, 0.2)),
        *(answer("F", "F", 0.3, 0.7), answer("F", "M", 0.7, 0.3)),
    ]
    figures = classification_figures(rows, ("M", "F"))
    assert (figures["accuracy"], figures["sensitivity"]) == (0.6, 0.5)
    assert figures["specificity"] == pytest.approx(2 / 3)
    assert figures["f1"] == pytest.approx(0.5)
    assert figures["mcc"] == pytest.approx(1 / 6)
    assert figures["roc_auc"] == pytest.approx(5 / 6)


def test_errors_of_values_as_standardised_and_as_they_are() -> None:
    rows = [
        {"true_value": 30.0, "predicted_value": 33.0, "abs_error": 0.6, "restored_abs_error": 3.0},
        {"true_value": 20.0, "predicted_value": 19.0, "abs_error": 0.2, "restored_abs_error": 1.0},
    ]
    figures = regression_figures(rows)
    assert (figures["mae"], figures["restored_max_error"]) == (pytest.approx(0.4), 3)
    assert figures["restored_rmse"] == pytest.approx(np.sqrt(5))
    assert figures["restored_bias"] == pytest.approx(1)
