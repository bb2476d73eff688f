"""A cohort through a cluster on this computer: the rows of single studies, and no bad one stops the rest."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cinema_core.cohort.entries import CohortEntry
from cinema_core.cohort.journal import JOURNAL_NAME, fingerprint, open_journal
from cinema_core.cohort.run import run_batch
from cinema_core.cohort.work import INSIDE, BatchSettings, Outcome, labels_path, without_paths, work_on
from cinema_core.errors import InputError
from cinema_core.io import load_study, read_labels, write_image, write_labels
from cinema_core.measure import ventricular_function
from cinema_core.models.zoo import LoadedModel
from cinema_core.phantom import PhantomStudy
from cinema_core.report.result import rounded

pytest.importorskip("distributed", reason="dask.distributed is absent: pip install distributed")
# Of its own: it closes sockets and loops late.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed.*"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def heart(tmp_path: Path, phantom_study: PhantomStudy) -> tuple[Path, Path]:
    """Image and labels of the phantom."""
    image, labels = tmp_path / "heart.nii.gz", tmp_path / "labels.nii.gz"
    write_image(image, phantom_study.cine)
    write_labels(labels, phantom_study.labels, phantom_study.cine)
    return image, labels


@pytest.fixture
def settings(tmp_path: Path) -> BatchSettings:
    return BatchSettings(tmp_path / "out", "1.2.3")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_is_that_of_the_study_alone(
    heart: tuple[Path, Path], settings: BatchSettings, phantom_study: PhantomStudy
) -> None:
    outcome = work_on(CohortEntry("a", heart[:1], heart[1:]), settings)
    alone = ventricular_function(phantom_study.labels, load_study(heart[0]).best())
    assert outcome.row is not None
    assert (outcome.row.study_id, outcome.row.model) == ("a", "")
    for name in ("lv_edv_ml", "lv_esv_ml", "lv_ef_pct", "rv_ef_pct", "lv_mass_g", "heart_rate_bpm", "bsa_m2"):
        assert getattr(outcome.row, name) == rounded(getattr(alone, name))


def test_a_row_tells_what_it_was_made_from(heart: tuple[Path, Path], settings: BatchSettings) -> None:
    found = work_on(CohortEntry("a", heart[:1], heart[1:]), settings).provenance
    assert found is not None
    assert found.labels_sha256 == hashlib.sha256(heart[1].read_bytes()).hexdigest()
    assert found.image_sha256 == ""  # no pixel of it was read
    assert (found.body_surface_formula, found.reference_table) == ("Mosteller", "HHC2024")
    assert found.heart_rate_source and "area by counted pixels" in found.method


def test_an_image_that_was_written_to_in_its_folder_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"one")
    entry = CohortEntry("a", (folder,))
    before = fingerprint(entry)
    assert fingerprint(entry) == before
    (folder / "1.dcm").write_bytes(b"other")
    assert fingerprint(entry) != before


def test_a_study_without_labels_is_segmented_and_its_labels_kept(
    settings: BatchSettings,
    tmp_path: Path,
    phantom_study: PhantomStudy,
    grey_reader: Callable[..., LoadedModel],
    greys_of: Callable[[np.ndarray], np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = tmp_path / "greys.nii.gz"
    write_image(image, replace(phantom_study.cine, pixels=greys_of(phantom_study.labels)))
    monkeypatch.setattr("cinema_core.cohort.work._loaded", lambda *_: grey_reader())
    (settings.out / "labels").mkdir(parents=True)
    outcome = work_on(CohortEntry("a", (image,)), settings)
    assert outcome.row is not None, outcome.reason
    assert outcome.row.model == "grey"
    assert outcome.provenance is not None
    assert outcome.provenance.image_sha256 == load_study(image).best().content_sha256
    kept = read_labels(labels_path(settings.out, "a"))
    found = ventricular_function(kept, load_study(image).best())
    assert (outcome.row.lv_ef_pct, outcome.row.rv_edv_ml) == (rounded(found.lv_ef_pct), rounded(found.rv_edv_ml))


def test_what_nobody_foresaw_is_an_outcome_without_its_message(
    heart: tuple[Path, Path], settings: BatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("of Mrs Example")

    monkeypatch.setattr("cinema_core.cohort.work.study_measures", fail)
    outcome = work_on(CohortEntry("a", heart[:1], heart[1:]), settings)
    assert (outcome.kind, outcome.row) == (INSIDE, None)
    assert "RuntimeError" in outcome.reason and "Example" not in outcome.reason


def test_bad_studies_stop_no_other_and_are_counted_by_reason(
    heart: tuple[Path, Path], settings: BatchSettings, tmp_path: Path
) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    entries = [
        CohortEntry("z", heart[:1], heart[1:]),
        CohortEntry("gone", (tmp_path / "gone.nii.gz",), heart[1:]),
        CohortEntry("broken", (tmp_path / "broken.nii.gz",), heart[1:]),
        CohortEntry("no labels here", heart[:1], (tmp_path / "gone.nii.gz",)),
        CohortEntry("a", heart[:1], heart[1:]),
    ]
    told: list[str] = []
    seen: list[float] = []
    environment = dict(os.environ)
    result = run_batch(
        entries, settings, processes=1, on_dashboard=told.append, progress=lambda share, _: seen.append(share)
    )
    assert dict(os.environ) == environment  # dask's one thread is for its workers alone
    assert [row["study_id"] for row in rows(settings.out / "report.csv")] == ["z", "a"]  # as in the list
    assert sum(result.failures_by_kind.values()) == 3
    assert result.failures_by_kind["the study cannot be read"] == 2
    reasons = {row["study_id"]: row["reason"] for row in rows(settings.out / "failures.csv")}
    assert set(reasons) == {"gone", "broken", "no labels here"}
    assert reasons["gone"] == "There is no file [image]. Check the path."
    assert reasons["no labels here"].startswith("There is no file or folder [labels].")
    written = (settings.out / "failures.csv").read_text() + (settings.out / JOURNAL_NAME).read_text()
    assert str(tmp_path) not in written
    assert told[0].startswith("http://127.0.0.1:") and seen[-1] == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "{folder} holds 2 studies: a, b. Choose one.",
        "{folder}: none of 1 files is a usable MR image; 1 of them: no pixels. ",
        "{file} cannot be read.",
        "Doe^John_1960.dcm describes an image of 2 x 3.",
        "{archive}/Doe^John/1.dcm is damaged.",
        "There is no folder {parent}.",
        "There is no folder {parent.name}.",
        "{file.parent.name} holds 12 slices.",
    ],
)
def test_a_failure_names_no_file_after_a_person(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "Doe^Jane" / "Doe^John"
    folder.mkdir(parents=True)
    (folder / "Doe^John_1960.dcm").touch()
    archive = tmp_path / "Doe.zip"
    said = text.format(folder=folder, file=folder / "Doe^John_1960.dcm", archive=archive, parent=folder.parent)
    cleaned = without_paths(said, CohortEntry("a", (folder,), (archive,)))
    assert "Doe" not in cleaned and str(tmp_path) not in cleaned
    assert "[image]" in cleaned or "[labels]" in cleaned or "[folder]" in cleaned
    assert " 1 files" in cleaned or " 1 files" not in said


def test_ordinary_words_and_numbers_stay(tmp_path: Path) -> None:
    (tmp_path / "cine" / "12").mkdir(parents=True)
    (tmp_path / "cine" / "4711081").touch()
    said = "The cine has 12 slices, and 4711081 cannot be read."
    assert without_paths(said, CohortEntry("a", (tmp_path / "cine",))) == said.replace("4711081", "[image]")


def test_folders_of_a_relative_list_are_not_told_and_other_files_stay_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = CohortEntry("a", (Path("data") / "Doe^Jane" / "cine.nii.gz",))
    assert without_paths("There is no folder data/Doe^Jane.", entry) == "There is no folder [folder]."
    said = without_paths(f"{tmp_path / 'out' / 'labels-1.nii.gz'} could not be written.", entry)
    assert said == f"[folder]{os.sep}out{os.sep}labels-1.nii.gz could not be written."


def test_files_of_a_pair_are_named_by_their_phase(tmp_path: Path) -> None:
    entry = CohortEntry("a", (tmp_path / "1.nii.gz", tmp_path / "2.nii.gz"))
    assert without_paths(f"There is no file {tmp_path / '2.nii.gz'}.", entry) == "There is no file [image es]."


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Address of a scheduler with one worker, both processes of their own, started as the guide says."""
    told = tmp_path / "scheduler.json"
    start = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    with subprocess.Popen([*start, "scheduler", *here, "--port", "0", "--scheduler-file", str(told)]) as scheduler:
        try:
            while not told.exists() or not told.read_bytes().endswith(b"}"):
                assert scheduler.poll() is None, "the scheduler did not start"
                time.sleep(0.05)  # for the file; there is no signal from another process
            address = json.loads(told.read_text(encoding="utf-8"))["address"]
            with subprocess.Popen([*start, "worker", address, *here, "--nthreads", "1", "--no-nanny"]) as worker:
                try:
                    yield address
                finally:
                    worker.terminate()
        finally:
            scheduler.terminate()


