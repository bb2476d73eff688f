"""The work on one study of a cohort, as a process of the cluster does it."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine
from cinema_core.cohort.entries import PAIR, CohortEntry, drawn_phases
from cinema_core.errors import (
    CheckpointError,
    CinemaError,
    GeometryError,
    InputError,
    LabelError,
    PhaseError,
    StorageError,
    StudyError,
)
from cinema_core.io import write_labels
from cinema_core.io.sidecar import sidecar_path
from cinema_core.io.study import pseudonym
from cinema_core.measure import study_measures
from cinema_core.report import Origin, ReportRow, StudyResult, report_row

if TYPE_CHECKING:
    from cinema_core.models.zoo import LoadedModel

LABELS_FOLDER: Final = "labels"

KINDS: Final[tuple[tuple[type[CinemaError], str], ...]] = (
    (StudyError, "the study cannot be read"),
    (GeometryError, "positions, spacing or shapes do not fit"),
    (PhaseError, "a phase is missing or does not fit"),
    (LabelError, "the labels do not fit"),
    (CheckpointError, "the model cannot be used"),
    (InputError, "what was given does not fit"),
    (StorageError, "a file could not be written"),
    (CinemaError, "it failed"),
)
"""What failures are counted by; the first class that fits."""

NO_MEMORY: Final = "not enough memory"
INSIDE: Final = "something went wrong inside the program"
PROCESS_ENDED: Final = "the process that worked on it ended"


LEAST_NAME: Final = 4
"""Letters of a file or folder whose name is looked for without its path."""

LEAST_NUMBER: Final = 6
"""Digits of one: a shorter number is nobody's, and stands in many sentences."""

ORDINARY: Final = frozenset(
    {"cine", "cines", "data", "dicom", "file", "files", "folder", "home", "image", "images", "labels", "phase"}
    | {"segmentation", "slice", "studies", "study", "users", "volume"}
)
"""Names of files and folders that our own sentences use as words."""


@dataclass(frozen=True)
class BatchSettings:
    """What is the same for all studies.

    Attributes
    ----------
    out
        Folder of the results; every process of the cluster must see it under this path.
    model, config, device
        For studies without labels; as of ``cinema segment``.
    """

    out: Path
    software_version: str
    model: str = "bundled"
    config: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class ProvenanceRow:
    """What the row of a study rests on, for which the columns of the report have no room.

    Attributes
    ----------
    image_sha256
        Of the image's content; empty where labels were given and no pixel was read.
    labels_sha256
        Of the label files, one after the other; empty where the model drew, or labels lie in a folder.
    """

    study_id: str
    image_sha256: str
    labels_sha256: str
    method: str
    body_surface_formula: str
    heart_rate_source: str
    reference_table: str


@dataclass(frozen=True)
class Outcome:
    """What became of one study.

    Attributes
    ----------
    row, provenance
        Of the report, and what it rests on; None after a failure.
    kind, reason
        What failures are counted by, and the sentence for the reader; empty if all went well. Files are named there
        by their column of the list.
    """

    study: str
    row: ReportRow | None = None
    provenance: ProvenanceRow | None = None
    kind: str = ""
    reason: str = ""


def work_on(entry: CohortEntry, settings: BatchSettings) -> Outcome:
    """Segment a study, or take its labels, and measure; whatever goes wrong is its outcome and stops no other."""
    try:
        result = _result(entry, settings)
        return Outcome(entry.study, report_row(result), _provenance(entry, result))
    except CinemaError as error:
        return Outcome(entry.study, kind=_kind(error), reason=without_paths(str(error), entry))
    except MemoryError:
        return Outcome(entry.study, kind=NO_MEMORY, reason="There is not enough memory for this study.")
    except Exception as error:
        # Without its message: that may hold a path, and a path a patient's name.
        reason = f"Something went wrong inside the program ({type(error).__name__})."
        return Outcome(entry.study, kind=INSIDE, reason=reason)


