"""What became of slices that were suggested at random: how often the model's drawing needed no correction.

An event says that the reader was led to such a slice, and by which row of the journal the model had drawn it. What
became of it is read from the journal, so that Undo, a later correction or another model's drawing are never missed.

The share is that of slices which were unread when they were drawn at random. It takes for granted that whether the
reader acts on a slice does not depend on how it looks. One that is passed over stays the next to be drawn, and how
many are open is counted in :attr:`ChanceEstimate.n_open`; slices that the reader went through by risk before are no
longer drawn, so of a study that is read nearly to its end the share speaks of the easier rest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND
from cinema_core.measure.agreement import dice
from cinema_core.project.events import append_event
from cinema_core.project.journal import MODEL_TOOL, label_of_row, newest_row, slice_history

EVENT: Final = "random suggestion"

FEWEST: Final = 3
"""Of fewer slices a share would say nothing."""

FILLED: Final = ("interpolated contour", "copied contour")
"""Tools that draw a slice from others."""

_Z95: Final = 1.959964


@dataclass(frozen=True)
class ChanceOutcome:
    """What became of one slice.

    Attributes
    ----------
    dice
        Between the model's drawing and the reader's, mean over the structures that either shows; 1 where it was
        accepted as drawn; None while the reader has not decided.
    """

    study_id: str
    t: int
    z: int
    model_sha256: str
    dice: float | None

    @property
    def as_drawn(self) -> bool:
        """Whether the reader vouched for every pixel that the model drew."""
        return self.dice == 1.0


@dataclass(frozen=True)
class ChanceEstimate:
    """How good one model's drawings are, by slices that were drawn at random.

    Attributes
    ----------
    n, n_as_drawn
        Slices that the reader decided on, and those of them that were accepted as drawn.
    n_open
        Slices that the reader was led to and has not decided on.
    mean_dice_corrected
        Of the others; None if there are none.
    n_studies
        Studies that the slices are of.
    """

    n: int
    n_as_drawn: int
    n_open: int
    mean_dice_corrected: float | None
    n_studies: int = 1

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share that was accepted as drawn (J Am Stat Assoc 22:209, 1927)."""
        return wilson_95(self.n_as_drawn, self.n)

    @property
    def text(self) -> str:
        """One line for the reader; empty where too few slices were read."""
        if self.n < FEWEST:
            return ""
        low, high = self.interval
        return (
            f"Of {self.n} slices of {self.n_studies} {'study' if self.n_studies == 1 else 'studies'} drawn at random, "
            f"{self.n_as_drawn} "
            f"{'was' if self.n_as_drawn == 1 else 'were'} accepted as drawn: "
            f"{100 * self.n_as_drawn / self.n:.0f} % ({100 * low:.0f}–{100 * high:.0f} %)"
            + (f"; {self.n_open} not decided" if self.n_open else "")
        )


def wilson_95(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, 0 to 1, by Wilson's score; (0, 1) if nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def note_random_suggestion(rows: sqlite3.Connection, study_id: str, t: int, z: int, utc: str) -> None:
    """Note that the reader was led to a slice that was drawn at random; once per drawing of a model.

    Nothing is noted of a slice that no model drew.
    """
    known = slice_history(rows, study_id, t, z)
    drawn = [label for label in known if label.tool == MODEL_TOOL]
    # What was filled in between others since is not what the model drew.
    if not drawn or not np.array_equal(known[-1].mask, drawn[-1].mask):
        return
    detail = {"study": study_id, "t": t, "z": z, "row": drawn[-1].row_id}
    if detail["row"] not in {known["row"] for known in _noted(rows)}:
        append_event(rows, EVENT, detail, utc)


Known = dict[int, tuple[int, ChanceOutcome | None]]
"""By the row of the model's drawing: the newest row of that slice, and what had become of it by then."""


def chance_outcomes(rows: sqlite3.Connection, known: Known) -> list[ChanceOutcome]:
    """Return what became of every slice that was suggested at random, in the order of the suggestions.

    A slice that a model drew again, or that was filled in, before the reader decided is left out: nobody judged that
    drawing.

    Parameters
    ----------
    known
        What an earlier call found, to be asked after every edit; brought up to date.
    """
    for noted in _noted(rows):
        study_id, t, z, row = noted["study"], int(noted["t"]), int(noted["z"]), int(noted["row"])
        newest = newest_row(rows, study_id, t, z) or row
        if row not in known or known[row][0] != newest:
            known[row] = newest, _outcome(rows, study_id, t, z, row)
    return [outcome for _, outcome in known.values() if outcome is not None]


def _outcome(rows: sqlite3.Connection, study_id: str, t: int, z: int, row: int) -> ChanceOutcome | None:
    drawn = label_of_row(rows, row)
    since = [label for label in slice_history(rows, study_id, t, z) if label.row_id > row]
    if any(label.tool in (MODEL_TOOL, *FILLED) for label in since):
        return None
    decided = bool(since) and since[-1].state.is_teaching
    return ChanceOutcome(study_id, t, z, drawn.model_sha256, mean_dice(drawn.mask, since[-1].mask) if decided else None)


def estimate_of(outcomes: Iterable[ChanceOutcome], model_sha256: str) -> ChanceEstimate:
    """Sum up what became of the drawings of one model; another model has another share."""
    of_model = [outcome for outcome in outcomes if outcome.model_sha256 == model_sha256]
    decided = [outcome for outcome in of_model if outcome.dice is not None]
    corrected = [outcome.dice for outcome in decided if outcome.dice is not None and not outcome.as_drawn]
    return ChanceEstimate(
        n=len(decided),
        n_as_drawn=len(decided) - len(corrected),
        n_open=len(of_model) - len(decided),
        mean_dice_corrected=float(np.mean(corrected)) if corrected else None,
        n_studies=len({outcome.study_id for outcome in decided}),
    )


def mean_dice(model: NDArray[np.uint8], reader: NDArray[np.uint8]) -> float:
    """Overlap of two drawings of a slice, shape (y, x): mean over the structures that either shows, 1 if none does."""
    if np.array_equal(model, reader):
        return 1.0
    scores = [score for s in FOREGROUND if not np.isnan(score := dice(model, reader, s))]
    return float(np.mean(scores)) if scores else 1.0


def _noted(rows: sqlite3.Connection) -> list[dict[str, Any]]:
    found = rows.execute("SELECT detail FROM event WHERE kind = ? ORDER BY event_id", (EVENT,))
    return [json.loads(row["detail"]) for row in found]
