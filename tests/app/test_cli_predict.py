"""``cinema predict``: every task with weights of the published form, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cinema_app import cli
from cinema_core.io import write_image
from cinema_core.phantom import PhantomStudy


def predict(task: str, *more: str | Path) -> int:
    return cli.run(["predict", task, *map(str, more)])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    error = capsys.readouterr().err
    assert error.startswith("cinema: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def weights(shared_golden: Path):  # type: ignore[no-untyped-def]
    def options(name: str) -> list[str | Path]:
        return ["--model", shared_golden / f"{name}.safetensors", "--config", shared_golden / f"{name}.yaml"]

    return options


@pytest.fixture(scope="module")
def sax(tmp_path_factory: pytest.TempPathFactory, phantom_study: PhantomStudy) -> Path:
    path = tmp_path_factory.mktemp("sax") / "cine.nii.gz"
    write_image(path, phantom_study.cine)
    return path


@pytest.fixture(scope="module")
def four_chamber(shared_data: Path) -> Path:
    return shared_data / "mnms2_001" / "001_LA_CINE.nii.gz"


@pytest.fixture(scope="module")
def siemens(shared_data: Path) -> Path:
    return shared_data / "bivme_siemens_dicom" / "dicoms"


def test_segment_sax_leaves_labels_and_report(sax: Path, weights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    assert predict("segment-sax", sax, *weights("seg_sax"), "--out", out) == 0
    assert sorted(file.name for file in out.iterdir()) == ["labels.nii.gz", "provenance.json", "report.csv"]


def test_segment_lax_4c_leaves_labels_on_the_grid_of_the_cine(
    four_chamber: Path,
    weights,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert predict("segment-lax-4c", four_chamber, "--view", "lax_4c", *weights("seg_lax_4c"), "--out", out) == 0
    said = re.search(
        r"single-plane area-length: EDV ([\d.]+) ml, ESV ([\d.]+) ml, EF ([\d.]+) %", capsys.readouterr().out
    )
    assert said is not None
    edv, esv, ef = map(float, said.groups())
    assert ef == pytest.approx(100 * (1 - esv / edv), abs=0.2)
    assert edv > esv > 0
    labels, image = nib.load(out / "labels.nii.gz"), nib.load(four_chamber)
    assert labels.shape == image.shape
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)
    with (out / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    drawn = np.asarray(labels.dataobj)[..., 0, 0]
    area = float(np.prod(image.header.get_zooms()[:2])) * (drawn == 3).sum()
    assert float(rows[0]["lv_cavity_mm2"]) == pytest.approx(area, abs=0.1)


@pytest.mark.parametrize("kind", ["heatmap", "coordinate"])
@pytest.mark.parametrize("study", ["mnms2", "siemens"])
def test_landmarks_of_a_long_axis_cine(  # type: ignore[no-untyped-def]
    kind: str, study: str, four_chamber: Path, siemens: Path, weights, tmp_path: Path, capsys
) -> None:
    path, more = (four_chamber, ["--view", "lax_4c"]) if study == "mnms2" else (siemens, ["--cine", "lax_4c"])
    out = tmp_path / "out"
    options = [*more, *weights(f"landmark_{kind}_lax_4c"), "--out", out, "--json"]
    assert predict(f"landmarks-{kind}", path, *options) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    lengths = values["lv_length_mm"]
    assert len(lengths) == 25
    assert values["gls_pct"] == pytest.approx((max(lengths) - min(lengths)) / max(lengths) * 100, abs=0.01)
    assert "not known" in values["models"][0]["trained_on"]
    with (out / "landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 75
    points = np.array([[float(row[name]) for name in ("x_mm", "y_mm", "z_mm")] for row in rows[:3]])
    length = np.linalg.norm(points[:2].mean(axis=0) - points[2])
    assert length == pytest.approx(lengths[0], abs=0.1)  # the same in the patient as in the plane


@pytest.mark.parametrize("name", ["clf_sax", "resnet_sax"])
def test_disease_of_a_short_axis_study(name: str, sax: Path, weights, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    options = [*weights(name), "--ed-phase", "1", "--es-phase", "3", "--out", tmp_path / "out", "--json"]
    assert predict("disease", sax, *options) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["phases"] == {"sax": [1, 3]}
    assert set(values["probabilities"]) == {"DCM", "HCM", "MINF", "NOR", "RV"}
    assert sum(values["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert values["answer"] == max(values["probabilities"], key=values["probabilities"].get)
    assert values["spread"] is None
    assert "Research use" in values["use"]


def test_ef_regression_is_never_called_lvef(siemens: Path, weights, capsys) -> None:  # type: ignore[no-untyped-def]
    assert predict("ef-regression", siemens, *weights("reg_lax_4c")) == 0
    said = capsys.readouterr().out
    assert "EF (model-defined, not LVEF)" in said
    assert "Not an LVEF" in said
    assert "lax_4c: ED" in said  # found on the short axis of the study


def test_several_models_answer_together(sax: Path, weights, capsys) -> None:  # type: ignore[no-untyped-def]
    model, file, config, path = weights("clf_sax")
    assert predict("disease", sax, model, file, model, file, config, path, "--ed-phase", 1, "--es-phase", 3) == 0
    said = capsys.readouterr().out
    assert "0.00" in said  # the same model twice: no spread
    assert said.count("By clf_sax") == 2


def test_reconstruction_is_a_picture(siemens: Path, weights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    assert predict("reconstruct", siemens, *weights("mae"), "--out", out) == 0
    with Image.open(out / "reconstruction.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 100
    assert set(json.loads((out / "prediction.json").read_text())["mse"]) == {"sax", "lax_2c", "lax_3c", "lax_4c"}


def test_features_are_arrays_by_view(siemens: Path, weights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    assert predict("features", siemens, *weights("mae"), "--phase", 3, "--out", out) == 0
    with np.load(out / "features.npz") as found:
        assert {name: found[name].shape[1] for name in found.files} == {
            "cls": 16,
            "sax": 16,
            "lax_2c": 16,
            "lax_3c": 16,
            "lax_4c": 16,
        }


REFUSED = {
    "another question": (["sex", "SAX", "clf_sax"], "clf_sax answers 'pathology'; sex needs one that answers 'sex'"),
    "another form": (
        ["landmarks-heatmap", "FOUR", "landmark_coordinate_lax_4c", "--view", "lax_4c"],
        "gives landmark coordinates",
    ),
    "another view of the task": (["segment-sax", "SAX", "seg_lax_4c", "--out", "OUT"], "segment-sax looks at sax"),
    "another view of the study": (["disease", "FOUR", "clf_sax"], "looks at sax; the study shows other (other)"),
    "half of ED and ES": (["disease", "SAX", "clf_sax", "--ed-phase", "1"], "Give both --ed-phase and --es-phase"),
    "a phase too many": (
        ["disease", "SAX", "clf_sax", "--ed-phase", "1", "--es-phase", "99"],
        "Phase 99 was asked for",
    ),
    "no short axis for ED and ES": (
        ["ef-regression", "FOUR", "reg_lax_4c", "--view", "lax_4c"],
        "Say which phases they are with --ed-phase and --es-phase",
    ),
    "no folder": (["features", "SAX", "mae"], "features writes files. Give a folder for them with --out"),
    "two models for features": (["features", "SAX", "mae", "--model", "AGAIN", "--out", "OUT"], "takes one model"),
    "no such task": (["horoscope", "SAX", "mae"], "There is no task 'horoscope'. Tasks: segment-sax"),
    "no such view": (["disease", "SAX", "clf_sax", "--view", "lax_5c"], "There is no view 'lax_5c'"),
    "no such cine": (["disease", "SAX", "clf_sax", "--cine", "nine"], "The study has no cine 'nine'; found: sax"),
    "data set and model": (["disease", "SAX", "clf_sax", "--dataset", "acdc"], "give one of them"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_refused_in_a_line(  # type: ignore[no-untyped-def]
    case: str, sax: Path, four_chamber: Path, weights, tmp_path: Path, capsys
) -> None:
    (task, study, name, *more), message = REFUSED[case]
    path = {"SAX": sax, "FOUR": four_chamber}[study]
    options = weights(name)
    words = {"OUT": str(tmp_path / "out"), "AGAIN": options[1]}
    assert predict(task, path, *options, *(words.get(word, word) for word in more)) == 2
    assert message in complaint(capsys)
    assert not (tmp_path / "out").exists()


def test_results_are_not_replaced(sax: Path, weights, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "features.npz").write_bytes(b"mine")
    assert predict("features", sax, *weights("mae"), "--out", tmp_path) == 2
    assert "features.npz already" in complaint(capsys)
    assert (tmp_path / "features.npz").read_bytes() == b"mine"


def test_published_models_that_are_not_here_are_named(sax: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert predict("disease", sax, "--dataset", "mnms2") == 2
    assert "mnms2-sax-disease" in complaint(capsys)


def test_a_data_set_without_models_is_refused(sax: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert predict("sex", sax, "--dataset", "acdc") == 2
    assert "No model for sex was published for acdc sax; there are: mnms sax" in complaint(capsys)
