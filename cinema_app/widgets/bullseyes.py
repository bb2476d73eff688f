"""The wall by AHA segments, and the insertion points of the RV that the segments begin from."""

from __future__ import annotations

from qtpy.QtCore import QByteArray
from qtpy.QtGui import QHideEvent, QResizeEvent
from qtpy.QtSvgWidgets import QSvgWidget
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from cinema_app.insertion_points import Found, InsertionPoints
from cinema_app.layers import CineLayers
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import button, in_a_row, keep_height, muted
from cinema_core.measure import StudyMeasures

BULLSEYE_PX = 150

INSERTION_WORDS = {
    Found.ELSEWHERE: ("Segments begin at the RV's insertion points, on the image at ED.", "Go to ED"),
    Found.NO_WALL: ("Slice {z} shows no muscle all round the cavity at ED: it has no segments.", ""),
    Found.NOT_FOUND: ("Slice {z}: no insertion points found; those of the nearest slice are used.", "Set them"),
    Found.IN_LABELS: ("Slice {z}: insertion points of the RV as found. Drag them on the image.", ""),
    Found.BY_READER: ("Slice {z}: insertion points of the RV set by you. Drag them on the image.", "As found"),
}
"""Where the points of the viewed slice come from, and what the button beside that does."""

INSERTION_TIPS = {
    Found.ELSEWHERE: "Show ED, where the insertion points are set",
    Found.NOT_FOUND: "Put both points on this slice, to be dragged from there",
    Found.BY_READER: "Give this slice's points back to where the RV's label touches the LV's",
}


class BullseyePanel(QWidget):
    """Thickness at ED and thickening; while it is on view, the insertion points are on the image.

    Whoever holds the panel calls :meth:`show_measures`, as it also decides when the tab is in front.
    """

    def __init__(
        self, reading: Reading, layers: CineLayers, insertions: InsertionPoints, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self._insertions = insertions
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._build_bullseyes())
        layout.addLayout(self._build_insertions())
        insertions.changed.connect(self._show_insertions)

    def hideEvent(self, event: QHideEvent) -> None:
        """Take the insertion points off the image along with the bullseye."""
        super().hideEvent(event)
        self._insertions.switch(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep room for the folded line."""
        super().resizeEvent(event)
        keep_height(self._insertion_words)

    def _build_bullseyes(self) -> QHBoxLayout:
        self.bullseyes = [QSvgWidget(), QSvgWidget()]
        for shown in self.bullseyes:
            shown.setFixedSize(BULLSEYE_PX, BULLSEYE_PX + 12)
            shown.setStyleSheet("background-color: white; border-radius: 3px;")
            shown.setToolTip("AHA segments: anterior above, septum to the left")
        return in_a_row(*self.bullseyes)

    def _build_insertions(self) -> QHBoxLayout:
        self._insertion_words = muted()
        self.change_insertions = button("Go to ED", "", answered(self._reading, self._change_insertions))
        row = QHBoxLayout()
        row.addWidget(self._insertion_words, 1)
        row.addWidget(self.change_insertions)
        return row

    def show_measures(self, measures: StudyMeasures | None) -> None:
        """Draw what was measured last, None for nothing."""
        self._show_bullseyes(measures)
        self._insertions.switch(measures is not None)
        self._show_insertions()

    def _show_bullseyes(self, measures: StudyMeasures | None) -> None:
        for shown in self.bullseyes:
            shown.setVisible(measures is not None and measures.wall is not None)
        if measures is None or measures.wall is None:
            return
        from cinema_core.report.figures import bullseye_drawing, svg_of

        wall, es = measures.wall, measures.function.es_phase
        drawn = [("Wall at ED, mm", wall.thickness_mm[wall.ed_phase], 1)]
        if es is not None and es in wall.phases:
            drawn.append(("Thickening, %", wall.thickening_pct[es], 0))
        for shown, (title, values, decimals) in zip(self.bullseyes, drawn, strict=False):
            svg = svg_of(bullseye_drawing(values, title, BULLSEYE_PX, decimals))
            shown.load(QByteArray(svg.encode("utf-8")))
        self.bullseyes[1].setVisible(len(drawn) > 1)

    def _show_insertions(self) -> None:
        """Say what the segments of the viewed slice begin from, and offer what can be done about it."""
        if not self.isVisible():
            return
        found, on_view = self._insertions.found, not self.bullseyes[0].isHidden()
        self._insertion_words.setVisible(on_view)
        words, does = INSERTION_WORDS[found]
        self.change_insertions.setVisible(on_view and bool(does))
        self._insertion_words.setText(words.format(z=self._layers.here[1] + 1))
        self.change_insertions.setText(does)
        self.change_insertions.setToolTip(INSERTION_TIPS.get(found, ""))
        keep_height(self._insertion_words)

    def _change_insertions(self) -> None:
        """Do what the button beside the words offers."""
        match self._insertions.found:
            case Found.ELSEWHERE if self._reading.phases is not None:
                self._layers.go_to(self._reading.phases.ed_phase, self._layers.here[1])
            case Found.NOT_FOUND:
                self._insertions.place()
            case Found.BY_READER:
                self._insertions.give_back()
