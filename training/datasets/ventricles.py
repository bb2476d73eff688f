"""ED and ES with drawn ventricles, as ACDC, M&Ms and M&Ms-2 give them: prepared together, centred on the LV at ED."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cinema_core.errors import LabelError
from training.datasets.volumes import (
    LV,
    SAX_SIZE,
    SAX_SPACING_MM,
    Box,
    Image,
    Volumes,
    array_of,
    as_bytes,
    box_around,
    crop,
    label_image,
    read_volume,
    resample,
    spacing_columns,
    ventricles,
    write_volume,
)


@dataclass(frozen=True)
class Pair:
    """Files of one stack or long-axis view at ED and ES."""

    ed: Path
    es: Path
    ed_labels: Path
    es_labels: Path


@dataclass(frozen=True, eq=False)
class Drawn:
    """One phase: its image and, on the same grid, its labels in the models' order."""

    image: Image
    labels: Image


@dataclass(frozen=True, eq=False)
class PairPlace:
    """Where a prepared pair lies in its raw images, and what is known of it.

    Attributes
    ----------
    raw
        The image of ED as it came.
    spacing_mm
        Spacing that was resampled to.
    box
        Window that was cut out after that.
    """

    raw: Image
    spacing_mm: Sequence[float]
    box: Box
    volumes: Volumes
    n_slices: int

    def place(self, frame: Image) -> Image:
        """Put another frame of the same stack on the same grid.

        Raises
        ------
        LabelError
            If the frame has another size.
        """
        if frame.GetSize() != self.raw.GetSize():
            raise LabelError("the cine has another size than its ED frame. Take both files from one download.")
        return crop(resample(frame, self.spacing_mm), self.box)

    def spacing(self, name: str, axes: str = "xyz") -> dict[str, float]:
        """Columns with the spacing of the raw image."""
        return spacing_columns(name, self.raw, axes)


def read_drawn(image: Path, labels: Path, order: Mapping[int, int]) -> Drawn:
    """Read one phase.

    Raises
    ------
    StudyError, GeometryError, LabelError
        If a file is missing, damaged, or the two do not fit.
    """
    volume = read_volume(image)
    return Drawn(volume, label_image(read_volume(labels), volume, order, labels.name))


def prepare_pair(pair: Pair, order: Mapping[int, int], stem: Path) -> PairPlace:
    """Prepare a short-axis pair; see :func:`prepare_drawn`."""
    ed, es = read_drawn(pair.ed, pair.ed_labels, order), read_drawn(pair.es, pair.es_labels, order)
    return prepare_drawn(ed, es, stem)


def prepare_drawn(
    ed: Drawn, es: Drawn, stem: Path, spacing_mm: Sequence[float] = SAX_SPACING_MM, size: int = SAX_SIZE
) -> PairPlace:
    """Resample ED and ES, cut both out about the LV at ED, and write ``STEM_{ed,es}[_gt].nii.gz``.

    Raises
    ------
    LabelError
        If ED and ES have different sizes, or ED shows no LV.
    StorageError
        If the disk refuses.
    """
    if ed.image.GetSize() != es.image.GetSize():
        raise LabelError("ED and ES have different sizes. Take both files from one download.")
    labels = [resample(drawn.labels, spacing_mm, labels=True) for drawn in (ed, es)]
    box = box_around(array_of(labels[0]) == LV, size)
    labels = [crop(image, box) for image in labels]
    for phase, drawn, drawn_labels in zip(("ed", "es"), (ed, es), labels, strict=True):
        (image,) = as_bytes([crop(resample(drawn.image, spacing_mm), box)])
        write_volume(stem.with_name(f"{stem.name}_{phase}.nii.gz"), image)
        write_volume(stem.with_name(f"{stem.name}_{phase}_gt.nii.gz"), drawn_labels)
    return PairPlace(ed.image, spacing_mm, box, ventricles(*labels), labels[0].GetSize()[2])
