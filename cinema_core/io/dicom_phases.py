"""Third step of opening DICOM: order the phases of every slice, align the slices, and find the length of the beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Timing
from cinema_core.io.dicom_headers import ImageHeader
from cinema_core.io.dicom_stacks import Stack
from cinema_core.io.dicom_tracks import Track, counted

TRIGGER_RANGE_MS: Final = 2000.0
"""Philips writes the start of a dynamic scan (308000 ms) or the inversion time into TriggerTime
(dcm2niix issues 395, 408, 499): times of one beat do not spread further than this."""

SAME_MOMENT: Final = 0.25
"""Images taken at the phases of the other slices lie this near to them, in steps between phases."""

MOST_LOST: Final = 1.2
"""A fuller slice counts as the whole cycle if it has no more than 20 % more phases: one that was taken with twice
as many was taken otherwise."""

Row = tuple[ImageHeader | None, ...]
"""Images of one slice in the order of the phases; None where a phase is missing."""


@dataclass(frozen=True)
class Rule:
    """What phases can be ordered by."""

    name: str
    value_of: Callable[[ImageHeader], float | None]

    def values(self, track: Track) -> NDArray[np.float64] | None:
        """Values of a track's images; None unless each has one, no two share it, and they can be believed."""
        known = [value for value in map(self.value_of, track.images) if value is not None]
        if len(known) < track.n_images or len(set(known)) < track.n_images:
            return None
        if self.name == "trigger time" and max(known) - min(known) > TRIGGER_RANGE_MS:
            return None
        return np.array(known, dtype=np.float64)


RULES: Final = (
    Rule("trigger time", lambda header: header.trigger_ms),
    Rule("temporal position", lambda header: header.temporal_position),
    Rule("acquisition time", lambda header: header.acquisition_s),
    Rule("instance number", lambda header: header.instance_number),
    Rule("file order", lambda header: None),
)
"""Best first; the last is what remains when files say nothing of their order."""

TRIGGER, FILE_ORDER = RULES[0], RULES[-1]


@dataclass(frozen=True, eq=False)
class OrderedStack:
    """A stack whose images are in their places.

    Attributes
    ----------
    rows
        Images by slice, then by phase; all rows are equally long.
    """

    rows: tuple[Row, ...]
    timing: Timing
    warnings: tuple[str, ...] = ()

    @property
    def n_phases(self) -> int:
        """Number of phases."""
        return len(self.rows[0])


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Images of one slice in order, by the best rule that holds for it."""

    rule: Rule
    images: tuple[ImageHeader, ...]

    @property
    def trigger_ms(self) -> NDArray[np.float64]:
        return np.array([image.trigger_ms for image in self.images], dtype=np.float64)


def order_phases(stack: Stack) -> OrderedStack:
    """Order the images of every slice by its best rule, and bring all slices to the phases of most.

    A slice with other phases is aligned by the fraction of the cycle. Where its images are those of the others
    with some missing, these stay missing. Where it was taken with more or fewer phases, each phase shows the
    nearest image; none is computed from others.

    Parameters
    ----------
    stack
        Slices with their images in any order.

    Returns
    -------
    Rows of images, the timing, and warnings for the reader.
    """
    slices = [_in_order(track) for track in stack.tracks]
    n_phases = _full_number(slices, stack.n_phases)
    usual = [ordered for ordered in slices if len(ordered.images) == n_phases]
    rows: list[Row] = []
    aligned: dict[int, int] = {}
    for z, ordered in enumerate(slices):
        row = ordered.images if len(ordered.images) == n_phases else _with_gaps(ordered, usual, n_phases)
        if row is None:
            row = _nearest_in_cycle(ordered.images, n_phases)
            aligned[z] = len(ordered.images)
        rows.append(row)
    warnings = (*_order_warnings(slices), *_alignment_warnings(aligned, n_phases), *_gap_warnings(rows))
    return OrderedStack(tuple(rows), _timing(slices, usual, rows), warnings)


def _full_number(slices: Sequence[_Ordered], usual: int) -> int:
    """Return the number of phases of the whole cycle: that of most slices, or of a fuller one if these lack some."""
    for n in sorted({len(ordered.images) for ordered in slices}, reverse=True):
        full = [ordered for ordered in slices if len(ordered.images) == n]
        others = [ordered for ordered in slices if len(ordered.images) < n]
        if usual < n <= MOST_LOST * usual and all(_with_gaps(ordered, full, n) for ordered in others):
            return n
    return usual


def order_track(track: Track) -> OrderedStack:
    """Order the images of one slice alone."""
    ordered = _in_order(track)
    rows = (ordered.images,)
    return OrderedStack(rows, _timing([ordered], [ordered], rows), tuple(_order_warnings([ordered])))


def _in_order(track: Track) -> _Ordered:
    for rule in RULES:
        values = rule.values(track)
        if values is not None:
            return _Ordered(rule, tuple(track.images[k] for k in np.argsort(values, kind="stable")))
    return _Ordered(FILE_ORDER, track.images)


def _with_gaps(short: _Ordered, usual: Sequence[_Ordered], n_phases: int) -> Row | None:
    """Row with gaps, if a slice's images are those of the other slices without some of them."""
    if len(short.images) > n_phases:
        return None
    places = _places(short, [other for other in usual if other.rule is short.rule])
    if places is None or len(set(places)) < len(places) or min(places) < 0 or max(places) >= n_phases:
        return None
    found = dict(zip(places, short.images, strict=True))
    return tuple(found.get(t) for t in range(n_phases))


