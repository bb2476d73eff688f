"""The keyboard: a reader's hand stays on the arrows while the eyes stay on the heart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cinema_app.layers import CineLayers, Tool
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.long_axis import LongAxisPanel
from cinema_app.widgets.player import Player
from cinema_app.widgets.review import ReviewPanel
from cinema_app.windowing import Windowing

Action = Callable[[], object]


def key_actions(reading: Reading, layers: CineLayers, player: Player, review: ReviewPanel) -> dict[str, Action]:
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
        "H": layers.toggle_contours,
        "N": review.go_to_next,
        "T": review.go_to_next_to_teach,
        "A": lambda: reading.accept([layers.here]),
        "Z": lambda: layers.use(Tool.MOVE),
        "1": lambda: layers.use(Tool.RV),
        "2": lambda: layers.use(Tool.MYO),
        "3": lambda: layers.use(Tool.LV),
        "E": lambda: layers.use(Tool.ERASE),
        "Control-Z": reading.undo,
        "Control-Y": reading.redo,
        "Control-Shift-Z": reading.redo,
    }


def view_key_actions(
    layers: CineLayers, windowing: Windowing, long_axis: LongAxisPanel, toggle_view: Callable[[str], None]
) -> dict[str, Action]:
    """Keys of how the image is shown, and of the panels beside it."""
    return {
        "F": layers.zoom_to_heart,
        "R": windowing.reset,
        "G": lambda: toggle_view("slices"),
        "L": lambda: toggle_view("long_axis"),
        "X": long_axis.toggle_lines,
    }


def bind_keys(target: Any, reading: Reading, actions: dict[str, Action]) -> None:
    """Bind the keys to a viewer or layer.

    Layers too: napari asks the active layer first, and its Labels layer would take P, E, Z and Ctrl+Z.
    """
    for key, action in actions.items():
        run = answered(reading, action)
        target.bind_key(key, lambda _target, run=run: run(), overwrite=True)


def unbind_keys(target: Any, actions: dict[str, Action]) -> None:
    """Give the keys back."""
    for key in actions:
        target.bind_key(key, None, overwrite=True)
