"""MetaImage and NRRD: what SimpleITK writes comes in where SimpleITK says it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from cinema_core.errors import CinemaError, GeometryError, StudyError
from cinema_core.io import load_pair, load_study

PIXELS = np.random.default_rng(4).integers(0, 900, (5, 3, 6, 7), dtype=np.int16)
"""(t, z, y, x)."""

# Rows of a rotation, so that no axis of the image is one of the body.
X, Y = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
DIRECTION = np.stack([X, Y, np.cross(X, Y)], axis=1)


def volume(pixels: np.ndarray[Any, Any]) -> sitk.Image:
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((1.5, 1.25, 8.0))
    image.SetOrigin((-20.0, 30.0, 40.0))
    image.SetDirection(DIRECTION.ravel())
    return image


def cine(step: float = 33.0) -> sitk.Image:
    return sitk.JoinSeries([volume(phase) for phase in PIXELS], 0.0, step)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_cine_lies_where_simpleitk_says(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(cine(), str(tmp_path / f"cine{suffix}"))
    (found,) = load_study(tmp_path / f"cine{suffix}").cines
    np.testing.assert_array_equal(found.pixels, PIXELS)
    reference = volume(PIXELS[0])
    for z in range(3):
        place = reference.TransformIndexToPhysicalPoint((4, 2, z))
        np.testing.assert_allclose(found.geometry.planes[z].to_world_mm(2, 4), place, atol=1e-6)
    assert found.geometry.slice_step_mm == pytest.approx(8.0)


@pytest.mark.parametrize(("step", "rr_ms"), [(160.0, 800.0), (0.16, 800.0), (1.0, None)])
def test_beat_is_believed_if_a_heart_can_have_it(tmp_path: Path, step: float, rr_ms: float | None) -> None:
    sitk.WriteImage(cine(step), str(tmp_path / "cine.mha"))
    (found,) = load_study(tmp_path / "cine.mha").cines
    assert found.timing.rr_median_ms == (None if rr_ms is None else pytest.approx(rr_ms))


def test_slicer_sequence_is_a_cine(tmp_path: Path) -> None:
    path = tmp_path / "cine.seq.nrrd"
    sitk.WriteImage(sitk.Compose([volume(phase) for phase in PIXELS]), str(path))
    path.write_bytes(path.read_bytes().replace(b"kinds: vector", b"kinds: list", 1))
    np.testing.assert_array_equal(load_study(path).cines[0].pixels, PIXELS)


def test_two_volumes_are_a_pair(tmp_path: Path) -> None:
    for name, t in (("ed", 0), ("es", 2)):
        sitk.WriteImage(volume(PIXELS[t]), str(tmp_path / f"{name}.nrrd"))
    (found,) = load_pair(tmp_path / "ed.nrrd", tmp_path / "es.nrrd").cines
    np.testing.assert_array_equal(found.pixels, PIXELS[[0, 2]])


def test_colours_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Compose([volume(phase) for phase in PIXELS[:3]]), str(tmp_path / "x.mha"))
    with pytest.raises(StudyError, match="colours or vectors"):
        load_study(tmp_path / "x.mha")


def test_plane_image_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(PIXELS[0, 0]), str(tmp_path / "x.mha"))
    with pytest.raises(StudyError, match="a cine has 3 axes"):
        load_study(tmp_path / "x.mha")


def test_file_without_spacing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mha"
    sitk.WriteImage(volume(PIXELS[0]), str(path))
    lines = [line for line in path.read_bytes().split(b"\n") if not line.startswith(b"ElementSpacing")]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(GeometryError, match="states no size of its voxels"):
        load_study(path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_file_cut_short_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(cine(), str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CinemaError, match="x\\."):
        load_study(path)


def test_missing_raw_file_is_said(tmp_path: Path) -> None:
    sitk.WriteImage(cine(), str(tmp_path / "x.mhd"))
    (tmp_path / "x.raw").unlink()
    with pytest.raises(StudyError, match="raw data file"):
        load_study(tmp_path / "x.mhd")


def test_size_that_no_cine_has_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.mha"
    sitk.WriteImage(volume(PIXELS[0]), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 7 6 3", b"DimSize = 70000 60000 300"))
    with pytest.raises(StudyError, match="which no cine has"):
        load_study(path)
