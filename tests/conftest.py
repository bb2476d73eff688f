"""Fixtures that every room shares: where the real data lies, and a small heart whose volumes are known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cinema_core.phantom import PhantomStudy

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str, what: str) -> Path:
    folder = SHARED / name
    if folder.is_dir():
        return folder
    reason = f"{what} are absent: ../shared/{name}"
    # Where the data must be present, a skip would hide a room.
    if os.environ.get("CINEMA_REQUIRE_SHARED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real studies; the test is skipped where they are absent."""
    return _shared("data", "real studies")


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Folder of the exact expected model outputs; the test is skipped where they are absent."""
    return _shared("golden", "golden outputs")


@pytest.fixture(scope="session")
def phantom_study() -> PhantomStudy:
    """Small synthetic heart: 5 slices, 6 phases."""
    from cinema_core.phantom import HeartParameters, make_phantom

    return make_phantom(HeartParameters(n_slices=5, slice_step_mm=18.0, n_phases=6), seed=7)
