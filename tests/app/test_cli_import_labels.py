"""``cinema import-labels``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cinema_app import cli
from cinema_core.anatomy import LabelState
from cinema_core.io import load_study, write_labels
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project


@pytest.fixture
def study(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "study", phantom_study, kind="dicom")


@pytest.fixture
def labels(tmp_path: Path, study: Path, phantom_study: PhantomStudy) -> Path:
    write_labels(tmp_path / "labels.nii.gz", phantom_study.labels, load_study(study).best("sax"))
    return tmp_path / "labels.nii.gz"


def run(*arguments: object) -> int:
    return cli.run([str(argument) for argument in ("import-labels", *arguments)])


def test_labels_become_accepted_with_their_origin(
    tmp_path: Path, study: Path, labels: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "p.cinema"
    assert run(study, labels, "--project", project, "--label-order", "acdc", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    geometry = phantom_study.cine.geometry
    assert geometry.slice_step_mm is not None
    voxel_ml = geometry.pixel_spacing_mm[0] * geometry.pixel_spacing_mm[1] * geometry.slice_step_mm / 1000
    edv_ml = max((frame == 3).sum() * voxel_ml for frame in phantom_study.labels)
    assert answer["measures"]["lv_edv_ml"] == pytest.approx(edv_ml, rel=1e-4)
    with Project.open(project) as opened:
        rows = opened.slices(answer["study"])
        assert {row.state for row in rows.values()} == {LabelState.ACCEPTED}
        assert {row.tool for row in rows.values()} == {"import nifti"}


def test_a_second_import_keeps_what_is_there(
    tmp_path: Path, study: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "p.cinema"
    assert run(study, labels, "--project", project, "--label-order", "acdc") == 0
    capsys.readouterr()
    assert run(study, labels, "--project", project, "--label-order", "mnms2", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kept"] == answer["n_slices"]
    assert run(study, labels, "--project", project, "--label-order", "mnms2", "--replace", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 0


def test_without_an_order_nothing_is_taken(
    tmp_path: Path, study: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study, labels, "--project", tmp_path / "p.cinema") == 2
    assert "--label-order" in capsys.readouterr().err


def test_contours_of_the_left_ventricle_are_told_in_words(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "sunnybrook_dicom"
    study, contours = folder / "dicoms/SCD0000301", folder / "contourfiles/SC-HF-I-4"
    assert run(study, contours, "--project", tmp_path / "p.cinema") == 0
    told = capsys.readouterr().out
    assert "20 slices from 30 contours (sunnybrook)" in told
    assert "lv_ef_pct" in told
    assert "rv_edv_ml" not in told
