"""Second step of opening DICOM: group takes into stacks by where they lie, whatever series they came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from cinema_core.io.dicom_headers import ImageHeader
from cinema_core.io.dicom_tracks import SAME_POSITION_MM, Track, counted, find_tracks, same_orientation

_Value = TypeVar("_Value", int, tuple[int, int, float, float])

MIN_STACK_SLICES: Final = 3

ON_LATTICE: Final = 0.25
"""A slice with another matrix belongs to a stack if it lies where the next slice would, to a quarter of a step."""

APEX_DIRECTION: Final = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
"""From base to apex in most people: to the left, forward and down (LPS)."""

APEX_MIN_COSINE: Final = 0.3
"""A stack that stands steeper on that direction does not tell its apex (real studies: see the tests)."""


@dataclass(frozen=True, eq=False)
class Slot:
    """One slice of a stack: all takes of it, the earliest first, and the one that is shown."""

    takes: tuple[Track, ...]
    used: Track


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make one cine, from base to apex as far as the body's axes tell.

    Attributes
    ----------
    warnings
        What the reader should know of how it was put together.
    direction_reason
        How it was told which end is the base.
    """

    slots: tuple[Slot, ...]
    warnings: tuple[str, ...] = ()
    direction_reason: str = ""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The take of every slice that is shown."""
        return tuple(slot.used for slot in self.slots)

    @property
    def first(self) -> ImageHeader:
        """Header of any image of the first slice."""
        return self.slots[0].used.first

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return len(self.slots)

    @property
    def n_phases(self) -> int:
        """Number of images that most slices have; of two such numbers the larger."""
        return _most_common(track.n_images for track in self.tracks)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the slices."""
        return self.slots[0].used.plane.normal

    @property
    def normal_to_apex(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the slices, in the direction in which they are counted."""
        return _towards_apex(self.slots[0].used)[0]

    @property
    def series(self) -> tuple[int, ...]:
        """Series numbers that the images came from, for notes."""
        return tuple(sorted(set().union(*(track.series for track in self.tracks))))


def assemble_stacks(
    headers: Sequence[ImageHeader], chosen: frozenset[str] = frozenset()
) -> tuple[list[Stack], list[str]]:
    """Put images together to cines.

    Parallel slices at three or more places are a stack; any other slice is a cine of its own. Images of one phase
    only are left out where there are cines.

    Parameters
    ----------
    headers
        Of images that say where they lie.
    chosen
        Keys of takes that the reader prefers.

    Returns
    -------
    Stacks, largest first, and one line per decision.
    """
    notes: list[str] = []
    stacks: list[Stack] = []
    for parallel in _by_orientation(find_tracks(headers, notes)):
        stacks += _stacks_of(parallel, chosen, notes)
    stacks.sort(key=lambda stack: (-stack.n_slices, stack.series, stack.first.path))
    return stacks, notes


def _by_orientation(tracks: Iterable[Track]) -> list[list[Track]]:
    groups: list[list[Track]] = []
    for track in tracks:
        group = next((group for group in groups if same_orientation(group[0], track)), None)
        if group is None:
            groups.append([track])
        else:
            group.append(track)
    return groups


def _stacks_of(parallel: list[Track], chosen: frozenset[str], notes: list[str]) -> list[Stack]:
    """One stack of the parallel slices that belong together; what remains makes further cines."""
    grid = _most_common(track.grid for track in parallel)
    normal, reason = _towards_apex(parallel[0])
    places = _by_position([track for track in parallel if track.grid == grid], normal)
    others = [track for track in parallel if track.grid != grid]
    if len(places) < MIN_STACK_SLICES:
        single = [Stack((_slot(place, chosen),)) for place in places]
        return [*_with_repeats_told(single), *(_stacks_of(others, chosen, notes) if others else [])]
    joined = _on_lattice(others, places, normal)
    if joined:
        others = [track for track in others if not any(track in place for place in joined)]
        places = sorted([*places, *joined], key=lambda place: place[0].position_mm(normal))
    slots = tuple(_slot(place, chosen, _most_common(t.n_images for p in places for t in p)) for place in places)
    stack = Stack(slots, (*_grid_warnings(slots, grid), *_repeat_warnings(slots)), reason)
    series = ", ".join(map(str, stack.series)) or "without number"
    notes.append(
        f"{stack.n_slices} parallel slices x {counted(stack.n_phases, 'phase')} of series {series} make one "
        f"stack, by position and orientation; ordered {reason}."
    )
    unused = [track for slot in slots for track in slot.takes if track is not slot.used]
    # A whole stack that was taken again is worth a cine of its own; single repeats are chosen slice by slice.
    repeated = unused if len(_by_position(unused, normal)) >= MIN_STACK_SLICES else []
    rest = [*others, *repeated]
    return [stack, *(_stacks_of(rest, chosen, notes) if rest else [])]


def _slot(place: Sequence[Track], chosen: frozenset[str], n_phases: int | None = None) -> Slot:
    """Choose among the takes of a slice: the reader's, else a full one, else the fullest; of equals the latest.

    The latest is the one that the technician was content with.
    """
    takes = tuple(sorted(place, key=lambda track: track.lateness))

    def preference(track: Track) -> tuple[bool, bool, int, tuple[float, float, float]]:
        return track.key in chosen, track.n_images == n_phases, track.n_images, track.lateness

    return Slot(takes, max(takes, key=preference))


def _on_lattice(others: Sequence[Track], places: list[list[Track]], normal: NDArray[np.float64]) -> list[list[Track]]:
    """Slices with another matrix that lie where a slice of the stack is wanting."""
    own = np.array([place[0].position_mm(normal) for place in places])
    step = _step_mm(own)
    found = []
    for place in _by_position(list(others), normal):
        position = place[0].position_mm(normal)
        steps_from_base = (position - own[0]) / step
        on_lattice = abs(steps_from_base - round(steps_from_base)) <= ON_LATTICE
        is_free = float(np.abs(own - position).min()) > (1 - ON_LATTICE) * step
        is_near = own[0] - 1.5 * step <= position <= own[-1] + 1.5 * step
        if on_lattice and is_free and is_near and _shows_the_same_place(place[0], places):
            found.append(place)
    return found


def _step_mm(positions: NDArray[np.float64]) -> float:
    """Distance between slices, also where some are wanting: the smallest, if the others are multiples of it."""
    steps = np.diff(positions)
    smallest = float(steps.min())
    multiples = steps / smallest
    return smallest if np.abs(multiples - multiples.round()).max() <= ON_LATTICE else float(np.median(steps))


def _shows_the_same_place(track: Track, places: list[list[Track]]) -> bool:
    """Whether the middle of an image lies within those of a stack: a parallel slice may be of another organ."""
    neighbour = min(
        (place[0] for place in places), key=lambda t: float(np.linalg.norm(t.plane.origin_mm - track.plane.origin_mm))
    )
    offset = _centre_mm(track) - _centre_mm(neighbour)
    across = offset - (offset @ track.plane.normal) * track.plane.normal
    return float(np.linalg.norm(across)) <= 0.25 * neighbour.first.rows * neighbour.plane.spacing_mm[0]


def _centre_mm(track: Track) -> NDArray[np.float64]:
    return track.plane.to_world_mm((track.first.rows - 1) / 2, (track.first.columns - 1) / 2)


def _by_position(tracks: Sequence[Track], normal: NDArray[np.float64]) -> list[list[Track]]:
    """Tracks at each position along a direction."""
    placed = sorted(((track.position_mm(normal), k) for k, track in enumerate(tracks)))
    groups: list[list[Track]] = []
    last = -np.inf
    for position, k in placed:
        if position - last > SAME_POSITION_MM:
            groups.append([])
            last = position
        groups[-1].append(tracks[k])
    return groups


def _towards_apex(track: Track) -> tuple[NDArray[np.float64], str]:
    """Direction in which slices are counted, and why."""
    normal = track.plane.normal
    cosine = float(normal @ APEX_DIRECTION)
    if abs(cosine) >= APEX_MIN_COSINE:
        return (normal if cosine > 0 else -normal), "from base to apex by the axes of the body"
    return normal, "along their normal, as the axes of the body do not tell base from apex"


def _grid_warnings(slots: Sequence[Slot], grid: tuple[int, int, float, float]) -> list[str]:
    return [
        f"Slice {z + 1} has another matrix or pixel spacing ({slot.used.first.rows} x {slot.used.first.columns}, "
        f"{slot.used.grid[2]:g} mm) than the others ({grid[0]} x {grid[1]}, {grid[2]:g} mm); it is kept as it is."
        for z, slot in enumerate(slots)
        if slot.used.grid != grid
    ]


def _repeat_warnings(slots: Sequence[Slot]) -> list[str]:
    repeated = [z + 1 for z, slot in enumerate(slots) if len(slot.takes) > 1]
    if not repeated:
        return []
    which = f"{'Slice' if len(repeated) == 1 else 'Slices'} {', '.join(map(str, repeated))}"
    return [f"{which} taken more than once; the latest complete take is used. Another can be chosen."]


def _with_repeats_told(stacks: Sequence[Stack]) -> list[Stack]:
    return [Stack(stack.slots, tuple(_repeat_warnings(stack.slots))) for stack in stacks]


def _most_common(values: Iterable[_Value]) -> _Value:
    """Return the value that comes most often; of those that come equally often the largest."""
    counts = Counter(values)
    top = max(counts.values())
    return max(value for value, n in counts.items() if n == top)
