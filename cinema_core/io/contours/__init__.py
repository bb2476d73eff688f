"""Contours and label images that were drawn elsewhere, brought onto a cine."""

from __future__ import annotations

from cinema_core.io.contours.imported import ImportedLabels, Outline, coverage
from cinema_core.io.contours.load import import_labels
from cinema_core.io.contours.nifti_labels import LABEL_ORDERS

__all__ = ["LABEL_ORDERS", "ImportedLabels", "Outline", "coverage", "import_labels"]
