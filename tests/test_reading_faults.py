"""Two of the kills that ``benchmarks.reading_faults`` runs by the hundred, and whether it would see a loss."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.reading_faults import Ground

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("readings"))


@pytest.fixture(scope="module")
def expected(ground: Ground) -> list[str]:
    return ground.undisturbed(seed=1)


@pytest.mark.parametrize("k", range(2))
def test_a_killed_reading_loses_nothing(ground: Ground, expected: list[str], tmp_path: Path, k: int) -> None:
    project = tmp_path / "killed.cinema"
    said = ground.killed(project, 1, random.Random(k))
    assert ground.violations(project, expected, said) == []


def test_a_lost_edit_is_seen(ground: Ground, expected: list[str], tmp_path: Path) -> None:
    project = tmp_path / "killed.cinema"
    said = ground.killed(project, 1, random.Random(0))
    ahead = next(k for k in range(said + 1, len(expected)) if expected[k] not in expected[said - 1 : said + 1])
    (found,) = ground.violations(project, expected, ahead + 1)
    assert "is not what is shown" in found