def without_paths(text: str, entry: CohortEntry) -> str:
    """Name files by their column of the list, ``[image]``: folders and files often bear the patient's name.

    Folders above them become ``[folder]``, as far as the whole text names them.
    """
    known: dict[str, str] = {}
    above: dict[str, str] = {}
    for column, places in (("image", entry.images), ("labels", entry.labels)):
        for place, phase in zip(places, PAIR if len(places) == len(PAIR) else [""] * len(places), strict=True):
            named = f"[{column} {phase}]" if phase else f"[{column}]"
            for root in _spellings(place):
                above |= {name: "[folder]" for parent in root.parents for name in _names_of(parent)}
            inside = _inside(place)
            for path in (place, sidecar_path(place), *inside):
                known |= {name: named for one in _spellings(path) for name in _names_of(one)}
    for name in sorted(known, key=len, reverse=True):
        if name in text:
            # Members of an archive follow its path.
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])(?:[\\/]\S*)?", known[name], text)
    for name in sorted(above, key=len, reverse=True):
        if name in text:
            # What lies beside the study is another file, and keeps the rest of its path.
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", above[name], text)
    return text


def _spellings(path: Path) -> list[Path]:
    """Path as the list has it, and from the root of the disk."""
    try:
        return [path, path.absolute()]
    except OSError:  # the current folder is gone
        return [path]


def _names_of(path: Path) -> list[str]:
    """Path, and its name alone if that may be somebody's."""
    name = path.name
    if not name:  # the root of a disk, or the current folder
        return []
    least = LEAST_NUMBER if name.isdigit() else LEAST_NAME
    return [str(path), name] if len(name) >= least and name.lower() not in ORDINARY else [str(path)]


def _inside(place: Path) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError):  # a drive that is gone: what was found is looked for
        found.extend(place.rglob("*") if place.is_dir() else ())
    return found


def labels_path(out: Path, study: str) -> Path:
    """Where the labels of a segmented study lie; a name in the list may be a person's, so it is no file name."""
    return out / LABELS_FOLDER / f"labels-{pseudonym(study)}.nii.gz"


def _result(entry: CohortEntry, settings: BatchSettings) -> StudyResult:
    cine = entry.open_cine()
    card: ModelCard | None = None
    if entry.labels:
        labels = entry.read_labels(cine)
        phases = drawn_phases(labels)
    else:
        labels, phases, card = _segment(cine, settings)
        write_labels(labels_path(settings.out, entry.study), labels, cine)
    origin = Origin(settings.software_version, datetime.now(UTC).isoformat(timespec="seconds"), card)
    return StudyResult(entry.study, cine, study_measures(labels, cine, phases=phases), origin)


def _provenance(entry: CohortEntry, result: StudyResult) -> ProvenanceRow:
    function = result.measures.function
    are_files = bool(entry.labels) and all(path.is_file() for path in entry.labels)
    return ProvenanceRow(
        study_id=result.study_id,
        image_sha256="" if entry.is_header_enough else result.cine.content_sha256,
        labels_sha256=_sha256(entry.labels) if are_files else "",
        method=function.method.description,
        body_surface_formula=function.bsa_formula.value,
        heart_rate_source=result.heart_rate_source,
        reference_table=result.measures.choices.table,
    )


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _segment(cine: Cine, settings: BatchSettings) -> tuple[NDArray[np.uint8], list[int], ModelCard]:
    model = _loaded(settings.model, settings.config, settings.device)  # prepares the process before torch comes in
    from cinema_core.predict import segment_cine

    cine.geometry.slice_extent_mm()  # refuses slices without a distance now, not after all the work
    found = segment_cine(cine, model, settings.device)
    return found.labels, list(found.phases), found.card


@lru_cache(maxsize=1)
def _loaded(model: str, config: Path | None, device: str) -> LoadedModel:
    """Load the model once per process."""
    from cinema_core.process import prepare_to_compute

    prepare_to_compute()
    from cinema_core.models import zoo

    return zoo.load(model, config, device)


def _kind(error: CinemaError) -> str:
    return next(kind for one, kind in KINDS if isinstance(error, one))
