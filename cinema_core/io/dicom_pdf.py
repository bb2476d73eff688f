"""A PDF report as a DICOM object of the study, for archives that show no structured reports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydicom.uid import EncapsulatedPDFStorage

from cinema_core.cine import Cine
from cinema_core.errors import InputError
from cinema_core.io.dicom_seg import series_number
from cinema_core.io.dicom_sources import CHARACTERS, MANUFACTURER, SERIAL_NUMBER, made_of_images, source_frames

if TYPE_CHECKING:
    from highdicom.base import SOPClass

TITLE: Final = "Ventricular function, research use only"

PDF_MARK: Final = b"%PDF-"


def encapsulated_pdf(pdf: bytes, cine: Cine, software_version: str, title: str = TITLE) -> SOPClass:
    """Wrap a PDF file as a DICOM object of the study that a cine was read from.

    It is marked as holding burnt-in annotation, and names the patient as the images do.

    Parameters
    ----------
    pdf
        The file's content.

    Returns
    -------
    highdicom's object, ready to be saved.

    Raises
    ------
    InputError
        If it is no PDF.
    StudyError
        If the cine was not read from DICOM files that are still there, or they lack what a document needs.
    """
    from highdicom import UID
    from highdicom.base import SOPClass

    if not pdf.startswith(PDF_MARK):
        raise InputError("The report is not a PDF file, so it cannot become a DICOM document.")
    with made_of_images(cine):
        where = min(cine.sources, default=(0, 0))
        source = next(iter(source_frames(cine, [where[0]]).values())).header
        now = datetime.now()
        document = SOPClass(
            study_instance_uid=source.StudyInstanceUID,
            series_instance_uid=str(UID()),
            series_number=series_number(source, 3),
            sop_instance_uid=str(UID()),
            sop_class_uid=EncapsulatedPDFStorage,
            instance_number=1,
            modality="DOC",
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=software_version,
            device_serial_number=SERIAL_NUMBER,
            patient_id=source.PatientID,
            patient_name=source.PatientName,
            patient_birth_date=source.PatientBirthDate,
            patient_sex=source.PatientSex or None,
            accession_number=source.AccessionNumber,
            study_id=source.StudyID,
            study_date=source.StudyDate,
            study_time=source.StudyTime,
            referring_physician_name=source.ReferringPhysicianName,
            series_description=title,
            content_date=now.date(),
            content_time=now.time(),
            specific_character_set=CHARACTERS,
        )
    document.ConversionType = "WSD"  # made by a workstation
    document.AcquisitionDateTime = ""
    document.BurnedInAnnotation = "YES"
    document.DocumentTitle = title
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return document
