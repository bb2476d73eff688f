"""``cinema measure`` against volumes that others computed, and labels that cannot be used."""

from __future__ import annotations

import csv
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cinema_app import cli
from cinema_core.io import write_labels
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.report import REPORT_COLUMNS


@pytest.fixture
def image(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    """The phantom's cine; its true labels lie in ``truth/labels.nii.gz`` beside it."""
    return write_phantom(tmp_path, phantom_study)


def measure(image: Path, labels: Path, out: Path, *more: str) -> int:
    return cli.run(["measure", "--image", str(image), "--labels", str(labels), "--out", str(out), *more])


def truth(image: Path) -> Path:
    return image.parent / "truth" / "labels.nii.gz"


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("cinema: ")
    assert error.count("\n") == 1
    return error


def read_report(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return row


def test_report_has_the_volumes_of_the_phantom(image: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    assert measure(image, truth(image), tmp_path / "report.csv") == 0
    row = read_report(tmp_path / "report.csv")
    assert tuple(row) == REPORT_COLUMNS
    assert float(row["lv_edv_ml"]) == pytest.approx(phantom_study.lv_discs_ml.max(), rel=0.02)
    assert float(row["lv_esv_ml"]) == pytest.approx(phantom_study.lv_discs_ml.min(), rel=0.04)
    assert row["model"] == ""


def test_the_report_comes_with_what_it_was_made_from(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "heart.csv"
    assert measure(image, truth(image), out, "--bsa", "DuBois", "--height", "170", "--weight", "65") == 0
    found = json.loads((tmp_path / "heart_provenance.json").read_text(encoding="utf-8"))
    assert (found["body_surface_formula"], found["reference_table"]) == ("DuBois", "HHC2024")
    assert found["heart_rate_source"] and found["study_id"] == read_report(out)["study_id"]


def test_json_is_the_row_of_the_report(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(image, truth(image), tmp_path / "report.csv", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert tuple(row) == REPORT_COLUMNS
    assert f"{row['lv_ef_pct']:.2f}" == read_report(tmp_path / "report.csv")["lv_ef_pct"]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rules_person_and_page_are_chosen_on_the_command_line(image: Path, tmp_path: Path) -> None:
    assert measure(image, truth(image), tmp_path / "full.csv") == 0
    rules = ("--end-slices", "half", "--areas", "contours", "--bsa", "dubois", "--height", "180", "--weight", "80 kg")
    person = ("--sex", "F", "--age", "52", "--document", str(tmp_path / "half.html"))
    assert measure(image, truth(image), tmp_path / "half.csv", *rules, *person) == 0
    full, half = read_report(tmp_path / "full.csv"), read_report(tmp_path / "half.csv")
    assert float(half["lv_edv_ml"]) < 0.95 * float(full["lv_edv_ml"])
    assert float(half["bsa_m2"]) == pytest.approx(0.007184 * 80**0.425 * 180**0.725, abs=0.005)
    page = (tmp_path / "half.html").read_text(encoding="utf-8")
    assert "end slices count by half" in page and "(DuBois)" in page and "female, 52 years" in page


def test_a_weight_of_nobody_is_the_reader_s_mistake(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(image, truth(image), tmp_path / "a.csv", "--weight", "800") == 2
    assert "Weight 800 kg is not between 1 and 400 kg" in capsys.readouterr().err
    assert not (tmp_path / "a.csv").exists()


def test_details_are_tables_by_phase_and_by_segment(image: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    assert measure(image, truth(image), tmp_path / "a.csv", "--details") == 0
    phases, segments = read_rows(tmp_path / "a_phases.csv"), read_rows(tmp_path / "a_segments.csv")
    assert [float(row["lv_ml"]) for row in phases] == pytest.approx(phantom_study.lv_discs_ml, rel=0.04)
    assert len(segments) == 17 * phantom_study.cine.n_phases
    assert (segments[0]["segment_name"], segments[0]["phase"]) == ("basal anterior", "1")
    assert 7 < float(segments[0]["thickness_mm"]) < 11  # 9 mm mid-ventricular at ED


def test_details_that_are_there_are_not_replaced(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_segments.csv").write_text("mine", encoding="utf-8")
    assert measure(image, truth(image), tmp_path / "a.csv", "--details") == 2
    assert "a_segments.csv is there already" in complaint(capsys)
    assert not (tmp_path / "a.csv").exists()
    assert measure(image, truth(image), tmp_path / "a.csv", "--details", "--overwrite") == 0
    assert len(read_rows(tmp_path / "a_segments.csv")) > 0


def test_without_ed_there_are_no_segments(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = phantom_study.labels.copy()
    labels[1:] = 0  # one phase alone is neither ED nor ES
    write_labels(tmp_path / "one.nii.gz", labels, phantom_study.cine)
    assert measure(image, tmp_path / "one.nii.gz", tmp_path / "a.csv", "--details") == 0
    assert "ED is not known" in capsys.readouterr().out
    assert read_rows(tmp_path / "a_segments.csv") == []
    assert len(read_rows(tmp_path / "a_phases.csv")) == 1


def test_acdc_pair_has_the_reference_volumes(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "acdc" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        reference = next(csv.DictReader(file))
    folder = shared_data / "acdc" / reference["patient"]
    ed, es = (folder / f"{folder.name}_frame{int(reference[f'{phase}_frame']):02d}" for phase in ("ed", "es"))
    files = (f"--ed-image={ed}.nii.gz", f"--es-image={es}.nii.gz", f"--ed-labels={ed}_gt.nii.gz")
    assert cli.run(["measure", *files, f"--es-labels={es}_gt.nii.gz", f"--out={tmp_path / 'report.csv'}"]) == 0
    row = read_report(tmp_path / "report.csv")
    for ours, theirs in (("lv_edv_ml", "lv_ed_ml"), ("lv_esv_ml", "lv_es_ml"), ("rv_edv_ml", "rv_ed_ml")):
        assert float(row[ours]) == pytest.approx(float(reference[theirs]), abs=0.02)
    assert float(row["lv_ef_pct"]) == pytest.approx(float(reference["lvef_pct"]), abs=0.06)


def test_phases_that_nobody_drew_are_not_measured(image: Path, tmp_path: Path, phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    labels[1] = 0  # nothing drawn
    labels[2, 3] = 255  # one slice unlabelled
    write_labels(tmp_path / "some.nii.gz", labels, phantom_study.cine)
    assert measure(image, tmp_path / "some.nii.gz", tmp_path / "report.csv") == 0
    row = read_report(tmp_path / "report.csv")
    others = phantom_study.lv_discs_ml[[0, 3, 4, 5]]
    assert float(row["lv_esv_ml"]) == pytest.approx(others.min(), rel=0.04)
    assert row["es_phase"] not in ("2", "3")


def test_labels_of_another_shape(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = replace(phantom_study.cine, pixels=phantom_study.cine.pixels[..., :100])
    write_labels(tmp_path / "cut.nii.gz", phantom_study.labels[..., :100], cut)
    assert measure(image, tmp_path / "cut.nii.gz", tmp_path / "report.csv") == 2
    error = complaint(capsys)
    assert "cut.nii.gz has 6 x 5 x 192 x 100 voxels but the image has 6 x 5 x 192 x 192" in error
    assert not (tmp_path / "report.csv").exists()


def test_labels_of_one_phase_for_a_whole_cine(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(phantom_study.cine, pixels=phantom_study.cine.pixels[:1])
    write_labels(tmp_path / "one.nii.gz", phantom_study.labels[:1], one)
    assert measure(image, tmp_path / "one.nii.gz", tmp_path / "report.csv") == 2
    assert "holds one phase" in complaint(capsys)


def test_labels_with_a_value_that_nobody_knows(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    from cinema_core.io import write_image

    write_image(tmp_path / "seven.nii.gz", replace(phantom_study.cine, pixels=phantom_study.labels * np.int16(7)))
    assert measure(image, tmp_path / "seven.nii.gz", tmp_path / "report.csv") == 2
    assert "label value 7 is not known" in complaint(capsys)


def test_empty_labels_measure_nothing(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "none.nii.gz", np.zeros_like(phantom_study.labels), phantom_study.cine)
    assert measure(image, tmp_path / "none.nii.gz", tmp_path / "report.csv") == 2
    assert "No phase of the labels is drawn completely" in complaint(capsys)


def test_half_a_question_is_refused(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["measure", "--image", str(image), "--out", str(tmp_path / "report.csv")]) == 2
    assert "Give --image and --labels, or all of" in complaint(capsys)


def test_report_is_not_replaced_unasked(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.csv"
    out.write_text("mine", encoding="utf-8")
    assert measure(image, truth(image), out) == 2
    assert "--overwrite" in complaint(capsys)
    assert measure(image, truth(image), out, "--overwrite") == 0
    assert read_report(out)["lv_ef_pct"]


def test_no_disk_space_leaves_no_half_report(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "replace", refuse)
    assert measure(image, truth(image), tmp_path / "report.csv") == 1
    assert "No space left on device" in complaint(capsys)
    assert sorted(tmp_path.iterdir()) == before
