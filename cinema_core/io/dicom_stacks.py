"""Second step of opening DICOM: group images into stacks by where they lie, whatever series they came in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import PARALLEL_TOLERANCE_DEG
from cinema_core.io.dicom_headers import ImageHeader

SAME_POSITION_MM: Final = 0.1
"""Images of one slice state the same position; slices of a stack lie millimetres apart."""

MIN_STACK_SLICES: Final = 3

APEX_DIRECTION: Final = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
"""From base to apex in most people: to the left, forward and down (LPS)."""

APEX_MIN_COSINE: Final = 0.3
"""A stack that stands steeper on that direction does not tell its apex (real studies: see the tests)."""

Track = tuple[ImageHeader, ...]
"""All phases of one slice, in no order yet."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make one cine, from base to apex as far as the body's axes tell.

    Attributes
    ----------
    tracks
        One per slice; every track has the same number of images.
    warnings
        What the reader should know of how it was put together.
    """

    tracks: tuple[Track, ...]
    warnings: tuple[str, ...] = ()

    @property
    def first(self) -> ImageHeader:
        """Header of any image of the first slice."""
        return self.tracks[0][0]

    @property
    def n_phases(self) -> int:
        """Number of images per slice."""
        return len(self.tracks[0])

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the slices."""
        return self.first.plane.normal

    @property
    def series(self) -> tuple[int, ...]:
        """Series numbers that the images came from, for notes."""
        return tuple(sorted({h.series_number for track in self.tracks for h in track if h.series_number is not None}))


def assemble_stacks(headers: Sequence[ImageHeader]) -> tuple[list[Stack], list[str]]:
    """Put images together to cines.

    Images of one place are a track; parallel tracks with one grid at three or more positions are a stack; any
    other track is a cine of one slice. Images of one phase only are left out where there are cines.

    Returns
    -------
    Stacks, largest first, and one line per decision.
    """
    notes: list[str] = []
    tracks = [track for place in _by_place(headers) for track in _split_repeats(place)]
    moving = [track for track in tracks if len(track) > 1]
    if moving and len(moving) < len(tracks):
        left_out = sum(len(track) for track in tracks) - sum(len(track) for track in moving)
        notes.append(f"{left_out} images show one phase of their slice only (scouts, stills) and are not cines.")
    stacks: list[Stack] = []
    for parallel in _by_orientation(moving or tracks):
        stacks += _stacks_of(parallel, notes)
    stacks = [_with_missing_grids(stack, stacks, notes) for stack in stacks]
    stacks.sort(key=lambda stack: (-len(stack.tracks), stack.series, str(stack.first.path)))
    return stacks, notes


def _with_missing_grids(stack: Stack, others: Sequence[Stack], notes: list[str]) -> Stack:
    """Say which slices belong to a stack by their place but have another matrix or pixel spacing.

    They are not resampled: a stack without its apical slice measures too little, so the reader must know.
    """
    if len(stack.tracks) < MIN_STACK_SLICES:
        return stack
    own = np.array([float(track[0].plane.origin_mm @ stack.normal) for track in stack.tracks])
    step = float(np.median(np.abs(np.diff(own))))
    n_left_out = 0
    for header in (track[0] for other in others for track in other.tracks if other.n_phases > 1):
        position = float(header.plane.origin_mm @ stack.normal)
        parallel = abs(float(header.plane.normal @ stack.normal)) >= np.cos(np.deg2rad(PARALLEL_TOLERANCE_DEG))
        near = own.min() - 1.5 * step <= position <= own.max() + 1.5 * step
        if (
            parallel
            and near
            and header.kind == stack.first.kind
            and not _same_grid(header, stack.first)
            and float(np.abs(own - position).min()) > 0.25 * step
        ):
            n_left_out += 1
    if not n_left_out:
        return stack
    warning = (
        f"{counted(n_left_out, 'slice')} with another matrix or pixel spacing than {stack.first.rows} x "
        f"{stack.first.columns}: left out of this cine, and shown as cines of their own; volumes lack them."
    )
    notes.append(warning)
    return replace(stack, warnings=(*stack.warnings, warning))


def _by_place(headers: Iterable[ImageHeader]) -> list[list[ImageHeader]]:
    """Images with one plane and one grid; orientation strings may differ by rounding."""
    places: list[list[ImageHeader]] = []
    exact: dict[tuple[object, ...], list[ImageHeader]] = {}
    for header in headers:
        plane = header.plane
        key = (
            header.rows,
            header.columns,
            header.kind,
            plane.spacing_mm,
            plane.origin_mm.tobytes(),
            plane.x_direction.tobytes(),
            plane.y_direction.tobytes(),
        )
        if key not in exact:
            exact[key] = next((place for place in places if _same_place(place[0], header)), [])
            if not exact[key]:
                places.append(exact[key])
        exact[key].append(header)
    return places


def _same_place(a: ImageHeader, b: ImageHeader) -> bool:
    return _same_grid(a, b) and float(np.linalg.norm(a.plane.origin_mm - b.plane.origin_mm)) <= SAME_POSITION_MM


