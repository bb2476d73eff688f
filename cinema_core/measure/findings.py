"""Flags with their place and reason, as a traffic light: what raised each, on which slice, by how much.

Limits were set on experts' labels of 30 ACDC patients at ED and ES; beside each stands how many of them it would flag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from cinema_core.anatomy import Structure, may_hold
from cinema_core.cine import Cine
from cinema_core.measure.drivers import EfDriver
from cinema_core.measure.function import VentricularFunction
from cinema_core.measure.plane_rules import (
    cut_to_heart,
    drawn_part,
    farthest_piece_mm,
    hole_share,
    open_share,
    share_apart,
)
from cinema_core.measure.quality import FEW_PHASES, HEART_RATE_BPM, Flag
from cinema_core.measure.volumes import Curve

OPEN_SHARE: Final = 0.05
"""Of the cavity's border that is not muscle; 0 of 30."""

LOST_SHARE: Final = 0.3
"""More of it than the outflow tract opens: the cavity is drawn outside the muscle; 0 of 30."""

APART_SHARE: Final = 0.02
"""Of a cavity that is not in its largest piece; 0 of 30."""

HOLE_SHARE: Final = 0.005
"""Of the heart; 0 of 30."""

AWAY_MM: Final = 10.0
"""From the LV; in 30 patients no piece lies farther than 5 mm."""

AREA_JUMP: Final = {Structure.LV_CAVITY: 0.4, Structure.RV_CAVITY: 0.5}
"""Difference from the mean of both neighbours, relative to the larger; 1 and 3 of 30."""

MINIMUM_DEPTH: Final = 0.15
"""How deep a second minimum of the curve is, relative to the stroke volume, to be more than noise."""

UNSURE_ABOVE: Final = 0.35
"""Mean entropy on the predicted heart, 0 to 1."""

ONE_SLICE_PCT: Final = 5.0
"""Points of ejection fraction: readers differ by 4.6 to 7.5 (Suinesiaputra et al., JCMR 17:63, 2015); 8 of 30."""

FEWEST_SLICES: Final = 6
"""With LV and muscle; the gate of the UK Biobank analysis. 0 of 30."""


