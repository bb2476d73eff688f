"""What the queues go by, of all studies of a project: from the labels it keeps, without any image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState, Structure
from cinema_core.learn.select import SliceFacts, slice_facts
from cinema_core.learn.teach import SLICES_PER_STUDY
from cinema_core.project import PhaseChoice, Project


@dataclass(frozen=True)
class FactsKey:
    """What facts of a study rest on: while it is the same, so are they.

    Attributes
    ----------
    journal_position
        Newest row of the study.
    ed_es
        Phases that were chosen; empty if nobody chose.
    """

    study_id: str
    journal_position: int
    ed_es: tuple[int, ...]


class ProjectFacts:
    """Facts for teaching of the project's short-axis studies, kept until something of a study changes.

    To look at a study takes a tenth of a second: :func:`facts_for_teaching` may do so in another thread, and
    :meth:`keep` takes what it found.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._kept: dict[str, tuple[FactsKey, list[SliceFacts]]] = {}

    def keys(self) -> list[FactsKey]:
        """Studies with labels, in the order in which they were added, as they are now; quick."""
        with self._project.unchanging():
            positions = self._project.journal_positions()
            names = [record.study_id for record in self._project.short_axis_studies()]
            return [
                FactsKey(name, positions[name], chosen_ed_es(self._project.phases(name)))
                for name in names
                if name in positions
            ]

    def missing(self, besides: str = "") -> list[FactsKey]:
        """Studies that have to be looked at first.

        Parameters
        ----------
        besides
            Study that is not asked for: of the open one the reading knows more.
        """
        return [key for key in self.keys() if key.study_id != besides and not self._is_kept(key)]

    def keep(self, found: Mapping[FactsKey, list[SliceFacts]]) -> None:
        """Keep what was found."""
        self._kept |= {key.study_id: (key, facts) for key, facts in found.items()}

    def of_all(self, open_study: str = "", open_facts: Iterable[SliceFacts] = ()) -> list[SliceFacts]:
        """Facts of all slices; what is missing is looked at now.

        Parameters
        ----------
        open_study, open_facts
            Study whose facts are known.
        """
        self.keep(facts_for_teaching(self._project, self.missing(open_study)))
        known = [key.study_id for key in self.keys()]
        facts = list(open_facts)
        for name in known:
            if name != open_study:
                facts += self._kept[name][1]
        return facts

    def _is_kept(self, key: FactsKey) -> bool:
        return key.study_id in self._kept and self._kept[key.study_id][0] == key


def facts_for_teaching(project: Project, keys: Iterable[FactsKey]) -> dict[FactsKey, list[SliceFacts]]:
    """Gather what the teach queue goes by; may run in another thread.

    Raises
    ------
    ProjectError
        If the project is closed or damaged.
    """
    return {key: _facts_of(project, key) for key in keys}


def _facts_of(project: Project, key: FactsKey) -> list[SliceFacts]:
    rows = project.slices(key.study_id, at=key.journal_position)
    labels = np.zeros(project.study(key.study_id).shape, dtype=np.uint8)
    states = {where: row.state for where, row in rows.items() if row.state is not LabelState.ABSENT}
    for where in states:
        labels[where] = rows[where].mask
    phases = sorted({t for t, _ in states})
    ed_es = key.ed_es or ed_es_by_area(labels, phases)
    first = sorted({*ed_es} & {*phases} | {t for (t, _), state in states.items() if state.is_teaching})
    # A thousand objects more would make Python look through all of napari's for garbage: a second, in any thread.
    facts = slice_facts(key.study_id, labels, None, states, ed_es, first, for_review=False)
    if not _has_its_share(facts):
        facts = slice_facts(key.study_id, labels, None, states, ed_es, phases, for_review=False)
    return that_may_teach(facts)


def that_may_teach(facts: Sequence[SliceFacts]) -> list[SliceFacts]:
    """Leave out, of one study's slices, those that the teach queue cannot come to.

    It takes few slices of a study, ED and ES first: other phases matter only where these have too few. Slices that a
    reader vouched for stay, because they count.
    """
    enough = _has_its_share(facts)
    return [
        fact
        for fact in facts
        if fact.state.is_teaching or (fact.level is not None and not (enough and fact.phases_from_ed_es))
    ]


def _has_its_share(facts: Sequence[SliceFacts]) -> bool:
    """Whether ED and ES alone have as many slices to label as the queue takes of a study."""
    open_ = [f for f in facts if f.level is not None and not f.state.is_teaching and f.phases_from_ed_es == 0]
    return len(open_) >= SLICES_PER_STUDY


def chosen_ed_es(choice: PhaseChoice | None) -> tuple[int, ...]:
    """ED and ES of a choice; empty if there is none."""
    return () if choice is None else (choice.ed_phase, choice.es_phase)


def ed_es_by_area(labels: NDArray[np.uint8], phases: Iterable[int]) -> tuple[int, ...]:
    """Phases at which the LV cavity covers most and fewest pixels; empty if fewer than two are drawn.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    phases
        Those that are drawn.
    """
    cavity_px = {t: int((labels[t] == Structure.LV_CAVITY).sum()) for t in phases}
    if len(cavity_px) < 2:
        return ()
    return max(cavity_px, key=lambda t: cavity_px[t]), min(cavity_px, key=lambda t: cavity_px[t])
