"""Model folders and their cards: what a model is, without opening its weights. Never imports torch.

A model folder holds ``weights.safetensors``, ``config.yaml`` and ``card.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from platformdirs import user_data_path
from pydantic import BaseModel, Field, ValidationError

from cinema_core.disk import disk_errors
from cinema_core.errors import CheckpointError, InputError, StorageError
from cinema_core.published import PUBLISHED, by_hand, families

log = logging.getLogger(__name__)

BUNDLED: Final = "bundled"
BUNDLED_MAE: Final = "bundled-mae"
"""The masked autoencoder whose encoder the bundled segmenter started from."""
PUBLISHED_NAME: Final = "published"
"""Folder of the pulled models among the local ones; no model may be called so."""
WEIGHTS_FILE: Final = "weights.safetensors"
CONFIG_FILE: Final = "config.yaml"
CARD_FILE: Final = "card.json"
RESEARCH_USE: Final = "Research use only. Not for clinical decisions."

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


class ModelCard(BaseModel, frozen=True, extra="forbid"):
    """What is known of one set of weights."""

    name: str
    sha256: str
    """Hash of the weights file; empty if the card was made without it."""
    kind: str = "local"
    """``bundled``, ``published``, ``local``, ``project`` or ``imported``."""
    description: str = ""
    trained_on: list[str] = Field(default_factory=list)
    licence: str = ""
    intended_use: str = RESEARCH_USE
    created_utc: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Command, seed, steps, versions: what it takes to make the weights again."""
    figures: dict[str, Any] = Field(default_factory=dict)
    """Measured on what, with which result."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """For a tuned version: base, labels, recipe, before and after."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``card.json``."""
        return self.model_dump()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Card from plain values.

        Raises
        ------
        CheckpointError
            If a field is missing or not known.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(f"The model card is not valid: {where}: {first['msg']}.") from None


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files lie, and its card."""

    weights: Path
    config: Path
    card: ModelCard


def bundled_folder(name: str = BUNDLED) -> Path:
    """Folder of a model that comes with the program: the segmenter, or :data:`BUNDLED_MAE`."""
    return Path(str(resources.files("cinema_core") / "resources" / "models" / name))


def local_models_folder() -> Path:
    """Folder of the models that the reader added to this computer."""
    return user_data_path("napari-cinema", appauthor=False) / "models"


def published_folder() -> Path:
    """Folder of the published models that were pulled; ``acdc-sax-seg/0`` lies in its ``acdc-sax-seg/0``."""
    return local_models_folder() / PUBLISHED_NAME


def published_model_folder(name: str) -> Path:
    """Where a published model lies once it is pulled, by its full name."""
    return published_folder().joinpath(*name.split("/"))


def list_models(project_models: Path | None = None) -> list[ModelCard]:
    """Cards of all models at hand: bundled, published ones, added on this computer, and versions of the project.

    A folder whose card cannot be read is left out, with a line in the log.
    """
    own = [bundled_folder(), bundled_folder(BUNDLED_MAE), *map(published_model_folder, PUBLISHED)]
    return [*_cards_of([*own, *_subfolders(local_models_folder())]), *list_models_of(project_models)]


def list_models_of(project_models: Path | None) -> list[ModelCard]:
    """Cards of the models that lie in a project's folder, versions and imported ones."""
    return _cards_of(_subfolders(project_models))


def _cards_of(folders: Iterable[Path]) -> list[ModelCard]:
    cards = []
    for folder in folders:
        if not (folder / CARD_FILE).is_file():
            continue
        try:
            cards.append(read_card(folder))
        except CheckpointError:
            log.warning("A model card could not be read; the model is not listed.")
    return cards


