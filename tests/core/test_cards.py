"""Model folders: found by name, whole or not there, never mixed up."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from cinema_core import cards
from cinema_core.cards import ModelCard, bundled_folder, check_name, list_models, resolve_model, write_model_folder
from cinema_core.errors import CheckpointError, InputError, StorageError


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Folder of a project with one version."""
    write_model_folder(
        tmp_path / "models" / "reader-1", b"weights", "model: {}\n", ModelCard(name="reader-1", sha256="")
    )
    return tmp_path / "models"


def test_bundled_card_tells_what_it_was_trained_on() -> None:
    card = resolve_model("bundled").card
    assert card.kind == "bundled"
    assert card.trained_on
    assert "research" in card.intended_use.lower()


def test_a_project_version_is_found_by_its_name(models: Path) -> None:
    found = resolve_model("reader-1", project_models=models)
    assert found.weights.read_bytes() == b"weights"
    assert found.card.sha256 == cards.file_sha256(found.weights)


def test_models_of_the_project_are_listed_after_the_bundled_one(models: Path) -> None:
    names = [card.name for card in list_models(models)]
    assert names[0] == resolve_model("bundled").card.name
    assert "reader-1" in names


def test_an_unknown_name_lists_the_known_ones(models: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no model 'reader-7'.*reader-1"):
        resolve_model("reader-7", project_models=models)


def test_weights_that_are_not_those_of_the_card_are_refused(models: Path) -> None:
    (models / "reader-1" / "weights.safetensors").write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match="are not those of its card"):
        resolve_model("reader-1", project_models=models)


def test_a_folder_without_config_is_refused(models: Path) -> None:
    (models / "reader-1" / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.yaml"):
        resolve_model(models / "reader-1")


def test_a_lone_file_takes_the_config_beside_it(tmp_path: Path) -> None:
    shutil.copy(bundled_folder() / "weights.safetensors", tmp_path / "mine.safetensors")
    with pytest.raises(CheckpointError, match=r"mine\.safetensors has no config"):
        resolve_model(tmp_path / "mine.safetensors")
    shutil.copy(bundled_folder() / "config.yaml", tmp_path)
    assert resolve_model(tmp_path / "mine.safetensors").card.name == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', '{"name": "x", "sha256": "", "colour": "red"}'])
def test_a_damaged_card_is_refused(models: Path, content: str) -> None:
    (models / "reader-1" / "card.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match="card"):
        resolve_model("reader-1", project_models=models)


def test_a_damaged_card_does_not_hide_the_other_models(models: Path) -> None:
    (models / "reader-1" / "card.json").write_text("", encoding="utf-8")
    assert next(card.kind for card in list_models(models)) == "bundled"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "con:", "x" * 65, "ends with dot.", "ends with blank "])
def test_names_that_are_no_folder_everywhere_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no model name"):
        check_name(name)


def test_a_full_disk_leaves_the_old_version(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*Make room"):
        write_model_folder(models / "reader-1", b"newer", "model: {}\n", ModelCard(name="reader-1", sha256=""))
    monkeypatch.undo()
    assert (models / "reader-1" / "weights.safetensors").read_bytes() == b"weights"
    assert [path.name for path in models.iterdir()] == ["reader-1"]  # no half-written folder beside it


def test_a_written_folder_holds_the_hash_of_its_weights(models: Path) -> None:
    values = json.loads((models / "reader-1" / "card.json").read_text(encoding="utf-8"))
    assert values["sha256"] == cards.file_sha256(models / "reader-1" / "weights.safetensors")
