"""A real engine process with simple work to do, and a look for what it leaves behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest

# The engine's process takes sys.path from here, and must find the practice work too.
sys.path.insert(0, str(Path(__file__).parent))

from cinema_core.engine.client import EngineClient, Job
from cinema_core.engine.parcel import block_prefix

WAIT_S = 60.0


def engine_processes() -> list[psutil.Process]:
    """Children that run an engine."""
    return [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def shared_blocks(pid: int | None = None) -> set[str]:
    """Blocks of shared memory of a program's engine, of this one's if None, where the system shows them."""
    prefix = block_prefix(pid or os.getpid())
    return {path.name for path in Path("/dev/shm").glob(f"{prefix}*")} if sys.platform == "linux" else set()


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def make_client(log_folder: Path) -> Iterator[Callable[..., EngineClient]]:
    """Make clients that are closed at the end, when no process and no memory may be left."""
    before = engine_processes()
    made: list[EngineClient] = []

    def make(tasks: str = "engine_practice:PracticeTasks") -> EngineClient:
        made.append(EngineClient(tasks, log_folder))
        return made[-1]

    yield make
    for client in made:
        client.close()
    assert engine_processes() == before
    assert shared_blocks() == set()


@pytest.fixture
def client(make_client: Callable[..., EngineClient]) -> EngineClient:
    return make_client()


class Listener:
    """Keeps the news of a job in the order in which they came."""

    def __init__(self, job: Job) -> None:
        self.news: list[tuple[Any, ...]] = []
        self._queue: Queue[tuple[Any, ...]] = Queue()
        job.events.progressed.connect(self._on_progress)
        job.events.finished.connect(self._on_finished)
        job.events.failed.connect(self._on_failed)
        job.events.cancelled.connect(self._on_cancelled)

    def until(self, kind: str) -> tuple[Any, ...]:
        """Wait for the next news of a kind."""
        while True:
            if self.next()[0] == kind:
                return self.news[-1]

    def next(self, timeout_s: float = WAIT_S) -> tuple[Any, ...]:
        """Wait for the next news; raises queue.Empty if none comes in time."""
        self.news.append(self._queue.get(timeout=timeout_s))
        return self.news[-1]

    def _on_progress(self, fraction: float, message: str) -> None:
        self._queue.put(("progressed", fraction, message))

    def _on_finished(self, outcome: object) -> None:
        self._queue.put(("finished", outcome))

    def _on_failed(self, message: str) -> None:
        self._queue.put(("failed", message))

    def _on_cancelled(self) -> None:
        self._queue.put(("cancelled",))


@pytest.fixture
def listen() -> Callable[[Job], Listener]:
    return Listener


@pytest.fixture
def blocks() -> Callable[..., set[str]]:
    return shared_blocks
