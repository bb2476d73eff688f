"""A reading of a real study in a real window, as a process of its own that can be killed.

``read STUDY PROJECT OUT``: open, segment, paint, accept, fine-tune, decide, export; then wait to be killed.
``find STUDY PROJECT OUT``: open the study again and tell what is there.
Each step is driven through the panels and the canvas, and what is told goes to OUT/told.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

LIMIT_S = 240.0
SIZE = (1366, 768)
"""A small screen; what is clicked must be in sight there."""


def pause(ms: int) -> None:
    """Let the window live for a moment. Not ``QTest.qWait``: vispy replaces it with a loop that never sleeps."""
    loop = QEventLoop()
    QTimer.singleShot(ms, loop.quit)
    loop.exec_()


def wait(done: Callable[[], bool], what: str) -> None:
    """Let the window live until something is done."""
    end = time.monotonic() + LIMIT_S
    while not done():
        pause(20)
        if time.monotonic() > end:
            raise TimeoutError(what)


def click(button: Any) -> None:
    """Press a button that a reader could press."""
    pause(50)
    assert button.isVisible() and button.isEnabled(), (button.text(), button.toolTip())
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def words(panel: Any) -> str:
    """Everything that a panel says."""
    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


def canvas_point(viewer: Any, y_mm: float, x_mm: float) -> QPoint:
    """Canvas pixel of a place in the image."""
    scene = viewer.window._qt_viewer.canvas.view.scene
    px = scene.transform.map([x_mm, y_mm, 0, 1])
    return QPoint(round(px[0]), round(px[1]))


def stroke(viewer: Any, start: QPoint, end: QPoint) -> None:
    """Drag the mouse over the canvas with the left button held."""
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, start)
    pause(50)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for k in range(1, 11):
        QTest.mouseMove(canvas, start + (end - start) * k / 10)
        pause(15)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, end)
    pause(50)


def picture(viewer: Any, out: Path) -> None:
    """Save what the reader sees."""
    pause(300)
    viewer.screenshot(str(out / "window.png"), canvas_only=False, flash=False)


def sha(mask: Any) -> str:
    """Name of a mask."""
    return hashlib.sha256(mask.tobytes()).hexdigest()


def read(desktop: Any, out: Path) -> dict[str, Any]:
    """Do the reading."""
    from cinema_app.layers import Tool
    from cinema_core.anatomy import LabelState

    viewer, workspace, reading = desktop.viewer, desktop.workspace, desktop.workspace.reading
    told: dict[str, Any] = {"shape": reading.cine.shape}

    click(workspace.segment.segment)
    wait(lambda: not reading.work.busy, "segmenting")
    told["segmented_phases"] = len(reading.complete_phases)
    told["said_after_segmenting"] = words(workspace.status)

    workspace.layers.go_to(0, 5)
    before = reading.labels[0, 5].copy()
    click(workspace.review._tools[Tool.RV])
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    stroke(viewer, middle - QPoint(60, 60), middle + QPoint(60, -60))
    told["painted_pixels"] = int((reading.labels[0, 5] != before).sum())
    told["state_after_painting"] = reading.state(0, 5)
    click(workspace.review.accept_slice)
    told["state_after_accepting"] = reading.state(0, 5)

    workspace.show_tab("Fine-tune")
    click(workspace.train.finetune)
    wait(lambda: reading.work.busy or reading.learning.trial is not None, "starting to fine-tune")
    wait(lambda: not reading.work.busy, "fine-tuning")
    told["said_after_fine_tuning"] = words(workspace.train) + words(workspace.status)
    told["keep_for_all"] = workspace.train.trial.keep.isEnabled()
    click(workspace.train.trial.keep_here)
    told["model"] = reading.model

    workspace.show_tab("Export")
    QFileDialog.getSaveFileName = staticmethod(lambda *_: (str(out / "report.csv"), ""))  # type: ignore[method-assign]
    click(workspace.export.export)
    picture(viewer, out)
    told["mask"] = sha(reading.labels[0, 5])
    told["corrected"] = reading.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED)
    return told


def find(desktop: Any, out: Path) -> dict[str, Any]:
    """Tell what a new start brings back."""
    from cinema_core.anatomy import LabelState

    reading = desktop.workspace.reading
    picture(desktop.viewer, out)
    return {
        "mask": sha(reading.labels[0, 5]),
        "shown": sha(desktop.workspace.layers.labels.data[0, 5]),
        "corrected": reading.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED),
        "model": reading.model,
        "said": words(desktop.workspace.status),
    }


def main() -> None:
    """Play one of the two parts."""
    part, study, project, out = sys.argv[1], *(Path(name) for name in sys.argv[2:5])
    from cinema_app.app import Desktop
    from cinema_core.learn.settings import FineTuneSettings

    desktop = Desktop.open((study,), project, finetune_settings=FineTuneSettings(steps=4))
    wait(lambda: not desktop.workspace.is_opening, "opening")
    desktop.viewer.window.resize(*SIZE)
    told = {"read": read, "find": find}[part](desktop, out)
    (out / "told.partial").write_text(json.dumps(told), encoding="utf-8")
    os.replace(out / "told.partial", out / "told.json")
    if part == "find":
        desktop.close()
        QApplication.processEvents()
        return
    while True:
        pause(100)


if __name__ == "__main__":
    main()
