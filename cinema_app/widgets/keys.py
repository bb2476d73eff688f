"""The keyboard: a reader's hand stays on the arrows while the eyes stay on the heart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from napari.utils.key_bindings import coerce_keybinding

from cinema_app.contours.editor import REACH_STEP_MM, ContourEditor
from cinema_app.contours.layers import ContourLayers
from cinema_app.layers import CineLayers, Tool
from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.long_axis import LongAxisPanel
from cinema_app.widgets.player import Player
from cinema_app.widgets.review import ReviewPanel
from cinema_app.windowing import Windowing

Action = Callable[[], object]


def key_actions(
    reading: Reading,
    layers: CineLayers,
    contours: ContourLayers,
    editor: ContourEditor,
    player: Player,
    review: ReviewPanel,
) -> dict[str, Action]:
    """Every key and what it does; the same words stand in the panels' tooltips."""
    return {
        "Left": lambda: layers.step_phase(-1),
        "Right": lambda: layers.step_phase(1),
        "Up": lambda: layers.step_slice(-1),
        "Down": lambda: layers.step_slice(1),
        "P": player.toggle,
        "D": review.go_to_ed,
        "S": review.go_to_es,
        "Alt-D": review.set_ed,
        "Alt-S": review.set_es,
        "H": review.toggle_contours,
        "N": review.go_to_next,
        "T": review.go_to_next_to_teach,
        "A": lambda: reading.accept([layers.here]),
        "Z": lambda: layers.use(Tool.MOVE),
        "C": contours.take,
        "Shift-Left": lambda: editor.copy_to(-1, 0),
        "Shift-Right": lambda: editor.copy_to(1, 0),
        "Shift-Up": lambda: editor.copy_to(0, -1),
        "Shift-Down": lambda: editor.copy_to(0, 1),
        "1": lambda: layers.use(Tool.RV),
        "2": lambda: layers.use(Tool.MYO),
        "3": lambda: layers.use(Tool.LV),
        "E": lambda: layers.use(Tool.ERASE),
        "Control-Z": reading.undo,
        "Control-Y": reading.redo,
        "Control-Shift-Z": reading.redo,
    }


def view_key_actions(
    layers: CineLayers,
    windowing: Windowing,
    review: ReviewPanel,
    long_axis: LongAxisPanel,
    toggle_view: Callable[[str], None],
) -> dict[str, Action]:
    """Keys of how the image is shown, of the panels beside it, and of the base."""
    return {
        "F": layers.zoom_to_heart,
        "R": windowing.reset,
        "B": review.ask_base,
        "G": lambda: toggle_view("slices"),
        "L": lambda: toggle_view("long_axis"),
        "X": long_axis.toggle_lines,
    }


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


def _is_key(text: str) -> bool:
    try:
        return bool(str(coerce_keybinding(text)))  # what names no key is read as an empty one
    except (ValueError, TypeError, KeyError):
        return False


def contour_key_actions(contours: ContourLayers, editor: ContourEditor) -> dict[str, Action]:
    """Keys of the contour tool; they are free for napari while it is not in hand."""
    return {
        "Space": editor.choose_next,
        "W": contours.draw,
        "Enter": contours.close_stroke,
        "Escape": editor.cancel,
        "I": contours.add_or_remove_point,
        "Delete": contours.add_or_remove_point,
        "O": editor.smooth,
        "Control-E": lambda: editor.grow(1),
        "Control-K": lambda: editor.grow(-1),
        "]": lambda: editor.change_reach(REACH_STEP_MM),
        "[": lambda: editor.change_reach(-REACH_STEP_MM),
    }


def bind_keys(target: Any, reading: Reading, actions: dict[str, Action]) -> None:
    """Bind the keys to a viewer or layer, those that the reader chose in the preferences instead of ours.

    Layers too: napari asks the active layer first, and its Labels layer would take P, E, Z and Ctrl+Z.
    """
    chosen = chosen_keys()
    for key, action in actions.items():
        run = answered(reading, action)
        target.bind_key(chosen.get(key, key), lambda _target, run=run: run(), overwrite=True)


def unbind_keys(target: Any, actions: dict[str, Action]) -> None:
    """Give the keys back."""
    chosen = chosen_keys()
    for key in actions:
        target.bind_key(chosen.get(key, key), None, overwrite=True)
