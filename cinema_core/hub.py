"""Published models brought to this computer: pulled from the hub, or added from files brought by hand. No torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from cinema_core.cards import (
    BUNDLED,
    CONFIG_FILE,
    PUBLISHED_NAME,
    WEIGHTS_FILE,
    ModelCard,
    ModelFiles,
    check_name,
    file_sha256,
    model_folder_in_making,
    published_folder,
    published_model_folder,
    resolve_model,
    write_card,
)
from cinema_core.disk import disk_errors
from cinema_core.download import OFFLINE, SHA256_DIGITS, RemoteFile, ask, fetch, hub_endpoint, is_offline
from cinema_core.errors import CheckpointError, DownloadError, InputError, StorageError
from cinema_core.incoming import card_beside, imported_card
from cinema_core.model_files import check_config, check_weights
from cinema_core.progress import CancelToken, Progress, no_progress
from cinema_core.published import (
    LICENCE,
    PRETRAINED,
    PUBLISHED,
    REPOSITORY,
    PublishedModel,
    by_hand,
    families,
    published,
)

__all__ = [
    "PUBLISHED",
    "REPOSITORY",
    "PublishedModel",
    "add",
    "is_at_hand",
    "published",
    "published_folder",
    "pull",
]

_STAGING: Final = ".pulling"
"""Keeps what interrupted downloads had fetched; among the models, so that moving into place is one rename."""


def is_at_hand(name: str) -> bool:
    """Whether a published model lies on this computer; its weights are not read."""
    folder = published_model_folder(name)
    return all((folder / file).is_file() for file in (WEIGHTS_FILE, CONFIG_FILE))


def pull(
    name: str,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
    *,
    endpoint: str | None = None,
    revision: str = "main",
) -> list[ModelFiles]:
    """Download published models, or find them here; without network if all are here and intact.

    Parameters
    ----------
    name
        Full name (``acdc-sax-seg/0``), or without the seed for all seeds.
    endpoint
        Address of the hub, if it is not ``HF_ENDPOINT`` or huggingface.co.
    revision
        Branch, tag or commit of the repository.

    Returns
    -------
    One model per seed, seeds ascending.

    Raises
    ------
    InputError
        If nothing of that name was published.
    DownloadError
        If the hub cannot be reached or refuses, or what came is not what it promised.
    CheckpointError
        If what the hub holds is no safetensors file or no config.
    StorageError
        If there is no room, no right to write, or another program pulls the same model.
    Cancelled
        If the reader stopped. What was fetched is kept: the next pull goes on from there.
    """
    wanted = published(name)
    found = []
    for k, model in enumerate(wanted):
        found.append(_pull_one(model, _share(progress, k, len(wanted)), cancel, hub_endpoint(endpoint), revision))
    progress(1.0, f"{name} is ready")
    return found


def add(weights: Path, config: Path, name: str | None = None) -> ModelFiles:
    """Copy a model that was brought by hand among those of this computer, whole or not at all.

    A card that lies beside the weights comes along, lineage included, except under a published name.

    Parameters
    ----------
    name
        How it will be called; without one, as its file. A published name (``acdc-sax-seg/0``) puts it where a pull
        would have: it is then found by that name, but nobody compared it with the hub.

    Raises
    ------
    InputError
        If the name is taken or cannot be used.
    CheckpointError
        If the weights are a pickle, or no whole safetensors file, or the config is none, or of another view, or the
        weights are not those of the card beside them.
    StorageError
        If the files could not be copied.
    """
    weights, config = Path(weights), Path(config)
    check_weights(weights)
    settings = check_config(config)
    name = _default_name(weights) if name is None else name
    folder = _free_place(name)
    if name in PUBLISHED:
        _check_view(PUBLISHED[name], settings, config)
    own = None if name in PUBLISHED else card_beside(weights)
    if own and own.sha256 not in ("", file_sha256(weights)):
        raise CheckpointError(f"{weights} is not what the card beside it is of. Copy the whole model folder again.")
    card = imported_card(own, name) if own else _card_by_hand(name, weights, config)
    with model_folder_in_making(folder) as partial:
        shutil.copyfile(weights, partial / WEIGHTS_FILE)
        shutil.copyfile(config, partial / CONFIG_FILE)
        card = card.model_copy(update={"sha256": file_sha256(partial / WEIGHTS_FILE)})
        write_card(partial, card)
    return ModelFiles(folder / WEIGHTS_FILE, folder / CONFIG_FILE, card)


def _pull_one(
    model: PublishedModel, progress: Progress, cancel: CancelToken | None, endpoint: str, revision: str
) -> ModelFiles:
    here = _intact(model)
    if here is not None:
        return here
    if is_offline():
        raise DownloadError(f"{OFFLINE} {by_hand(model)}")
    staging = published_folder().with_name(_STAGING) / model.name.replace("/", "--")
    progress(0.0, f"Asking for {model.name}")
    try:
        with _alone(staging, model.name):
            # The config of the same commit as the weights, also when somebody pushes in between.
            weights = ask(model.weights, revision, endpoint)
            config = ask(model.config, weights.commit, endpoint)
            parts = _fetch_both(model, (weights, config), staging, endpoint, progress, cancel)
            files = _settle_in(model, (weights, config), parts)
            shutil.rmtree(staging, ignore_errors=True)
            return files
    except DownloadError as error:
        raise DownloadError(f"{error} {by_hand(model)}") from error


def _intact(model: PublishedModel) -> ModelFiles | None:
    """Return the model as it lies here, if its weights are those of its card; else None."""
    if not is_at_hand(model.name):
        return None
    try:
        return resolve_model(model.name)
    except CheckpointError:
        return None


def _fetch_both(
    model: PublishedModel,
    remotes: tuple[RemoteFile, RemoteFile],
    staging: Path,
    endpoint: str,
    progress: Progress,
    cancel: CancelToken | None,
) -> tuple[Path, Path]:
    """Fetch and verify weights and config, the small one first: it shows early whether anything is wrong."""
    weights, config = remotes
    total = sum(remote.size or 0 for remote in remotes) or 1
    done = 0

    def fetched(n_bytes: int) -> None:
        progress(min((done + n_bytes) / total, 1.0), _how_far(model.name, done + n_bytes, total))

    if cancel is not None:
        cancel.raise_if_cancelled()
    config_part = fetch(config, staging, endpoint, fetched, cancel)
    with _removed_if_refused(config_part):
        check_config(config_part, config.path)
    done = config.size or 0
    weights_part = fetch(weights, staging, endpoint, fetched, cancel)
    with _removed_if_refused(weights_part):
        check_weights(weights_part, weights.path)
    return weights_part, config_part


@contextmanager
def _removed_if_refused(part: Path) -> Iterator[None]:
    """Keep nothing that may not be opened, or cannot be."""
    try:
        yield
    except CheckpointError:
        part.unlink(missing_ok=True)
        raise


def _settle_in(model: PublishedModel, remotes: tuple[RemoteFile, RemoteFile], parts: tuple[Path, Path]) -> ModelFiles:
    """Move verified files into place together with their card."""
    folder = published_model_folder(model.name)
    checksum = remotes[0].checksum
    card = _card_of(model, remotes, checksum if len(checksum) == SHA256_DIGITS else file_sha256(parts[0]))
    with model_folder_in_making(folder) as partial:
        write_card(partial, card)
        for part, name in zip(parts, (WEIGHTS_FILE, CONFIG_FILE), strict=True):
            os.replace(part, partial / name)
    return ModelFiles(folder / WEIGHTS_FILE, folder / CONFIG_FILE, card)


@contextmanager
def _alone(staging: Path, name: str) -> Iterator[None]:
    """Keep a second program from writing into the same half-fetched file; the lock ends with its process."""
    with disk_errors(f"The models folder {staging.parent} could not be written"):
        staging.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(staging.with_name(f"{staging.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"Another program is pulling {name} just now. Wait until it is done, then run the same command again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _card_of(model: PublishedModel, remotes: tuple[RemoteFile, RemoteFile], sha256: str) -> ModelCard:
    weights, config = remotes
    return _card(
        model,
        sha256,
        {
            "repository": REPOSITORY,
            "revision": weights.commit,
            "path": model.weights,
            "sha256": sha256,
            "config": model.config,
            "config_checksum": config.checksum,
            "pulled_utc": _now(),
        },
    )


def _card_by_hand(name: str, weights: Path, config: Path) -> ModelCard:
    recipe = {"added_by_hand": [weights.name, config.name], "added_utc": _now()}
    if name in PUBLISHED:
        return _card(PUBLISHED[name], "", {"repository": REPOSITORY, "path": PUBLISHED[name].weights, **recipe})
    return ModelCard(name=name, sha256="", kind="local", description=f"Added from {weights.name}", recipe=recipe)


def _card(model: PublishedModel, sha256: str, recipe: dict[str, Any]) -> ModelCard:
    return ModelCard(
        name=model.name,
        sha256=sha256,
        kind="published",
        description=model.description,
        trained_on=model.trained_on,
        licence=LICENCE,
        recipe=recipe,
    )


def _default_name(weights: Path) -> str:
    return weights.absolute().parent.name if weights.name == WEIGHTS_FILE else weights.stem


def _free_place(name: str) -> Path:
    """Folder for a new model of that name.

    Raises
    ------
    InputError
        If the name is taken, or stands for something else.
    """
    if name in PUBLISHED:
        folder = published_model_folder(name)
    elif name in families():
        seeds = ", ".join(model.name for model in families()[name])
        raise InputError(f"{name} stands for several published models. Give one of --name {seeds}.")
    elif name in (BUNDLED, PUBLISHED_NAME):
        raise InputError(f"{name} is the program's own name. Choose another with --name.")
    else:
        folder = published_folder().with_name(check_name(name))
    if folder.exists():
        raise InputError(
            f"There is a model {name} already, in {folder}. Choose another name with --name, or remove that folder."
        )
    return folder


def _check_view(model: PublishedModel, settings: Mapping[str, Any], config: Path) -> None:
    """Compare the view of a config with that of the published model it is said to be."""
    if model.name == PRETRAINED:
        return
    views = settings["model"].get("views", settings["model"].get("view"))
    found = [views] if isinstance(views, str) else list(views or [])
    if found != [model.view]:
        raise CheckpointError(
            f"{config.name} is of a model for {', '.join(map(str, found)) or 'no view'}; {model.name} takes "
            f"{model.view}. Give {model.config} of {REPOSITORY}, or another name."
        )


def _share(progress: Progress, k: int, n: int) -> Progress:
    """Progress of the k-th of n equal parts."""

    def tell(fraction: float, message: str, /) -> None:
        progress((k + fraction) / n, message)

    return tell


def _how_far(name: str, n_bytes: int, total: int) -> str:
    return f"Downloading {name}: {n_bytes / 1e6:.0f} of {total / 1e6:.0f} MB"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
