"""The five steps of a reading: which are done, and which comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cinema_app.reading import Reading
from cinema_core.anatomy import LabelState


@dataclass(frozen=True)
class Step:
    """One of the five.

    Attributes
    ----------
    name
        As it stands in the strip.
    words
        What to do now.
    tab
        Title of the tab where it is done; empty above the tabs.
    is_done
        Whether the open reading is past it.
    """

    name: str
    words: str
    tab: str
    is_done: Callable[[Reading], bool]


def _has(*states: LabelState) -> Callable[[Reading], bool]:
    return lambda reading: bool(reading.slices_in(*states))


def _has_taught(reading: Reading) -> bool:
    return reading.learning.trial is not None or bool(reading.project.versions())


def _is_exported(reading: Reading) -> bool:
    return any(
        event.kind == "exported" and event.detail.get("study") == reading.study_id for event in reading.project.events()
    )


STEPS: Final = (
    Step(
        "Open",
        "Open a study: drop its folder on the window, or press Open folder… To try it: File > Open Sample.",
        "",
        lambda reading: reading.is_open,
    ),
    Step(
        "Segment",
        "Press Segment: the model draws both ventricles on every slice and phase.",
        "Read",
        _has(LabelState.PREDICTED, LabelState.CORRECTED, LabelState.ACCEPTED),
    ),
    Step(
        "Correct",
        "Press Next to check, correct what is wrong, and press Accept slice when it is right.",
        "Read",
        _has(LabelState.CORRECTED, LabelState.ACCEPTED),
    ),
    Step(
        "Fine-tune",
        "On the tab Fine-tune, press Fine-tune on my labels: the model learns from what you corrected.",
        "Fine-tune",
        _has_taught,
    ),
    Step("Export", "On the tab Export, press Export CSV… for the report of this study.", "Export", _is_exported),
)

ALL_DONE: Final = "These are the five steps. Close this line; ? shows all keys."


def next_step(reading: Reading) -> int | None:
    """Index of the first step that is not done; None after the last."""
    return next((k for k, step in enumerate(STEPS) if not step.is_done(reading)), None)
