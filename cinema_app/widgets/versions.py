"""Lineage of the models: which came from which, what it was good for, which is in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QMessageBox,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cinema_app.model_import import ModelImport
from cinema_app.reading import Reading
from cinema_app.versions import VersionLine, Versions
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import NOT_KNOWN, allow, counted, muted, strong, tool_button
from cinema_core.anatomy import FOREGROUND, VENTRICLES, Structure
from cinema_core.incoming import config_beside, look_at

COLUMNS = ("Model", "Learned from", "Dice before → after")
ROW_HEIGHT = 20
MOST_ROWS = 6

WEIGHTS_FILTER = "Weights (*.safetensors);;All files (*)"
CONFIG_FILTER = "Config (*.yaml *.yml)"

USE_TIP = "Draw with this model from now on. Slices that you corrected or accepted stay; finished reports stay."
RENAME_TIP = "Give it a name of your own; in reports it keeps its number"
REMOVE_TIP = "Give up the weights of this version for good"
EXPORT_TIP = "Copy weights, config and card to a folder, for another computer or program"
IMPORT_TIP = "Bring a model from elsewhere into this project; it is checked first, and not put in use by itself"
COMPARE_TIP = "Let this model draw the open study, change nothing, and say how the ejection fraction would differ"


class VersionsPanel(QWidget):
    """The tree and what can be done with the model that is chosen in it."""

    def __init__(self, reading: Reading, versions: Versions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._versions = versions
        self._imports = ModelImport(reading)
        self._lines: dict[str, VersionLine] = {}
        self._in_use = ""
        self._build()
        self._show()
        events = reading.events
        for signal in (events.model_changed, events.trial_changed, events.cine_changed, events.job_changed):
            signal.connect(self._show)

    def _build(self) -> None:
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(COLUMNS)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tree.setIndentation(14)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            self.tree.header().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.header().setStretchLastSection(False)
        self.tree.currentItemChanged.connect(lambda *_: self._show_buttons())
        self.use = tool_button("Use", USE_TIP, self._acting(self._versions.use))
        self.compare = tool_button("What would change?", COMPARE_TIP, self._acting(self._versions.compare))
        self.rename = tool_button("Rename…", RENAME_TIP, self._acting(self._ask_title))
        self.export = tool_button("Export…", EXPORT_TIP, self._acting(self._ask_folder))
        self.bring = tool_button("Import…", IMPORT_TIP, answered(self._reading, self._ask_model))
        self.remove = tool_button("Delete…", REMOVE_TIP, self._acting(self._ask_removal))
        self.details = muted()
        self.details.setTextFormat(Qt.TextFormat.PlainText)  # a card may be anybody's
        buttons = QGridLayout()
        buttons.setSpacing(3)
        for k, made in enumerate((self.use, self.compare, self.rename, self.export, self.bring, self.remove)):
            buttons.addWidget(made, k // 3, k % 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(strong("Models"))
        layout.addWidget(self.tree)
        layout.addWidget(self.details)
        layout.addLayout(buttons)
        layout.addWidget(muted("Each version starts from its base with all labels, never from another version."))

    # ---------------------------------------------------------------- showing

    def _show(self, *_: object) -> None:
        lines = self._versions.lineage()
        in_use = next((line.name for line in lines if line.in_use), "")
        # Another model came into use: that is what the reader looks for.
        chosen = in_use if in_use != self._in_use else self.chosen
        self._in_use = in_use
        self._lines = {line.name: line for line in lines}
        self.tree.clear()
        parents: list[QTreeWidget | QTreeWidgetItem] = [self.tree]
        for line in lines:
            item = QTreeWidgetItem(parents[line.depth], _words(line))
            item.setData(0, Qt.ItemDataRole.UserRole, line.name)
            item.setToolTip(0, item.text(0))  # a narrow panel cuts long names
            if line.in_use:
                font = item.font(0)
                font.setBold(True)
                item.setFont(0, font)
            parents[line.depth + 1 :] = [item]
            item.setSizeHint(0, QSize(0, ROW_HEIGHT))
            if line.name == chosen or (chosen not in self._lines and line.in_use):
                self.tree.setCurrentItem(item)
        self.tree.expandAll()
        rows = min(max(len(lines), 2), MOST_ROWS)
        self.tree.setFixedHeight(self.tree.header().sizeHint().height() + rows * ROW_HEIGHT + 4)
        self._show_buttons()

    @property
    def chosen(self) -> str:
        """Name of the model that is chosen in the tree; empty for none."""
        item = self.tree.currentItem()
        return str(item.data(0, Qt.ItemDataRole.UserRole)) if item else ""

    def _show_buttons(self) -> None:
        line = self._lines.get(self.chosen)
        self.details.setText(_details(line) if line else "")
        self.details.setVisible(bool(self.details.text()))
        nothing = "Choose a model in the list first."
        reading = self._reading
        locked = "The project is open in another window." if reading.project.read_only else ""
        busy = "The engine is still at work." if reading.work.busy else ""
        shut = "" if reading.is_open else "Open a study first."
        used = "It is in use already." if line and line.in_use else ""
        made_here = "" if line and line.made_here else "It was not made in this project."
        for widget, why, tip in (
            (self.use, locked or used or (line.not_here_because if line else ""), USE_TIP),
            (self.compare, busy or shut or ("" if reading.measures else "Segment the study first."), COMPARE_TIP),
            (self.rename, locked or made_here, RENAME_TIP),
            (self.export, "", EXPORT_TIP),
            (self.remove, locked or (line.stays_because if line else ""), REMOVE_TIP),
        ):
            why = why if line else nothing
            allow(widget, not why, why, tip)
        why = self._imports.why_not_now()
        allow(self.bring, not why, why, IMPORT_TIP)

    # ---------------------------------------------------------------- acting

    def _acting(self, action: Callable[[str], object]) -> Callable[[], None]:
        return answered(self._reading, lambda: action(self.chosen))

    def _ask_title(self, name: str) -> None:
        title, given = QInputDialog.getText(self, "Rename", f"What to call {name}:", text=self._lines[name].title)
        if given:
            self._versions.rename(name, title)

    def _ask_folder(self, name: str) -> None:
        if folder := QFileDialog.getExistingDirectory(self, f"Export {name}: choose a folder"):
            self._reading.notify(f"Model {name} was copied to {self._versions.export(name, Path(folder))}")

    def _ask_model(self) -> None:
        """Ask for weights, their config unless it lies beside them, and a name; then let the engine check them."""
        chosen, _ = QFileDialog.getOpenFileName(self, "Import a model: choose its weights", "", WEIGHTS_FILTER)
        if not chosen:
            return
        config = config_beside(weights := Path(chosen))
        if config is None:
            shown, _ = QFileDialog.getOpenFileName(
                self, f"Import {weights.name}: choose its config", str(weights.parent), CONFIG_FILTER
            )
            if not shown:
                return
            config = Path(shown)
        incoming = look_at(weights, config)
        name, why = self._imports.proposed_name(incoming), ""
        while True:
            question = (
                f"What to call the model in this project:\n{why}" if why else "What to call the model in this project:"
            )
            name, given = QInputDialog.getText(self, "Import a model", question, text=name)
            if not given:
                return
            if not (why := self._imports.why_not_named(name)):
                break
        self._imports.begin(incoming, name)

    def _ask_removal(self, name: str) -> None:
        again = " unless you import them again" if self._lines[name].imported else ""
        question = f"Delete the weights of {name}? They cannot be brought back{again}; the labels stay."
        if QMessageBox.question(self, "Delete version", question) == QMessageBox.StandardButton.Yes:
            self._versions.remove(name)


def _details(line: VersionLine) -> str:
    """Every figure of a version; what is known of an imported model; empty for others."""
    if line.imported:
        return line.imported
    if not line.after:
        return ""
    names = ((s, "muscle" if s is Structure.LV_MYOCARDIUM else s.key.upper()) for s in reversed(FOREGROUND))
    parts = [f"{name} {_change(line, 'dice', structure.key, '.3f')}" for structure, name in names]
    errors = [f"{v.key.upper()} {_change(line, 'ef_error_points', v.key, '.1f')}" for v in VENTRICLES]
    where = f" on {line.judged_on}" if line.judged_on else ""
    return f"{line.name}{where}: Dice {', '.join(parts)}; EF error in points {', '.join(errors)}."


def _change(line: VersionLine, kind: str, key: str, form: str) -> str:
    old, new = line.before.get(kind, {}).get(key), line.after.get(kind, {}).get(key)
    return NOT_KNOWN if old is None or new is None else f"{old:{form}} → {new:{form}}"


def _words(line: VersionLine) -> list[str]:
    name = f"{line.title} ({line.name})" if line.title else line.name
    learned = ""
    if line.n_slices is not None:
        parts = [(line.n_slices, "slice"), (line.n_patients, "patient")]
        learned = ", ".join(counted(n, thing) for n, thing in parts if n)
    if line.imported:
        return [f"{name} · in use" if line.in_use else name, "imported", "not measured"]
    known = line.dice_before is not None and line.dice_after is not None
    dice = f"{line.dice_before:.3f} → {line.dice_after:.3f}" if known else ""
    return [f"{name} · in use" if line.in_use else name, learned, dice]
