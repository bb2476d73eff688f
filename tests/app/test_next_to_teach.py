"""*Next to teach* leads through all studies of the project."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psygnal import EmitLoopError
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from cinema_app.commands.suggest import _facts
from cinema_app.project_facts import ProjectFacts
from cinema_app.reading import Reading
from cinema_app.widgets.leading import ALL_HAVE_TAUGHT
from cinema_app.widgets.moved_images import FIND
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import LabelState
from cinema_core.errors import CinemaError, StorageError
from cinema_core.io import load_study
from cinema_core.learn.teach import SLICES_PER_STUDY, rank_for_teaching
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom
from cinema_core.project import PhaseChoice, Project, SliceEdit, Source

Kept = Callable[[str], tuple[str, Path]]


@pytest.fixture
def kept(project: Project, tmp_path: Path) -> Kept:
    """Write another study, of which the project has a prediction: its name, and where it lies."""
    hearts = {name: k for k, name in enumerate(("second", "third"))}

    def make(name: str) -> tuple[str, Path]:
        parameters = HeartParameters(n_slices=4, slice_step_mm=20.0, n_phases=3, lv_edv_ml=150.0 + 20 * hearts[name])
        heart = make_phantom(parameters, seed=5 + hearts[name])
        place = write_phantom(tmp_path / "images" / name, heart, kind="dicom")
        study = load_study(place)
        (cine,) = study.cines
        project.add_study(study.id, cine.content_sha256, place, cine.id, cine.shape, cine.view)
        project.record_many(
            SliceEdit(study.id, t, z, heart.labels[t, z], LabelState.PREDICTED, "model", "a" * 64)
            for t in range(cine.n_phases)
            for z in range(cine.n_slices)
        )
        return study.id, place

    return make


def press_teach(qtbot: QtBot, workspace: Workspace) -> None:
    """Press *Next to teach* and wait until the reader is where it leads."""
    workspace.review.next_to_teach.click()
    qtbot.waitUntil(lambda: workspace.review.leading._looking is None)
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)


def teach_share(qtbot: QtBot, workspace: Workspace) -> None:
    study_id = workspace.reading.study_id
    for _ in range(SLICES_PER_STUDY):
        press_teach(qtbot, workspace)
        assert workspace.reading.study_id == study_id
        workspace.review.accept_slice.click()


def said(workspace: Workspace) -> str:
    return " ".join(label.text() for label in workspace.status.findChildren(QLabel))


def test_after_its_share_another_study_is_opened_at_the_slice(
    qtbot: QtBot, workspace: Workspace, segmented: Reading, kept: Kept
) -> None:
    second, _ = kept("second")
    press_teach(qtbot, workspace)
    why = workspace.review.why.text()
    assert why.startswith("1 of 6 to teach: Drawn at random")  # three of each, and none is named for the open one
    workspace.review.accept_slice.click()
    for _ in range(SLICES_PER_STUDY - 1):
        press_teach(qtbot, workspace)
        workspace.review.accept_slice.click()
    assert segmented.study_id != second
    found = segmented.queues.to_teach()[0]
    assert found.study_id == second
    workspace.review.next_to_teach.click()
    assert f"in {second}, which is being opened" in workspace.review.why.text()
    qtbot.waitUntil(lambda: not workspace.is_opening, timeout=20_000)
    assert (segmented.study_id, *workspace.layers.here) == (second, found.t, found.z)
    assert f"1 of 3 to teach, in {second}: Drawn at random" in workspace.review.why.text()
    assert segmented.state(found.t, found.z) is LabelState.PREDICTED
    teach_share(qtbot, workspace)
    press_teach(qtbot, workspace)
    assert ALL_HAVE_TAUGHT in said(workspace)


def test_next_to_check_stays_with_the_open_study(workspace: Workspace, segmented: Reading, kept: Kept) -> None:
    kept("second")
    assert {found.study_id for found in segmented.queues.to_review()} == {segmented.study_id}


def test_a_study_that_is_gone_is_said_and_passed_over(
    qtbot: QtBot, workspace: Workspace, segmented: Reading, kept: Kept
) -> None:
    places = dict(kept(name) for name in ("second", "third"))
    teach_share(qtbot, workspace)
    gone = segmented.queues.to_teach()[0].study_id
    (there,) = set(places) - {gone}
    shutil.rmtree(places[gone])
    here = segmented.study_id
    press_teach(qtbot, workspace)
    assert segmented.study_id == here
    assert f"The images of {gone} are no longer at" in said(workspace)
    assert workspace.status.offered.text() == FIND
    assert not workspace.review.why.isVisible()
    assert segmented.queues.to_teach()[0].study_id == gone  # it keeps its rank
    press_teach(qtbot, workspace)
    assert segmented.study_id == there
    assert f" of 6 to teach, in {there}: " in workspace.review.why.text()


def test_a_study_that_was_opened_to_teach_gives_its_share_before_the_next(
    qtbot: QtBot, workspace: Workspace, segmented: Reading, kept: Kept
) -> None:
    studies = {kept(name)[0] for name in ("second", "third")}
    for _ in range(SLICES_PER_STUDY):  # passed over, not read
        press_teach(qtbot, workspace)
    met = []
    for _ in range(SLICES_PER_STUDY):
        press_teach(qtbot, workspace)
        met.append(segmented.study_id)
        segmented.accept([workspace.layers.here])
    assert met[0] in studies
    assert len(set(met)) == 1


def test_other_images_in_its_place_are_not_opened_for_it(
    qtbot: QtBot, workspace: Workspace, segmented: Reading, kept: Kept, another_heart: PhantomStudy
) -> None:
    second, place = kept("second")
    teach_share(qtbot, workspace)
    # The same study with one image less: its name is the same, its content is not.
    sorted(place.iterdir())[-1].unlink()
    here = segmented.study_id
    press_teach(qtbot, workspace)
    assert segmented.study_id == here
    assert f"The images of {second} are not the ones that its labels were drawn on" in said(workspace)


@pytest.mark.parametrize(
    "fault", [StorageError("The disk is full."), EmitLoopError(CinemaError("A layer is damaged."))]
)
def test_a_study_that_cannot_be_shown_is_no_longer_on_the_way(
    qtbot: QtBot,
    workspace: Workspace,
    segmented: Reading,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    kept("second")
    teach_share(qtbot, workspace)

    def refuse(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(segmented, "show", refuse)
        press_teach(qtbot, workspace)
    assert str(fault.__cause__ or fault) in said(workspace)
    assert not workspace.review.why.isVisible()


def test_facts_of_a_study_are_kept_until_its_labels_change(project: Project, kept: Kept) -> None:
    second, _ = kept("second")
    third, _ = kept("third")
    facts = ProjectFacts(project)
    assert [key.study_id for key in facts.missing()] == [second, third]
    assert [key.study_id for key in facts.missing(second)] == [third]
    known = facts.of_all()
    assert not facts.missing()
    # The command line, which looks at all of every study, finds the same slices at ED and ES, which come first.
    assert [(f.study_id, f.t, f.z, f.level) for f in known] == [
        (f.study_id, f.t, f.z, f.level) for f in _facts(project) if f.level is not None and f.phases_from_ed_es == 0
    ]
    taught = rank_for_teaching(known, 1)[0]
    mask = project.slices(taught.study_id)[taught.t, taught.z].mask
    project.record(SliceEdit(taught.study_id, taught.t, taught.z, mask, LabelState.ACCEPTED, "accept"))
    assert [key.study_id for key in facts.missing()] == [taught.study_id]
    accepted = [(f.study_id, f.t, f.z) for f in facts.of_all() if f.state is LabelState.ACCEPTED]
    assert accepted == [(taught.study_id, taught.t, taught.z)]


def test_other_phases_are_asked_for_where_ed_and_es_have_too_few_slices(project: Project, kept: Kept) -> None:
    second, _ = kept("second")
    labels = project.slices(second)
    for (t, z), label in labels.items():
        if t in (0, 1) and z > 0:
            empty = np.zeros_like(label.mask)
            project.record(SliceEdit(second, t, z, empty, LabelState.PREDICTED, "model"))
    project.set_phases(second, PhaseChoice(0, 1, source=Source.READER))
    assert 2 in {f.t for f in ProjectFacts(project).of_all()}


def test_a_long_axis_teaches_nothing(project: Project, kept: Kept, phantom_study: Any) -> None:
    second, _ = kept("second")
    cine = phantom_study.cine
    project.add_study("study-lax", "content", "gone", "lax", cine.shape, "lax_4c")
    project.record(SliceEdit("study-lax", 0, 2, phantom_study.labels[0, 2], LabelState.PREDICTED, "model"))
    assert [key.study_id for key in ProjectFacts(project).keys()] == [second]
