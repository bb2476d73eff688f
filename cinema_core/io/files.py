"""What the reader pointed at, as files: a folder with its subfolders, a DICOMDIR, a zip, a file, a list of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from cinema_core.errors import StudyError
from cinema_core.io.study import RefusedFile

DICOMDIR: Final = "DICOMDIR"

MAX_MEMBER_BYTES: Final = 1 << 30
"""An MR object of more than 1 GiB inside an archive is a mistake or an attack; it would be unpacked in memory."""

MAX_COMPRESSION: Final = 200
"""Images shrink 2 to 10 fold; a member that grows more than this when unpacked is no image (a "zip bomb")."""

IGNORED: Final = {"thumbs.db", "desktop.ini", ".ds_store", "__macosx"}
"""What Windows and macOS leave in folders; not worth a line in a report."""


@dataclass(frozen=True)
class SourceFile:
    """A file, or a member of a zip archive.

    Attributes
    ----------
    path
        The file; for a member, the archive's path with the member's behind it.
    """

    path: Path
    _archive: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)
    _member: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.path.name

    @property
    def is_in_archive(self) -> bool:
        """Whether it must be unpacked to be read."""
        return self._archive is not None

    def open(self) -> BinaryIO:
        """Open for reading; a member is unpacked in memory, never on the disk.

        Raises
        ------
        OSError
            If it cannot be read, or the archive is damaged or locked with a password.
        """
        if self._archive is None:
            return self.path.open("rb")
        try:
            return io.BytesIO(self._archive.read(self._member))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise OSError("it cannot be unpacked; the archive is damaged or locked") from error

    def n_bytes(self) -> int:
        """Size of the file, unpacked."""
        return self.path.stat().st_size if self._archive is None else self._archive.getinfo(self._member).file_size


@dataclass(frozen=True)
class Listing:
    """The files to look at, and those that are not worth opening."""

    files: tuple[SourceFile, ...]
    refused: tuple[RefusedFile, ...] = ()


@contextmanager
def listed(places: Path | Sequence[Path]) -> Iterator[Listing]:
    """List the files below some places, in one order whatever the file system; archives stay open meanwhile.

    Parameters
    ----------
    places
        Folders (with their subfolders), DICOMDIR files, zip archives, files.

    Raises
    ------
    StudyError
        If a place does not exist, or an archive cannot be opened.
    """
    found: list[SourceFile] = []
    refused: list[RefusedFile] = []
    with ExitStack() as archives:
        for place in [places] if isinstance(places, Path) else places:
            for path in _below(place, refused):
                if is_zip(path):
                    files, bad = _members(path, archives)
                    found += files
                    refused += bad
                else:
                    found.append(SourceFile(path))
        once = {str(file.path): file for file in found}
        yield Listing(tuple(once.values()), tuple(refused))


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive by its name."""
    return path.suffix.lower() == ".zip"


def _below(place: Path, refused: list[RefusedFile]) -> Iterable[Path]:
    if not place.exists():
        raise StudyError(f"There is no file or folder {place}. Check the path.")
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file() and not _is_ignored(path.relative_to(place)))
    if place.name.upper() == DICOMDIR:
        return _listed_in_directory(place, refused)
    return [place]


def _is_ignored(path: Path | PurePosixPath) -> bool:
    return any(part.lower() in IGNORED or part.startswith("._") for part in path.parts)


def _listed_in_directory(path: Path, refused: list[RefusedFile]) -> list[Path]:
    """Files that a DICOMDIR names; it writes them in capitals, which a copied disc may have lost."""
    from pydicom import dcmread  # here: a NIfTI file opens without pydicom

    from cinema_core.io.dicom_headers import tolerant_pydicom

    try:
        with tolerant_pydicom():
            records = dcmread(path).get("DirectoryRecordSequence") or []
            named = [record.get("ReferencedFileID") for record in records]
    # A damaged directory can make pydicom fail in many ways.
    except Exception as error:
        raise StudyError(
            f"{path} is not a DICOM directory that can be read ({type(error).__name__}). Open its folder instead."
        ) from error
    in_lower_case = {str(file.relative_to(path.parent)).lower(): file for file in path.parent.rglob("*")}
    files = []
    for parts in filter(None, named):
        wanted = Path(*([parts] if isinstance(parts, str) else map(str, parts)))
        file = in_lower_case.get(str(wanted).lower())
        if file is not None and file.is_file():
            files.append(file)
        else:
            refused.append(RefusedFile(str(path.parent / wanted), "named in the DICOMDIR but not there"))
    if not files:
        raise StudyError(f"{path} names no file that is there. Copy the whole disc, or open its folder.")
    return files


def _members(path: Path, archives: ExitStack) -> tuple[list[SourceFile], list[RefusedFile]]:
    try:
        archive = archives.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, OSError) as error:
        raise StudyError(f"{path} is not a zip archive that can be opened. Copy it again, or unpack it.") from error
    files: list[SourceFile] = []
    refused: list[RefusedFile] = []
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        inside = PurePosixPath(info.filename)
        if info.is_dir() or _is_ignored(inside):
            continue
        # Only shown and compared, never written to: a member called ../../x does no harm.
        file = SourceFile(path / inside, archive, info.filename)
        reason = _why_not_unpacked(info)
        if reason:
            refused.append(RefusedFile(str(file.path), reason))
        else:
            files.append(file)
    return files, refused


def _why_not_unpacked(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "locked with a password; unpack the archive first"
    if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_COMPRESSION * max(info.compress_size, 1024):
        return f"it would grow to {info.file_size / 2**20:.0f} MB when unpacked, which is no MR image"
    if info.filename.lower().endswith(".zip"):
        return "an archive within an archive; unpack it first"
    return ""