def _places(short: _Ordered, usual: Sequence[_Ordered]) -> list[int] | None:
    """Phases at which a slice's images were taken, if they are phases of the other slices."""
    if not usual:
        return None
    if short.rule is TRIGGER:
        return _places_in_beat(short, usual)
    if short.rule.name == "temporal position":
        known = [image.temporal_position for image in usual[0].images]
        wanted = [image.temporal_position for image in short.images]
        return [known.index(value) for value in wanted] if set(wanted) <= set(known) else None
    if short.rule.name == "instance number":
        return _places_by_number(short, usual)
    return None


def _places_in_beat(short: _Ordered, usual: Sequence[_Ordered]) -> list[int] | None:
    """By trigger time as a fraction of the beat: breath-holds differ in heart rate."""
    beats = [_beat_ms(other) for other in usual]
    grid = np.median([other.trigger_ms / beat for other, beat in zip(usual, beats, strict=True)], axis=0)  # (t,)
    beat = _stated_ms(short) or float(np.median(beats))
    fractions = short.trigger_ms / beat
    places = np.abs(fractions[:, None] - grid[None]).argmin(axis=1)
    step = float(np.median(np.diff(grid)))
    off_by_gaps = np.abs(fractions - grid[places]).max() / step
    # The other explanation: the same cycle in fewer phases.
    whole = np.interp(np.arange(len(fractions)) * len(grid) / len(fractions), np.arange(len(grid)), grid)
    off_by_phases = np.abs(fractions - whole).max() / step
    return [int(t) for t in places] if off_by_gaps <= min(SAME_MOMENT, off_by_phases) else None


