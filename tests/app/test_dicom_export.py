"""DICOM objects out of a project and out of the window."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pypdfium2
import pytest
from qtpy.QtWidgets import QFileDialog

from cinema_app import cli
from cinema_app.dicom_export import export_dicom
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import UNLABELLED, LabelState, Structure
from cinema_core.cine import BsaFormula
from cinema_core.errors import InputError, StudyError
from cinema_core.io import load_study
from cinema_core.io.contours import import_labels
from cinema_core.io.dicom_sr import GROUPS
from cinema_core.measure import ReportChoices
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import PhaseChoice, Project, SliceEdit, Source


@pytest.fixture
def images(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    """The phantom as DICOM, of somebody."""
    folder = write_phantom(tmp_path / "images", phantom_study, "dicom")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.PatientName, image.PatientID = "Example^Erika", "MRN-4711"
        image.save_as(path)
    return folder


@pytest.fixture
def dicom_reading(
    images: Path, project: Project, engine: Any, phantom_study: PhantomStudy, segmentation: Any
) -> Reading:
    """The phantom opened from DICOM, after a segmentation that found the truth."""
    reading = Reading(project, engine)
    reading.show(load_study(images))
    reading.segment()
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    return reading


def project_of(
    path: Path, image: Path, phantom_study: PhantomStudy, phases: PhaseChoice | None = None
) -> tuple[Path, str]:
    study = load_study(image)
    cine = study.best()
    with Project.open(path, create=True) as opened:
        opened.add_study(study.id, cine.content_sha256, image, cine.id, cine.shape, cine.view)
        opened.record_many(
            SliceEdit(study.id, t, z, phantom_study.labels[t, z], LabelState.ACCEPTED, "brush")
            for t in range(cine.n_phases)
            for z in range(cine.n_slices)
        )
        if phases:
            opened.set_phases(study.id, phases)
        opened.set_report_choices(study.id, ReportChoices(height_cm=170, weight_kg=65, bsa_formula=BsaFormula.DUBOIS))
    return path, study.id


def test_export_writes_both_phases_and_the_report(images: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    arguments = ["export", "--project", str(project), "--format", "csv,dicom-seg,dicom-sr", "--out", str(out)]
    assert cli.run(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "provenance.json",
        "report.csv",
        f"seg-{study_id}-ed.dcm",
        f"seg-{study_id}-es.dcm",
        f"sr-{study_id}.dcm",
    ]
    seg = hd.seg.segread(out / f"seg-{study_id}-ed.dcm")
    assert seg.get_segment_description(1).algorithm_type.value == "MANUAL"
    assert str(pydicom.dcmread(out / f"sr-{study_id}.dcm").PatientName) == "Example^Erika"


def of_report_csv(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    return row


def of_structured_report(path: Path) -> dict[str, str]:
    groups = hd.sr.srread(path).content.get_image_measurement_groups()
    by_code = {m.name.value: m.value for group in groups for m in group.get_measurements()}
    codes = {one.column: one.name.value for _, _, measures, _ in GROUPS for one in measures}
    return {column: f"{by_code[code]:.2f}" for column, code in codes.items() if code in by_code}


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    texts = []
    for page in document:
        text = page.get_textpage()
        texts.append(" ".join(text.get_text_bounded().split()))
        text.close()
        page.close()
    document.close()
    return " ".join(texts)


def test_a_figure_is_the_same_number_in_every_output(images: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    formats = "csv,details,html,pdf,fhir,dicom-sr,dicom-pdf"
    assert cli.run(["export", "--project", str(project), "--format", formats, "--out", str(out)]) == 0
    row = of_report_csv(out / "report.csv")
    figures = {one.column: row[one.column] for _, _, measures, _ in GROUPS for one in measures if row[one.column]}
    assert len(figures) == 20

    with (out / f"report-{study_id}_measures.csv").open(encoding="utf-8", newline="") as file:
        long = {line["measure"]: line["value"] for line in csv.DictReader(file)}
    assert {name: long[name] for name in figures} == figures
    assert of_structured_report(out / f"sr-{study_id}.dcm") == figures
    bundle = json.loads((out / f"fhir-{study_id}.json").read_text(encoding="utf-8"))
    coded = {entry["resource"]["id"]: entry["resource"]["valueQuantity"]["value"] for entry in bundle["entry"]}
    assert {name.replace("-", "_"): f"{value:.2f}" for name, value in coded.items()} == figures

    html = (out / f"report-{study_id}.html").read_text(encoding="utf-8")
    pdf = (out / f"report-{study_id}.pdf").read_bytes()
    wrapped = pydicom.dcmread(out / f"pdf-{study_id}.dcm")
    assert wrapped.EncapsulatedDocument[: wrapped.EncapsulatedDocumentLength] == pdf
    said = text_of(pdf)
    for name, text in figures.items():
        assert f">{text} " in html, name
        assert f" {text} " in said, name


def test_every_output_tells_formula_table_and_source_of_the_heart_rate(
    images: Path, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    formats = "csv,details,html,pdf,fhir,dicom-sr"
    assert cli.run(["export", "--project", str(project), "--format", formats, "--out", str(out)]) == 0
    report = pydicom.dcmread(out / f"sr-{study_id}.dcm")
    told = {
        "sidecar": (out / "provenance.json").read_text(encoding="utf-8"),
        "long form": (out / f"report-{study_id}_measures.csv").read_text(encoding="utf-8"),
        "page": (out / f"report-{study_id}.html").read_text(encoding="utf-8"),
        "pdf": text_of((out / f"report-{study_id}.pdf").read_bytes()),
        "fhir": (out / f"fhir-{study_id}.json").read_text(encoding="utf-8"),
        "sr": " ".join(str(element.value) for element in report.iterall()),
    }
    for name, text in told.items():
        for words in ("DuBois", "HHC2024", "RR interval of the files"):
            assert words in text, (name, words)


def test_the_rv_s_own_phases_are_segmentations_of_it_alone(
    images: Path, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    phases = PhaseChoice(0, 2, 0, 3, Source.READER)
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study, phases)
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "dicom-seg", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        f"seg-{study_id}-{phase}.dcm" for phase in ("ed", "es", "rv-es")
    ]
    read = import_labels(out / f"seg-{study_id}-rv-es.dcm", load_study(images).best())
    assert {t for t, _ in read.masks} == {3}
    found = sum(int((mask == Structure.RV_CAVITY).sum()) for mask in read.masks.values())
    assert found == int((phantom_study.labels[3] == Structure.RV_CAVITY).sum())


def test_overwrite_leaves_no_segmentation_of_a_phase_that_is_no_longer_one(
    images: Path, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    project, study_id = project_of(
        tmp_path / "heart.cinema", images, phantom_study, PhaseChoice(0, 2, 0, 3, Source.READER)
    )
    out = tmp_path / "out"
    export = ["export", "--project", str(project), "--format", "csv,dicom-seg", "--out", str(out)]
    assert cli.run(export) == 0
    (out / "letter.txt").touch()
    with Project.open(project) as opened:
        opened.set_phases(study_id, PhaseChoice(0, 2, 0, 2, Source.READER))
    assert cli.run([*export, "--overwrite"]) == 0
    segmentations = [f"seg-{study_id}-{phase}.dcm" for phase in ("ed", "es")]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["letter.txt", "provenance.json", "report.csv", *segmentations]
    )


def test_what_cannot_be_made_anew_stays(
    images: Path, tmp_path: Path, phantom_study: PhantomStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    export = ["export", "--project", str(project), "--format", "csv,nifti,dicom-sr", "--out", str(out)]
    assert cli.run(export) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise StudyError("These images cannot be measured.")

    monkeypatch.setattr("cinema_core.report.from_project.project_result", fail)
    assert cli.run([*export, "--overwrite"]) == 1  # its labels are written
    assert {path.name for path in out.iterdir()} == set(before)
    for name in ("report.csv", "provenance.json", f"sr-{study_id}.dcm"):
        assert (out / name).read_bytes() == before[name]


def test_a_real_study_carries_every_object(shared_data: Path, tmp_path: Path) -> None:
    """Sunnybrook's images have a day that never was, and a frame of reference each."""
    folder = shared_data / "sunnybrook_dicom"
    images, project, out = folder / "dicoms" / "SCD0000301", tmp_path / "p.cinema", tmp_path / "out"
    imported = ["import-labels", str(images), str(folder / "contourfiles" / "SC-HF-I-4"), "--project", str(project)]
    assert cli.run(imported) == 0
    kinds = "dicom-seg,dicom-sr,dicom-pdf,dicom-sc"
    assert cli.run(["export", "--project", str(project), "--format", kinds, "--out", str(out)]) == 0
    cine = load_study(images).best()
    made = {path.name.partition("-")[0]: pydicom.dcmread(path) for path in out.iterdir()}
    assert set(made) == {"seg", "sr", "pdf", "sc"}
    source = pydicom.dcmread(next(iter(cine.sources.values())).path, stop_before_pixels=True)
    assert {one.StudyInstanceUID for one in made.values()} == {source.StudyInstanceUID}
    assert {one.StudyDate for one in made.values()} == {""} and source.StudyDate == "20120000"
    [segmentation] = out.glob("seg-*-ed.dcm")
    read = import_labels(segmentation, cine)
    with Project.open(project) as opened:
        drawn = {place: one.mask for place, one in opened.slices(opened.studies()[0].study_id).items()}
    for place, mask in read.masks.items():
        assert np.array_equal(mask, np.where(drawn[place] == UNLABELLED, 0, drawn[place]))


