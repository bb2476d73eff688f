"""The studies of a folder, to be worked through one after the other."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cinema_app.reading import Reading
from cinema_app.widgets.appearance import STATE_COLOURS, button, strong
from cinema_core.anatomy import LabelState
from cinema_core.io.worklist import Worklist, WorklistEntry

ROWS_SHOWN = 6

OPENED, ACCEPTED = "opened", "{} accepted"
"""What was done with a study in this project."""


class WorklistPanel(QWidget):
    """A list of studies; a double click opens one, Next the first that was not opened yet.

    Parameters
    ----------
    open_entry
        Called with the study that the reader chose.
    """

    def __init__(
        self, reading: Reading, open_entry: Callable[[WorklistEntry], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._open_entry = open_entry
        self._entries: tuple[WorklistEntry, ...] = ()
        self._of_study: dict[str, str] = {}
        self._title = strong()
        self.list = QTreeWidget()
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setHeaderLabels(["Study", "Holds", "Group", "Work"])
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.itemDoubleClicked.connect(lambda item, _: self._open(self.list.indexOfTopLevelItem(item)))
        self.next = button("Next study", "Open the next study that was not opened yet", self.open_next)
        self.hide_list = button("Close list", "Close the list; the study stays open", self.clear)
        top = QHBoxLayout()
        top.addWidget(self._title, 1)
        top.addWidget(self.next)
        top.addWidget(self.hide_list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        layout.addWidget(self.list)
        self.hide()
        for signal in (reading.events.cine_changed, reading.events.labels_changed):
            signal.connect(self._show_work)

    def show_worklist(self, worklist: Worklist) -> None:
        """List the studies of a folder."""
        self._entries = worklist.entries
        self._title.setText(f"{len(self._entries)} studies")
        self._title.setToolTip(f"{len(worklist.refused)} files belong to no study")
        self.list.clear()
        for entry in self._entries:
            item = QTreeWidgetItem([entry.name, entry.summary, entry.group, ""])
            item.setToolTip(0, str(entry.path))
            self.list.addTopLevelItem(item)
        rows = min(len(self._entries), ROWS_SHOWN) + 1
        self.list.setFixedHeight(rows * (self.list.sizeHintForRow(0) + 2) + self.list.header().sizeHint().height())
        self._show_work()
        self.show()

    def clear(self) -> None:
        """Close the list."""
        self._entries = ()
        self.hide()

    def open_next(self) -> None:
        """Open the first study of the list, after the open one, that was not opened yet."""
        if not self._entries:
            return
        works = [self.list.topLevelItem(k).text(3) for k in range(len(self._entries))]
        start = self.list.indexOfTopLevelItem(self.list.currentItem()) + 1 if self.list.currentItem() else 0
        order = [*range(start, len(works)), *range(start)]
        self._open(next((k for k in order if not works[k]), order[0]))

    def remember(self, entry: WorklistEntry, study_id: str) -> None:
        """Note which study an entry turned out to be: that of files is known only once they are read."""
        self._of_study[str(entry.path) + entry.study] = study_id
        self._show_work()

    def _open(self, k: int) -> None:
        self.list.setCurrentItem(self.list.topLevelItem(k))
        self._open_entry(self._entries[k])

    def _show_work(self) -> None:
        if not self._entries:
            return
        project = self._reading.project
        known = {record.study_id: record for record in project.studies()}
        places = {str(record.image_path.absolute()): name for name, record in known.items()}
        for k, entry in enumerate(self._entries):
            key = str(entry.path) + entry.study
            name = entry.study or self._of_study.get(key) or places.get(str(entry.path.absolute()), "")
            item = self.list.topLevelItem(k)
            if name not in known:
                item.setText(3, "")
                continue
            states = project.states(name).values()
            accepted = sum(state is LabelState.ACCEPTED for state in states)
            item.setText(3, ACCEPTED.format(accepted) if accepted else OPENED)
            if accepted:
                item.setForeground(3, QColor(STATE_COLOURS[LabelState.ACCEPTED]))
