"""A project with one small study, and labels to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import LabelState
from cinema_core.project import Project, SliceEdit

SHAPE = (4, 3, 6, 5)

MakeEdit = Callable[..., SliceEdit]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "heart.cinema"


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    with Project.open(folder, create=True, reader="Dr Reader") as project:
        project.add_study("study-1", "a" * 64, folder.parent / "image.nii.gz", "sax", SHAPE, "sax")
        yield project


@pytest.fixture
def edit() -> MakeEdit:
    def make(
        t: int = 0,
        z: int = 0,
        value: int = 1,
        state: LabelState = LabelState.CORRECTED,
        tool: str = "brush",
        study_id: str = "study-1",
        model_sha256: str = "",
    ) -> SliceEdit:
        mask = np.full(SHAPE[2:], value, dtype=np.uint8)
        mask[0, :] = 0  # so that a transposed or shifted mask would differ
        return SliceEdit(study_id, t, z, mask, state, tool, model_sha256)

    return make
