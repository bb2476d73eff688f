"""The measures as FHIR R4: a collection of Observations, coded as in the structured report.

References
----------
HL7 FHIR R4 (4.0.1), Observation and Bundle; units in UCUM.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

from pydicom.sr.coding import Code

from cinema_core.errors import LabelError
from cinema_core.io.dicom_sr import GROUPS, OWN_SCHEME, CodedMeasure
from cinema_core.report.result import RESEARCH_USE, Status, StudyResult

SYSTEMS: Final = {
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "UCUM": "http://unitsofmeasure.org",
    OWN_SCHEME: "urn:oid:2.25.193872465017394885712046693125507814290",
}
"""Of the coding schemes of DICOM; our own has no registered name."""

_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_ENTRIES: Final = UUID("6f0d9a52-94f5-4c0b-8f65-5a2a1a0c1f11")
"""Namespace of the entries' identifiers, so that the same result gives the same ones."""


def fhir_bundle(result: StudyResult) -> dict[str, Any]:
    """Return every coded measure as an Observation; one that is not known has the reason in place of a value.

    Observations are preliminary until a named reader approved ED and ES. The study is named by its pseudonym; there is
    no subject. Of the person it is told only for whom a reference range holds: sex, decade and, where it was chosen,
    ethnicity, without which nobody could check the limits.

    Raises
    ------
    LabelError
        If nothing was measured.
    """
    coded = [(one, site) for _, site, measures, _ in GROUPS for one in measures]
    if all(result.value(one.column) is None for one, _ in coded):
        raise LabelError("Nothing was measured, so there is nothing to report. Segment the cine first.")
    notes = _notes(result)
    observations = [_observation(result, one, site, notes) for one, site in coded]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": result.origin.created_utc,
        "entry": [
            {"fullUrl": uuid5(_ENTRIES, f"{result.study_id} {found['id']}").urn, "resource": found}
            for found in observations
        ],
    }


def fhir_text(result: StudyResult) -> str:
    """Return the measures as JSON; see :func:`fhir_bundle`."""
    return json.dumps(fhir_bundle(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _observation(result: StudyResult, measure: CodedMeasure, site: Code, notes: Sequence[str]) -> dict[str, Any]:
    value, approval = result.values[measure.column], result.approval
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": measure.column.replace("_", "-"),
        "status": "final" if approval.status is Status.APPROVED else "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging"}]}],
        "code": {**_concept(measure.name), "text": value.title},
        "issued": result.origin.created_utc,
        "bodySite": _concept(site),
        "method": {"text": result.basis["Method"]},
        "device": {"display": f"napari-cinema {result.origin.software_version}"},
        "derivedFrom": [{"type": "ImagingStudy", "identifier": {"value": result.study_id}}],
        "note": [{"text": line} for line in notes],
    }
    if approval.status is Status.APPROVED:
        found["performer"] = [{"display": approval.reader}]
    if value.value is None:
        found["dataAbsentReason"] = {"coding": [{"system": _ABSENT, "code": "unknown"}], "text": value.reason}
        return found
    found["valueQuantity"] = _quantity(value.value, measure)
    if value.verdict is not None and (limits := value.verdict.range) is not None:
        ends = {"low": limits.lower, "high": limits.upper}
        found["referenceRange"] = [
            {name: _quantity(end, measure) for name, end in ends.items() if end is not None}
            | {"text": limits.description}
        ]
    return found


def _notes(result: StudyResult) -> list[str]:
    origin = result.origin
    lines = [
        RESEARCH_USE,
        f"Convention: {result.measures.function.convention}",
        *(f"{name}: {text}" for name, text in result.basis.items()),
        f"Images: sha256 {result.cine.content_sha256}",
        f"Slices corrected: {origin.corrected_slices}, accepted: {origin.accepted_slices}",
    ]
    if origin.card:
        lines.append(f"Model: {origin.card.name}, sha256 {origin.card.sha256}")
    return [*lines, *(f"Check: {finding.text}" for finding in result.findings)]


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [{"system": SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}]}


def _quantity(value: float, measure: CodedMeasure) -> dict[str, Any]:
    unit = measure.unit
    return {"value": value, "unit": unit.meaning, "system": SYSTEMS[unit.scheme_designator], "code": unit.value}
