"""Evaluation: figures that were worked out by hand, on drawings that are known."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import TrainingCase, load_cases
from cinema_core.cine import Geometry
from cinema_core.errors import Cancelled, GeometryError, InputError, StorageError
from cinema_core.learn.evaluate import evaluate, score_case, thirds_of
from cinema_core.learn.scores import Protocol
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.progress import CancelToken

Draw = Callable[[np.ndarray], np.ndarray]
Model = Callable[..., LoadedModel]
SHAPE = (6, 200, 200)
GEOMETRY = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), 6)


def boxes(lv_rows: int, shift: int = 0) -> np.ndarray:
    """LV of ``lv_rows`` x 30 px on slices 1 to 4, in a frame of myocardium, with an RV of 40 x 20 px beside it."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:5, 70:125, 80 + shift : 135 + shift] = Structure.LV_MYOCARDIUM
    labels[1:5, 80 : 80 + lv_rows, 90 + shift : 120 + shift] = Structure.LV_CAVITY
    labels[1:5, 80:120, 50 + shift : 70 + shift] = Structure.RV_CAVITY
    return labels


@pytest.fixture
def case(greys_of: Draw) -> Callable[..., TrainingCase]:
    """Make a case whose image shows ``seen`` and whose truth is ``labels``."""

    def make(labels: np.ndarray, seen: np.ndarray | None = None, phase: str = "ed") -> TrainingCase:
        image = greys_of(labels if seen is None else seen).astype(np.float32)
        return TrainingCase(f"a-{phase}", "a", "a", image, labels, GEOMETRY, phase)

    return make


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_model_that_is_right_scores_nearly_one(
    protocol: Protocol, case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path
) -> None:
    summary = evaluate([case(boxes(40)), case(boxes(20), phase="es")], grey_reader(), tmp_path, protocol)
    assert summary.dice["lv"] == pytest.approx(1, abs=0.03)
    assert summary.hd95_mm["lv"] == pytest.approx(0, abs=1.5)
    assert summary.lvef.mae == pytest.approx(0, abs=2)


def test_the_error_of_ejection_fraction_is_drawn_minus_true(
    case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path
) -> None:
    # True: 40 rows to 20, EF 50 %. The image shows 40 rows to 30: EF 25 %.
    cases = [case(boxes(40)), case(boxes(20), seen=boxes(30), phase="es")]
    summary = evaluate(cases, grey_reader(), tmp_path)
    assert (summary.lvef.n, summary.lvef.mae, summary.lvef.bias) == pytest.approx((1, 25, -25), abs=1.5)
    assert summary.rvef.bias == pytest.approx(0, abs=1)


def test_scores_of_a_frame_are_those_worked_out_by_hand(case: Callable[..., TrainingCase]) -> None:
    truth, drawn = boxes(40), boxes(40)
    drawn[1:5, 100:120, 90:120] = Structure.LV_MYOCARDIUM  # the lower half of the cavity
    score = score_case(case(truth), drawn, truth, (10.0, 1.0, 1.0), protocol=Protocol.NATIVE)
    assert score.dice[Structure.LV_CAVITY] == pytest.approx(2 / 3)
    assert score.dice[Structure.RV_CAVITY] == 1
    assert score.true_ml[Structure.LV_CAVITY] == pytest.approx(48)  # 40 x 30 mm x 4 slices of 10 mm
    assert score.drawn_ml[Structure.LV_CAVITY] == pytest.approx(24)


def test_thirds_run_from_the_larger_end_whichever_way_the_file_runs() -> None:
    truth = np.zeros((8, 30, 30), dtype=np.uint8)
    for z, size in enumerate((20, 18, 16, 12, 8, 4), start=1):
        truth[z, :size, :10] = Structure.LV_CAVITY
    assert thirds_of(truth) == {"base": [1, 2], "mid": [3, 4], "apex": [5, 6]}
    assert thirds_of(truth[::-1]) == {"base": [6, 5], "mid": [4, 3], "apex": [2, 1]}
    assert thirds_of(truth[:3]) == {}


def test_each_third_has_its_own_score(case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path) -> None:
    truth, drawn = boxes(40), boxes(40)
    shown = np.flatnonzero((truth == Structure.LV_CAVITY).any(axis=(1, 2)))
    drawn[shown[-1]] = 0
    score = score_case(case(truth), drawn, truth, (10.0, 1.0, 1.0), protocol=Protocol.NATIVE)
    assert score.dice_by_third["base"][Structure.LV_CAVITY] == 1
    assert score.dice_by_third["apex"][Structure.LV_CAVITY] == 0
    row = score.row()
    assert (row["dice_lv_base"], row["dice_lv_apex"]) == ("1.0000", "0.0000")


