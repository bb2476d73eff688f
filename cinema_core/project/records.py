"""What a project holds, as values: nothing above this room sees a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.measure.segments import Insertions
from cinema_core.mirror_answers import SliceMirrors


@dataclass(frozen=True, eq=False)
class LandmarkSet:
    """Landmarks of one phase, as kept.

    Attributes
    ----------
    points_yx
        Shape (3, 2), pixels, sub-pixel: insertion 1, insertion 2 of the mitral valve, apex.
    source
        Who placed them as they are: the model, or a reader who moved one.
    model_sha256
        Hash of the weights that found them first; empty for none.
    """

    t: int
    points_yx: NDArray[np.float64]
    source: Source
    model_sha256: str = ""


class Source(StrEnum):
    """Who chose the ED and ES phases."""

    MODEL = "model"
    READER = "reader"


@dataclass(frozen=True)
class StudyRecord:
    """A cine that the project refers to.

    Attributes
    ----------
    study_id
        Pseudonym under which labels are kept.
    patient
        Pseudonym that the split ledger goes by; the study's own where the patient is not known.
    content_sha256
        Hash of the cine (:attr:`cinema_core.cine.Cine.content_sha256`).
    image_path
        Where the image lay when it was last opened; it may have moved since.
    shape
        Size (t, z, y, x).
    view
        As the cine was taken when it was added; what a reader chose since is in the import choices.
    """

    study_id: str
    patient: str
    content_sha256: str
    image_path: Path
    cine_id: str
    shape: tuple[int, int, int, int]
    view: View
    added_utc: str


@dataclass(frozen=True, eq=False)
class SliceEdit:
    """A new label for one slice, on its way into the journal.

    Attributes
    ----------
    mask
        Label values of the whole slice, shape (y, x), integer: 0 to 3, 255 where the reader said nothing, or a value of
        :func:`~cinema_core.anatomy.outside_of`.
    tool
        What made it: ``model``, ``brush``, ``contour``, ``accept``, ``undo`` ...
    model_sha256
        Hash of the weights whose prediction this is or started from; empty for none.
    uncertainty
        How unsure the model was of its prediction, 0 to 1; None if that is not known, or it is none.
    mirrors
        How differently it drew mirror images; None if that is not known. Kept beside ``uncertainty`` only.
    moved_points
        Control points of a contour that the reader's hand moved for it; None for what was not made with a contour.
    """

    study_id: str
    t: int
    z: int
    mask: NDArray[np.integer[Any]]
    state: LabelState
    tool: str
    model_sha256: str = ""
    uncertainty: float | None = None
    mirrors: SliceMirrors | None = None
    moved_points: int | None = None


@dataclass(frozen=True, eq=False)
class SliceLabel:
    """One row of the journal.

    Attributes
    ----------
    row_id, parent_id
        Its number, and the number of the row that it replaced (None for the first of a slice).
    mask
        Label values, uint8, shape (y, x); not writeable, copy it to edit.
    reader
        Who edited; empty for a model, or a reader without a name.
    utc
        When it was recorded, ISO 8601.
    """

    row_id: int
    parent_id: int | None
    study_id: str
    t: int
    z: int
    mask: NDArray[np.uint8]
    state: LabelState
    tool: str
    reader: str
    model_sha256: str
    utc: str


@dataclass(frozen=True)
class PhaseChoice:
    """Which phases are end-diastole and end-systole, counted from 0.

    ``reader`` and ``utc`` are filled in by the project.
    """

    ed_phase: int
    es_phase: int
    rv_ed_phase: int | None = None
    rv_es_phase: int | None = None
    source: Source = Source.MODEL
    reader: str = ""
    utc: str = ""

    @property
    def all_phases(self) -> tuple[int | None, ...]:
        """ED and ES of the LV, then of the RV."""
        return self.ed_phase, self.es_phase, self.rv_ed_phase, self.rv_es_phase


@dataclass(frozen=True)
class InsertionEdit:
    """Where the RV meets the LV on a slice at end-diastole, as a reader set it; None for as it is found."""

    z: int
    points: Insertions | None


@dataclass(frozen=True)
class EditSince:
    """A slice that is drawn otherwise than when it was approved: where, by what tool, by whom, when."""

    t: int
    z: int
    tool: str
    reader: str
    utc: str


@dataclass(frozen=True)
class ApprovalRecord:
    """A reader's word for ED and ES, and what happened to them since.

    Attributes
    ----------
    phases
        ED and ES of the LV, then of the RV, from 0.
    journal_position
        Newest row of the journal when it was given.
    choices_changed
        Whether what was entered and chosen for the report has changed since.
    edits
        Slices of these phases that have changed since, oldest first.
    insertions_changed
        Whether the insertion points of the RV that a reader set have changed since.
    """

    reader: str
    utc: str
    phases: tuple[int | None, ...]
    journal_position: int
    choices_changed: bool
    edits: tuple[EditSince, ...]
    insertions_changed: bool = False


@dataclass(frozen=True, eq=False)
class Restored:
    """What Undo or Redo brought back.

    Attributes
    ----------
    labels
        Rows that were written, one per slice.
    phases
        The choice of ED and ES that holds again; None if that was not part of it.
    insertions
        Insertion points of the RV that hold again on a slice; None if they were not part of it.
    """

    labels: tuple[SliceLabel, ...] = ()
    phases: PhaseChoice | None = None
    insertions: InsertionEdit | None = None


@dataclass(frozen=True)
class VersionRecord:
    """A model that was made from the project's labels.

    Attributes
    ----------
    name
        Name of its folder below the project's ``models`` folder.
    label_set_sha256
        Hash of the labels it learned from (:func:`cinema_core.project.label_set_sha256`).
    journal_position
        Last row of the journal when the labels were taken.
    recipe, before, after
        Settings and, as ``studies``, those it learned from; the figures of base and version; plain JSON values.
    utc
        Filled in by the project.
    title
        What the reader calls it; empty for no name of its own.
    removed
        Whether its weights were given up.
    """

    name: str
    model_sha256: str
    base_name: str
    base_sha256: str = ""
    label_set_sha256: str = ""
    journal_position: int = 0
    seed: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    utc: str = ""
    title: str = ""
    removed: bool = False


@dataclass(frozen=True)
class Event:
    """Something that happened in the project, beside its labels."""

    event_id: int
    kind: str
    detail: Mapping[str, Any]
    journal_position: int
    utc: str
