"""``cinema models``: the models at hand and what is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cinema_core.cards import ModelCard

models = typer.Typer(help="The models at hand, and what is known of them.")

ProjectOption = Annotated[
    Path | None, typer.Option("--project", metavar="DIR", help="Project whose versions are listed too.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@models.command("list")
def list_them(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """List the bundled model, those added on this computer, and a project's versions.

    Example: cinema models list --project heart.cinema
    """
    from cinema_app.terminal import say_json, say_table
    from cinema_core.cards import list_models

    cards = list_models(_models_folder(project))
    if as_json:
        say_json([{"name": card.name, "kind": card.kind, "sha256": card.sha256} | _figures(card) for card in cards])
        return
    rows = [(card.name, card.kind, card.sha256[:8], card.created_utc[:10], card.description) for card in cards]
    say_table(("Name", "Kind", "Hash", "Made", "What it is"), rows)


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
