"""What the journal promises: nothing overwritten, the newest row counts, decisions stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.errors import LabelError, PhaseError, ProjectError
from cinema_core.mirror_answers import SliceMirrors
from cinema_core.project import PhaseChoice, Project, SliceEdit, Source, VersionRecord

MakeEdit = Callable[..., SliceEdit]


def test_recorded_slice_comes_back_after_reopening(project: Project, edit: MakeEdit) -> None:
    mask = np.random.default_rng(3).choice(np.array([0, 1, 2, 3, 255], dtype=np.uint8), size=(6, 5))
    row_id = project.record(SliceEdit("study-1", 2, 1, mask, LabelState.CORRECTED, "contour", "c" * 64))
    project.close()
    with Project.open(project.folder) as again:
        label = again.slices("study-1")[2, 1]
    np.testing.assert_array_equal(label.mask, mask)
    assert (label.row_id, label.parent_id, label.state, label.tool) == (row_id, None, LabelState.CORRECTED, "contour")
    assert (label.reader, label.model_sha256, label.utc[-1]) == ("Dr Reader", "c" * 64, "Z")


def test_newest_row_is_the_label_of_a_slice(project: Project, edit: MakeEdit) -> None:
    project.record(edit(value=1, state=LabelState.PREDICTED, tool="model"))
    project.record(edit(value=2))
    project.record(edit(value=2, state=LabelState.ACCEPTED, tool="accept"))
    project.record(edit(z=1, value=3))
    assert project.states("study-1") == {(0, 0): LabelState.ACCEPTED, (0, 1): LabelState.CORRECTED}
    assert {key: label.mask.max() for key, label in project.slices("study-1").items()} == {(0, 0): 2, (0, 1): 3}


def test_what_readers_vouched_for_in_other_studies_is_counted(project: Project, edit: MakeEdit, tmp_path: Path) -> None:
    for k, patient in ((2, "a"), (3, "a"), (4, "b")):
        project.add_study(
            f"study-{k}", str(k) * 64, tmp_path / f"{k}.nii.gz", "sax", (4, 3, 6, 5), "sax", patient=patient
        )
    project.record_many(edit(study_id=f"study-{k}", z=z) for k in (1, 2, 3) for z in (0, 1))
    project.record(edit(study_id="study-2", value=2))  # the same slice again
    project.record(edit(study_id="study-4", state=LabelState.PREDICTED, tool="model"))
    assert project.labelled_besides("study-1") == (4, 1)
    assert project.labelled_besides("study-4") == (6, 2)


def test_each_row_names_the_row_it_replaced(project: Project, edit: MakeEdit) -> None:
    first, other, second, third = (project.record(edit(z=z)) for z in (0, 1, 0, 0))
    assert [label.parent_id for label in project.history("study-1", 0, 0)] == [None, first, second]
    assert [label.row_id for label in project.history("study-1", 0, 0)] == [first, second, third]
    assert [label.parent_id for label in project.history("study-1", 0, 1)] == [None]
    assert other not in (first, second, third)


def test_undo_appends_the_older_label_again(project: Project, edit: MakeEdit) -> None:
    project.record(edit(value=1, state=LabelState.PREDICTED, tool="model", model_sha256="d" * 64))
    project.record_step("study-1", [edit(value=2)])
    restored = project.undo("study-1")
    newest = project.history("study-1", 0, 0)[-1]
    assert restored is not None and [label.row_id for label in restored.labels] == [newest.row_id]
    assert (newest.mask.max(), newest.state, newest.tool) == (1, LabelState.PREDICTED, "undo")
    assert newest.model_sha256 == "d" * 64
    assert len(project.history("study-1", 0, 0)) == 3


def test_undo_and_redo_go_through_steps_also_after_a_restart(project: Project, edit: MakeEdit) -> None:
    project.record_step("study-1", [edit(z=0, value=1), edit(z=1, value=1)])
    project.record_step("study-1", [edit(z=1, value=2)])
    project.close()
    with Project.open(project.folder) as again:
        assert again.open_steps("study-1") == (2, 0)
        again.undo("study-1")
        again.undo("study-1")
        assert again.undo("study-1") is None
        assert set(again.states("study-1").values()) == {LabelState.ABSENT}
        assert again.open_steps("study-1") == (0, 2)
    with Project.open(project.folder) as once_more:
        once_more.redo("study-1")
        once_more.redo("study-1")
        assert once_more.redo("study-1") is None
        found = {where: label.mask.max() for where, label in once_more.slices("study-1").items()}
        assert found == {(0, 0): 1, (0, 1): 2}
        assert once_more.history("study-1", 0, 1)[-1].tool == "redo"


def test_undo_leaves_a_slice_as_a_model_drew_it_since(project: Project, edit: MakeEdit) -> None:
    predicted = edit(value=2, state=LabelState.PREDICTED, tool="model", model_sha256="d" * 64)
    project.record_step("study-1", [edit(value=1, state=LabelState.PREDICTED, tool="interpolated contour")])
    project.record(predicted)
    project.undo("study-1")
    label = project.slices("study-1")[0, 0]
    assert (label.mask.max(), label.state, label.model_sha256) == (2, LabelState.PREDICTED, "d" * 64)
    project.redo("study-1")
    assert project.slices("study-1")[0, 0].mask.max() == 1


def test_undo_after_redo_brings_back_what_lay_under_the_redo(project: Project, edit: MakeEdit) -> None:
    project.record_step("study-1", [edit(value=1)])
    project.undo("study-1")
    project.record(edit(value=2, state=LabelState.PREDICTED, tool="model"))
    project.redo("study-1")
    assert project.slices("study-1")[0, 0].mask.max() == 1
    project.undo("study-1")
    assert project.slices("study-1")[0, 0].mask.max() == 2


def test_a_new_step_ends_what_could_be_done_again(project: Project, edit: MakeEdit) -> None:
    project.record_step("study-1", [edit(value=1)])
    project.undo("study-1")
    project.record_step("study-1", [edit(value=3)])
    assert project.redo("study-1") is None
    assert project.open_steps("study-1") == (1, 0)


def test_a_choice_of_ed_and_es_is_taken_back_alone_or_with_the_slices_of_its_step(
    project: Project, edit: MakeEdit
) -> None:
    chosen = PhaseChoice(0, 2, source=Source.READER)
    project.record_step("study-1", [edit(value=1)])
    project.record_step("study-1", [edit(z=1)], chosen)
    project.record_step("study-1", [], PhaseChoice(1, 3, source=Source.READER))
    back = project.undo("study-1")
    assert back is not None and back.phases is not None and (back.phases.ed_phase, back.phases.es_phase) == (0, 2)
    first = project.undo("study-1", proposal=PhaseChoice(3, 1))
    assert first is not None and first.phases == PhaseChoice(3, 1, source=Source.MODEL)
    kept = project.phases("study-1")
    assert kept is not None and (kept.ed_phase, kept.source) == (3, Source.MODEL)
    again = project.redo("study-1")
    assert again is not None and again.phases is not None and again.phases.source is Source.READER
    project.undo("study-1")
    project.undo("study-1")
    assert project.states("study-1") == {(0, 0): LabelState.ABSENT, (0, 1): LabelState.ABSENT}


def test_a_step_that_cannot_be_saved_leaves_nothing(project: Project, edit: MakeEdit) -> None:
    with pytest.raises(LabelError):
        project.record_step("study-1", [edit(value=1), edit(z=99)])
    assert (project.journal_position(), project.open_steps("study-1")) == (0, (0, 0))
    with pytest.raises(ValueError, match="at least"):
        project.record_step("study-1", [])
    with pytest.raises(ValueError, match="one study"):
        project.record_step("study-1", [edit(study_id="study-2")])


def test_labels_of_an_earlier_position_can_be_read_again(project: Project, edit: MakeEdit) -> None:
    project.record(edit(value=1))
    pinned = project.journal_position()
    project.record_many([edit(value=3), edit(z=2)])
    assert {key: label.mask.max() for key, label in project.slices("study-1", at=pinned).items()} == {(0, 0): 1}
    assert project.journal_position() == pinned + 2


def test_a_batch_with_one_bad_slice_leaves_nothing(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    with pytest.raises(LabelError):
        project.record_many([edit(z=1), edit(z=2), edit(z=9)])
    assert project.journal_position() == 1
    assert project.record(edit(z=1)) == 2  # still usable


def test_a_batch_whose_source_fails_leaves_nothing(project: Project, edit: MakeEdit) -> None:
    def slices() -> object:
        yield edit(z=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.record_many(slices())  # type: ignore[arg-type]
    assert project.journal_position() == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mask": np.zeros((5, 6), np.uint8)}, "is 5 x 6; the image is 6 x 5"),
        ({"mask": np.zeros((1, 6, 5), np.uint8)}, "is 1 x 6 x 5"),
        ({"mask": np.full((6, 5), 4, np.uint8)}, "values other than 0 to 3 and 255"),
        ({"mask": np.full((6, 5), -1, np.int64)}, "values other than"),
        ({"mask": np.full((6, 5), 257, np.int64)}, "values other than"),
        ({"mask": np.ones((6, 5), np.float32)}, "whole numbers"),
        ({"t": 4}, "no phase 5, slice 1 .* 4 phases of 3 slices"),
        ({"z": -1}, "no phase 1, slice 0"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(
    project: Project, edit: MakeEdit, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(LabelError, match=sentence):
        project.record(replace(edit(), **change))
    assert project.journal_position() == 0


def test_a_label_of_an_unknown_study_is_refused(project: Project, edit: MakeEdit) -> None:
    with pytest.raises(ProjectError, match="study-9 is not in the project"):
        project.record(edit(study_id="study-9"))


def test_a_recorded_mask_cannot_be_changed_in_place(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    with pytest.raises(ValueError, match="read-only"):
        project.slices("study-1")[0, 0].mask[0, 0] = 3


def test_a_prediction_carries_no_reader(project: Project, edit: MakeEdit) -> None:
    project.record(edit(state=LabelState.PREDICTED, tool="model"))
    assert project.slices("study-1")[0, 0].reader == ""


@pytest.mark.parametrize("table", ["journal", "phase_choice", "split_fold", "model_version", "model_choice", "event"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {0} SET utc = ''", "DELETE FROM {0}", "REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_what_was_decided_cannot_be_rewritten(project: Project, edit: MakeEdit, table: str, statement: str) -> None:
    project.record(edit())
    project.set_phases("study-1", PhaseChoice(0, 2))
    project.add_version(VersionRecord("v1", "e" * 64, "bundled"))
    project.set_current_model("v1")
    with sqlite3.connect(project.folder / "project.sqlite") as intruder:
        before = intruder.execute(f"SELECT * FROM {table}").fetchall()
        assert before
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|permanent"):
            intruder.execute(statement.format(table))
        assert intruder.execute(f"SELECT * FROM {table}").fetchall() == before
    intruder.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE study SET content_sha256 = ''", "DELETE FROM study", "REPLACE INTO study SELECT * FROM study"],
)
def test_a_study_keeps_its_identity(project: Project, statement: str) -> None:
    with sqlite3.connect(project.folder / "project.sqlite") as intruder:
        with pytest.raises(sqlite3.IntegrityError, match=r"identity|stays in its project"):
            intruder.execute(statement)
    intruder.close()


def test_studies_keep_where_their_image_lies_relative_to_the_project(project: Project, tmp_path: Path) -> None:
    project.close()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    project.folder.rename(moved / "heart.cinema")
    with Project.open(moved / "heart.cinema") as again:
        (study,) = again.studies()
    assert study.image_path == (moved / "image.nii.gz").resolve()
    assert (study.shape, study.view, study.patient) == ((4, 3, 6, 5), View.SAX, "study-1")


def test_the_same_image_at_another_place_updates_the_place(project: Project, tmp_path: Path) -> None:
    project.add_study("study-1", "a" * 64, tmp_path / "archive" / "image.nii.gz", "sax", (4, 3, 6, 5), View.SAX)
    (study,) = project.studies()
    assert study.image_path == (tmp_path / "archive" / "image.nii.gz").resolve()


def test_another_image_under_a_known_study_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="not the image that the labels of study-1 were drawn on"):
        project.add_study("study-1", "b" * 64, tmp_path / "other.nii.gz", "sax", (4, 3, 6, 5), View.SAX)


def test_a_moved_image_is_recognised_by_its_content(project: Project) -> None:
    project.verify_image("study-1", "a" * 64)
    with pytest.raises(ProjectError, match="its content is bbbbbbbb, that one's aaaaaaaa"):
        project.verify_image("study-1", "b" * 64)


def test_newest_choice_of_phases_counts_and_older_ones_stay(project: Project) -> None:
    assert project.phases("study-1") is None
    project.set_phases("study-1", PhaseChoice(0, 2, source=Source.MODEL))
    project.set_phases("study-1", PhaseChoice(0, 1, rv_ed_phase=0, rv_es_phase=3, source=Source.READER))
    choice = project.phases("study-1")
    assert choice is not None
    assert (choice.es_phase, choice.rv_es_phase, choice.source, choice.reader) == (1, 3, Source.READER, "Dr Reader")
    assert [(old.es_phase, old.source, old.reader) for old in project.phases_history("study-1")] == [
        (2, Source.MODEL, ""),
        (1, Source.READER, "Dr Reader"),
    ]


def test_a_phase_outside_the_study_is_refused(project: Project) -> None:
    with pytest.raises(PhaseError, match="Phase 5 was chosen, but the study has 4"):
        project.set_phases("study-1", PhaseChoice(0, 4))


def test_versions_come_back_as_they_were_added(project: Project) -> None:
    version = VersionRecord(
        "v1",
        "e" * 64,
        "bundled",
        "f" * 64,
        label_set_sha256="1" * 64,
        journal_position=4,
        seed=7,
        recipe={"budget_s": 120.0},
        before={"dice": {"lv": 0.8}},
        after={"dice": {"lv": np.float32(0.5)}},
    )
    project.add_version(version)
    (found,) = project.versions()
    assert replace(found, utc="") == version
    assert found.utc


def test_a_second_version_of_one_name_is_refused(project: Project) -> None:
    project.add_version(VersionRecord("v1", "e" * 64, "bundled"))
    with pytest.raises(ProjectError, match="a model v1 already"):
        project.add_version(VersionRecord("v1", "f" * 64, "bundled"))


def test_a_study_may_use_another_model_than_the_project(project: Project) -> None:
    assert project.current_model("study-1") == "bundled"
    project.set_current_model("v1")
    project.set_current_model("v2", scope="study-1")
    assert (project.current_model(), project.current_model("study-1")) == ("v1", "v2")
    project.set_current_model("v1", scope="study-1")
    assert project.current_model("study-1") == "v1"


def test_events_keep_their_detail_and_journal_position(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    project.log_event("exported", {"path": Path("a/b.csv"), "ef": np.float64(55.5), "flags": ["few phases"]})
    created, exported = project.events()
    assert (created.kind, created.journal_position) == ("created", 0)
    assert (exported.kind, exported.journal_position) == ("exported", 1)
    assert exported.detail == {"path": "a/b.csv", "ef": 55.5, "flags": ["few phases"]}


# --- how unsure the model was ------------------------------------------------------------------------------------


def test_the_models_uncertainty_is_kept_with_its_drawing(project: Project, edit: MakeEdit) -> None:
    assert project.uncertainty("study-1") is None
    drawn = [replace(edit(t, 1, state=LabelState.PREDICTED, tool="model"), uncertainty=0.1 * t) for t in range(3)]
    project.record_many(drawn)
    project.record(edit(1, 1))  # a correction says nothing about the model
    project.record(replace(drawn[2], uncertainty=0.9))
    found = project.uncertainty("study-1")
    assert found is not None
    np.testing.assert_allclose(found[:3, 1], [0, 0.1, 0.9], atol=1e-6)
    assert np.isnan(found).sum() == found.size - 3


def test_how_a_model_took_mirrors_is_kept_with_its_drawing_and_never_lent_to_another(
    project: Project, edit: MakeEdit
) -> None:
    drawn = [replace(edit(t, 1, state=LabelState.PREDICTED, tool="model"), uncertainty=0.5) for t in range(3)]
    project.record_many(drawn)
    assert project.mirrors("study-1") is None
    project.record_many(replace(row, mirrors=SliceMirrors(0.25, 12.5, 40.0)) for row in drawn[:2])
    project.record(edit(1, 1))  # a correction says nothing about the model
    found = project.mirrors("study-1")
    assert found is not None
    assert [found.at(t, 1) for t in range(3)] == [(0.25, 12.5, 40.0)] * 2 + [None]
    project.record(drawn[0])  # drawn again, by a model that is shown no mirror images
    found = project.mirrors("study-1")
    assert found is not None
    assert [found.at(t, 1) for t in range(3)] == [None, (0.25, 12.5, 40.0), None]
    assert np.isfinite(found.values).any(axis=2).sum() == 1


def test_a_project_of_format_9_keeps_its_uncertainty_and_has_no_mirrors(project: Project, edit: MakeEdit) -> None:
    drawn = replace(edit(0, 1, state=LabelState.PREDICTED, tool="model"), uncertainty=0.5)
    project.record(drawn)
    project.close()
    with closing(sqlite3.connect(project.folder / "project.sqlite")) as rows:
        rows.executescript(
            "DROP TABLE moved_points; ALTER TABLE slice_uncertainty DROP COLUMN disagreement; "
            "ALTER TABLE slice_uncertainty DROP COLUMN lv_spread_px; "
            "ALTER TABLE slice_uncertainty DROP COLUMN rv_spread_px; PRAGMA user_version = 9;"
        )
    with FileLock(project.folder / "project.lock"), Project.open(project.folder) as onlooker:
        assert onlooker.read_only
        assert onlooker.mirrors("study-1") is None
        assert onlooker.uncertainty("study-1")[0, 1] == 0.5  # type: ignore[index]
    with Project.open(project.folder) as again:
        assert again.mirrors("study-1") is None
        assert again.uncertainty("study-1")[0, 1] == 0.5  # type: ignore[index]
        again.record(replace(drawn, mirrors=SliceMirrors(0.75, 3.0, 0.0)))
        assert again.mirrors("study-1").at(0, 1) == (0.75, 3.0, 0.0)  # type: ignore[union-attr]


def test_a_project_of_format_11_keeps_its_disagreement_and_has_no_spread_of_areas(
    project: Project, edit: MakeEdit
) -> None:
    drawn = replace(edit(0, 1, state=LabelState.PREDICTED, tool="model"), uncertainty=0.5)
    project.record(replace(drawn, mirrors=SliceMirrors(0.25, 1.0, 1.0)))
    project.close()
    with closing(sqlite3.connect(project.folder / "project.sqlite")) as rows:
        rows.executescript(
            "ALTER TABLE slice_uncertainty DROP COLUMN lv_spread_px; "
            "ALTER TABLE slice_uncertainty DROP COLUMN rv_spread_px; PRAGMA user_version = 11;"
        )
    with FileLock(project.folder / "project.lock"), Project.open(project.folder) as onlooker:
        assert onlooker.read_only
        np.testing.assert_array_equal(onlooker.mirrors("study-1").values[0, 1], [0.25, np.nan, np.nan])  # type: ignore[union-attr]
    with Project.open(project.folder) as again:
        np.testing.assert_array_equal(again.mirrors("study-1").values[0, 1], [0.25, np.nan, np.nan])  # type: ignore[union-attr]
        again.record(replace(drawn, t=1, mirrors=SliceMirrors(0.75, 3.0, 0.0)))
        assert again.mirrors("study-1").at(1, 1) == (0.75, 3.0, 0.0)  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_an_impossible_uncertainty_is_refused_and_nothing_of_it_kept(
    value: float, project: Project, edit: MakeEdit
) -> None:
    with pytest.raises(LabelError, match="lies between 0 and 1"):
        project.record(replace(edit(), uncertainty=value))
    with pytest.raises(LabelError, match=r"disagreement .* lies between 0 and 1"):
        project.record(replace(edit(), uncertainty=0.5, mirrors=SliceMirrors(value, 0.0, 0.0)))
    assert project.slices("study-1") == {}


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_an_impossible_spread_of_areas_is_refused(value: float, project: Project, edit: MakeEdit) -> None:
    for mirrors in (SliceMirrors(0.1, value, 0.0), SliceMirrors(0.1, 0.0, value)):
        with pytest.raises(LabelError, match=r"spread of areas .* is 0 or more"):
            project.record(replace(edit(), uncertainty=0.5, mirrors=mirrors))
    assert project.slices("study-1") == {}


def test_a_study_that_the_project_does_not_have_has_no_uncertainty(project: Project) -> None:
    assert project.uncertainty("study-9") is None
    assert project.mirrors("study-9") is None
