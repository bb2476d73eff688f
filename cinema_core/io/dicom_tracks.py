"""Images of one place: the loop of a slice, or several if the breath-hold was repeated there."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import PARALLEL_TOLERANCE_DEG, Plane
from cinema_core.io.dicom_headers import ImageHeader

SAME_POSITION_MM: Final = 0.1
"""Images of one slice state the same position; slices of a stack lie millimetres apart."""

SAME_CONTRAST_MS: Final = 1.0
"""Images of a loop share inversion and echo time; rounding differs by less."""

DYNAMIC_MIN_IMAGES: Final = 35
DYNAMIC_STEP_S: Final = 0.4
"""A first pass of contrast is some 40 to 80 images, one per heartbeat; phases of a beat are 20 to 60 ms apart."""


@dataclass(frozen=True, eq=False)
class Track:
    """One take of one slice: images of one plane and one grid, in no order yet."""

    images: tuple[ImageHeader, ...]

    @property
    def first(self) -> ImageHeader:
        """Any of its images."""
        return self.images[0]

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def plane(self) -> Plane:
        """Where the slice lies."""
        plane = self.first.plane
        assert plane is not None  # images without a place never come into a track of a stack
        return plane

    @property
    def grid(self) -> tuple[int, int, float, float]:
        """Rows, columns and pixel spacing, rounded: spacing is written to six digits."""
        dy, dx = self.plane.spacing_mm
        return self.first.rows, self.first.columns, round(dy, 3), round(dx, 3)

    @cached_property
    def key(self) -> str:
        """Name by which a reader's choice of this take is kept; follows from its images."""
        uids = sorted(f"{image.sop_uid}/{image.frame}" for image in self.images)
        return hashlib.sha256(",".join(uids).encode()).hexdigest()[:8]

    @property
    def series(self) -> frozenset[int]:
        """Series numbers of the images."""
        return frozenset(image.series_number for image in self.images if image.series_number is not None)

    @property
    def lateness(self) -> tuple[float, float, float]:
        """By which the later of two takes sorts last: series, then time, then number."""
        return (
            max(self.series, default=0),
            max(image.acquisition_s or 0.0 for image in self.images),
            max(image.instance_number or 0.0 for image in self.images),
        )

    def position_mm(self, normal: NDArray[np.float64]) -> float:
        """Place along a direction."""
        return float(self.plane.origin_mm @ normal)


def same_orientation(a: Track, b: Track) -> bool:
    """Whether planes are parallel and not turned in themselves; strings of a series may differ by rounding."""
    limit = np.cos(np.deg2rad(PARALLEL_TOLERANCE_DEG))
    return (
        a.first.kind == b.first.kind
        and float(a.plane.x_direction @ b.plane.x_direction) >= limit
        and float(a.plane.y_direction @ b.plane.y_direction) >= limit
    )


def find_tracks(headers: Iterable[ImageHeader], notes: list[str]) -> list[Track]:
    """Sort images into takes, and leave out with a note what shows no beating heart."""
    tracks = [take for place in _by_place(headers) for take in _takes(place)]
    moving = [track for track in tracks if track.n_images > 1]
    if moving and len(moving) < len(tracks):
        left_out = sum(track.n_images == 1 for track in tracks)
        notes.append(f"{left_out} images show one phase of their slice only (scouts, stills) and are not cines.")
    reasons = {id(track): _why_no_loop(track) for track in moving}
    for reason, n in Counter(reason for reason in reasons.values() if reason).items():
        n_images = sum(track.n_images for track in moving if reasons[id(track)] == reason)
        notes.append(f"{n_images} images of {counted(n, 'slice')} {reason}; they are not cines.")
    return [track for track in moving if not reasons[id(track)]] if moving else tracks


def _why_no_loop(track: Track) -> str:
    for values, what in (
        ([image.inversion_ms for image in track.images], "differ in inversion time (a map)"),
        ([image.echo_ms for image in track.images], "differ in echo time (a map)"),
    ):
        known = [value for value in values if value is not None]
        if known and max(known) - min(known) > SAME_CONTRAST_MS:
            return what
    taken = sorted(image.acquisition_s for image in track.images if image.acquisition_s is not None)
    if len(taken) >= DYNAMIC_MIN_IMAGES and float(np.median(np.diff(taken))) > DYNAMIC_STEP_S:
        return "were taken one per heartbeat (a dynamic series)"
    return ""


def _by_place(headers: Iterable[ImageHeader]) -> list[list[ImageHeader]]:
    """Images with one plane and one grid."""
    places: list[list[ImageHeader]] = []
    exact: dict[tuple[object, ...], list[ImageHeader]] = {}
    for header in headers:
        plane = header.plane
        assert plane is not None
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
    first, second = Track((a,)), Track((b,))
    return (
        first.grid == second.grid
        and same_orientation(first, second)
        and float(np.linalg.norm(first.plane.origin_mm - second.plane.origin_mm)) <= SAME_POSITION_MM
    )


def _takes(place: list[ImageHeader]) -> list[Track]:
    """Separate breath-holds that were repeated at one place."""
    series: dict[str, list[ImageHeader]] = defaultdict(list)
    for header in place:
        series[header.series_uid].append(header)
    # Some archives make a series of each phase; then the series are the phases, not repeats.
    whole = sum(len(part) == 1 for part in series.values()) < len(series) / 2
    parts = list(series.values()) if whole else [place]
    return [take for part in parts for take in _takes_of_series(part)]


def _takes_of_series(part: list[ImageHeader]) -> list[Track]:
    """Separate a repeat inside one series: the same moments come again."""
    for moment in (_trigger, _temporal):
        values = [moment(image) for image in part]
        times = Counter(values)
        if None in times or len(times) < 2:
            continue
        if len(times) == len(part):
            return [Track(tuple(part))]
        by_number = _by_acquisition_number(part)
        if all(len({moment(image) for image in images}) == len(images) for images in by_number):
            return [Track(tuple(images)) for images in by_number]
        # More than half of the moments come again: a repeat, not two phases with one rounded time.
        if sum(count > 1 for count in times.values()) > len(times) / 2:
            return _dealt_out(part, values)
    return [Track(tuple(part))]


def _trigger(image: ImageHeader) -> float | None:
    return image.trigger_ms


def _temporal(image: ImageHeader) -> float | None:
    return image.temporal_position


def _by_acquisition_number(part: Sequence[ImageHeader]) -> list[list[ImageHeader]]:
    groups: dict[int | None, list[ImageHeader]] = defaultdict(list)
    for image in part:
        groups[image.acquisition_number].append(image)
    return list(groups.values())


def _dealt_out(part: Sequence[ImageHeader], values: Sequence[float | None]) -> list[Track]:
    """First occurrence of each moment to the first take, second to the second, in the order of their numbers."""
    takes: list[list[ImageHeader]] = []
    seen: Counter[float | None] = Counter()
    for image, value in sorted(zip(part, values, strict=True), key=lambda pair: pair[0].instance_number or 0.0):
        if seen[value] == len(takes):
            takes.append([])
        takes[seen[value]].append(image)
        seen[value] += 1
    return [Track(tuple(images)) for images in takes]


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 slice``, ``2 slices``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
