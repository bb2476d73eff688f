"""How the panels look: text colours that are legible on napari's dark theme, and small building blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QToolButton, QWidget
from superqt import QElidingLabel

from cinema_app.news import Severity
from cinema_core.anatomy import LabelState
from cinema_core.measure import Light

TEXT: Final = "#f0f1f2"
MUTED: Final = "#b4b9c2"
NOT_KNOWN: Final = "not known"
NOTICE_COLOURS: Final = {Severity.INFO: "#d6dae0", Severity.WARNING: "#ffcb6b", Severity.ERROR: "#ff9088"}
LIGHT_COLOURS: Final = {Light.GREEN: "#3fb68b", Light.AMBER: "#ffcb6b", Light.RED: "#ff6b60"}
STATE_COLOURS: Final = {
    LabelState.ABSENT: "#3b3f49",
    LabelState.PREDICTED: "#7f8ea8",
    LabelState.CORRECTED: "#e69f00",
    LabelState.ACCEPTED: "#3fb68b",
}
"""Slate, amber and green differ in lightness as well as hue."""

STYLE: Final = f"""
QLabel[role="muted"] {{ color: {MUTED}; }}
QLabel[role="strong"] {{ color: {TEXT}; font-weight: 600; }}
QPushButton[role="main"] {{ background-color: #2f6fb3; color: white; font-weight: 600; padding: 5px 10px; }}
QPushButton[role="main"]:hover {{ background-color: #3d82cc; }}
QPushButton[role="main"]:disabled {{ background-color: #3b3f49; color: #8b909a; }}
QPushButton {{ padding: 4px 8px; }}
QProgressBar::chunk {{ background-color: #4a90d9; }}
QPushButton:disabled {{ color: #8b909a; }}
QToolButton {{ padding: 3px 6px; background-color: #414851; border-radius: 2px; color: {TEXT}; }}
QToolButton:hover {{ background-color: #5a626c; }}
QToolButton:checked {{ background-color: #2f6fb3; }}
QToolButton:disabled {{ color: #8b909a; }}
"""


def muted(text: str = "", *, wrap: bool = True) -> QLabel:
    """Line of secondary text."""
    return _label(text, "muted", wrap)


def elided(text: str = "") -> QElidingLabel:
    """Line of secondary text that ends in dots where the panel is too narrow."""
    label = QElidingLabel(text)
    label.setProperty("role", "muted")
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def strong(text: str = "", *, wrap: bool = False) -> QLabel:
    """Line of text that stands out."""
    return _label(text, "strong", wrap)


def _label(text: str, role: str, wrap: bool) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", role)
    label.setWordWrap(wrap)
    if not wrap:
        # A long line is cut by the panel's width, instead of widening the panel.
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def button(text: str, tip: str, action: Callable[[], object], *, main: bool = False) -> QPushButton:
    """Push button that leaves the keyboard to the canvas."""
    made = QPushButton(text)
    made.setToolTip(tip)
    if main:
        made.setProperty("role", "main")
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.clicked.connect(lambda: action())
    return made


def tool_button(text: str, tip: str, action: Callable[[], object], colour: str = "") -> QToolButton:
    """Small button, with a colour patch if it stands for a structure."""
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    if colour:
        made.setIcon(colour_patch(colour))
        made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    made.clicked.connect(lambda: action())
    return made


def text_entry(placeholder: str, tip: str) -> QLineEdit:
    """Line to write in, which takes the keyboard only when it is clicked."""
    made = QLineEdit()
    made.setPlaceholderText(placeholder)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    return made


def in_a_row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets beside each other."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget)
    return row


def keep_height(label: QLabel) -> None:
    """Give a folded line its height, which Qt leaves out of the least height that the tabs go by."""
    label.setMinimumHeight(max(0, label.heightForWidth(label.width())))


def colour_patch(colour: str) -> QIcon:
    """Square of one colour."""
    patch = QPixmap(12, 12)
    patch.fill(QColor(colour))
    return QIcon(patch)


def counted(n: int, thing: str, things: str = "") -> str:
    """Return ``1 slice``, ``2 slices``; ``things`` where an s does not make the plural."""
    return f"{n} {thing if n == 1 else things or thing + 's'}"


def allow(widget: QWidget, allowed: bool, why_not: str, tip: str) -> None:
    """Enable a control, or grey it and say why in its tooltip."""
    widget.setEnabled(allowed)
    widget.setToolTip(tip if allowed else why_not)
