"""MetaImage (``.mha``, ``.mhd``) and NRRD (``.nrrd``, ``.nhdr``), by SimpleITK: stacks, cines, Slicer sequences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Geometry
from cinema_core.errors import GeometryError, StudyError

SUFFIXES: Final = (".mha", ".mhd", ".nrrd", ".nhdr")

MAX_BYTES: Final = 8 << 30
"""A cine of 30 slices x 100 phases x 512 x 512 in floats is 3 GiB; a header that asks for more is damaged."""

HEADER_BYTES: Final = 65536

_SPACING: Final = re.compile(rb"^(ElementSpacing|ElementSize|space directions|spacings)\s*[=:]", re.MULTILINE)
"""The line that states the size of a voxel; without it the library says 1 mm."""


def is_itk_image(path: Path) -> bool:
    """Whether the name is one of a MetaImage or NRRD file."""
    return path.name.lower().endswith(SUFFIXES)


def read_itk_voxels(path: Path) -> tuple[NDArray[Any], Geometry, float | None]:
    """Read an image.

    Returns
    -------
    Voxels (t, z, y, x), where they lie (LPS), and the spacing of the fourth axis in the file's unit, if it has one.

    Raises
    ------
    StudyError
        If the file cannot be read, or is no stack of grey values.
    GeometryError
        If it does not state the size of a voxel.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_header(path, reader)
        image = reader.Execute()
        stored = sitk.GetArrayFromImage(image)
    except (RuntimeError, MemoryError) as error:
        raise StudyError(
            f"{path} is not a MetaImage or NRRD file that can be read whole. Export or copy it again, with its raw "
            "data file if it has one."
        ) from error
    if image.GetNumberOfComponentsPerPixel() > 1:
        stored = np.moveaxis(stored, -1, 0)  # a Slicer sequence: the phases are the components of a voxel
    size = image.GetSize()
    direction = np.array(image.GetDirection()).reshape(len(size), len(size))[:3, :3]
    spacing = np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    try:
        geometry = Geometry.from_affine(affine, size[2])
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error
    voxels = stored if stored.ndim == 4 else stored[None]
    return np.ascontiguousarray(voxels), geometry, float(spacing[3]) if len(size) == 4 else None


def _check_header(path: Path, reader: Any) -> None:
    size = reader.GetSize()
    n_components = reader.GetNumberOfComponents()
    if len(size) not in (3, 4) or (len(size) == 4 and n_components > 1):
        shape = " x ".join(map(str, size))
        raise StudyError(
            f"{path} has shape {shape}; a cine has 3 axes (x, y, slice) or 4 (x, y, slice, phase). "
            "Choose the file of the whole stack."
        )
    is_list = reader.HasMetaDataKey("NRRD_kinds[pixel]") and reader.GetMetaData("NRRD_kinds[pixel]") == "list"
    if n_components > 1 and not is_list:
        raise StudyError(f"{path} holds colours or vectors. Choose a grey-scale image.")
    if np.prod([float(n) for n in size]) * n_components * 8 > MAX_BYTES:
        raise StudyError(f"{path} claims {' x '.join(map(str, size))} voxels, which no cine has. Copy it again.")
    with path.open("rb") as stream:
        if not _SPACING.search(stream.read(HEADER_BYTES)):
            raise GeometryError(f"{path} states no size of its voxels. Export the study again with its spacing.")