def _places_by_number(short: _Ordered, usual: Sequence[_Ordered]) -> list[int] | None:
    """By number, if the other slices count evenly: slice after slice, or phase after phase through all slices."""
    numbers = [_numbers(other) for other in usual]
    steps = {float(step) for values in numbers for step in np.diff(values)}
    if len(steps) != 1:
        return None
    step, n_phases = steps.pop(), len(usual[0].images)
    wanted = _numbers(short)
    if step == 1:
        starts = {float(values[0] % n_phases) for values in numbers}
        return [int(value) for value in (wanted - starts.pop()) % n_phases] if len(starts) == 1 else None
    first = min(float(values[0]) for values in [*numbers, wanted])
    return [int(value) for value in (wanted - first) // step]


def _numbers(ordered: _Ordered) -> NDArray[np.float64]:
    return np.array([image.instance_number for image in ordered.images], dtype=np.float64)


def _nearest_in_cycle(images: Sequence[ImageHeader], n_phases: int) -> Row:
    """Image nearest to every phase; both count the cycle from the R wave in even steps."""
    n_images = len(images)
    return tuple(images[round(t * n_images / n_phases) % n_images] for t in range(n_phases))


def _timing(slices: Sequence[_Ordered], usual: Sequence[_Ordered], rows: Sequence[Row]) -> Timing:
    timed = [ordered.trigger_ms for ordered in usual if ordered.rule is TRIGGER]
    moving = len(rows[0]) > 1
    by_slice = [
        tuple(np.nan if image is None or ordered.rule is not TRIGGER else float(image.trigger_ms or 0) for image in row)
        for ordered, row in zip(slices, rows, strict=True)
    ]
    rr_ms, rr_source = _beats(slices, {z for z, row in enumerate(rows) if None in row})
    # The weakest rule is the one to know of.
    weakest = max((ordered.rule for ordered in slices), key=RULES.index)
    return Timing(
        tuple(float(v) for v in np.median(timed, axis=0)) if timed and moving else None,
        rr_ms,
        weakest.name,
        rr_source,
        tuple(by_slice) if timed and moving else (),
    )


def _beats(slices: Sequence[_Ordered], incomplete: set[int]) -> tuple[tuple[float, ...], str]:
    """Beat length of every slice and where it is from; nothing if one is not known."""
    lengths: list[float] = []
    sources: Counter[str] = Counter()
    for z, ordered in enumerate(slices):
        stated = _stated_ms(ordered)
        if stated is not None:
            lengths.append(stated)
            sources[next(image.rr_source for image in ordered.images if image.rr_ms is not None)] += 1
        elif ordered.rule is TRIGGER and len(ordered.images) > 2 and z not in incomplete:
            lengths.append(_beat_ms(ordered))
            sources["time between phases"] += 1
        else:
            return (), ""
    if len(sources) == 1:
        return tuple(lengths), next(iter(sources))
    return tuple(lengths), ", ".join(f"{source} ({counted(n, 'slice')})" for source, n in sources.most_common())


def _stated_ms(ordered: _Ordered) -> float | None:
    stated = [image.rr_ms for image in ordered.images if image.rr_ms is not None]
    return float(np.median(stated)) if stated else None


def _beat_ms(ordered: _Ordered) -> float:
    """Beat as stated, else phases times the time between them."""
    # The mean step, not the median: scanners round trigger times to whole ms.
    steps = np.diff(ordered.trigger_ms)
    return _stated_ms(ordered) or float(np.mean(steps)) * len(ordered.images)


def _order_warnings(slices: Sequence[_Ordered]) -> list[str]:
    if all(len(ordered.images) == 1 or ordered.rule is TRIGGER for ordered in slices):
        return []
    warnings = []
    for rule in RULES[1:]:
        which = [z for z, ordered in enumerate(slices) if ordered.rule is rule and len(ordered.images) > 1]
        if not which:
            continue
        without = sum(any(image.trigger_ms is None for image in slices[z].images) for z in which)
        why = "no trigger time" if without else "trigger times that are not those of one beat"
        warnings.append(
            f"{_which_slices(which, len(slices))} {why}; phases were ordered by {rule.name}. "
            "Check the loop before reporting."
        )
    return warnings


def _which_slices(which: Sequence[int], n_slices: int) -> str:
    if len(which) == n_slices:
        return "The slice has" if n_slices == 1 else "All slices have"
    return f"{listed_slices(which)} {'has' if len(which) == 1 else 'have'}"


def listed_slices(which: Sequence[int]) -> str:
    """Name slices as the reader counts them: ``Slices 2, 3``."""
    return f"{'Slice' if len(which) == 1 else 'Slices'} {', '.join(str(z + 1) for z in which)}"


def _alignment_warnings(aligned: dict[int, int], n_phases: int) -> list[str]:
    return [
        f"Slice {z + 1} was taken in {counted(n_images, 'phase')}, most slices in {n_phases}: each phase shows its "
        "image nearest in the cycle, none was computed. Check ED and ES there."
        for z, n_images in aligned.items()
    ]


def _gap_warnings(rows: Sequence[Row]) -> list[str]:
    return [
        f"Slice {z + 1} has no image at phase{'' if len(gaps) == 1 else 's'} "
        f"{', '.join(str(t + 1) for t in gaps)}: shown as a gap; these phases cannot be ED or ES."
        for z, row in enumerate(rows)
        if (gaps := [t for t, image in enumerate(row) if image is None])
    ]
