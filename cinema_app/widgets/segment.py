"""The model draws: which one, and the button."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, button, elided, muted
from cinema_core.cine import View
from cinema_core.errors import CinemaError

TIP = "Draw both ventricles on every phase. Slices that you corrected or accepted stay as they are."


class SegmentPanel(QWidget):
    """Segment the cine with the model in use; below, where other models come from.

    Parameters
    ----------
    offer
        Panel that offers the published model.
    """

    def __init__(self, reading: Reading, offer: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._build(offer)
        self._show_models()
        self._show_button()
        reading.events.model_changed.connect(self._show_models)
        reading.events.trial_changed.connect(self._show_models)
        reading.events.cine_changed.connect(self._show_button)
        reading.events.job_changed.connect(self._show_button)

    def _build(self, offer: QWidget) -> None:
        self.segment = button("Segment", TIP, answered(self._reading, self._reading.segment), main=True)
        self._models = QComboBox()
        self._models.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._models.activated.connect(lambda _: answered(self._reading, self._choose)())
        self._version = elided()
        top = QHBoxLayout()
        top.addWidget(self.segment)
        top.addWidget(muted("with model", wrap=True))
        top.addWidget(self._models, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        below = QHBoxLayout()
        below.addWidget(self._version, 1)
        below.addWidget(offer, 1)
        layout.addLayout(below)

    def _show_models(self) -> None:
        current = self._reading.model
        with signals_blocked(self._models):
            self._models.clear()
            names = [card.name for card in self._reading.models()]
            for name in names if current in names else [*names, current]:
                self._models.addItem(name, name)
            self._models.setCurrentIndex(self._models.findData(current))
        try:
            card = self._reading.model_card
        except CinemaError as error:
            self._version.setText(f"Model {current} cannot be used.")
            self._version.setToolTip(str(error))
            return
        base = card.lineage.get("base")
        self._version.setText(f"Model version {card.sha256[:8]}" + (f" · fine-tuned from {base}" if base else ""))
        self._version.setToolTip(f"{card.description}\nSHA-256 {card.sha256}")

    def _show_button(self) -> None:
        allow(self.segment, not (why := self._why_not()), why, TIP)

    def _why_not(self) -> str:
        if not self._reading.is_open:
            return "Open a study first."
        if self._reading.cine.view is not View.SAX:
            return "This model draws on short-axis cines only. Choose the short axis above."
        if self._reading.work.busy:
            return "The engine is still at work."
        return ""

    def _choose(self) -> None:
        try:
            self._reading.choose_model(self._models.currentData())
        finally:
            self._show_models()
