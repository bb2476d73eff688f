"""A model from elsewhere: copied whole, compared with its card, loaded strictly; nothing is left of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from benchmarks.faults import TINY
from cinema_core.cards import ModelCard, resolve_model, write_model_folder
from cinema_core.errors import Cancelled, CheckpointError, StorageError
from cinema_core.incoming import Incoming, ancestors, imported_card, look_at
from cinema_core.models import build_model
from cinema_core.models.incoming import take_in
from cinema_core.progress import CancelToken


def tensors() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(TINY).state_dict()


def model_folder(folder: Path, state: dict[str, torch.Tensor], config: object = TINY) -> Incoming:
    card = ModelCard(name="v002", sha256="", kind="project", lineage={"base": "bundled", "scope": "project"})
    write_model_folder(folder, safetensors.torch.save(state), yaml.safe_dump(config), card)
    return look_at(folder / "weights.safetensors", folder / "config.yaml")


def test_what_is_taken_in_is_a_model_with_its_lineage(tmp_path: Path) -> None:
    incoming = model_folder(tmp_path / "theirs", tensors())
    card = take_in(incoming, "clinic", tmp_path / "clinic")
    files = resolve_model("clinic", project_models=tmp_path)
    assert files.card == card
    assert (card.name, card.kind, card.lineage["base"]) == ("clinic", "imported", "bundled")
    assert card.lineage["imported"]["name"] == "v002"
    assert files.weights.read_bytes() == incoming.weights.read_bytes()


def missing(state: dict[str, torch.Tensor]) -> None:
    state.popitem()


def reshaped(state: dict[str, torch.Tensor]) -> None:
    name = next(iter(state))
    state[name] = torch.zeros(3, 5, 7)


def foreign(state: dict[str, torch.Tensor]) -> None:
    state.clear()
    state["layer.weight"] = torch.zeros(3)


def not_numbers(state: dict[str, torch.Tensor]) -> None:
    next(value for value in state.values() if value.is_floating_point()).fill_(float("nan"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (missing, "are missing"),
        (reshaped, "another shape"),
        (foreign, "left over"),
        (not_numbers, "no numbers"),
    ],
)
def test_weights_that_do_not_fit_leave_nothing(tmp_path: Path, spoil: object, why: str) -> None:
    state = tensors()
    spoil(state)  # type: ignore[operator]
    incoming = model_folder(tmp_path / "theirs", state)
    with pytest.raises(CheckpointError, match=rf"^weights\.safetensors .*{why}"):
        take_in(incoming, "clinic", tmp_path / "models" / "clinic")
    assert not (tmp_path / "models" / "clinic").exists()


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    incoming = model_folder(tmp_path / "theirs", tensors())
    other = tensors()
    next(value for value in other.values() if value.is_floating_point()).add_(1.0)
    incoming.weights.write_bytes(safetensors.torch.save(other))
    with pytest.raises(CheckpointError, match="not what the card beside it is of"):
        take_in(incoming, "clinic", tmp_path / "clinic")
    assert not (tmp_path / "clinic").exists()


def test_a_cancelled_import_leaves_nothing(tmp_path: Path) -> None:
    incoming = model_folder(tmp_path / "theirs", tensors())
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        take_in(incoming, "clinic", tmp_path / "clinic", cancel=cancel)
    assert not (tmp_path / "clinic").exists()


def test_weights_that_are_gone_meanwhile_are_told(tmp_path: Path) -> None:
    incoming = model_folder(tmp_path / "theirs", tensors())
    incoming.weights.unlink()
    with pytest.raises(StorageError, match="could not be copied"):
        take_in(incoming, "clinic", tmp_path / "clinic")
    assert not (tmp_path / "clinic").exists()


def test_a_model_that_is_carried_twice_keeps_its_first_name() -> None:
    first = imported_card(ModelCard(name="v002", sha256="", kind="project"), "clinic")
    assert imported_card(first, "again").lineage["imported"]["name"] == "v002"


def test_the_ancestors_are_the_base_and_those_before_it() -> None:
    card = ModelCard(
        name="v003",
        sha256="",
        lineage={"base": "v002", "base_sha256": "b", "ancestors": [{"name": "bundled", "sha256": "c"}]},
    )
    assert [link["name"] for link in ancestors(card)] == ["v002", "bundled"]
    assert ancestors(ModelCard(name="bundled", sha256="")) == []
