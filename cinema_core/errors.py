"""Everything that napari-cinema raises on purpose.

::

    CinemaError                one line for the reader: what, where, what to do
    ├── InputError             what the reader gave cannot be used          (exit 2)
    │   ├── StudyError         a file or folder is not a readable cine study
    │   ├── GeometryError      positions, spacing or shapes do not fit together
    │   ├── PhaseError         a phase is missing, or ED and ES do not fit
    │   ├── LabelError         labels are of another shape, value or order
    │   └── CheckpointError    weights and config do not belong together
    ├── StorageError           a file could not be written: disk, permission (exit 1)
    ├── DownloadError          a file did not come from the hub as it is there (exit 1)
    ├── ProjectError           a project cannot be opened or is in use       (exit 1)
    ├── EngineError            the engine process failed or ran out of memory (exit 1)
    └── Cancelled              the reader stopped the work                   (exit 1)
"""

from __future__ import annotations


class CinemaError(Exception):
    """Base of all errors with a message written for the reader."""

    exit_code = 1


class InputError(CinemaError):
    """What the reader gave cannot be used as it is."""

    exit_code = 2


class StudyError(InputError):
    """A file or folder is not a cine study that can be read."""


class SeveralStudiesError(StudyError):
    """A place holds more than one study, and none was named; a worklist shows them."""


class GeometryError(InputError):
    """Positions, spacing or array shapes do not fit together."""


class PhaseError(InputError):
    """A cardiac phase is missing, or ED and ES do not fit the cine."""


class LabelError(InputError):
    """Labels have another shape, unknown values, or belong to another image."""


class CheckpointError(InputError):
    """Weights and configuration do not belong together, or are not safe to load."""


class StorageError(CinemaError):
    """A file could not be written: disk full, no permission, drive gone."""


class DownloadError(CinemaError):
    """A file could not be fetched from the hub, or what came is not what the hub promised."""


class ProjectError(CinemaError):
    """A project cannot be opened, is damaged, or is in use elsewhere."""


class EngineError(CinemaError):
    """The engine process failed, ended, or ran out of memory."""


class Cancelled(CinemaError):
    """The reader stopped the work; nothing was changed."""
