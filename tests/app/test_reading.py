"""What a reader does to a study, without a window."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from made_up_facts import mirrors

from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_core.anatomy import LabelState
from cinema_core.cards import ModelCard
from cinema_core.errors import CinemaError, PhaseError, StorageError, StudyError
from cinema_core.io import ImportReport, Study
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.project import PhaseChoice, Project, Source

Mask = Callable[[], np.ndarray]


def only_row(path: Path) -> dict[str, str]:
    """The single row of a report."""
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    return row


def test_a_reading_without_a_study_says_what_to_do(project: Project, engine: Any) -> None:
    with pytest.raises(StudyError, match="Open a DICOM folder"):
        _ = Reading(project, engine).cine


def test_a_correction_is_in_the_journal_at_once(reading: Reading, project: Project, mask: Mask) -> None:
    assert reading.correct(0, 2, mask())
    row = project.slices(reading.study_id)[0, 2]
    assert np.array_equal(row.mask, mask())
    assert (row.state, row.tool, row.reader) == (LabelState.CORRECTED, "brush", "Dr Reader")


def test_a_correction_marks_its_slice_and_no_other(reading: Reading, mask: Mask) -> None:
    reading.correct(0, 2, mask())
    assert reading.slices_in(LabelState.CORRECTED) == [(0, 2)]
    assert reading.state(0, 1) is LabelState.ABSENT


def test_a_stroke_that_changes_nothing_leaves_no_row(segmented: Reading, project: Project) -> None:
    before = project.journal_position()
    assert not segmented.correct(0, 2, segmented.labels[0, 2].copy())
    assert project.journal_position() == before


def test_an_edit_that_cannot_be_saved_does_not_happen(
    segmented: Reading, project: Project, mask: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    before = segmented.labels.copy()
    monkeypatch.setattr(project, "record_step", full)
    with pytest.raises(StorageError):
        segmented.correct(0, 2, mask())
    assert np.array_equal(segmented.labels, before)
    assert segmented.state(0, 2) is LabelState.PREDICTED
    assert not segmented.can_undo


def test_labels_cannot_be_written_past_the_journal(segmented: Reading) -> None:
    with pytest.raises(ValueError, match="read-only"):
        segmented.labels[0, 0, 0, 0] = 1


def test_the_review_queue_leaves_out_what_was_vouched_for_and_survives_reopening(
    segmented: Reading, project: Project, engine: Any, study: Any, phantom_study: PhantomStudy
) -> None:
    queue = segmented.queues.to_review()
    segmented.accept([(queue[0].t, queue[0].z)])
    left = segmented.queues.to_review()
    assert (queue[0].t, queue[0].z) not in [(found.t, found.z) for found in left]
    again = Reading(project, engine)
    again.show(study(phantom_study))
    assert again.queues.to_review() == left


def test_what_a_model_drew_differently_in_mirrors_is_to_be_checked_and_said_why_also_after_reopening(
    reading: Reading, project: Project, engine: Any, segmentation: Any, study: Any, phantom_study: PhantomStudy
) -> None:
    reading.segment()
    calm = segmentation(phantom_study.labels)
    engine.jobs[-1].finish(replace(calm, mirrors=mirrors(np.zeros(calm.labels.shape[:2]))))
    last = [found for found in reading.queues.to_review() if found.score < 0.9][-1]
    doubtful = np.zeros(calm.labels.shape[:2])
    doubtful[last.t, last.z] = 0.9
    reading.segment()
    engine.jobs[-1].finish(replace(calm, mirrors=mirrors(doubtful)))
    again = Reading(project, engine)
    again.show(study(phantom_study))
    for opened in (reading, again):
        found = next(found for found in opened.queues.to_review() if (found.t, found.z) == (last.t, last.z))
        assert "draws it differently when the image is mirrored" in found.reason
    reading.segment()
    engine.jobs[-1].finish(calm)  # a model that is shown no mirror images
    assert not any("mirrored" in found.reason for found in reading.queues.to_review())


def test_reopening_brings_corrections_and_phases_back(
    segmented: Reading, project: Project, engine: Any, mask: Mask, phantom_study: PhantomStudy, study: Any
) -> None:
    segmented.correct(0, 2, mask())
    segmented.set_es(3)
    again = Reading(project, engine)
    again.show(study(phantom_study))
    assert np.array_equal(again.labels[0, 2], mask())
    assert again.state(0, 2) is LabelState.CORRECTED
    assert again.phases is not None
    assert again.phases.es_phase == 3


def test_segmenting_fills_every_phase(segmented: Reading, phantom_study: PhantomStudy) -> None:
    assert np.array_equal(segmented.labels, phantom_study.labels)
    assert segmented.complete_phases == tuple(range(phantom_study.cine.n_phases))


def test_segmenting_again_keeps_what_the_reader_did(
    segmented: Reading, engine: Any, mask: Mask, phantom_study: PhantomStudy, segmentation: Any
) -> None:
    segmented.correct(0, 2, mask())
    segmented.accept([(0, 3)])
    segmented.segment()
    engine.jobs[-1].finish(segmentation(np.ones_like(phantom_study.labels)))
    assert np.array_equal(segmented.labels[0, 2], mask())
    assert np.array_equal(segmented.labels[0, 3], phantom_study.labels[0, 3])
    assert (segmented.labels[0, 1] == 1).all()


def test_a_segmentation_that_comes_late_is_kept_for_its_own_study(
    reading: Reading,
    project: Project,
    engine: Any,
    phantom_study: PhantomStudy,
    another_heart: PhantomStudy,
    study: Any,
    segmentation: Any,
) -> None:
    first = reading.study_id
    reading.segment()
    reading.show(study(another_heart, "study-00000002"))
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert not reading.labels.any()
    assert np.array_equal(project.slices(first)[0, 2].mask, phantom_study.labels[0, 2])


def test_one_piece_of_work_at_a_time(reading: Reading) -> None:
    reading.segment()
    with pytest.raises(CinemaError, match="still at work"):
        reading.segment()


def test_failed_work_is_told_and_leaves_the_labels(reading: Reading, engine: Any, notices: list[Notice]) -> None:
    reading.segment()
    engine.jobs[-1].fail("The engine ran out of memory. Close other programs and try again.")
    assert not reading.work.busy
    assert not reading.labels.any()
    assert notices[-1].severity is Severity.ERROR
    assert "out of memory" in notices[-1].text


def test_cancelled_work_changes_nothing(reading: Reading) -> None:
    reading.segment()
    reading.work.cancel()
    assert not reading.work.busy
    assert not reading.labels.any()


def test_undo_restores_the_slice_bit_by_bit(segmented: Reading, mask: Mask, phantom_study: PhantomStudy) -> None:
    segmented.correct(0, 2, mask())
    segmented.undo()
    assert np.array_equal(segmented.labels, phantom_study.labels)
    assert segmented.state(0, 2) is LabelState.PREDICTED


def test_undo_is_itself_in_the_journal(segmented: Reading, project: Project, mask: Mask) -> None:
    segmented.correct(0, 2, mask())
    segmented.undo()
    assert [row.tool for row in project.history(segmented.study_id, 0, 2)] == ["model", "brush", "undo"]


def test_undo_shows_the_slice_that_it_changes(segmented: Reading, mask: Mask) -> None:
    seen: list[tuple[int, int]] = []
    listen = lambda t, z: seen.append((t, z))  # noqa: E731
    segmented.events.go_to.connect(listen)
    segmented.correct(0, 2, mask())
    segmented.undo()
    assert seen == [(0, 2)]


def test_redo_does_it_again(segmented: Reading, mask: Mask) -> None:
    segmented.correct(0, 2, mask())
    segmented.undo()
    segmented.redo()
    assert np.array_equal(segmented.labels[0, 2], mask())
    assert segmented.state(0, 2) is LabelState.CORRECTED


def test_a_new_edit_forgets_what_was_undone(segmented: Reading, mask: Mask) -> None:
    segmented.correct(0, 2, mask())
    segmented.undo()
    segmented.accept([(0, 1)])
    assert not segmented.can_redo


def test_accepting_ed_and_es_is_one_step_to_undo(segmented: Reading) -> None:
    n = segmented.accept_phases()
    assert n == 2 * segmented.cine.n_slices
    assert segmented.phases_are_the_readers
    segmented.undo()
    assert segmented.slices_in(LabelState.ACCEPTED) == []
    assert not segmented.phases_are_the_readers


def test_a_chosen_ed_is_taken_back_to_the_proposal_and_done_again(segmented: Reading) -> None:
    proposed = segmented.phases
    segmented.set_ed(1)
    segmented.set_es(3)
    segmented.undo()
    segmented.undo()
    assert segmented.phases == proposed and not segmented.phases_are_the_readers
    segmented.redo()
    assert segmented.phases is not None and segmented.phases.ed_phase == 1


def test_edits_of_an_earlier_session_can_be_taken_back(
    segmented: Reading,
    project: Project,
    engine: Any,
    mask: Mask,
    study: Callable[..., Study],
    phantom_study: PhantomStudy,
) -> None:
    segmented.correct(0, 2, mask())
    segmented.set_ed(1)
    later = Reading(project, engine)
    later.show(study(phantom_study))
    assert later.can_undo and not later.can_redo
    later.undo()
    later.undo()
    assert not later.can_undo
    assert np.array_equal(later.labels, phantom_study.labels)
    assert later.state(0, 2) is LabelState.PREDICTED and not later.phases_are_the_readers
    once_more = Reading(project, engine)
    once_more.show(study(phantom_study))
    once_more.redo()
    assert np.array_equal(once_more.labels[0, 2], mask())


def test_ed_and_es_are_not_accepted_half_drawn(reading: Reading, mask: Mask) -> None:
    reading.set_ed(0)
    reading.correct(0, 2, mask())
    with pytest.raises(PhaseError, match="slices without a label"):
        reading.accept_phases()


def test_ed_and_es_are_proposed_from_the_curve(segmented: Reading, phantom_study: PhantomStudy) -> None:
    assert segmented.phases is not None
    assert segmented.phases.ed_phase == int(np.argmax(phantom_study.lv_ml))
    assert segmented.phases.es_phase == int(np.argmin(phantom_study.lv_ml))
    assert not segmented.phases_are_the_readers


def test_the_readers_es_is_the_one_that_counts(segmented: Reading, project: Project) -> None:
    segmented.set_es(4)
    assert segmented.phases_are_the_readers
    assert segmented.measures is not None
    assert segmented.measures.es_phase == 4
    saved = project.phases(segmented.study_id)
    assert isinstance(saved, PhaseChoice)
    assert (saved.es_phase, saved.source) == (4, Source.READER)


def test_a_phase_outside_the_cine_is_refused(segmented: Reading) -> None:
    with pytest.raises(PhaseError, match="phase"):
        segmented.set_ed(99)


def test_measures_follow_an_edit(segmented: Reading, mask: Mask) -> None:
    before = segmented.measure()
    assert before is not None and before.lv_edv_ml is not None
    segmented.correct(0, 2, mask())
    after = segmented.measure()
    assert after is not None and after.lv_edv_ml is not None
    voxel_ml = np.prod(segmented.cine.geometry.pixel_spacing_mm) * 18.0 / 1000
    assert before.lv_edv_ml - after.lv_edv_ml == pytest.approx(40 * voxel_ml, rel=1e-6)


def test_a_half_drawn_phase_has_no_volume(reading: Reading, mask: Mask) -> None:
    reading.correct(0, 2, mask())
    assert reading.complete_phases == ()
    assert reading.measure() is None


def test_fine_tuning_takes_only_what_was_vouched_for(segmented: Reading, mask: Mask) -> None:
    segmented.correct(0, 2, mask())
    teaching = segmented.learning.collect_teaching_set()
    teaching.load()
    (case,) = teaching.cases
    assert np.array_equal(case.labels[2], mask())
    assert (np.delete(case.labels, 2, axis=0) == 255).all()
    assert np.array_equal(case.image, segmented.cine.pixels[0].astype(np.float32))


def test_proposed_ed_and_es_are_named_to_fine_tuning_before_the_reader_chose_them(segmented: Reading) -> None:
    assert segmented.phases is not None
    assert not segmented.phases_are_the_readers
    ed, es = segmented.phases.ed_phase, segmented.phases.es_phase
    between = next(t for t in range(segmented.cine.n_phases) if t not in (ed, es))
    segmented.accept([(ed, 2), (es, 2), (between, 2)])
    teaching = segmented.learning.collect_teaching_set()
    assert {frame.t: frame.phase for frame in teaching.frames} == {ed: "ed", es: "es", between: ""}


def test_fine_tuning_without_labels_says_what_to_do(segmented: Reading) -> None:
    with pytest.raises(CinemaError, match="Correct or accept"):
        segmented.learning.collect_teaching_set().load()


@pytest.fixture
def tried(segmented: Reading, engine: Any, mask: Mask, fine_tuned: Any) -> Reading:
    """A reading with a fine-tuned model that waits for a decision."""
    segmented.correct(0, 2, mask())
    teaching = segmented.learning.collect_teaching_set()
    teaching.load()
    segmented.learning.finetune(teaching)
    request = engine.jobs[-1].request
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], segmented.study_id))
    return segmented


def test_a_fine_tuned_model_waits_for_a_decision(tried: Reading) -> None:
    assert tried.learning.trial is not None
    assert tried.model == "bundled"


def test_a_model_of_one_study_is_not_kept_for_all(tried: Reading) -> None:
    with pytest.raises(CinemaError, match="One patient is labelled"):
        tried.learning.keep_trial(this_study_only=False)
    assert tried.model == "bundled"


def test_keeping_for_this_study_leaves_the_others(
    tried: Reading, project: Project, another_heart: PhantomStudy, study: Any
) -> None:
    tried.learning.keep_trial(this_study_only=True)
    assert tried.model == "v001"
    assert [version.name for version in project.versions()] == ["v001"]
    tried.show(study(another_heart, "study-00000002"))
    assert tried.model == "bundled"


def test_a_kept_model_remembers_what_it_learned_from(tried: Reading, project: Project) -> None:
    tried.learning.keep_trial(this_study_only=True)
    assert project.studies_of_version("v001") == ("study-00000001",)


def test_a_model_for_one_study_is_not_kept_while_another_is_open(
    tried: Reading, another_heart: PhantomStudy, study: Any, phantom_study: PhantomStudy
) -> None:
    tried.show(study(another_heart, "study-00000002"))
    with pytest.raises(CinemaError, match="It is for study-00000001"):
        tried.learning.keep_trial(this_study_only=True)
    tried.show(study(phantom_study))
    tried.learning.keep_trial(this_study_only=True)
    assert tried.model == "v001"


def tune_again(reading: Reading, engine: Any, fine_tuned: Any, *scopes: Any) -> None:
    """Fine-tune once more, to a model that the gate offers for these scopes."""
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    reading.learning.finetune(teaching)
    request = engine.jobs[-1].request
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], reading.study_id, *scopes))


def test_a_model_kept_for_all_also_takes_the_place_of_a_studys_own(
    tried: Reading, engine: Any, fine_tuned: Any, project: Project, another_heart: PhantomStudy, study: Any
) -> None:
    tried.learning.keep_trial(this_study_only=True)
    tune_again(tried, engine, fine_tuned, ("project", "this study only"))
    for study_id in ("study-00000002", "study-00000003"):
        tried.show(study(another_heart, study_id))
    project.set_current_model("v001", "study-00000002")  # neither open nor the one that was trained in
    tried.learning.keep_trial(this_study_only=False)
    assert {project.current_model(each.study_id) for each in project.studies()} == {"v002"}
    assert len(project.studies()) == 3
    assert tried.model == "v002"


def test_discarding_names_the_model_that_stays_in_use(
    tried: Reading, engine: Any, fine_tuned: Any, notices: list[Notice]
) -> None:
    tried.learning.keep_trial(this_study_only=True)
    tune_again(tried, engine, fine_tuned)
    tried.learning.discard_trial()
    assert notices[-1].text == "The new model was discarded; v001 stays in use."


def test_a_model_of_other_studies_alone_is_not_kept_for_this_one(
    tried: Reading, another_heart: PhantomStudy, study: Any, engine: Any, fine_tuned: Any
) -> None:
    tried.learning.discard_trial()
    teaching = tried.learning.collect_teaching_set()
    teaching.load()
    teaching.open_study_id = "study-00000002"  # as if it had been started there
    tried.learning.finetune(teaching)
    request = engine.jobs[-1].request
    engine.jobs[-1].finish(fine_tuned(request["out"] / request["name"], "study-00000001"))
    with pytest.raises(CinemaError, match="cannot be kept there"):
        tried.learning.keep_trial(this_study_only=True)


def test_choosing_another_model_ends_the_studys_own(tried: Reading, project: Project) -> None:
    tried.learning.keep_trial(this_study_only=True)
    tried.choose_model("bundled")
    assert tried.model == "bundled"
    assert project.current_model() == "bundled"


def test_fine_tuning_again_starts_from_the_base_and_not_from_the_version(tried: Reading, engine: Any) -> None:
    tried.learning.keep_trial(this_study_only=True)
    teaching = tried.learning.collect_teaching_set()
    teaching.load()
    tried.learning.finetune(teaching)
    assert engine.jobs[-1].request["base"] == "bundled"
    assert engine.jobs[-1].request["name"] == "v002"


def test_discarding_removes_the_model_and_keeps_the_current_one(tried: Reading) -> None:
    assert tried.learning.trial is not None
    folder = tried.learning.trial.outcome.folder
    tried.learning.discard_trial()
    assert not folder.exists()
    assert tried.model == "bundled"
    assert tried.learning.trial is None


def test_the_report_names_what_it_was_made_from(
    segmented: Reading, mask: Mask, tmp_path: Path, card: ModelCard
) -> None:
    segmented.correct(0, 2, mask())
    segmented.report.export_csv(tmp_path / "report.csv")
    row = only_row(tmp_path / "report.csv")
    assert (row["study_id"], row["view"], row["status"]) == ("study-00000001", "sax", "draft")
    assert (row["corrected_slices"], row["model_sha256"]) == ("1", card.sha256)
    assert segmented.measures is not None
    assert float(row["lv_ef_pct"]) == pytest.approx(segmented.measures.lv_ef_pct, abs=0.1)


def test_a_report_is_a_draft_until_ed_and_es_are_approved(segmented: Reading, tmp_path: Path) -> None:
    segmented.accept_phases()
    segmented.report.export_csv(tmp_path / "report.csv")
    assert only_row(tmp_path / "report.csv")["status"] == "draft"
    segmented.report.approve()
    segmented.report.export_csv(tmp_path / "report.csv")
    row = only_row(tmp_path / "report.csv")
    assert row["status"] != "draft"
    assert row["reader"] == "Dr Reader"


def test_nothing_is_reported_before_it_is_measured(reading: Reading, tmp_path: Path) -> None:
    with pytest.raises(CinemaError, match="Segment the cine first"):
        reading.report.export_csv(tmp_path / "report.csv")
    assert not (tmp_path / "report.csv").exists()


def test_a_second_fine_tuning_waits_for_the_decision_on_the_first(tried: Reading) -> None:
    assert tried.learning.trial is not None
    teaching = tried.learning.collect_teaching_set()
    teaching.load()
    with pytest.raises(CinemaError, match="v001 waits for your decision"):
        tried.learning.finetune(teaching)
    assert tried.learning.trial.outcome.folder.is_dir()


def test_a_trial_cannot_be_chosen_before_it_is_kept(tried: Reading, project: Project) -> None:
    assert not (project.models_folder / "v001").exists()
    tried.learning.keep_trial(this_study_only=True)
    assert (project.models_folder / "v001" / "weights.safetensors").is_file()


def test_what_a_killed_engine_left_is_cleared_at_once(
    segmented: Reading, engine: Any, mask: Mask, project: Project
) -> None:
    segmented.correct(0, 2, mask())
    teaching = segmented.learning.collect_teaching_set()
    teaching.load()
    segmented.learning.finetune(teaching)
    partial = project.trials_folder / ".v001.0a1b2c3d.partial"
    partial.mkdir(parents=True)
    engine.jobs[-1].fail("The engine crashed.")
    assert list(project.models_folder.iterdir()) == []


def test_labels_of_a_study_that_was_removed_are_left_out_and_said(
    segmented: Reading, mask: Mask, another_heart: PhantomStudy, study: Any
) -> None:
    segmented.correct(0, 2, mask())
    segmented.show(study(another_heart, "study-00000002"))  # the first one's image is nowhere on this disk
    segmented.correct(0, 1, another_heart.labels[0, 1])
    teaching = segmented.learning.collect_teaching_set()
    teaching.load()
    assert [case.study_id for case in teaching.cases] == ["study-00000002"]
    (line,) = teaching.left_out
    assert line.startswith("study-00000001 was left out: ")


def test_labels_of_removed_studies_alone_are_a_clear_refusal(
    segmented: Reading, mask: Mask, another_heart: PhantomStudy, study: Any
) -> None:
    segmented.correct(0, 2, mask())
    segmented.show(study(another_heart, "study-00000002"))
    with pytest.raises(CinemaError, match=r"None of the labelled studies can be read\. study-00000001 was left out"):
        segmented.learning.collect_teaching_set().load()


def test_two_cines_of_a_study_are_held_out_together(
    reading: Reading, project: Project, phantom_study: PhantomStudy, another_heart: PhantomStudy
) -> None:
    second = replace(another_heart.cine, id="sax-2")
    both = Study("study-00000009", Path("both"), (phantom_study.cine, second), ImportReport((), ()))
    for cine in both.cines:
        reading.show(both, cine)
        reading.correct(0, 1, np.full(cine.shape[2:], 3, np.uint8))
    assert [record.patient for record in project.studies()[-2:]] == ["study-00000009"] * 2
    assert list(project.ledger()) == ["study-00000009"]


def test_studies_of_one_person_are_held_out_together(
    reading: Reading, project: Project, phantom_study: PhantomStudy, another_heart: PhantomStudy, tmp_path: Path
) -> None:
    for k, phantom in enumerate((phantom_study, another_heart)):
        folder = write_phantom(tmp_path / str(k), phantom, kind="dicom")
        for path in folder.iterdir():
            data = pydicom.dcmread(path)
            data.PatientID, data.StudyInstanceUID = "Z-4711", f"1.2.3.{k}"
            data.save_as(path)
        reading.open(folder)
    first, second = (record.patient for record in project.studies()[-2:])
    assert first == second
    assert first.startswith("person-")
    assert "4711" not in first


def test_the_engine_is_told_who_is_held_out_with_whom(tried: Reading, engine: Any, project: Project) -> None:
    assert engine.jobs[-1].request["ledger"] == project.ledger() == {"study-00000001": 0}
