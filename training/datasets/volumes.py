"""What the published preparation does to an image: resample, cut out the heart, stretch the grey values, store.

Volumes are SimpleITK images, (x, y, z) in LPS millimetres, because the published files were made by its resampling;
arrays taken from them are (z, y, x). A cine is a list of them, one per phase.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from cinema_core.cine import Geometry
from cinema_core.disk import disk_errors
from cinema_core.errors import GeometryError, LabelError, StudyError
from cinema_core.geometry import scale_frames
from cinema_core.io.nifti import read_image

Image = Any  # SimpleITK has no types
Frames = list[Image]
Box = tuple[slice, slice]
"""Pixels (x, y) of a window."""

SAX_SPACING_MM: Final = (1.0, 1.0, 10.0)
LAX_SPACING_MM: Final = (1.0, 1.0)
SAX_SIZE: Final = 192
LAX_SIZE: Final = 256

MODEL_ORDER: Final = {0: 0, 1: 1, 2: 2, 3: 3}
"""ACDC: RV, muscle, LV; as the models count."""
LV_FIRST: Final = {0: 0, 1: 3, 2: 2, 3: 1}
"""M&Ms, M&Ms-2 and Rescan: LV, muscle, RV, to what the models count."""
RV, MYOCARDIUM, LV = 1, 2, 3

_LEAST_SINE: Final = 0.1
"""Long-axis planes that stand at less than 6 degrees to each other have no line of intersection to rely on."""


@dataclass(frozen=True)
class Volumes:
    """Volumes (ml) of both ventricles at ED and ES."""

    lv_edv: float
    lv_esv: float
    rv_edv: float
    rv_esv: float

    def row(self) -> dict[str, float]:
        """Columns of the metadata table; EF in percent, 0 of a ventricle that is not there."""
        return {
            "lv_edv": self.lv_edv,
            "lv_esv": self.lv_esv,
            "lv_ef": ejection_fraction_pct(self.lv_edv, self.lv_esv),
            "rv_edv": self.rv_edv,
            "rv_esv": self.rv_esv,
            "rv_ef": ejection_fraction_pct(self.rv_edv, self.rv_esv),
        }


def ejection_fraction_pct(edv_ml: float, esv_ml: float) -> float:
    """Share of the ED volume that is ejected; 0 if there is none."""
    return 100 * (edv_ml - esv_ml) / edv_ml if edv_ml > 0 else 0.0


def read_frames(path: Path) -> Frames:
    """Every phase of an image file.

    Raises
    ------
    StudyError
        If it is missing, damaged or no grey-scale image.
    GeometryError
        If its voxels have no size, or its axes are not perpendicular.
    """
    found = read_image(path)
    return frames_of(found.voxels, found.geometry)


def read_volume(path: Path) -> Image:
    """Read an image file of one phase.

    Raises
    ------
    StudyError, GeometryError
        As :func:`read_frames`; also if there are several phases.
    """
    frames = read_frames(path)
    if len(frames) != 1:
        raise StudyError(f"{path.name} holds {len(frames)} phases; one was expected. Take the file as published.")
    return frames[0]


def frames_of(pixels: NDArray[Any], geometry: Geometry) -> Frames:
    """Images of a cine.

    Parameters
    ----------
    pixels
        Shape (t, z, y, x).

    Raises
    ------
    GeometryError
        If the axes are not perpendicular.
    """
    affine = geometry.affine()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    frames = []
    for frame in pixels:
        image = sitk.GetImageFromArray(np.ascontiguousarray(frame))
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        try:
            image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
        except RuntimeError as error:
            raise GeometryError("The axes of the stack are not perpendicular; it cannot be resampled.") from error
        frames.append(image)
    return frames


def array_of(image: Image) -> NDArray[Any]:
    """Copy of the voxels (z, y, x)."""
    return np.asarray(sitk.GetArrayFromImage(image))


def with_array(image: Image, voxels: NDArray[Any]) -> Image:
    """Put other voxels (z, y, x) in the place of an image's."""
    made = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    made.CopyInformation(image)
    return made


def label_image(labels: Image, like: Image, order: Mapping[int, int], name: str) -> Image:
    """Bring a label image to the values that the models know.

    Parameters
    ----------
    labels, like
        The labels, and the image that they were drawn on.
    order
        Value in the file to the model's.
    name
        Of the file, for the error.

    Raises
    ------
    LabelError
        If the labels have another shape than the image, or unknown values.
    """
    if labels.GetSize() != like.GetSize():
        found, wanted = (" x ".join(map(str, image.GetSize())) for image in (labels, like))
        raise LabelError(f"{name} has {found} voxels, its image has {wanted}. Take both files from one download.")
    voxels = array_of(labels)
    values = np.unique(voxels)
    if unknown := [value for value in values.tolist() if value not in order]:
        known = ", ".join(map(str, order))
        raise LabelError(f"{name} holds the label {unknown[0]:g}; known are {known}. Take the file as published.")
    mapped = np.zeros(voxels.shape, dtype=np.uint8)
    for value in values.tolist():
        mapped[voxels == value] = order[int(value)]
    return with_array(like, mapped)  # lies where its image lies


