"""Simple work for a real engine process; the process imports this file too."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from cinema_core.engine import server
from cinema_core.engine.messages import Request
from cinema_core.errors import CheckpointError
from cinema_core.progress import CancelToken, Progress


class Practice(Request):
    doing: ClassVar[str] = "practising"

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Echo(Practice):
    value: Any

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        return self.value


@dataclass(frozen=True)
class Report(Practice):
    """Tell of many steps, faster than anybody can read."""

    steps: int

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        for step in range(self.steps):
            progress((step + 1) / self.steps, f"step {step + 1}")
        return "reported"


@dataclass(frozen=True)
class Obey(Practice):
    """Work for ever, looking whether to stop."""

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        progress(0.0, str(os.getpid()))
        while True:
            cancel.raise_if_cancelled()
            threading.Event().wait(0.01)


@dataclass(frozen=True)
class Count(Practice):
    """Tell of every step, looking whether to stop or to wait."""

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        step = 0
        while True:
            step += 1
            progress(0.0, f"{os.getpid()} {step}")
            threading.Event().wait(0.01)
            cancel.raise_if_cancelled()


@dataclass(frozen=True, eq=False)
class Ignore(Practice):
    """Work for ever without looking, as in one long step of a large model."""

    value: Any = None

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        progress(0.0, str(os.getpid()))
        while True:
            threading.Event().wait(60)


@dataclass(frozen=True, eq=False)
class Exit(Practice):
    code: int
    value: Any = None

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        os._exit(self.code)


@dataclass(frozen=True)
class Signal(Practice):
    name: str

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        os.kill(os.getpid(), getattr(signal, self.name))
        return "survived"


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@dataclass(frozen=True)
class Raise(Practice):
    kind: str

    def answer(self, progress: Progress, cancel: CancelToken) -> object:
        raise {
            "cinema": CheckpointError("The weights do not fit. Choose others."),
            "value": ValueError("/data/Doe^Jane/series 5\nis not a number"),
            "memory": MemoryError(),
            "gpu": OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."),
            "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        }[self.kind]


class PracticeTasks:
    def warm_up(self) -> None:
        pass

    def run(self, request: Practice, progress: Progress, cancel: CancelToken, /) -> object:
        return request.answer(progress, cancel)


class ColdTasks(PracticeTasks):
    """Cannot load what it needs."""

    def warm_up(self) -> None:
        raise ImportError("torch is damaged")

    def run(self, request: Practice, progress: Progress, cancel: CancelToken, /) -> object:
        raise ImportError("torch is damaged")


class CallingTasks(PracticeTasks):
    """Calls whoever listens at port ``PRACTICE_PORT`` when it warms up."""

    def warm_up(self) -> None:
        socket.create_connection(("127.0.0.1", int(os.environ["PRACTICE_PORT"]))).close()


class EndlessTasks(PracticeTasks):
    """Never warm; prints the number of its process."""

    def warm_up(self) -> None:
        print(os.getpid(), flush=True)
        threading.Event().wait()


class LostReplyTasks(PracticeTasks):
    """Its process dies when it has put an outcome into shared memory, before it says so."""

    def warm_up(self) -> None:
        pack = server.pack

        def pack_and_die(value: object, block: str) -> Any:
            pack(value, block)
            os._exit(5)

        server.pack = pack_and_die  # type: ignore[assignment]
