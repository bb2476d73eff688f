"""Landmarks and answers about a study: kept, corrected with the mouse, marked as research."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QLabel

from cinema_app.predictions import Predictions
from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.answers import ClassAnswer, Landmarks, ValueAnswer
from cinema_core.cards import ModelCard
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import CinemaError, InputError, PhaseError
from cinema_core.io import ImportReport, Study
from cinema_core.phantom import PhantomStudy
from cinema_core.project import Project, Source
from cinema_core.tasks import TASKS

SPACING = 1.5
POINTS = np.array([[30.0, 40.0], [30.0, 70.0], [80.0, 55.0]])


def down(rows: float) -> np.ndarray:
    """The landmarks, some rows further down."""
    return POINTS + np.array([rows, 0.0])


HEATMAP, DISEASE, EF = TASKS["landmarks-heatmap"], TASKS["disease"], TASKS["ef-regression"]


def long_axis(phantom: PhantomStudy, view: View = View.LAX_4C) -> Cine:
    pixels = np.random.default_rng(0).uniform(size=(5, 1, 100, 110)).astype(np.float32)
    geometry = Geometry.from_affine(np.diag([SPACING, SPACING, 8.0, 1.0]), 1)
    return Cine(id=view.value, pixels=pixels, geometry=geometry, view=view, patient=phantom.cine.patient)


@pytest.fixture
def whole(phantom_study: PhantomStudy) -> Study:
    """A short axis and a 4-chamber cine."""
    cines = (replace(phantom_study.cine, id="sax"), long_axis(phantom_study))
    return Study("study-00000002", Path("study"), cines, ImportReport((), ()))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_golden: Path) -> Path:
    """Models that somebody added to this computer."""
    folder = tmp_path / "added"
    monkeypatch.setattr("cinema_core.cards.local_models_folder", lambda: folder)
    for name in ("landmark_heatmap_lax_4c", "clf_sax", "reg_lax_4c"):
        (folder / name).mkdir(parents=True)
        shutil.copyfile(shared_golden / f"{name}.safetensors", folder / name / "weights.safetensors")
        shutil.copyfile(shared_golden / f"{name}.yaml", folder / name / "config.yaml")
        (folder / name / "card.json").write_text(f'{{"name": "{name}", "sha256": ""}}')
    return folder


@pytest.fixture
def four(reading: Reading, whole: Study) -> Reading:
    """The reading with the 4-chamber cine on show."""
    reading.show(whole)
    reading.choose_cine("lax_4c")
    return reading


@pytest.fixture
def predictions(four: Reading, models: Path) -> Predictions:
    return Predictions(four)


def landmarks(shift: float = 0.0) -> Landmarks:
    points = np.stack([down(t + shift) for t in range(5)])
    return Landmarks(points, None, None, (ModelCard(name="marks", sha256="ab" * 32),))


def find(predictions: Predictions, engine: Any, found: Landmarks | None = None) -> None:
    predictions.ask(HEATMAP, ["landmark_heatmap_lax_4c"])
    engine.jobs[-1].finish(found or landmarks())


def test_landmarks_are_asked_for_of_the_cine_on_show(predictions: Predictions, engine: Any, four: Reading) -> None:
    predictions.ask(HEATMAP, ["landmark_heatmap_lax_4c"])
    request = engine.jobs[-1].request["request"]
    assert request.task == "landmarks-heatmap"
    assert request.cines == {"lax_4c": four.cine}
    assert four.work.busy
    engine.jobs[-1].finish(landmarks())
    assert predictions.has_landmarks
    assert predictions.function is not None
    assert predictions.function.lv_length_mm[0] == pytest.approx(50 * SPACING)


def test_landmarks_are_there_again_after_a_restart(
    predictions: Predictions, engine: Any, whole: Study, project: Project
) -> None:
    find(predictions, engine)
    moved = POINTS + 3.0
    predictions.move(2, moved)
    again = Reading(project, engine)
    again.show(whole, whole.cines[1])
    back = Predictions(again)
    np.testing.assert_allclose(back.points_yx[2], moved, atol=1e-3)
    assert back.moved_phases == (2,)


def test_what_the_reader_moved_stays_when_the_model_is_asked_again(
    predictions: Predictions, engine: Any, notices: list[Any]
) -> None:
    find(predictions, engine)
    predictions.move(1, POINTS - 5.0)
    find(predictions, engine, landmarks(shift=10.0))
    np.testing.assert_allclose(predictions.points_yx[1], POINTS - 5.0, atol=1e-3)
    np.testing.assert_allclose(predictions.points_yx[0], down(10.0), atol=1e-3)
    assert "1 phase that you moved was kept" in notices[-1].text


def test_revert_brings_back_what_the_model_found_last(predictions: Predictions, engine: Any) -> None:
    find(predictions, engine)
    predictions.move(1, POINTS - 5.0)
    find(predictions, engine, landmarks(shift=10.0))
    predictions.revert(1)
    np.testing.assert_allclose(predictions.points_yx[1], down(11.0), atol=1e-3)
    assert predictions.moved_phases == ()


def test_a_move_that_changes_nothing_is_not_kept(predictions: Predictions, engine: Any) -> None:
    find(predictions, engine)
    predictions.move(0, POINTS)
    assert predictions.moved_phases == ()


def test_landmarks_of_another_cine_are_kept_for_it(
    predictions: Predictions, engine: Any, four: Reading, project: Project
) -> None:
    predictions.ask(HEATMAP, ["landmark_heatmap_lax_4c"])
    study_id = four.study_id
    four.choose_cine("sax")
    engine.jobs[-1].finish(landmarks())
    assert not predictions.has_landmarks
    assert len(project.landmarks(study_id, Source.MODEL)) == 5
    four.choose_cine("lax_4c")
    assert predictions.has_landmarks


def test_the_short_axis_has_no_landmarks(predictions: Predictions, four: Reading) -> None:
    four.choose_cine("sax")
    with pytest.raises(InputError, match="look at 4-chamber; the cine on show is short axis"):
        predictions.ask(HEATMAP, ["landmark_heatmap_lax_4c"])


def test_a_whole_study_is_asked_at_ed_and_es(
    predictions: Predictions,
    engine: Any,
    four: Reading,
    whole: Study,
    phantom_study: PhantomStudy,
    segmentation: Callable[[np.ndarray], Any],
) -> None:
    with pytest.raises(PhaseError, match="Segment the short axis first"):
        predictions.ask(DISEASE, ["clf_sax"])
    four.choose_cine("sax")
    four.set_ed(1)
    four.set_es(3)
    predictions.ask(DISEASE, ["clf_sax"])
    request = engine.jobs[-1].request["request"]
    assert request.phases == {"sax": (1, 3)}
    assert request.cines == {"sax": whole.cines[0]}
    engine.jobs[-1].finish(ClassAnswer(("A", "B"), np.array([0.2, 0.8]), None, (ModelCard(name="m", sha256="0"),)))
    (said,) = predictions.answers
    assert said.answer.answer == "B"
    four.choose_cine("lax_4c")
    assert predictions.answers == (said,)  # of the study, whichever cine is on show
    predictions.ask(EF, ["reg_lax_4c"])
    n_sax = phantom_study.cine.n_phases
    assert engine.jobs[-1].request["request"].phases == {"lax_4c": (round(5 / n_sax), round(15 / n_sax))}


def test_answers_are_forgotten_with_the_study(
    predictions: Predictions, engine: Any, four: Reading, phantom_study: PhantomStudy, study: Callable[..., Study]
) -> None:
    four.choose_cine("sax")
    four.set_ed(0)
    predictions.ask(DISEASE, ["clf_sax"])
    four.show(study(phantom_study, "study-00000003"))
    engine.jobs[-1].finish(ClassAnswer(("A", "B"), np.array([0.2, 0.8]), None, ()))
    assert predictions.answers == ()


def test_only_models_that_answer_are_offered(predictions: Predictions) -> None:
    assert predictions.models_for(HEATMAP) == ["landmark_heatmap_lax_4c"]
    assert predictions.models_for(DISEASE) == ["clf_sax"]
    assert predictions.models_for(TASKS["segment-sax"]) == ["bundled"]
    assert "cinema models pull mnms-sax-sex" in predictions.why_not(TASKS["sex"])


# ------------------------------------------------------------------ in the window


@pytest.fixture
def window(workspace: Workspace, whole: Study, models: Path, engine: Any) -> Workspace:
    """The window with the 4-chamber cine and its landmarks on show."""
    workspace.reading.show(whole)
    workspace.reading.choose_cine("lax_4c")
    find(workspace.predictions, engine)
    workspace.show_tab("Predict")
    QApplication.processEvents()
    return workspace


def text_of(panel: Any) -> str:
    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


def test_a_landmark_is_dragged_with_the_mouse(window: Workspace, hand: Any) -> None:
    assert window.landmarks.points is not None
    window.layers.go_to(2, 0)
    before = window.predictions.points_yx[2]
    start = hand.point(*before[2], (SPACING, SPACING))
    end = hand.point(*(before[2] + [6.0, -4.0]), (SPACING, SPACING))
    hand.drag(start, end)
    after = window.predictions.points_yx
    np.testing.assert_allclose(after[2, 2], before[2] + [6.0, -4.0], atol=0.7)
    np.testing.assert_allclose(after[2, :2], before[:2], atol=1e-3)
    np.testing.assert_allclose(after[1], down(1.0), atol=1e-3)
    assert window.predictions.moved_phases == (2,)
    assert window.landmarks.lines is not None
    axis = np.asarray(window.landmarks.lines.data)[5 + 2]  # five valve planes first
    np.testing.assert_allclose((axis[0] + axis[1])[2:], after[2, 2], atol=1e-3)
    said = text_of(window.predict)
    assert "Moved by you · 1 of 5 moved" in said
    window.predict.revert.click()
    np.testing.assert_allclose(window.predictions.points_yx[2], before, atol=1e-3)


def test_landmarks_hide_with_their_cine(window: Workspace) -> None:
    points = window.landmarks.points
    assert points is not None
    assert points.visible
    assert len(points.data) == 15
    window.reading.choose_cine("sax")
    assert not points.visible
    assert len(points.data) == 0
    assert window._viewer.layers.selection.active is window.layers.labels
    window.reading.choose_cine("lax_4c")
    assert window.landmarks.points is points
    assert len(points.data) == 15


def test_another_cine_opens_in_its_middle_slice(window: Workspace) -> None:
    window.reading.choose_cine("sax")
    assert window.layers.here == (0, window.reading.cine.n_slices // 2)


def test_a_deleted_landmark_comes_back(window: Workspace, notices: list[Any]) -> None:
    points = window.landmarks.points
    assert points is not None
    points.selected_data = {4}
    points.remove_selected()
    assert len(points.data) == 15
    assert "A phase has three landmarks" in notices[-1].text
    assert window.predictions.moved_phases == ()


def test_a_move_that_cannot_be_kept_is_taken_back(
    window: Workspace, notices: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise CinemaError("The disk is full.")

    monkeypatch.setattr(window.reading.project, "set_landmarks", full)
    points = window.landmarks.points
    assert points is not None
    moved = np.asarray(points.data).copy()
    moved[0, 2] += 5
    points.data = moved
    np.testing.assert_allclose(np.asarray(points.data)[0, 2], POINTS[0, 0])
    assert notices[-1].text == "The disk is full."


def test_answers_stand_beside_research_use_and_the_model(window: Workspace, engine: Any) -> None:
    window.reading.choose_cine("sax")
    window.reading.set_ed(0)
    window.predict.choose("ef-regression")
    window.reading.choose_cine("lax_4c")
    window.predict.predict.click()
    cards = tuple(ModelCard(name=f"seed{k}", sha256=f"{k}" * 64) for k in range(3))
    engine.jobs[-1].finish(ValueAnswer(41.23, 2.5, cards))
    QApplication.processEvents()
    said = text_of(window.predict)
    assert "Research use only" in said
    assert "EF (model-defined, not LVEF)" in said
    assert "41.2 ± 2.5 %" in said
    assert "seed0 (00000000), seed1 (11111111)" in said
    assert "Not an LVEF" in said


def test_a_question_without_a_model_says_how_to_get_one(window: Workspace) -> None:
    window.predict.choose("age")
    assert not window.predict.predict.isEnabled()
    assert "cinema models pull mnms-sax-age" in text_of(window.predict)
