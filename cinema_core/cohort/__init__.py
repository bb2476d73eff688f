"""Many studies at once: the case list by studies, and the work on them over many processes."""

from __future__ import annotations

from cinema_core.cohort.entries import CohortEntry, drawn_phases, labels_on, read_cohort

__all__ = ["CohortEntry", "drawn_phases", "labels_on", "read_cohort"]
