"""``cinema models`` and ``cinema doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cinema_app import checkup, cli
from cinema_app.checkup import Health
from cinema_core.cards import ModelCard, resolve_model, write_model_folder
from cinema_core.project import Project


@pytest.fixture(autouse=True)
def _no_models_of_this_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cinema_core.cards.local_models_folder", lambda: tmp_path / "none")


def test_list_starts_with_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Name", "Kind", "Hash", "Made", "What", "it", "is"]
    assert lines[2].startswith("bundled")
    assert max(map(len, lines)) <= 80


def test_versions_of_a_project_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open(tmp_path / "heart.cinema", create=True) as project:
        write_model_folder(
            project.models_folder / "v001", b"weights", "{}", ModelCard(name="v001", sha256="", kind="project")
        )
    assert cli.run(["models", "list", "--project", str(tmp_path / "heart.cinema"), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(model["name"], model["kind"]) for model in listed] == [("bundled", "bundled"), ("v001", "project")]


def test_show_as_json_is_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "bundled", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == resolve_model("bundled").card.to_json()


def test_show_tells_the_intended_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "bundled"]) == 0
    assert "Not for clinical decisions" in capsys.readouterr().out


def test_unknown_model_names_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "nonesuch"]) == 2
    assert "There is no model 'nonesuch'. Known models: bundled." in capsys.readouterr().err


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    found = {check["name"]: check for check in answer["checks"]}
    assert set(found) == {
        *("python", "processor", "memory", "shared memory", "disk"),
        *("display", "Qt", "OpenGL", "torch", "bundled model"),
    }
    assert all(check["status"] in ("ok", "warn", "fail") for check in answer["checks"])
    assert found["torch"]["status"] != "fail"
    assert found["bundled model"]["found"].startswith("sha256 " + resolve_model("bundled").card.sha256[:8])


def test_missing_display_is_a_warning_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cinema_app.app.has_display", lambda: False)
    finding = checkup.check_display()
    assert finding.health is Health.WARN
    assert "xvfb-run" in finding.mend


def test_changed_weights_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "bundled"
    write_model_folder(folder, b"as made", "{}", ModelCard(name="bundled", sha256=""))
    (folder / "weights.safetensors").write_bytes(b"changed")
    monkeypatch.setattr("cinema_core.cards.bundled_folder", lambda: folder)
    finding = checkup.check_bundled_model()
    assert finding.health is Health.FAIL
    assert finding.mend


def test_torch_that_cannot_be_loaded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_TORCH", "raise ImportError('libgomp is missing')")
    finding = checkup.check_torch()
    assert finding.health is Health.FAIL
    assert "libgomp is missing" in finding.found
    assert finding.mend


def test_doctor_exits_1_when_something_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> checkup.Finding:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(checkup, "CHECKS", {"thing": broken})
    assert cli.run(["doctor"]) == 1
    told = capsys.readouterr().out
    assert told.splitlines()[2].split()[:2] == ["fail", "thing"]
    assert "thing: Install napari-cinema again." in told
