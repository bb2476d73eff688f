"""A few of the faults that ``python -m benchmarks.faults`` runs by the hundred, and whether it would see the damage."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from benchmarks import faults
from benchmarks.faults import Fault, Ground, Run, lay_ground, strike, violations_of
from cinema_core.cards import resolve_model
from cinema_core.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return lay_ground(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_breaks_nothing(ground: Ground, tmp_path: Path, fault: Fault) -> None:
    run = strike(ground, tmp_path / "struck.cinema", fault, seed=1)
    assert violations_of(run, ground) == []


def test_each_patient_is_held_out_while_a_window_works(ground: Ground) -> None:
    with Project.open(ground.project) as project:
        assert sorted(project.ledger().values()) == [0, 1]
        version, *_ = project.versions()
    card = resolve_model(version.name, project_models=ground.project / "models").card
    assert card.recipe["folds"] == 2
    assert card.lineage["n_patients"] == 2


def test_a_window_that_hangs_is_ended_with_all_it_started_and_counted(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "SILENT_S", 0.001)  # no window says its first line so soon
    run = strike(ground, tmp_path / "struck.cinema", Fault.WINDOW, seed=1)
    assert run.silent
    assert any("said nothing" in line for line in violations_of(run, ground))
    assert not psutil.pid_exists(run.pid)


@pytest.fixture
def whole(ground: Ground, tmp_path: Path) -> Run:
    """What a window that was killed at once leaves, with nothing wrong."""
    project = Path(shutil.copytree(ground.project, tmp_path / "struck.cinema"))
    run = Run(Fault.WINDOW, project, killed=True)
    assert violations_of(run, ground) == []
    return run


def _change_weights(run: Run) -> None:
    path = run.project / "models" / "v001" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _leave_half_a_version(run: Run) -> None:
    (run.project / "models" / ".v002.0a1b2c3d.partial").mkdir()


def _leave_a_version_that_nobody_kept(run: Run) -> None:
    (run.project / "models" / "v009").mkdir()


def _claim_an_edit(run: Run) -> None:
    run.said.append(f"row 999999 {'a' * 64}")


def _cut_the_journal(run: Run) -> None:
    with closing(sqlite3.connect(run.project / "project.sqlite")) as rows, rows:
        rows.execute("DROP TRIGGER journal_loses_none")
        rows.execute("DELETE FROM journal WHERE row_id = 3")


def _hang(run: Run) -> None:
    run.silent = True


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (_change_weights, "v001 is not what it was"),
        (_leave_half_a_version, "folder of models holds"),
        (_leave_a_version_that_nobody_kept, "folder of models holds"),
        (_claim_an_edit, "row 999999 is lost"),
        (_cut_the_journal, "gaps"),
        (_hang, "said nothing"),
    ],
)
def test_damage_is_seen(ground: Ground, whole: Run, damage: Callable[[Run], None], seen: str) -> None:
    damage(whole)
    assert any(seen in line for line in violations_of(whole, ground))
