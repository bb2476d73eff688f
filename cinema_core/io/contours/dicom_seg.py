"""DICOM Segmentation objects, matched to images by the SOPInstanceUID that each frame refers to."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND, Structure, outside_of
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.contours.imported import ImportedLabels, Slice
from cinema_core.io.dicom_headers import tolerant_pydicom

ORIGIN: Final = "dicom-seg"

SEGMENTATION_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_BY_TEXT: Final = (
    (Structure.LV_MYOCARDIUM, re.compile(r"myo", re.IGNORECASE)),
    (Structure.RV_CAVITY, re.compile(r"\brv|right ventric", re.IGNORECASE)),
    (Structure.LV_CAVITY, re.compile(r"\blv|left ventric", re.IGNORECASE)),
)
"""Words of segment labels, first match wins: "LV myocardium" is no cavity."""

PRESENT: Final = 0.5
"""A fractional segment covers a pixel from half on."""


def is_dicom_seg(path: Path) -> bool:
    """Whether a file is a DICOM segmentation."""
    import pydicom

    try:
        with tolerant_pydicom():
            data = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    # Whatever pydicom says of a file that is something else.
    except Exception:
        return False
    return str(data.get("SOPClassUID")) in SEGMENTATION_CLASSES


def read_dicom_seg(path: Path, cine: Cine) -> ImportedLabels:
    """Read a segmentation that was made on the images of a cine.

    Segments are told by their coded type (SNOMED CT), else by their label.

    Raises
    ------
    LabelError
        If it cannot be read, names no structure that is known, or belongs to other images.
    """
    from highdicom.seg import segread  # here: opening a study needs none of it

    try:
        with tolerant_pydicom():
            seg = segread(path)
            segments = {number: seg.get_segment_description(number) for number in seg.segment_numbers}
    # highdicom checks an object deeply; whatever it finds wrong, this file cannot be used.
    except Exception as error:
        raise LabelError(
            f"{path} is not a DICOM segmentation that can be read ({type(error).__name__}). Export it again."
        ) from error
    named = {number: _structure_of(segment) for number, segment in segments.items()}
    unknown = Counter(str(segments[number].segment_label) for number, structure in named.items() if structure is None)
    drawn = {structure for structure in named.values() if structure is not None}
    if not drawn:
        raise LabelError(
            f"{path} has no segment of LV, RV or myocardium; found: {', '.join(unknown) or 'none'}. Choose another one."
        )
    masks, unmatched = _masks(seg, named, drawn, cine)
    if not masks:
        raise LabelError(f"{path} was not made on the images of the cine {cine.id}. Choose the one of this study.")
    return ImportedLabels(ORIGIN, masks, len(drawn), unmatched, dict(unknown))


def _structure_of(segment: Any) -> Structure | None:
    code = str(segment.segmented_property_type.value)
    by_code = next((structure for structure in FOREGROUND if structure.snomed_ct == code), None)
    if by_code is not None:
        return by_code
    return next((structure for structure, words in _BY_TEXT if words.search(str(segment.segment_label))), None)


def _masks(
    seg: Any, named: dict[int, Structure | None], drawn: set[Structure], cine: Cine
) -> tuple[dict[Slice, NDArray[np.uint8]], int]:
    """Labels by slice, and the number of images that are not the cine's."""
    wanted = {(source.sop_instance_uid, source.frame): where for where, source in cine.sources.items()}
    around = Structure.BACKGROUND if drawn == set(FOREGROUND) else outside_of(drawn)
    masks: dict[Slice, NDArray[np.uint8]] = {}
    unmatched: set[tuple[str, int]] = set()
    frames = seg.pixel_array if seg.pixel_array.ndim == 3 else seg.pixel_array[None]
    scale = float(seg.get("MaximumFractionalValue") or 1) if seg.SegmentationType == "FRACTIONAL" else 1.0
    is_map = seg.SegmentationType == "LABELMAP"
    # Cavities over myocardium over the right ventricle, whatever the order of frames.
    known = {number: structure for structure in FOREGROUND for number, one in named.items() if one is structure}
    parts: dict[int, list[tuple[Slice, NDArray[np.bool_]]]] = {number: [] for number in known}
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        image = _image_of(_shared_too(seg, group, "DerivationImageSequence"))
        where = wanted.get(image) if image is not None else None
        if where is None:
            unmatched |= {image} if image is not None else set()
            continue
        if frame.shape != cine.image_extent(where[1]):
            raise LabelError("The segmentation has another matrix than its images, so it cannot be placed on them.")
        masks.setdefault(where, np.full(cine.shape[2:], around, np.uint8))
        if is_map:
            for number in known:
                parts[number].append((where, frame == number))
        else:
            number = int(_shared_too(seg, group, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber)
            if number in parts:
                parts[number].append((where, frame / scale >= PRESENT))
    for number, structure in known.items():
        for where, inside in parts[number]:
            masks[where][: inside.shape[0], : inside.shape[1]][inside] = structure
    return masks, len(unmatched)


def _shared_too(seg: Any, group: Any, name: str) -> Any:
    """Functional group of a frame, or that of all frames: one segment or one image alone stands there."""
    own = group.get(name)
    return own if own else (seg.SharedFunctionalGroupsSequence[0].get(name) or [])


def _image_of(derivations: Any) -> tuple[str, int] | None:
    """SOPInstanceUID and frame (from 0) of the image that a frame of a segmentation was made on."""
    for derivation in derivations:
        for source in derivation.get("SourceImageSequence") or []:
            frames = np.atleast_1d(source.get("ReferencedFrameNumber") or 1)
            return str(source.ReferencedSOPInstanceUID), int(frames[0]) - 1
    return None
