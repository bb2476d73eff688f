"""Two readings of one study: how their borders, measures and slices differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND, VENTRICLES, Structure
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.measure.agreement import dice, hd95_mm, mean_surface_distance_mm
from cinema_core.measure.function import VentricularFunction
from cinema_core.measure.volumes import Curve

COMPARED_MEASURES: Final = (
    "lv_edv_ml",
    "lv_esv_ml",
    "lv_sv_ml",
    "lv_ef_pct",
    "lv_mass_g",
    "rv_edv_ml",
    "rv_esv_ml",
    "rv_sv_ml",
    "rv_ef_pct",
)
"""Values of :class:`~cinema_core.measure.VentricularFunction` that follow from labels alone."""

ED_ES: Final = ("ed", "es")


@dataclass(frozen=True, eq=False)
class MeasuredLabels:
    """One reading of a cine.

    Attributes
    ----------
    labels
        uint8, shape (t, z, y, x).
    function
        What :func:`~cinema_core.measure.ventricular_function` found in them.
    """

    labels: NDArray[np.uint8]
    function: VentricularFunction


@dataclass(frozen=True)
class StructureAgreement:
    """How two readings draw a structure on one phase.

    Attributes
    ----------
    phase
        ``ed`` or ``es``, as the first reading has it.
    t
        Its frame, from 0; None if the first reading has no such phase.
    dice, hd95_mm, mean_surface_mm
        None where a reading did not draw the structure there.
    """

    structure: Structure
    phase: str
    t: int | None
    dice: float | None
    hd95_mm: float | None
    mean_surface_mm: float | None


@dataclass(frozen=True)
class MeasureDifference:
    """One measure of both readings; None where it is not known."""

    measure: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class SliceShare:
    """What one slice contributes to the difference of a ventricle's volumes and EF, second minus first.

    Attributes
    ----------
    cavity
        LV or RV cavity.
    edv_ml, esv_ml
        Difference of the cavity on this slice at ED and ES, each reading at its own phases.
    ef_points
        Share of the difference in EF; those of all slices add up to it.
    """

    cavity: Structure
    z: int
    edv_ml: float
    esv_ml: float
    ef_points: float


@dataclass(frozen=True)
class RuleDifference:
    """A rule of measuring that the two readings do not share; both as they are printed."""

    rule: str
    first: str
    second: str


@dataclass(frozen=True)
class ReadingComparison:
    """Second reading against the first.

    Attributes
    ----------
    rules
        Rules that differ: part of the difference in the measures is theirs. Empty if both were measured alike.
    slices
        Of both ventricles, those that move EF most first; empty for a ventricle of which a reading has no EF.
    """

    structures: tuple[StructureAgreement, ...]
    measures: tuple[MeasureDifference, ...]
    slices: tuple[SliceShare, ...]
    rules: tuple[RuleDifference, ...] = ()


def compare_readings(cine: Cine, first: MeasuredLabels, second: MeasuredLabels) -> ReadingComparison:
    """Compare two readings of one cine: two readers, two models, contours from elsewhere.

    Borders are compared on the phases that the first reading calls ED and ES, the RV cavity on its own; measures
    are those of each reading at its own phases.

    Raises
    ------
    LabelError
        If a reading is not on the grid of the cine.
    GeometryError
        If the distance between slices is not known, or the slices are no stack.
    """
    for reading in (first, second):
        if reading.labels.shape != cine.shape:
            raise LabelError(f"Labels of shape {reading.labels.shape} are not of the cine {cine.id}, {cine.shape}.")
    slices = [share for cavity in VENTRICLES for share in ef_difference_by_slice(cine, first, second, cavity)]
    return ReadingComparison(
        structures=tuple(
            _agreement(cine, first, second, structure, phase) for structure in FOREGROUND[::-1] for phase in ED_ES
        ),
        measures=tuple(
            MeasureDifference(name, getattr(first.function, name), getattr(second.function, name))
            for name in COMPARED_MEASURES
        ),
        slices=tuple(
            sorted(slices, key=lambda share: (share.cavity is not Structure.LV_CAVITY, -abs(share.ef_points)))
        ),
        rules=rule_differences(first.function, second.function),
    )


def rule_differences(first: VentricularFunction, second: VentricularFunction) -> tuple[RuleDifference, ...]:
    """Rules by which two readings were measured that are not the same."""
    pairs = (
        ("areas", first.method.areas, second.method.areas),
        ("end slices", first.method.ends, second.method.ends),
        ("papillary muscles", first.convention, second.convention),
        ("body surface formula", first.bsa_formula, second.bsa_formula),
    )
    return tuple(RuleDifference(rule, str(one), str(other)) for rule, one, other in pairs if one != other)


def ef_difference_by_slice(
    cine: Cine, first: MeasuredLabels, second: MeasuredLabels, cavity: Structure
) -> tuple[SliceShare, ...]:
    """Split the difference of two ejection fractions among the slices.

    EF = 1 - ESV / EDV. What each of the two volumes contributes is its Shapley value, the mean over both orders in
    which the volumes can be exchanged; both are linear in the volume, so that a slice takes its part by its
    millilitres, and all parts add up to the difference.

    Parameters
    ----------
    cavity
        LV or RV cavity.

    Returns
    -------
    One share per slice, base to apex as the cine counts; empty where a reading has no EF.

    References
    ----------
    Shapley, A value for n-person games, Contributions to the Theory of Games 2:307 (1953).
    """
    volumes = [_slice_volumes_ml(cine, reading, cavity) for reading in (first, second)]
    (ed_1, es_1), (ed_2, es_2) = volumes
    edv_1, esv_1, edv_2, esv_2 = (float(volume.sum()) for volume in (ed_1, es_1, ed_2, es_2))
    if min(edv_1, edv_2) <= 0 or not np.isfinite([edv_1, esv_1, edv_2, esv_2]).all():
        return ()
    per_ed_ml = 100 * (esv_1 + esv_2) / 2 / (edv_1 * edv_2)
    per_es_ml = -100 * (1 / edv_1 + 1 / edv_2) / 2
    return tuple(
        SliceShare(cavity, z, float(ed), float(es), float(per_ed_ml * ed + per_es_ml * es))
        for z, (ed, es) in enumerate(zip(ed_2 - ed_1, es_2 - es_1, strict=True))
    )


def _slice_volumes_ml(cine: Cine, reading: MeasuredLabels, cavity: Structure) -> tuple[Curve, Curve]:
    """Volume of a cavity on each slice at the reading's ED and ES; NaN where it was not measured."""
    found = []
    for phase in ED_ES:
        t = _phase_of(reading.function, cavity, phase)
        if t is None or not np.isfinite(_curve_of(reading.function, cavity)[t]):
            found.append(np.full(cine.n_slices, np.nan))
            continue
        # Not counted again: the reading has rules of its own for areas and end slices.
        found.append(reading.function.curve.slice_ml[t, :, cavity])
    return found[0], found[1]


