"""The report: who the person is, figures with their ranges, what to look at, approval, and the ways out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QByteArray, QEvent, Qt, QTimer
from qtpy.QtGui import QColor, QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtSvgWidgets import QSvgWidget
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from cinema_app.insertion_points import Found, InsertionPoints
from cinema_app.layers import CineLayers
from cinema_app.news import Severity
from cinema_app.papillary_preview import MUSCLE_COLOUR, PapillaryPreview
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import (
    LIGHT_COLOURS,
    MUTED,
    TEXT,
    allow,
    button,
    colour_patch,
    muted,
    strong,
    tool_button,
)
from cinema_core.cine import BsaFormula
from cinema_core.errors import CinemaError
from cinema_core.measure import AreaRule, EndSliceRule, Light, ReportChoices, StudyMeasures, reference_tables
from cinema_core.measure.findings import NOTHING_FOUND
from cinema_core.measure.reference import Position
from cinema_core.report.content import driver_sentence
from cinema_core.rules import PapillaryRule

LIGHT_WORDS = {Light.GREEN: "Green", Light.AMBER: "Amber", Light.RED: "Red"}

LEVELS = (0.05, 0.95)
AFTER_LEVEL_MS = 300
"""The image follows the threshold at once, the figures when it rests."""

LEVEL_TIP = "Papillary muscles as mass: what is darker than this, from wall (0) to blood (1)"
PREVIEW_TIP = "Colour what this threshold takes for muscle on the image, also before it counts as mass"
FINDINGS_PX = 92
BULLSEYE_PX = 150

APPROVE_TIP = "Vouch by name for every slice of ED and ES. An edit afterwards makes the report a draft again"
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

ENTRIES = (
    ("age_years", "Age, years"),
    ("height_cm", "Height, cm"),
    ("weight_kg", "Weight, kg"),
)
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
        self._preview = preview
        self._insertions = insertions
        self._level_rests = QTimer(self)
        self._level_rests.setSingleShot(True)
        self._level_rests.setInterval(AFTER_LEVEL_MS)
        self._level_rests.timeout.connect(self._choose)
        self._build()
        self._show()
        events = reading.events
        for signal in (events.cine_changed, events.measures_changed, events.labels_changed, events.approval_changed):
            signal.connect(self._show)
        preview.changed.connect(self._show_preview)
        insertions.changed.connect(self._show_insertions)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring what changed while another tab was in front."""
        super().showEvent(event)
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:
        """Take the insertion points off the image along with the bullseye."""
        super().hideEvent(event)
        self._insertions.switch(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep room for folded lines."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Give folded lines their height, which Qt leaves out of the least height that the tabs go by."""
        for label in (self._status, self._table_words, self._insertion_words):
            label.setMinimumHeight(max(0, label.heightForWidth(label.width())))

    # ---------------------------------------------------------------- building

    def _build(self) -> None:
        self._status = strong(wrap=True)
        self.approve = button("Approve", APPROVE_TIP, answered(self._reading, self._reading.approve), main=True)
        self.reader = _entry("Your name", "A pseudonym will do. It stands in the report beside the approval")
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
        layout.addLayout(self._build_person())
        layout.addLayout(self._build_rules())
        layout.addWidget(self._status)
        layout.addLayout(_in_a_row(self.reader, self.approve))
        layout.addWidget(self.findings)
        layout.addWidget(self.figures)
        layout.addWidget(self._table_words)
        layout.addLayout(self._build_bullseyes())
        layout.addLayout(self._build_insertions())
        layout.addLayout(self._build_ways_out())

    def _build_person(self) -> QGridLayout:
        grid = _grid(1, 1, 1, 1)
        self.sex = _combo(("not entered", "female", "male"), "For reference ranges")
        self.sex.setMinimumWidth(84)
        self.sex.currentIndexChanged.connect(lambda _: self._choose())
        grid.addWidget(muted("Sex", wrap=False), 0, 0)
        grid.addWidget(self.sex, 1, 0)
        self.entries: dict[str, QLineEdit] = {}
        for column, (name, title) in enumerate(ENTRIES, start=1):
            entry = _entry("", f"{title}; empty takes what the files say. Enter goes back to the image")
            entry.editingFinished.connect(self._choose)
            self.entries[name] = entry
            grid.addWidget(muted(title, wrap=False), 0, column)
            grid.addWidget(entry, 1, column)
        return grid

    def _build_rules(self) -> QGridLayout:
        grid = _grid(4, 4, 5, 5)
        self.areas = _combo([rule.value for rule in AreaRule], "How the area on a slice is found")
        self.ends = _combo(
            [rule.value for rule in EndSliceRule], "Whether the outermost slices count in full or by half"
        )
        self.bsa = _combo([rule.value for rule in BsaFormula], "Formula of the body surface")
        self.table = _combo([table.name for table in reference_tables()], "Reference ranges")
        self.papillary = _combo(
            [rule.value for rule in PapillaryRule], "Papillary muscles inside the LV's contour as cavity or as mass"
        )
        self.level = QDoubleSpinBox()
        self.level.setRange(*LEVELS)
        self.level.setSingleStep(0.05)
        self.level.setToolTip(LEVEL_TIP)
        self.level.setKeyboardTracking(False)  # half a number is no threshold
        self.level.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.level.valueChanged.connect(self._try_level)
        self.preview = tool_button("Show", PREVIEW_TIP, self._switch_preview, MUSCLE_COLOUR)
        self.preview.setCheckable(True)
        self._muscle_words = muted()
        self.papillary.currentIndexChanged.connect(lambda _: self._choose())
        muscles = (("Papillary", self.papillary, 0, 2), ("Threshold", self.level, 2, 1), ("Muscle", self.preview, 3, 1))
        for title, widget, column, columns in muscles:
            grid.addWidget(muted(title, wrap=False), 2, column, 1, columns)
            grid.addWidget(widget, 3, column, 1, columns)
        grid.addWidget(self._muscle_words, 4, 0, 1, 4)
        titles = ("Areas", "End slices", "Body surface", "Reference")
        for column, (title, combo) in enumerate(
            zip(titles, (self.areas, self.ends, self.bsa, self.table), strict=True)
        ):
            grid.addWidget(muted(title, wrap=False), 0, column)
            grid.addWidget(combo, 1, column)
            combo.currentIndexChanged.connect(lambda _: self._choose())
        return grid

    def _build_bullseyes(self) -> QHBoxLayout:
        self.bullseyes = [QSvgWidget(), QSvgWidget()]
        for shown in self.bullseyes:
            shown.setFixedSize(BULLSEYE_PX, BULLSEYE_PX + 12)
            shown.setStyleSheet("background-color: white; border-radius: 3px;")
            shown.setToolTip("AHA segments: anterior above, septum to the left")
        return _in_a_row(*self.bullseyes)

    def _build_insertions(self) -> QHBoxLayout:
        self._insertion_words = muted()
        self.change_insertions = button("Go to ED", "", answered(self._reading, self._change_insertions))
        row = QHBoxLayout()
        row.addWidget(self._insertion_words, 1)
        row.addWidget(self.change_insertions)
        return row

    def _build_ways_out(self) -> QHBoxLayout:
        self.pdf = button("Report PDF…", "", answered(self._reading, lambda: self._ask("pdf")))
        self.html = button("Report HTML…", "", answered(self._reading, lambda: self._ask("html")))
        self.copy = button("Copy figures", "", answered(self._reading, self._copy))
        return _in_a_row(self.pdf, self.html, self.copy)

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        if not self.isVisible():
            return  # shown when its tab comes to the front
        reading = self._reading
        measures = reading.study_measures if reading.is_open else None
        self._show_choices(reading.report_choices if reading.is_open else ReportChoices())
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
        approval = reading.approval if measures else None
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
        self._show_bullseyes(measures)
        self._insertions.switch(measures is not None)
        self._show_insertions()
        self._make_room()
        # Now, in one go: the request goes up through every panel around, and between two of them Qt may paint a long
        # reason over what stands below it. Twice: the tabs pass it on as a request of their own.
        for _turn in range(2):
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)

    def _show_choices(self, choices: ReportChoices) -> None:
        patient = self._reading.cine.patient if self._reading.is_open else None
        of_files = {
            "age_years": patient.age_years if patient else None,
            "height_cm": patient.height_m * 100 if patient and patient.height_m else None,
            "weight_kg": patient.weight_kg if patient else None,
        }
        for name, entry in self.entries.items():
            value = getattr(choices, name)
            with signals_blocked(entry):
                entry.setText("" if value is None else f"{value:g}")
                entry.setPlaceholderText("" if of_files[name] is None else f"{of_files[name]:.3g}")
        shown = (
            (
                self.sex,
                {None: "not entered", "F": "female", "M": "male"}[choices.sex or (patient.sex if patient else None)],
            ),
            (self.areas, choices.areas.value),
            (self.ends, choices.ends.value),
            (self.bsa, choices.bsa_formula.value),
            (self.table, choices.table),
            (self.papillary, choices.papillary.value),
        )
        as_mass = choices.papillary is PapillaryRule.MASS
        if as_mass or not self._preview.is_on:
            self._show_level(choices.papillary_level)
        self.level.setEnabled(self._reading.is_open and (as_mass or self._preview.is_on))
        allow(self.preview, self._reading.is_open, "Open a study first.", PREVIEW_TIP)
        self._show_preview()
        for combo, text in shown:
            with signals_blocked(combo):
                combo.setCurrentText(text)
            combo.setEnabled(self._reading.is_open)

    def _show_level(self, level: float) -> None:
        with signals_blocked(self.level):
            self.level.setValue(level)
        self._preview.set_level(self.level.value())

    def _show_preview(self) -> None:
        with signals_blocked(self.preview):
            self.preview.setChecked(self._preview.is_on)
        self._muscle_words.setText(self._preview.words if self.isVisible() else "")
        self._muscle_words.setVisible(self._preview.is_on)

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

    # ---------------------------------------------------------------- actions

    def _change_insertions(self) -> None:
        """Do what the button beside the words offers."""
        match self._insertions.found:
            case Found.ELSEWHERE if self._reading.phases is not None:
                self._layers.go_to(self._reading.phases.ed_phase, self._layers.here[1])
            case Found.NOT_FOUND:
                self._insertions.place()
            case Found.BY_READER:
                self._insertions.give_back()

    def _switch_preview(self) -> None:
        self._preview.switch(not self._preview.is_on)
        self._show_choices(self._reading.report_choices)

    def _try_level(self, level: float) -> None:
        self._preview.set_level(level)
        self._level_rests.start()

    def _choose(self) -> None:
        """Take what was entered; what is not believed is said, and stays as it was."""
        if not self._reading.is_open:
            return
        self._level_rests.stop()
        kept = self._reading.report_choices
        as_mass = self.papillary.currentText() == PapillaryRule.MASS
        patient = self._reading.cine.patient
        sex = {"female": "F", "male": "M"}.get(self.sex.currentText())
        try:
            choices = ReportChoices.of(
                **{name: entry.text() for name, entry in self.entries.items()},
                sex=None if sex == patient.sex else sex,
                areas=self.areas.currentText(),
                ends=self.ends.currentText(),
                bsa_formula=self.bsa.currentText(),
                table=self.table.currentText(),
                papillary=self.papillary.currentText(),
                # A threshold that is only tried changes nothing of a report in which they are cavity.
                papillary_level=self.level.value() if as_mass else kept.papillary_level,
                ethnicity=kept.ethnicity,
            )
        except CinemaError as error:
            self._reading.notify(str(error), Severity.ERROR)
        else:
            answered(self._reading, lambda: self._reading.choose_report(choices))()
        for entry in self.entries.values():
            entry.clearFocus()
        self._show()

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
            self._reading.export_document(Path(name))

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._reading.clipboard_text())
        self._reading.notify("The figures are on the clipboard.")


