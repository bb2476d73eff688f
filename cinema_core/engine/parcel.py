"""Values with large arrays from process to process: the arrays stay out of the pipe, in shared memory.

A value is pickled with its arrays apart (protocol 5, PEP 574); pickle and arrays lie one after the other in one
block of shared memory. Who unpacks copies them out, so that nobody holds on to memory of the other process.

The client frees every block, its own and the engine's: a killed engine cannot. POSIX keeps a block until it is
unlinked, Windows until its last handle is closed; so the engine keeps a reply open until the next request.
"""

from __future__ import annotations

import itertools
import os
import pickle
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from cinema_core.errors import EngineError

_making: Final = threading.Lock()
"""Held while a block is made: a process that ended before it is in Python's list of blocks to clear would leave it."""

LINUX_SHARED_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True)
class Parcel:
    """Where a value lies: name of the block, and how many bytes each of its parts has."""

    block: str
    sizes: tuple[int, ...]


def new_block_name() -> str:
    """Name that no other block has, and that shows whose it is; macOS allows 30 characters."""
    return f"{block_prefix(os.getpid())}{secrets.token_hex(6)}"


def block_prefix(pid: int) -> str:
    """Begin of the name of every block that a client in a process chooses, also of the outcomes it asks for."""
    return f"cinema-{pid:x}-"


def pack(value: object, block: str) -> tuple[Parcel, SharedMemory]:
    """Put a value into a new block of shared memory.

    Returns
    -------
    Its address to send, and the memory to hold until the receiver has unpacked it.

    Raises
    ------
    EngineError
        If there is not enough shared memory.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    sizes = tuple(part.nbytes for part in parts)
    memory = _create(block, sum(sizes))
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        # Copied by NumPy, which lets other threads run meanwhile: the window's must not wait for 40 MB.
        _view(memory, start, size)[:] = np.frombuffer(part, np.uint8)
        start += size
    return Parcel(block, sizes), memory


def unpack(parcel: Parcel) -> Any:
    """Take a copy of a value out of shared memory; the block stays."""
    with _opened(parcel.block) as memory:
        parts = _copied_parts(parcel, memory)
    return _value_of(parts)


def take(parcel: Parcel) -> Any:
    """Take a value out of shared memory and free its block."""
    with _opened(parcel.block) as memory:
        try:
            parts = _copied_parts(parcel, memory)
        finally:
            memory.unlink()
    return _value_of(parts)


def release(memory: SharedMemory) -> None:
    """Free a block that :func:`pack` made."""
    memory.close()
    memory.unlink()


def discard(block: str) -> None:
    """Free a block if there is one."""
    with suppress(FileNotFoundError), _opened(block) as memory:
        memory.unlink()


def leave() -> NoReturn:
    """End this process at once, from any thread, and leave no block that nobody knows of."""
    with _making:
        os._exit(0)


def _copied_parts(parcel: Parcel, memory: SharedMemory) -> list[NDArray[np.uint8]]:
    ends = list(itertools.accumulate(parcel.sizes))
    return [_view(memory, end - size, size).copy() for end, size in zip(ends, parcel.sizes, strict=True)]


def _value_of(parts: list[NDArray[np.uint8]]) -> Any:
    head, *buffers = (part.data for part in parts)
    return pickle.loads(head, buffers=buffers)


def _view(memory: SharedMemory, start: int, size: int) -> NDArray[np.uint8]:
    # Not to be kept: a block with a view on it cannot be closed.
    return np.ndarray((size,), np.uint8, memory.buf, start)


@contextmanager
def _opened(block: str) -> Iterator[SharedMemory]:
    memory = SharedMemory(block)
    try:
        yield memory
    finally:
        memory.close()


def _create(block: str, size: int) -> SharedMemory:
    # Linux grants more than there is and kills the process that then writes to it: the window, here.
    if LINUX_SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(LINUX_SHARED_MEMORY).free
        if free < size:
            raise EngineError(
                f"The images need {size / 2**20:.0f} MB of shared memory but {free / 2**20:.0f} MB are free. "
                "Close other programs; in a container, start it with more (--shm-size)."
            )
    try:
        with _making:
            return SharedMemory(block, create=True, size=size)
    except OSError as error:
        raise EngineError(
            f"The images need {size / 2**20:.0f} MB of shared memory, which the system refused ({error.strerror}). "
            "Close other programs and try again."
        ) from error
