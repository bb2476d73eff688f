"""What was imported, on one screen: slices in space, pictures, spacing, phases, warnings; and the reader's choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cinema_app.news import Severity
from cinema_app.widgets.appearance import NOTICE_COLOURS, STYLE, button, muted, strong
from cinema_app.widgets.geometry_drawing import THUMBNAIL, PhaseMap, StackDrawing, slice_colour, thumbnail
from cinema_core.cine import Cine, View
from cinema_core.io import ImportChoices, Study

COLUMNS = ("View", "Sure", "Slices × phases", "Step mm", "Pixel mm", "RR ms", "Phases by", "Apex first")

SURE = 0.6
"""A view less sure than this is worth a look before anything is measured."""

PICTURES_PER_ROW, MOST_ROWS = 5, 200

PHASES_OF_ONE_SLICE = 10
"""A long axis has one slice; it is shown over the beat instead."""


class ImportCheck(QDialog):
    """The import of one study, to be checked before it is read.

    Parameters
    ----------
    choices
        What the reader decided at an earlier import of this study.
    apply
        Called with the study's decisions when the reader changes one and confirms.
    """

    def __init__(
        self,
        study: Study,
        choices: ImportChoices,
        apply: Callable[[ImportChoices], None],
        shown: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Import of {study.id}")
        self.setStyleSheet(STYLE)
        self.resize(1120, 800)
        self._study, self._apply = study, apply
        self._views = dict(choices.views)
        self._apex_first = dict(choices.apex_first)
        self._takes = dict(choices.takes)
        self._before = choices
        self._build()
        cines = [cine.id for cine in study.cines]
        self._table.selectRow(cines.index(shown) if shown in cines else 0)

    @property
    def choices(self) -> ImportChoices:
        """What is decided as the dialog stands."""
        return ImportChoices(views=self._views, apex_first=self._apex_first, takes=self._takes)

    def _build(self) -> None:
        self._table = self._make_table()
        self._drawing, self._phases = StackDrawing(), PhaseMap()
        self._reason = muted()
        self._pictures = QWidget()
        QGridLayout(self._pictures).setContentsMargins(0, 0, 0, 0)
        pictures = QScrollArea()
        pictures.setWidgetResizable(True)
        pictures.setWidget(self._pictures)
        self._takes_of_cine = QWidget()
        QVBoxLayout(self._takes_of_cine).setContentsMargins(0, 0, 0, 0)
        self.warnings = muted()
        self.warnings.setStyleSheet(f"color: {NOTICE_COLOURS[Severity.WARNING]};")
        self.warnings.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.apply_button = button(
            "Use these choices", "Read the study again with what you chose", self._use, main=True
        )
        self.close_button = button("Close", "Keep everything as it is", self.reject)

        left = QVBoxLayout()
        left.addWidget(self._drawing, 3)
        left.addWidget(self._phases, 2)
        middle = QHBoxLayout()
        middle.addLayout(left, 4)
        middle.addWidget(pictures, 5)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.apply_button)
        buttons.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(strong("Is this the heart as it was scanned? Check before you measure.", wrap=True))
        layout.addWidget(self._table)
        layout.addWidget(self._reason)
        layout.addLayout(middle, 1)
        layout.addWidget(self._takes_of_cine)
        layout.addWidget(self.warnings)
        layout.addLayout(buttons)
        self._show_apply()

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(len(self._study.cines), len(COLUMNS))
        table.setHorizontalHeaderLabels(COLUMNS)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for row, cine in enumerate(self._study.cines):
            for column, text in enumerate(_cells(cine)):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                if column == 1:
                    item.setToolTip(cine.view_reason)
                    if cine.view_confidence < SURE:
                        item.setForeground(QColor(NOTICE_COLOURS[Severity.WARNING]))
                table.setItem(row, column, item)
            table.setCellWidget(row, 0, self._view_box(cine))
            table.setCellWidget(row, len(COLUMNS) - 1, self._direction_box(cine))
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        table.resizeRowsToContents()
        rows = sum(table.rowHeight(row) for row in range(min(table.rowCount(), 6)))
        table.setFixedHeight(rows + table.horizontalHeader().sizeHint().height() + 6)
        table.currentCellChanged.connect(lambda row, *_: self._show_cine(row))
        return table

    def _view_box(self, cine: Cine) -> QComboBox:
        box = QComboBox()
        for view in View:
            box.addItem(view.display_name, view)
        box.setCurrentIndex(box.findData(cine.view))
        box.setToolTip(cine.view_reason)

        def chosen() -> None:
            self._views[cine.id] = View(box.currentData())
            self._show_apply()

        box.activated.connect(lambda _: chosen())
        return box

    def _direction_box(self, cine: Cine) -> QWidget:
        box = QCheckBox()
        box.setChecked(cine.apex_first)
        box.setEnabled(cine.n_slices > 1)
        box.setToolTip(f"Slices are counted {cine.direction_reason or 'as in the file'}. Tick if slice 1 is the apex.")

        def chosen(ticked: bool) -> None:
            self._apex_first[cine.id] = ticked
            self._show_apply()

        box.toggled.connect(chosen)
        holder = QWidget()
        layout = QHBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box, alignment=Qt.AlignmentFlag.AlignCenter)
        return holder

    def _show_cine(self, row: int) -> None:
        if row < 0:
            return
        cine = self._study.cines[row]
        self._drawing.show_cines(self._study.cines, cine.id)
        self._phases.show_cine(cine)
        self._reason.setText(f"{cine.view.display_name}: {cine.view_reason or 'no reason is known'}.")
        self._show_pictures(cine)
        self._show_takes(cine)
        self.warnings.setText("\n".join(f"• {line}" for line in lines_to_check(self._study, cine)))
        self.warnings.setVisible(bool(self.warnings.text()))

    def _show_pictures(self, cine: Cine) -> None:
        grid = self._pictures.layout()
        assert isinstance(grid, QGridLayout)
        _empty(grid)
        for k, (t, z, words) in enumerate(_to_picture(cine)):
            picture = QLabel()
            picture.setPixmap(thumbnail(cine, t, z))
            picture.setFixedSize(THUMBNAIL + 4, THUMBNAIL + 4)
            picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
            picture.setStyleSheet(f"border-bottom: 2px solid {slice_colour(cine, z)};")
            caption = muted(words, wrap=False)
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
            row, column = divmod(k, PICTURES_PER_ROW)
            grid.addWidget(picture, 2 * row, column, Qt.AlignmentFlag.AlignCenter)
            grid.addWidget(caption, 2 * row + 1, column)
        grid.setRowStretch(MOST_ROWS, 1)
        grid.setColumnStretch(PICTURES_PER_ROW, 1)

    def _show_takes(self, cine: Cine) -> None:
        layout = self._takes_of_cine.layout()
        _empty(layout)
        for repeat in self._study.report.repeats.get(cine.id, ()):
            box = QComboBox()
            for take in repeat.takes:
                series = f"series {take.series_number}" if take.series_number is not None else "no series number"
                box.addItem(f"{series}, {take.n_phases} phases, {take.rows} × {take.columns}", take.key)
            box.setCurrentIndex(box.findData(repeat.used))
            others = frozenset(take.key for take in repeat.takes)
            box.activated.connect(
                lambda _, box=box, others=others: self._choose_take(cine.id, box.currentData(), others)
            )
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.addWidget(muted(f"Slice {repeat.z + 1} was taken {len(repeat.takes)} times. Use", wrap=False), 1)
            row.addWidget(box, 2)
            layout.addWidget(line)

    def _choose_take(self, cine: str, key: str, others: frozenset[str]) -> None:
        self._takes[cine] = (*(other for other in self._takes.get(cine, ()) if other not in others), key)
        self._show_apply()

    def _show_apply(self) -> None:
        self.apply_button.setEnabled(self.choices != self._before)

    def _use(self) -> None:
        self.accept()
        self._apply(self.choices)


def needs_a_look(study: Study, cine: Cine) -> bool:
    """Whether the reader should see the import before anything is measured."""
    doubtful = cine.view_confidence < SURE and bool(cine.sources)
    return bool(cine.missing or study.report.repeats.get(cine.id) or doubtful or not cine.measurable) or (
        cine.geometry.spacing_is_stated and not cine.geometry.is_regular
    )


def lines_to_check(study: Study, cine: Cine) -> list[str]:
    """Warnings on a cine, and what was not read, by reason."""
    reasons = Counter(file.reason for file in study.report.refused)
    told = [f"{n} file{'s' if n > 1 else ''} not read: {reason}." for reason, n in reasons.most_common(4)]
    more = len(reasons) - len(told)
    return [*cine.warnings, *told, *([f"{more} more reasons; see cinema inspect."] if more > 0 else [])]


def _cells(cine: Cine) -> tuple[str, ...]:
    geometry, rr_ms = cine.geometry, cine.timing.rr_ms
    step = geometry.slice_step_mm
    spacing = geometry.pixel_spacing_mm
    gaps = f", {len(cine.missing)} missing" if cine.missing else ""
    beat = (
        "" if not rr_ms else f"{min(rr_ms):.0f}–{max(rr_ms):.0f}" if max(rr_ms) - min(rr_ms) >= 1 else f"{rr_ms[0]:.0f}"
    )
    return (
        "",
        f"{cine.view_confidence:.0%}",
        f"{cine.n_slices} × {cine.n_phases}{gaps}",
        f"{step:.3g}" if step is not None and cine.n_slices > 1 else "–",
        f"{spacing[0]:.3g} × {spacing[1]:.3g}" if geometry.spacing_is_stated else "not stated",
        beat or "not known",
        cine.timing.order_rule or "–",
        "",
    )


def _to_picture(cine: Cine) -> list[tuple[int, int, str]]:
    """Phase, slice and caption of every small picture."""
    if cine.n_slices == 1:
        there = [t for t in range(cine.n_phases) if cine.has_image(t, 0)]
        every = max(1, -(-len(there) // PHASES_OF_ONE_SLICE))
        return [(t, 0, f"phase {t + 1}") for t in there[::every]]
    found = []
    for z in range(cine.n_slices):
        t = next(t for t in range(cine.n_phases) if cine.has_image(t, z))
        place = ""
        if cine.geometry.spacing_is_stated:
            positions = cine.geometry.positions_mm
            place = f" · {abs(positions[z] - positions[0]):.1f} mm"
        found.append((t, z, f"{z + 1}{place}"))
    return found


def _empty(layout: object) -> None:
    assert isinstance(layout, (QGridLayout, QVBoxLayout))
    while layout.count():
        widget = layout.takeAt(0).widget()
        if widget is not None:
            widget.hide()  # it is deleted only when Qt has time
            widget.deleteLater()
