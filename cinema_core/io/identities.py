"""Whose study a pseudonym is: a file on this computer, beside no result and part of no export."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout
from platformdirs import user_data_path
from pydantic import BaseModel, Field, ValidationError

from cinema_core.disk import disk_errors
from cinema_core.errors import StorageError
from cinema_core.io.dicom_headers import read_dataset, tolerant_pydicom
from cinema_core.io.study import Study

VARIABLE: Final = "CINEMA_IDENTITIES"
"""Environment variable with another place for the file, or ``off``: then nobody's name is kept."""

LOCK_S: Final = 10.0

_ATTRIBUTES: Final = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "study_date": "StudyDate",
}


class Identity(BaseModel, frozen=True, extra="forbid"):
    """Whose study it is, as its files said when they were opened."""

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    study_date: str = ""
    path: str = ""
    """Where it was opened from last."""
    copy_of: str = ""
    """Pseudonym of the study that this is a de-identified copy of."""
    seen: str = ""
    """When it was opened last (UTC)."""


class _File(BaseModel, extra="forbid"):
    format: Literal["cinema-identities-1"] = "cinema-identities-1"
    key: str = Field(default_factory=lambda: secrets.token_hex(32))
    studies: dict[str, Identity] = Field(default_factory=dict)


class Identities:
    """The map from pseudonyms to persons, and the secret key of de-identified copies.

    Parameters
    ----------
    path
        The file; None for the user's own, which :data:`VARIABLE` can move or switch off.
    """

    def __init__(self, path: Path | None = None) -> None:
        wanted = os.environ.get(VARIABLE, "")
        self.is_kept = path is not None or wanted.lower() != "off"
        self.path = path or (Path(wanted) if wanted and self.is_kept else default_path())

    @property
    def key(self) -> bytes:
        """Secret that the UIDs of de-identified copies follow from; made when it is first needed.

        Raises
        ------
        StorageError
            If the file cannot be read or written.
        """
        if not self.is_kept:
            return secrets.token_bytes(32)
        with self._changed() as content:
            return bytes.fromhex(content.key)

    def find(self, pseudonym: str) -> Identity | None:
        """Whose study a pseudonym is; None if it was never opened here.

        Raises
        ------
        StorageError
            If the file cannot be read.
        """
        return self._read().studies.get(pseudonym) if self.is_kept else None

    def person(self, pseudonym: str) -> str:
        """Return the pseudonym of the person of a study, the same for all of the person's studies opened here.

        It follows from the patient ID and the secret key; empty if the files did not tell, or nobody's name is kept.

        Raises
        ------
        StorageError
            If the file cannot be read or written.
        """
        found = self.find(pseudonym)
        if found is None or not found.patient_id:
            return ""
        return f"person-{hmac.new(self.key, f'person {found.patient_id}'.encode(), hashlib.sha256).hexdigest()[:12]}"

    def remember(self, study: Study) -> None:
        """Note whose study was opened, if its files tell; nothing else keeps this.

        Raises
        ------
        StorageError
            If the file cannot be read or written.
        """
        source = next((source for cine in study.cines for source in cine.sources.values()), None)
        if source is not None:  # NIfTI never says whose it is
            self.remember_file(study.id, source.path, study.path)

    def remember_file(self, pseudonym: str, file: Path, opened_from: Path) -> None:
        """Note whose study a DICOM file belongs to.

        Parameters
        ----------
        file
            Any of the study. Of one within an archive only the place is noted.

        Raises
        ------
        StorageError
            If the map cannot be read or written.
        """
        if not self.is_kept:
            return
        identity = Identity(**_said_in(file), path=str(opened_from.absolute()), seen=_now())
        with self._changed() as content:
            known = content.studies.get(pseudonym)
            if known is not None:
                identity = identity.model_copy(update={"copy_of": known.copy_of})
            content.studies[pseudonym] = identity

    def remember_copy(self, original: str, copy: str) -> None:
        """Note of which study another is a de-identified copy.

        Raises
        ------
        StorageError
            If the file cannot be read or written.
        """
        if not self.is_kept:
            return
        with self._changed() as content:
            known = content.studies.get(copy, Identity())
            content.studies[copy] = known.model_copy(update={"copy_of": original, "seen": _now()})

    def forget(self, pseudonym: str) -> bool:
        """Take a study out of the map; return whether it was there.

        Raises
        ------
        StorageError
            If the file cannot be read or written.
        """
        if not self.is_kept or self.find(pseudonym) is None:
            return False
        with self._changed() as content:
            return content.studies.pop(pseudonym, None) is not None

    @contextmanager
    def _changed(self) -> Iterator[_File]:
        """Give the content to change, and store it; other running copies of the program wait."""
        with disk_errors(f"The map of identities {self.path} cannot be written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(self.path.with_suffix(".lock"), timeout=LOCK_S):
                    content = self._read()
                    before = content.model_dump_json() if self.path.exists() else ""
                    yield content
                    if content.model_dump_json() != before:
                        self._write(content)
            except Timeout as error:
                raise StorageError(
                    f"The map of identities {self.path} is held by another program. Close it and try again."
                ) from error

    def _read(self) -> _File:
        if not self.path.exists():
            return _File()
        try:
            return _File.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(
                f"The map of identities {self.path} is damaged or cannot be read. Move it away; a new one is begun."
            ) from error

    def _write(self, content: _File) -> None:
        partial = self.path.with_suffix(".partial")
        # Readable for this user alone from its first byte on, where the system knows such rights.
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(content.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, self.path)


def default_path() -> Path:
    """Return the place of the user's own file."""
    return user_data_path("napari-cinema", appauthor=False) / "identities.json"


def _said_in(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        with tolerant_pydicom(), file.open("rb") as stream:
            data = read_dataset(stream, stop_before_pixels=True)
            return {name: str(data.get(keyword) or "") for name, keyword in _ATTRIBUTES.items()}
    # It was read a moment ago; whatever is wrong now must not stop the reading of the study.
    except Exception:
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
