"""What a disk refuses, in words that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
            mend = "Give yourself the right to write there, or choose another place."
        else:
            mend = "Make room, check the drive, or choose another place."
        raise StorageError(f"{what}: {error.strerror or error}. {mend}") from error
