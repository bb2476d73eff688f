"""Who is held out with whom: dealt evenly, by nothing but name and seed, and never dealt again."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from cinema_core.errors import InputError, StorageError
from cinema_core.folds import digests_of, extended, next_fold, read_ledger, write_ledger

PATIENTS = [f"p{number}" for number in range(10)]


def test_patients_are_dealt_evenly_whatever_their_order() -> None:
    folds = extended({}, PATIENTS, 3, seed=0)
    assert sorted(Counter(folds.values()).values()) == [3, 3, 4]
    assert extended({}, reversed(PATIENTS), 3, seed=0) == folds
    assert extended({}, PATIENTS, 3, seed=1) != folds


def test_two_patients_are_of_two_folds() -> None:
    for seed in range(20):
        assert sorted(extended({}, ["a", "b"], 3, seed).values()) == [0, 1]


def test_who_is_in_the_ledger_stays() -> None:
    ledger = {"p3": 2, "p1": 2, "p8": 0}
    for seed in range(5):
        folds = extended(ledger, PATIENTS, 3, seed)
        assert list(folds.items())[:3] == list(ledger.items())
        assert set(folds) == set(PATIENTS)
    assert ledger == {"p3": 2, "p1": 2, "p8": 0}


def test_a_newcomer_joins_the_fold_with_the_fewest() -> None:
    assert next_fold({}) == 0
    assert next_fold({"a": 0, "b": 2}) == 1
    assert next_fold({"a": 0, "b": 1, "c": 2, "d": 1}) == 0


def test_a_card_names_nobody() -> None:
    digests = digests_of({"MUSTERMANN^ERIKA": 1, "b": 0})
    assert sorted(digests.values()) == [0, 1]
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in digests)
    assert digests == digests_of({"b": 0, "MUSTERMANN^ERIKA": 1})


def test_a_ledger_comes_back_from_its_file_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    assert read_ledger(path) == {}
    write_ledger(path, {"zoë": 1, "a": 0})
    assert list(read_ledger(path).items()) == [("zoë", 1), ("a", 0)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"folds": {"a": "x"}}', '{"splits": {}}', '{"folds": {"a": -1}}'])
def test_another_file_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="split ledger"):
        read_ledger(path)
    assert path.read_text(encoding="utf-8") == content


def test_a_full_disk_keeps_the_older_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "ledger.json"
    write_ledger(path, {"a": 0})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="split ledger could not be written"):
        write_ledger(path, {"a": 0, "b": 1})
    assert read_ledger(path) == {"a": 0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.json"]
