"""The project: a journal of every label, kept through any crash, and what export and training take from it."""

from __future__ import annotations

from cinema_core.project.chance import ChanceEstimate
from cinema_core.project.effort import Effort
from cinema_core.project.export import (
    StudySnapshot,
    TeachingFrame,
    label_set_sha256,
    phase_name,
    study_snapshot,
    study_snapshots,
    training_frames,
    training_slices,
)
from cinema_core.project.journal import MODEL_TOOL
from cinema_core.project.pending import PendingRun, PendingStudy
from cinema_core.project.records import (
    ApprovalRecord,
    EditSince,
    Event,
    InsertionEdit,
    LandmarkSet,
    PhaseChoice,
    Restored,
    SliceEdit,
    SliceLabel,
    Source,
    StudyRecord,
    VersionRecord,
)
from cinema_core.project.store import Project

__all__ = [
    "MODEL_TOOL",
    "ApprovalRecord",
    "ChanceEstimate",
    "EditSince",
    "Effort",
    "Event",
    "InsertionEdit",
    "LandmarkSet",
    "PendingRun",
    "PendingStudy",
    "PhaseChoice",
    "Project",
    "Restored",
    "SliceEdit",
    "SliceLabel",
    "Source",
    "StudyRecord",
    "StudySnapshot",
    "TeachingFrame",
    "VersionRecord",
    "label_set_sha256",
    "phase_name",
    "study_snapshot",
    "study_snapshots",
    "training_frames",
    "training_slices",
]
