"""Ask where images are now, without standing in the way of the study on show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from qtpy.QtWidgets import QFileDialog, QWidget

from cinema_app.moved_images import remember_place, was_a_file
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.widgets.status import StatusPanel
from cinema_core.errors import CinemaError
from cinema_core.io import Study
from cinema_core.project import StudyRecord

FIND: Final = "Find the images…"
FIND_TIP: Final = "Say where they are now; they are believed by their content, not by their name"

Read = Callable[[Path, str, Callable[[Study], None], Callable[[], None]], None]


class MovedImages:
    """Offers to find images, beside the line that says that they are gone.

    Parameters
    ----------
    read
        Called with a place, the pseudonym of the study to read there, what to do with it, and what if it is not there.
    """

    def __init__(self, reading: Reading, status: StatusPanel, read: Read, parent: QWidget) -> None:
        self._reading = reading
        self._status = status
        self._read = read
        self._parent = parent

    def offer(self, records: Sequence[StudyRecord], then: Callable[[Study], None]) -> None:
        """Say that the images of a study are gone, and offer to find them.

        Parameters
        ----------
        records
            Cines of one study, whose images lay at one place.
        then
            Called with the study as it was read there, once its images are known to be the same.
        """
        first = records[0]
        self._reading.notify(
            f"The images of {first.study_id} are no longer at {first.image_path}. Its labels are safe in the project. "
            "Say where the images are now, or connect the drive again.",
            Severity.ERROR,
        )
        self._offer_again(records, then)

    def _offer_again(self, records: Sequence[StudyRecord], then: Callable[[Study], None]) -> None:
        self._status.offer(FIND, FIND_TIP, lambda: self._ask(records, then))

    def _ask(self, records: Sequence[StudyRecord], then: Callable[[Study], None]) -> None:
        first = records[0]
        title = f"Where are the images of {first.study_id} now?"
        if was_a_file(first.image_path):
            place, _ = QFileDialog.getOpenFileName(self._parent, title)
        else:
            place = QFileDialog.getExistingDirectory(self._parent, title)
        if place:
            study = first.study_id.partition(".")[0]
            self._read(
                Path(place),
                study,
                lambda found: self._found(records, found, then),
                lambda: self._offer_again(records, then),
            )
        else:
            self._offer_again(records, then)

    def _found(self, records: Sequence[StudyRecord], study: Study, then: Callable[[Study], None]) -> None:
        try:
            remember_place(self._reading.project, records, study)
        except CinemaError as error:  # a full disk, too
            self._reading.notify(str(error), Severity.ERROR)
            self._offer_again(records, then)
        else:
            then(study)
