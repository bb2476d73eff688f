"""A synthetic study as files: 4-D NIfTI, or classic DICOM with one file per slice and phase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine
from cinema_core.errors import InputError, StorageError
from cinema_core.io.dicom_write import write_dicom
from cinema_core.phantom.study import PhantomStudy

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes to NIfTI's."""


def write_phantom(folder: Path | str, phantom: PhantomStudy, kind: Literal["nifti", "dicom"] = "nifti") -> Path:
    """Store a synthetic study; what is returned can be opened by ``load_study``.

    Parameters
    ----------
    folder
        Made if absent. NIfTI: ``cine_sax.nii.gz`` and, apart from it, ``truth/labels.nii.gz``.
        DICOM: ``dicom/IM0001.dcm`` and on, and the same ``truth/labels.nii.gz``.
    phantom
        The study.
    kind
        File format of the images.

    Returns
    -------
    The image file (NIfTI) or the folder of images (DICOM).

    Raises
    ------
    InputError
        If ``kind`` is neither of the two.
    StorageError
        If the files cannot be written.
    """
    if kind not in ("nifti", "dicom"):
        raise InputError(f"A synthetic study is written as nifti or dicom, not as {kind!r}.")
    folder = Path(folder)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        _write_nifti(folder / "truth" / "labels.nii.gz", phantom.labels, phantom.cine)
        if kind == "nifti":
            _write_nifti(folder / "cine_sax.nii.gz", phantom.cine.pixels, phantom.cine)
            return folder / "cine_sax.nii.gz"
        # UIDs follow from the pixels, so a rewrite is the same study.
        write_dicom(phantom.cine, folder / "dicom", patient_id=f"PHANTOM-{phantom.cine.content_sha256[:8]}")
        return folder / "dicom"
    except OSError as error:
        raise StorageError(
            f"The synthetic study could not be written to {folder}: {error.strerror or error}. "
            "Choose another folder or free some space."
        ) from error


def _write_nifti(path: Path, voxels: NDArray[Any], cine: Cine) -> None:
    """Write (t, z, y, x) voxels in NIfTI's order (x, y, z, t); the file appears whole or not at all."""
    image = nib.Nifti1Image(np.transpose(voxels, (3, 2, 1, 0)), LPS_TO_RAS @ cine.geometry.affine())
    times = cine.timing.trigger_ms
    step_ms = times[1] - times[0] if times and len(times) > 1 else 0.0
    image.header.set_zooms((*image.header.get_zooms()[:3], step_ms))
    image.header.set_xyzt_units("mm", "msec")
    temporary = path.with_name(f".partial-{path.name}")
    nib.save(image, temporary)
    os.replace(temporary, path)
