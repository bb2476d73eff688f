"""Files to cines and labels to files: NIfTI, data set folders, DICOM classic and enhanced."""

from __future__ import annotations

from cinema_core.io.dicom_write import write_dicom
from cinema_core.io.dicom_write_enhanced import write_enhanced_dicom
from cinema_core.io.load import load_studies, load_study
from cinema_core.io.nifti import read_labels, write_image, write_labels
from cinema_core.io.pair import load_pair
from cinema_core.io.study import ImportChoices, ImportReport, RefusedFile, RepeatedSlice, Study, Take

__all__ = [
    "ImportChoices",
    "ImportReport",
    "RefusedFile",
    "RepeatedSlice",
    "Study",
    "Take",
    "load_pair",
    "load_studies",
    "load_study",
    "read_labels",
    "write_dicom",
    "write_enhanced_dicom",
    "write_image",
    "write_labels",
]
