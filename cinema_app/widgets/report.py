"""The report: who the person is, figures with their ranges, what to look at, approval, and the ways out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from cinema_app.insertion_points import InsertionPoints
from cinema_app.layers import CineLayers
from cinema_app.papillary_preview import PapillaryPreview
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import (
    LIGHT_COLOURS,
    MUTED,
    TEXT,
    allow,
    button,
    colour_patch,
    in_a_row,
    keep_height,
    muted,
    strong,
    text_entry,
)
from cinema_app.widgets.bullseyes import BullseyePanel
from cinema_app.widgets.report_choices import ReportChoicesPanel
from cinema_core.measure import Light, StudyMeasures
from cinema_core.measure.findings import NOTHING_FOUND
from cinema_core.measure.reference import Position
from cinema_core.report.content import driver_sentence

LIGHT_WORDS = {Light.GREEN: "Green", Light.AMBER: "Amber", Light.RED: "Red"}

FINDINGS_PX = 92

APPROVE_TIP = "Vouch by name for every slice of ED and ES. An edit afterwards makes the report a draft again"
ROWS = (
    ("EDV", "edv_ml", "edvi_ml_m2", "ml"),
    ("ESV", "esv_ml", "esvi_ml_m2", "ml"),
    ("SV", "sv_ml", "svi_ml_m2", "ml"),
    ("EF", "ef_pct", "", "%"),
    ("Mass", "mass_g", "massi_g_m2", "g"),
)
_MARKS = {Position.BELOW: "▼", Position.WITHIN: "", Position.ABOVE: "▲"}


class ReportPanel(QWidget):
    """What will stand in the report, before it is written."""

    def __init__(
        self,
        reading: Reading,
        layers: CineLayers,
        preview: PapillaryPreview,
        insertions: InsertionPoints,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self.choices = ReportChoicesPanel(reading, preview)
        self.bullseyes = BullseyePanel(reading, layers, insertions)
        self._build()
        self._show()
        events = reading.events
        for signal in (events.cine_changed, events.measures_changed, events.labels_changed, events.approval_changed):
            signal.connect(self._show)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring what changed while another tab was in front."""
        super().showEvent(event)
        self._show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep room for folded lines."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        for label in (self._status, self._table_words):
            keep_height(label)

    # ---------------------------------------------------------------- building

    def _build(self) -> None:
        self._status = strong(wrap=True)
        self.approve = button("Approve", APPROVE_TIP, answered(self._reading, self._reading.report.approve), main=True)
        self.reader = text_entry("Your name", "A pseudonym will do. It stands in the report beside the approval")
        self.reader.editingFinished.connect(lambda: self._reading.name_reader(self.reader.text()))
        self.findings = QListWidget()
        self.findings.setFixedHeight(FINDINGS_PX)
        self.findings.setWordWrap(True)
        self.findings.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.findings.setToolTip("What to look at before the figures are trusted. A click goes there")
        self.findings.itemClicked.connect(self._go_to)
        self.figures = QLabel()
        self.figures.setTextFormat(Qt.TextFormat.RichText)
        # Its width with long ranges is not to push the buttons of the whole panel under the scroll bar.
        self.figures.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._table_words = muted()
        self._table_words.setTextFormat(Qt.TextFormat.PlainText)
        self._table_words.setStyleSheet("font-size: 11px;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.choices)
        layout.addWidget(self._status)
        layout.addLayout(in_a_row(self.reader, self.approve))
        layout.addWidget(self.findings)
        layout.addWidget(self.figures)
        layout.addWidget(self._table_words)
        layout.addWidget(self.bullseyes)
        layout.addLayout(self._build_ways_out())

    def _build_ways_out(self) -> QHBoxLayout:
        self.pdf = button("Report PDF…", "", answered(self._reading, lambda: self._ask("pdf")))
        self.html = button("Report HTML…", "", answered(self._reading, lambda: self._ask("html")))
        self.copy = button("Copy figures", "", answered(self._reading, self._copy))
        return in_a_row(self.pdf, self.html, self.copy)

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        if not self.isVisible():
            return  # shown when its tab comes to the front
        reading = self._reading
        measures = reading.study_measures if reading.is_open else None
        why = "" if measures else "Open a study first." if not reading.is_open else "Segment the cine first."
        for made, tip in (
            (self.approve, APPROVE_TIP),
            (
                self.pdf,
                "One page with figures, ranges, curve, bullseye, key images and flags; a second with all details",
            ),
            (self.html, "The same page for a browser, in one file"),
            (self.copy, "Copy every figure for a spreadsheet or a letter"),
        ):
            allow(made, not why, why, tip)
        approval = reading.report.approval if measures else None
        words = (
            why
            if approval is None
            else approval.reason or f"{approval.reader}, {approval.utc[:16].replace('T', ' ')} UTC"
        )
        self._status.setText(words if approval is None else f"{approval.status.value.upper()}: {words}")
        with signals_blocked(self.reader):
            self.reader.setText(reading.project.reader)
        self._show_findings(measures)
        self.figures.setText(_figures_html(measures) if measures else "")
        self._table_words.setText(_table_words(measures) if measures else "")
        self.bullseyes.show_measures(measures)
        self._make_room()
        _lay_out_now()

    def _show_findings(self, measures: StudyMeasures | None) -> None:
        self.findings.clear()
        if measures is None:
            return
        if not measures.findings:
            self._add_finding(LIGHT_COLOURS[Light.GREEN], f"Green: {NOTHING_FOUND}", (None, None))
        for finding in measures.findings:
            place = finding.t, finding.z
            self._add_finding(LIGHT_COLOURS[finding.light], f"{LIGHT_WORDS[finding.light]}: {finding.text}", place)
        for side, drivers, ed in (
            ("LV", measures.lv_drivers, measures.function.ed_phase),
            ("RV", measures.rv_drivers, measures.function.rv_ed_phase),
        ):
            if drivers:
                self._add_finding(MUTED, driver_sentence(side, drivers), (ed, drivers[0].z))

    def _add_finding(self, colour: str, words: str, place: tuple[int | None, int | None]) -> None:
        item = QListWidgetItem(colour_patch(colour), words)
        item.setForeground(QColor(TEXT))
        item.setData(Qt.ItemDataRole.UserRole, place)
        self.findings.addItem(item)

    # ---------------------------------------------------------------- actions

    def _go_to(self, item: QListWidgetItem) -> None:
        t, z = item.data(Qt.ItemDataRole.UserRole)
        here = self._layers.here
        if (t, z) != (None, None):
            self._layers.go_to(here[0] if t is None else t, here[1] if z is None else z)

    def _ask(self, kind: str) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the report", f"{self._reading.study_id}-report.{kind}", f"Report (*.{kind})"
        )
        if name:
            self._reading.report.export_document(Path(name))

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._reading.report.clipboard_text())
        self._reading.notify("The figures are on the clipboard.")


