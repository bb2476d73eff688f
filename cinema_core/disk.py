"""What a disk refuses, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from cinema_core.errors import StorageError

_NO_ROOM: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_RIGHT: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Say in one line what the disk refused, and what to do.

    Parameters
    ----------
    what
        Begins the line: ``The model could not be written to FOLDER``.

    Raises
    ------
    StorageError
        In place of any ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            mend = "Make room and do it again."
        elif error.errno in _NO_RIGHT:
            mend = "Give yourself the right to write there, close the file in other programs, or choose another place."
        else:
            mend = "Make room, check the drive, or choose another place."
        raise StorageError(f"{what}: {error.strerror or error}. {mend}") from error


def write_whole(path: Path, data: bytes, what: str) -> None:
    """Write a file whole or not at all, and onto the disk; one that is there is replaced.

    Parameters
    ----------
    what
        As for :func:`disk_errors`, without the place: ``The report``.

    Raises
    ------
    StorageError
        If it cannot be written; what was there before is still there.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    with disk_errors(f"{what} could not be written to {path}"):
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            with suppress(OSError):  # gone after the rename; never there if its folder is not
                partial.unlink()
