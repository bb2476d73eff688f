"""``cinema inspect`` on real studies, and what it says of input that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cinema_app import cli
from cinema_core.phantom import PhantomStudy, write_phantom

Write = Callable[..., Path]


@pytest.fixture
def write_nifti(tmp_path: Path) -> Write:
    def write(voxels: np.ndarray, name: str = "cine.nii.gz", zooms: tuple[float, ...] | None = None) -> Path:
        image = nib.Nifti1Image(voxels, np.diag([1.5, 1.5, 10.0, 1.0]))
        if zooms:
            image.header["pixdim"][1 : 1 + len(zooms)] = zooms
        path = tmp_path / name
        nib.save(image, path)
        return path

    return write


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; nothing on standard output."""
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("cinema: ")
    assert output.err.count("\n") == 1
    return output.err


def test_json_is_exactly_as_designed(
    phantom_study: PhantomStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_phantom(tmp_path, phantom_study)
    assert cli.run(["inspect", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["cines", "refused", "studies", "n_files", "notes", "repeats"]
    [cine] = answer["cines"]
    assert list(cine) == [
        *("id", "view", "view_confidence", "n_slices", "n_phases", "rows", "columns"),
        *("pixel_spacing_mm", "slice_step_mm", "rr_ms", "measurable", "warnings"),
        *("view_reason", "slice_positions_mm", "is_regular", "slice_sizes", "apex_first", "direction_reason"),
        *("phases_ordered_by", "missing", "study"),
    ]
    assert list(cine["rr_ms"]) == ["median", "min", "max", "source"]
    assert (cine["n_slices"], cine["n_phases"], cine["rows"], cine["columns"]) == (5, 6, 192, 192)
    assert cine["slice_step_mm"] == pytest.approx(18.0)


def test_table_fits_80_columns(phantom_study: PhantomStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_phantom(tmp_path, phantom_study)
    assert cli.run(["inspect", str(path)]) == 0
    heading, rule, row = capsys.readouterr().out.splitlines()[1:4]
    assert max(len(heading), len(rule), len(row)) <= 80
    assert heading.split()[:5] == ["Cine", "View", "Sure", "Slices", "Phases"]
    assert row.split()[:5] == ["sax", "sax", "0.5", "5", "6"]


def test_refused_files_are_told_once_per_reason(
    tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_phantom(tmp_path, phantom_study, kind="dicom")
    for k in range(3):
        (folder / f"note{k}.dcm").write_text("not DICOM", encoding="utf-8")
    assert cli.run(["inspect", str(folder)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Not used: ")]
    assert "and 2 more" in line


def test_siemens_volunteer_has_six_sax_slices_far_apart(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(shared_data / "bivme_siemens_dicom" / "dicoms"), "--json"]) == 0
    [sax] = [cine for cine in json.loads(capsys.readouterr().out)["cines"] if cine["view"] == "sax"]
    assert (sax["n_slices"], sax["n_phases"]) == (6, 25)
    assert sax["slice_step_mm"] == pytest.approx(17.7, abs=0.05)
    assert (sax["rr_ms"]["min"], sax["rr_ms"]["max"]) == (776, 863)


def test_siemens_volunteer_reads_the_same_in_the_table(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(shared_data / "bivme_siemens_dicom" / "dicoms")]) == 0
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("sax "))
    assert row == ["sax", "sax", "0.9", "6", "25", "208x256", "1.41", "17.7", "776-863"]


# Bad input: one line that says what, where and what to do; exit 2.


def test_missing_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere"
    assert cli.run(["inspect", str(path)]) == 2
    assert f"no file or folder {path}" in complaint(capsys)


def test_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(tmp_path)]) == 2
    error = complaint(capsys)
    assert f"{tmp_path} is an empty folder" in error
    assert "Choose" in error


def test_text_file_named_dcm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "note.dcm"
    path.write_text("I am no image.", encoding="utf-8")
    assert cli.run(["inspect", str(path)]) == 2
    assert "note.dcm" in complaint(capsys)


def test_truncated_nifti(write_nifti: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(np.random.default_rng(0).integers(0, 999, (32, 32, 4, 5)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert cli.run(["inspect", str(path)]) == 2
    error = complaint(capsys)
    assert str(path) in error
    assert "Copy it again" in error


def test_two_dimensional_image(write_nifti: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(np.ones((32, 32), np.int16))
    assert cli.run(["inspect", str(path)]) == 2
    error = complaint(capsys)
    assert "shape 32 x 32" in error
    assert "whole stack" in error


def test_pixels_that_are_no_numbers(write_nifti: Write, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = np.ones((32, 32, 4, 5), np.float32)
    voxels[3, 4, 1, 2] = np.nan
    path = write_nifti(voxels)
    assert cli.run(["inspect", str(path)]) == 2
    error = complaint(capsys)
    assert f"{path}: 1 of 20480 voxels are not finite" in error


def test_spacing_of_zero(write_nifti: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(np.ones((32, 32, 4, 5), np.int16), zooms=(0.0, 1.5, 10.0))
    assert cli.run(["inspect", str(path)]) == 2
    error = complaint(capsys)
    assert str(path) in error
    assert "above zero" in error


def test_one_phase_is_told(write_nifti: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(np.ones((32, 32, 4), np.int16))
    assert cli.run(["inspect", str(path)]) == 0
    assert "one phase" in capsys.readouterr().out
