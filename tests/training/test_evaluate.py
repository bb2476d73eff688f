"""The commands that evaluate a model and compare two."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from processed_datasets import TINY, small_config, write_acdc
from safetensors.torch import save_file

from cinema_core.errors import InputError
from cinema_core.models import build_model
from training import compare, evaluate
from training.datasets.processed import split_images


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acdc")
    write_acdc(folder, n_per_group=3)
    write_acdc(folder, n_per_group=2, split="test")
    return folder


@pytest.fixture(scope="module")
def models(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two untrained networks."""
    folder, config = tmp_path_factory.mktemp("models"), small_config(prepared).model_dump(mode="json")
    paths = [folder / f"acdc_sax_{seed}.safetensors" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        save_file({key: value.contiguous() for key, value in build_model(config).state_dict().items()}, path)
    return paths


def run(prepared: Path, weights: Path, out: Path, *further: str) -> int:
    asked = ["segmentation", "acdc_sax", "--weights", str(weights), "--out", str(out), "--device", "cpu"]
    return evaluate.main([*asked, *TINY, f"data.dir={prepared}", *further])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_models_are_evaluated_and_compared(
    prepared: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for weights, name in zip(models, "ab", strict=True):
        assert run(prepared, weights, tmp_path / name) == 0
    assert "8 cases of 4 patients" in capsys.readouterr().out
    cases, hearts = read(tmp_path / "a" / "metrics.csv"), read(tmp_path / "a" / "ef_metrics.csv")
    assert [(row["pid"], row["phase"]) for row in cases[:2]] == [("patient000", "ed"), ("patient000", "es")]
    assert len(hearts) == 4
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    mean = summary["metrics"]["dice_mean"]
    assert mean["mean"] == pytest.approx(sum(float(row["dice_mean"]) for row in cases) / 8)
    assert mean["low"] <= mean["mean"] <= mean["high"]
    assert (mean["n"], summary["split"], summary["n_patients"]) == (8, "test", 4)
    assert "lv_ef_pct_mae" in summary["ef_metrics"]
    assert {row["metric"] for row in read(tmp_path / "a" / "mean_metrics.csv")} == set(summary["metrics"])

    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "ab.csv")]) == 0
    lines = {row["metric"]: row for row in read(tmp_path / "ab.csv")}
    dice = lines["dice_mean"]
    assert float(dice["first"]) == pytest.approx(mean["mean"])
    assert float(dice["difference"]) == pytest.approx(float(dice["second"]) - float(dice["first"]))
    assert dice["n"] == "4"
    assert lines["lv_ef_pct_abs_error"]["table"] == "ef_metrics.csv"
    assert not any(name.startswith(("true_", "predicted_")) for name in lines)
    same = compare.compare(tmp_path / "a", tmp_path / "a")
    assert all(difference.p_wilcoxon == 1 for _, difference in same if difference.n)


def test_evaluations_of_other_cases_or_other_truth_are_not_compared(
    prepared: Path, models: list[Path], tmp_path: Path
) -> None:
    assert run(prepared, models[0], tmp_path / "test") == 0
    assert run(prepared, models[0], tmp_path / "val", "--split", "val") == 0
    with pytest.raises(InputError, match=r"cases of metrics.csv are in one evaluation only"):
        compare.compare(tmp_path / "test", tmp_path / "val")
    write_acdc(tmp_path / "other", n_per_group=2, order=(0, 0, 2, 3), split="test")
    assert run(tmp_path / "other", models[0], tmp_path / "moved") == 0
    with pytest.raises(InputError, match=r"The truth \(true_rv_ml\) of metrics.csv differs"):
        compare.compare(tmp_path / "test", tmp_path / "moved")
    with pytest.raises(InputError, match="Give the folder of an evaluation"):
        compare.compare(tmp_path / "test", tmp_path)


def test_what_cannot_be_evaluated_is_told(
    prepared: Path, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(prepared, models[0], tmp_path / "a", "model.convunetr.dec_chans=[4, 6, 8, 10, 14]") == 2
    assert "acdc_sax_0.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    write_acdc(tmp_path / "train", n_per_group=3)
    assert run(tmp_path / "train", models[0], tmp_path / "a") == 2
    assert "test_metadata.csv" in capsys.readouterr().err
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "summary.json").write_text("{}")
    assert run(prepared, models[0], tmp_path / "a") == 2
    assert "holds an evaluation already" in capsys.readouterr().err
    with pytest.raises(InputError, match="keeps the labels of its test to itself"):
        split_images(prepared, small_config(prepared, "data.name=myops2020"), "test")
