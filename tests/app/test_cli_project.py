"""``cinema export`` and ``cinema suggest`` on a project with one segmented study."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cinema_app import cli
from cinema_core.anatomy import LabelState, Structure
from cinema_core.cards import resolve_model
from cinema_core.cine import BsaFormula
from cinema_core.io import load_study
from cinema_core.measure import ReportChoices
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom
from cinema_core.project import ChanceEstimate, PhaseChoice, Project, SliceEdit, Source, study_snapshots


@pytest.fixture
def project(tmp_path: Path, phantom_study: PhantomStudy) -> Iterator[Path]:
    """Project with the phantom as the bundled model would have drawn it, and one corrected slice."""
    image = write_phantom(tmp_path / "images", phantom_study)
    study = load_study(image)
    [cine] = study.cines
    folder = tmp_path / "heart.cinema"
    sha256 = resolve_model("bundled").card.sha256
    with Project.open(folder, create=True, reader="Dr Reader") as opened:
        opened.add_study(study.id, cine.content_sha256, image, cine.id, cine.shape, cine.view)
        opened.record_many(
            SliceEdit(study.id, t, z, phantom_study.labels[t, z], LabelState.PREDICTED, "model", sha256)
            for t in range(cine.n_phases)
            for z in range(cine.n_slices)
        )
        opened.record(SliceEdit(study.id, 0, 2, phantom_study.labels[0, 2], LabelState.CORRECTED, "brush", sha256))
    yield folder


def read_report(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def study_id(project: Path) -> str:
    with Project.open(project) as opened:
        return opened.studies()[0].study_id


def approve(project: Path, phantom_study: PhantomStudy) -> None:
    """A named reader accepts all of ED and ES, and the phases themselves."""
    name = study_id(project)
    with Project.open(project, reader="Dr Reader") as opened:
        opened.set_phases(name, PhaseChoice(0, 2, 0, 2, Source.READER))
        opened.record_many(
            SliceEdit(name, t, z, phantom_study.labels[t, z], LabelState.ACCEPTED, "accept")
            for t in (0, 2)
            for z in range(5)
        )
        opened.approve(name, PhaseChoice(0, 2, 0, 2))


def test_export_writes_one_row_per_study(project: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    assert cli.run(["export", "--project", str(project), "--format", "csv", "--out", str(tmp_path / "out")]) == 0
    [row] = read_report(tmp_path / "out" / "report.csv")
    assert row["study_id"] == study_id(project)
    assert (row["corrected_slices"], row["accepted_slices"], row["status"]) == ("1", "0", "draft")
    assert row["model"] == "bundled"
    assert float(row["lv_edv_ml"]) == pytest.approx(phantom_study.lv_discs_ml.max(), rel=0.03)


def test_a_page_per_study_says_what_the_table_says(project: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    approve(project, phantom_study)
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "csv,pdf,html", "--out", str(out)]) == 0
    name = f"report-{study_id(project)}"
    assert sorted(path.name for path in out.iterdir()) == [
        "provenance.json",
        f"{name}.html",
        f"{name}.pdf",
        "report.csv",
    ]
    [row] = read_report(out / "report.csv")
    html = (out / f"{name}.html").read_text(encoding="utf-8")
    assert f">{row['lv_ef_pct']} %<" in html and f">{row['rv_edv_ml']} ml<" in html
    assert "Approved by Dr Reader" in html
    assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_a_report_is_made_again_from_the_project_but_for_its_time(project: Path, tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        assert cli.run(["export", "--project", str(project), "--format", "html", "--out", str(tmp_path / name)]) == 0
        [page] = (tmp_path / name).iterdir()
        made.append(page.read_text(encoding="utf-8").splitlines())
    assert [line for line, other in zip(*made, strict=True) if line != other and "made 20" not in line] == []


def test_labels_go_out_on_their_own_grid(project: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "csv,nifti", "--out", str(out)]) == 0
    labels = f"labels-{study_id(project)}.nii.gz"
    assert sorted(path.name for path in out.iterdir()) == [labels, "provenance.json", "report.csv"]
    written = np.asarray(nib.load(out / labels).dataobj)
    assert np.array_equal(written.transpose(3, 2, 1, 0), phantom_study.labels)


def test_reading_is_approved_once_a_named_reader_accepted_ed_and_es(
    project: Path, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    approve(project, phantom_study)
    assert cli.run(["export", "--project", str(project), "--out", str(tmp_path / "out")]) == 0
    [row] = read_report(tmp_path / "out" / "report.csv")
    assert (row["status"], row["reader"]) == ("approved", "Dr Reader")


def test_export_without_a_folder_goes_into_the_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", "--project", str(project)]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ["provenance.json", "report.csv"]
    assert all(path.is_file() and path.parent.parent == project / "exports" for path in written)


def test_export_never_replaces_results_unasked(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.csv").write_text("mine", encoding="utf-8")
    assert cli.run(["export", "--project", str(project), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "report.csv").read_text(encoding="utf-8") == "mine"
    assert cli.run(["export", "--project", str(project), "--out", str(out), "--overwrite"]) == 0
    assert len(read_report(out / "report.csv")) == 1


@pytest.mark.parametrize(
    ("formats", "told"),
    [("csv,dicom-rt", "'dicom-rt' is not known"), ("xls", "'xls' is not known")],
)
def test_other_formats_are_refused(
    formats: str, told: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", formats, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Choose among csv, details, pdf, html, fhir, nifti, dicom-seg, dicom-sr, dicom-pdf, dicom-sc and" in error
    assert not out.exists()


def test_image_that_moved_is_named_and_nothing_is_written(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert study_id(project) in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_what_can_be_exported_is_when_another_study_has_moved(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = make_phantom(HeartParameters(n_slices=2, slice_step_mm=30.0, n_phases=2), seed=1)
    with Project.open(project) as opened:
        opened.add_study("study-moved", moved.cine.content_sha256, tmp_path / "gone", "sax", moved.cine.shape, "sax")
        opened.record(SliceEdit("study-moved", 0, 0, moved.labels[0, 0], LabelState.PREDICTED, "model"))
    assert cli.run(["export", "--project", str(project), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "1 of 2 studies are not complete. study-moved: There is no file or folder" in error
    assert [row["study_id"] for row in read_report(tmp_path / "out" / "report.csv")] != ["study-moved"]


def test_half_drawn_heart_is_not_measured(
    project: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.cinema"
    with Project.open(project) as opened:
        study = opened.studies()[0]
    with Project.open(new, create=True) as opened:
        opened.add_study(study.study_id, study.content_sha256, study.image_path, study.cine_id, study.shape, study.view)
        opened.record(SliceEdit(study.study_id, 0, 2, phantom_study.labels[0, 2], LabelState.CORRECTED, "brush"))
    assert cli.run(["export", "--project", str(new), "--out", str(tmp_path / "out")]) == 2
    assert "No phase has labels on all of its slices" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_table_comes_with_what_its_rows_were_made_from(project: Path, tmp_path: Path) -> None:
    with Project.open(project) as opened:
        opened.set_report_choices(study_id(project), ReportChoices(bsa_formula=BsaFormula.DUBOIS, table="SCMR2025"))
    assert cli.run(["export", "--project", str(project), "--format", "csv", "--out", str(tmp_path / "out")]) == 0
    [found] = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))["studies"]
    assert found["study_id"] == study_id(project)
    assert (found["body_surface_formula"], found["reference_table"]) == ("DuBois", "SCMR2025")
    assert found["heart_rate_source"] == "time between phases"
    assert found["model"]["sha256"] == resolve_model("bundled").card.sha256


def test_details_of_a_project_are_those_of_the_study(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.run(["export", "--project", str(project), "--format", "details", "--out", str(out)]) == 0
    name = f"report-{study_id(project)}"
    assert sorted(path.name for path in out.iterdir()) == [
        f"{name}_{table}.csv" for table in ("flags", "measures", "phases", "segments")
    ]
    assert len(read_report(out / f"{name}_phases.csv")) == 6
    assert {row["body_surface_formula"] for row in read_report(out / f"{name}_measures.csv")} == {"Mosteller"}


def test_effort_is_one_line_of_numbers_per_study(project: Path, tmp_path: Path) -> None:
    assert cli.run(["export", "--project", str(project), "--format", "effort", "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "effort.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["corrected_slices"], row["accepted_slices"]) == ("1", "0")
    assert float(row["added_path_mm"]) >= 0
    assert (row["edits"], row["moved_points"], row["edits_of_unknown_points"]) == ("1", "0", "0")
    assert not (tmp_path / "out" / "report.csv").exists()


def test_empty_project_has_nothing_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Project.open(tmp_path / "new.cinema", create=True).close()
    assert cli.run(["export", "--project", str(tmp_path / "new.cinema")]) == 1
    assert "holds no labels to export" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "suggest"])
def test_folder_that_is_no_project(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--project", str(tmp_path)]) == 1
    assert f"There is no project in {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_suggest_leaves_out_what_was_corrected(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["suggest", "--project", str(project), "--limit", "50", "--json"]) == 0
    queues = json.loads(capsys.readouterr().out)
    assert list(queues) == ["review", "teach"]
    for queue in queues.values():
        assert queue["slices"]
        assert (0, 2) not in [(found["t"], found["z"]) for found in queue["slices"]]


def test_suggest_says_what_it_rests_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["suggest", "--project", str(project), "--limit", "3"]) == 0
    told = capsys.readouterr().out
    assert "points of EF at stake" in told
    assert cli.run(["suggest", "--project", str(project), "--limit", "3", "--json"]) == 0
    for found in json.loads(capsys.readouterr().out)["review"]["slices"]:
        assert re.search(r"\(\d+ points of (LV|RV) EF.* rest on this slice\)", found["reason"])


def test_suggest_tells_what_became_of_random_slices(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["suggest", "--project", str(project), "--json"]) == 0
    review = json.loads(capsys.readouterr().out)["review"]
    assert review["random"] == {
        "slices": 0,
        "accepted_as_drawn": 0,
        "undecided": 0,
        "interval_95": None,
        "mean_dice_corrected": None,
    }
    assert any(found["by_chance"] for found in review["slices"])
    monkeypatch.setattr(Project, "chance_estimate", lambda *_: ChanceEstimate(6, 5, 1, 0.8))
    assert cli.run(["suggest", "--project", str(project)]) == 0
    assert "Of 6 slices of 1 study drawn at random, 5 were accepted as drawn: 83 %" in capsys.readouterr().out


def test_review_queue_starts_at_ed_or_es(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["suggest", "--project", str(project), "--limit", "1", "--json"]) == 0
    [first] = json.loads(capsys.readouterr().out)["review"]["slices"]
    with Project.open(project) as opened:
        (snapshot,) = study_snapshots(opened)
    cavity_px = (snapshot.labels == Structure.LV_CAVITY).sum(axis=(1, 2, 3))
    assert first["t"] in (cavity_px.argmax(), cavity_px.argmin())
