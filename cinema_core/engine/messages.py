"""What the window and the engine say to each other: plain values, no torch, no Qt.

::

    window                          engine
    Run(job, parcel of a request)  ─►
                                   ◄─  Started, Planned, Learned, Progressed ..., then one of
    Pause(job), Resume(job)        ─►
    Cancel(job)                    ─►  Finished(parcel of an outcome), Failed, Stopped
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.answers import ClassAnswer, Landmarks, ValueAnswer
from cinema_core.cards import ModelCard
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine
from cinema_core.engine.parcel import Parcel
from cinema_core.incoming import Incoming
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.mirror_answers import MirrorAnswers

# ---------------------------------------------------------------- requests and their outcomes


class Request:
    """Work for the engine. Subclasses are frozen dataclasses of plain values and arrays."""

    doing: ClassVar[str]
    """What the engine does meanwhile, for messages: ``The engine ended while segmenting``."""


@dataclass(frozen=True, eq=False)
class SegmentRequest(Request):
    """Draw the ventricles on a cine; see :func:`cinema_core.predict.segment_cine`.

    Attributes
    ----------
    phases
        Frame indices from 0; None for all.
    """

    doing: ClassVar[str] = "segmenting"

    cine: Cine
    model: str
    project_models: Path | None = None
    device: str = "auto"
    phases: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class SegmentOutcome:
    """What the model drew.

    Attributes
    ----------
    labels
        uint8, shape (t, z, y, x), on the study's own grid.
    uncertainty
        float32, shape (t, z), 0 to 1.
    phases
        Frames that were segmented.
    mirrors
        How differently the model drew mirror images; None if it was shown none.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    phases: tuple[int, ...]
    card: ModelCard
    mirrors: MirrorAnswers | None = None


@dataclass(frozen=True, eq=False)
class FineTuneRequest(Request):
    """Make a new model version from labelled slices; see :func:`cinema_core.learn.finetune.finetune`.

    Attributes
    ----------
    base
        Name of the model to start from.
    out, name
        The version's folder is ``out / name``.
    ledger
        The split ledger: fold by patient.
    """

    doing: ClassVar[str] = "fine-tuning"

    cases: tuple[TrainingCase, ...]
    base: str
    settings: FineTuneSettings
    out: Path
    name: str
    project_models: Path | None = None
    ledger: Mapping[str, int] | None = None


MOST_CHANGED: Final = 3
"""Slices that are shown before and after: as many as a reader looks at before deciding."""


@dataclass(frozen=True, eq=False)
class ChangedSlice:
    """A labelled slice under the base and the version.

    Attributes
    ----------
    t, z
        Phase and slice from 0, slices counted as the model was shown them, from base to apex.
    dice_before, dice_after
        Mean Dice against the reader's label.
    image, truth, before, after
        The heart as the model saw it, float32, and labels of reader, base and version, uint8; shape (y, x) each.
    """

    study_id: str
    t: int
    z: int
    dice_before: float
    dice_after: float
    image: NDArray[np.float32]
    truth: NDArray[np.uint8]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FineTuneOutcome:
    """A new model version that waits for the reader's decision.

    Attributes
    ----------
    before, after
        :meth:`cinema_core.learn.guard.Figures.to_json` of the base and of the version.
    validation
        What the figures were measured on.
    worse
        Whether the version did worse than its base.
    scopes
        Where it may be used, widest first: ``project``, ``this study only``; empty if it should be discarded.
    notes
        What the reader should know, one sentence each.
    changed
        The labelled slices that the version draws most differently, most first; at most :data:`MOST_CHANGED`.
    """

    folder: Path
    card: ModelCard
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    validation: str
    worse: bool
    scopes: tuple[str, ...]
    notes: tuple[str, ...]
    steps: int
    seconds: float
    changed: tuple[ChangedSlice, ...]


@dataclass(frozen=True, eq=False)
class PredictRequest(Request):
    """Answer a published task; the outcome is one of :mod:`cinema_core.answers`.

    Attributes
    ----------
    task
        Name of the task.
    cines
        By view key of the models.
    models
        Names of models that answer together.
    phases
        Frames of each cine that a model of whole studies sees; empty for landmarks, which look at all.
    """

    doing: ClassVar[str] = "predicting"

    task: str
    cines: Mapping[str, Cine]
    models: tuple[str, ...]
    phases: Mapping[str, tuple[int, ...]]
    project_models: Path | None = None
    device: str = "auto"


PredictOutcome = ClassAnswer | ValueAnswer | Landmarks


@dataclass(frozen=True, eq=False)
class ImportModelRequest(Request):
    """Take in a model from elsewhere; see :func:`cinema_core.models.incoming.take_in`. The outcome is its card.

    Attributes
    ----------
    name
        How it will be called here.
    staging
        Folder to make, which no list of models shows.
    """

    doing: ClassVar[str] = "importing a model"

    incoming: Incoming
    name: str
    staging: Path


# ---------------------------------------------------------------- to the engine


@dataclass(frozen=True)
class Run:
    """Do this. The client sends the next one after this has ended.

    Attributes
    ----------
    reply_block
        Name for the shared memory of the outcome. The client chooses it, so that it can free the memory even
        if the engine ends before it could say where the outcome is.
    """

    job_id: int
    request: Parcel
    reply_block: str


@dataclass(frozen=True)
class Cancel:
    """Stop at the next step."""

    job_id: int


@dataclass(frozen=True)
class Pause:
    """Wait at the next step until Resume or Cancel."""

    job_id: int


@dataclass(frozen=True)
class Resume:
    """Go on after Pause."""

    job_id: int


# ---------------------------------------------------------------- from the engine


@dataclass(frozen=True)
class Started:
    """The request was taken out of shared memory, which may be freed; the work begins."""

    job_id: int


@dataclass(frozen=True)
class Planned:
    """The number of steps is fixed: with the same labels and seed it makes the same model again."""

    job_id: int
    steps: int


@dataclass(frozen=True)
class Learned:
    """One more training step of a run, which count from 1, had this loss."""

    job_id: int
    run: int
    loss: float


@dataclass(frozen=True)
class Progressed:
    """How far the work is: finished fraction, 0 to 1, and a line for the reader."""

    job_id: int
    fraction: float
    message: str


@dataclass(frozen=True)
class Finished:
    """The work is done; the outcome lies in shared memory, which the client frees."""

    job_id: int
    outcome: Parcel


@dataclass(frozen=True)
class Failed:
    """The work came to nothing; ``message`` is for the reader.

    Attributes
    ----------
    engine_ends
        Whether the process ends now, so that all memory it held is free again.
    """

    job_id: int
    message: str
    engine_ends: bool = False


@dataclass(frozen=True)
class Stopped:
    """The work was cancelled and changed nothing."""

    job_id: int


ToEngine = Run | Pause | Resume | Cancel
FromEngine = Started | Planned | Learned | Progressed | Finished | Failed | Stopped