def _agreement(
    cine: Cine, first: MeasuredLabels, second: MeasuredLabels, structure: Structure, phase: str
) -> StructureAgreement:
    t = _phase_of(first.function, structure, phase)
    if t is None or not all(_is_drawn(_curve_of(one.function, structure), t) for one in (first, second)):
        return StructureAgreement(structure, phase, t, None, None, None)
    step_mm = float(np.median(cine.geometry.slice_extent_mm()))
    spacing_mm = (step_mm, *cine.geometry.pixel_spacing_mm)
    drawn, other = first.labels[t], second.labels[t]
    return StructureAgreement(
        structure,
        phase,
        t,
        _known(dice(other, drawn, structure)),
        _known(hd95_mm(other, drawn, structure, spacing_mm)),
        _known(mean_surface_distance_mm(other, drawn, structure, spacing_mm)),
    )


def _is_drawn(volume_ml: Curve, t: int) -> bool:
    """Whether a reading says where a structure is at a phase; one that is nowhere in the beat was not drawn."""
    return bool(np.isfinite(volume_ml[t]) and np.nanmax(volume_ml) > 0)


def _phase_of(function: VentricularFunction, structure: Structure, phase: str) -> int | None:
    name = f"rv_{phase}_phase" if structure is Structure.RV_CAVITY else f"{phase}_phase"
    t: int | None = getattr(function, name)
    return t


def _curve_of(function: VentricularFunction, structure: Structure) -> Curve:
    curve = function.curve
    return {
        Structure.LV_CAVITY: curve.lv_ml,
        Structure.RV_CAVITY: curve.rv_ml,
        Structure.LV_MYOCARDIUM: curve.myo_ml,
    }[structure]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
