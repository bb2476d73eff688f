"""What a reader of files hands over: the cines of one study, and what was decided on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from cinema_core.cine import Cine, View
from cinema_core.errors import StudyError


@dataclass(frozen=True)
class RefusedFile:
    """A file that was found and not used."""

    path: str
    reason: str


@dataclass(frozen=True)
class Take:
    """One acquisition of a slice: a breath-hold that gave a whole loop.

    Attributes
    ----------
    key
        By which it is chosen; follows from the images, so it is the same whenever they are read.
    """

    key: str
    series_number: int | None
    n_phases: int
    rows: int
    columns: int


@dataclass(frozen=True)
class RepeatedSlice:
    """A slice that was taken more than once.

    Attributes
    ----------
    z
        Its place in the cine.
    takes
        All of them, in the order in which they were taken.
    used
        Key of the one that the cine shows.
    """

    z: int
    takes: tuple[Take, ...]
    used: str


@dataclass(frozen=True)
class ImportReport:
    """How files became cines.

    Attributes
    ----------
    refused
        Files that were not used, each with its reason.
    notes
        One line per decision.
    n_files
        Number of files that were looked at.
    repeats
        Slices that were taken more than once, by the id of the cine.
    """

    refused: tuple[RefusedFile, ...] = ()
    notes: tuple[str, ...] = ()
    n_files: int = 0
    repeats: Mapping[str, tuple[RepeatedSlice, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, without patient data."""
        return {
            "refused": [asdict(file) for file in self.refused],
            "n_files": self.n_files,
            "notes": list(self.notes),
            "repeats": {cine: [asdict(repeat) for repeat in repeats] for cine, repeats in self.repeats.items()},
        }


class ImportChoices(BaseModel, frozen=True, extra="forbid"):
    """What the reader decided against the importer; kept in the project and applied whenever the study is opened."""

    views: dict[str, View] = Field(default_factory=dict)
    """View of a cine, by the id that the importer gave it."""
    apex_first: dict[str, bool] = Field(default_factory=dict)
    """Whether z counts from apex to base, by the id of the cine."""
    takes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Keys of the takes to use where a slice was taken more than once, by the id of the cine."""


@dataclass(frozen=True, eq=False)
class Study:
    """The cines of one examination.

    Attributes
    ----------
    id
        Pseudonym, the same whenever the same study is read; never a name.
    path
        The file or folder that was opened.
    """

    id: str
    path: Path
    cines: tuple[Cine, ...]
    report: ImportReport

    def best(self, view: View | str = View.SAX) -> Cine:
        """Return the cine of a view that is surest and, among equals, has the most images.

        Raises
        ------
        StudyError
            If the study has no cine of this view.
        """
        if view not in list(View):
            raise StudyError(f"View {view!r} is not known. Use one of {', '.join(View)}.")
        wanted = View(view)
        cines = [cine for cine in self.cines if cine.view is wanted]
        if not cines:
            found = ", ".join(cine.id for cine in self.cines) or "nothing"
            raise StudyError(
                f"{self.path} has no {wanted.display_name.lower()} cine; found: {found}. "
                "Choose another study, or set the view of a cine by hand."
            )
        return max(cines, key=lambda cine: (cine.view_confidence, cine.n_phases * cine.n_slices))

    def to_json(self) -> dict[str, Any]:
        """Return what was found as plain values, without patient data."""
        return {
            "cines": [_cine_to_json(cine) | {"study": self.id} for cine in self.cines],
            **self.report.to_json(),
            "study": self.id,
        }


def as_chosen(study: Study, choices: ImportChoices | Callable[[str], ImportChoices] | None) -> Study:
    """Apply views and directions that the reader decided; pixels, and the names of the cines, stay.

    Parameters
    ----------
    choices
        What was decided, or a function that looks it up by the study's pseudonym.
    """
    chosen = choices(study.id) if callable(choices) else choices or ImportChoices()
    if not chosen.views and not chosen.apex_first:
        return study
    return replace(study, cines=tuple(_cine_as_chosen(cine, chosen) for cine in study.cines))


def _cine_as_chosen(cine: Cine, choices: ImportChoices) -> Cine:
    if cine.id in choices.views:
        cine = cine.with_view(choices.views[cine.id])
    if cine.id in choices.apex_first:
        cine = replace(cine, apex_first=choices.apex_first[cine.id], direction_reason="as chosen by the reader")
    return cine


def pseudonym(secret: str) -> str:
    """Return a short name for a study that does not tell whose it is."""
    return f"study-{hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def content_pseudonym(cines: Iterable[Cine]) -> str:
    """Return the pseudonym of a study that carries no identifier: it follows from the pixels."""
    return pseudonym(",".join(cine.content_sha256 for cine in cines))


def _cine_to_json(cine: Cine) -> dict[str, Any]:
    rr_ms = cine.timing.rr_ms
    geometry = cine.geometry
    stated = geometry.spacing_is_stated
    n_phases, n_slices, rows, columns = cine.shape
    return {
        "id": cine.id,
        "view": cine.view.value,
        "view_confidence": cine.view_confidence,
        "n_slices": n_slices,
        "n_phases": n_phases,
        "rows": rows,
        "columns": columns,
        "pixel_spacing_mm": list(geometry.pixel_spacing_mm) if stated else None,
        "slice_step_mm": geometry.slice_step_mm,
        "rr_ms": {
            "median": cine.timing.rr_median_ms,
            "min": min(rr_ms, default=None),
            "max": max(rr_ms, default=None),
            "source": cine.timing.rr_source or None,
        },
        "measurable": cine.measurable,
        "warnings": list(cine.warnings),
        "view_reason": cine.view_reason,
        "slice_positions_mm": [round(float(mm), 3) for mm in geometry.positions_mm] if stated else None,
        "is_regular": geometry.is_regular if stated else None,
        "slice_sizes": [list(size) for size in cine.slice_sizes] or None,
        "apex_first": cine.apex_first,
        "direction_reason": cine.direction_reason,
        "phases_ordered_by": cine.timing.order_rule,
        "missing": [{"phase": t + 1, "slice": z + 1} for t, z in sorted(cine.missing)],
    }
