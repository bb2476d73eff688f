"""The keyboard: a reader's hand stays on the arrows while the eyes stay on the heart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cinema_app.contours.editor import REACH_STEP_MM, ContourEditor
from cinema_app.contours.layers import ContourLayers
from cinema_app.key_choices import chosen_keys
from cinema_app.layers import CineLayers, Tool
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
        "N": review.leading.go_to_next,
        "T": review.leading.go_to_next_to_teach,
        "A": lambda: reading.accept([layers.here]),
        "Z": lambda: layers.use(Tool.MOVE),
        "C": contours.take,
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


def contour_key_actions(contours: ContourLayers, editor: ContourEditor) -> dict[str, Action]:
    """Keys of the contour tool; they are free for napari while it is not in hand."""
    return {
        "Space": editor.choose_next,
        "Shift-Left": lambda: editor.copy_to(-1, 0),
        "Shift-Right": lambda: editor.copy_to(1, 0),
        "Shift-Up": lambda: editor.copy_to(0, -1),
        "Shift-Down": lambda: editor.copy_to(0, 1),
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
