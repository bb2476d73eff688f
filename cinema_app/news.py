"""What a reading tells its listeners."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psygnal import Signal, SignalGroup


class Severity(StrEnum):
    """How a notice is shown."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Notice:
    """One line for the reader."""

    text: str
    severity: Severity = Severity.INFO


class ReadingEvents(SignalGroup):
    """What a reading tells. All are emitted in the thread that drives it."""

    cine_changed = Signal()
    """Another study or cine is open; everything else follows from it."""
    labels_changed = Signal(tuple)
    """Slices ``(t, z)`` whose label or state changed."""
    phases_changed = Signal()
    measures_changed = Signal(object)
    """``VentricularFunction``, or None while nothing can be measured."""
    approval_changed = Signal()
    """A reader approved, or changed what the report is made by; an edit changes it too, and tells of its labels."""
    model_changed = Signal()
    job_changed = Signal()
    """Work began or ended in the engine."""
    pause_changed = Signal()
    """The work under way was paused, or goes on."""
    progressed = Signal(float, str)
    learned = Signal(int, float)
    """Loss of one more training step, with the number of its run, from 1."""
    trial_changed = Signal()
    """A fine-tuned model waits for a decision, or was decided on; or an interrupted one was given up."""
    images_missing = Signal(tuple)
    """Cines, as ``StudyRecord``, of a study whose images are no longer where they lay."""
    noticed = Signal(Notice)
    go_to = Signal(int, int)
    """The view should show phase t, slice z."""
