"""From the images of one DICOM study to its cines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import REGULAR_STEP_TOLERANCE, Cine, Geometry, SourceImage, Timing
from cinema_core.errors import StudyError
from cinema_core.io.dicom_headers import ImageHeader
from cinema_core.io.dicom_phases import Row, listed_slices, order_phases, order_track
from cinema_core.io.dicom_pixels import Image, ImageCounter, read_images
from cinema_core.io.dicom_stacks import Stack, assemble_stacks
from cinema_core.io.dicom_tracks import Track, counted
from cinema_core.io.dicom_views import NamedView, name_views, view_hint
from cinema_core.io.study import ImportChoices, RefusedFile, RepeatedSlice, Take
from cinema_core.progress import CancelToken, Progress
from cinema_core.view import View

NOT_MEASURABLE: Final = (
    "The files state no pixel spacing and no positions: the cine can be looked at, but not measured. "
    "Export the study again with its geometry."
)

RR_SPREAD: Final = 0.15
"""Breath-holds of one person differ by some 10 % (776 to 863 ms in a volunteer); more hints at an arrhythmia."""


@dataclass(eq=False)
class FoundCines:
    """Cines of a study, with what the reader should know of how they came to be."""

    cines: tuple[Cine, ...] = ()
    notes: list[str] = field(default_factory=list)
    refused: list[RefusedFile] = field(default_factory=list)
    repeats: dict[str, tuple[RepeatedSlice, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Plan:
    """One cine before its pixels are read."""

    rows: tuple[Row, ...]
    timing: Timing
    view: NamedView
    warnings: tuple[str, ...]
    stack: Stack | None

    @property
    def images(self) -> list[ImageHeader]:
        return [image for row in self.rows for image in row if image is not None]


def read_cines(
    headers: Sequence[ImageHeader], choices: ImportChoices, progress: Progress, cancel: CancelToken | None = None
) -> FoundCines:
    """Make the cines of one study.

    Parameters
    ----------
    headers
        Of the study's images.
    choices
        What the reader decided against the importer.

    Raises
    ------
    StudyError
        If the images are no cine (maps, a dynamic series), or none can be decoded.
    Cancelled
        If ``cancel`` was raised.
    """
    found = FoundCines()
    plans = _plan(headers, choices, found)
    counter = ImageCounter(sum(len(plan.images) for plan in plans), progress, cancel)
    cines = []
    for name, plan in zip(_names(plans), plans, strict=True):
        pixels = read_images(plan.images, counter)
        _refuse_undecodable(pixels, found)
        cine = _cine(name, plan, pixels)
        if cine is None:
            found.notes.append(f"{name}: none of its images can be decoded; it is left out.")
            continue
        cines.append(cine)
        found.notes.append(_note(cine, plan))
        stated = {image.frame_of_reference_uid for row in plan.rows for image in row if image is not None} - {""}
        if len(stated) > 1 and not any(cine.frames_of_reference):
            found.notes.append(f"{name}: its slices name a coordinate system each; they are taken to lie in one.")
        if plan.stack is not None and (repeated := _repeats(plan.stack)):
            found.repeats[name] = repeated
    if not cines:
        raise _no_cine(found)
    found.cines = tuple(cines)
    return found


def _no_cine(found: FoundCines) -> StudyError:
    """Say why images that have geometry make no cine."""
    if found.refused:
        last = found.refused[-1]
        return StudyError(f"{last.path}: {last.reason}. Export the study uncompressed, or copy it again.")
    return StudyError(
        f"The images show no beating heart: {' '.join(found.notes)} Choose the folder of the cine series."
    )


def _plan(headers: Sequence[ImageHeader], choices: ImportChoices, found: FoundCines) -> list[_Plan]:
    """Decide what becomes which cine, in the order in which they are shown."""
    chosen = frozenset(key for keys in choices.takes.values() for key in keys)
    stacks, notes = assemble_stacks([header for header in headers if header.plane is not None], chosen)
    found.notes += notes
    plans = []
    for stack, view in zip(stacks, name_views(stacks), strict=True):
        ordered = order_phases(stack)
        warnings = (*stack.warnings, *ordered.warnings, *view.warnings)
        plans.append(_Plan(ordered.rows, ordered.timing, view, warnings, stack))
    plans += _without_geometry([header for header in headers if header.plane is None])
    return sorted(plans, key=_shown_first)


def _without_geometry(headers: Sequence[ImageHeader]) -> list[_Plan]:
    """Multi-frame objects that do not say where they lie: each a loop of its own, to look at."""
    objects: dict[str, list[ImageHeader]] = {}
    for header in headers:
        objects.setdefault(header.path, []).append(header)
    plans = []
    for images in objects.values():
        ordered = order_track(Track(tuple(images)))
        hint = view_hint(images[0].text)
        reason = "by the name of its series alone" if hint else "the file does not say where it lies"
        view = NamedView(hint or View.OTHER, 0.2 if hint else 0.0, reason)
        plans.append(_Plan(ordered.rows, ordered.timing, view, (NOT_MEASURABLE, *ordered.warnings), None))
    return plans


def _shown_first(plan: _Plan) -> tuple[int, float, int, str]:
    """Short axis first, then the long axes by name, the surest of a name first."""
    order = ("sax", "lax_2c", "lax_3c", "lax_4c", "other")
    return order.index(plan.view.view.value), -plan.view.confidence, -len(plan.rows), plan.images[0].path


def _names(plans: Sequence[_Plan]) -> list[str]:
    """Name each cine by its view, with a number from the second of a view on."""
    seen: Counter[str] = Counter()
    names = []
    for plan in plans:
        view = plan.view.view.value
        seen[view] += 1
        names.append(view if seen[view] == 1 else f"{view}-{seen[view]}")
    return names


def _refuse_undecodable(pixels: dict[ImageHeader, Image | str], found: FoundCines) -> None:
    for header, image in pixels.items():
        if isinstance(image, str):
            where = header.path if not header.frame else f"{header.path}, frame {header.frame + 1}"
            found.refused.append(RefusedFile(where, image))


def _cine(name: str, plan: _Plan, pixels: dict[ImageHeader, Image | str]) -> Cine | None:
    """Put a cine together of the images that could be decoded; None if there is none."""
    decoded = [
        tuple(image if image is not None and not isinstance(pixels[image], str) else None for image in row)
        for row in plan.rows
    ]
    kept = [z for z, row in enumerate(decoded) if any(row)]
    if not kept:
        return None
    rows = [decoded[z] for z in kept]
    lost = sum(image is not None for row in plan.rows for image in row) - sum(any([i]) for row in decoded for i in row)
    geometry = _geometry(rows)
    sizes = tuple(_size(row) for row in rows)
    timing = plan.timing if len(kept) == len(decoded) else _timing_of(plan.timing, kept)
    return Cine(
        name,
        _stacked(rows, sizes, pixels),
        geometry,
        plan.view.view,
        plan.view.confidence,
        timing,
        _first_of(rows[0]).patient,
        (
            *plan.warnings,
            *_loss_warnings(lost, [z for z in range(len(decoded)) if z not in kept]),
            *_geometry_warnings(geometry),
            *_beat_warnings(timing),
            *_phase_warnings(len(rows[0])),
        ),
        view_reason=plan.view.reason,
        missing=frozenset((t, z) for z, row in enumerate(rows) for t, image in enumerate(row) if image is None),
        sources={
            (t, z): SourceImage(image.file.path, image.frame, image.sop_uid, image.sop_class_uid)
            for z, row in enumerate(rows)
            for t, image in enumerate(row)
            if image is not None
        },
        slice_sizes=sizes if len(set(sizes)) > 1 else (),
        frames_of_reference=_frames_of_reference(rows),
        direction_reason=plan.stack.direction_reason if plan.stack is not None else "",
    )


def _frames_of_reference(rows: Sequence[Row]) -> tuple[str, ...]:
    """Coordinate system of each slice; empty where the files do not say.

    An anonymiser may have given every file, or every series of one slice, a coordinate system of its own
    (Sunnybrook): then it says nothing.
    """
    of_rows = [{image.frame_of_reference_uid for image in row if image is not None} for row in rows]
    found = tuple(uids.pop() if len(uids) == 1 else "" for uids in of_rows)
    says_nothing = not all(found) or (len(rows) > 1 and len(set(found)) == len(rows))
    return ("",) * len(rows) if says_nothing else found


def _first_of(row: Row) -> ImageHeader:
    return next(image for image in row if image is not None)


def _size(row: Row) -> tuple[int, int]:
    return _first_of(row).rows, _first_of(row).columns


def _geometry(rows: Sequence[Row]) -> Geometry:
    planes = [_first_of(row).plane for row in rows]
    known = tuple(plane for plane in planes if plane is not None)
    return Geometry(known) if len(known) == len(rows) else Geometry.without_spacing(len(rows))


def _timing_of(timing: Timing, kept: Sequence[int]) -> Timing:
    """Keep the timing of some of the slices."""
    return replace(
        timing,
        rr_ms=tuple(timing.rr_ms[z] for z in kept) if timing.rr_ms else (),
        slice_trigger_ms=tuple(timing.slice_trigger_ms[z] for z in kept) if timing.slice_trigger_ms else (),
    )


def _stacked(
    rows: Sequence[Row], sizes: Sequence[tuple[int, int]], pixels: dict[ImageHeader, Image | str]
) -> NDArray[Any]:
    """Pixels (t, z, y, x); 0 where there is no image."""
    images = {header: image for header, image in pixels.items() if not isinstance(image, str)}
    dtype = np.result_type(*{image.dtype for image in images.values()})
    # Mixed whole and rescaled numbers: float32 holds all that scanners store.
    dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype
    n_rows, n_columns = max(size[0] for size in sizes), max(size[1] for size in sizes)
    stacked = np.zeros((len(rows[0]), len(rows), n_rows, n_columns), dtype)
    for z, row in enumerate(rows):
        for t, header in enumerate(row):
            if header is not None:
                image = images[header]
                stacked[t, z, : image.shape[0], : image.shape[1]] = image
    return stacked


def _repeats(stack: Stack) -> tuple[RepeatedSlice, ...]:
    return tuple(
        RepeatedSlice(z, tuple(_take(track) for track in slot.takes), slot.used.key)
        for z, slot in enumerate(stack.slots)
        if len(slot.takes) > 1
    )


def _take(track: Track) -> Take:
    return Take(track.key, min(track.series, default=None), track.n_images, track.first.rows, track.first.columns)


def _note(cine: Cine, plan: _Plan) -> str:
    series = ", ".join(map(str, plan.stack.series)) if plan.stack is not None else ""
    rr = f"RR from {cine.timing.rr_source}" if cine.timing.rr_ms else "RR not known"
    return (
        f"{cine.id}: series {series or 'without number'}, {counted(cine.n_slices, 'slice')} x "
        f"{counted(cine.n_phases, 'phase')} ordered by {cine.timing.order_rule}, "
        f"{rr.replace('from stated', 'as stated')}; view confidence {cine.view_confidence:g}: {cine.view_reason}."
    )


def _loss_warnings(n_lost: int, slices: Sequence[int]) -> list[str]:
    warnings = []
    if n_lost:
        warnings.append(f"{counted(n_lost, 'image')} cannot be decoded and {'is' if n_lost == 1 else 'are'} left out.")
    if slices:
        warnings.append(
            f"{listed_slices(slices)} cannot be decoded at all and {'is' if len(slices) == 1 else 'are'} lost."
        )
    return warnings


def _geometry_warnings(geometry: Geometry) -> list[str]:
    if geometry.n_slices == 1 or geometry.is_regular:
        return []
    steps = np.abs(np.diff(geometry.positions_mm))
    if steps.max() - steps.min() > REGULAR_STEP_TOLERANCE * np.median(steps):
        z = int(steps.argmax())
        return [
            f"Slices {z + 1} and {z + 2} lie {steps[z]:.1f} mm apart but others {steps.min():.1f} mm; "
            "a slice may be missing. Each slice counts half way to its neighbours."
        ]
    if len({np.round(plane.spacing_mm, 3).tobytes() for plane in geometry.planes}) > 1:
        return []  # told where the stack was put together
    return ["The slices are not quite parallel; check the stack."]


def _beat_warnings(timing: Timing) -> list[str]:
    if len(timing.rr_ms) < 2:
        return []
    low, high = min(timing.rr_ms), max(timing.rr_ms)
    if high - low <= RR_SPREAD * float(np.median(timing.rr_ms)):
        return []
    return [
        f"The beat lasted {low:.0f} to {high:.0f} ms in different breath-holds: slices may not show the same moment. "
        "Volumes of an irregular heart are uncertain."
    ]


def _phase_warnings(n_phases: int) -> list[str]:
    if n_phases > 1:
        return []
    return ["The cine holds one phase: function (EF, stroke volume) cannot be measured from one phase."]
