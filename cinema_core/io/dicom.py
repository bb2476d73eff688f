"""Open DICOM in three steps: read headers, group into stacks, order slices and phases; then read the pixels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray

from cinema_core.cine import REGULAR_STEP_TOLERANCE, Cine, Geometry, Timing
from cinema_core.errors import StudyError
from cinema_core.io.dicom_headers import HEADERS_SHARE, ImageHeader, read_headers, tolerant_pydicom
from cinema_core.io.dicom_phases import order_phases
from cinema_core.io.dicom_stacks import Stack, Track, assemble_stacks, counted
from cinema_core.io.dicom_views import NamedView, name_views
from cinema_core.io.study import ImportReport, RefusedFile, Study, content_pseudonym, pseudonym
from cinema_core.progress import Progress

N_THREADS: Final = min(8, (os.cpu_count() or 1) + 2)


def load_dicom(path: Path, files: list[Path], progress: Progress) -> Study:
    """Open the cines among some files.

    Raises
    ------
    StudyError
        If no file is a usable MR image, or they belong to more than one study.
    """
    headers, refused = read_headers(files, progress)
    if not headers:
        raise _nothing_usable(path, refused)
    _check_one_study(path, headers)
    cines, notes = _read_cines(headers, refused, progress)
    uid = headers[0].study_uid
    progress(1.0, "Study read")
    return Study(
        pseudonym(uid) if uid else content_pseudonym(cines), path, cines, ImportReport(tuple(refused), tuple(notes))
    )


def _nothing_usable(path: Path, refused: list[RefusedFile]) -> StudyError:
    if len(refused) == 1:
        return StudyError(f"{refused[0].path}: {refused[0].reason}. Choose a folder of MR images with their geometry.")
    reasons = Counter(file.reason for file in refused)
    reason, count = reasons.most_common(1)[0]
    return StudyError(
        f"{path}: none of {len(refused)} files is a usable MR image; {count} of them: {reason}. "
        "Choose the folder that holds the cine series."
    )


def _check_one_study(path: Path, headers: list[ImageHeader]) -> None:
    studies: dict[str, list[ImageHeader]] = defaultdict(list)
    for header in headers:
        studies[header.study_uid].append(header)
    if len(studies) == 1:
        return
    named = [
        f"{pseudonym(uid)} ({len(images)} images in {_common_folder(images)})"
        for uid, images in sorted(studies.items(), key=lambda item: str(item[1][0].path))
    ]
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    raise StudyError(
        f"{path} holds {len(studies)} studies: {', '.join(named[:4])}{more}. Choose the folder of one of them."
    )


def _common_folder(headers: list[ImageHeader]) -> str:
    return os.path.commonpath([header.path.parent for header in headers])


class _Undecodable(Exception):
    """Images whose pixels cannot be read; their slices must be put together without them."""

    def __init__(self, failed: dict[ImageHeader, str]) -> None:
        self.failed = failed


def _read_cines(
    headers: list[ImageHeader], refused: list[RefusedFile], progress: Progress
) -> tuple[tuple[Cine, ...], list[str]]:
    """Cines of some images, and one line per decision; images that cannot be decoded are refused."""
    while True:
        stacks, notes = assemble_stacks(headers)
        pairs = sorted(zip(stacks, name_views(stacks), strict=True), key=_shown_first)
        counter = _ImageCounter(sum(len(stack.tracks) * stack.n_phases for stack in stacks), progress)
        names = _names([view for _, view in pairs])
        try:
            cines = tuple(
                _read_cine(name, stack, view, notes, counter) for name, (stack, view) in zip(names, pairs, strict=True)
            )
            return cines, notes
        except _Undecodable as error:
            refused += [RefusedFile(str(header.path), reason) for header, reason in error.failed.items()]
            headers = [header for header in headers if header not in error.failed]
            if not headers:
                raise StudyError(
                    f"{refused[-1].path}: {refused[-1].reason}. Export the study uncompressed, or copy it again."
                ) from error


def _names(views: list[NamedView]) -> list[str]:
    """Name each cine by its view, with a number from the second of a view on."""
    seen: Counter[str] = Counter()
    names = []
    for view in views:
        seen[view.view.value] += 1
        count = seen[view.view.value]
        names.append(view.view.value if count == 1 else f"{view.view.value}-{count}")
    return names


def _read_cine(name: str, stack: Stack, view: NamedView, notes: list[str], counter: _ImageCounter) -> Cine:
    tracks, timing, warnings = order_phases(stack)
    geometry = Geometry(tuple(track[0].plane for track in tracks))
    series = ", ".join(map(str, stack.series)) or "without number"
    size = f"{counted(len(tracks), 'slice')} x {counted(stack.n_phases, 'phase')}"
    notes.append(
        f"{name}: series {series}, {size} ordered by {timing.order_rule}, {_beat_source(tracks, timing)}, "
        f"view confidence {view.confidence:g}."
    )
    return Cine(
        name,
        _read_pixels(tracks, counter),
        geometry,
        view.view,
        view.confidence,
        timing,
        tracks[0][0].patient,
        (*stack.warnings, *warnings, *view.warnings, *_geometry_warnings(geometry), *_phase_warnings(stack)),
    )


def _beat_source(tracks: tuple[Track, ...], timing: Timing) -> str:
    if not timing.rr_ms:
        return "RR not known"
    n_stated = sum(any(header.rr_ms is not None for header in track) for track in tracks)
    source = "as stated" if n_stated == len(tracks) else f"stated for {n_stated} of {counted(len(tracks), 'slice')}"
    return f"RR {source}" if n_stated else "RR from the time between phases"


def _shown_first(item: tuple[Stack, NamedView]) -> tuple[int, float, int, tuple[int, ...]]:
    """Short axis first, then the long axes by name, the surest of a name first."""
    stack, view = item
    order = ("sax", "lax_2c", "lax_3c", "lax_4c", "other")
    return order.index(view.view.value), -view.confidence, -len(stack.tracks), stack.series


def _geometry_warnings(geometry: Geometry) -> list[str]:
    if geometry.n_slices == 1 or geometry.is_regular:
        return []
    steps = np.abs(np.diff(geometry.positions_mm))
    if steps.max() - steps.min() <= REGULAR_STEP_TOLERANCE * np.median(steps):
        return ["The slices are not quite parallel; check the stack."]
    z = int(steps.argmax())
    return [
        f"Slices {z + 1} and {z + 2} lie {steps[z]:.1f} mm apart but others {steps.min():.1f} mm; "
        "a slice may be missing. Each slice counts half way to its neighbours."
    ]


def _phase_warnings(stack: Stack) -> list[str]:
    if stack.n_phases > 1:
        return []
    return ["The study holds one phase: function (EF, stroke volume) cannot be measured from one phase."]


class _ImageCounter:
    """Tells how many of all images are read."""

    def __init__(self, n_images: int, progress: Progress) -> None:
        self._n_images, self._progress, self._n_read = n_images, progress, 0

    def count(self) -> None:
        if self._n_read % 25 == 0:
            fraction = HEADERS_SHARE + (1 - HEADERS_SHARE) * self._n_read / self._n_images
            self._progress(fraction, f"Reading image {self._n_read + 1} of {self._n_images}")
        self._n_read += 1


def _read_pixels(tracks: tuple[Track, ...], counter: _ImageCounter) -> NDArray[Any]:
    """Pixels (t, z, y, x) of ordered tracks."""
    headers = [header for track in tracks for header in track]
    images: list[NDArray[Any]] = []
    failed: dict[ImageHeader, str] = {}
    with tolerant_pydicom(), ThreadPoolExecutor(N_THREADS) as pool:
        for header, image in zip(headers, pool.map(_decode, headers), strict=True):
            counter.count()
            if isinstance(image, str):
                failed[header] = image
            else:
                images.append(image)
    if failed:
        raise _Undecodable(failed)
    stacked = np.stack(images).reshape(len(tracks), len(tracks[0]), *images[0].shape)  # (z, t, y, x)
    return np.ascontiguousarray(stacked.swapaxes(0, 1))  # -> (t, z, y, x)


def _decode(header: ImageHeader) -> NDArray[Any] | str:
    """Pixels of one image as its scanner meant them, or why there are none."""
    try:
        data = pydicom.dcmread(header.path)
        pixels = _as_meant(data.pixel_array, data)
    # Each decoder plug-in has its own errors; whichever it is, this image cannot be shown.
    except Exception as error:
        return f"its pixels cannot be decoded ({type(error).__name__})"
    if pixels.shape != (header.rows, header.columns) or not np.isfinite(pixels).all():
        return "its pixels do not make one image of finite numbers"
    return pixels


def _as_meant(stored: NDArray[Any], data: pydicom.Dataset) -> NDArray[Any]:
    """Apply what the header says of the stored numbers: inversion, then rescale."""
    inverted = data.get("PhotometricInterpretation") == "MONOCHROME1" or data.get("PresentationLUTShape") == "INVERSE"
    if inverted:
        # Bright must mean much signal. The mirror of the stored range, so that it is the same for every image.
        top = -1 if int(data.get("PixelRepresentation") or 0) else 2 ** int(data.BitsStored) - 1
        stored = (top - stored.astype(np.int32)).astype(stored.dtype)
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    if slope == 1 and intercept == 0:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return (stored * slope + intercept).astype(np.float32)
