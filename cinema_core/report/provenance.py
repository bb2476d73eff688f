"""What a result was made from, so that it can be made again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine
from cinema_core.measure.function import CONVENTION
from cinema_core.report.result import StudyResult

LIBRARIES: Final = ("torch", "monai", "numpy", "scipy", "nibabel", "pydicom")
"""Whose version can move a figure: those that read, resample and compute."""


def provenance(
    study_id: str,
    cine: Cine,
    *,
    card: ModelCard | None,
    settings: Mapping[str, Any],
    software_version: str,
    created_utc: str,
) -> dict[str, Any]:
    """Plain values for ``provenance.json``: input by its content, model by its hash, settings, versions.

    No names, no dates of the patient, no paths: what is hashed can be found again without them.

    Parameters
    ----------
    settings
        What was asked for: phases, device and the like.
    """
    return {
        "study_id": study_id,
        "cine": {
            "id": cine.id,
            "view": cine.view.value,
            "shape_tzyx": list(cine.shape),
            "content_sha256": cine.content_sha256,
            "pixel_spacing_mm": list(cine.geometry.pixel_spacing_mm),
            "slice_step_mm": cine.geometry.slice_step_mm,
            "phase_order": cine.timing.order_rule,
        },
        "model": {"name": card.name, "sha256": card.sha256, "kind": card.kind} if card else None,
        "convention": CONVENTION,
        "settings": dict(settings),
        "software": {
            "napari-cinema": software_version,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            **{name: found for name in LIBRARIES if (found := _version(name))},
        },
        "created_utc": created_utc,
    }


def result_provenance(result: StudyResult) -> dict[str, Any]:
    """Plain values for a short-axis study as reported: also who read it, by which rules, and how it was imported."""
    origin, measures, approval = result.origin, result.measures, result.approval
    return provenance(
        result.study_id,
        result.cine,
        card=origin.card,
        settings=origin.settings,
        software_version=origin.software_version,
        created_utc=origin.created_utc,
    ) | {
        "import_rules": list(origin.import_rules),
        "tuned_from": origin.tuned_from,
        "labels": {
            "corrected_slices": origin.corrected_slices,
            "accepted_slices": origin.accepted_slices,
            "journal_position": origin.journal_position,
        },
        "method": measures.function.method.description,
        "wall": measures.wall.description if measures.wall else "",
        "body_surface_formula": measures.function.bsa_formula.value,
        "heart_rate_source": result.heart_rate_source,
        "reference_table": measures.choices.table,
        "status": approval.status.value,
        "reader": approval.reader,
        "approved_utc": approval.utc,
    }


def _version(distribution: str) -> str | None:
    """Version as installed, without importing it: torch stays out of the window's process."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
