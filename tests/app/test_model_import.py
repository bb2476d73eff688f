"""A model from elsewhere: listed when it is sound, never in use by itself, nothing left of one that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from cinema_app.model_import import ModelImport
from cinema_app.news import Notice
from cinema_app.reading import Reading
from cinema_app.versions import Versions
from cinema_app.widgets.workspace import Workspace
from cinema_core.cards import ModelCard, bundled_folder, read_card, write_model_folder
from cinema_core.errors import CheckpointError, CinemaError, ProjectError
from cinema_core.incoming import Incoming, config_beside, imported_card, look_at
from cinema_core.project import Project, VersionRecord

WEIGHTS = (bundled_folder() / "weights.safetensors").read_bytes()
CONFIG = (bundled_folder() / "config.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _no_models_of_this_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cinema_core.cards.local_models_folder", lambda: tmp_path / "none")


def exported(folder: Path, **lineage: Any) -> Path:
    """Weights in a model folder as *Export* leaves it."""
    figures = {"before": {"dice": {"mean": 0.8}}, "after": {"dice": {"mean": 0.85}}}
    lineage = {"base": "bundled", "base_sha256": "ab", "n_slices": 12, "n_patients": 3, **figures} | lineage
    write_model_folder(folder, WEIGHTS, CONFIG, ModelCard(name="v003", sha256="", kind="project", lineage=lineage))
    return folder / "weights.safetensors"


def incoming_of(weights: Path) -> Incoming:
    config = config_beside(weights)
    assert config is not None
    return look_at(weights, config)


def engine_takes_it_in(engine: Any) -> None:
    """Do what the engine does, without its torch: that has tests of its own."""
    request = engine.jobs[-1].request["request"]
    card = imported_card(request.incoming.card, request.name)
    written = write_model_folder(request.staging, request.incoming.weights.read_bytes(), CONFIG, card)
    engine.jobs[-1].finish(written)


@pytest.fixture
def bring(reading: Reading, engine: Any) -> Callable[[Path, str], None]:
    """Import a model that is sound."""

    def make(weights: Path, name: str) -> None:
        ModelImport(reading).begin(incoming_of(weights), name)
        engine_takes_it_in(engine)

    return make


def nothing_is_left(project: Project) -> bool:
    return not [path for path in project.models_folder.rglob("*") if path.is_file()]


def test_it_is_listed_with_where_it_is_from_and_not_in_use(
    bring: Any, reading: Reading, project: Project, tmp_path: Path, notices: list[Notice]
) -> None:
    bring(exported(tmp_path / "v003", scope="project"), "clinic")
    assert [card.name for card in reading.models()] == ["bundled", "clinic"]
    assert (reading.model, project.current_model()) == ("bundled", "bundled")
    line = next(line for line in Versions(reading).lineage() if line.name == "clinic")
    assert line.imported == (
        "clinic: imported (there v003); not measured on this project's labels. Fine-tuned from bundled on 12 slices of "
        "3 patients: Dice there 0.800 → 0.850."
    )
    assert (line.dice_before, line.dice_after, line.not_here_because) == (None, None, "")
    assert "not in use yet" in notices[-1].text
    assert read_card(project.models_folder / "clinic").lineage["base"] == "bundled"
    assert not list(project.trials_folder.iterdir())


def test_the_reader_puts_it_in_use_and_fine_tuning_starts_from_it_and_says_from_what_it_was_made(
    bring: Any, reading: Reading, tmp_path: Path
) -> None:
    bring(exported(tmp_path / "v003", scope="project"), "clinic")
    assert reading.learning.base_words() == ""
    Versions(reading).use("clinic")
    assert reading.learning._base() == "clinic"
    assert reading.learning.base_words() == "The new model will start from clinic, itself fine-tuned from bundled."


@pytest.mark.parametrize("scope", ["this study only", ""])
def test_one_that_was_not_offered_for_all_hearts_does_not_draw_here(
    bring: Any, reading: Reading, project: Project, tmp_path: Path, scope: str, notices: list[Notice]
) -> None:
    bring(exported(tmp_path / "v003", scope=scope), "clinic")
    assert "learned from there: how it draws other hearts was not measured" in notices[-1].text
    with pytest.raises(CinemaError, match="made elsewhere"):
        Versions(reading).use("clinic")
    assert (reading.model, project.current_model()) == ("bundled", "bundled")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bundled", "already"),
        ("Clinic", "already"),
        ("acdc-sax-seg/0", "no model name"),
        ("v001", "made in this project"),
        ("../out", "no model name"),
    ],
)
def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(
    bring: Any, reading: Reading, project: Project, engine: Any, tmp_path: Path, name: str, why: str
) -> None:
    weights = exported(tmp_path / "v003")
    bring(weights, "clinic")
    before = (project.models_folder / "clinic" / "card.json").read_bytes()
    n_jobs = len(engine.jobs)
    with pytest.raises(CinemaError, match=why):
        ModelImport(reading).begin(incoming_of(weights), name)
    assert len(engine.jobs) == n_jobs
    assert (project.models_folder / "clinic" / "card.json").read_bytes() == before


def test_the_proposed_name_is_free(bring: Any, reading: Reading, tmp_path: Path) -> None:
    weights = exported(tmp_path / "v003")
    imports = ModelImport(reading)
    assert imports.proposed_name(incoming_of(weights)) == "v003-imported"
    bring(weights, "v003-imported")
    assert imports.proposed_name(incoming_of(weights)) == "v003-imported-2"


def test_one_that_the_engine_refuses_leaves_nothing(
    reading: Reading, project: Project, engine: Any, tmp_path: Path, notices: list[Notice]
) -> None:
    ModelImport(reading).begin(incoming_of(exported(tmp_path / "v003")), "clinic")
    staging = engine.jobs[-1].request["request"].staging
    staging.mkdir(parents=True)
    (staging / "weights.safetensors").write_bytes(b"half")  # as a killed engine leaves it
    engine.jobs[-1].fail("weights.safetensors does not fit its config: 4 of 380 tensors are missing.")
    assert notices[-1].text.startswith("weights.safetensors does not fit its config")
    assert nothing_is_left(project)
    assert [card.name for card in reading.models()] == ["bundled"]


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(
    reading: Reading, project: Project, engine: Any, tmp_path: Path, notices: list[Notice]
) -> None:
    ModelImport(reading).begin(incoming_of(exported(tmp_path / "v003")), "clinic")
    (project.models_folder / "clinic").mkdir(parents=True)
    engine_takes_it_in(engine)
    assert notices[-1].text == "The model was not imported. There is a model clinic already. Choose another name."
    assert nothing_is_left(project)


def test_an_imported_model_stays_while_it_is_in_use_or_a_version_was_made_from_it(
    bring: Any, reading: Reading, project: Project, tmp_path: Path
) -> None:
    bring(exported(tmp_path / "v003", scope="project"), "clinic")
    versions = Versions(reading)
    versions.use("clinic")
    with pytest.raises(ProjectError, match="in use"):
        versions.remove("clinic")
    versions.use("bundled")
    project.add_version(VersionRecord("v001", "sha", "clinic"))
    assert [(line.name, line.depth) for line in versions.lineage()] == [("clinic", 0), ("v001", 1), ("bundled", 0)]
    with pytest.raises(ProjectError, match="v001 was made from clinic"):
        versions.remove("clinic")
    project.remove_version("v001")
    versions.remove("clinic")
    assert nothing_is_left(project)
    assert [card.name for card in reading.models()] == ["bundled"]


class TestLookAt:
    """What is refused before the engine is asked."""

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 zip", b"not weights at all", WEIGHTS[:-100]])
    def test_weights_that_are_none(self, tmp_path: Path, content: bytes) -> None:
        weights = exported(tmp_path / "v003")
        weights.write_bytes(content)
        with pytest.raises(CheckpointError):
            incoming_of(weights)

    @pytest.mark.parametrize(
        "config",
        [
            "- a list",
            "model: {}",
            CONFIG.replace("out_chans: 4", "out_chans: 2"),
            CONFIG.replace("out_chans: 4", "out_chans: four"),
            CONFIG.replace("sax", "lax_4c"),
        ],
    )
    def test_a_config_of_another_kind_of_model(self, tmp_path: Path, config: str) -> None:
        assert yaml.safe_load(config) != yaml.safe_load(CONFIG)
        weights = exported(tmp_path / "v003")
        weights.with_name("config.yaml").write_text(config, encoding="utf-8")
        with pytest.raises(CheckpointError):
            incoming_of(weights)

    def test_a_damaged_card(self, tmp_path: Path) -> None:
        weights = exported(tmp_path / "v003")
        weights.with_name("card.json").write_text('{"name"', encoding="utf-8")
        with pytest.raises(CheckpointError, match="cannot be read"):
            incoming_of(weights)

    def test_a_card_with_a_strange_lineage_is_told_without_its_strangeness(
        self, bring: Any, reading: Reading, tmp_path: Path
    ) -> None:
        weights = exported(tmp_path / "v003", n_slices="many", after=[1], ancestors=[{"name": 3}], base=["x"])
        bring(weights, "clinic")
        (words,) = [line.imported for line in Versions(reading).lineage() if line.imported]
        assert words == "clinic: imported (there v003); not measured on this project's labels."


# ------------------------------------------------------------------ in the window


def click_import(workspace: Workspace) -> None:
    workspace.show_tab("Fine-tune")
    QTest.mouseClick(workspace.versions.bring, Qt.MouseButton.LeftButton)


def test_the_window_asks_for_weights_config_and_a_name_until_it_is_free(
    workspace: Workspace, segmented: Reading, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = exported(tmp_path / "v003", scope="project").rename(tmp_path / "acdc sax.safetensors")
    config = (tmp_path / "v003" / "config.yaml").rename(tmp_path / "their.yaml")
    shown = [str(weights), str(config)]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (shown.pop(0), ""))
    proposed, questions, names = [], [], ["bundled", "clinic"]

    def ask(_parent: Any, _title: str, question: str, *, text: str) -> tuple[str, bool]:
        proposed.append(text)
        questions.append(question)
        return names.pop(0), True

    monkeypatch.setattr(QInputDialog, "getText", ask)
    click_import(workspace)
    assert (shown, names, proposed) == ([], [], ["acdc-sax", "bundled"])
    assert "There is a model bundled already" in questions[1]
    assert not workspace.versions.bring.isEnabled()
    engine_takes_it_in(engine)
    assert workspace.versions.bring.isEnabled()
    tree = workspace.versions.tree
    (item,) = tree.findItems("clinic", Qt.MatchFlag.MatchExactly, 0)
    assert [item.text(k) for k in range(3)] == ["clinic", "imported", "not measured"]
    assert segmented.model == "bundled"
    tree.setCurrentItem(item)
    assert workspace.versions.details.text() == "clinic: imported; not measured on this project's labels."
    assert not workspace.versions.rename.isEnabled()
    # Its weights are the bundled ones here, and those have drawn.
    assert "so it stays" in workspace.versions.remove.toolTip()
    QTest.mouseClick(workspace.versions.use, Qt.MouseButton.LeftButton)
    assert segmented.model == "clinic"


def test_the_window_tells_a_broken_file_in_one_line(
    workspace: Workspace, segmented: Reading, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = exported(tmp_path / "v003")
    weights.write_bytes(WEIGHTS[:1000])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(weights), ""))
    n_jobs = len(engine.jobs)
    click_import(workspace)
    assert "not a whole safetensors file" in workspace.status.notice.text()
    assert len(engine.jobs) == n_jobs


def test_the_window_says_before_training_that_the_base_was_fine_tuned_elsewhere(
    workspace: Workspace, segmented: Reading, engine: Any, tmp_path: Path
) -> None:
    weights = exported(tmp_path / "v003", scope="project")
    ModelImport(segmented).begin(incoming_of(weights), "clinic")
    engine_takes_it_in(engine)
    segmented.choose_model("clinic")
    assert "will start from clinic, itself fine-tuned from bundled" in workspace.train._labels_line.text()
    assert json.loads((tmp_path / "v003" / "card.json").read_text(encoding="utf-8"))["name"] == "v003"
