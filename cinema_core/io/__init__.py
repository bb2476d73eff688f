"""Files to cines and labels to files: NIfTI, the ACDC folder, classic DICOM."""

from __future__ import annotations

from cinema_core.io.load import load_study
from cinema_core.io.nifti import read_labels, write_image, write_labels
from cinema_core.io.pair import load_pair
from cinema_core.io.study import ImportReport, RefusedFile, Study

__all__ = [
    "ImportReport",
    "RefusedFile",
    "Study",
    "load_pair",
    "load_study",
    "read_labels",
    "write_image",
    "write_labels",
]
