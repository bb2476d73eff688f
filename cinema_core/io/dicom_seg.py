"""Labels of one phase as a DICOM Segmentation that refers to the images it was drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cinema_core.anatomy import FOREGROUND, Structure, may_hold
from cinema_core.cards import ModelCard
from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, LabelError, StudyError
from cinema_core.io.dicom_sources import (
    CHARACTERS,
    MANUFACTURER,
    SERIAL_NUMBER,
    SourceFrame,
    made_of_images,
    source_frames,
)

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription

SERIES_DESCRIPTION: Final = "Ventricles, research use only"

SAME: Final = 1e-4
"""Pixel sizes (mm) and directions that differ by less differ by how they were rounded."""

_SHARED: Final = {"PixelMeasuresSequence": "PixelSpacing", "PlaneOrientationSequence": "ImageOrientationPatient"}


@dataclass(frozen=True)
class DrawnBy:
    """Who drew.

    Attributes
    ----------
    card
        Model that the labels came or started from; None if a hand drew all.
    is_corrected
        Whether a reader corrected any of it.
    """

    software_version: str
    card: ModelCard | None = None
    is_corrected: bool = False


def dicom_segmentations(
    labels: NDArray[np.uint8],
    cine: Cine,
    phases: Mapping[str, int],
    origin: DrawnBy,
    only: Mapping[str, Structure] | None = None,
) -> dict[str, Segmentation]:
    """Make one segmentation object per phase; together they are a series of the cine's study.

    A segment is a structure that was drawn, on every slice that shows it. Frames lie in the frame of reference of the
    images and refer to them. The objects name the patient as the images do.

    Parameters
    ----------
    labels
        Values 0 to 3, or of :func:`~cinema_core.anatomy.outside_of`; uint8, shape (t, z, y, x).
    phases
        Frames from 0 by name: ``{"ED": 0, "ES": 9}``.
    only
        Structure that a phase is of, by its name; all that was drawn where none is named.

    Returns
    -------
    Objects by the same names; highdicom's, ready to be saved.

    Raises
    ------
    StudyError
        If the cine was not read from DICOM files that are still there, or they lack what a segmentation needs.
    LabelError
        If a phase has no label, or unlabelled pixels.
    GeometryError
        If slices differ in size, or lie in different frames of reference, which one object cannot hold.
    """
    from highdicom import UID  # here: it is slow to import, and most commands do without

    if cine.slice_sizes:
        raise GeometryError(
            "The slices have images of different size, which one DICOM segmentation cannot hold. Export NIfTI."
        )
    series_uid = str(UID())
    with made_of_images(cine):
        sources = _in_one_frame(source_frames(cine, phases.values()), cine)
        return {
            name: _segmentation(
                _alone(labels[t], (only or {}).get(name)), cine, t, name, sources, origin, series_uid, number
            )
            for number, (name, t) in enumerate(phases.items(), start=1)
        }


def series_number(source: Dataset, kind: int) -> int:
    """Return the number of a series of ours: that of the images with two digits behind it, so that both are near."""
    return int(source.get("SeriesNumber") or 0) * 100 + kind


def _in_one_frame(sources: Mapping[tuple[int, int], SourceFrame], cine: Cine) -> dict[tuple[int, int], SourceFrame]:
    """Images as they are, or in a frame of reference of their own if theirs say nothing of how they lie.

    Sunnybrook's have one each. They were read as one stack by their positions, and so the object holds them; that it
    is of these images is told by what it refers to.
    """
    from highdicom import UID

    if len(set(cine.frames_of_reference) - {""}) > 1:
        raise GeometryError(
            "The slices lie in different frames of reference: the patient or the table was moved in between. One DICOM "
            "segmentation cannot hold them. Export NIfTI."
        )
    stated = {str(one.header.get("FrameOfReferenceUID", "")) for one in sources.values()}
    if len(stated) == 1 and stated != {""}:
        return dict(sources)
    # Where some images leave out what all others state, it is theirs, too.
    own = next(iter(stated - {""})) if len(stated - {""}) == 1 else str(UID())
    return {where: replace(one, header=_with(one.header, FrameOfReferenceUID=own)) for where, one in sources.items()}


def _segmentation(
    labels: NDArray[np.uint8],
    cine: Cine,
    t: int,
    name: str,
    sources: Mapping[tuple[int, int], SourceFrame],
    origin: DrawnBy,
    series_uid: str,
    number: int,
) -> Segmentation:
    from highdicom import UID
    from highdicom.seg import Segmentation, SegmentationTypeValues

    drawn = _drawn_structures(labels, name)
    numbered = np.zeros_like(labels)
    for segment, structure in enumerate(drawn, start=1):
        numbered[labels == structure] = segment
    images, pixels, frames = _on_images(numbered, t, sources)
    source = images[0]
    segmentation = Segmentation(
        source_images=images if frames else _alike(images),
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(k, structure, origin) for k, structure in enumerate(drawn, start=1)],
        series_instance_uid=series_uid,
        series_number=series_number(source, 1),
        sop_instance_uid=str(UID()),
        instance_number=number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=origin.software_version,
        device_serial_number=SERIAL_NUMBER,
        content_label=name.upper(),
        content_description=f"{name}, phase {t + 1} of {cine.n_phases}",
        series_description=SERIES_DESCRIPTION,
        content_qualification="RESEARCH",
        specific_character_set=CHARACTERS,
    )
    _refer_to_series(segmentation, images)
    if frames:
        _refer_to_frames(segmentation, frames)
    return segmentation


def _alone(labels: NDArray[np.uint8], structure: Structure | None) -> NDArray[np.uint8]:
    """Labels of a phase (z, y, x) with one structure only: what was measured there, and nothing beside it."""
    if structure is None:
        return labels
    others = np.isin(labels, [one for one in FOREGROUND if one is not structure])
    return np.where(others, np.uint8(Structure.BACKGROUND), labels)


def _drawn_structures(labels: NDArray[np.uint8], name: str) -> list[Structure]:
    """Structures that the labels of a phase (z, y, x) show, and of which they leave nothing open."""
    drawn = [s for s in FOREGROUND if (labels == s).any() and not may_hold(labels, s).any()]
    if not drawn:
        raise LabelError(f"{name} has no structure that is drawn on all slices. Segment or draw it first.")
    return drawn


def _on_images(
    numbered: NDArray[np.uint8], t: int, sources: Mapping[tuple[int, int], SourceFrame]
) -> tuple[list[Dataset], NDArray[np.uint8], list[int]]:
    """Images of a phase, the segments on them (image, y, x), and of a multi-frame object its frames of the phase."""
    slices = [z for z in range(len(numbered)) if (t, z) in sources]
    frames = [sources[t, z] for z in slices]
    if not any(one.is_multi_frame for one in frames):
        return [one.header for one in frames], numbered[slices], []
    if len({one.header.SOPInstanceUID for one in frames}) > 1:
        raise StudyError(
            "The phase is spread over several multi-frame objects; one segmentation cannot refer to them. Export NIfTI."
        )
    numbers = [one.frame for one in frames]
    return [_of_phase(frames[0].header, numbers)], numbered[slices], numbers


def _of_phase(header: Dataset, frames: list[int]) -> Dataset:
    """Multi-frame object as if it held these frames only: highdicom takes no two frames at one place."""
    phase = _with(header)
    phase.NumberOfFrames = len(frames)
    phase.PerFrameFunctionalGroupsSequence = [header.PerFrameFunctionalGroupsSequence[k] for k in frames]
    _share_geometry(phase)
    return phase


def _with(image: Dataset, **values: Any) -> Dataset:
    """Image as if some of its attributes had these values."""
    changed = Dataset()
    changed.update(image)
    changed.file_meta = image.file_meta
    for keyword, value in values.items():
        setattr(changed, keyword, value)
    return changed


def _alike(images: Sequence[Dataset]) -> list[Dataset]:
    """Classic images as highdicom takes them: of one series, and turned alike.

    Scanners make a series per slice, and write directions that differ in the last digit.
    """
    first = images[0]
    common = {"SeriesInstanceUID": first.SeriesInstanceUID}
    for keyword in _SHARED.values():
        if not all(np.allclose(image[keyword].value, first[keyword].value, atol=SAME) for image in images):
            raise GeometryError(
                "The slices differ in pixel size or orientation; one segmentation cannot hold them. Export NIfTI."
            )
        common[keyword] = first[keyword].value
    return [_with(image, **common) for image in images]


def _refer_to_series(segmentation: Segmentation, images: Sequence[Dataset]) -> None:
    """Name the series that the images really are of."""
    of_series: dict[str, list[Dataset]] = {}
    for image in images:
        instance = Dataset()
        instance.ReferencedSOPClassUID = image.SOPClassUID
        instance.ReferencedSOPInstanceUID = image.SOPInstanceUID
        of_series.setdefault(str(image.SeriesInstanceUID), []).append(instance)
    referenced = []
    for uid, instances in of_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedInstanceSequence = instances
        referenced.append(series)
    segmentation.ReferencedSeriesSequence = referenced


def _refer_to_frames(segmentation: Segmentation, frames: list[int]) -> None:
    """Let the frames of a segmentation refer to those of the whole multi-frame object."""
    images = [
        image
        for group in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for image in derivation.SourceImageSequence
    ]
    # Frames of two segments on one image may share the item.
    for image in {id(image): image for image in images}.values():
        image.ReferencedFrameNumber = frames[int(image.ReferencedFrameNumber) - 1] + 1


def _share_geometry(header: Dataset) -> None:
    """State pixel size and orientation once for all frames, where highdicom looks for them; only in memory.

    Objects may state both frame by frame.
    """
    shared = header.SharedFunctionalGroupsSequence[0]
    for group, attribute in _SHARED.items():
        if group in shared:
            continue
        stated = [frame[group].value[0] for frame in header.PerFrameFunctionalGroupsSequence]
        if not all(np.allclose(one[attribute].value, stated[0][attribute].value, atol=SAME) for one in stated):
            raise GeometryError(
                "The frames differ in pixel size or orientation; one segmentation cannot hold them. Export NIfTI."
            )
        setattr(shared, group, [stated[0]])


def _describe(number: int, structure: Structure, origin: DrawnBy) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription

    algorithm, kind = None, SegmentAlgorithmTypeValues.MANUAL
    if origin.card is not None:
        corrected, automatic = SegmentAlgorithmTypeValues.SEMIAUTOMATIC, SegmentAlgorithmTypeValues.AUTOMATIC
        kind = corrected if origin.is_corrected else automatic
        algorithm = AlgorithmIdentificationSequence(
            name=origin.card.name,
            family=codes.DCM.ArtificialIntelligence,
            version=origin.software_version,
            source=MANUFACTURER,
            parameters={"sha256": origin.card.sha256},
        )
    return SegmentDescription(
        segment_number=number,
        segment_label=structure.display_name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=structure_code(structure),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        tracking_uid=None,
        display_color=CIELabColor(*_lab(structure.colour)),
    )


def structure_code(structure: Structure) -> Code:
    """Code of a structure for DICOM objects."""
    return Code(structure.snomed_ct, "SCT", _MEANINGS[structure])


_MEANINGS: Final = {
    Structure.RV_CAVITY: "Right ventricle",
    Structure.LV_MYOCARDIUM: "Left Ventricle Myocardium",
    Structure.LV_CAVITY: "Left ventricle",
}
"""As DICOM PS3.16 spells them."""


def _lab(colour: str) -> Sequence[float]:
    """CIELab values of ``#rrggbb``."""
    from skimage.color import rgb2lab

    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    values: list[float] = rgb2lab(rgb).tolist()
    return values