def test_key_images_are_written_and_say_draft(images: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "dicom-sc", "--out", str(out)]) == 0
    written = sorted(path.name for path in out.iterdir())
    assert written == [f"sc-{study_id}-{number}.dcm" for number in range(1, 7)]
    image = pydicom.dcmread(out / written[0])
    assert "DRAFT. Research use only" in image.ImageComments
    assert str(image.PatientName) == "Example^Erika"


def test_a_study_that_is_no_dicom_still_has_its_row(
    tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_phantom(tmp_path / "images", phantom_study)
    project, study_id = project_of(tmp_path / "heart.cinema", image, phantom_study)
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "csv,dicom-seg", "--out", str(out)]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["provenance.json", "report.csv"]
    error = capsys.readouterr().err
    assert study_id in error and "not read from DICOM" in error


def test_no_file_name_and_no_message_names_the_patient(
    dicom_reading: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    written = export_dicom(dicom_reading, tmp_path / "out")
    told = " ".join([*map(str, written), *capsys.readouterr(), *(str(w.message) for w in recwarn)])
    assert len(written) == 10  # ED and ES, report, PDF, six key images
    assert all(path.is_file() for path in written)
    assert "Erika" not in told and "4711" not in told


def test_what_is_there_is_not_replaced(dicom_reading: Reading, tmp_path: Path) -> None:
    export_dicom(dicom_reading, tmp_path / "out")
    with pytest.raises(InputError, match="already"):
        export_dicom(dicom_reading, tmp_path / "out")


def test_button_says_why_it_is_grey_for_a_study_that_is_no_dicom(workspace: Workspace, segmented: Reading) -> None:
    assert not workspace.export.export_dicom.isEnabled()
    assert "not opened from DICOM" in workspace.export.export_dicom.toolTip()


def test_button_writes_where_the_reader_says(
    workspace: Workspace,
    reading: Reading,
    images: Path,
    engine: Any,
    phantom_study: PhantomStudy,
    segmentation: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading.show(load_study(images))
    reading.segment()
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "archive"))
    assert workspace.export.export_dicom.isEnabled()
    workspace.export.export_dicom.click()
    assert len(list((tmp_path / "archive").glob("*.dcm"))) == 10
