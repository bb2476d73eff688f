"""The report as a DICOM Structured Report: TID 1500, Measurement Report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.dicom_seg import series_number, structure_code
from cinema_core.io.dicom_sources import (
    CHARACTERS,
    MANUFACTURER,
    SERIAL_NUMBER,
    SourceFrame,
    made_of_images,
    source_frames,
)

if TYPE_CHECKING:
    from highdicom.sr import ComprehensiveSR, MeasurementsAndQualitativeEvaluations

    from cinema_core.report import ReportRow

OWN_SCHEME: Final = "99CINEMA"
"""Of concepts that have no code in the standard; schemes of one's own begin with 99."""

SERIES_DESCRIPTION: Final = "Ventricular function, research use only"

DEVICE_UID: Final = "2.25.302066420541834022926018441277905208321"
"""Of the program as an observer."""

DECIMALS: Final = 2
"""The same number as in the table."""


@dataclass(frozen=True)
class CodedMeasure:
    """A column of the report with what it is called in DICOM."""

    column: str
    name: Code
    unit: Code


_ML: Final = Code("ml", "UCUM", "ml")
_ML_M2: Final = Code("ml/m2", "UCUM", "ml/m2")
_G: Final = Code("g", "UCUM", "g")
_G_M2: Final = Code("g/m2", "UCUM", "g/m2")
_PERCENT: Final = Code("%", "UCUM", "%")
_L_MIN: Final = Code("l/min", "UCUM", "l/min")
_L_MIN_M2: Final = Code("l/min/m2", "UCUM", "l/min/m2")
_PER_MIN: Final = Code("/min", "UCUM", "/min")
_M2: Final = Code("m2", "UCUM", "m2")


def _own(column: str, meaning: str, unit: Code) -> CodedMeasure:
    # A code value has 16 characters at most.
    return CodedMeasure(column, Code(column.partition("_ml")[0].partition("_g_")[0], OWN_SCHEME, meaning), unit)


LV_MEASURES: Final = (
    CodedMeasure("lv_edv_ml", Code("8821-1", "LN", "Left Ventricular ED Volume"), _ML),
    CodedMeasure("lv_esv_ml", Code("8823-7", "LN", "Left Ventricular ES Volume"), _ML),
    CodedMeasure("lv_sv_ml", Code("90096001", "SCT", "Stroke Volume"), _ML),
    CodedMeasure("lv_ef_pct", Code("8811-2", "LN", "Left ventricular ejection fraction by MR"), _PERCENT),
    CodedMeasure("cardiac_output_l_min", Code("82799009", "SCT", "Cardiac Output"), _L_MIN),
    CodedMeasure("cardiac_index_l_min_m2", Code("54993008", "SCT", "Cardiac Index"), _L_MIN_M2),
    CodedMeasure("lv_svi_ml_m2", Code("277381004", "SCT", "Stroke Index"), _ML_M2),
    _own("lv_edvi_ml_m2", "Left ventricular ED volume per body surface area", _ML_M2),
    _own("lv_esvi_ml_m2", "Left ventricular ES volume per body surface area", _ML_M2),
)
MYOCARDIUM_MEASURES: Final = (
    CodedMeasure("lv_mass_g", Code("18087-7", "LN", "Left Ventricle Mass"), _G),
    _own("lv_massi_g_m2", "Left ventricular mass per body surface area", _G_M2),
)
RV_MEASURES: Final = (
    CodedMeasure("rv_edv_ml", Code("8822-9", "LN", "Right Ventricular ED Volume"), _ML),
    CodedMeasure("rv_esv_ml", Code("8824-5", "LN", "Right Ventricular ES Volume"), _ML),
    CodedMeasure("rv_sv_ml", Code("429483009", "SCT", "RV Stroke Volume"), _ML),
    CodedMeasure("rv_ef_pct", Code("8818-7", "LN", "Right ventricular ejection fraction by MR"), _PERCENT),
    _own("rv_edvi_ml_m2", "Right ventricular ED volume per body surface area", _ML_M2),
    _own("rv_esvi_ml_m2", "Right ventricular ES volume per body surface area", _ML_M2),
    _own("rv_svi_ml_m2", "Right ventricular stroke volume per body surface area", _ML_M2),
)
BODY_MEASURES: Final = (
    CodedMeasure("heart_rate_bpm", Code("8867-4", "LN", "Heart rate"), _PER_MIN),
    CodedMeasure("bsa_m2", Code("8277-6", "LN", "Body Surface Area"), _M2),
)

_LV_PHASES: Final = ("ed_phase", "es_phase")
GROUPS: Final = (
    ("LV function", structure_code(Structure.LV_CAVITY), LV_MEASURES, _LV_PHASES),
    ("LV myocardium", structure_code(Structure.LV_MYOCARDIUM), MYOCARDIUM_MEASURES, ("ed_phase",)),
    ("RV function", structure_code(Structure.RV_CAVITY), RV_MEASURES, ("rv_ed_phase", "rv_es_phase")),
    ("Heart rate and body surface", Code("80891009", "SCT", "Heart"), BODY_MEASURES, _LV_PHASES),
)
"""Name, site, measures, and the columns of the phases that they are read at; the RV has its own."""


