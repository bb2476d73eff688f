"""The model versions of a project: where each comes from, what it was good for, and what may be done with it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinema_app.reading import Reading
from cinema_core.cards import ModelCard, export_model, list_models_of, resolve_model
from cinema_core.engine.messages import SegmentOutcome, SegmentRequest
from cinema_core.errors import CheckpointError, CinemaError, ProjectError
from cinema_core.incoming import ancestors, is_imported, origin_of
from cinema_core.measure import study_measures
from cinema_core.project import Project, VersionRecord


@dataclass(frozen=True)
class VersionLine:
    """One model of the lineage.

    Attributes
    ----------
    name, title
        Name of the model, and what the reader calls it.
    depth
        Steps from the model that no version of the project was made from.
    n_slices, n_patients
        Labels that it learned from; None for a model that was not made here, or whose card is gone.
    dice_before, dice_after
        Mean Dice of base and version, on what the version was judged on.
    before, after
        All their figures (:meth:`cinema_core.learn.guard.Figures.to_json`); empty if it was not made here.
    judged_on
        What they were measured on; empty if that is not known.
    imported
        What is known of a model that was imported, in words; empty for others.
    label_set_sha256
        Hash of the labels that it learned from; empty if it was not made here.
    made_here
        Whether it is a version of this project.
    in_use
        Whether it draws for the open study, or for the project if none is open.
    stays_because
        Why it may not be removed; empty if it may.
    not_here_because
        Why it may not draw the open study; empty if it may.
    """

    name: str
    title: str
    depth: int
    n_slices: int | None
    n_patients: int | None
    dice_before: float | None
    dice_after: float | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    judged_on: str
    imported: str
    label_set_sha256: str
    made_here: bool
    in_use: bool
    stays_because: str
    not_here_because: str


class Versions:
    """Lineage of a reading's project, and what a reader may do with it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @property
    def _project(self) -> Project:
        return self._reading.project

    def lineage(self) -> list[VersionLine]:
        """Every base with the versions made from it below, oldest first."""
        kept = self._project.versions(removed=False)
        names = {version.name for version in kept}
        made_from = (version.base_name for version in kept if version.base_name not in names)
        bases = list(dict.fromkeys([*made_from, *(card.name for card in self._imported())]))
        current = self._reading.model
        if current not in names and current not in bases:
            bases.append(current)
        lines: list[VersionLine] = []

        def add(name: str, depth: int) -> None:
            own = next((version for version in kept if version.name == name), None)
            lines.append(self._line(name, depth, own, current))
            for version in kept:
                if version.base_name == name:
                    add(version.name, depth + 1)

        for base in bases:
            add(base, 0)
        return lines

    def _imported(self) -> list[ModelCard]:
        """Cards of the models that were imported into this project."""
        own = {version.name for version in self._project.versions()}
        cards = list_models_of(self._project.models_folder)
        return [card for card in cards if is_imported(card) and card.name not in own]

    def _line(self, name: str, depth: int, own: VersionRecord | None, current: str) -> VersionLine:
        imported = None if own else next((card for card in self._imported() if card.name == name), None)
        lineage = self._card_lineage(name) if own else {}
        return VersionLine(
            name=name,
            title=own.title if own else "",
            depth=depth,
            n_slices=lineage.get("n_slices"),
            n_patients=lineage.get("n_patients"),
            dice_before=own.before.get("dice", {}).get("mean") if own else None,
            dice_after=own.after.get("dice", {}).get("mean") if own else None,
            before=own.before if own else {},
            after=own.after if own else {},
            judged_on=str(lineage.get("validation", "")),
            imported=imported_words(imported) if imported else "",
            label_set_sha256=own.label_set_sha256 if own else "",
            made_here=own is not None,
            in_use=name == current,
            stays_because=self._why_it_stays(name, own, imported),
            not_here_because=self._reading.learning.why_not_here(name) if own or imported else "",
        )

    def _why_it_stays(self, name: str, own: VersionRecord | None, imported: ModelCard | None) -> str:
        if own:
            return self._project.what_rests_on(name)
        if imported:
            return self._project.what_rests_on_imported(name, imported.sha256)
        return "It was not made in this project."

    def _card_lineage(self, name: str) -> dict[str, Any]:
        try:
            return dict(resolve_model(name, project_models=self._project.models_folder).card.lineage)
        except CheckpointError:
            return {}

    def use(self, name: str) -> None:
        """Draw with a model from now on, where it may be used; see :meth:`Reading.choose_model`."""
        resolve_model(name, project_models=self._project.models_folder)
        self._reading.choose_model(name)

    def rename(self, name: str, title: str) -> None:
        """Call a version something; the name of its folder and in reports stays."""
        self._project.name_version(name, title)
        self._reading.events.model_changed.emit()

    def remove(self, name: str) -> None:
        """Give up the weights of a version or an imported model.

        Raises
        ------
        ProjectError
            If something rests on it.
        """
        imported = next((card for card in self._imported() if card.name == name), None)
        if imported is not None:
            if why := self._why_it_stays(name, None, imported):
                raise ProjectError(why)
            self._project.log_event("imported model removed", {"model": name, "sha256": imported.sha256})
            shutil.rmtree(self._project.models_folder / name, ignore_errors=True)
            self._reading.events.model_changed.emit()
            return
        self._project.remove_version(name)  # before the files: a record without files says so, the reverse would not
        shutil.rmtree(self._project.models_folder / name, ignore_errors=True)
        self._reading.events.model_changed.emit()

    def compare(self, name: str) -> None:
        """Let a model draw the open study, keep nothing of it, and say how the ejection fraction would differ.

        It is measured as if the reader had segmented with it: slices that they corrected or accepted stay. So do ED and
        ES: a finished report never changes by itself.

        Raises
        ------
        CinemaError
            If nothing is measured yet, or the engine is at work.
        """
        reading, cine, now = self._reading, self._reading.cine, self._reading.measure()
        if now is None:
            raise CinemaError("There is no ejection fraction to compare with. Segment the study first.")

        # As of now, like the figures that are compared with; another study may be open when the engine answers.
        choices = reading.report.choices
        readers = {
            where: label.mask
            for where, label in self._project.slices(reading.study_id).items()
            if label.state.is_teaching
        }

        def say(outcome: SegmentOutcome) -> None:
            labels = outcome.labels.copy()
            for where, mask in readers.items():
                labels[where] = mask
            phases = [t for t in outcome.phases if t not in cine.phases_with_gaps]
            other = study_measures(
                labels, cine, phases=phases, ed_phase=now.ed_phase, es_phase=now.es_phase, choices=choices
            )
            reading.notify(_difference(name, now.lv_ef_pct, other.function.lv_ef_pct, len(readers)))

        trial = reading.learning.trial
        # A model that waits for a decision lies apart from the others and has no name among them yet.
        model = str(trial.outcome.folder) if trial is not None and trial.name == name else name
        reading.work.ask(SegmentRequest(cine, model, self._project.models_folder), say)

    def export(self, name: str, folder: Path) -> Path:
        """Copy a model as ``FOLDER/NAME``; see :func:`cinema_core.cards.export_model`."""
        return export_model(name, folder, self._project.models_folder)


