"""Lead the reader along one of the two queues, to other studies too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from psygnal import Signal
from superqt.utils import create_worker

from cinema_app.layers import CineLayers
from cinema_app.news import Severity
from cinema_app.project_facts import FactsKey, facts_for_teaching
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_core.errors import CinemaError
from cinema_core.learn.select import Queue, SliceFacts, Suggestion
from cinema_core.project import Project

NOTHING_TO_CHECK: Final = "Every slice with a heart is accepted or corrected."
NOTHING_TO_TEACH: Final = (
    "This study has taught its share: slices of another study teach the model more. Open the next one."
)
ALL_HAVE_TAUGHT: Final = (
    "Every study of the project that is segmented has taught its share. Segment another one: it teaches the model more."
)

FAULT: Final = "The other studies could not be looked through because of a fault in the program."

OpenKept = Callable[[str, Callable[[], None], Callable[[], None]], bool]
"""Opens a study of the project and calls back once it is on show, or cannot be; returns whether that began."""

Place = tuple[str, int, int]
"""Study, phase and slice."""


class Leading:
    """Where the reader was led, and why.

    Hidden rules, and why:

    * What is known of other studies is gathered in another thread, and the reader led when that ends; not if another
      study was opened meanwhile.
    * A study that could not be opened keeps its rank. The next press passes over it, and comes back to it when the
      others are done: a drive may be connected again.

    Parameters
    ----------
    open_kept
        Opens another study of the project.
    """

    changed = Signal()
    """Another reason is to be shown, or none."""
    led = Signal()
    """The reader was led to a slice."""

    def __init__(self, reading: Reading, layers: CineLayers, open_kept: OpenKept) -> None:
        self._reading = reading
        self._layers = layers
        self._open_kept = open_kept
        self._last: Place | None = None
        self._along = Queue.REVIEW
        self._rank = 0
        self._words = ""
        self._on_the_way = False
        self._not_reached = False
        self._looking: Any = None
        self._is_closed = False
        reading.events.cine_changed.connect(self._forget)

    @property
    def reason(self) -> str:
        """Why the slice on show was suggested, or where the reader is being led; empty on any other slice."""
        if self._looking is not None:
            return "Looking through the other studies of the project…"
        on_show = self._reading.is_open and self._here == self._last
        return self._words if on_show or self._on_the_way else ""

    @property
    def _here(self) -> Place:
        return self._reading.study_id, *self._layers.here

    def close(self) -> None:
        """Lead nowhere any more: the panels go."""
        self._is_closed = True

    def go_to_next(self) -> None:
        """Show the slice on which most of the ejection fraction is at stake; from there on, the one after it."""
        self._go_along(self._reading.queues.to_review(), Queue.REVIEW, NOTHING_TO_CHECK)

    def go_to_next_to_teach(self) -> None:
        """Show the slice whose label teaches the model most, of any study; from there on, the one after it."""
        if self._looking is not None:
            return
        missing = self._reading.queues.project_facts.missing(self._reading.study_id)
        if not missing:
            self._go_along_teach_queue()
            return
        study_id = self._reading.study_id
        self._looking = create_worker(_look, self._reading.project, missing, _ignore_errors=True)
        self._looking.returned.connect(lambda found: self._looked(study_id, *found))
        self._looking.errored.connect(lambda _: self._looked(study_id, {}, FAULT))
        self._looking.start()
        self.changed.emit()

    def _looked(self, study_id: str, found: dict[FactsKey, list[SliceFacts]], trouble: str) -> None:
        if self._is_closed:
            return
        self._looking = None
        self._reading.queues.project_facts.keep(found)
        self.changed.emit()
        if trouble:
            self._reading.notify(trouble, Severity.ERROR)
        elif found and self._reading.study_id == study_id:
            answered(self._reading, self._go_along_teach_queue)()

    def _go_along_teach_queue(self) -> None:
        keys = self._reading.queues.project_facts.keys()
        others = any(key.study_id != self._reading.study_id for key in keys)
        self._go_along(self._reading.queues.to_teach(), Queue.TEACH, ALL_HAVE_TAUGHT if others else NOTHING_TO_TEACH)

    def _go_along(self, queue: Sequence[Suggestion], kind: Queue, nothing: str) -> None:
        if not queue:
            self._reading.notify(nothing)
            return
        k = self._next_rank(queue, kind)
        found, place = queue[k], _place(queue[k])
        what = f"{k + 1} of {len(queue)} to {'teach' if kind is Queue.TEACH else 'check'}"
        if found.study_id == self._reading.study_id:
            self._arrive(place, kind, k, f"{what}: {found.reason}")
            self._note(found)
        elif self._open_kept(
            found.study_id,
            lambda: self._arrive_elsewhere(found),
            self._stay,
        ):
            self._last, self._along, self._rank = place, kind, k
            self._on_the_way = True
            self._words = f"{what}: in {found.study_id}, which is being opened. {found.reason}"
            self.changed.emit()

    def _stay(self) -> None:
        """Stay here: the other study cannot be opened, and whoever tried has said why."""
        self._on_the_way, self._not_reached = False, True
        self.changed.emit()

    def _next_rank(self, queue: Sequence[Suggestion], kind: Queue) -> int:
        """Rank of the slice to go to: after the last one, if that is on show, or its study could not be opened."""
        places = [_place(found) for found in queue]
        if self._last is None or self._along is not kind:
            return 0
        if self._not_reached:
            after = [k for k in range(self._rank + 1, len(queue)) if queue[k].study_id != self._last[0]]
            return after[0] if after else 0
        if self._last != self._here:
            return 0
        # Corrected or accepted meanwhile, it has left the queue and the next took its place.
        return (places.index(self._last) + 1 if self._last in places else self._rank) % len(queue)

    def _arrive_elsewhere(self, found: Suggestion) -> None:
        """Arrive in a study that was opened for it, whose slices now stand first."""
        queue = self._reading.queues.to_teach() if self._reading.study_id == found.study_id else []
        places = [_place(suggestion) for suggestion in queue]
        k = places.index(_place(found)) if _place(found) in places else 0
        # Once it is labelled, the first of those that are left comes next.
        self._arrive(
            _place(found), Queue.TEACH, 0, f"{k + 1} of {len(queue)} to teach, in {found.study_id}: {found.reason}"
        )

    def _note(self, found: Suggestion) -> None:
        """Note that the reader was led to a slice by chance; who cannot note it still leads there."""
        try:
            self._reading.queues.note_led_to(found)
        except CinemaError as error:
            self._reading.notify(f"What becomes of this slice will not count. {error}", Severity.WARNING)

    def _arrive(self, place: Place, kind: Queue, rank: int, words: str) -> None:
        study_id, t, z = place
        self._on_the_way = self._not_reached = False
        if self._reading.study_id != study_id:
            return
        self._last, self._along, self._rank, self._words = place, kind, rank, words
        self._layers.go_to(t, z)
        self.led.emit()

    def _forget(self) -> None:
        """Say nothing of another cine: what was said of a slice was said of the last one."""
        self._last, self._words = None, ""
        self._on_the_way = self._not_reached = False
        self.changed.emit()


def _place(found: Suggestion) -> Place:
    return found.study_id, found.t, found.z


def _look(project: Project, keys: Sequence[FactsKey]) -> tuple[dict[FactsKey, list[SliceFacts]], str]:
    """Facts by study, or in one line why there are none; superqt takes a returned exception for a fault."""
    try:
        return facts_for_teaching(project, keys), ""
    except CinemaError as error:
        return {}, str(error)
