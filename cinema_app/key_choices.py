"""The keys as the reader chose them on the plugin's page of napari's preferences, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from napari.utils.key_bindings import coerce_keybinding

from cinema_app.preferences import preferences

SIGNS: Final = {"Left": "←", "Right": "→", "Up": "↑", "Down": "↓", "Control": "Ctrl"}


@dataclass(frozen=True)
class Key:
    """A key that can be changed on the plugin's page of napari's preferences.

    Attributes
    ----------
    ours
        The key that it is without a change, as napari writes it: ``Control-Z``.
    key
        The key that it is.
    """

    group: str
    words: str
    ours: str
    key: str


@cache
def key_list() -> tuple[Key, ...]:
    """Every key as declared in ``napari.yaml``, and as the reader chose it; read once, at the start.

    A choice that names no key, or one that another action has, is not taken: no action ever loses its key.
    """
    settings = preferences().keys
    fields = type(settings).model_fields
    wanted = {name: str(getattr(settings, name)) for name in fields}
    found: list[Key] = []
    for name, field in fields.items():
        ours = str(field.default)
        others = {key for other, key in wanted.items() if other != name} | {str(f.default) for f in fields.values()}
        free = wanted[name] == ours or (_is_key(wanted[name]) and wanted[name] not in others)
        group = str(field.description).split(".")[0]
        found.append(Key(group, str(field.title), ours, wanted[name] if free else ours))
    return tuple(found)


def chosen_keys() -> dict[str, str]:
    """Return the key in use for each of ours."""
    return {found.ours: found.key for found in key_list()}


def readable(key: str) -> str:
    """Name of a key as it stands on a keyboard: ``Ctrl+Z`` for ``Control-Z``."""
    return "+".join(SIGNS.get(part, part) for part in key.split("-"))


def key_words(ours: str) -> str:
    """Name of the key in use for one of ours; what stands in tooltips and menus."""
    return readable(chosen_keys()[ours])


def keyed(words: str, ours: str) -> str:
    """Words with the name of the key in use behind them: ``Undo (Ctrl+Z)``."""
    return f"{words} ({key_words(ours)})"


def _is_key(text: str) -> bool:
    try:
        return bool(str(coerce_keybinding(text)))  # what names no key is read as an empty one
    except (ValueError, TypeError, KeyError):
        return False
