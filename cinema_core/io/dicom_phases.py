"""Third step of opening DICOM: order the phases of every slice, and find the length of the beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from cinema_core.cine import Timing
from cinema_core.io.dicom_headers import ImageHeader
from cinema_core.io.dicom_stacks import Stack, Track

TRIGGER_RANGE_MS: Final = 2000.0
"""Philips writes the start of a dynamic scan (308000 ms) or the inversion time into TriggerTime
(dcm2niix issues 395, 408, 499): times of one beat do not spread further than this."""

_RULES: Final[tuple[tuple[str, Callable[[ImageHeader], float | None]], ...]] = (
    ("trigger time", lambda header: header.trigger_ms),
    ("temporal position", lambda header: header.temporal_position),
    ("acquisition time", lambda header: header.acquisition_s),
    ("instance number", lambda header: header.instance_number),
)
"""What phases are ordered by, best first."""


def order_phases(stack: Stack) -> tuple[tuple[Track, ...], Timing, tuple[str, ...]]:
    """Order the images of every slice by the best rule that holds for all slices.

    Returns
    -------
    Tracks with their images in order, the timing, and warnings for the reader.
    """
    for rule, value_of in _RULES:
        if all(_orders(track, rule, value_of) for track in stack.tracks):
            tracks = tuple(tuple(sorted(track, key=lambda h: value_of(h) or 0.0)) for track in stack.tracks)
            break
    else:
        rule, tracks = "file order", stack.tracks
    warnings = []
    if rule != "trigger time" and stack.n_phases > 1:
        n_without = sum(any(h.trigger_ms is None for h in track) for track in stack.tracks)
        why = (
            f"{n_without} of {len(tracks)} slices have no trigger time"
            if n_without
            else "trigger times are not those of one beat"
        )
        warnings.append(f"{why}; phases were ordered by {rule}. Check the loop before reporting.")
    trigger_ms = None
    if rule == "trigger time" and stack.n_phases > 1:
        times = np.array([[h.trigger_ms for h in track] for track in tracks], dtype=np.float64)  # (z, t)
        trigger_ms = tuple(float(v) for v in np.median(times, axis=0))
    return tracks, Timing(trigger_ms, _rr_ms(tracks, rule), rule), tuple(warnings)


def _orders(track: Track, rule: str, value_of: Callable[[ImageHeader], float | None]) -> bool:
    """Whether a value is there for every image, tells them apart, and can be believed."""
    values = [value for value in map(value_of, track) if value is not None]
    if len(values) < len(track) or len(set(values)) < len(track):
        return False
    return rule != "trigger time" or max(values) - min(values) <= TRIGGER_RANGE_MS


def _rr_ms(tracks: tuple[Track, ...], rule: str) -> tuple[float, ...]:
    """Beat length per slice: as stated, else phases times the time between them; empty if one is not known."""
    lengths: list[float] = []
    for track in tracks:
        stated = [h.rr_ms for h in track if h.rr_ms is not None]
        if stated:
            lengths.append(float(np.median(stated)))
        elif rule == "trigger time" and len(track) > 2:
            times = np.array([h.trigger_ms for h in track], dtype=np.float64)
            # The mean step, not the median: scanners round trigger times to whole ms.
            lengths.append(float(np.mean(np.diff(times))) * len(track))
        else:
            return ()
    return tuple(lengths)
