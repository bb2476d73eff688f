"""How fluid reading is, against napari with the image alone in the same window: ``python -m benchmarks.reading``.

A synthetic study is opened with its true labels. Every step waits until the canvas is drawn again. *Ours* is what runs
between the event and the drawing: contours, labels, journal, measures. Memory is that of a process of its own, which
opens 30 x 14 frames of 512 x 512, fills them with labels and steps through all of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.table import Figure, print_table

STEPS: Final = 60
WARM_UP: Final = 5
WAIT_S: Final = 10.0
REACH: Final = 0.15
"""Of a contour's size: how far a point is dragged to and fro."""

RATE_FLOOR: Final = 0.75
REDRAW_CEILING: Final = 1.5
OURS_CEILING_MS: Final = 50.0


class Watch:
    """Times events from their start until the canvas was drawn after them."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtWidgets import QApplication

        self._application = QApplication
        self._canvas = viewer.window._qt_viewer.canvas._scene_canvas
        self._drawn = 0
        self._canvas.events.draw.connect(self._count)

    def _count(self, event: Any) -> None:
        self._drawn += 1

    def settle(self) -> None:
        """Let everything that is waiting be done."""
        quiet_since = time.monotonic()
        drawn = self._drawn
        while time.monotonic() - quiet_since < 0.3:
            self._application.processEvents()
            if drawn != self._drawn:
                drawn, quiet_since = self._drawn, time.monotonic()

    def until_drawn(self, act: Callable[[int], None], n: int = STEPS) -> tuple[list[float], list[float]]:
        """Do something many times.

        Returns
        -------
        Seconds until drawn, and seconds of the act itself, without the first few.
        """
        whole, ours = [], []
        for k in range(n + WARM_UP):
            self.settle() if k <= WARM_UP else None
            drawn, started = self._drawn, time.perf_counter()
            act(k)
            ours.append(time.perf_counter() - started)
            while self._drawn == drawn:
                if time.perf_counter() - started > WAIT_S:
                    raise SystemExit(f"The canvas was not drawn again after step {k + 1}; is the window hidden?")
                self._application.processEvents()
            whole.append(time.perf_counter() - started)
        return whole[WARM_UP:], ours[WARM_UP:]


@contextmanager
def window(folder: Path, **heart: Any) -> Iterator[Any]:
    """Open a synthetic study with its true labels in the real window."""
    os.environ["NAPARI_CONFIG"] = str(folder / "napari.yaml")
    os.environ["CINEMA_IDENTITIES"] = str(folder / "identities.json")
    from qtpy.QtTest import QTest

    from cinema_app.app import Desktop
    from cinema_core.phantom import HeartParameters, make_phantom, write_phantom

    image = write_phantom(folder / "study", make_phantom(HeartParameters(**heart), seed=1))
    desktop = Desktop.open([image], folder / "bench.cinema")
    reading = desktop.workspace.reading
    while desktop.workspace.is_opening or not reading.is_open:
        QTest.qWait(20)  # the thread that reads needs its turn
    reading.import_labels(folder / "study" / "truth" / "labels.nii.gz", label_order="cinema")
    try:
        yield desktop
    finally:
        desktop.close()


def measure(desktop: Any) -> list[Figure]:
    """Step, drag, change slices and undo."""
    workspace, reading, watch = desktop.workspace, desktop.workspace.reading, Watch(desktop.viewer)
    layers, contours = workspace.layers, workspace.contours
    n_phases, n_slices = reading.cine.n_phases, reading.cine.n_slices
    middle = n_slices // 2

    def step(k: int) -> None:
        layers.go_to((k + 1) % n_phases, middle)

    layers.go_to(0, middle)
    layers.labels.visible = False
    image, _ = watch.until_drawn(step)
    layers.labels.visible = True
    layers.go_to(0, middle)
    outlined, outlined_ours = watch.until_drawn(step)
    layers.go_to(0, middle)
    contours.take()
    smooth, smooth_ours = watch.until_drawn(step)

    def change_slice(k: int) -> None:
        layers.go_to(0, middle + (k + 1) % 2)

    changed, changed_ours = watch.until_drawn(change_slice)

    layers.go_to(0, middle)
    watch.settle()
    editor = workspace.contour_editor
    border = editor.chosen
    point = editor.curves[border].points[0].copy()
    pull = REACH * (point - editor.curves[border].points.mean(axis=0))
    editor.press(point, 1.0)

    def drag(k: int) -> None:
        editor.drag(point + pull * np.sin((k + 1) / 5.0))

    dragged, dragged_ours = watch.until_drawn(drag)
    editor.release()

    def correct_a_little() -> None:
        grip = editor.curves[border].points[0].copy()
        editor.press(grip, 1.0)
        editor.drag(grip + 0.4 * pull)
        editor.release()

    for _ in range(STEPS + WARM_UP):
        correct_a_little()
    watch.settle()
    undone, undone_ours = watch.until_drawn(lambda _: reading.undo())

    redraw_ms = 1000 * p95(image)

    def beside(name: str, whole: list[float], ours: list[float]) -> Figure:
        measured = f"{1000 * p95(whole):.0f} ms ({1000 * p95(whole) / redraw_ms:.2f}), ours {1000 * p95(ours):.0f} ms"
        return Figure(name, measured, f"<= {REDRAW_CEILING} of a redraw, ours <= {OURS_CEILING_MS:.0f} ms")

    def rate(name: str, whole: list[float], ours: list[float]) -> Figure:
        share = float(np.mean(image) / np.mean(whole))
        measured = f"{1 / np.mean(whole):.1f} a second ({share:.2f}), ours {1000 * p95(ours):.0f} ms"
        return Figure(name, measured, f">= {RATE_FLOOR} of the image alone")

    return [
        Figure("phases a second, image alone", f"{1 / np.mean(image):.1f}; a redraw {redraw_ms:.0f} ms (p95)"),
        rate("phases a second, labels as outlines", outlined, outlined_ours),
        rate("phases a second, smooth contours", smooth, smooth_ours),
        beside("change of slice, smooth contours (p95)", changed, changed_ours),
        beside("drag of a contour's point (p95)", dragged, dragged_ours),
        beside("undo (p95)", undone, undone_ours),
    ]


def p95(values: list[float]) -> float:
    """95th percentile."""
    return float(np.percentile(values, 95))


def memory_mb(folder: Path) -> float:
    """Memory of a window that has shown every frame of a large study, in MB."""
    with window(folder, n_phases=30, n_slices=14, slice_step_mm=7.5, rows=512, columns=512, pixel_spacing_mm=0.7) as it:
        watch, cine = Watch(it.viewer), it.workspace.reading.cine
        for t in range(cine.n_phases):
            for z in range(cine.n_slices):
                it.workspace.layers.go_to(t, z)
            watch.settle()
        return float(psutil.Process().memory_info().rss / 1e6)


def main() -> None:
    """Measure in this process, and memory in another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory-only", action="store_true", help="print the memory of a large study in MB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        if asked.memory_only:
            print(memory_mb(Path(name)))
            return
        with window(Path(name), n_phases=25, n_slices=10, rows=256, columns=256, pixel_spacing_mm=1.4) as desktop:
            figures = measure(desktop)
    command = [sys.executable, "-m", "benchmarks.reading", "--memory-only"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures.append(Figure("memory, 30 x 14 x 512 x 512", f"{float(said.split()[-1]) / 1000:.2f} GB", "<= 1.5 GB"))
    print_table("Reading, synthetic study of 25 x 10 frames, 256 x 256", figures)


if __name__ == "__main__":
    main()