def _same_grid(a: ImageHeader, b: ImageHeader) -> bool:
    """One size, one spacing, parallel planes that are not turned in themselves."""
    limit = np.cos(np.deg2rad(PARALLEL_TOLERANCE_DEG))
    return (
        (a.rows, a.columns, a.kind) == (b.rows, b.columns, b.kind)
        and np.allclose(a.plane.spacing_mm, b.plane.spacing_mm, rtol=1e-3)
        and float(a.plane.x_direction @ b.plane.x_direction) >= limit
        and float(a.plane.y_direction @ b.plane.y_direction) >= limit
    )


def _split_repeats(place: list[ImageHeader]) -> list[Track]:
    """Separate breath-holds that were repeated at one place."""
    series: dict[str, list[ImageHeader]] = defaultdict(list)
    for header in place:
        series[header.series_uid].append(header)
    # Some archives make a series of each phase; then the series are the phases, not repeats.
    parts = list(series.values()) if all(len(part) > 1 for part in series.values()) else [place]
    return [track for part in parts for track in _split_repeated_times(part)]


def _split_repeated_times(part: list[ImageHeader]) -> list[Track]:
    """Separate a repeat inside one series: every trigger time occurs k times."""
    counts = Counter(header.trigger_ms for header in part)
    k = min(counts.values())
    if None in counts or len(counts) < 2 or k < 2 or set(counts.values()) != {k}:
        return [tuple(part)]
    seen: Counter[float | None] = Counter()
    repeats: list[list[ImageHeader]] = [[] for _ in range(k)]
    for header in sorted(part, key=lambda header: header.instance_number or 0):
        repeats[seen[header.trigger_ms]].append(header)
        seen[header.trigger_ms] += 1
    return [tuple(repeat) for repeat in repeats]


def _by_orientation(tracks: Iterable[Track]) -> list[list[Track]]:
    groups: list[list[Track]] = []
    for track in tracks:
        group = next((group for group in groups if _same_grid(group[0][0], track[0])), None)
        if group is None:
            groups.append([track])
        else:
            group.append(track)
    return groups


def _stacks_of(parallel: list[Track], notes: list[str]) -> list[Stack]:
    """One stack of the best track at each position; what remains makes further cines."""
    positions = _by_position(parallel)
    if len(positions) < MIN_STACK_SLICES:
        return [Stack((track,)) for track in parallel]
    n_phases = Counter(len(track) for track in parallel).most_common(1)[0][0]
    chosen: list[Track] = []
    remaining: list[Track] = []
    n_repeated = 0
    for tracks in positions:
        fitting = [track for track in tracks if len(track) == n_phases]
        best = max(fitting, key=_lateness, default=None)
        n_repeated += len(fitting) > 1
        if best is not None:
            chosen.append(best)
        remaining += [track for track in tracks if track is not best]
    if len(chosen) < MIN_STACK_SLICES:
        return [Stack((track,)) for track in parallel]
    warnings = []
    if n_repeated:
        warnings.append(
            f"{n_repeated} of {counted(len(chosen), 'slice')} taken more than once; the latest series is used, "
            "the others are cines of their own."
        )
    n_odd = sum(len(track) != n_phases for track in remaining)
    if n_odd:
        warnings.append(
            f"{counted(n_odd, 'slice')} with another number of phases than {n_phases}: left out of this cine, "
            "and shown as cines of their own; "
            "a repeat of the export may bring the missing images."
        )
    stack = Stack(tuple(chosen), tuple(warnings))
    notes.append(
        f"{len(chosen)} parallel slices x {counted(n_phases, 'phase')} of series {_listed(stack.series)} make one "
        f"stack, by position and orientation; ordered {_order_rule(chosen[0][0])}."
    )
    return [stack, *(_stacks_of(remaining, notes) if remaining else [])]


def _by_position(parallel: list[Track]) -> list[list[Track]]:
    """Tracks by their position, from base to apex where the normal tells, else along it."""
    normal = parallel[0][0].plane.normal
    if float(normal @ APEX_DIRECTION) <= -APEX_MIN_COSINE:
        normal = -normal
    placed = sorted(((float(track[0].plane.origin_mm @ normal), k) for k, track in enumerate(parallel)))
    groups: list[list[Track]] = []
    last = -np.inf
    for position, k in placed:
        if position - last > SAME_POSITION_MM:
            groups.append([])
            last = position
        groups[-1].append(parallel[k])
    return groups


def _order_rule(header: ImageHeader) -> str:
    if abs(float(header.plane.normal @ APEX_DIRECTION)) >= APEX_MIN_COSINE:
        return "from base to apex by the axes of the body"
    return "along their normal, as the axes of the body do not tell base from apex"


def _lateness(track: Track) -> tuple[float, float]:
    """Of repeats the last is the one that the technician was content with."""
    return max(h.series_number or 0 for h in track), max(h.acquisition_s or 0.0 for h in track)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 slice``, ``2 slices``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "without number"