def resample(image: Image, spacing_mm: Sequence[float], *, labels: bool = False) -> Image:
    """Resample to another spacing; the outer corner stays where it is and outside is 0.

    Linear for images, nearest neighbour for labels; the pixel type is kept.

    Parameters
    ----------
    spacing_mm
        (x, y, z), or (x, y) to leave the slices as they are.
    """
    old = np.array(image.GetSpacing())
    new = np.array([*spacing_mm, *old[len(spacing_mm) :]])
    size = [max(1, round(n * s / t)) for n, s, t in zip(image.GetSize(), old, new, strict=True)]
    direction = np.array(image.GetDirection()).reshape(3, 3)
    origin = np.array(image.GetOrigin()) + direction @ ((new - old) / 2)
    how = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    return sitk.Resample(
        image, size, sitk.Transform(), how, origin.tolist(), new.tolist(), image.GetDirection(), 0, image.GetPixelID()
    )


def box_around(mask: NDArray[np.bool_], size: int) -> Box:
    """Square window about the bounding box of a mask, moved to stay inside; an axis that is shorter stays whole.

    Parameters
    ----------
    mask
        Shape (z, y, x).

    Raises
    ------
    LabelError
        If the mask is empty.
    """
    if not mask.any():
        raise LabelError("the structure that the heart is centred on is not labelled. Leave the case out or label it.")
    _, rows, columns = np.nonzero(mask)
    return _window(columns, mask.shape[2], size), _window(rows, mask.shape[1], size)


def middle_box(image: Image, size: int) -> Box:
    """Square window in the middle of an image; an axis that is shorter stays whole."""
    starts = [max(0, (n - size) // 2) for n in image.GetSize()[:2]]
    x, y = (slice(first, first + min(size, n)) for first, n in zip(starts, image.GetSize()[:2], strict=True))
    return x, y


def _window(indices: NDArray[np.integer], n: int, size: int) -> slice:
    if n <= size:
        return slice(0, n)
    centre = (int(indices.min()) + int(indices.max())) / 2
    first = min(max(0, math.ceil(centre - (size - 1) / 2)), n - size)
    return slice(first, first + size)


def crop(image: Image, box: Box) -> Image:
    """Cut a window (x, y) out of every slice."""
    x, y = box
    return image[x.start : x.stop, y.start : y.stop, :]


def window_at(image: Image, centre_mm: NDArray[np.float64], size: int) -> Image:
    """Cut a square window about a point of the patient out of every slice; outside of the image is 0."""
    at = image.TransformPhysicalPointToContinuousIndex(centre_mm.tolist())
    x0, y0 = (int(at[axis] - (size - 1) / 2) for axis in (0, 1))
    source = array_of(image)
    voxels = np.zeros((source.shape[0], size, size), dtype=source.dtype)
    columns, rows = (
        slice(max(0, first), min(n, first + size)) for first, n in ((x0, source.shape[2]), (y0, source.shape[1]))
    )
    if columns.start >= columns.stop or rows.start >= rows.stop:
        raise GeometryError("the planes meet outside of the image; the heart cannot be cut out.")
    voxels[:, rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = source[:, rows, columns]
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(image.GetSpacing())
    made.SetDirection(image.GetDirection())
    made.SetOrigin(image.TransformIndexToPhysicalPoint((x0, y0, 0)))
    return made


def planes_meet_mm(sax: Image, lax_2c: Image, lax_4c: Image) -> NDArray[np.float64]:
    """Point (LPS, mm) where the 2- and 4-chamber planes cut each other in the first short-axis slice: mid-LV.

    Raises
    ------
    GeometryError
        If two of the planes are parallel.
    """
    images = (lax_2c, lax_4c, sax)
    normals = np.array([np.array(image.GetDirection()).reshape(3, 3)[:, 2] for image in images])
    if abs(float(np.linalg.det(normals))) < _LEAST_SINE:
        raise GeometryError("the 2-chamber, 4-chamber and short-axis planes do not cut each other in one point.")
    distances = [float(normal @ np.array(image.GetOrigin())) for normal, image in zip(normals, images, strict=True)]
    return np.linalg.solve(normals, np.array(distances))


def stretched(frames: Frames) -> Frames:
    """Grey values 0 to 1, float32, each frame by its own percentiles."""
    scaled = scale_frames(np.stack([array_of(frame) for frame in frames]))
    return [with_array(frame, voxels) for frame, voxels in zip(frames, scaled, strict=True)]


def as_bytes(frames: Frames) -> Frames:
    """Grey values 0 to 255, each frame by its own percentiles, cut to whole numbers as published."""
    return [with_array(frame, (array_of(frame) * 255).astype(np.uint8)) for frame in stretched(frames)]


def volume_ml(labels: Image, value: int) -> float:
    """Volume of the voxels with a label."""
    return float(np.count_nonzero(array_of(labels) == value) * np.prod(labels.GetSpacing()) / 1000)


def ventricles(ed: Image, es: Image) -> Volumes:
    """Volumes of both ventricles from labels in the models' order."""
    return Volumes(volume_ml(ed, LV), volume_ml(es, LV), volume_ml(ed, RV), volume_ml(es, RV))


def write_volume(path: Path, image: Image) -> None:
    """Store a volume as compressed NIfTI.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    with disk_errors(f"{path.name} could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            sitk.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:
            raise OSError(str(error).strip().splitlines()[-1]) from error


def write_frames(path: Path, frames: Frames, frame_ms: float | None = None) -> None:
    """Store a cine as compressed 4-D NIfTI; a frame time that is not known is written as 1 s, as published.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    write_volume(path, sitk.JoinSeries(frames, 0.0, frame_ms / 1000 if frame_ms else 1.0))


def spacing_columns(name: str, image: Image, axes: str = "xyz") -> dict[str, float]:
    """Columns with the spacing (mm) of a raw image: ``NAME_x`` and so on."""
    return {f"{name}_{axis}": float(mm) for axis, mm in zip(axes, image.GetSpacing(), strict=False)}