def resolve_model(
    name_or_path: str | Path, config: Path | None = None, project_models: Path | None = None
) -> ModelFiles:
    """Find the files of a model and make sure that weights and card belong together.

    Parameters
    ----------
    name_or_path
        ``bundled``, a published name such as ``acdc-sax-seg/0``, the name of a project version or added model, a
        model folder, or a ``.safetensors`` file.
    config
        Config of a ``.safetensors`` file, if it is not the ``config.yaml`` beside it.
    project_models
        Folder of the project's versions.

    Raises
    ------
    CheckpointError
        If nothing is found, a file is missing, or the weights are not those of the card.
    """
    name = str(name_or_path)
    folder = _find_folder(name, project_models)
    if folder is not None:
        return _from_folder(folder, config)
    path = Path(name_or_path)
    if path.is_file():
        found = config or path.parent / CONFIG_FILE
        if not found.is_file():
            raise CheckpointError(f"{path.name} has no config: {found} is not there. Give it with --config.")
        beside = path.parent / CARD_FILE
        card = read_card(path.parent) if beside.is_file() and path.name == WEIGHTS_FILE else None
        return ModelFiles(path, found, _checked(card, path))
    raise CheckpointError(_not_found(name, project_models))


def resolve_ensemble(name: str | Path, project_models: Path | None = None) -> list[ModelFiles]:
    """Find the models that answer together: all pulled seeds of a published name without seed, else the one model.

    Parameters
    ----------
    name
        A published name without seed, such as ``acdc-sax-ef``, or whatever :func:`resolve_model` takes.
    project_models
        Folder of the project's versions.

    Returns
    -------
    One model per seed that is at hand, seeds ascending; or a single one.

    Raises
    ------
    CheckpointError
        If nothing is found, no seed was pulled, a file is missing, or weights are not those of their card.
    """
    seeds = families().get(str(name), [])
    if str(name) in PUBLISHED or not seeds:
        return [resolve_model(name, project_models=project_models)]
    pulled = [model.name for model in seeds if published_model_folder(model.name).is_dir()]
    if not pulled:
        raise CheckpointError(_not_pulled(str(name)))
    return [resolve_model(seed) for seed in pulled]


def read_card(folder: Path) -> ModelCard:
    """Card of a model folder.

    Raises
    ------
    CheckpointError
        If it is absent or damaged.
    """
    try:
        values = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The model card in {folder} cannot be read ({type(error).__name__}).") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"The model card in {folder} is not a mapping.")
    return ModelCard.from_json(values)


def write_model_folder(folder: Path, weights: bytes, config: str, card: ModelCard) -> ModelCard:
    """Write a model folder whole or not at all; one that is there already is replaced.

    Parameters
    ----------
    weights
        Content of the safetensors file.
    config
        Text of ``config.yaml``.
    card
        Its ``sha256`` is set to that of the weights.

    Raises
    ------
    StorageError
        If a file could not be written; what was there before is kept.
    """
    card = card.model_copy(update={"sha256": hashlib.sha256(weights).hexdigest()})
    with model_folder_in_making(Path(folder)) as partial:
        _write(partial / WEIGHTS_FILE, weights)
        _write(partial / CONFIG_FILE, config.encode("utf-8"))
        write_card(partial, card)
    return card


def write_card(folder: Path, card: ModelCard) -> None:
    """Write ``card.json`` into a folder that has none."""
    _write(folder / CARD_FILE, (json.dumps(card.to_json(), indent=2, ensure_ascii=False) + "\n").encode("utf-8"))


