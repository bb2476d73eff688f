"""DICOM objects out of a project and out of the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import pydicom
import pytest
from qtpy.QtWidgets import QFileDialog

from cinema_app import cli
from cinema_app.dicom_export import export_dicom
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState
from cinema_core.errors import InputError
from cinema_core.io import load_study
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project, SliceEdit


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


def project_of(path: Path, image: Path, phantom_study: PhantomStudy) -> tuple[Path, str]:
    study = load_study(image)
    cine = study.best()
    with Project.open(path, create=True) as opened:
        opened.add_study(study.id, cine.content_sha256, image, cine.id, cine.shape, cine.view)
        opened.record_many(
            SliceEdit(study.id, t, z, phantom_study.labels[t, z], LabelState.ACCEPTED, "brush")
            for t in range(cine.n_phases)
            for z in range(cine.n_slices)
        )
    return path, study.id


def test_export_writes_both_phases_and_the_report(images: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    project, study_id = project_of(tmp_path / "heart.cinema", images, phantom_study)
    out = tmp_path / "out"
    arguments = ["export", "--project", str(project), "--format", "csv,dicom-seg,dicom-sr", "--out", str(out)]
    assert cli.run(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "report.csv",
        f"seg-{study_id}-ed.dcm",
        f"seg-{study_id}-es.dcm",
        f"sr-{study_id}.dcm",
    ]
    seg = hd.seg.segread(out / f"seg-{study_id}-ed.dcm")
    assert seg.get_segment_description(1).algorithm_type.value == "MANUAL"
    assert str(pydicom.dcmread(out / f"sr-{study_id}.dcm").PatientName) == "Example^Erika"


def test_a_study_that_is_no_dicom_still_has_its_row(
    tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_phantom(tmp_path / "images", phantom_study)
    project, study_id = project_of(tmp_path / "heart.cinema", image, phantom_study)
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "csv,dicom-seg", "--out", str(out)]) == 1
    assert [path.name for path in out.iterdir()] == ["report.csv"]
    error = capsys.readouterr().err
    assert study_id in error and "not read from DICOM" in error


def test_no_file_name_and_no_message_names_the_patient(
    dicom_reading: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    written = export_dicom(dicom_reading, tmp_path / "out")
    told = " ".join([*map(str, written), *capsys.readouterr(), *(str(w.message) for w in recwarn)])
    assert len(written) == 3
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
    assert len(list((tmp_path / "archive").glob("*.dcm"))) == 3
