"""A model that comes from elsewhere: what may be said of its files before they are opened. Never imports torch.

What a card says of a model travels with its weights, lineage included: a version that was fine-tuned elsewhere is known
as one, and one that was offered for its own studies only does not become a model for all hearts by being carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cinema_core.cards import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, ModelCard, read_card
from cinema_core.errors import CheckpointError
from cinema_core.model_files import check_config, check_weights
from cinema_core.tasks import answers, task_of

IMPORTED: Final = "imported"
"""Kind of such a card, and the entry of its lineage that tells what the model was called where it was made."""


DRAWS_SHORT_AXIS: Final = "segment-sax"
"""Task of the models that can be chosen in the window."""


@dataclass(frozen=True)
class Incoming:
    """Files of a model that may be imported, as far as they can be judged without loading them.

    Attributes
    ----------
    card
        The one that lies beside the weights; None if there is none. Nobody compared its hash with them yet.
    """

    weights: Path
    config: Path
    card: ModelCard | None


def config_beside(weights: Path) -> Path | None:
    """Config that lies beside weights; None if the reader has to show it."""
    found = weights.parent / CONFIG_FILE
    return found if found.is_file() else None


def card_beside(weights: Path) -> ModelCard | None:
    """Card of a model folder, given its weights; None if they lie in none.

    Raises
    ------
    CheckpointError
        If there is one that cannot be read.
    """
    has_one = weights.name == WEIGHTS_FILE and (weights.parent / CARD_FILE).is_file()
    return read_card(weights.parent) if has_one else None


def look_at(weights: Path, config: Path) -> Incoming:
    """Judge the files of a model that is to draw the short axis by header, config and card; quick for any size.

    Raises
    ------
    CheckpointError
        If the weights are a pickle or no whole safetensors file, the config is none or of another kind of model, or the
        card cannot be read.
    """
    check_weights(weights)
    settings = check_config(config)
    try:
        draws = answers(settings, task_of(DRAWS_SHORT_AXIS))
    except (TypeError, ValueError, AttributeError):  # text where a number belongs, and the like
        draws = False
    if not draws:
        raise CheckpointError(
            f"{config.name} is of a model that does not draw both ventricles on the short axis, so it cannot be chosen "
            "here. Models of other tasks are added with: cinema models add"
        )
    return Incoming(weights, config, card_beside(weights))


def imported_card(card: ModelCard | None, name: str) -> ModelCard:
    """Card under which an imported model lies here: all that its own says, and that it was imported.

    Parameters
    ----------
    card
        The one that came with it; None if none did.
    name
        How it is called here.
    """
    source = {"name": card.name, "kind": card.kind} if card else {}
    entry = {**source, "imported_utc": datetime.now(UTC).isoformat(timespec="seconds")}
    if card is None:
        return ModelCard(
            name=name, sha256="", kind=IMPORTED, description="Imported without a card.", lineage={IMPORTED: entry}
        )
    # Carried twice, it is still the first maker's name that tells where it is from.
    entry = entry | {key: value for key, value in origin_of(card).items() if key in source}
    return card.model_copy(update={"name": name, "kind": IMPORTED, "lineage": {**card.lineage, IMPORTED: entry}})


def origin_of(card: ModelCard) -> Mapping[str, Any]:
    """Name and kind of an imported model where it was made; empty if nobody knows, or it was not imported."""
    entry = card.lineage.get(IMPORTED)
    return entry if isinstance(entry, Mapping) else {}


def is_imported(card: ModelCard) -> bool:
    """Whether a model was brought from elsewhere by import."""
    return card.kind == IMPORTED


def ancestors(card: ModelCard) -> list[dict[str, str]]:
    """Models that a fine-tuned one comes from, nearest first: name and, if known, hash; empty for one that was not.

    It is read from a file that may be anybody's, so what is no name is passed over.
    """
    nearest = {"name": card.lineage.get("base"), "sha256": card.lineage.get("base_sha256", "")}
    further = card.lineage.get("ancestors", [])
    chain = [nearest, *(further if isinstance(further, list) else [])]
    return [
        {"name": link["name"], "sha256": str(link.get("sha256", ""))}
        for link in chain
        if isinstance(link, Mapping) and isinstance(link.get("name"), str) and link["name"]
    ]
