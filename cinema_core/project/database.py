"""One SQLite file that survives: opened safely, written by one process, its errors in the reader's words.

Nothing here knows what the tables mean; their files lie beside this one, used by :mod:`cinema_core.project.store`.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from filelock import FileLock, Timeout

from cinema_core.errors import CinemaError, ProjectError, StorageError

APPLICATION_ID: Final = 0x43494E45
"""``CINE`` in the file's header: tells our database from anyone else's."""

FORMAT: Final = 12
"""Version of the tables. Raise it with every change of a table, and say how the older one is read.

1: ``schema.sql``. 2: with ``landmarks.sql``; a project of format 1 gets that when it is opened to be written to,
and has no landmarks while it is only read. 3: with ``imports.sql``, in the same way. 4: with
``uncertainty.sql``, in the same way. 5: with ``versions.sql``, in the same way.
6: ``folds.sql`` makes the split ledger one of folds; a project that is only read has them by the same rule.
7: with ``approvals.sql``; a project that is only read has no approvals, so that its reports are drafts.
8: with ``steps.sql``: what was done before has no steps, so Undo starts with the first edit after it.
9: with ``insertions.sql``; a project that is only read has no insertion points but those found in its labels.
10: with ``disagreement.sql``; drawings of before have none, and a project that is only read has none at all.
11: with ``effort.sql``; of what was drawn with the contour tool before, nobody knows how many points were moved.
12: with ``spread.sql``; drawings of before have no spread of areas, and a project that is only read has none at all."""

_ADDED: Final = {
    2: "landmarks.sql",
    3: "imports.sql",
    4: "uncertainty.sql",
    5: "versions.sql",
    6: "folds.sql",
    7: "approvals.sql",
    8: "steps.sql",
    9: "insertions.sql",
    10: "disagreement.sql",
    11: "effort.sql",
    12: "spread.sql",
}
"""Script that brings a project from the format before to this one."""

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NOT_STORED: Final = {
    sqlite3.SQLITE_FULL: "the disk is full. Free some space",
    sqlite3.SQLITE_IOERR: "the disk does not take it. Check the disk or the connection to it",
    sqlite3.SQLITE_READONLY: "the file may not be written. Check its permissions",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened. Check that the disk is there and not full",
    sqlite3.SQLITE_BUSY: "another program keeps the file busy. Close it",
    sqlite3.SQLITE_LOCKED: "another program keeps the file busy. Close it",
}
_NO_WRITE_ACCESS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class DamagedRowError(sqlite3.DatabaseError):
    """A row of a table holds what was never written there; SQLite itself keeps no checksum."""

    def __init__(self, row_id: int, table: str = "journal") -> None:
        super().__init__(f"row {row_id} of {table} is damaged")
        self.row_id, self.table = row_id, table


class Database:
    """A project's SQLite file, for one writer and any number of onlookers.

    The writer holds a lock of the operating system on a file beside the database. Such a lock ends
    with its process, however that ends, so a killed program never blocks the next start. Whoever
    does not get the lock, or may not write the folder, reads; :attr:`read_only_reason` says why.

    Calls from several threads are taken one after the other.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: FileLock | None,
        read_only_reason: str = "",
        copy: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.path = path
        self.read_only_reason = read_only_reason
        self._connection = connection
        self._lock = lock
        self._copy = copy
        self._one_at_a_time = threading.RLock()
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open for writing if possible, else for reading.

        Parameters
        ----------
        create
            Make the tables, all or nothing, if the file is absent or its making was interrupted.

        Raises
        ------
        ProjectError
            If the file is damaged, not a project, or of a newer program.
        StorageError
            If the disk does not let it be read or made.
        """
        with _file_sentences(path):
            lock = _writer_lock(path)
            if isinstance(lock, FileLock):
                try:
                    connection = _connect_to_write(path, create)
                except BaseException:
                    lock.release()
                    raise
                if connection is not None:
                    return cls(path, connection, lock)
                lock.release()
                lock = "the project's file is protected against writing"
            if not path.is_file():
                raise StorageError(f"No project can be made in {path.parent}: {lock}. Choose another place.")
            return cls._open_to_read(path, lock)

    @classmethod
    def _open_to_read(cls, path: Path, reason: str) -> Self:
        connection, copy = _connect_to_read(path)
        try:
            _check_format(connection, path)
        except BaseException:
            connection.close()
            if copy is not None:
                copy.cleanup()
            raise
        return cls(path, connection, None, reason, copy)

    @property
    def read_only(self) -> bool:
        """Whether this opening may only look."""
        return bool(self.read_only_reason)

    def close(self) -> None:
        """Let go of the file and of the writer's lock; a second call does nothing."""
        with self._one_at_a_time:
            if self._closed:
                return
            self._closed = True
            # A failed last checkpoint leaves the -wal file, which the next opening reads.
            with suppress(sqlite3.Error):
                self._connection.close()
            if self._lock is not None:
                self._lock.release()
            if self._copy is not None:
                self._copy.cleanup()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on disk when the block ends, undone as a whole if it raises.

        Raises
        ------
        ProjectError
            If the project is closed, read-only or damaged.
        StorageError
            If the disk is full or gone; what was committed before stays.
        """
        with self._one_at_a_time:
            if self.read_only:
                raise ProjectError(f"Nothing was saved: {self.read_only_reason}. Open the project again to edit.")
            with self._transaction("BEGIN IMMEDIATE") as connection:
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See one state of the project for the length of the block; blocks may be nested."""
        with self._one_at_a_time:
            if self._connection_in_use():
                with _sentences(self.path):
                    yield self._connection
                return
            with self._transaction("BEGIN") as connection:
                yield connection

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Turn what is found wrong with rows that were read into the reader's words; holds nobody up."""
        with _sentences(self.path):
            yield

    def _connection_in_use(self) -> bool:
        return not self._closed and self._connection.in_transaction

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise ProjectError("The project is closed. Open it again.")
        with _sentences(self.path):
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back by itself after some errors, a full disk among them.
                if self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite that a reader can meet into one line for them."""
    try:
        yield
    except sqlite3.Error as error:
        known = _sentence(error, path)
        if known is None:
            raise
        raise known from error


@contextmanager
def _file_sentences(path: Path) -> Iterator[None]:
    """Do the same for the errors of the operating system, while the file is being opened."""
    try:
        with _sentences(path):
            yield
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise StorageError(f"{path.name} in {path.parent}: {what}. Check the disk and try again.") from error


def _sentence(error: sqlite3.Error, path: Path) -> CinemaError | None:
    if isinstance(error, DamagedRowError):
        return ProjectError(
            f"Row {error.row_id} of the table {error.table} of {path.name} in {path.parent} is damaged. "
            "Put a copy from your backup in its place."
        )
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    code &= 0xFF  # extended codes keep the kind in the low byte
    if code in _DAMAGED:
        return ProjectError(
            f"{path.name} in {path.parent} is not a project database, or it is damaged; it was left as it is. "
            "Put a copy from your backup in its place."
        )
    if code in _NOT_STORED:
        return StorageError(
            f"{path.name} in {path.parent}: {_NOT_STORED[code]} and try again. "
            "The last step was not saved; everything before it was."
        )
    return None


def _writer_lock(path: Path) -> FileLock | str:
    """Lock of the one writer, taken; or the reason why there is none."""
    # Beside the database, not on it: SQLite's own locks live there. Not by thread: the window may close from another.
    lock = FileLock(path.with_name("project.lock"), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return "the project is being edited in another window, on this or another computer"
    except OSError as error:
        if error.errno not in _NO_WRITE_ACCESS:
            raise
        return "the project's folder may not be written"
    return lock


def _connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    absolute = path.absolute().as_posix()
    # file:///C:/... and file:////server/share/... : SQLite takes a drive or share only behind an empty host.
    uri = "file://" + quote(absolute if absolute.startswith("/") else "/" + absolute)
    uri += f"?mode={mode}" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _connect_to_write(path: Path, create: bool) -> sqlite3.Connection | None:
    """Open the file for the holder of the lock; None if it may only be read."""
    connection = _connect(path, "rwc" if create else "rw")
    try:
        if create and not _has_tables(connection):
            _create_tables(connection)
        _check_format(connection, path)
        if _can_write(connection):
            _prepare_writer(connection, path)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _connect_to_read(path: Path) -> tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str] | None]:
    """Return a connection that cannot write, and the temporary copy it looks at, if one was needed."""
    connection = _connect(path, "ro")
    try:
        _has_tables(connection)
        return connection, None
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    except BaseException:
        connection.close()
        raise
    # In WAL mode even reading wants to write a -shm file beside the database. Where the folder forbids
    # it nobody can be writing, and the file may be read as it is; unless edits are still in the -wal.
    wal = path.with_name(path.name + "-wal")
    if not (wal.exists() and wal.stat().st_size):
        return _connect(path, "ro", immutable=True), None
    copy = tempfile.TemporaryDirectory(prefix="cinema-project-")
    try:
        for source in (path, wal):
            shutil.copyfile(source, Path(copy.name) / source.name)
        connection = _connect(Path(copy.name) / path.name, "rw")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.cleanup()
        raise
    return connection, copy


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    found_application = connection.execute("PRAGMA application_id").fetchone()[0]
    found_format = connection.execute("PRAGMA user_version").fetchone()[0]
    if not _has_tables(connection):
        raise ProjectError(f"{path.name} in {path.parent} is empty: the project was never made. Make a new one there.")
    if found_application != APPLICATION_ID:
        raise ProjectError(
            f"{path.name} in {path.parent} is the database of another program. Choose a folder NAME.cinema."
        )
    if found_format > FORMAT:
        raise ProjectError(
            f"The project {path.parent} is of a newer napari-cinema (format {found_format}, this program knows "
            f"up to {FORMAT}); nothing was changed. Update napari-cinema to open it."
        )


def _can_write(connection: sqlite3.Connection) -> bool:
    # SQLite opens a protected file for reading without a word, and BEGIN IMMEDIATE succeeds on it too:
    # only a write tells. This one is never committed.
    connection.execute("BEGIN")
    try:
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        return False
    finally:
        connection.execute("ROLLBACK")
    return True


def _prepare_writer(connection: sqlite3.Connection, path: Path) -> None:
    # Damage is found before new edits are written on top of it; measured at 20 ms for 20,000 slices.
    if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise ProjectError(
            f"{path.name} in {path.parent} is damaged ({found.splitlines()[-1]}); it was left as it is. "
            "Put a copy from your backup in its place."
        )
    # WAL: onlookers read while the window writes. FULL: a commit is on the disk before it is acknowledged.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    _upgrade(connection)


def _script(name: str) -> str:
    return files("cinema_core.project").joinpath(name).read_text(encoding="utf-8")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring an older project to the present format; killed here, it is still of the older one."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in _ADDED.items():
        if found < number:
            connection.executescript(f"BEGIN; PRAGMA user_version = {number};\n{_script(script)}\nCOMMIT;")


def _create_tables(connection: sqlite3.Connection) -> None:
    schema = "".join(map(_script, ("schema.sql", *_ADDED.values())))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # One script in one transaction: a program killed here leaves an empty file, never half a schema.
    try:
        connection.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};\n{schema}\nCOMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