def _figures_html(measures: StudyMeasures) -> str:
    """Table of both ventricles: value, range, and a mark where it lies outside."""
    headings = ("", "LV", "range", "RV", "range", "LV / RV per m²")
    cells = [f"<tr style='color:{MUTED}'>" + "".join(f"<td>{heading}</td>" for heading in headings) + "</tr>"]
    for title, name, indexed, unit in ROWS:
        row = [title]
        for side in ("lv", "rv"):
            row += _with_range(measures, f"{side}_{name}", unit)
        row.append(
            " / ".join(_with_range(measures, f"{side}_{indexed}", "")[0] for side in ("lv", "rv")) if indexed else ""
        )
        cells.append("<tr>" + "".join(f"<td style='padding-right:5px'>{cell}</td>" for cell in row) + "</tr>")
    return f"<table style='color:{TEXT}'>{''.join(cells)}</table>"


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


def _entry(placeholder: str, tip: str) -> QLineEdit:
    made = QLineEdit()
    made.setPlaceholderText(placeholder)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    return made


def _combo(texts: tuple[str, ...] | list[str], tip: str) -> QComboBox:
    made = QComboBox()
    made.addItems(list(texts))
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def _grid(*stretches: int) -> QGridLayout:
    grid = QGridLayout()
    grid.setVerticalSpacing(1)
    grid.setHorizontalSpacing(6)
    for column, stretch in enumerate(stretches):
        grid.setColumnStretch(column, stretch)
    return grid


def _in_a_row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget)
    return row