def test_a_cluster_that_is_there_gives_the_rows_of_this_computer(
    heart: tuple[Path, Path], settings: BatchSettings, tmp_path: Path, cluster: str
) -> None:
    from distributed import Client

    entries = [
        CohortEntry("b", heart[:1], heart[1:]),
        CohortEntry("gone", (tmp_path / "gone.nii.gz",), heart[1:]),
        CohortEntry("a", heart[:1], heart[1:]),
    ]
    with Client(cluster) as client:
        client.wait_for_workers(1)
    result = run_batch(entries, settings, scheduler=cluster)
    assert [row.study_id for row in result.rows] == ["b", "a"]
    assert result.failures_by_kind == {"the study cannot be read": 1}
    alone = work_on(entries[0], settings).row
    assert alone is not None
    assert replace(result.rows[0], created_utc="") == replace(alone, created_utc="")
    with Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 1  # a cluster of others outlives the run


def test_what_is_done_stays_done_and_failures_are_tried_again(
    heart: tuple[Path, Path], settings: BatchSettings, tmp_path: Path
) -> None:
    late = tmp_path / "late.nii.gz"
    entries = [CohortEntry("a", heart[:1], heart[1:]), CohortEntry("b", (late,), heart[1:])]
    first = run_batch(entries, settings, processes=1)
    assert (len(first.rows), len(first.failures), first.resumed) == (1, 1, 0)
    late.write_bytes(heart[0].read_bytes())
    second = run_batch(entries, settings, processes=1)
    assert (len(second.rows), len(second.failures), second.resumed) == (2, 0, 1)
    assert second.rows[0] == first.rows[0]
    assert [row["study_id"] for row in rows(settings.out / "provenance.csv")] == ["a", "b"]
    assert rows(settings.out / "failures.csv") == []
    third = run_batch(entries, settings, processes=1, on_dashboard=lambda _: pytest.fail("nothing is left to do"))
    assert third.resumed == 2


