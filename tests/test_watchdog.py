"""Whether a process that hangs is noticed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from benchmarks.watchdog import SilenceError, lines_of


@contextmanager
def saying(program: str) -> Iterator[IO[str]]:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout
        process.kill()


def test_a_process_that_ends_is_heard_to_the_last_word() -> None:
    with saying("print('one'); print('two'); print('thr', end='')") as stream:
        assert list(lines_of(stream, silent_s=60)) == ["one\n", "two\n", "thr"]


def test_a_process_that_falls_silent_is_noticed_after_what_it_said() -> None:
    with saying("import time; print('one', flush=True); time.sleep(600)") as stream:
        lines = lines_of(stream, silent_s=5)
        assert next(lines) == "one\n"
        with pytest.raises(SilenceError, match="5 s"):
            next(lines)
