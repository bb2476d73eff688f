"""Values through shared memory and back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cinema_core.engine import parcel as parcels
from cinema_core.engine.parcel import discard, new_block_name, pack, release, take, unpack
from cinema_core.errors import EngineError


@pytest.fixture
def block() -> Iterator[str]:
    """Name of a block that is gone after the test."""
    name = new_block_name()
    yield name
    discard(name)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4),
        np.asfortranarray(np.arange(24, dtype=np.float32).reshape(4, 6)),
        np.arange(24, dtype=np.int16).reshape(2, 3, 4)[:, ::-1, 1:],
        np.arange(24, dtype=">i2").reshape(4, 6),
        np.zeros((0, 3), np.float64),
        np.array(3.5, dtype=np.float16),
    ],
    ids=["c-order", "f-order", "strided", "big-endian", "empty", "scalar"],
)
def test_array_comes_back_exactly(array: np.ndarray, block: str) -> None:
    parcel, memory = pack({"pixels": array}, block)
    found = unpack(parcel)["pixels"]
    release(memory)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_arrays_lie_in_the_block_and_not_in_the_address(block: str) -> None:
    parcel, memory = pack([np.zeros(1_000_000, np.uint8), np.zeros(2_000_000, np.uint8)], block)
    release(memory)
    assert parcel.sizes[1:] == (1_000_000, 2_000_000)
    assert parcel.sizes[0] < 1000


def test_unpacked_array_outlives_the_block_and_may_be_written(block: str) -> None:
    parcel, memory = pack(np.arange(10), block)
    found = unpack(parcel)
    release(memory)
    found[0] = 7
    assert found.tolist() == [7, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_taking_frees_the_block(block: str) -> None:
    parcel, memory = pack(np.arange(10), block)
    memory.close()
    take(parcel)
    with pytest.raises(FileNotFoundError):
        unpack(parcel)


def test_name_of_a_block_is_short_enough_for_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels.os, "getpid", lambda: 2**32 - 1)
    assert len(new_block_name()) < 30  # macOS puts a slash before it


def test_discarding_what_is_not_there_does_nothing() -> None:
    discard(new_block_name())


def test_too_little_shared_memory_is_refused_before_it_is_touched(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "LINUX_SHARED_MEMORY", parcels.Path.cwd())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(EngineError, match=r"need 4 MB of shared memory but 1 MB are free\. Close other programs"):
        pack(np.zeros(2**22, np.uint8), block)


def test_system_that_refuses_shared_memory_is_told(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(parcels, "SharedMemory", refuse)
    with pytest.raises(EngineError, match="refused \\(Too many open files\\)"):
        pack(np.zeros(10), block)
    monkeypatch.undo()


def test_a_process_does_not_end_between_making_a_block_and_noting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    leaver = threading.Thread(target=parcels.leave)

    class SlowMemory(SharedMemory):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            leaver.start()
            leaver.join(0.2)  # time enough to end, were it not made to wait
            super().__init__(*arguments, **named)
            happened.append("made")

    monkeypatch.setattr(parcels, "SharedMemory", SlowMemory)
    monkeypatch.setattr(os, "_exit", lambda code: happened.append(f"left {code}"))
    _, memory = pack(b"outcome", new_block_name())
    leaver.join()
    release(memory)
    assert happened == ["made", "left 0"]
