"""What the contour tool offers, in one row that is there while the tool is in hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QMenu, QSizePolicy, QToolButton, QWidget

from cinema_app.contours.editor import ContourEditor
from cinema_app.contours.layers import COLOURS, ContourLayers
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import counted, tool_button
from cinema_core.io.contours import Outline

BORDERS = (
    (Outline.LV_ENDO, "Endo", "LV endocardium"),
    (Outline.LV_EPI, "Epi", "LV epicardium"),
    (Outline.RV_ENDO, "RV", "RV endocardium"),
)
HOW = (
    "Drag a point or the line itself; the line follows as far as the slider says. Shift+drag moves the whole contour, "
    "Ctrl+drag scales it. A double click on the line adds a point, on a point takes it away."
)


class ContoursPanel(QWidget):
    """Which contour is in hand, and what is done to the whole of it."""

    def __init__(
        self, reading: Reading, editor: ContourEditor, layers: ContourLayers, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._editor = editor
        self._layers = layers
        self._build()
        self._show()
        editor.changed.connect(self._show)
        layers.in_hand_changed.connect(self._show)

    def _build(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        self.borders: dict[Outline, QToolButton] = {}
        group = QButtonGroup(self)
        for border, text, name in BORDERS:
            tip = f"{name} in hand (Space for the next). {HOW}"
            made = tool_button(text, tip, partial(self._editor.choose, border), COLOURS[border])
            made.setCheckable(True)
            group.addButton(made)
            row.addWidget(made)
            self.borders[border] = made
        self.draw = self._button(
            "Draw", "Draw this contour afresh: one stroke around, or clicks and a double click (W)", self._layers.draw
        )
        self.draw.setCheckable(True)
        self.smooth = self._button("Smooth", "Even out this contour (O)", self._editor.smooth)
        self.smaller = self._button("−", "Half a millimetre smaller (Ctrl+K)", partial(self._editor.grow, -1))
        self.larger = self._button("+", "Half a millimetre larger (Ctrl+E)", partial(self._editor.grow, 1))
        self.more = self._button("⋯", "Other slices and phases, clear, revert", lambda: None)
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._build_menu())
        for made in (self.draw, self.smooth, self.smaller, self.larger, self.more):
            row.addWidget(made)
        # All in one row: a second one would push the ejection fraction off a small screen.
        for made in (self.smaller, self.larger, self.more):
            made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            made.setFixedWidth(26)

    def _build_menu(self) -> QMenu:
        menu = QMenu(self)

        def add(text: str, action: Callable[[], object]) -> None:
            run = answered(self._reading, action)
            menu.addAction(text).triggered.connect(lambda: run())

        add("Copy to the slice above\tShift+↑", lambda: self._editor.copy_to(0, -1))
        add("Copy to the slice below\tShift+↓", lambda: self._editor.copy_to(0, 1))
        add("Copy to the phase before\tShift+←", lambda: self._editor.copy_to(-1, 0))
        add("Copy to the phase after\tShift+→", lambda: self._editor.copy_to(1, 0))
        add("Fill the slices between your corrected ones", self._interpolate)
        menu.addSeparator()
        add("Clear this contour", self._editor.clear)
        add("Revert this slice to the model's", self._editor.revert_to_model)
        return menu

    def _button(self, text: str, tip: str, action: Callable[[], object]) -> QToolButton:
        return tool_button(text, tip, answered(self._reading, action))

    def _interpolate(self) -> None:
        n = self._editor.interpolate()
        self._reading.notify(f"Filled {counted(n, 'slice')} by shape. Look at each before you accept it.")

    def _show(self, *_: object) -> None:
        self.setVisible(self._layers.in_hand)
        if not self._layers.in_hand:
            return
        for border, made in self.borders.items():
            made.setChecked(border is self._editor.chosen)
        self.draw.setChecked(self._editor.is_drawing)
        drawn = self._editor.chosen in self._editor.curves
        for made in (self.smooth, self.smaller, self.larger):
            made.setEnabled(drawn)
