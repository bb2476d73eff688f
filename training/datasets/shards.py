"""Shards: the cines of many studies in few large files, for cohorts of more files than a file system likes.

A shard is a tar file in the form of WebDataset: files of a study stand together under a number of their own, as
``00000012.sax.nii.gz``, with its name in ``00000012.json``. Beside it lies an index that says where each file begins,
so that any study is read at once: a stream would tie the order of studies to that of the disk.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import math
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from pydantic import BaseModel, ValidationError

from cinema_core.disk import disk_errors
from cinema_core.errors import InputError, StudyError
from training.datasets.preparing import write_text

log = logging.getLogger(__name__)

STEM: Final = "cines"
PER_SHARD: Final = 100
"""Studies of a shard: one to three gigabytes."""

Files = Mapping[str, Mapping[str, Path]]
"""Files by view, by the name of the study."""


@dataclass(frozen=True)
class Packed:
    """A file within a shard.

    Attributes
    ----------
    study
        Name of the study that it belongs to.
    name
        Its own in the shard.
    at
        Byte of the shard at which its header stands.
    """

    shard: Path
    study: str
    name: str
    at: int

    def __str__(self) -> str:
        return f"{self.name} (study {self.study}) in the shard {self.shard}"

    @contextmanager
    def opened(self) -> Iterator[IO[bytes] | gzip.GzipFile]:
        """Open it to be read, unpacked as it is read.

        Raises
        ------
        StudyError
            If another file stands there, or none.
        """
        with self.shard.open("rb") as whole:
            whole.seek(self.at)
            shard = tarfile.TarFile(fileobj=whole)  # reads the header that stands here
            member = shard.next()
            if member is None or member.name != self.name:
                raise StudyError(f"{self} is not where its index says. Copy both again, or write the shards anew.")
            content = shard.extractfile(member)
            assert content is not None  # the writer puts in regular files only
            with content, gzip.open(content) if self.name.endswith(".gz") else content as file:
                yield file


class _Entry(BaseModel, frozen=True, extra="forbid"):
    """Where the files of a study stand: name and byte by view."""

    study: str
    files: dict[str, tuple[str, int]]


class _Index(BaseModel, frozen=True, extra="forbid"):
    """What lies beside a shard."""

    form: Literal[1] = 1
    whole: str
    """Hash of what all shards of a cohort have in common."""
    number: int
    n_shards: int
    n_bytes: int
    """Of the shard."""
    sources: str
    """Hash of the names, sizes and times of the files that went in."""
    studies: tuple[_Entry, ...]


def write_shards(found: Files, out: Path, *, per_shard: int = PER_SHARD, unpack: bool = False) -> int:
    """Write studies into shards; one that is there already, from the same files, is kept. Returns their number.

    Each file is read to its end first, so that a damaged one is told now and not in the middle of a training.

    Parameters
    ----------
    found
        Files by view, by the name of the study; they are packed in this order.
    per_shard
        Studies of a shard.
    unpack
        Store what was compressed as it is without: larger, but one phase is then read at once.

    Raises
    ------
    InputError
        If the folder holds shards of other studies.
    StudyError
        If a file is damaged or no NIfTI image.
    StorageError
        If the disk refuses; the shards that are written by then are kept.
    """
    studies = list(found.items())
    parts = [studies[k : k + per_shard] for k in range(0, len(studies), per_shard)]
    whole = _hash([unpack, per_shard, *found])
    with disk_errors(f"Nothing could be written to {out}"):
        out.mkdir(parents=True, exist_ok=True)
    others = [path for path in sorted(out.glob(f"{STEM}-*.json")) if _read_index(path).whole != whole]
    if others:
        raise InputError(f"{others[0]} belongs to shards of other studies, or of other options. Choose another folder.")
    for number, part in enumerate(parts):
        shard = out / f"{STEM}-{number:05d}.tar"
        sources = _hash([[name, view, *_stated(path)] for name, files in part for view, path in files.items()])
        if not _is_there(shard, sources):
            entries = _write_shard(shard, number * per_shard, part, unpack)
            index = _Index(
                whole=whole,
                number=number,
                n_shards=len(parts),
                n_bytes=shard.stat().st_size,
                sources=sources,
                studies=entries,
            )
            write_text(shard.with_suffix(".json"), index.model_dump_json() + "\n")
        log.info("%s, %d of %d", shard.name, number + 1, len(parts))
    return len(parts)


def read_shards(folder: Path) -> dict[str, dict[str, Packed]]:
    """Say where the files of each study stand, by its name and by view, in the order in which they were packed.

    Raises
    ------
    InputError
        If there is no shard, one is missing, cut short or of another set.
    """
    indices = sorted((_read_index(path) for path in sorted(folder.glob(f"{STEM}-*.json"))), key=lambda i: i.number)
    if not indices:
        raise InputError(f"{folder} holds no shards ({STEM}-*.tar and .json). Write them: python -m training.shards.")
    if len({index.whole for index in indices}) > 1:
        raise InputError(f"{folder} holds shards of several cohorts. Give each a folder of its own.")
    n_shards = indices[0].n_shards
    missing = sorted(set(range(n_shards)) - {index.number for index in indices})
    if missing:
        raise InputError(
            f"{len(missing)} of {n_shards} shards in {folder} are missing, the first is {_name(missing[0])}. "
            "Copy them again, or give the command that writes them again."
        )
    found: dict[str, dict[str, Packed]] = {}
    for index in indices:
        shard = folder / _name(index.number)
        _refuse_cut(shard, index)
        for entry in index.studies:
            found[entry.study] = {
                view: Packed(shard, entry.study, name, at) for view, (name, at) in entry.files.items()
            }
    return found


def _name(number: int) -> str:
    return f"{STEM}-{number:05d}.tar"


def _refuse_cut(shard: Path, index: _Index) -> None:
    n_bytes = shard.stat().st_size if shard.is_file() else 0
    if n_bytes != index.n_bytes:
        raise InputError(
            f"{shard} has {n_bytes} bytes, {index.n_bytes} were written: it is cut short or changed. Copy it again, or "
            "remove it with its index and give the command that writes shards again."
        )


def _write_shard(
    shard: Path, first: int, studies: Sequence[tuple[str, Mapping[str, Path]]], unpack: bool
) -> tuple[_Entry, ...]:
    """Write a shard whole or not at all; returns where its files stand."""
    partial_file = shard.with_name(f".partial-{shard.name}")
    names: dict[str, dict[str, str]] = {}
    with disk_errors(f"{shard} could not be written"):
        try:
            with tarfile.open(partial_file, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, (study, files) in enumerate(studies, start=first):
                    _add(tar, f"{number:08d}.json", json.dumps({"study": study}).encode())
                    names[study] = {}
                    for view, path in files.items():
                        content, ending = _content(path, unpack)
                        names[study][view] = f"{number:08d}.{view}{ending}"
                        _add(tar, names[study][view], content)
            with tarfile.open(partial_file) as tar:
                at = {member.name: member.offset for member in tar}
            os.replace(partial_file, shard)
        finally:
            partial_file.unlink(missing_ok=True)
    return tuple(
        _Entry(study=study, files={view: (name, at[name]) for view, name in files.items()})
        for study, files in names.items()
    )


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without time and owner: the same studies make the same shard
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _content(path: Path, unpack: bool) -> tuple[bytes, str]:
    """Bytes of a file as they are stored, and the ending of its name there."""
    try:
        stored = path.read_bytes()
        packed = path.name.endswith(".gz")
        plain = gzip.decompress(stored) if packed else stored
        image: Any = nib.Nifti1Image.from_bytes(plain)
        if len(plain) < image.dataobj.offset + image.header.get_data_dtype().itemsize * math.prod(image.shape):
            raise StudyError(f"{path} is cut short. Prepare it again.")
    except (OSError, EOFError, zlib.error, ValueError, ImageFileError) as error:
        raise StudyError(f"{path} is cut short, damaged or no NIfTI image ({error}). Prepare it again.") from error
    return (stored, ".nii.gz") if packed and not unpack else (plain, ".nii")


def _is_there(shard: Path, sources: str) -> bool:
    try:
        index = _read_index(shard.with_suffix(".json"))
        return index.sources == sources and shard.stat().st_size == index.n_bytes
    except (InputError, OSError):
        return False  # never written, or not whole: it is written anew


def _read_index(path: Path) -> _Index:
    try:
        return _Index.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path} is no index of a shard. Copy it again, or remove it and give the command that writes shards again."
        ) from error


def _stated(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_size, stat.st_mtime_ns


def _hash(stated: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()
