"""Look at each slice, correct it, vouch for it; say which phases are ED and ES."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.contours.editor import ContourEditor
from cinema_app.contours.layers import ContourLayers
from cinema_app.key_choices import keyed
from cinema_app.layers import CineLayers, Tool
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import STATE_COLOURS, allow, button, muted, strong, tool_button
from cinema_app.widgets.basal import BasalMenu
from cinema_app.widgets.contours import ContoursPanel
from cinema_app.widgets.leading import Leading, OpenKept
from cinema_app.widgets.player import Player
from cinema_app.widgets.state_map import StateMap
from cinema_core.anatomy import LabelState, Structure

STATE_WORDS = {
    LabelState.ABSENT: "no contours yet",
    LabelState.PREDICTED: "drawn by the model or filled in, and nobody checked them yet",
    LabelState.CORRECTED: "corrected by you",
    LabelState.ACCEPTED: "accepted",
}
SHORT_WORDS = {LabelState.ABSENT: "no contours"}
NEXT_TIP = "Go to the slice on which most of the ejection fraction is at stake"
TEACH_TIP = (
    "Go to a slice to correct or accept for the model's sake: few of each study of the project, at random, over base, "
    "middle and apex. Where this study has taught its share, another one is opened"
)
BASE_TIP = "Leave the basal slice out or bring it back, and see first what that does to the ejection fraction"
ESTIMATE_TIP = (
    "One slice in five that Next to check leads to is drawn at random. In brackets, what the true share may be (95 %, "
    "as if every slice were of another heart: of few studies it is less certain); of the model in use, in all studies"
)
NO_PHASES = "ED and ES are not known yet: segment the cine, or set them."
TOOLS = (
    (Tool.MOVE, "Move", "Move and zoom the image", "Z", ""),
    (Tool.CONTOUR, "Contour", "Correct with smooth contours: drag a point or the line", "C", ""),
    (Tool.RV, "RV", "Paint the RV cavity", "1", Structure.RV_CAVITY.colour),
    (Tool.MYO, "Myo", "Paint the LV myocardium", "2", Structure.LV_MYOCARDIUM.colour),
    (Tool.LV, "LV", "Paint the LV cavity; papillary muscles belong to it", "3", Structure.LV_CAVITY.colour),
    (Tool.ERASE, "Erase", "Erase", "E", ""),
)


class ReviewPanel(QWidget):
    """Brush, slice states, ED and ES."""

    suggested = Signal()
    """The reader was led to a slice, and :attr:`why` says why."""

    def __init__(
        self,
        reading: Reading,
        layers: CineLayers,
        contours: ContourLayers,
        editor: ContourEditor,
        player: Player,
        open_kept: OpenKept,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self._contours = contours
        self._editor = editor
        self._player = player
        self.leading = Leading(reading, layers, open_kept)
        self._build()
        self._show()
        for signal in (
            reading.events.cine_changed,
            reading.events.labels_changed,
            reading.events.phases_changed,
            reading.events.measures_changed,
        ):
            signal.connect(self._show)
        self._show_estimate()
        for signal in (reading.events.cine_changed, reading.events.labels_changed, reading.events.model_changed):
            signal.connect(self._show_estimate)
        self.leading.changed.connect(self._show_why)
        self.leading.led.connect(self._say_why)
        layers.moved.connect(self._show_slice)
        layers.tool_changed.connect(self._show_tool)
        contours.in_hand_changed.connect(self._show_tool)
        player.changed.connect(self._show_playing)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._build_position())
        layout.addLayout(self._build_tools())
        layout.addLayout(self._build_tool_in_hand())
        self.map = StateMap(self._reading, self._layers)
        layout.addWidget(self.map)
        layout.addLayout(self._build_legend())
        layout.addLayout(self._build_phases())
        layout.addLayout(self._build_accept())
        self.why = muted()
        layout.addWidget(self.why)
        self.estimate = muted()
        self.estimate.setToolTip(ESTIMATE_TIP)
        layout.addWidget(self.estimate)

    def _build_position(self) -> QHBoxLayout:
        self._where = strong()
        self._state = QLabel()
        self.play = tool_button("▶ Play", keyed("Play the cine at the patient's heart rate", "P"), self._player.toggle)
        self.play.setFixedWidth(64)
        row = QHBoxLayout()
        row.addWidget(self._where, 1)
        row.addWidget(self._state)
        row.addWidget(self.play)
        return row

    def _build_tools(self) -> QHBoxLayout:
        self._tools: dict[Tool, QToolButton] = {}
        group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(3)
        for tool, text, tip, key, colour in TOOLS:
            take = self._contours.take if tool is Tool.CONTOUR else partial(self._layers.use, tool)
            made = tool_button(text, keyed(tip, key), take, colour)
            made.setCheckable(True)
            group.addButton(made)
            row.addWidget(made)
            self._tools[tool] = made
        return row

    def _build_tool_in_hand(self) -> QHBoxLayout:
        """One row for brush and contours in turn: a second one would push the ejection fraction off a small screen."""
        self.brush = self._build_brush()
        self.contour_tools = ContoursPanel(self._reading, self._editor, self._contours)
        self.undo = tool_button(
            "↶", keyed("Undo: take back the last edit, on whichever slice", "Control-Z"), self._undo
        )
        self.redo = tool_button("↷", keyed("Redo: do it again", "Control-Y"), self._redo)
        self.hide_contours = tool_button("Hide", keyed("Hide or show the contours", "H"), self.toggle_contours)
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.brush, 1)
        row.addWidget(self.contour_tools, 1)
        for made, width in ((self.undo, 28), (self.redo, 28), (self.hide_contours, 46)):
            made.setFixedWidth(width)
            row.addWidget(made)
        return row

    def _build_brush(self) -> QWidget:
        self._size = QSlider(Qt.Orientation.Horizontal)
        self._size.setRange(1, 40)
        self._size.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._size.setToolTip("Brush size in pixels ( [ and ] )")
        self._size.valueChanged.connect(self._layers.set_brush_size)
        made = QWidget()
        row = QHBoxLayout(made)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(muted("Brush", wrap=True))
        row.addWidget(self._size, 1)
        return made

    def _build_legend(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        self._counts: dict[LabelState, QLabel] = {}
        for state in (LabelState.PREDICTED, LabelState.CORRECTED, LabelState.ACCEPTED):
            made = QLabel()
            made.setToolTip(f"Slices {STATE_WORDS[state]}")
            row.addWidget(made)
            self._counts[state] = made
        row.addStretch(1)
        return row

    def _build_phases(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        self._phase_words = {"ed": strong(), "es": strong()}
        self._go_buttons, self._set_buttons = [], []
        kinds = (
            ("ed", "D", self.go_to_ed, self.set_ed, "end-diastole"),
            ("es", "S", self.go_to_es, self.set_es, "end-systole"),
        )
        for name, key, go, choose, words in kinds:
            go_button = tool_button("Go", keyed(f"Show {words}", key), answered(self._reading, go))
            tip = keyed(f"Make the phase on show {words}, of all slices", f"Alt-{key}")
            set_button = tool_button("Set here", tip, answered(self._reading, choose))
            row.addWidget(self._phase_words[name], 1)
            for made in (go_button, set_button):
                made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
                row.addWidget(made)
            if name == "ed":
                row.addSpacing(10)
            self._go_buttons.append(go_button)
            self._set_buttons.append(set_button)
        return row

    def _build_accept(self) -> QVBoxLayout:
        self.accept_slice = button("Accept slice", "", answered(self._reading, self._accept_slice))
        self.accept_phases = button("Accept ED and ES", "", answered(self._reading, self._reading.accept_phases))
        self.next = button("Next to check", "", answered(self._reading, self.leading.go_to_next))
        self.next_to_teach = button("Next to teach", "", answered(self._reading, self.leading.go_to_next_to_teach))
        self.basal_menu = BasalMenu(self._reading, self)
        self.base = button("Base…", keyed(BASE_TIP, "B"), self.ask_base)
        rows = QVBoxLayout()
        for pair in ((self.accept_slice, self.accept_phases), (self.next, self.next_to_teach, self.base)):
            row = QHBoxLayout()
            for made in pair:
                row.addWidget(made)
            rows.addLayout(row)
        return rows

    @property
    def last_line(self) -> QWidget:
        """Lowest of the lines that say why a slice was suggested, and how good the model is."""
        return self.estimate if self.estimate.text() else self.why

    # ---------------------------------------------------------------- actions, also bound to keys

    def toggle_contours(self) -> None:
        """Hide the contours, or show them again."""
        (self._contours.toggle if self._contours.in_hand else self._layers.toggle_contours)()

    def go_to_ed(self) -> None:
        """Show end-diastole."""
        if choice := self._reading.phases:
            self._layers.go_to(choice.ed_phase, self._layers.here[1])

    def go_to_es(self) -> None:
        """Show end-systole."""
        if choice := self._reading.phases:
            self._layers.go_to(choice.es_phase, self._layers.here[1])

    def set_ed(self) -> None:
        """Make the phase on show end-diastole."""
        self._reading.set_ed(self._layers.here[0])

    def set_es(self) -> None:
        """Make the phase on show end-systole."""
        self._reading.set_es(self._layers.here[0])

    def ask_base(self) -> None:
        """Show what leaving the basal slice out, or bringing it back, does to the ejection fraction."""
        if self.base.isEnabled():
            self.basal_menu.open_below(self.base)

    def _accept_slice(self) -> None:
        self._reading.accept([self._layers.here])

    def _undo(self) -> None:
        answered(self._reading, self._reading.undo)()

    def _redo(self) -> None:
        answered(self._reading, self._reading.redo)()

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        self._show_slice()
        self._show_tool()
        self._show_phases()
        for state, label in self._counts.items():
            count = len(self._reading.slices_in(state))
            label.setText(f"<span style='color:{STATE_COLOURS[state]}'>■</span> {count} {state.value}")
        self.undo.setEnabled(self._reading.can_undo)
        self.redo.setEnabled(self._reading.can_redo)

    def _show_why(self) -> None:
        """Say why the slice on show was suggested; nothing on any other."""
        self.why.setText(self.leading.reason)
        self.why.setVisible(bool(self.why.text()))

    def _show_estimate(self, *_: object) -> None:
        self.estimate.setText(self._reading.queues.estimate() if self._reading.is_open else "")
        self.estimate.setVisible(bool(self.estimate.text()))

    def _say_why(self) -> None:
        self._show_why()
        self.suggested.emit()

    def _show_slice(self, *_: object) -> None:
        is_open = self._reading.is_open
        self._show_why()
        drawn = is_open and bool(self._reading.slices_in(LabelState.PREDICTED))
        allow(self.next, drawn, "Nothing to check: segment the cine first.", keyed(NEXT_TIP, "N"))
        allow(self.next_to_teach, drawn, "Nothing to choose from: segment the cine first.", keyed(TEACH_TIP, "T"))
        self.play.setEnabled(is_open)
        if not is_open:
            self._where.setText("Slice and phase")
            self._state.clear()
            allow(self.accept_slice, False, "Open a study first.", "")
            return
        t, z = self._layers.here
        n_t, n_z = self._reading.cine.shape[:2]
        state = self._reading.state(t, z)
        self._where.setText(f"Slice {z + 1}/{n_z} · phase {t + 1}/{n_t}")
        self._state.setText(
            f"<span style='color:{STATE_COLOURS[state]}'>■</span> {SHORT_WORDS.get(state, state.value)}"
        )
        self._state.setToolTip(f"This slice: {STATE_WORDS[state]}")
        allow(
            self.accept_slice,
            state is not LabelState.ACCEPTED,
            "This slice is accepted already.",
            f"{keyed('Vouch for this slice as it is', 'A')}. An empty slice is accepted as one without ventricles.",
        )

    def _show_phases(self) -> None:
        choice = self._reading.phases
        who = "Set by you" if self._reading.phases_are_the_readers else "Proposed from the volume curve"
        for name, words in (("ed", "ED"), ("es", "ES")):
            t = None if choice is None else getattr(choice, f"{name}_phase")
            self._phase_words[name].setText(f"{words} –" if t is None else f"{words} {t + 1}")
            self._phase_words[name].setToolTip("Not known yet" if t is None else f"{who}: {words} is phase {t + 1}")
        for made in self._set_buttons:
            made.setEnabled(self._reading.is_open)
        for made in self._go_buttons:
            made.setEnabled(choice is not None)
        allow(self.base, choice is not None, NO_PHASES, keyed(BASE_TIP, "B"))
        allow(self.accept_phases, choice is not None, NO_PHASES, self._accept_tip())

    def _accept_tip(self) -> str:
        """Tell what the button vouches for: where the RV has another ED or ES than the LV, its slices too."""
        numbers = [str(t + 1) for t in self._reading.phases_to_accept]
        where = f" and {numbers[-1]}" if len(numbers) > 1 else ""
        return (
            "Vouch for every slice of ED and ES of both ventricles, as an approval asks for: "
            f"{'phases' if where else 'phase'} {', '.join(numbers[:-1] or numbers)}{where}"
        )

    def _show_tool(self) -> None:
        contour = self._contours.in_hand
        current = Tool.CONTOUR if contour else self._layers.tool
        for tool, made in self._tools.items():
            made.setChecked(tool is current)
            made.setEnabled(self._reading.is_open)
        self.hide_contours.setEnabled(self._reading.is_open)
        self.brush.setHidden(contour)
        with signals_blocked(self._size):
            self._size.setValue(self._layers.brush_size)

    def _show_playing(self) -> None:
        self.play.setText("■ Stop" if self._player.playing else "▶ Play")
