"""``cinema segment`` with the bundled model, and what it says of studies and weights that cannot be used."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from cinema_app import cli
from cinema_core.cards import bundled_folder
from cinema_core.cine import Geometry
from cinema_core.io import write_image
from cinema_core.phantom import PhantomStudy

RESULTS = ["labels.nii.gz", "provenance.json", "report.csv"]


@pytest.fixture(scope="session")
def small_cine(tmp_path_factory: pytest.TempPathFactory, phantom_study: PhantomStudy) -> Path:
    """Three slices of the phantom on ED, ES and one phase more."""
    path = tmp_path_factory.mktemp("small") / "cine.nii.gz"
    whole = phantom_study.cine
    geometry = Geometry(whole.geometry.planes[1:4])
    timing = replace(whole.timing, trigger_ms=(0.0, 300.0, 600.0), rr_ms=(900.0,) * 3)
    write_image(path, replace(whole, pixels=whole.pixels[[0, 2, 4], 1:4], geometry=geometry, timing=timing))
    return path


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, small_cine: Path) -> Path:
    """What ``cinema segment`` left for it."""
    out = tmp_path_factory.mktemp("results") / "out"
    assert cli.run(["segment", str(small_cine), "--out", str(out)]) == 0
    return out


def segment(path: Path, out: Path, *more: str | Path) -> int:
    return cli.run(["segment", str(path), "--out", str(out), *map(str, more)])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    error = capsys.readouterr().err
    assert error.startswith("cinema: ")
    assert error.count("\n") == 1
    return error


def read_report(folder: Path) -> dict[str, str]:
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return row


def test_three_files_are_left(results: Path) -> None:
    assert sorted(path.name for path in results.iterdir()) == RESULTS


def test_details_lie_beside_the_report(small_cine: Path, tmp_path: Path) -> None:
    assert segment(small_cine, tmp_path / "out", "--details") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [*RESULTS, "report_phases.csv", "report_segments.csv"]
    with (tmp_path / "out" / "report_segments.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17 * 3
    assert any(float(row["thickness_mm"]) > 5 for row in rows if row["thickness_mm"])


def test_labels_lie_on_the_study_s_own_grid(results: Path, small_cine: Path) -> None:
    labels, image = nib.load(results / "labels.nii.gz"), nib.load(small_cine)
    assert labels.shape == image.shape
    assert np.allclose(labels.affine, image.affine, atol=1e-4)
    assert labels.get_data_dtype() == np.uint8


def test_labels_find_the_heart(results: Path, phantom_study: PhantomStudy) -> None:
    labels = np.asarray(nib.load(results / "labels.nii.gz").dataobj).transpose(3, 2, 1, 0)
    truth = phantom_study.labels[[0, 2, 4], 1:4]
    both = ((labels == 3) & (truth == 3)).sum()
    assert 2 * both / ((labels == 3).sum() + (truth == 3).sum()) > 0.85


def test_report_has_the_measures_as_a_draft(results: Path) -> None:
    row = read_report(results)
    assert row["status"] == "draft"
    assert row["model"] == "bundled"
    assert float(row["lv_edv_ml"]) > float(row["lv_esv_ml"]) > 0
    assert 0 < float(row["lv_ef_pct"]) < 100


def test_provenance_pins_model_and_image(results: Path, small_cine: Path) -> None:
    text = (results / "provenance.json").read_text(encoding="utf-8")
    assert read_report(results)["model_sha256"] in text
    assert str(small_cine.parent) not in text  # a folder may be named after a patient


def test_results_are_not_replaced_unasked(results: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (results / "labels.nii.gz").stat().st_mtime_ns
    assert segment(small_cine, results) == 2
    assert "--overwrite" in complaint(capsys)
    assert (results / "labels.nii.gz").stat().st_mtime_ns == before


def test_overwrite_replaces_them(tmp_path: Path, small_cine: Path) -> None:
    (tmp_path / "report.csv").write_text("old", encoding="utf-8")
    assert segment(small_cine, tmp_path, "--overwrite", "--phases", "ed,es") == 0
    assert read_report(tmp_path)["lv_ef_pct"]


def test_ed_and_es_of_a_cine_are_found_and_the_rest_left_empty(
    tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(small_cine, tmp_path / "out", "--phases", "ed,es", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert {row["ed_phase"], row["es_phase"]} == {1, 2}
    labels = np.asarray(nib.load(tmp_path / "out" / "labels.nii.gz").dataobj)
    assert [bool(labels[..., t].any()) for t in range(3)] == [True, True, False]


def test_pair_of_files_is_segmented_by_its_names(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    for name, t in (("ed", 0), ("es", 2)):
        write_image(tmp_path / f"{name}.nii.gz", replace(phantom_study.cine, pixels=phantom_study.cine.pixels[[t]]))
    out = tmp_path / "out"
    pair = ("--ed", tmp_path / "ed.nii.gz", "--es", tmp_path / "es.nii.gz", "--out", out)
    assert cli.run(["segment", *map(str, pair)]) == 0
    assert nib.load(out / "labels.nii.gz").shape == (192, 192, 5, 2)
    assert float(read_report(out)["lv_ef_pct"]) > 20


def test_half_a_pair_is_refused(tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["segment", "--ed", str(small_cine), "--out", str(tmp_path / "out")]) == 2
    assert "needs both files" in complaint(capsys)


def test_nothing_to_segment_is_a_usage_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["segment", "--out", str(tmp_path / "out")]) == 2
    assert "Give a study, or a pair with --ed and --es. See: cinema segment --help" in complaint(capsys)


@pytest.mark.slow
def test_sunnybrook_study_whole(shared_data: Path, tmp_path: Path) -> None:
    assert segment(shared_data / "sunnybrook_dicom" / "dicoms" / "SCD0000101", tmp_path / "out") == 0
    assert nib.load(tmp_path / "out" / "labels.nii.gz").shape == (256, 256, 12, 20)
    row = read_report(tmp_path / "out")
    assert (row["n_slices"], row["n_phases"]) == ("12", "20")
    assert 5 < float(row["lv_ef_pct"]) < 60  # heart failure


# Bad input: one line, the right exit code, nothing left behind.


@pytest.mark.parametrize("phases", ["all", "ed,es"])
def test_one_phase_has_no_ejection_fraction(
    phases: str, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    cine = phantom_study.cine
    geometry = Geometry(cine.geometry.planes[2:4])
    write_image(tmp_path / "one.nii.gz", replace(cine, pixels=cine.pixels[:1, 2:4], geometry=geometry))
    out = tmp_path / "out"
    if phases == "all":
        assert segment(tmp_path / "one.nii.gz", out) == 0
        assert "one phase" in capsys.readouterr().out
        assert read_report(out)["lv_ef_pct"] == ""
    else:
        assert segment(tmp_path / "one.nii.gz", out, "--phases", "ed,es") == 2
        assert "has one phase; ED and ES need two" in complaint(capsys)
        assert not out.exists()


def test_empty_folder_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert segment(tmp_path / "empty", tmp_path / "out") == 2
    assert "is an empty folder" in complaint(capsys)
    assert not (tmp_path / "out").exists()


def test_folder_for_results_that_is_a_file(
    tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    assert segment(small_cine, tmp_path / "out") == 2
    assert "is a file" in complaint(capsys)


def test_unknown_model(tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment(small_cine, tmp_path / "out", "--model", "nonesuch") == 2
    assert "There is no model 'nonesuch'" in complaint(capsys)
    assert not (tmp_path / "out").exists()


def test_unknown_device(tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment(small_cine, tmp_path / "out", "--device", "abacus") == 2
    assert "There is no device 'abacus'" in complaint(capsys)


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """Write the bundled weights without one tensor, beside their config."""

    def write(without: str = "", name: str = "model.safetensors") -> Path:
        tensors = load_file(bundled_folder() / "weights.safetensors")
        left_out = next((key for key in tensors if without and without in key), "")
        save_file({key: value for key, value in tensors.items() if key != left_out}, tmp_path / name)
        (tmp_path / "config.yaml").write_bytes((bundled_folder() / "config.yaml").read_bytes())
        return tmp_path / name

    return write


def test_checkpoint_with_a_missing_key(
    weights: Callable[..., Path], tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(small_cine, tmp_path / "out", "--model", weights(without="pos_embed")) == 2
    error = complaint(capsys)
    assert "model.safetensors" in error
    assert "missing" in error
    assert not (tmp_path / "out").exists()


def test_weights_of_another_size(
    weights: Callable[..., Path], tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights()
    config = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    config["model"]["convunetr"]["size"] = "tiny"
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert segment(small_cine, tmp_path / "out", "--model", path, "--config", other) == 2
    assert "model.safetensors" in complaint(capsys)


def test_config_of_another_architecture(
    weights: Callable[..., Path], tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights()
    config = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    config["model"]["name"] = "resnet"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert segment(small_cine, tmp_path / "out", "--model", path) == 2
    assert "resnet" in complaint(capsys)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_pickle_is_never_opened(
    name: str, weights: Callable[..., Path], tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights(name=name)
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    assert segment(small_cine, tmp_path / "out", "--model", path) == 2
    error = complaint(capsys)
    assert "is a pickle" in error
    assert ".safetensors" in error


def test_weights_without_a_config(
    weights: Callable[..., Path], tmp_path: Path, small_cine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights()
    (tmp_path / "config.yaml").unlink()
    assert segment(small_cine, tmp_path / "out", "--model", path) == 2
    assert "Give it with --config" in complaint(capsys)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_no_disk_space_leaves_nothing_half_written(
    step: str, tmp_path: Path, small_cine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    out = tmp_path / "out"
    assert segment(small_cine, out) == 1
    error = complaint(capsys)
    assert f"Nothing was written to {out}: No space left on device." in error
    assert "free some space" in error
    assert not out.exists()


def test_no_disk_space_keeps_the_results_that_were_there(
    results: Path, tmp_path: Path, small_cine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.csv").write_text("of yesterday", encoding="utf-8")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert segment(small_cine, tmp_path, "--overwrite") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
    assert (tmp_path / "report.csv").read_text(encoding="utf-8") == "of yesterday"


def test_ctrl_c_leaves_nothing(tmp_path: Path, small_cine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cinema_core.predict.segment_cine", interrupted)
    assert segment(small_cine, tmp_path / "out") == 130
    assert list(tmp_path.iterdir()) == []
