"""``cinema models``: the models at hand, what is known of them, and how to get more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cinema_core.cards import ModelCard, ModelFiles

models = typer.Typer(help="The models at hand, what is known of them, and how to get more.")

ProjectOption = Annotated[
    Path | None, typer.Option("--project", metavar="DIR", help="Project whose versions are listed too.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@models.command("list")
def list_them(
    project: ProjectOption = None,
    only_published: Annotated[
        bool, typer.Option("--published", help="List what is published instead, and what of it is here.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the bundled model, published ones that were pulled, those added here, and a project's versions.

    Example: cinema models list --project heart.cinema

    Example: cinema models list --published
    """
    if only_published:
        _list_published(as_json)
        return
    from cinema_app.terminal import say_json, say_table
    from cinema_core.cards import list_models

    cards = list_models(_models_folder(project))
    if as_json:
        say_json([{"name": card.name, "kind": card.kind, "sha256": card.sha256} | _figures(card) for card in cards])
        return
    rows = [(card.name, card.kind, card.sha256[:8], card.created_utc[:10], card.description) for card in cards]
    say_table(("Name", "Kind", "Hash", "Made", "What it is"), rows)


@models.command("pull")
def pull_them(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Published name; without its /SEED, all seeds.")],
    revision: Annotated[str, typer.Option(metavar="REVISION", help="Branch, tag or commit.")] = "main",
    as_json: JsonOption = False,
) -> None:
    """Download a published model, verify it, and keep it; one that is here is not downloaded again.

    Example: cinema models pull acdc-sax-seg/0

    An interrupted download goes on where it stopped. HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and HTTPS_PROXY are obeyed.
    """
    from cinema_app.terminal import progress_bar
    from cinema_core.hub import pull

    with progress_bar() as progress:
        found = pull(name, progress, revision=revision)
    _tell_files(found, as_json)


@models.command("add")
def add_it(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="The .safetensors file.")],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The config.yaml that came with it.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="How to call it; a published name if it is that model.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a model that was brought by hand among the models of this computer.

    Example: cinema models add acdc_sax_0.safetensors config.yaml --name acdc-sax-seg/0
    """
    from cinema_core.hub import add

    _tell_files([add(weights, config, name)], as_json)


@models.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name, model folder, or .safetensors file.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the card of one model: what it learned from, its licence, its measured figures.

    Example: cinema models show bundled
    """
    from cinema_app.terminal import say_json, say_pairs
    from cinema_core.cards import resolve_model

    files = resolve_model(name, project_models=_models_folder(project))
    if as_json:
        say_json(files.card.to_json())
        return
    say_pairs([*_card_lines(files.card), ("folder", str(files.weights.parent))])


@models.command("export")
def export_it(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder in which the model's folder is made.")],
    project: ProjectOption = None,
) -> None:
    """Copy a model in the published form, weights, config and card, for another computer or program.

    Example: cinema models export v001 --project heart.cinema --out to-share
    """
    from cinema_app.terminal import say
    from cinema_core.cards import export_model

    say(str(export_model(name, out, _models_folder(project))))


def _list_published(as_json: bool) -> None:
    from cinema_app.terminal import UNKNOWN, say, say_json, say_table
    from cinema_core.hub import PUBLISHED, is_at_hand
    from cinema_core.published import families

    here = {name for name in PUBLISHED if is_at_hand(name)}
    if as_json:
        say_json([asdict(model) | {"at_hand": name in here} for name, model in PUBLISHED.items()])
        return
    rows = []
    for family, members in families().items():
        seeds = " ".join(_seed(model.seed) for model in members)
        at_hand = " ".join(_seed(model.seed) for model in members if model.name in here)
        rows.append((family, seeds, at_hand or UNKNOWN, members[0].description))
    say_table(("Name", "Seeds", "Here", "What it does"), rows)
    say("Get one with: cinema models pull NAME/SEED")


def _seed(seed: int | None) -> str:
    return "one" if seed is None else str(seed)


def _tell_files(found: list[ModelFiles], as_json: bool) -> None:
    from cinema_app.terminal import say, say_json

    if as_json:
        say_json([files.card.to_json() | {"folder": str(files.weights.parent)} for files in found])
        return
    for files in found:
        say(f"{files.card.name} is ready, sha256 {files.card.sha256[:8]}, in {files.weights.parent}")


def _models_folder(project: Path | None) -> Path | None:
    """Where the versions of a project lie; a folder that is no project is a mistake, not an empty list."""
    if project is None:
        return None
    from cinema_core.project import Project

    with Project.open(project) as opened:
        return opened.models_folder


def _figures(card: ModelCard) -> dict[str, Any]:
    return {"created_utc": card.created_utc, "description": card.description, "figures": card.figures}


def _card_lines(card: ModelCard) -> list[tuple[str, str]]:
    """Put the card in words for the eye; the recipe is for ``--json``."""
    lines = [
        ("name", card.name),
        ("kind", card.kind),
        ("made", card.created_utc),
        ("what it is", card.description),
        ("learned from", "; ".join(card.trained_on)),
        ("licence", card.licence),
        ("use", card.intended_use),
        ("sha256", card.sha256),
        ("base", str(card.lineage.get("base", ""))),
        ("measured on", str(card.lineage.get("validation", ""))),
        *(("figures", f"{name}: {_short(value)}") for name, value in card.figures.items()),
    ]
    return [(name, value) for name, value in lines if value]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
