"""Open studies in another thread, from wherever their images are, without standing in the way of the one on show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget
from superqt.utils import create_worker

from cinema_app.moved_images import studies_at
from cinema_app.news import Severity
from cinema_app.opening import open_study
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.moved_images import MovedImages
from cinema_app.widgets.status import StatusPanel
from cinema_core.cine import Cine
from cinema_core.errors import Cancelled, CinemaError, SeveralStudiesError, StudyError
from cinema_core.io import ImportChoices, Study
from cinema_core.io.worklist import Worklist, open_worklist
from cinema_core.progress import CancelToken, Progress
from cinema_core.project import StudyRecord

LOOK_EVERY_MS: Final = 80
"""How often the window looks how far the reading of files is."""

STOPPED: Final = "Opening was stopped; nothing was changed."
STILL_READING: Final = "Another study is still being read."

Show = Callable[[Study], None]
Choices = ImportChoices | Callable[[str], ImportChoices]
"""How a study is imported, or what tells it by the study's pseudonym."""


class Opener:
    """Reads one study at a time.

    Parameters
    ----------
    show
        Called in the window's thread with a study that was read, and which of its cines is wanted, if one is.
    list_studies
        Called with the studies of a folder that holds several.
    """

    started = Signal()
    """A study is about to be read."""

    def __init__(
        self,
        reading: Reading,
        status: StatusPanel,
        show: Callable[[Study, Cine | None], None],
        list_studies: Callable[[Worklist], None],
        parent: QWidget,
    ) -> None:
        self._reading = reading
        self._status = status
        self._show = show
        self._list_studies = list_studies
        self.moved_images = MovedImages(reading, status, self._read_as_kept, parent)
        self._worker: Any = None
        self._so_far = _ReadSoFar()
        self._show_read: Show = self._show_first
        self._show_found: Show = self._show_first
        self._when_not_shown: Callable[[], None] = _do_nothing
        self._wanted_at: tuple[Path, str | None] = (Path(), None)
        self._look = QTimer(parent)
        self._look.setInterval(LOOK_EVERY_MS)
        self._look.timeout.connect(lambda: status.show_progress(self._so_far.fraction, self._so_far.message))

    @property
    def is_busy(self) -> bool:
        """Whether a study is being read."""
        return self._worker is not None

    def open(self, path: Path | str, study: str | None = None, then: Callable[[], None] | None = None) -> None:
        """Read a study, and show it when it is there.

        Parameters
        ----------
        study
            Pseudonym of one of several studies that lie there.
        then
            Called once it is on show.
        """

        def show(found: Study) -> None:
            self._show(found, None)
            if then is not None:
                then()

        self._read(path, study, self._reading.project.import_choices, show)

    def open_kept(self, study_id: str, then: Callable[[], None], failed: Callable[[], None]) -> bool:
        """Read a study that the project has labels of.

        Parameters
        ----------
        then, failed
            Called once it is on show, or if it cannot be.

        Returns
        -------
        Whether that began; not if another study is being read.
        """
        if self.is_busy:
            self._reading.notify(STILL_READING, Severity.WARNING)
            return False
        record = self._reading.project.study(study_id)

        def show(study: Study) -> None:
            cine = next((cine for cine in study.cines if cine.id == record.cine_id), None)
            if cine is None or cine.content_sha256 != record.content_sha256:
                raise StudyError(
                    f"The images of {study_id} are not the ones that its labels were drawn on. "
                    "Its labels are safe in the project. Put the images back, or open them from where they are now."
                )
            self._show(study, cine)
            then()

        self._read(record.image_path, study_id.partition(".")[0], self._reading.project.import_choices, show, failed)
        return True

    def import_again(self, study: Study, choices: ImportChoices) -> None:
        """Read a study once more, by other choices, and show it by them."""

        def show(again: Study) -> None:
            self._reading.import_as(again, choices)
            self._reading.notify("The study is imported as you chose.")

        self._read(study.path, study.id, choices, show)

    def offer_to_find(self, records: Sequence[StudyRecord]) -> None:
        """Find the images of a study that fine-tuning had to leave out; the study on show stays."""
        words = f"The images of {records[0].study_id} are found. Press Fine-tune on my labels again to learn from it."
        self.moved_images.offer(records, lambda _: self._reading.notify(words))

    def _show_first(self, study: Study) -> None:
        self._show(study, None)

    def _read_as_kept(self, path: Path, study: str, show: Show, failed: Callable[[], None]) -> None:
        """Read a study as it was imported when its labels were drawn."""
        self._read(path, study, self._reading.project.import_choices, show, failed)

    def _read(
        self,
        path: Path | str,
        study: str | None,
        choices: Choices,
        show: Show,
        failed: Callable[[], None] | None = None,
    ) -> None:
        if self.is_busy:
            self._reading.notify(STILL_READING, Severity.WARNING)
            if failed is not None:
                failed()
            return
        self.started.emit()
        self._show_read = show
        # Found elsewhere, a study was read as it was kept; by other choices it has to be read again.
        self._show_found = show if callable(choices) else lambda there: self._read(there.path, study, choices, show)
        self._wanted_at, self._when_not_shown = (Path(path), study), failed or _do_nothing
        cancel = CancelToken()
        self._status.show_reading_a_file(f"Opening {Path(path).name}…", cancel.cancel)
        self._so_far = _ReadSoFar()
        self._look.start()
        self._worker = create_worker(_read_study, path, study, choices, self._so_far.tell, cancel)
        self._worker.returned.connect(self._opened)
        self._worker.errored.connect(self._open_failed)
        self._worker.start()

    def _opened(self, result: tuple[Study | Worklist | None, str]) -> None:
        self._end()
        study, trouble = result
        if study is None and (moved := studies_at(self._reading.project, *self._wanted_at)):
            self._when_not_shown()
            self.moved_images.offer(moved, self._show_found)
        elif study is None:
            self._reading.notify(trouble, Severity.ERROR if trouble != STOPPED else Severity.INFO)
            self._when_not_shown()
        elif isinstance(study, Worklist):
            self._list_studies(study)
        else:
            answered(self._reading, lambda: self._show_or_say(study))()

    def _show_or_say(self, study: Study) -> None:
        """Show what was read; whoever waits for it learns if that fails, and the fault goes on."""
        when_not_shown = self._when_not_shown
        try:
            self._show_read(study)
        except Exception:
            when_not_shown()
            raise

    def _open_failed(self, error: Exception) -> None:
        """Say so; the worker raises the fault again in this thread, where napari reports and the log keeps it."""
        self._end()
        self._reading.notify("The study could not be opened because of a fault in the program.", Severity.ERROR)
        self._when_not_shown()

    def _end(self) -> None:
        self._look.stop()
        self._worker = None
        self._reading.events.job_changed.emit()  # takes the bar away


class _ReadSoFar:
    """How far the thread that reads files is; it writes, the window looks."""

    def __init__(self) -> None:
        self.fraction, self.message = 0.0, "Looking for files…"

    def tell(self, fraction: float, message: str, /) -> None:
        self.fraction, self.message = fraction, message


def _do_nothing() -> None:
    pass


def _read_study(
    path: Path | str,
    study: str | None,
    choices: Choices,
    progress: Progress,
    cancel: CancelToken,
) -> tuple[Study | Worklist | None, str]:
    """Read a study, or list those of a folder, or say in one line why not.

    Superqt takes a returned exception for a fault.
    """
    try:
        try:
            return open_study(path, study=study, choices=choices, progress=progress, cancel=cancel), ""
        except SeveralStudiesError:
            return open_worklist(path, progress=progress, cancel=cancel), ""
    except Cancelled:
        return None, STOPPED
    except CinemaError as error:
        return None, str(error)
