"""The part that all datasets share: resumed, in parallel, every case accounted for."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cinema_core.errors import EngineError, InputError, StorageError, StudyError
from training.datasets.preparing import (
    Found,
    Prepared,
    RawCase,
    Recipe,
    Result,
    Status,
    counts,
    csv_text,
    prepare_dataset,
    processed_folder,
)


def find(raw: Path) -> Found:
    cases = tuple(
        RawCase(path.stem, "train", (path,), {}, ("train_metadata.csv",)) for path in sorted(raw.glob("*.txt"))
    )
    return Found(cases, (Result("gone", "train", Status.SKIPPED, "it has no file."),))


def prepare(case: RawCase, out: Path) -> Prepared:
    text = case.files[0].read_text()
    if text == "damaged":
        raise StudyError("it is damaged.")
    if text == "odd":
        raise ValueError("no such\nvoxel")
    if text == "dies":
        os._exit(9)
    if text == "disk":
        raise StorageError("the disk is full.")
    target = out / case.folder / f"{case.pid}.out"
    target.parent.mkdir(parents=True)
    target.write_text(text.upper())
    return Prepared({"pid": case.pid, "n_slices": len(text)}, ("short",) if len(text) < 3 else ())


RECIPE = Recipe("toy", "Toy", "Ask the tests.", "*.txt", {"train": 4}, find, prepare)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, text in (("a", "first"), ("b", "no"), ("c", "damaged")):
        (folder / f"{name}.txt").write_text(text)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_case_is_prepared_or_accounted_for(raw: Path, tmp_path: Path, workers: int) -> None:
    out, lines = tmp_path / "out", []
    results = prepare_dataset(RECIPE, raw, out, workers, lambda _, line: lines.append(line))
    assert (out / "train" / "a" / "a.out").read_text() == "FIRST"
    assert table(out / "train_metadata.csv") == [{"pid": "a", "n_slices": "5"}, {"pid": "b", "n_slices": "2"}]
    report = {row["pid"]: (row["status"], row["reason"]) for row in table(out / "report.csv")}
    assert report == {
        "a": ("prepared", ""),
        "b": ("prepared", "short"),
        "c": ("skipped", "it is damaged."),
        "gone": ("skipped", "it has no file."),
    }
    assert counts(RECIPE, results) == ["train: 2 prepared, 2 skipped, 0 left out; published: 4 (2 fewer)"]
    assert len(lines) == 3
    assert not (out / ".partial").exists()


def test_what_is_done_stays_and_what_changed_is_done_anew(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_dataset(RECIPE, raw, out)
    done = {name: (out / "train" / name / f"{name}.out").stat().st_mtime_ns for name in "ab"}
    (raw / "b.txt").write_text("changed")
    (raw / "c.txt").write_text("mended")
    prepare_dataset(RECIPE, raw, out)
    assert (out / "train" / "a" / "a.out").stat().st_mtime_ns == done["a"]
    assert (out / "train" / "b" / "b.out").read_text() == "CHANGED"
    assert [row["pid"] for row in table(out / "train_metadata.csv")] == ["a", "b", "c"]
    (out / "train" / "a" / "a.out").unlink()
    prepare_dataset(RECIPE, raw, out)
    assert (out / "train" / "a" / "a.out").exists()


def test_a_full_disk_stops_the_work_and_keeps_what_is_done(raw: Path, tmp_path: Path) -> None:
    (raw / "b.txt").write_text("disk")
    with pytest.raises(StorageError, match="full"):
        prepare_dataset(RECIPE, raw, tmp_path / "out")
    assert (tmp_path / "out" / "train" / "a" / "a.out").exists()
    assert not (tmp_path / "out" / "train" / "b").exists()
    (raw / "b.txt").write_text("room again")
    prepare_dataset(RECIPE, raw, tmp_path / "out")
    assert len(table(tmp_path / "out" / "train_metadata.csv")) == 2


def test_a_wrong_folder_is_told_with_what_is_expected_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no folder .*Ask the tests"):
        prepare_dataset(RECIPE, tmp_path / "none", tmp_path / "out")
    with pytest.raises(InputError, match=r"no raw folder of Toy: it needs \*.txt. Ask the tests."):
        prepare_dataset(RECIPE, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_counts_say_when_a_split_is_complete_or_too_large() -> None:
    results = [Result(str(k), "train", Status.PREPARED) for k in range(4)]
    assert counts(RECIPE, results)[0].endswith("published: 4 (complete)")
    assert counts(replace(RECIPE, published={"train": 3}), results)[0].endswith("(1 more)")


def test_columns_of_a_table_are_those_of_all_rows() -> None:
    assert csv_text([{"pid": "a", "x": 1}, {"pid": "b", "y": 2.5}]) == "pid,x,y\na,1,\nb,,2.5\n"


def test_the_place_of_prepared_data_follows_the_published_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CINEMA_DATA_DIR", str(tmp_path))
    assert processed_folder("acdc") == tmp_path / "acdc" / "processed"
    monkeypatch.delenv("CINEMA_DATA_DIR")
    assert processed_folder("acdc").parts[-4:] == (".cache", "cinema_datasets", "acdc", "processed")


def test_what_a_library_stumbles_over_is_one_skipped_case(raw: Path, tmp_path: Path) -> None:
    (raw / "c.txt").write_text("odd")
    results = {result.pid: result for result in prepare_dataset(RECIPE, raw, tmp_path / "out")}
    assert results["c"].status is Status.SKIPPED
    assert results["c"].reason == "ValueError: no such voxel"
    assert results["a"].status is Status.PREPARED


def test_a_process_that_dies_is_told(raw: Path, tmp_path: Path) -> None:
    (raw / "b.txt").write_text("dies")
    with pytest.raises(EngineError, match="fewer --workers"):
        prepare_dataset(RECIPE, raw, tmp_path / "out", workers=2)
