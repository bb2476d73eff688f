"""Signs that a slice is drawn wrong, from the labels alone, and from how unsure the model was and how it took mirrors.

Each sign has a strength, 0 to 1: how far it makes the slice doubtful by itself. They are rules of anatomy and of the
beat: one ring of muscle around one cavity, areas that change evenly along the heart and over the beat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.measure.plane_rules import cut_to_heart, hole_share, open_share, share_apart, shows_heart
from cinema_core.mirror_answers import MirrorAnswers

Labels = NDArray[np.uint8]
Slice = tuple[int, int]

CAVITIES: Final = (Structure.LV_CAVITY, Structure.RV_CAVITY)

HARMONICS: Final = 3
"""A volume curve is smooth: three waves per beat follow filling, diastasis and atrial kick."""

FEWEST_PHASES: Final = 9
"""Fewer points than this are met by three harmonics almost whatever they are."""

DIFFERS_IN_MIRRORS: Final = "the model draws it differently when the image is mirrored"

LEAST_STRENGTH: Final = 0.05
"""Weaker signs are not worth a word."""


@dataclass(frozen=True)
class Sign:
    """One reason to look at a slice.

    Attributes
    ----------
    strength
        0 to 1.
    reason
        For the reader, without a full stop.
    """

    strength: float
    reason: str


def signs_of(
    labels: Labels,
    uncertainty: NDArray[np.floating] | None,
    phases: Iterable[int],
    ed_es: Sequence[int] = (),
    mirrors: MirrorAnswers | None = None,
) -> dict[Slice, list[Sign]]:
    """Find all signs on the slices of a cine, the strongest of each slice first.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    uncertainty
        Shape (t, z), 0 to 1; NaN where it is not known; None if it was not kept.
    phases
        Phases that are drawn.
    ed_es
        Frame indices of ED and ES, as far as known.
    mirrors
        How differently the model drew mirror images; None if it was shown none.
    """
    drawn = sorted(phases)
    areas = {s: (labels == s).sum(axis=(2, 3)).astype(float) for s in CAVITIES}  # (t, z)
    hearts = np.asarray(shows_heart(labels).any(axis=(2, 3)))  # (t, z)
    off_beat = _off_the_beat(areas, drawn)
    found: dict[Slice, list[Sign]] = {}
    for t in drawn:
        for z in range(labels.shape[1]):
            signs = [*_along_the_heart(areas, hearts, t, z), *off_beat.get((t, z), ())]
            if hearts[t, z]:
                plane = cut_to_heart(labels[t, z])
                signs += _in_the_plane(plane.tobytes(), plane.shape)
                if uncertainty is not None and np.isfinite(uncertainty[t, z]):
                    signs.append(_unsure(float(uncertainty[t, z])))
                if mirrors is not None and np.isfinite(mirrors.disagreement[t, z]):
                    signs.append(_differs_in_mirrors(float(mirrors.disagreement[t, z])))
            if len(ed_es) == 2 and t in ed_es:
                signs += _paradoxical(areas, hearts, z, *ed_es)
            found[t, z] = sorted((s for s in signs if s.strength >= LEAST_STRENGTH), key=lambda s: -s.strength)
    return found


def doubt_of(signs: Iterable[Sign]) -> float:
    """How doubtful a slice is, 0 to 1: each sign leaves only a part of the trust that the others left."""
    return 1 - float(np.prod([1 - sign.strength for sign in signs]))


def _unsure(uncertainty: float) -> Sign:
    return Sign(_ramp(uncertainty, 0.08, 0.6), "the model is unsure of the borders")


def _differs_in_mirrors(disagreement: float) -> Sign:
    # Chosen on every second ACDC patient, measured on the others: docs/decisions/006-mirrors-in-review.md.
    return Sign(_ramp(disagreement, 0.03, 0.25), DIFFERS_IN_MIRRORS)


@lru_cache(maxsize=8192)
def _in_the_plane(data: bytes, shape: tuple[int, int]) -> tuple[Sign, ...]:
    """Signs within one slice that shows a heart; by its bytes, for all but one slice are the same at the next look."""
    plane = np.frombuffer(data, dtype=np.uint8).reshape(shape)
    signs = [Sign(_ramp(open_share(plane), 0.1, 0.6), "the ring of muscle around the LV is open")]
    for structure in (*CAVITIES, Structure.LV_MYOCARDIUM):
        apart = share_apart(plane == structure)
        signs.append(Sign(_ramp(apart, 0.02, 0.35), f"the {structure.display_name} is in several pieces"))
    signs.append(Sign(_ramp(hole_share(plane), 0.005, 0.1), "there is a hole in the heart"))
    has_lv, has_muscle = ((plane == s).any() for s in (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM))
    if has_lv and not has_muscle:
        signs.append(Sign(0.6, "an LV cavity without muscle around it"))
    if (plane == Structure.RV_CAVITY).any() and not has_lv and not has_muscle:
        signs.append(Sign(0.4, "an RV without an LV beside it"))
    return tuple(signs)


def _along_the_heart(
    areas: dict[Structure, NDArray[np.float64]], hearts: NDArray[np.bool_], t: int, z: int
) -> list[Sign]:
    """Compare a slice with its neighbours along the stack."""
    with_heart = np.flatnonzero(hearts[t])
    if not with_heart.size or not with_heart[0] <= z <= with_heart[-1]:
        return []
    if not hearts[t, z]:
        return [Sign(0.9, "no heart here, but on both sides")]
    signs = []
    if z in (with_heart[0], with_heart[-1]):
        signs.append(Sign(0.2, "the last slice at this end of the heart may be in or out"))
    if 0 < z < hearts.shape[1] - 1:
        for structure in CAVITIES:
            before, here, after = areas[structure][t, z - 1 : z + 2]
            if before > 0 and after > 0:
                usual = (before + after) / 2
                jump = abs(here - usual) / max(here, usual)
                words = "larger" if here > usual else "smaller"
                reason = f"the {structure.display_name} is much {words} than on both sides"
                signs.append(Sign(_ramp(jump, 0.25, 0.8), reason))
    return signs


def _paradoxical(
    areas: dict[Structure, NDArray[np.float64]], hearts: NDArray[np.bool_], z: int, ed: int, es: int
) -> list[Sign]:
    """Find cavities that grow from ED to ES."""
    signs = []
    if hearts[ed, z] and hearts[es, z]:
        for structure in CAVITIES:
            at_ed, at_es = areas[structure][ed, z], areas[structure][es, z]
            if at_es > at_ed > 0:
                growth = (at_es - at_ed) / at_es
                signs.append(Sign(_ramp(growth, 0.0, 0.5), f"the {structure.display_name} is larger at ES than at ED"))
    return signs


def _off_the_beat(areas: dict[Structure, NDArray[np.float64]], drawn: Sequence[int]) -> dict[Slice, list[Sign]]:
    """Find slices whose cavity leaves its own smooth course over the beat; only where all phases are drawn."""
    n_phases, n_slices = next(iter(areas.values())).shape
    found: dict[Slice, list[Sign]] = {}
    if len(drawn) < n_phases or n_phases < FEWEST_PHASES:
        return found
    for structure in CAVITIES:
        area = areas[structure]
        waves = np.fft.rfft(area, axis=0)
        waves[HARMONICS + 1 :] = 0
        away = area - np.fft.irfft(waves, n=n_phases, axis=0)
        for z in range(n_slices):
            # A slice that the base leaves and enters again jumps by anatomy.
            if not area[:, z].all():
                continue
            share = np.abs(away[:, z]) / max(area[:, z].mean(), 0.2 * area.mean(axis=0).max())
            for t in range(n_phases):
                reason = f"the {structure.display_name} jumps from one phase to the next"
                found.setdefault((t, z), []).append(Sign(_ramp(float(share[t]), 0.08, 0.4), reason))
    return found


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to ``low``, then evenly up to 0.95 at ``high``: nothing that can be seen in the labels is certain."""
    return 0.95 * float(np.clip((value - low) / (high - low), 0, 1))
