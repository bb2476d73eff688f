"""The basal slice in or out: what can be decided at ED and ES, and what each choice does to the ejection fraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_app.labelling import Slice
from cinema_app.reading import Reading
from cinema_core.anatomy import VENTRICLES, Structure
from cinema_core.measure.base import basal_slice, ejection_fraction_with, left_out, taken_in

TOOL = "basal slice"
"""What the journal calls such an edit."""


@dataclass(frozen=True, eq=False)
class BasalChoice:
    """A choice that a reader may make.

    Attributes
    ----------
    cavity
        Of which ventricle.
    words
        What it does, and the ejection fraction before and after it.
    masks
        The labels (y, x) that it would leave, by (t, z).
    """

    cavity: Structure
    words: str
    masks: dict[Slice, NDArray[np.uint8]]


def basal_choices(reading: Reading) -> list[BasalChoice]:
    """Slices at the base that could be left out or brought back at ED and ES; none while nothing is measured.

    A slice can be brought back if it showed the ventricle in an earlier label of this phase.
    """
    if reading.measures is None or reading.phases is None:
        return []
    found = []
    for cavity in VENTRICLES:
        phases = _phases(reading, cavity)
        if phases is None:
            continue
        out = {t: _without_basal_slice(reading, cavity, t) for t in dict.fromkeys(phases)}
        back = {t: _with_slice_before(reading, cavity, t) for t in dict.fromkeys(phases)}
        for verb, changes in (("leave slice {} out", out), ("bring slice {} back", back)):
            found += _described(reading, cavity, phases, verb, [change for change in changes.values() if change])
    return found


def decide(reading: Reading, choice: BasalChoice) -> None:
    """Do it; one undo takes it back.

    ED and ES are the reader's from here on: without the slice the curve may be highest or lowest elsewhere, and the
    ejection fraction would not be the one that was promised.
    """
    reading.correct_many(choice.masks, TOOL)


_Change = tuple[Slice, NDArray[np.uint8]]


def _phases(reading: Reading, cavity: Structure) -> tuple[int, int] | None:
    choice = reading.phases
    if choice is None:
        return None
    if cavity is Structure.LV_CAVITY or choice.rv_ed_phase is None or choice.rv_es_phase is None:
        return choice.ed_phase, choice.es_phase
    return choice.rv_ed_phase, choice.rv_es_phase


def _without_basal_slice(reading: Reading, cavity: Structure, t: int) -> _Change | None:
    z = basal_slice(reading.labels, reading.cine, t, cavity)
    return None if z is None else ((t, z), left_out(reading.labels[t, z], cavity))


def _with_slice_before(reading: Reading, cavity: Structure, t: int) -> _Change | None:
    basal = basal_slice(reading.labels, reading.cine, t, cavity)
    if basal is None:
        return None
    z = basal + 1 if reading.cine.apex_first else basal - 1
    if not 0 <= z < reading.cine.n_slices or not reading.cine.has_image(t, z):
        return None
    history = reading.project.history(reading.study_id, t, z)
    earlier = next((row.mask for row in reversed(history) if (row.mask == cavity).any()), None)
    return None if earlier is None else ((t, z), taken_in(reading.labels[t, z], earlier, cavity))


def _described(
    reading: Reading, cavity: Structure, phases: tuple[int, int], verb: str, changes: Sequence[_Change]
) -> list[BasalChoice]:
    """Both phases together first, if it is the same slice, then each alone."""
    groups = [[change] for change in changes]
    if len(changes) == 2 and changes[0][0][1] == changes[1][0][1]:
        groups.insert(0, list(changes))
    ed, es = phases
    side = "LV" if cavity is Structure.LV_CAVITY else "RV"
    names = {ed: "ED", es: "ES"}
    before = ejection_fraction_with(reading.labels, reading.cine, cavity, ed, es, {})
    found = []
    for group in groups:
        masks = dict(group)
        after = ejection_fraction_with(reading.labels, reading.cine, cavity, ed, es, masks)
        when = " and ".join(names[t] for t, _ in masks)
        z = group[0][0][1]
        found.append(
            BasalChoice(cavity, f"{side}: {verb.format(z + 1)} at {when}: {side}EF {_change(before, after)}", masks)
        )
    return found


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "would not be known"
    if round(before) == round(after):
        return f"stays {after:.0f} %"
    return f"{before:.0f} → {after:.0f} %"
