"""Frames of multi-frame MR objects: enhanced ones with functional groups, and plain ones with a single plane."""

from __future__ import annotations

from typing import Any, Final

import pydicom

from cinema_core.cine import Plane
from cinema_core.io.dicom_headers import (
    ImageHeader,
    Refusal,
    believable_beat,
    image_header,
    number,
    plane_of,
    seconds_of_day,
)
from cinema_core.io.files import SourceFile

MAX_FRAMES: Final = 20_000
"""30 slices of 100 phases in magnitude and phase are 6,000; far more is a damaged number."""


def frame_headers(data: pydicom.FileDataset, file: SourceFile) -> list[ImageHeader]:
    """Return one header per frame.

    Frames say for themselves where and when they were taken (DICOM PS3.3, A.36 and C.7.6.16). Their order in the
    object means nothing: Philips writes it at random (dcm2niix issue 372).
    """
    n_frames = int(data.get("NumberOfFrames") or 1)
    if not 1 <= n_frames <= MAX_FRAMES:
        raise Refusal(f"damaged: it claims to hold {n_frames} frames")
    shared = _first(data.get("SharedFunctionalGroupsSequence"))
    own = list(data.get("PerFrameFunctionalGroupsSequence") or [])
    if own and len(own) != n_frames:
        raise Refusal(f"damaged: {n_frames} frames but positions for {len(own)}")
    if not own and shared is None:
        return _plain_frames(data, file, n_frames)
    headers = [_frame(data, file, k, _Groups(group, shared)) for k, group in enumerate(own or [None] * n_frames)]
    placed = [header for header in headers if header.plane is not None]
    return placed if len(placed) == len(headers) else _without_geometry(headers)


def rescale_of_frame(data: pydicom.Dataset, k: int) -> tuple[float, float]:
    """Slope and intercept from stored to meant numbers; each frame may have its own."""
    own = list(data.get("PerFrameFunctionalGroupsSequence") or [])
    groups = _Groups(own[k] if k < len(own) else None, _first(data.get("SharedFunctionalGroupsSequence")))
    slope = groups.value("PixelValueTransformationSequence", "RescaleSlope")
    intercept = groups.value("PixelValueTransformationSequence", "RescaleIntercept")
    if slope is None and intercept is None:
        slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    return float(slope or 1), float(intercept or 0)


def _plain_frames(data: pydicom.FileDataset, file: SourceFile, n_frames: int) -> list[ImageHeader]:
    """Frames of an object without functional groups: one plane, one after the other in time."""
    placed = all(
        data.get(name) not in (None, "") for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
    )
    plane = None
    if placed:
        plane = plane_of(data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing)
    # What the object says of a moment is that of its first frame.
    frame_ms = number(data.get("FrameTime"))
    return [
        image_header(
            data,
            file,
            k,
            plane,
            trigger_ms=None if frame_ms is None or n_frames * frame_ms > 2000 else k * frame_ms,
            temporal_position=None,
            instance_number=float(k + 1),
        )
        for k in range(n_frames)
    ]


def _without_geometry(headers: list[ImageHeader]) -> list[ImageHeader]:
    if any(header.plane is not None for header in headers):
        raise Refusal("no geometry: some of its frames do not say where they lie")
    return headers


class _Groups:
    """Functional groups of one frame, those that it shares with the others behind its own."""

    def __init__(self, own: pydicom.Dataset | None, shared: pydicom.Dataset | None) -> None:
        self._groups = [group for group in (own, shared) if group is not None]

    def value(self, sequence: str, name: str) -> Any:
        """Value of an attribute in a functional group; None if it is not there."""
        for group in self._groups:
            item = _first(group.get(sequence))
            if item is not None and item.get(name) not in (None, ""):
                return item.get(name)
        return None

    def legacy(self, name: str) -> Any:
        """Value that a converter from classic images could place nowhere else."""
        own = self.value("UnassignedPerFrameConvertedAttributesSequence", name)
        return self.value("UnassignedSharedConvertedAttributesSequence", name) if own is None else own


def _frame(data: pydicom.FileDataset, file: SourceFile, k: int, groups: _Groups) -> ImageHeader:
    position = groups.value("PlanePositionSequence", "ImagePositionPatient")
    orientation = groups.value("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = groups.value("PixelMeasuresSequence", "PixelSpacing")
    known = None not in (position, orientation, spacing)
    plane: Plane | None = plane_of(position, orientation, spacing) if known else None
    frame_type = groups.value("MRImageFrameTypeSequence", "FrameType") or []
    trigger = groups.value("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
    stated = number(
        groups.value("CardiacSynchronizationSequence", "RRIntervalTimeNominal") or groups.legacy("NominalInterval")
    )
    taken = groups.value("FrameContentSequence", "FrameAcquisitionDateTime") or groups.value(
        "FrameContentSequence", "FrameReferenceDateTime"
    )
    return image_header(
        data,
        file,
        k,
        plane,
        kind=str(frame_type[2]) if len(frame_type) > 2 else "",
        trigger_ms=number(groups.legacy("TriggerTime") if trigger is None else trigger),
        temporal_position=number(groups.value("FrameContentSequence", "TemporalPositionIndex")),
        acquisition_s=seconds_of_day(taken),
        instance_number=float(k + 1),
        inversion_ms=number(groups.value("MRTimingAndRelatedParametersSequence", "InversionTime")),
        echo_ms=number(groups.value("MREchoSequence", "EffectiveEchoTime")),
        rr_ms=stated if believable_beat(stated) else None,
        rr_source="stated" if believable_beat(stated) else None,
    )


def _first(sequence: Any) -> pydicom.Dataset | None:
    return sequence[0] if sequence else None