@contextmanager
def model_folder_in_making(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; when all of it is written it takes the place of ``folder``, else it is removed.

    Raises
    ------
    StorageError
        If a file could not be written; what was at ``folder`` before is kept.
    """
    partial = folder.parent / f".{folder.name}.{uuid4().hex[:8]}.partial"
    try:
        with disk_errors(f"The model could not be written to {folder}"):
            partial.mkdir(parents=True)
            yield partial
            _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Move a complete folder to its place; one that is there already is replaced, or kept if that fails."""
    replaced = folder.parent / f".{folder.name}.{uuid4().hex[:8]}.old"
    try:
        if folder.exists():
            os.replace(folder, replaced)
        try:
            os.replace(partial, folder)
        except OSError:
            if replaced.exists():
                os.replace(replaced, folder)
            raise
    finally:
        shutil.rmtree(replaced, ignore_errors=True)


def check_name(name: str) -> str:
    """Return a model name that is also a safe folder name on every system.

    Raises
    ------
    InputError
        If it is empty, too long, or holds other characters than letters, digits, dot, dash, underscore, blank.
    """
    if not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise InputError(f"{name!r} is no model name: use up to 64 letters, digits, blanks, '.', '_' and '-'.")
    return name


def file_sha256(path: Path) -> str:
    """Hash of a file, remembered as long as it does not change."""
    status = path.stat()
    return _file_sha256(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _file_sha256(path: Path, _modified_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_folder(name: str, project_models: Path | None) -> Path | None:
    if name in {BUNDLED, BUNDLED_MAE}:
        return bundled_folder(name)
    if name in PUBLISHED and published_model_folder(name).is_dir():
        return published_model_folder(name)
    if _NAME.fullmatch(name):
        for parent in (project_models, local_models_folder()):
            if parent is not None and (parent / name).is_dir():
                return parent / name
    path = Path(name)
    return path if path.is_dir() else None


def _not_found(name: str, project_models: Path | None) -> str:
    """Say why there is no model of that name, and how to get one."""
    if name in PUBLISHED or name in families():
        return _not_pulled(name)
    known = ", ".join(card.name for card in list_models(project_models)) or "none"
    return (
        f"There is no model {name!r}. Known models: {known}. Give one of them, a model folder, or a .safetensors file; "
        "`cinema models list --published` shows those that can be downloaded."
    )


def _not_pulled(name: str) -> str:
    """Say how to get a published model, or which seeds a name without seed stands for."""
    if name in PUBLISHED:
        return (
            f"{name} is published, but not on this computer yet. Get it with `cinema models pull {name}`. "
            f"{by_hand(PUBLISHED[name])}"
        )
    seeds = families()[name]
    pulled = [model.name for model in seeds if published_model_folder(model.name).is_dir()]
    if pulled:
        return f"{name} stands for {len(seeds)} models, one per seed. Give one that is here: {', '.join(pulled)}."
    return (
        f"{name} is published with {len(seeds)} seeds, none of them on this computer yet. Get them with "
        f"`cinema models pull {name}`. {by_hand(seeds[0])}"
    )


def _from_folder(folder: Path, config: Path | None) -> ModelFiles:
    weights, beside = folder / WEIGHTS_FILE, config or folder / CONFIG_FILE
    for path in (weights, beside):
        if not path.is_file():
            raise CheckpointError(
                f"The model folder {folder} has no {path.name}. A model needs {WEIGHTS_FILE} and {CONFIG_FILE}."
                f"{_pull_again(folder)}"
            )
    card = read_card(folder) if (folder / CARD_FILE).is_file() else None
    return ModelFiles(weights, beside, _checked(card, weights))


def _pull_again(folder: Path) -> str:
    """Say how to mend a published model; empty for others."""
    for name in PUBLISHED:
        if folder == published_model_folder(name):
            return f" Get it again with: cinema models pull {name}"
    return ""


def _checked(card: ModelCard | None, weights: Path) -> ModelCard:
    sha256 = file_sha256(weights)
    if card is None:
        return ModelCard(name=weights.stem if weights.name != WEIGHTS_FILE else weights.parent.name, sha256=sha256)
    if card.sha256 and card.sha256 != sha256:
        raise CheckpointError(
            f"The weights of {card.name} are not those of its card (sha256 {sha256[:8]}, card {card.sha256[:8]}). "
            f"The file was changed or damaged: install or copy the model again.{_pull_again(weights.parent)}"
        )
    return card.model_copy(update={"sha256": sha256})


def _subfolders(folder: Path | None) -> Iterator[Path]:
    if folder is not None and folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def export_model(name: str, folder: Path, project_models: Path | None = None) -> Path:
    """Copy a model as ``FOLDER/NAME``, in the published form: weights, config and card.

    Raises
    ------
    CheckpointError
        If there is no such model, or it lacks a file.
    InputError
        If something lies there already.
    StorageError
        If it cannot be written; nothing half is left.
    """
    files = resolve_model(name, project_models=project_models)
    source, target = files.weights.parent, folder / files.card.name.replace("/", "-")
    if target.exists():
        raise InputError(f"{target} exists already. Choose another folder.")
    missing = [file for file in _MODEL_FILES if not (source / file).is_file()]
    if missing:
        raise CheckpointError(f"The model {name} has no {missing[0]}, so it cannot be exported.")
    partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        for file in _MODEL_FILES:
            shutil.copyfile(source / file, partial / file)
        partial.replace(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        what = error.strerror or type(error).__name__
        raise StorageError(f"The model could not be written to {folder}: {what}. Choose another folder.") from error
    return target


_MODEL_FILES: Final = (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE)