class Light(StrEnum):
    """How much a flag weighs; green means that every rule was tried and none was broken."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


NOTHING_FOUND: Final = f"nothing stands out by {len(Flag)} rules"

RED_FLAGS: Final = frozenset(
    {
        Flag.NO_LV,
        Flag.NO_MYOCARDIUM,
        Flag.LV_NOT_SMALLER,
        Flag.LV_EF_TOO_HIGH,
        Flag.LV_GAP,
        Flag.RV_NOT_SMALLER,
        Flag.BODY_SURFACE,
        Flag.RV_AWAY,
        Flag.RING_LOST,
        Flag.RV_TOUCHES_LV,
    }
)
"""Those with which a figure is wrong unless the reader knows better; all others ask for a look."""


@dataclass(frozen=True)
class Finding:
    """One flag at one place.

    Attributes
    ----------
    detail
        Figures and place in words, without a full stop; empty where the flag says all.
    t, z
        Where to look, from 0; None where it is not of one phase or slice.
    """

    flag: Flag
    detail: str = ""
    t: int | None = None
    z: int | None = None

    @property
    def light(self) -> Light:
        """Red where a figure is wrong unless the reader knows better, else amber."""
        return Light.RED if self.flag in RED_FLAGS else Light.AMBER

    @property
    def text(self) -> str:
        """Flag and detail in one line."""
        return f"{self.flag}: {self.detail}" if self.detail else str(self.flag)


def light_of(findings: Iterable[Finding]) -> Light:
    """Return the worst light; green if nothing was found."""
    lights = {finding.light for finding in findings}
    return next((light for light in (Light.RED, Light.AMBER) if light in lights), Light.GREEN)


def find(
    labels: NDArray[np.uint8],
    cine: Cine,
    function: VentricularFunction,
    drivers: Sequence[EfDriver] = (),
    uncertainty: NDArray[np.floating] | None = None,
    without_papillary: Sequence[int] = (),
) -> tuple[Finding, ...]:
    """Try every rule; red first, then in the order of :class:`~cinema_core.measure.Flag`.

    Slices are looked at where something is reported from: ED and ES of each ventricle.

    Parameters
    ----------
    labels
        Shape (t, z, y, x), on the grid of the cine.
    function
        Measured from these labels.
    drivers
        Slices by what they do to the LV's ejection fraction.
    uncertainty
        Of the model, shape (t, z), 0 to 1; NaN where a reader vouched for the slice or nothing is known.
    without_papillary
        Slices from 0 on which papillary muscles were to be found and could not be.
    """
    found = [Finding(Flag.PAPILLARY_NOT_SOUGHT, f"slice {z + 1}", function.ed_phase, z) for z in without_papillary]
    names = phase_names(function)
    labels = labels[:, :, *drawn_part(labels, names)]
    has_wall = any((labels[t] == Structure.LV_MYOCARDIUM).any() for t in names)
    for t, name in names.items():
        for z in range(cine.n_slices):
            is_ring = has_wall and not may_hold(labels[t, z], Structure.LV_MYOCARDIUM).any()
            found += _in_the_plane(labels[t, z], cine, t, z, f"slice {z + 1} at {name}", is_ring=is_ring)
        found += _along_the_heart(labels[t], t, name)
        if uncertainty is not None:
            found += [
                Finding(Flag.UNSURE, f"slice {z + 1} at {name}, {uncertainty[t, z]:.2f} of 1", t, z)
                for z in np.flatnonzero(np.nan_to_num(uncertainty[t]) > UNSURE_ABOVE).tolist()
            ]
    if cine.phases_with_gaps:
        gaps = ", ".join(str(t + 1) for t in cine.phases_with_gaps)
        found.append(Finding(Flag.MISSING_IMAGES, f"phases {gaps}", cine.phases_with_gaps[0]))
    found += _of_the_beat(cine, function)
    found += _of_the_slices(labels, function, drivers, names)
    placed = {finding.flag for finding in found}
    found += [
        Finding(flag, _figures(flag, function, cine), function.ed_phase)
        for flag in function.flags
        if flag not in placed
    ]
    order = list(Flag)
    return tuple(sorted(found, key=lambda f: (f.light is not Light.RED, order.index(f.flag), f.t or 0, f.z or 0)))


def phase_names(function: VentricularFunction) -> dict[int, str]:
    """Name of each phase that something is reported from: ``ED (phase 1)``, ``RV ES (phase 9)``; by frame."""
    chosen = {
        "ED": function.ed_phase,
        "ES": function.es_phase,
        "RV ED": function.rv_ed_phase,
        "RV ES": function.rv_es_phase,
    }
    names: dict[int, str] = {}
    for name, t in chosen.items():
        if t is not None:
            names.setdefault(t, f"{name} (phase {t + 1})")
    return names


def _in_the_plane(
    plane: NDArray[np.uint8], cine: Cine, t: int, z: int, where: str, *, is_ring: bool
) -> Iterator[Finding]:
    # Who drew the cavity alone left the ring open by intent.
    heart = cut_to_heart(plane)
    if not heart.size:
        return
    if is_ring and (opened := open_share(heart)) > OPEN_SHARE:
        flag = Flag.RING_LOST if opened > LOST_SHARE else Flag.RING_OPEN
        yield Finding(flag, f"{where}, {100 * opened:.0f} % of the cavity's border is not muscle", t, z)
    if (touching := open_share(heart, Structure.RV_CAVITY)) > 0:
        yield Finding(Flag.RV_TOUCHES_LV, f"{where}, over {100 * touching:.0f} % of the LV's border", t, z)
    for structure, flag in ((Structure.LV_CAVITY, Flag.LV_PIECES), (Structure.RV_CAVITY, Flag.RV_PIECES)):
        if (apart := share_apart(heart == structure)) > APART_SHARE:
            yield Finding(flag, f"{where}, {100 * apart:.0f} % of it lies apart", t, z)
    if (away_mm := farthest_piece_mm(heart, cine.geometry.planes[z].spacing_mm)) > AWAY_MM:
        yield Finding(Flag.RV_AWAY, f"{where}, {away_mm:.0f} mm from the LV", t, z)
    if (hole := hole_share(heart)) > HOLE_SHARE:
        yield Finding(Flag.HOLE, f"{where}, {100 * hole:.1f} % of the heart", t, z)


def _along_the_heart(frame: NDArray[np.uint8], t: int, name: str) -> Iterator[Finding]:
    """Compare the slices of one phase, (z, y, x), with each other."""
    for structure, gap in ((Structure.LV_CAVITY, Flag.LV_GAP), (Structure.RV_CAVITY, Flag.RV_GAP)):
        area = np.count_nonzero(frame == structure, axis=(1, 2)).astype(float)
        shown = np.flatnonzero(area)
        for z in range(int(shown[0]) + 1, int(shown[-1])) if shown.size else ():
            if not area[z]:
                yield Finding(gap, f"slice {z + 1} at {name}", t, z)
                continue
            usual = (area[z - 1] + area[z + 1]) / 2
            jump = abs(area[z] - usual) / max(area[z], usual)
            if area[z - 1] and area[z + 1] and jump > AREA_JUMP[structure]:
                words = "larger" if area[z] > usual else "smaller"
                detail = (
                    f"{structure.display_name} on slice {z + 1} at {name} is {100 * jump:.0f} % {words} than beside it"
                )
                yield Finding(Flag.AREA_JUMP, detail, t, z)


def _of_the_beat(cine: Cine, function: VentricularFunction) -> Iterator[Finding]:
    volume_ml = function.curve.lv_ml
    if cine.phase_names or len(volume_ml) < FEW_PHASES or not np.isfinite(volume_ml).all():
        return
    minima = _minima(volume_ml)
    if len(minima) > 1:
        phases = ", ".join(str(t + 1) for t in minima)
        other = next((t for t in minima if t != function.es_phase), minima[0])
        yield Finding(Flag.SEVERAL_MINIMA, f"at phases {phases}", other)


def _minima(volume_ml: Curve) -> list[int]:
    """Frames at which a curve that closes on itself has a minimum that is more than noise."""
    n, depth = len(volume_ml), MINIMUM_DEPTH * float(np.ptp(volume_ml))
    if depth <= 0:
        return []
    # Begun and ended at its maximum, every minimum of the beat has both its slopes.
    start = int(volume_ml.argmax())
    peaks, _ = find_peaks(-np.append(np.roll(volume_ml, -start), volume_ml[start]), prominence=depth)
    return sorted((int(k) + start) % n for k in peaks)


def _of_the_slices(
    labels: NDArray[np.uint8], function: VentricularFunction, drivers: Sequence[EfDriver], names: dict[int, str]
) -> Iterator[Finding]:
    for driver in drivers:
        if driver.without_pct is None or function.lv_ef_pct is None:
            continue
        change = driver.without_pct - function.lv_ef_pct
        if abs(change) > ONE_SLICE_PCT:
            basal = ", the most basal one" if driver.is_basal else ""
            detail = f"without slice {driver.z + 1}{basal} it would be {driver.without_pct:.1f} %, {change:+.1f} points"
            yield Finding(Flag.EF_RESTS_ON_SLICE, detail, function.ed_phase, driver.z)
    if function.ed_phase is None:
        return
    frame = labels[function.ed_phase]
    shown = [(frame == s).any(axis=(1, 2)) for s in (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM)]
    n_slices = int(np.count_nonzero(shown[0] & shown[1]))
    if 0 < n_slices < FEWEST_SLICES and shown[1].any():
        where = names[function.ed_phase]
        yield Finding(Flag.FEW_SLICES, f"{n_slices} at {where}, usual are {FEWEST_SLICES} and more", function.ed_phase)
    if Flag.LV_ONLY_AT_ES in function.flags and function.es_phase is not None:
        at_ed, at_es = (
            (labels[t] == Structure.LV_CAVITY).any(axis=(1, 2)) for t in (function.ed_phase, function.es_phase)
        )
        for z in np.flatnonzero(at_es & ~at_ed).tolist():
            yield Finding(Flag.LV_ONLY_AT_ES, f"slice {z + 1}", function.ed_phase, z)


def _figures(flag: Flag, function: VentricularFunction, cine: Cine) -> str:
    """Figures behind a flag of volumes or timing; empty where the flag says all."""
    if flag is Flag.LV_EF_TOO_HIGH:
        return f"{function.lv_ef_pct:.1f} %"
    if flag is Flag.STROKE_VOLUMES_DIFFER:
        return f"LV {function.lv_sv_ml:.2f} ml, RV {function.rv_sv_ml:.2f} ml"
    if flag is Flag.HEART_RATE:
        return f"{function.heart_rate_bpm:.0f} per minute, usual are {HEART_RATE_BPM[0]:g} to {HEART_RATE_BPM[1]:g}"
    if flag is Flag.BODY_SURFACE:
        bsa_m2 = cine.patient.body_surface_m2(function.bsa_formula)
        return f"{bsa_m2:.2f} m2 from height and weight; nothing is indexed to it"
    if flag is Flag.MASS_CHANGES and function.ed_phase is not None and function.es_phase is not None:
        ed, es = (function.curve.myo_ml[t] for t in (function.ed_phase, function.es_phase))
        return f"muscle {ed:.1f} ml at ED, {es:.1f} ml at ES"
    return ""
