"""What reports and training take from a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from cinema_core.anatomy import LabelState
from cinema_core.errors import ProjectError
from cinema_core.io import ImportChoices
from cinema_core.project import (
    PhaseChoice,
    Project,
    SliceEdit,
    Source,
    journal,
    label_set_sha256,
    study_snapshot,
    study_snapshots,
    training_frames,
    training_slices,
)
from cinema_core.view import View

MakeEdit = Callable[..., SliceEdit]


@pytest.fixture
def read_project(project: Project, edit: MakeEdit) -> Project:
    """Phase 0 predicted on three slices, one of them corrected, one accepted; phase 2 has one correction."""
    predicted = [edit(z=z, value=1, state=LabelState.PREDICTED, tool="model", model_sha256="m" * 64) for z in range(3)]
    project.record_many(predicted)
    project.record(edit(z=1, value=2, model_sha256="m" * 64))
    project.record(edit(z=2, value=1, state=LabelState.ACCEPTED, tool="accept", model_sha256="m" * 64))
    project.record(edit(t=2, z=0, value=3))
    project.set_phases("study-1", PhaseChoice(0, 2, source=Source.READER))
    return project


def test_a_snapshot_holds_the_newest_labels_and_states(read_project: Project) -> None:
    snapshot = study_snapshot(read_project, "study-1")
    assert snapshot.labels.shape == (4, 3, 6, 5)
    assert snapshot.labels.max(axis=(2, 3)).tolist() == [[1, 2, 1], [0, 0, 0], [3, 0, 0], [0, 0, 0]]
    assert snapshot.labels[0, 1, 0].max() == 0  # the first row of every mask is background
    assert (snapshot.corrected_slices, snapshot.accepted_slices) == (2, 1)
    assert snapshot.count(LabelState.ABSENT) == 12 - 4
    assert snapshot.labelled_phases == (0,)


def test_a_snapshot_says_what_the_labels_were_made_with(read_project: Project) -> None:
    read_project.set_current_model("v1")
    snapshot = study_snapshot(read_project, "study-1")
    assert (snapshot.model, snapshot.label_models) == ("v1", ("m" * 64,))
    assert snapshot.journal_position == read_project.journal_position() == 6


def test_a_study_without_labels_has_an_empty_snapshot(project: Project) -> None:
    (snapshot,) = study_snapshots(project)
    assert (snapshot.labels.any(), snapshot.phases, snapshot.labelled_phases) == (False, None, ())
    assert snapshot.approval is None


def test_a_snapshot_of_an_unknown_study_is_refused(project: Project) -> None:
    with pytest.raises(ProjectError, match="study-9"):
        study_snapshot(project, "study-9")


def test_only_slices_that_a_reader_vouched_for_teach(read_project: Project) -> None:
    found = [(row.t, row.z, row.state) for row in training_slices(read_project)]
    assert found == [
        (0, 1, LabelState.CORRECTED),
        (0, 2, LabelState.ACCEPTED),
        (2, 0, LabelState.CORRECTED),
    ]


def test_a_correction_that_was_undone_teaches_nothing(read_project: Project, edit: MakeEdit) -> None:
    read_project.record_step("study-1", [edit(z=1, value=3)])
    read_project.undo("study-1")
    assert (0, 1) in [(row.t, row.z) for row in training_slices(read_project)]
    read_project.record_step("study-1", [edit(z=0, value=3)])
    read_project.undo("study-1")
    assert (0, 0) not in [(row.t, row.z) for row in training_slices(read_project)]


def test_frames_leave_every_other_slice_unlabelled(read_project: Project) -> None:
    ed, es = training_frames(read_project)
    assert (ed.t, ed.slices, ed.phase, es.t, es.slices, es.phase) == (0, (1, 2), "ed", 2, (0,), "es")
    assert np.all(ed.labels[0] == 255)
    assert ed.labels[1:].max() == 2
    assert np.all(es.labels[1:] == 255)


def test_frames_of_several_studies_are_all_there(read_project: Project, edit: MakeEdit, tmp_path: Path) -> None:
    read_project.add_study("study-2", "b", tmp_path / "b", "sax", (4, 3, 6, 5), "sax", patient="p0")
    read_project.record(edit(t=3, study_id="study-2"))
    last = training_frames(read_project)[-1]
    assert (last.study.study_id, last.t, last.phase) == ("study-2", 3, "")


def add_labelled(project: Project, edit: MakeEdit, study_id: str, cine_id: str, view: str) -> None:
    project.add_study(study_id, study_id, project.folder.parent / study_id, cine_id, (4, 3, 6, 5), view)
    project.record(edit(study_id=study_id))


def taught(project: Project) -> list[str]:
    """Studies that teach, by all that says so."""
    frames = [frame.study.study_id for frame in training_frames(project)]
    assert frames == [row.study_id for row in training_slices(project)]
    assert project.labelled_besides("nobody")[0] == len(frames)
    return frames


@pytest.mark.parametrize("view", ["lax_2c", "lax_3c", "lax_4c", "other"])
def test_labels_of_other_views_are_not_taught_to_a_short_axis_model(
    project: Project, edit: MakeEdit, view: str
) -> None:
    add_labelled(project, edit, "study-2", "sax", "sax")
    add_labelled(project, edit, "study-2.long", "long", view)
    assert taught(project) == ["study-2"]


def test_the_view_that_a_reader_chose_later_decides_what_teaches(project: Project, edit: MakeEdit) -> None:
    add_labelled(project, edit, "study-2", "sax", "sax")
    add_labelled(project, edit, "study-2.long", "long", "other")
    project.set_import_choices("study-2", ImportChoices(views={"long": View.SAX, "sax": View.LAX_4C}))
    assert taught(project) == ["study-2.long"]
    project.set_import_choices("study-2", ImportChoices())
    assert taught(project) == ["study-2"]


def test_choices_that_cannot_be_understood_leave_the_view_that_was_kept(
    project: Project, edit: MakeEdit, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_labelled(project, edit, "study-2", "sax", "sax")
    project.set_import_choices("study-2", ImportChoices(views={"sax": View.LAX_4C}))
    monkeypatch.setattr(ImportChoices, "model_dump_json", lambda _: '{"unheard_of": 1}')
    project.set_import_choices("study-2", ImportChoices())
    assert taught(project) == ["study-2"]


def test_the_hash_of_a_label_set_follows_masks_not_the_way_to_them(read_project: Project, edit: MakeEdit) -> None:
    rows = training_slices(read_project)
    before = label_set_sha256(rows)
    assert label_set_sha256(reversed(rows)) == before
    read_project.record(edit(z=1, value=2, tool="contour"))  # the same mask again
    assert label_set_sha256(training_slices(read_project)) == before
    read_project.record(edit(z=1, value=3))
    assert label_set_sha256(training_slices(read_project)) != before


def test_only_what_teaches_is_unpacked_once_and_nobody_waits_for_it(
    read_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack, taken = journal.unpack, []

    def look(*packed: Any) -> Any:
        other = Thread(target=lambda: taken.append(read_project.journal_position()), daemon=True)
        other.start()
        other.join(20)  # would wait for as long as the rows are held
        return unpack(*packed)

    monkeypatch.setattr(journal, "unpack", look)
    rows = training_slices(read_project)
    training_frames(read_project, rows)
    label_set_sha256(rows)
    assert len(taken) == len(rows) == 3
