"""Figures of an evaluation: one row per case, one summary; plain numbers, no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from cinema_core.anatomy import FOREGROUND, VENTRICLES, Structure

TABLE_NAME: Final = "cases.csv"
SUMMARY_NAME: Final = "summary.json"

THIRDS: Final = ("base", "mid", "apex")


class Protocol(StrEnum):
    """How a model is measured; every figure names its own."""

    NATIVE = "native"
    """Whole image in, the program finds the heart, scored on the study's own grid."""
    REFERENCE = "reference"
    """As the published evaluation: cropped at the true LV, scored at 1 x 1 x 10 mm. The easier of the two."""


@dataclass(frozen=True)
class CaseScore:
    """How well one frame was drawn.

    Attributes
    ----------
    dice, hd95_mm
        By structure; None where the truth holds none of it, or (distance) the drawing does not.
    drawn_ml, true_ml
        Volume by ventricle; None unless every voxel of the frame is labelled.
    n_slices
        Number of labelled slices.
    """

    case_id: str
    study_id: str
    patient: str
    phase: str
    protocol: Protocol
    n_slices: int
    dice: Mapping[Structure, float | None]
    hd95_mm: Mapping[Structure, float | None]
    drawn_ml: Mapping[Structure, float | None]
    true_ml: Mapping[Structure, float | None]
    dice_by_third: Mapping[str, Mapping[Structure, float | None]] = field(default_factory=dict)
    """The same over the basal, middle and apical third of the slices that show the LV, by :data:`THIRDS`."""

    def row(self) -> dict[str, str]:
        """Line of ``cases.csv``; empty = not known."""
        row = {
            "case": self.case_id,
            "study": self.study_id,
            "patient": self.patient,
            "phase": self.phase,
            "protocol": str(self.protocol),
            "n_slices": str(self.n_slices),
        }
        row |= {f"dice_{s.key}": _text(self.dice[s]) for s in reversed(FOREGROUND)}
        row["dice_mean"] = _text(mean(self.dice.values()))
        row |= {f"hd95_{s.key}_mm": _text(self.hd95_mm[s]) for s in reversed(FOREGROUND)}
        for s in VENTRICLES:
            row |= {f"{s.key}_ml": _text(self.drawn_ml[s]), f"true_{s.key}_ml": _text(self.true_ml[s])}
        for third in THIRDS:
            found = self.dice_by_third.get(third, {})
            row |= {f"dice_{s.key}_{third}": _text(found.get(s)) for s in reversed(FOREGROUND)}
        return row


@dataclass(frozen=True)
class EjectionFractionError:
    """Drawn minus true ejection fraction over studies, in points; None where too few studies say."""

    n: int
    mae: float | None
    bias: float | None
    sd: float | None


@dataclass(frozen=True)
class Summary:
    """What ``summary.json`` holds."""

    n_cases: int
    protocol: Protocol
    dice: Mapping[str, float | None]
    hd95_mm: Mapping[str, float | None]
    lvef: EjectionFractionError
    rvef: EjectionFractionError

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order that is written."""
        return {
            "n_cases": self.n_cases,
            "protocol": str(self.protocol),
            "dice": dict(self.dice),
            "hd95_mm": dict(self.hd95_mm),
            "lvef": vars(self.lvef),
            "rvef": vars(self.rvef),
        }


def summarise(scores: Sequence[CaseScore], protocol: Protocol) -> Summary:
    """Average over cases; ejection fractions are paired by study from its ED and ES."""
    return Summary(
        n_cases=len(scores),
        protocol=protocol,
        dice=_by_structure([score.dice for score in scores]),
        hd95_mm=_by_structure([score.hd95_mm for score in scores]),
        lvef=_ejection_fraction_error(scores, Structure.LV_CAVITY),
        rvef=_ejection_fraction_error(scores, Structure.RV_CAVITY),
    )


def table(scores: Sequence[CaseScore]) -> str:
    """``cases.csv`` as text."""
    text = io.StringIO(newline="")
    rows = [score.row() for score in scores]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _by_structure(rows: Sequence[Mapping[Structure, float | None]]) -> dict[str, float | None]:
    """Mean over cases of each structure, and the mean of those."""
    found = {s.key: mean(row[s] for row in rows) for s in reversed(FOREGROUND)}  # lv, myo, rv
    return {**found, "mean": mean(found.values())}


def _ejection_fraction_error(scores: Sequence[CaseScore], ventricle: Structure) -> EjectionFractionError:
    frames: dict[str, dict[str, CaseScore]] = {}
    for score in scores:
        if score.phase:
            frames.setdefault(score.study_id, {})[score.phase] = score
    errors = []
    for pair in frames.values():
        if {"ed", "es"} <= pair.keys():
            ed, es = pair["ed"], pair["es"]
            drawn = ejection_fraction_pct(ed.drawn_ml[ventricle], es.drawn_ml[ventricle])
            true = ejection_fraction_pct(ed.true_ml[ventricle], es.true_ml[ventricle])
            if drawn is not None and true is not None:
                errors.append(drawn - true)
    if not errors:
        return EjectionFractionError(0, None, None, None)
    sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
    return EjectionFractionError(len(errors), float(np.mean(np.abs(errors))), float(np.mean(errors)), sd)


def ejection_fraction_pct(edv_ml: float | None, esv_ml: float | None) -> float | None:
    """Share of the ED volume that is ejected; None if a volume is not known.

    Never an error: a model that drew a ventricle larger at ES than at ED, or none at ED (taken as ejecting
    nothing), made a mistake that is to be seen in the figures, not left out of them.
    """
    if edv_ml is None or esv_ml is None:
        return None
    return 100 * (edv_ml - esv_ml) / edv_ml if edv_ml > 0 else 0.0


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
