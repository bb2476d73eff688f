"""Who the person is, and by which rules and table the report is made."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.news import Severity
from cinema_app.papillary_preview import MUSCLE_COLOUR, PapillaryPreview
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, muted, text_entry, tool_button
from cinema_core.cine import BsaFormula
from cinema_core.errors import CinemaError
from cinema_core.measure import AreaRule, EndSliceRule, ReportChoices, reference_tables
from cinema_core.rules import PapillaryRule

LEVELS = (0.05, 0.95)
AFTER_LEVEL_MS = 300
"""The image follows the threshold at once, the figures when it rests."""

LEVEL_TIP = "Papillary muscles as mass: what is darker than this, from wall (0) to blood (1)"
PREVIEW_TIP = "Colour what this threshold takes for muscle on the image, also before it counts as mass"

ENTRIES = (
    ("age_years", "Age, years"),
    ("height_cm", "Height, cm"),
    ("weight_kg", "Weight, kg"),
)


class ReportChoicesPanel(QWidget):
    """What a reader enters and chooses; kept in the project as soon as it is believed."""

    def __init__(self, reading: Reading, preview: PapillaryPreview, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._preview = preview
        self._level_rests = QTimer(self)
        self._level_rests.setSingleShot(True)
        self._level_rests.setInterval(AFTER_LEVEL_MS)
        self._level_rests.timeout.connect(self._choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._build_person())
        layout.addLayout(self._build_rules())
        self._show()
        reading.events.cine_changed.connect(self._show)
        reading.events.approval_changed.connect(self._show)
        preview.changed.connect(self._show_preview)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring what changed while another tab was in front."""
        super().showEvent(event)
        self._show()

    # ---------------------------------------------------------------- building

    def _build_person(self) -> QGridLayout:
        grid = _grid(1, 1, 1, 1)
        self.sex = _combo(("not entered", "female", "male"), "For reference ranges")
        # Its words have to be read whole; a width that is asked for now would be of another style and font.
        self.sex.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.sex.currentIndexChanged.connect(lambda _: self._choose())
        grid.addWidget(muted("Sex", wrap=False), 0, 0)
        grid.addWidget(self.sex, 1, 0)
        self.entries: dict[str, QLineEdit] = {}
        for column, (name, title) in enumerate(ENTRIES, start=1):
            entry = text_entry("", f"{title}; empty takes what the files say. Enter goes back to the image")
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

    # ---------------------------------------------------------------- showing

    def _show(self) -> None:
        if self.isVisible():  # else shown when its tab comes to the front
            self._show_choices(self._reading.report.choices if self._reading.is_open else ReportChoices())

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

    # ---------------------------------------------------------------- actions

    def _switch_preview(self) -> None:
        self._preview.switch(not self._preview.is_on)
        self._show_choices(self._reading.report.choices)

    def _try_level(self, level: float) -> None:
        self._preview.set_level(level)
        self._level_rests.start()

    def _choose(self) -> None:
        """Take what was entered; what is not believed is said, and stays as it was."""
        if not self._reading.is_open:
            return
        self._level_rests.stop()
        kept = self._reading.report.choices
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
            answered(self._reading, lambda: self._reading.report.choose(choices))()
        for entry in self.entries.values():
            entry.clearFocus()
        self._show()


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
