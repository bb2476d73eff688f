"""What the contour tool offers, in one row that is there while the tool is in hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QMenu, QSizePolicy, QToolButton, QWidget

from cinema_app.contours.drawing import Mask
from cinema_app.contours.editor import REACH_STEP_MM, ContourEditor
from cinema_app.contours.layers import COLOURS, ContourLayers
from cinema_app.key_choices import key_words, keyed
from cinema_app.labelling import Slice
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import counted, tool_button
from cinema_app.widgets.following import Following
from cinema_core.io.contours import Outline

BORDERS = (
    (Outline.LV_ENDO, "Endo", "LV endocardium"),
    (Outline.LV_EPI, "Epi", "LV epicardium"),
    (Outline.RV_ENDO, "RV", "RV endocardium"),
)
HOW = (
    "Drag a point or the line itself; keys {} and {} say how far it follows. Shift+drag moves the whole contour, "
    "Ctrl+drag scales it. A double click on the line adds a point, on a point takes it away."
)
FOLLOW = "Follow the motion through the cycle"
FOLLOW_ALL = "Follow it on every slice with contours at this phase"
STOP_FOLLOWING = "Stop following the motion"


class ContoursPanel(QWidget):
    """Which contour is in hand, and what is done to the whole of it."""

    def __init__(
        self, reading: Reading, editor: ContourEditor, layers: ContourLayers, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._editor = editor
        self._layers = layers
        self.following = Following(reading, self, self._take_followed)
        self._build()
        self._show()
        editor.changed.connect(self._show)
        layers.in_hand_changed.connect(self._show)
        self.following.changed.connect(self._show_following)

    def _build(self) -> None:
        self.setStyleSheet("QToolButton { padding: 3px 4px; }")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        self.borders: dict[Outline, QToolButton] = {}
        group = QButtonGroup(self)
        for border, text, name in BORDERS:
            how = HOW.format(key_words("["), key_words("]"))
            tip = f"{name} in hand ({key_words('Space')} for the next). {how}"
            made = tool_button(text, tip, partial(self._editor.choose, border), COLOURS[border])
            made.setCheckable(True)
            group.addButton(made)
            row.addWidget(made)
            self.borders[border] = made
        self.draw = tool_button(
            "Draw",
            keyed("Draw this contour afresh: one stroke around, or clicks and a double click", "W"),
            answered(self._reading, self._layers.draw),
        )
        self.draw.setCheckable(True)
        self.more = tool_button("⋯", "Smooth, larger, smaller; other slices and phases; clear, revert", lambda: None)
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._build_menu())
        self.more.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.more.setFixedWidth(26)
        row.addWidget(self.draw)
        row.addWidget(self.more)

    def _build_menu(self) -> QMenu:
        menu = QMenu(self)

        def add(text: str, action: Callable[[], object], key: str = "") -> QAction:
            run = answered(self._reading, action)
            made = menu.addAction(f"{text}\t{key_words(key)}" if key else text)
            made.triggered.connect(lambda: run())
            return made

        editor = self._editor
        self._of_a_contour = [
            add("Smooth", editor.smooth, "O"),
            add("Half a millimetre larger", partial(editor.grow, 1), "Control-E"),
            add("Half a millimetre smaller", partial(editor.grow, -1), "Control-K"),
            add("Clear this contour", editor.clear),
        ]
        add("A pull reaches farther", partial(editor.change_reach, REACH_STEP_MM), "]")
        add("A pull reaches less far", partial(editor.change_reach, -REACH_STEP_MM), "[")
        menu.addSeparator()
        add("Copy to the slice above", partial(editor.copy_to, 0, -1), "Shift-Up")
        add("Copy to the slice below", partial(editor.copy_to, 0, 1), "Shift-Down")
        add("Copy to the phase before", partial(editor.copy_to, -1, 0), "Shift-Left")
        add("Copy to the phase after", partial(editor.copy_to, 1, 0), "Shift-Right")
        menu.addSeparator()
        add("Fill the slices between your corrected ones", self._fill_slices)
        add("Fill the phases between your corrected ones", self._fill_phases)
        self.follow = add(FOLLOW, self._follow_or_stop)
        self.follow_all = add(FOLLOW_ALL, self._follow_all)
        menu.addSeparator()
        add("Revert this slice to the model's", editor.revert_to_model)
        return menu

    def _follow_or_stop(self) -> None:
        """Follow the motion of the slice in hand; a second call stops whatever is followed."""
        if self.following.is_running:
            self.following.stop()
            return
        self.following.start((self._editor.motion_to_follow(),))
        self._reading.notify("Following the heart's motion through the cycle. The ⋯ menu stops it.")

    def _follow_all(self) -> None:
        motions = self._editor.motions_to_follow()
        self.following.start(motions)
        slices = counted(len(motions), "slice")
        self._reading.notify(f"Following the heart's motion on {slices} through the cycle. The ⋯ menu stops it.")

    def _take_followed(self, study_id: str, masks: dict[Slice, Mask]) -> None:
        thing = "phase" if len({z for _, z in masks}) == 1 else "slice"
        take = answered(
            self._reading,
            lambda: self._say_filled(self._editor.take_propagated(study_id, masks), thing, "the motion"),
        )
        take()

    def _show_following(self) -> None:
        self.follow.setText(STOP_FOLLOWING if self.following.is_running else FOLLOW)
        self.follow_all.setEnabled(not self.following.is_running)

    def _fill_slices(self) -> None:
        self._say_filled(self._editor.fill_slices(), "slice")

    def _fill_phases(self) -> None:
        self._say_filled(self._editor.fill_phases(), "phase")

    def _say_filled(self, n: int, thing: str, by: str = "shape") -> None:
        if n == 0:
            self._reading.notify("Nothing was filled: what is there already, or is yours, stays.")
            return
        what = counted(n, thing)
        self._reading.notify(f"Filled {what} by {by}. Look at each, then correct or accept it.")

    def _show(self, *_: object) -> None:
        self.setHidden(not self._layers.in_hand)
        if not self._layers.in_hand:
            return
        for border, made in self.borders.items():
            made.setChecked(border is self._editor.chosen)
        self.draw.setChecked(self._editor.is_drawing)
        for action in self._of_a_contour:
            action.setEnabled(self._editor.chosen in self._editor.curves)
