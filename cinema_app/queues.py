"""What a reader is to look at next, in the open study and in the others of its project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cinema_app.project_facts import ProjectFacts, that_may_teach
from cinema_core.anatomy import LabelState
from cinema_core.cine import View
from cinema_core.errors import CinemaError
from cinema_core.learn.select import SliceFacts, Suggestion, rank_for_review, slice_facts
from cinema_core.learn.teach import rank_for_teaching

if TYPE_CHECKING:
    from cinema_app.reading import Reading

TEACH_LONGEST: Final = 12
"""Slices in the teach queue: as many as are labelled before the model learns from them and draws anew."""


class Queues:
    """The review queue and the teach queue of a reading.

    Attributes
    ----------
    project_facts
        What the teach queue goes by, of the studies that are not open.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.project_facts = ProjectFacts(reading.project)

    def to_review(self) -> list[Suggestion]:
        """Slices that nobody vouched for, those first on which most of today's ejection fraction is at stake."""
        return rank_for_review(self._facts())

    def to_teach(self) -> list[Suggestion]:
        """Slices whose labels teach the model most, over all short-axis studies of the project that are drawn.

        Ranked together, few of each study. Then those of the open study come first, for to open another takes seconds:
        which study teaches counts for more than which of its slices is labelled first. Others follow by rank, the
        slices of one study together. Empty once every study has taught its share.

        Studies that :attr:`project_facts` misses are looked at here, which takes a tenth of a second each.
        """
        open_id = self._reading.study_id
        own = that_may_teach(self._facts(for_review=False)) if self._reading.cine.view is View.SAX else []
        facts = self.project_facts.of_all(open_id, own)
        ranked = rank_for_teaching(facts, limit=TEACH_LONGEST)
        order = {name: k for k, name in enumerate(dict.fromkeys([open_id, *(s.study_id for s in ranked)]))}
        return sorted(ranked, key=lambda found: order[found.study_id])

    def note_led_to(self, suggestion: Suggestion) -> None:
        """Note that the reader is led to a slice, if it was drawn at random: see :meth:`estimate`.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved.
        """
        if suggestion.by_chance:
            self._reading.project.note_random_suggestion(suggestion.study_id, suggestion.t, suggestion.z)

    def estimate(self) -> str:
        """Say how many slices drawn at random were accepted as the current model drew them; empty if too few were."""
        try:
            return self._reading.project.chance_estimate(self._reading.model_card.sha256).text
        except CinemaError:
            return ""  # the model's files are gone, or a row is damaged: others say so, and the hand goes on

    def _facts(self, *, for_review: bool = True) -> list[SliceFacts]:
        reading, cine, phases = self._reading, self._reading.cine, self._reading.phases
        drawn = [
            t
            for t in range(cine.n_phases)
            if any(reading.state(t, z) is not LabelState.ABSENT for z in range(cine.n_slices))
        ]
        facts = slice_facts(
            reading.study_id,
            reading.labels,
            reading.uncertainty,
            {(t, z): reading.state(t, z) for t in drawn for z in range(cine.n_slices)},
            (phases.ed_phase, phases.es_phase) if phases else (),
            drawn,
            reading.mirrors,
            for_review=for_review,
        )
        return [fact for fact in facts if cine.has_image(fact.t, fact.z)]
