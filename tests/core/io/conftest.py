"""Small studies as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom


@pytest.fixture(scope="session")
def tiny_heart() -> PhantomStudy:
    return make_phantom(HeartParameters(n_slices=4, slice_step_mm=22.0, n_phases=5), seed=3)


@pytest.fixture
def nifti_file(tmp_path: Path, tiny_heart: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "phantom", tiny_heart)


@pytest.fixture
def dicom_folder(tmp_path: Path, tiny_heart: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "phantom", tiny_heart, kind="dicom")
