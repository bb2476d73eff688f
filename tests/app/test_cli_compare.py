"""``cinema compare`` on two label files, two case lists and two projects of the phantom."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cinema_app import cli
from cinema_core.anatomy import LabelState, Structure
from cinema_core.io import load_study, write_labels
from cinema_core.measure import EndSliceRule, ReportChoices
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import Project, SliceEdit


@pytest.fixture
def image(tmp_path: Path, phantom_study: PhantomStudy) -> Path:
    return write_phantom(tmp_path / "study", phantom_study)


@pytest.fixture
def second_labels(phantom_study: PhantomStudy) -> np.ndarray:
    """The truth, but for the cavity of slice 3, which is muscle on the late phases."""
    labels = phantom_study.labels.copy()
    labels[1:4, 2][labels[1:4, 2] == Structure.LV_CAVITY] = Structure.LV_MYOCARDIUM
    return labels


@pytest.fixture
def files(image: Path, second_labels: np.ndarray, phantom_study: PhantomStudy) -> tuple[Path, Path]:
    second = image.parent / "second.nii.gz"
    write_labels(second, second_labels, phantom_study.cine)
    return image.parent / "truth" / "labels.nii.gz", second


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_files_of_one_study(
    image: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run(["compare", str(files[0]), str(files[1]), "--image", str(image), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    by_structure = {(row["structure"], row["phase"]): row for row in rows(out / "structures.csv")}
    assert float(by_structure["rv", "es"]["dice"]) == 1.0
    assert float(by_structure["lv", "es"]["dice"]) < 0.9
    assert rows(out / "slices.csv")[0]["slice"] == "3"
    [ef] = [row for row in rows(out / "measures.csv") if row["measure"] == "lv_ef_pct"]
    assert float(ef["difference"]) == pytest.approx(float(ef["second"]) - float(ef["first"]), abs=0.002)
    shares = [float(row["ef_points"]) for row in rows(out / "slices.csv") if row["ventricle"] == "lv"]
    assert sum(shares) == pytest.approx(float(ef["difference"]), abs=0.01)
    assert "lv_ef_pct" in told and "EF points" in told


def test_case_lists_are_compared_over_the_studies_that_both_have(
    image: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "study,image,labels\n"
    (tmp_path / "a.csv").write_text(head + "".join(f"s{k},{image},{files[0]}\n" for k in range(3)), encoding="utf-8")
    (tmp_path / "b.csv").write_text(
        head + f"s0,{image},{files[0]}\ns1,{image},{files[1]}\nother,{image},{files[1]}\n", encoding="utf-8"
    )
    out = tmp_path / "out"
    assert cli.run(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--out", str(out)]) == 0
    assert "2 studies, second minus first" in capsys.readouterr().out
    [esv] = [row for row in rows(out / "agreement.csv") if row["measure"] == "lv_esv_ml"]
    assert esv["n"] == "2"
    differences = [float(row["difference"]) for row in rows(out / "measures.csv") if row["measure"] == "lv_esv_ml"]
    assert float(esv["bias"]) == pytest.approx(np.mean(differences), abs=0.002)
    assert float(esv["upper_limit"]) == pytest.approx(
        np.mean(differences) + 1.96 * np.std(differences, ddof=1), abs=0.002
    )


def test_two_projects_of_one_study(
    image: Path, second_labels: np.ndarray, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    study = load_study(image)
    [cine] = study.cines
    for name, labels in (("a", phantom_study.labels), ("b", second_labels)):
        with Project.open(tmp_path / f"{name}.cinema", create=True) as project:
            project.add_study(study.id, cine.content_sha256, image, cine.id, cine.shape, cine.view)
            project.record_many(
                SliceEdit(study.id, t, z, labels[t, z], LabelState.ACCEPTED, "brush")
                for t in range(cine.n_phases)
                for z in range(cine.n_slices)
            )
    out = tmp_path / "out"
    assert cli.run(["compare", str(tmp_path / "a.cinema"), str(tmp_path / "b.cinema"), "--out", str(out)]) == 0
    assert {row["study_id"] for row in rows(out / "structures.csv")} == {study.id}
    assert rows(out / "slices.csv")[0]["slice"] == "3"


def test_readings_under_different_rules_are_never_compared_silently(
    image: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_study(image)
    [cine] = study.cines
    for name, choices in (("a", ReportChoices()), ("b", ReportChoices(ends=EndSliceRule.HALF))):
        with Project.open(tmp_path / f"{name}.cinema", create=True) as project:
            project.add_study(study.id, cine.content_sha256, image, cine.id, cine.shape, cine.view)
            project.record_many(
                SliceEdit(study.id, t, z, phantom_study.labels[t, z], LabelState.ACCEPTED, "brush")
                for t in range(cine.n_phases)
                for z in range(cine.n_slices)
            )
            project.set_report_choices(study.id, choices)
    a, b, out = tmp_path / "a.cinema", tmp_path / "b.cinema", tmp_path / "out"
    assert cli.run(["compare", str(a), str(b), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "1 of 1 studies measured by different rules" in told and "end slices" in told
    assert rows(out / "rules.csv") == [{"study_id": study.id, "rule": "end slices", "first": "full", "second": "half"}]
    assert {row["other_rules"] for row in rows(out / "measures.csv")} == {"end slices: full / half"}
    assert {row["n_other_rules"] for row in rows(out / "agreement.csv")} == {"1"}
    assert cli.run(["compare", str(a), str(a), "--out", str(tmp_path / "same")]) == 0
    assert "different rules" not in capsys.readouterr().out
    assert rows(tmp_path / "same" / "rules.csv") == []


def test_a_study_that_cannot_be_compared_does_not_hide_the_others(
    image: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"study,image,labels\ngood,{image},{files[0]}\nbad,{tmp_path / 'gone.nii.gz'},{files[0]}\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    assert cli.run(["compare", str(tmp_path / "a.csv"), str(tmp_path / "a.csv"), "--out", str(out), "--json"]) == 2
    found = capsys.readouterr()
    assert {row["study_id"] for row in json.loads(found.out)["structures"]} == {"good"}
    assert "1 of 2 studies could not be compared. bad: " in found.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("labels", "labels"), "need the study that they were drawn on: --image"),
        (("labels", "list"), "is a label file"),
        (("labels", "gone"), "There is no file or folder"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: tuple[str, str],
    told: str,
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "list.csv").write_text("study,image,labels\n", encoding="utf-8")
    place = {"labels": files[0], "list": tmp_path / "list.csv", "gone": tmp_path / "gone"}
    assert cli.run(["compare", *(str(place[name]) for name in arguments), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
