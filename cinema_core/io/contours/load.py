"""Recognise what labels are stored as, and read them onto a cine."""

from __future__ import annotations

from pathlib import Path

from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.contours.cvi42 import SUFFIX, read_cvi42
from cinema_core.io.contours.dicom_seg import is_dicom_seg, read_dicom_seg
from cinema_core.io.contours.imported import ImportedLabels
from cinema_core.io.contours.nifti_labels import read_nifti_labels
from cinema_core.io.contours.sunnybrook import is_sunnybrook, read_sunnybrook
from cinema_core.io.nifti import is_image


def import_labels(
    path: Path | str, cine: Cine, *, label_order: str | None = None, phase: int | None = None
) -> ImportedLabels:
    """Read contours or labels that were drawn elsewhere onto a cine.

    Parameters
    ----------
    path
        A folder of Sunnybrook contour files (with its subfolders) or one of them, a ``.cvi42wsx`` workspace, a
        DICOM segmentation, or a label image in NIfTI.
    cine
        The cine that they were drawn on.
    label_order
        What the values of a label image mean, a key of :data:`LABEL_ORDERS`.
    phase
        Phase (from 0) that a 3-D label image belongs to.

    Raises
    ------
    LabelError
        If nothing at the path fits the cine.
    """
    path = Path(path)
    if not path.exists():
        raise LabelError(f"There is no file or folder {path}. Check the path.")
    try:
        if path.is_dir():
            return _from_folder(path, cine)
        if is_sunnybrook(path):
            return read_sunnybrook([path], cine)
        if path.suffix.lower() == SUFFIX:
            return read_cvi42(path, cine)
        if is_image(path):
            return read_nifti_labels(path, cine, label_order, phase)
        if is_dicom_seg(path):
            return read_dicom_seg(path, cine)
    except OSError as error:
        raise LabelError(f"{path} cannot be opened: {error.strerror or error}. Check that you may read it.") from error
    hint = " Save the workspace as .cvi42wsx." if path.suffix.lower() == ".cvi42ws" else ""
    raise LabelError(
        f"{path} is no contour file that is known: Sunnybrook text files, cvi42 workspaces (.cvi42wsx), DICOM "
        f"segmentations and NIfTI labels are.{hint}"
    )


def _from_folder(path: Path, cine: Cine) -> ImportedLabels:
    files = sorted(file for file in path.rglob("*.txt") if is_sunnybrook(file))
    if not files:
        raise LabelError(
            f"{path} holds no Sunnybrook contours (IM-0001-NNNN-icontour-manual.txt). Choose the file itself for other "
            "kinds."
        )
    return read_sunnybrook(files, cine)