def imported_words(card: ModelCard) -> str:
    """Tell what an imported model is, and that its figures are not of this project's labels.

    All of it comes from a file that may be anybody's, so only what has the expected form is told.
    """
    there = origin_of(card).get("name")
    called = f" (there {there})" if isinstance(there, str) and there != card.name else ""
    said = f"{card.name}: imported{called}; not measured on this project's labels."
    chain = " ← ".join(link["name"] for link in ancestors(card))
    if not chain:
        return said
    counts = [(card.lineage.get("n_slices"), "slice"), (card.lineage.get("n_patients"), "patient")]
    learned = " of ".join(f"{n} {thing}{'' if n == 1 else 's'}" for n, thing in counts if isinstance(n, int))
    made = f" Fine-tuned from {chain}" + (f" on {learned}" if learned else "")
    old, new = (_mean_dice(card.lineage.get(when)) for when in ("before", "after"))
    figures = f": Dice there {old:.3f} → {new:.3f}" if old is not None and new is not None else ""
    return f"{said}{made}{figures}."


def _mean_dice(figures: object) -> float | None:
    dice = figures.get("dice") if isinstance(figures, Mapping) else None
    mean = dice.get("mean") if isinstance(dice, Mapping) else None
    return float(mean) if isinstance(mean, int | float) else None


def _difference(name: str, now_pct: float | None, then_pct: float | None, n_yours: int) -> str:
    """Tell the reader how one ejection fraction compares with another."""
    if now_pct is None or then_pct is None:
        return f"Model {name} draws no LV here, so there is no ejection fraction to compare."
    same = round(now_pct) == round(then_pct)
    words = f"stay at {now_pct:.0f} %" if same else f"change from {now_pct:.0f} to {then_pct:.0f} %"
    yours = f"all but your {n_yours} corrected or accepted slice{'s' if n_yours > 1 else ''}"
    return f"EF would {words} if {name} drew {yours if n_yours else 'every slice'} anew. Nothing was changed."
