"""What NIfTI cannot hold of a cine: a JSON file beside it, ``NAME.nii.gz`` and ``NAME.cine.json``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cinema_core.cine import Cine, Geometry, Patient, Plane, Timing
from cinema_core.errors import StudyError
from cinema_core.view import View

SUFFIX: Final = ".cine.json"

MAX_BYTES: Final = 16 << 20
"""Twenty slices of 30 phases take 50 kB."""

SAME_PLACE_MM: Final = 0.01
"""NIfTI keeps its affine in single precision."""

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _PlaneRecord(_Plain):
    origin_mm: Vector
    x_direction: Vector
    y_direction: Vector
    spacing_mm: tuple[Finite, Finite]


class _TimingRecord(_Plain):
    trigger_ms: tuple[Finite, ...] | None
    slice_trigger_ms: tuple[tuple[Finite | None, ...], ...]
    rr_ms: tuple[Finite, ...]
    rr_source: str
    order_rule: str


class _PatientRecord(_Plain):
    sex: str | None
    age_years: Finite | None
    height_m: Finite | None
    weight_kg: Finite | None


class Sidecar(_Plain):
    """The file's content. Axes are DICOM's (LPS), lengths mm, times ms, phases and slices count from 0."""

    format: Literal["cinema-cine-1"]
    study: str
    shape: tuple[int, int, int, int]
    view: View
    view_confidence: Finite
    view_reason: str
    planes: list[_PlaneRecord]
    single_slice_step_mm: Finite | None
    spacing_is_stated: bool
    timing: _TimingRecord
    patient: _PatientRecord
    phase_names: tuple[str, ...]
    missing: list[tuple[int, int]]
    slice_sizes: list[tuple[int, int]]
    apex_first: bool
    direction_reason: str
    warnings: list[str]


def sidecar_path(image: Path) -> Path:
    """Where the sidecar of an image lies."""
    name = image.name
    for suffix in (".nii.gz", ".nii"):
        if name.lower().endswith(suffix):
            return image.with_name(name[: -len(suffix)] + SUFFIX)
    return image.with_name(name + SUFFIX)


def sidecar_text(cine: Cine, study: str) -> str:
    """Return the sidecar of a cine, as JSON; nothing in it names the person."""
    timing, patient, geometry = cine.timing, cine.patient, cine.geometry
    record = Sidecar(
        format="cinema-cine-1",
        study=study,
        shape=cine.shape,
        view=cine.view,
        view_confidence=cine.view_confidence,
        view_reason=cine.view_reason,
        planes=[
            _PlaneRecord(
                origin_mm=plane.origin_mm.tolist(),
                x_direction=plane.x_direction.tolist(),
                y_direction=plane.y_direction.tolist(),
                spacing_mm=plane.spacing_mm,
            )
            for plane in geometry.planes
        ],
        single_slice_step_mm=geometry.single_slice_step_mm,
        spacing_is_stated=geometry.spacing_is_stated,
        timing=_TimingRecord(
            trigger_ms=timing.trigger_ms if len(timing.trigger_ms or ()) == cine.n_phases else None,
            slice_trigger_ms=tuple(
                tuple(ms if np.isfinite(ms) else None for ms in row)
                for row in timing.slice_trigger_ms
                if len(row) == cine.n_phases
            ),
            rr_ms=timing.rr_ms if len(timing.rr_ms) == cine.n_slices else (),
            rr_source=timing.rr_source,
            order_rule=timing.order_rule,
        ),
        patient=_PatientRecord(
            sex=patient.sex, age_years=patient.age_years, height_m=patient.height_m, weight_kg=patient.weight_kg
        ),
        phase_names=cine.phase_names,
        missing=sorted(cine.missing),
        slice_sizes=list(cine.slice_sizes),
        apex_first=cine.apex_first,
        direction_reason=cine.direction_reason,
        warnings=list(cine.warnings),
    )
    return record.model_dump_json(indent=1) + "\n"


def with_sidecar(cine: Cine, image: Path) -> Cine:
    """Complete a cine by the sidecar beside its image; the same cine if there is none.

    Raises
    ------
    StudyError
        If the sidecar is damaged, or of another image.
    """
    path = sidecar_path(image)
    if not path.is_file():
        return cine
    record = _read(path)
    if record.shape != cine.shape or len(record.planes) != cine.n_slices:
        found = " x ".join(map(str, record.shape))
        raise StudyError(
            f"{path} describes an image of {found} (phases x slices x rows x columns), {image.name} has "
            f"{' x '.join(map(str, cine.shape))}. Put the two that belong together side by side, or remove it."
        )
    geometry = Geometry(
        tuple(
            Plane(np.array(plane.origin_mm), np.array(plane.x_direction), np.array(plane.y_direction), plane.spacing_mm)
            for plane in record.planes
        ),
        record.single_slice_step_mm,
        record.spacing_is_stated,
    )
    apart_mm = np.abs(geometry.affine() - cine.geometry.affine())[:3, 3].max()
    if apart_mm > SAME_PLACE_MM:
        raise StudyError(
            f"{path} places its slices {apart_mm:.1f} mm from where {image.name} does. Put the two that belong "
            "together side by side, or remove it."
        )
    timing = record.timing
    return replace(
        cine,
        id=record.view.value,
        geometry=geometry,
        view=record.view,
        view_confidence=record.view_confidence,
        view_reason=record.view_reason,
        timing=Timing(
            timing.trigger_ms,
            timing.rr_ms,
            timing.order_rule,
            timing.rr_source,
            tuple(tuple(np.nan if ms is None else ms for ms in row) for row in timing.slice_trigger_ms),
        ),
        patient=Patient(**record.patient.model_dump()),
        phase_names=record.phase_names,
        missing=frozenset(record.missing),
        slice_sizes=tuple(record.slice_sizes),
        apex_first=record.apex_first,
        direction_reason=record.direction_reason,
        warnings=tuple(dict.fromkeys((*record.warnings, *cine.warnings))),
    )


def _read(path: Path) -> Sidecar:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        return Sidecar.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StudyError(f"{path} is damaged: {where}: {first['msg']}. Remove it, or write the image again.") from error
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} is damaged and cannot be read. Remove it, or write the image again.") from error
