"""The window of :mod:`benchmarks.faults`, without a display: a real session that works and says what it has done.

``python -m benchmarks.fault_window PROJECT STUDY OTHER LOG SEED TROUBLE``: reading, project and engine are those of the
window; only nobody looks. Every line on standard output is an acknowledgement: what it names has been committed.
``TROUBLE`` is ``none``, ``journal-full:LINE`` (from its LINE-th line on, for a while, the disk takes no label),
``version-full:BYTE`` or ``version-kill:BYTE`` (at that byte of the first version that it writes, the engine finds the
disk full, or is killed).
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from psygnal import emit_queued

from cinema_app.news import Notice, Severity
from cinema_app.session import Session
from cinema_core import cards
from cinema_core.engine.client import EngineClient
from cinema_core.engine.tasks import TorchTasks
from cinema_core.errors import CinemaError, StorageError
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.project import Project

TASKS: Final = "benchmarks.fault_window:FaultyTasks"
TROUBLE: Final = "CINEMA_FAULT"
SETTINGS: Final = FineTuneSettings(steps=6, fold_min_steps=1, batch_size=2, device="cpu")
"""Few steps, and patients held out all the same."""
EDITS: Final = 3
REFUSALS: Final = 3
"""Edits that a full disk refuses before room is made."""

POLL_S: Final = 0.005


class FaultyTasks(TorchTasks):
    """The engine's own tasks, on a disk that is full, or in a process that dies, at one byte of a version."""

    def warm_up(self) -> None:
        """Load torch, and lay the trap."""
        kind, _, byte = os.environ.get(TROUBLE, "").partition(":")
        if kind in ("version-full", "version-kill"):
            _break_writing(kind, int(byte))
        super().warm_up()


def _break_writing(kind: str, byte: int) -> None:
    """Let the write that reaches a byte come to nothing, once; past the last byte it is the rename that does."""
    write, put_in_place = cards._write, cards._put_in_place
    left = byte

    def fail() -> None:
        nonlocal left
        left = sys.maxsize
        if kind == "version-kill":
            psutil.Process().kill()
            time.sleep(60)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def faulty_write(path: Path, data: bytes) -> None:
        nonlocal left
        if left < len(data):
            write(path, data[:left])
            fail()
        left -= len(data)
        write(path, data)

    def faulty_put_in_place(partial: Path, folder: Path) -> None:
        if left < sys.maxsize // 2:
            fail()
        put_in_place(partial, folder)

    cards._write, cards._put_in_place = faulty_write, faulty_put_in_place


class Worker:
    """A reader who works without rest, and tells of everything that is done."""

    def __init__(self, session: Session, seed: int, full_from: int | None) -> None:
        self._session = session
        self._reading = session.reading
        self._random = np.random.default_rng(seed)
        self._lines = 0
        self._full_from = full_from
        self._refused = 0
        self._reading.events.noticed.connect(self._on_notice)
        self._reading.events.progressed.connect(self._on_progress)

    def work(self, study: Path, other: Path) -> None:
        """Correct, segment, fine-tune, keep; fine-tune, discard; one thing after the other, as a reader would.

        A study of another patient is labelled too, so that each of the two is held out while the model is checked.
        """
        self._reading.open(study)
        self._say("opened")
        self._reading.open(other)
        self._say("opened another")
        self._edit(EDITS)
        self._reading.open(study)
        self._say("opened again")
        self._edit(EDITS)
        self._wait_for(self._reading.segment)
        self._say(f"segmented {self._session.project.journal_position()}")
        self._edit(EDITS)
        if self._learn():
            self._decide(lambda: self._reading.learning.keep_trial(this_study_only=True))
            self._say(f"kept {self._reading.model}")
        self._edit(EDITS)
        if self._learn():
            self._decide(self._reading.learning.discard_trial)
            self._say("discarded")
        self._edit(EDITS)
        self._make_room()
        self._edit(EDITS)
        self._say("done")

    def _learn(self) -> bool:
        """Fine-tune; returns whether there is a model to decide on, that may be kept."""
        teaching = self._reading.learning.collect_teaching_set()
        teaching.load()
        self._wait_for(lambda: self._reading.learning.finetune(teaching, SETTINGS))
        trial = self._reading.learning.trial
        if trial is None:
            return False
        self._say(f"trial {trial.name}")
        if not trial.may_be_kept(this_study_only=True):
            self._decide(self._reading.learning.discard_trial)
            return False
        return True

    def _decide(self, decision: Callable[[], object]) -> None:
        """Decide on a model; again, once there is room, if the disk was full."""
        try:
            decision()
        except StorageError:
            self._say("refused")
            self._make_room()
            decision()

    def _wait_for(self, start: Callable[[], object]) -> None:
        start()
        while self._reading.work.busy:
            emit_queued()
            time.sleep(POLL_S)

    def _on_progress(self, fraction: float, message: str) -> None:
        self._say(f"progress {fraction:.2f} {message}")
        self._edit(1)  # labels stay editable while the engine works

    def _on_notice(self, notice: Notice) -> None:
        if notice.severity is Severity.ERROR:
            os.environ[TROUBLE] = ""  # the next engine's disk is in order
            self._say(f"told {notice.text}")

    def _edit(self, n: int) -> None:
        """Draw something on slices of some phase, and acknowledge each once it is in the journal."""
        cine = self._reading.cine
        for _ in range(n):
            t, z = int(self._random.integers(cine.n_phases)), int(self._random.integers(cine.n_slices))
            mask = self._random.integers(0, 4, cine.shape[2:]).astype(np.uint8)
            try:
                if not self._reading.correct(t, z, mask):
                    continue
            except StorageError:
                self._refused += 1
                self._say("refused")
                if self._refused >= REFUSALS:
                    self._make_room()
                continue
            self._say(f"row {self._session.project.journal_position()} {hashlib.sha256(mask.tobytes()).hexdigest()}")

    def _say(self, line: str) -> None:
        print(line, flush=True)
        self._lines += 1
        if self._lines == self._full_from:
            self._fill_disk()

    def _fill_disk(self) -> None:
        # SQLite's own limit raises the very error of a full disk, on every system.
        with self._session.project._database.reading() as rows:
            used = rows.execute("PRAGMA page_count").fetchone()[0]
            rows.execute(f"PRAGMA max_page_count = {used}")

    def _make_room(self) -> None:
        with self._session.project._database.reading() as rows:
            rows.execute(f"PRAGMA max_page_count = {2**30}")


def main(arguments: list[str]) -> int:
    """Work to the end, or until something ends this."""
    project, study, other, log, seed, trouble = arguments
    kind, _, number = trouble.partition(":")
    os.environ[TROUBLE] = trouble  # the engine's process inherits it
    with Session(Project.open(project, reader="Reader"), EngineClient(TASKS, Path(log))) as session:
        session.engine.start()
        worker: Any = Worker(session, int(seed), int(number) if kind == "journal-full" else None)
        try:
            worker.work(Path(study), Path(other))
        except CinemaError as error:
            print(f"ended {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
