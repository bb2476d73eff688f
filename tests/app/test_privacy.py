"""A person whose name is in the files and in the folder's name: who is told, and who is not."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pydicom
import pytest

from cinema_app import cli
from cinema_core.io import load_study, write_labels
from cinema_core.phantom import PhantomStudy, write_phantom

SECRETS = ("MUSTERMANN", "Z-4711", "19481231", "1.2.276.0.99")


@pytest.fixture
def person(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    folder = write_phantom(tmp_path / "archive" / "MUSTERMANN_ERIKA", phantom_study, kind="dicom")
    for k, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID, data.PatientBirthDate = "MUSTERMANN^ERIKA", "Z-4711", "19481231"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.276.0.99.1", "1.2.276.0.99.2"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.276.0.99.3.{k + 1}"
        data.SeriesDescription = "cine sax MUSTERMANN"
        data.save_as(path)
    return folder


def run(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


def told(folder: Path) -> list[str]:
    """Secrets in the names or bytes of what lies in a folder."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        name = str(path.relative_to(folder))
        found += [f"{secret} in {name}" for secret in SECRETS if secret in name or secret.encode() in content]
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("segment",),
        ("convert",),
        ("convert", "--to", "dicom"),
        ("convert", "--to", "dicom-enhanced"),
        ("deidentify",),
        ("deidentify", "--shift-dates"),
    ],
    ids=" ".join,
)
def test_no_result_names_the_person(
    command: tuple[str, ...], person: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "out"
    assert run(command[0], person, "--out", out, *command[1:]) == 0
    assert any(path.is_file() for path in out.rglob("*"))
    assert told(out) == []
    assert not [secret for secret in SECRETS if secret in caplog.text.replace(str(person), "")]


def test_whois_tells_it_on_this_computer(person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("deidentify", person, "--out", tmp_path / "copy", "--json") == 0
    (copy,) = json.loads(capsys.readouterr().out)["copies"]
    for pseudonym in (copy["of"], copy["study"], f"{copy['of']}.sax"):
        assert run("whois", pseudonym) == 0
        said = capsys.readouterr().out
        assert "MUSTERMANN^ERIKA" in said
        assert "Z-4711" in said


def test_study_opened_by_a_command_is_known_to_whois(
    person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", person, "--out", tmp_path / "out", "--json") == 0
    study = json.loads(capsys.readouterr().out)["study"]
    assert run("whois", study, "--json") == 0
    assert json.loads(capsys.readouterr().out)["patient_id"] == "Z-4711"


def test_forgotten_person_is_not_known(person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", person, "--out", tmp_path / "out", "--json") == 0
    study = json.loads(capsys.readouterr().out)["study"]
    assert run("whois", study, "--forget") == 0
    assert run("whois", study) == 2
    assert "never opened" in capsys.readouterr().err


def test_unknown_pseudonym_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("whois", "study-00000000") == 2
    assert "study-00000000 was never opened" in capsys.readouterr().err


def test_whois_without_a_map_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CINEMA_IDENTITIES", "off")
    assert run("whois", "study-00000000") == 2
    assert "CINEMA_IDENTITIES" in capsys.readouterr().err


def test_copies_are_written_to_a_new_folder_only(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("deidentify", person, "--out", person) == 2
    assert "not empty" in capsys.readouterr().err


def test_nothing_to_copy_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("no image", encoding="utf-8")
    assert run("deidentify", tmp_path / "notes", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_project_knows_the_place_but_not_the_person(
    person: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "labels.nii.gz", phantom_study.labels, load_study(person).best("sax"))
    project = tmp_path / "p.cinema"
    assert run("import-labels", person, tmp_path / "labels.nii.gz", "--project", project, "--label-order", "acdc") == 0
    content = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    # Where the study lies must be known, or it could not be opened again; see docs/privacy.md.
    place = person.relative_to(tmp_path).as_posix().encode()
    assert place in content
    content = content.replace(place, b"")
    assert not [secret for secret in SECRETS if secret.encode() in content]


def test_exported_labels_do_not_even_know_the_place(person: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    write_labels(tmp_path / "labels.nii.gz", phantom_study.labels, load_study(person).best("sax"))
    project = tmp_path / "p.cinema"
    assert run("import-labels", person, tmp_path / "labels.nii.gz", "--project", project, "--label-order", "acdc") == 0
    assert run("export", "--project", project, "--format", "csv,nifti", "--out", tmp_path / "out") == 0
    assert any(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert told(tmp_path / "out") == []