def dicom_report(row: ReportRow, cine: Cine, basis: Mapping[str, str]) -> ComprehensiveSR:
    """Make a structured report of one row of the report.

    What is not known is left out. Convention, method, phases, model and software version stand with each group of
    measures as parameters of the algorithm. The report is partial and preliminary until a named reader approved it,
    and never verified: this is for research. It names the patient as the images do.

    Parameters
    ----------
    row
        Values as in the table.
    cine
        Read from DICOM; the images at ED and ES of each ventricle are named as evidence.
    basis
        How figures were found: :attr:`~cinema_core.report.StudyResult.basis`.

    Raises
    ------
    StudyError
        If the cine was not read from DICOM files that are still there, or they lack what a report needs.
    LabelError
        If nothing was measured.
    """
    from highdicom import UID  # here: it is slow to import, and most commands do without
    from highdicom.sr import ComprehensiveSR

    with made_of_images(cine):
        phases = {t for *_, columns in GROUPS for t in _frames(row, columns)}
        sources = source_frames(cine, phases or range(cine.n_phases))
        evidence = list({str(one.header.SOPInstanceUID): one.header for one in sources.values()}.values())
        is_approved = row.status == "approved"
        parameters = _parameters(row, basis)
        groups = [
            group
            for name, site, measures, columns in GROUPS
            if (group := _group(name, site, measures, row, parameters, _at(_frames(row, columns), sources)))
        ]
        if not groups:
            raise LabelError("Nothing was measured, so there is nothing to report. Segment the cine first.")
        return ComprehensiveSR(
            evidence=evidence,
            content=_content(row, groups)[0],
            series_instance_uid=str(UID()),
            series_number=series_number(evidence[0], 2),
            sop_instance_uid=str(UID()),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=row.software_version,
            device_serial_number=SERIAL_NUMBER,
            is_complete=is_approved,
            is_final=is_approved,
            is_verified=False,
            series_description=SERIES_DESCRIPTION,
            content_qualification="RESEARCH",
            specific_character_set=CHARACTERS,
        )


def _content(row: ReportRow, groups: Sequence[MeasurementsAndQualitativeEvaluations]) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )

    device = ObserverContext(
        codes.DCM.Device,
        DeviceObserverIdentifyingAttributes(
            DEVICE_UID, name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=row.software_version
        ),
    )
    person = None
    if row.reader:
        # The caret says that a name of one part is meant so; carets and equals signs of its own would split it.
        name = row.reader.translate({ord(mark): " " for mark in "^=\\"}) + "^"
        person = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(name))
    return MeasurementReport(
        observation_context=ObservationContext(observer_person_context=person, observer_device_context=device),
        procedure_reported=Code("241620005", "SCT", "Cardiac MRI"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _frames(row: ReportRow, columns: Iterable[str]) -> set[int]:
    """Frames from 0 of columns that count from 1."""
    return {phase - 1 for column in columns if (phase := getattr(row, column)) is not None}


def _at(phases: set[int], sources: Mapping[tuple[int, int], SourceFrame]) -> list[SourceFrame]:
    """Images of some phases; all where no phase is known."""
    return [one for (t, _), one in sources.items() if not phases or t in phases]


def _group(
    name: str,
    site: Code,
    measures: Sequence[CodedMeasure],
    row: ReportRow,
    parameters: list[str],
    images: Sequence[SourceFrame],
) -> MeasurementsAndQualitativeEvaluations | None:
    """Measures of one structure; None if none is known."""
    from highdicom import UID
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    known = [(one, value) for one in measures if (value := getattr(row, one.column)) is not None]
    if not known:
        return None
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(UID(), name),
        finding_sites=[FindingSite(site)],
        algorithm_id=AlgorithmIdentification(MANUFACTURER, row.software_version, parameters=parameters),
        measurements=[Measurement(one.name, round(value, DECIMALS), one.unit) for one, value in known],
        source_images=[
            SourceImageForMeasurementGroup(
                str(one.header.SOPClassUID),
                str(one.header.SOPInstanceUID),
                [one.frame + 1] if one.is_multi_frame else None,
            )
            for one in images
        ],
    )


def _parameters(row: ReportRow, basis: Mapping[str, str]) -> list[str]:
    """Say how it was measured, in lines."""
    lines = [
        "Research use only, not for diagnosis",
        f"Status: {row.status}",
        f"Convention: {row.convention}",
        *(f"{name}: {text}" for name, text in basis.items()),
        f"Short axis of {row.n_slices} slices and {row.n_phases} phases",
    ]
    for name in ("ed_phase", "es_phase", "rv_ed_phase", "rv_es_phase"):
        phase = getattr(row, name)
        if phase is not None:
            lines.append(f"{name}: {phase}")
    if row.model:
        lines += [f"Model: {row.model}", f"Model sha256: {row.model_sha256}"]
    lines.append(f"Slices corrected: {row.corrected_slices}, accepted: {row.accepted_slices}")
    lines += [f"Check: {flag}" for flag in row.flags.split("; ") if flag]
    return lines