def _lay_out_now() -> None:
    """Give every panel its place before anything is painted.

    The request goes up through all panels around, and between two of them Qt may paint a long reason over what stands
    below it. Twice, as the tabs pass it on as a request of their own.
    """
    for _ in range(2):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)


def _figures_html(measures: StudyMeasures) -> str:
    """Table of both ventricles: value, range, and a mark where it lies outside."""
    ranges = "range" if any(v.range is not None for v in measures.verdicts.values()) else ""
    rows = [["", "LV", ranges, "RV", ranges, "LV / RV per m²"]]
    for title, name, indexed, unit in ROWS:
        row = [title]
        for side in ("lv", "rv"):
            row += _with_range(measures, f"{side}_{name}", unit)
        row.append(
            " / ".join(_with_range(measures, f"{side}_{indexed}", "")[0] for side in ("lv", "rv")) if indexed else ""
        )
        rows.append(row)
    cells = ["".join(f"<td style='padding-right:6px'>{cell}</td>" for cell in row) for row in rows]
    first, *others = cells
    lines = f"<tr style='color:{MUTED}'>{first}</tr>" + "".join(f"<tr>{line}</tr>" for line in others)
    return f"<table style='color:{TEXT}'>{lines}</table>"


def _with_range(measures: StudyMeasures, name: str, unit: str) -> list[str]:
    value = getattr(measures.function, name, None)
    if value is None:
        return ["–", ""]
    verdict = measures.verdicts.get(name)
    if verdict is None or verdict.range is None or verdict.position is None:
        return [f"{value:.0f} {unit}", ""]
    ends = "–".join("" if end is None else f"{end:g}" for end in (verdict.range.lower, verdict.range.upper))
    mark = _MARKS[verdict.position]
    text = f"{value:.0f} {unit} {mark}"
    return [f"<b>{text}</b>" if mark else text, f"<span style='color:{MUTED}'>{ends}</span>"]


def _table_words(measures: StudyMeasures) -> str:
    """Whose the ranges are and how far they were checked; or why there are none."""
    ranges = [verdict.range for verdict in measures.verdicts.values() if verdict.range is not None]
    if ranges:
        return ranges[0].description
    reasons = dict.fromkeys(str(v.reason) for v in measures.verdicts.values() if v.reason and v.value is not None)
    return "; ".join(reasons)
