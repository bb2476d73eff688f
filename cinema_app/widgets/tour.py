"""A strip above the panels that points at the next of the five steps; it blocks nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from cinema_app.preferences import preferences
from cinema_app.reading import Reading
from cinema_app.tour import ALL_DONE, STEPS, next_step
from cinema_app.widgets.appearance import muted, tool_button

POINTED_AT: Final = "tour"
"""Property of the control that is the next step's; the style sheet frames it."""

STYLE: Final = """
QFrame#tour { background-color: #2d3a4a; border-radius: 4px; }
QFrame#tour QLabel { color: #f0f1f2; }
QFrame#tour QToolButton { background: transparent; color: #b4b9c2; padding: 2px 4px; }
QFrame#tour QToolButton:hover { background-color: #414f62; }
QFrame#tour QToolButton[step="done"] { color: #3fb68b; }
QFrame#tour QToolButton[step="now"] { color: white; font-weight: 700; border-bottom: 2px solid #ffcb6b; }
QPushButton[tour="here"] { border: 2px solid #ffcb6b; }
"""


class TourStrip(QFrame):
    """The five steps in a row, what to do now below them, and a cross.

    Parameters
    ----------
    targets
        The control of each step.
    show_tab
        Brings a tab to the front by its title.
    reveal
        Scrolls to a control.
    """

    def __init__(
        self,
        reading: Reading,
        targets: Sequence[QWidget],
        show_tab: Callable[[str], None],
        reveal: Callable[[QWidget], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._targets = targets
        self._show_tab = show_tab
        self._reveal = reveal
        self._now: int | None = None
        self.setObjectName("tour")
        self._build()
        self.setVisible(not preferences().tour.seen)
        self._show()
        events = reading.events
        for signal in (events.cine_changed, events.labels_changed, events.trial_changed, events.noticed):
            signal.connect(self._show)

    def _build(self) -> None:
        self.steps: list[QToolButton] = []
        row = QHBoxLayout()
        row.setSpacing(2)
        for k, step in enumerate(STEPS):
            made = tool_button(step.name, step.words, partial(self._look, k))
            made.setCursor(Qt.CursorShape.PointingHandCursor)
            row.addWidget(made)
            self.steps.append(made)
        self.cross = tool_button("✕", "Close; the button First steps at the foot opens it again", self.dismiss)
        self.cross.setFixedWidth(24)
        row.addWidget(self.cross)
        self.words = muted()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 3, 4, 5)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.words)

    def dismiss(self) -> None:
        """Close the strip, for good unless it is opened again."""
        preferences().tour.seen = True
        self.hide()
        self._show()

    def open_again(self) -> None:
        """Show the strip, or close it if it is there."""
        if not self.isHidden():
            self.dismiss()
            return
        preferences().tour.seen = False
        self.show()
        self._show()

    def _look(self, k: int) -> None:
        if STEPS[k].tab:
            self._show_tab(STEPS[k].tab)
        self._reveal(self._targets[k])

    def _show(self, *_: object) -> None:
        """Mark what is done and what is next; point at nothing while the strip is closed."""
        now = None if self.isHidden() else next_step(self._reading)
        for k, target in enumerate(self._targets):
            _set_property(target, POINTED_AT, "here" if k == now else "")
        if now is not None and now != self._now:
            self._reveal(self._targets[now])
        self._now = now
        if self.isHidden():
            return
        for k, (step, made) in enumerate(zip(STEPS, self.steps, strict=True)):
            done = step.is_done(self._reading)
            made.setText(f"✓ {step.name}" if done else f"{k + 1} {step.name}")
            _set_property(made, "step", "now" if k == now else "done" if done else "")
        self.words.setText(ALL_DONE if now is None else self._words_of(now))

    def _words_of(self, k: int) -> str:
        """Say what to do now; where its control is grey, why it is."""
        target = self._targets[k]
        return STEPS[k].words if target.isEnabled() else target.toolTip()


def _set_property(widget: QWidget, name: str, value: str) -> None:
    if widget.property(name) != value:
        widget.setProperty(name, value)
        widget.style().unpolish(widget)  # or Qt keeps the style of before
        widget.style().polish(widget)