@pytest.fixture
def outcome(heart: tuple[Path, Path], settings: BatchSettings) -> Outcome:
    return work_on(CohortEntry("a", heart[:1], heart[1:]), settings)


@pytest.fixture
def entries(heart: tuple[Path, Path]) -> Iterator[list[CohortEntry]]:
    yield [CohortEntry("a", heart[:1], heart[1:]), CohortEntry("b", heart[:1], heart[1:])]


def test_a_line_that_was_cut_off_is_no_line(
    entries: list[CohortEntry], outcome: Outcome, settings: BatchSettings
) -> None:
    with open_journal(entries, settings) as journal:
        journal.append(entries[0], outcome)
    path = settings.out / JOURNAL_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"study": "b", "inp')
    with open_journal(entries, settings) as journal:
        assert journal.done == {"a": outcome}
        journal.append(entries[1], replace(outcome, study="b"))
    with open_journal(entries, settings) as journal:
        assert set(journal.done) == {"a", "b"}


def test_a_study_whose_files_changed_is_not_done(
    entries: list[CohortEntry], outcome: Outcome, settings: BatchSettings
) -> None:
    with open_journal(entries, settings) as journal:
        journal.append(entries[0], outcome)
    os.utime(entries[0].labels[0], (1, 1))
    with open_journal(entries, settings) as journal:
        assert journal.done == {}


def test_a_run_with_another_model_is_not_gone_on_with(entries: list[CohortEntry], settings: BatchSettings) -> None:
    with open_journal(entries, settings):
        pass
    with (
        pytest.raises(InputError, match="another model or version"),
        open_journal(entries, replace(settings, model="other")),
    ):
        pass


def test_labels_are_not_named_after_the_study(settings: BatchSettings) -> None:
    assert "Example" not in str(labels_path(settings.out, "Erika Example"))


def test_a_cluster_that_does_not_answer_is_said(
    entries: list[CohortEntry], settings: BatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinema_core.cohort.run.CONNECT_S", 1)
    with pytest.raises(InputError, match=r"No cluster answers at tcp://127\.0\.0\.1:9"):
        run_batch(entries, settings, scheduler="tcp://127.0.0.1:9")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 on Windows")
def test_a_killed_run_goes_on_where_it_was(heart: tuple[Path, Path], tmp_path: Path) -> None:
    cases, out = tmp_path / "cases.csv", tmp_path / "out"
    lines = [f"s{k:03d},{heart[0].name},{heart[1].name}" for k in range(60)]
    cases.write_text("\n".join(["study,image,labels", *lines]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "cinema_app.cli", "batch", str(cases), "--out", str(out), "--processes", "1"]
    journal = out / JOURNAL_NAME
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 4):
            time.sleep(0.02)  # for the file; there is no signal from another process
        running.send_signal(signal.SIGKILL)
    before = [json.loads(line)["study"] for line in journal.read_text(encoding="utf-8").splitlines()[1:]]
    assert 3 <= len(before) < 60
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert summary["n_measured"] == 60
    assert summary["n_resumed"] >= 3
    assert len({row["study_id"] for row in rows(out / "report.csv")}) == 60


def test_rows_come_back_from_the_journal_as_they_were(outcome: Outcome) -> None:
    assert outcome.row is not None
    assert type(outcome.row)(**json.loads(json.dumps(asdict(outcome.row)))) == outcome.row