def test_unlabelled_voxels_are_not_scored_and_leave_volumes_unknown(case: Callable[..., TrainingCase]) -> None:
    truth, drawn = boxes(40), boxes(40)
    truth[:, 100:] = UNLABELLED
    drawn[:, 100:] = 0
    score = score_case(case(truth, seen=drawn), drawn, truth, (10.0, 1.0, 1.0), protocol=Protocol.NATIVE)
    assert score.dice[Structure.LV_CAVITY] == 1
    assert score.true_ml[Structure.LV_CAVITY] is None


def test_a_missed_structure_scores_zero_and_one_that_is_not_there_has_no_score(
    case: Callable[..., TrainingCase],
) -> None:
    truth, drawn = boxes(40), boxes(40)
    truth[truth == Structure.RV_CAVITY] = 0
    drawn[drawn == Structure.LV_CAVITY] = 0
    score = score_case(case(truth), drawn, truth, (10.0, 1.0, 1.0), protocol=Protocol.NATIVE)
    assert score.dice[Structure.LV_CAVITY] == 0 and score.hd95_mm[Structure.LV_CAVITY] is None
    assert score.dice[Structure.RV_CAVITY] is None


def test_the_files_hold_what_is_returned(case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path) -> None:
    summary = evaluate([case(boxes(40)), case(boxes(20), phase="es")], grey_reader(), tmp_path / "new")
    written = json.loads((tmp_path / "new" / "summary.json").read_text(encoding="utf-8"))
    assert list(written) == ["n_cases", "protocol", "dice", "hd95_mm", "lvef", "rvef"]
    assert written == json.loads(json.dumps(summary.to_json()))
    with (tmp_path / "new" / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["phase"], row["protocol"]) for row in rows] == [
        ("a-ed", "ed", "native"),
        ("a-es", "es", "native"),
    ]


def test_reference_needs_a_true_lv_to_crop_at(
    case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path
) -> None:
    without = np.where(boxes(40) == Structure.LV_CAVITY, 0, boxes(40)).astype(np.uint8)
    with pytest.raises(GeometryError, match="shows no LV to crop at"):
        evaluate([case(without)], grey_reader(), tmp_path, Protocol.REFERENCE)


def test_a_heart_at_the_border_is_cropped_within_the_image(
    case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path
) -> None:
    summary = evaluate([case(boxes(40, shift=60))], grey_reader(), tmp_path, Protocol.REFERENCE)
    assert summary.dice["lv"] == pytest.approx(1, abs=0.03)


def test_a_model_of_coarser_pixels_is_shown_the_same_field_and_scored_at_one_millimetre(
    case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path
) -> None:
    fine, coarse = (
        evaluate([case(boxes(40))], grey_reader(pixel_mm=mm), tmp_path / str(mm), Protocol.REFERENCE)
        for mm in (1.0, 1.5)
    )
    assert coarse.dice["rv"] == pytest.approx(fine.dice["rv"], abs=0.07)
    assert coarse.dice["rv"] > 0.9
    assert coarse.hd95_mm["lv"] == pytest.approx(0, abs=2)


def test_no_case_is_a_mistake(grey_reader: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled case"):
        evaluate([], grey_reader(), tmp_path)


def test_cancel_writes_nothing(case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        evaluate([case(boxes(40))], grey_reader(), tmp_path, cancel=cancel)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_half_written(
    case: Callable[..., TrainingCase], grey_reader: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        evaluate([case(boxes(40))], grey_reader(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_bundled_model_on_a_real_patient(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "acdc" / "patient006"
    frames = sorted(path for path in folder.glob("*_frame??.nii.gz"))
    lines = ["study,image,labels,phase"]
    for phase, frame in zip(("ed", "es"), frames, strict=True):
        lines.append(f"p,{frame},{frame.with_name(frame.name.replace('.nii.gz', '_gt.nii.gz'))},{phase}")
    (tmp_path / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    summary = evaluate(load_cases(tmp_path / "cases.csv"), zoo.load("bundled"), tmp_path / "out")
    assert summary.dice["lv"] is not None and summary.dice["lv"] > 0.8
    assert summary.lvef.n == 1
