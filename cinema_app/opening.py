"""Open a study for a reader: as the core does it, and with a note of whose it is on this computer alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cinema_core.errors import StorageError
from cinema_core.io import Study, load_study

log = logging.getLogger(__name__)


def open_study(path: Path | str, **options: Any) -> Study:
    """Open a study and remember whose it is, for ``cinema whois``.

    Parameters
    ----------
    path, options
        As for :func:`cinema_core.io.load_study`, with its errors. That the map of identities cannot be written is
        logged and stops nobody from reading.
    """
    from cinema_core.io.identities import Identities

    study = load_study(path, **options)
    try:
        Identities().remember(study)
    except StorageError as error:
        log.warning("%s", error)
    return study


def person_of(study: Study) -> str:
    """Pseudonym of the person, the same for all of their studies that were opened here; empty if that is not known."""
    from cinema_core.io.identities import Identities

    try:
        return Identities().person(study.id)
    except StorageError as error:
        log.warning("%s", error)
        return ""
