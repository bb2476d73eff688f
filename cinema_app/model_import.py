"""Bring a model from elsewhere into the project: looked at here, checked by the engine, listed once it is whole."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.work import WorkEnd
from cinema_core.cards import BUNDLED, BUNDLED_MAE, PUBLISHED_NAME, WEIGHTS_FILE, ModelCard, check_name, list_models
from cinema_core.disk import disk_errors
from cinema_core.engine.messages import ImportModelRequest
from cinema_core.errors import CinemaError, InputError
from cinema_core.incoming import Incoming
from cinema_core.published import PUBLISHED, families

if TYPE_CHECKING:
    from cinema_core.engine.client import Job

_OF_VERSIONS: Final = re.compile(r"v\d{3,}")
"""Names that a project gives its own versions."""

LONGEST_NAME: Final = 64


class ModelImport:
    """Import of models into a reading's project.

    Hidden rules, and why:

    * An imported model is only listed: what it does here nobody has measured, so the reader puts it in use.
    * Nothing is overwritten, and a model of which anything is wrong leaves no file.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def why_not_now(self) -> str:
        """Tell why no model can be imported, for the reader; empty if one can."""
        if self._reading.project.read_only:
            return "The project is open in another window."
        return "The engine is still at work." if self._reading.work.busy else ""

    def why_not_named(self, name: str) -> str:
        """Tell why a model cannot be called so, for the reader; empty if it can."""
        try:
            check_name(name)
        except InputError as error:
            return str(error)
        if _OF_VERSIONS.fullmatch(name):
            return f"{name} is a name of versions that are made in this project. Choose another name."
        # Some disks do not tell capital letters from small ones.
        if name.casefold() in self._taken() or (self._reading.project.models_folder / name).exists():
            return f"There is a model {name} already. Choose another name."
        return ""

    def proposed_name(self, incoming: Incoming) -> str:
        """Name for a model: that of its card, its folder or its file, made different from all that are here."""
        weights = incoming.weights
        found = weights.absolute().parent.name if weights.name == WEIGHTS_FILE else weights.stem
        own = incoming.card.name if incoming.card else found
        own = re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-._")[: LONGEST_NAME - 12] or "model"
        own = f"{own}-imported" if _OF_VERSIONS.fullmatch(own) else own
        names = (own, *(f"{own}-{number}" for number in range(2, 1000)))
        return next((name for name in names if not self.why_not_named(name)), own)

    def begin(self, incoming: Incoming, name: str) -> Job:
        """Let the engine copy, check and load a model; it is listed when that went well.

        Parameters
        ----------
        incoming
            From :func:`cinema_core.incoming.look_at`.
        name
            How the model will be called here.

        Raises
        ------
        CinemaError
            If the name cannot be used, the project may not be written, or the engine is at work.
        """
        if why := self.why_not_now() or self.why_not_named(name):
            raise CinemaError(why)
        project = self._reading.project
        staging = project.trials_folder / f".import-{uuid4().hex[:8]}"
        job = self._reading.work.engine.submit(ImportModelRequest(incoming, name, staging))

        def take(card: ModelCard) -> None:
            try:
                self._settle_in(staging, card)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

        def ended(end: WorkEnd) -> None:
            if end.outcome is None:
                shutil.rmtree(staging, ignore_errors=True)  # an engine that was killed cannot clear up itself

        self._reading.work.follow(job, take, ended)
        return job

    def _settle_in(self, staging: Path, card: ModelCard) -> None:
        """Put a model that was checked among those of the project, and say so."""
        if why := self.why_not_named(card.name):
            raise CinemaError(f"The model was not imported. {why}")
        project = self._reading.project
        with disk_errors(f"The model {card.name} could not be put among those of the project"):
            os.replace(staging, project.models_folder / card.name)
        project.log_event("model imported", {"model": card.name, "sha256": card.sha256})
        self._reading.events.model_changed.emit()
        why_not = self._reading.learning.why_not_here(card.name)
        self._reading.notify(
            f"Model {card.name} was imported. "
            + (why_not or "It is not in use yet: choose it in the list of models, and press Use."),
            Severity.WARNING if why_not else Severity.INFO,
        )

    def _taken(self) -> set[str]:
        project = self._reading.project
        names = {BUNDLED, BUNDLED_MAE, PUBLISHED_NAME, *PUBLISHED, *families()}
        # Versions that were removed, too: reports may cite them.
        names |= {version.name for version in project.versions()}
        names |= {card.name for card in list_models(project.models_folder)}
        return {name.casefold() for name in names}
