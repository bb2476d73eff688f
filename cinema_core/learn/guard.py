"""May this model replace that one? The rule in plain Python, so that it can be read and tested without torch.

A reader should never get a worse model by pressing a button. What can be known depends on the labels: with two
or more patients labelled the gain is measured on patients that a run did not learn from; with one it cannot be
known at all, and the new model stays with that study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from cinema_core.anatomy import FOREGROUND, VENTRICLES

DICE_TOLERANCE: Final = 0.005
"""A mean Dice that falls by less than this is within what the choice of seed changes."""

STRUCTURE_TOLERANCE: Final = 0.03
"""One structure may not pay for the others with more Dice than this."""

EF_TOLERANCE_POINTS: Final = 2.0
"""The mean absolute error of an ejection fraction may rise by no more than this. Dice alone would not see it: cavities
that all become a little too large at ES cost a hundredth of Dice and several points of EF."""

EF_TOLERANCE_SHARE: Final = 0.25
"""Or by this share of itself, if that is more: an ejection fraction that is 56 points off, because a ventricle is
hardly drawn, is of no use at 65 points either, and what else the version has learned should not be lost for it."""


class Validation(StrEnum):
    """What the before and after figures were measured on."""

    HELD_OUT = "held-out studies"
    """Each study was measured by a run that had not learned from it."""
    SEEN = "the labels it learned from"
    """Nothing was held out: the figures say how well the labels were learned, not how good the model is elsewhere."""


class Scope(StrEnum):
    """Where a version may be used."""

    PROJECT = "project"
    STUDY = "this study only"


@dataclass(frozen=True)
class Figures:
    """How well a model draws a set of labelled slices.

    Attributes
    ----------
    loss
        Masked Dice + cross-entropy, mean over the slices.
    dice
        By structure key (``rv``, ``myo``, ``lv``) and their ``mean``; None where the labels hold none of it.
    n_slices
        Number of slices measured.
    ef_error_points
        Mean absolute error of the ejection fraction by ventricle (``lv``, ``rv``), in points, over the slices of each
        study that are labelled at both ED and ES; None where no study says.
    ef_studies
        Number of studies behind each.
    """

    loss: float
    dice: Mapping[str, float | None]
    n_slices: int
    ef_error_points: Mapping[str, float | None] = field(default_factory=dict)
    ef_studies: Mapping[str, int] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float | None:
        """Mean over the structures that the labels hold."""
        return self.dice.get("mean")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card or a message."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Figures:
        """Read what :meth:`to_json` wrote; cards of before ejection fractions were compared do not hold any."""
        return cls(
            float(values["loss"]),
            dict(values["dice"]),
            int(values["n_slices"]),
            dict(values.get("ef_error_points", {})),
            dict(values.get("ef_studies", {})),
        )


@dataclass(frozen=True)
class Verdict:
    """What the reader is offered.

    Attributes
    ----------
    worse
        Whether the new model did worse than the one it started from.
    offered_scopes
        Where it may be used, widest first; the first is the default. Empty: only *discard* is offered.
    reasons
        One sentence each, for the reader.
    """

    worse: bool
    offered_scopes: tuple[Scope, ...]
    reasons: tuple[str, ...]


def judge(
    before: Figures, after: Figures, validation: Validation, n_patients: int, *, is_the_base: bool = False
) -> Verdict:
    """Decide what a new model may be used for.

    Parameters
    ----------
    before, after
        Figures of the old and the new model on the same slices.
    validation
        What those slices were.
    n_patients
        Number of patients with labels.
    is_the_base
        Whether held-out patients were served best by the old model, so that the new one is the same.
    """
    if is_the_base:
        return Verdict(
            False, (), ("Held-out patients were served best by the base, so the version would be the same.",)
        )
    declines = _declines(before, after)
    single = n_patients < 2
    reasons = list(declines)
    if single:
        reasons.append("One patient is labelled: whether other hearts gain cannot be known.")
    elif validation is Validation.SEEN:
        reasons.append("No study was held out: the figures are of labels that the model has seen.")
    if declines:
        return Verdict(True, (Scope.STUDY,) if single else (), tuple(reasons))
    if single or validation is Validation.SEEN:
        return Verdict(False, (Scope.STUDY,), tuple(reasons))
    return Verdict(False, (Scope.PROJECT, Scope.STUDY), tuple(reasons))


def _declines(before: Figures, after: Figures) -> list[str]:
    """All that got worse, one sentence each."""
    found = []
    if before.mean_dice is None or after.mean_dice is None:
        # Only background was labelled: the loss is all there is to compare.
        if after.loss > before.loss:
            found.append(f"The loss rose from {before.loss:.3f} to {after.loss:.3f}.")
        return found
    if after.mean_dice < before.mean_dice - DICE_TOLERANCE:
        found.append(f"Mean Dice fell from {before.mean_dice:.3f} to {after.mean_dice:.3f}.")
    for structure in FOREGROUND:
        old, new = before.dice.get(structure.key), after.dice.get(structure.key)
        if old is not None and new is not None and new < old - STRUCTURE_TOLERANCE:
            found.append(f"{structure.display_name}: Dice fell from {old:.3f} to {new:.3f}.")
    for ventricle in VENTRICLES:
        old, new = before.ef_error_points.get(ventricle.key), after.ef_error_points.get(ventricle.key)
        if old is not None and new is not None and new > old + max(EF_TOLERANCE_POINTS, EF_TOLERANCE_SHARE * old):
            found.append(
                f"{ventricle.key.upper()} ejection fraction: the error rose from {old:.1f} to {new:.1f} points."
            )
    return found
