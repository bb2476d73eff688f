"""The lineage of models: shown, used, named, copied and given up, in the window and without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cinema_app import cli
from cinema_app.news import Notice
from cinema_app.reading import Reading
from cinema_app.versions import Versions
from cinema_app.widgets.workspace import Workspace
from cinema_core.cards import ModelCard, bundled_folder, write_model_folder
from cinema_core.errors import CinemaError, InputError, ProjectError
from cinema_core.phantom import PhantomStudy
from cinema_core.project import Project, VersionRecord
from cinema_core.rules import PapillaryRule


def keep(
    project: Project, name: str, base: str = "bundled", n_slices: int = 4, dice: float = 0.8, **lineage: Any
) -> ModelCard:
    """A version in the project, with files that nobody opens."""
    lineage = {"n_slices": n_slices, "n_patients": 2, "base": base} | lineage
    card = ModelCard(name=name, sha256="", kind="project", lineage=lineage)
    config = (bundled_folder() / "config.yaml").read_text(encoding="utf-8")
    written = write_model_folder(project.models_folder / name, name.encode(), config, card)
    figures = [{"dice": {"mean": value}} for value in (dice, dice + 0.05)]
    position = project.journal_position()
    project.add_version(
        VersionRecord(name, written.sha256, base, journal_position=position, before=figures[0], after=figures[1])
    )
    return written


def test_versions_stand_below_their_base_with_labels_and_figures(reading: Reading, project: Project) -> None:
    keep(project, "v001")
    keep(project, "v002", n_slices=9)
    reading.choose_model("v002")
    lines = Versions(reading).lineage()
    assert [(line.name, line.depth, line.n_slices, line.in_use) for line in lines] == [
        ("bundled", 0, None, False),
        ("v001", 1, 4, False),
        ("v002", 1, 9, True),
    ]
    assert (lines[1].dice_before, lines[1].dice_after) == pytest.approx((0.8, 0.85))


def test_without_versions_the_model_in_use_stands_alone(reading: Reading) -> None:
    assert [(line.name, line.in_use) for line in Versions(reading).lineage()] == [("bundled", True)]


def test_a_removed_version_is_gone_with_its_files(reading: Reading, project: Project) -> None:
    keep(project, "v001")
    Versions(reading).remove("v001")
    assert not (project.models_folder / "v001").exists()
    assert [line.name for line in Versions(reading).lineage()] == ["bundled"]


def test_the_version_in_use_keeps_its_files(reading: Reading, project: Project) -> None:
    keep(project, "v001")
    versions = Versions(reading)
    versions.use("v001")
    with pytest.raises(ProjectError, match="in use"):
        versions.remove("v001")
    assert (project.models_folder / "v001" / "weights.safetensors").is_file()


@pytest.fixture
def for_one_study(segmented: Reading, project: Project) -> Reading:
    """A reading whose project has a version that was offered for the open study only, and is not in use."""
    segmented.accept([(0, 2)])
    keep(project, "v001", scope="this study only")
    return segmented


@pytest.mark.parametrize("choose", [lambda reading: Versions(reading).use, lambda reading: reading.choose_model])
def test_a_version_for_one_study_never_becomes_the_projects_model(
    for_one_study: Reading,
    project: Project,
    choose: Any,
    another_heart: PhantomStudy,
    study: Any,
    notices: list[Notice],
) -> None:
    choose(for_one_study)("v001")
    assert for_one_study.model == "v001"
    assert project.current_model() == "bundled"
    assert notices[-1].text == "Model v001 is in use for this study only; others go on with bundled."
    for_one_study.show(study(another_heart, "study-00000002"))
    assert for_one_study.model == "bundled"


def test_a_version_for_one_study_is_refused_in_others_with_the_reason(
    for_one_study: Reading, project: Project, another_heart: PhantomStudy, study: Any
) -> None:
    for_one_study.show(study(another_heart, "study-00000002"))
    for_one_study.accept([(0, 1)])  # after the version was made
    with pytest.raises(CinemaError, match=r"learned from \(study-00000001\): how it draws other hearts was not"):
        Versions(for_one_study).use("v001")
    assert (for_one_study.model, project.current_model()) == ("bundled", "bundled")


def test_a_version_for_one_study_is_refused_while_no_study_is_open(
    for_one_study: Reading, project: Project, engine: Any
) -> None:
    with pytest.raises(CinemaError, match="Open one of those"):
        Reading(project, engine).choose_model("v001")
    assert project.current_model() == "bundled"


def test_a_version_that_was_measured_elsewhere_is_used_in_the_whole_project(reading: Reading, project: Project) -> None:
    keep(project, "v001", scope="project")
    Versions(reading).use("v001")
    assert project.current_model() == "v001"


def test_a_copy_holds_all_three_files_and_is_never_written_over(
    reading: Reading, project: Project, tmp_path: Path
) -> None:
    keep(project, "v001")
    copy = Versions(reading).export("v001", tmp_path / "out")
    assert sorted(path.name for path in copy.iterdir()) == ["card.json", "config.yaml", "weights.safetensors"]
    assert (copy / "weights.safetensors").read_bytes() == b"v001"
    with pytest.raises(InputError, match="exists already"):
        Versions(reading).export("v001", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["v001"]


def test_the_command_exports_what_the_other_commands_accept(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(project, "v001")
    project.close()
    out = str(tmp_path / "shared")
    assert cli.run(["models", "export", "v001", "--project", str(project.folder), "--out", out]) == 0
    assert cli.run(["models", "show", str(Path(out) / "v001")]) == 0
    assert "v001" in capsys.readouterr().out
    assert cli.run(["models", "export", "v001", "--project", str(project.folder), "--out", out]) == 2


def test_comparing_a_model_says_how_ef_would_differ_and_changes_nothing(
    segmented: Reading, engine: Any, segmentation: Any, phantom_study: PhantomStudy, notices: list[Notice]
) -> None:
    before, journal = segmented.measures, segmented.project.journal_position()
    assert before is not None
    assert segmented.phases is not None
    smaller = phantom_study.labels.copy()
    es = smaller[segmented.phases.es_phase]
    es[es == 3] = 2  # nothing is left at ES: EF would be 100 %
    Versions(segmented).compare("v002")
    assert engine.jobs[-1].request["request"].model == "v002"
    engine.jobs[-1].finish(segmentation(smaller))
    assert notices[-1].text.startswith(f"EF would change from {before.lv_ef_pct:.0f} to 100 % if v002 drew every slice")
    assert segmented.measures == before
    assert segmented.project.journal_position() == journal
    Versions(segmented).compare("v003")
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert notices[-1].text.startswith(f"EF would stay at {before.lv_ef_pct:.0f} %")


def test_the_comparison_keeps_what_the_reader_vouched_for(
    segmented: Reading, engine: Any, segmentation: Any, phantom_study: PhantomStudy, notices: list[Notice]
) -> None:
    now = segmented.measure()
    assert now is not None
    segmented.accept([(now.es_phase, z) for z in range(segmented.cine.n_slices)])
    smaller = phantom_study.labels.copy()
    es = smaller[now.es_phase]
    es[es == 3] = 2
    Versions(segmented).compare("v002")
    engine.jobs[-1].finish(segmentation(smaller))
    n = segmented.cine.n_slices
    words = f"EF would stay at {now.lv_ef_pct:.0f} % if v002 drew all but your {n} corrected or accepted slices anew."
    assert notices[-1].text.startswith(words)
    # And that is what segmenting with it comes to.
    segmented.segment()
    engine.jobs[-1].finish(segmentation(smaller))
    assert segmented.measures is not None
    assert segmented.measures.lv_ef_pct == pytest.approx(now.lv_ef_pct)


def test_the_comparison_is_measured_by_the_readers_convention(
    segmented: Reading, engine: Any, segmentation: Any, phantom_study: PhantomStudy, notices: list[Notice]
) -> None:
    before = segmented.measure()
    segmented.report.choose(
        segmented.report.choices.model_copy(update={"papillary": PapillaryRule.MASS, "papillary_level": 0.95})
    )
    now = segmented.measure()
    assert before is not None
    assert now is not None
    assert round(now.lv_ef_pct or 0) != round(before.lv_ef_pct or 0)  # else nothing is tested
    Versions(segmented).compare("v002")
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert notices[-1].text.startswith(f"EF would stay at {now.lv_ef_pct:.0f} %")


def test_the_comparison_is_of_the_study_that_was_drawn(
    segmented: Reading,
    engine: Any,
    segmentation: Any,
    phantom_study: PhantomStudy,
    another_heart: PhantomStudy,
    study: Any,
    notices: list[Notice],
) -> None:
    assert segmented.measures is not None
    now = segmented.measures.lv_ef_pct
    Versions(segmented).compare("v002")
    segmented.show(study(another_heart, "study-00000002"))
    engine.jobs[-1].finish(segmentation(phantom_study.labels))
    assert notices[-1].text.startswith(f"EF would stay at {now:.0f} %")


# ------------------------------------------------------------------ in the window


def click(workspace: Workspace, button: Any) -> None:
    workspace.show_tab("Fine-tune")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(workspace: Workspace, name: str) -> None:
    """Click the row of a model."""
    workspace.show_tab("Fine-tune")
    tree = workspace.versions.tree
    (item,) = tree.findItems(name, Qt.MatchFlag.MatchContains | Qt.MatchFlag.MatchRecursive, 0)
    QTest.mouseClick(
        tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, tree.visualItemRect(item).center()
    )


def test_the_window_switches_names_and_gives_up_versions(
    workspace: Workspace, segmented: Reading, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QInputDialog, QMessageBox

    keep(project, "v001")
    keep(project, "v002")
    panel = workspace.versions
    segmented.events.model_changed.emit()
    choose(workspace, "v002")
    click(workspace, panel.use)
    assert segmented.model == panel.chosen == "v002"
    assert "in use" in panel.remove.toolTip()
    assert not panel.use.isEnabled()

    choose(workspace, "v001")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_more: ("first try", True))
    click(workspace, panel.rename)
    assert panel.chosen == "v001"
    assert panel.tree.findItems("first try (v001)", Qt.MatchFlag.MatchContains | Qt.MatchFlag.MatchRecursive, 0)
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: QMessageBox.StandardButton.Yes)
    click(workspace, panel.remove)
    assert [line.name for line in Versions(segmented).lineage()] == ["bundled", "v002"]


def test_the_window_does_not_offer_a_version_where_it_may_not_draw(
    workspace: Workspace, for_one_study: Reading, another_heart: PhantomStudy, study: Any, project: Project
) -> None:
    for_one_study.show(study(another_heart, "study-00000002"))
    choose(workspace, "v001")
    assert not workspace.versions.use.isEnabled()
    assert "only for the studies that it learned from (study-00000001)" in workspace.versions.use.toolTip()
    workspace.show_tab("Read")
    models = workspace.segment._models
    models.setCurrentIndex(models.findData("v001"))
    models.activated.emit(models.currentIndex())
    assert "only for the studies that it learned from" in workspace.status.notice.text()
    assert models.currentData() == "bundled"
    assert project.current_model() == "bundled"


def test_a_version_that_was_just_kept_is_chosen(workspace: Workspace, segmented: Reading, project: Project) -> None:
    choose(workspace, "bundled")
    keep(project, "v001")
    segmented.choose_model("v001")
    assert workspace.versions.chosen == "v001"


def test_what_was_not_made_here_is_not_given_up(workspace: Workspace, segmented: Reading) -> None:
    choose(workspace, "bundled")
    assert not workspace.versions.remove.isEnabled()
    assert not workspace.versions.rename.isEnabled()
    assert "not made in this project" in workspace.versions.remove.toolTip()


def test_what_would_change_asks_the_engine(
    workspace: Workspace, segmented: Reading, project: Project, engine: Any
) -> None:
    keep(project, "v001")
    segmented.events.model_changed.emit()
    choose(workspace, "v001")
    click(workspace, workspace.versions.compare)
    assert engine.jobs[-1].request["request"].model == "v001"
