"""The demo's play, without a window and with an engine that answers at once."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cinema_app.demo import DemoResult, OffScreen, new_project_folder, play
from cinema_app.session import Session
from cinema_core.errors import EngineError
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom
from cinema_core.project import Project


@pytest.fixture(scope="module")
def heart() -> PhantomStudy:
    return make_phantom(HeartParameters(n_slices=4, slice_step_mm=20.0, n_phases=4), seed=2)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch, heart: PhantomStudy) -> None:
    monkeypatch.setattr("cinema_app.demo.synthetic_heart", lambda folder: write_phantom(folder, heart, kind="dicom"))


def prompt(engine: Any, outcome: Callable[[Any], object]) -> Any:
    """Make the pretended engine end each job from another thread, as the real one does."""

    def answering(request: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **kwargs: Any) -> Any:
            job = request(*args, **kwargs)
            threading.Timer(0.05, lambda: job.finish(outcome(job))).start()
            return job

        return ask

    engine.segment, engine.finetune = answering(engine.segment), answering(engine.finetune)
    return engine


@pytest.fixture
def played(
    small_sample: None,
    engine: Any,
    project: Project,
    heart: PhantomStudy,
    segmentation: Any,
    fine_tuned: Any,
    tmp_path: Path,
) -> DemoResult:
    def outcome(job: Any) -> object:
        if "cases" in job.request:
            return fine_tuned(job.request["out"] / job.request["name"], job.request["cases"][0].study_id)
        return segmentation(np.roll(heart.labels, 2, axis=3))

    return play(OffScreen(Session(project, prompt(engine, outcome))), tmp_path, 5.0, lambda line: None)


def test_the_demo_leaves_a_report_with_ef(played: DemoResult) -> None:
    with played.report.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 30 < float(row["lv_ef_pct"]) < 80
    assert played.lv_ef_pct == pytest.approx(float(row["lv_ef_pct"]), abs=0.1)


def test_the_demo_leaves_a_model_version(played: DemoResult) -> None:
    assert (played.model_folder / "weights.safetensors").is_file()


def test_the_demo_leaves_a_picture_of_each_step(played: DemoResult) -> None:
    assert [path.stem[2:] for path in played.pictures] == [
        "open",
        "segment",
        "correct",
        "teach",
        "before-after",
        "segment-again",
        "export",
    ]
    with Image.open(played.pictures[1]) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24) or []}
    assert {(0x56, 0xB4, 0xE9), (0xF0, 0xE4, 0x42), (0xD5, 0x5E, 0x00)} <= colours


def test_a_demo_whose_work_fails_says_so(small_sample: None, engine: Any, project: Project, tmp_path: Path) -> None:
    request = engine.segment

    def fail(*args: Any, **kwargs: Any) -> Any:
        job = request(*args, **kwargs)
        threading.Timer(0.05, lambda: job.fail("The engine ended. Start again.")).start()
        return job

    engine.segment = fail
    with pytest.raises(EngineError, match="The engine ended"):
        play(OffScreen(Session(project, engine)), tmp_path, 5.0, lambda line: None)


def test_a_second_demo_leaves_the_first_ones_project(tmp_path: Path) -> None:
    first = new_project_folder(tmp_path)
    first.mkdir()
    assert new_project_folder(tmp_path) != first
