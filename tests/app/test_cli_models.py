"""``cinema models`` and ``cinema doctor``."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cinema_app import checkup, cli
from cinema_app.checkup import Health
from cinema_core.cards import ModelCard, resolve_model, write_model_folder
from cinema_core.project import Project

if TYPE_CHECKING:
    from hub_stand_in import HubStandIn

NAME = "acdc-sax-seg/0"


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
    assert [(model["name"], model["kind"]) for model in listed] == [
        ("bundled", "bundled"),
        ("bundled-mae", "bundled"),
        ("v001", "project"),
    ]


def test_show_as_json_is_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "bundled", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == resolve_model("bundled").card.to_json()


def test_show_tells_the_intended_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "bundled"]) == 0
    assert "Not for clinical decisions" in capsys.readouterr().out


def test_unknown_model_names_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "nonesuch"]) == 2
    assert "There is no model 'nonesuch'. Known models: bundled, bundled-mae." in capsys.readouterr().err


def test_pull_downloads_verifies_and_says_where(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "pull", NAME]) == 0
    output = capsys.readouterr()
    files = resolve_model(NAME)
    assert output.out == f"{NAME} is ready, sha256 {files.card.sha256[:8]}, in {files.weights.parent}\n"
    assert output.err == ""  # no bar in a pipe
    assert cli.run(["models", "show", NAME]) == 0
    assert "UK Biobank (pretraining); ACDC" in capsys.readouterr().out


def test_pull_as_json_is_the_cards(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "pull", "acdc-sax-seg", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == [f"acdc-sax-seg/{k}" for k in range(3)]


def test_interrupted_pull_resumes(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    hub.cut_after = [500_000, 0]
    assert cli.run(["models", "pull", NAME]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.run(["models", "pull", NAME]) == 0
    assert hub.gets()[-1].startswith("bytes=")


def test_tampered_pull_is_refused(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    hub.tampered = True
    assert cli.run(["models", "pull", NAME]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "damaged or changed on its way" in error
    assert cli.run(["models", "show", NAME]) == 2


def test_pull_of_an_unknown_name_is_a_mistake(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "pull", "acdc-sax-sex/0"]) == 2
    assert "No published model is called 'acdc-sax-sex/0'. Did you mean" in capsys.readouterr().err
    assert hub.asked == []


def test_published_models_are_listed_with_what_is_here(hub: HubStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "pull", NAME]) == 0
    capsys.readouterr()
    assert cli.run(["models", "list", "--published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:5] for line in lines if line}
    assert rows["acdc-sax-seg"] == ["0", "1", "2", "0"]
    assert rows["acdc-sax-bmi"] == ["0", "1", "2", "-"]
    assert cli.run(["models", "list", "--published", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert len(listed) == 64
    assert listed[NAME]["at_hand"]
    assert not listed["cinema-mae"]["at_hand"]


def test_published_local_and_project_models_are_in_one_list(
    hub: HubStandIn, shared_golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(shared_golden / f"seg_sax.{ending}") for ending in ("safetensors", "yaml")]
    assert cli.run(["models", "pull", NAME]) == 0
    assert cli.run(["models", "add", *files]) == 0
    with Project.open(tmp_path / "heart.cinema", create=True) as project:
        write_model_folder(
            project.models_folder / "v001", b"weights", "{}", ModelCard(name="v001", sha256="", kind="project")
        )
    capsys.readouterr()
    assert cli.run(["models", "list", "--project", str(tmp_path / "heart.cinema"), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(model["name"], model["kind"]) for model in listed] == [
        ("bundled", "bundled"),
        ("bundled-mae", "bundled"),
        (NAME, "published"),
        ("seg_sax", "local"),
        ("v001", "project"),
    ]


def test_add_by_hand_takes_the_place_of_a_pull(shared_golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(shared_golden / f"seg_sax.{ending}") for ending in ("safetensors", "yaml")]
    assert cli.run(["models", "add", *files, "--name", NAME]) == 0
    assert f"{NAME} is ready" in capsys.readouterr().out
    assert cli.run(["models", "add", *files, "--name", NAME]) == 2
    assert f"There is a model {NAME} already" in capsys.readouterr().err


def test_add_refuses_a_pickle(shared_golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    assert cli.run(["models", "add", str(path), str(shared_golden / "seg_sax.yaml")]) == 2
    error = capsys.readouterr().err
    assert "model.pt is a pickle" in error
    assert "--network none" in error


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
    monkeypatch.setattr("cinema_core.cards.bundled_folder", lambda name="bundled": folder)
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
