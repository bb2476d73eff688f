"""The measures as FHIR Observations: the same numbers, coded, and of the person only for whom limits hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard
from cinema_core.cine import Patient
from cinema_core.errors import LabelError
from cinema_core.measure import ReportChoices, study_measures
from cinema_core.phantom import PhantomStudy
from cinema_core.report import Approval, Origin, Status, StudyResult
from cinema_core.report.fhir import fhir_bundle, fhir_text

ORIGIN = Origin("1.2.3", "2026-01-02T03:04:05+00:00", ModelCard(name="reader-1", sha256="f" * 64))
PERSON = ReportChoices(sex="F", age_years=52, height_cm=168, weight_kg=64, bsa_formula="DuBois")
APPROVED = Approval(Status.APPROVED, "Reader 7", "2026-01-02T03:00:00.000Z", "")


def result_of(phantom: PhantomStudy, choices: ReportChoices = PERSON, approval: Approval = APPROVED) -> StudyResult:
    cine = replace(phantom.cine, patient=Patient())
    return StudyResult("study-1", cine, study_measures(phantom.labels, cine, choices=choices), ORIGIN, approval)


def observations(result: StudyResult) -> dict[str, dict[str, Any]]:
    bundle = json.loads(fhir_text(result))
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    return {entry["resource"]["id"]: entry["resource"] for entry in bundle["entry"]}


def test_values_are_those_of_the_report_with_their_codes(phantom_study: PhantomStudy) -> None:
    result = result_of(phantom_study)
    found = observations(result)
    assert {name: one["valueQuantity"]["value"] for name, one in found.items()} == {
        name: result.value(name.replace("-", "_")) for name in found
    }
    ef = found["lv-ef-pct"]
    assert ef["code"]["coding"] == [
        {"system": "http://loinc.org", "code": "8811-2", "display": "Left ventricular ejection fraction by MR"}
    ]
    assert (ef["valueQuantity"]["system"], ef["valueQuantity"]["code"]) == ("http://unitsofmeasure.org", "%")
    assert ef["bodySite"]["coding"][0]["code"] == Structure.LV_CAVITY.snomed_ct
    limits = result.measures.verdicts["lv_ef_pct"].range
    assert limits is not None
    [reference] = ef["referenceRange"]
    assert (reference["low"]["value"], reference["high"]["value"]) == (limits.lower, limits.upper)
    assert "Healthy Hearts Consortium" in reference["text"]


def test_every_one_says_what_it_rests_on(phantom_study: PhantomStudy) -> None:
    for one in observations(result_of(phantom_study)).values():
        notes = " ".join(note["text"] for note in one["note"])
        for said in ("Research use only", "DuBois", "HHC2024", "Heart rate: ", "papillary", "f" * 64):
            assert said in notes


def test_it_is_final_only_if_a_named_reader_approved(phantom_study: PhantomStudy) -> None:
    approved = observations(result_of(phantom_study))["lv-ef-pct"]
    draft = observations(result_of(phantom_study, approval=Approval()))["lv-ef-pct"]
    assert (approved["status"], approved["performer"]) == ("final", [{"display": "Reader 7"}])
    assert draft["status"] == "preliminary" and "performer" not in draft


def test_what_is_not_known_has_its_reason_and_no_value(phantom_study: PhantomStudy) -> None:
    one = observations(result_of(phantom_study, ReportChoices()))["lv-edvi-ml-m2"]
    assert "valueQuantity" not in one
    assert one["dataAbsentReason"]["text"] == "height and weight are not known"


def test_of_the_person_only_the_group_of_the_limits_is_told(phantom_study: PhantomStudy) -> None:
    cine = replace(phantom_study.cine, patient=Patient())
    result = StudyResult("study-1", cine, study_measures(phantom_study.labels, cine, choices=PERSON), ORIGIN, APPROVED)
    bundle = fhir_bundle(result)
    assert "women, 50 to 59 years" in json.dumps(bundle)
    for entry in bundle["entry"]:
        assert "subject" not in entry["resource"]
        for limits in entry["resource"].pop("referenceRange", []):
            assert "women" in limits["text"]
        # Whole numbers only: a volume may well be 168.3 ml.
        assert not {"F", "52", "168", "64"} & set(re.split(r'[\s",:;()]+', json.dumps(entry)))
        assert not re.search("wom[ae]n|female|birth|years", json.dumps(entry))


def test_the_same_result_gives_the_same_text(phantom_study: PhantomStudy) -> None:
    assert fhir_text(result_of(phantom_study)) == fhir_text(result_of(phantom_study))


def test_nothing_measured_is_no_observation(phantom_study: PhantomStudy) -> None:
    cine = replace(phantom_study.cine, patient=Patient())
    cine = replace(cine, timing=replace(cine.timing, rr_ms=()))
    result = StudyResult("study-1", cine, study_measures(np.zeros_like(phantom_study.labels), cine), ORIGIN)
    with pytest.raises(LabelError, match="nothing to report"):
        fhir_bundle(result)
