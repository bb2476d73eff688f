"""How long the window takes from launch until it can be used: ``python -m benchmarks.launch``.

Each launch is a process of its own, so that imports count. Usable: the window is drawn, its panel answers, and the
event loop has nothing left to do. With a study: its image is drawn as well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import DATA, Figure, print_table

LAUNCHES = 3

WINDOW = """
import sys, time
from pathlib import Path
from cinema_app.app import Desktop
study = [Path(sys.argv[2])] if len(sys.argv) > 2 else []
desktop = Desktop.open(study, Path(sys.argv[1]))
from qtpy.QtWidgets import QApplication
while desktop.workspace.is_opening or not desktop.workspace.study.isVisible():
    QApplication.processEvents()
QApplication.processEvents()
desktop.viewer.screenshot(canvas_only=True, flash=False)
print(time.time())
desktop.close()
"""
"""Seconds since the epoch are the one clock that two processes share."""


def launch(study: Path | None) -> float:
    """Seconds from starting Python until the window could be used."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(Path(folder) / "new.cinema"), *([str(study)] if study else [])]
        environment = {**os.environ, "NAPARI_CONFIG": str(Path(folder) / "napari.yaml")}
        start = time.time()
        done = subprocess.run(
            [sys.executable, "-c", WINDOW, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return float(done.stdout.split()[-1]) - start


def main() -> None:
    """Launch a few times, and show the first and the median."""
    sunnybrook = DATA / "sunnybrook_dicom" / "dicoms" / "SCD0000101"
    launches: dict[str, tuple[Path | None, str]] = {"empty window": (None, "<= 5 s")}
    if sunnybrook.is_dir():
        launches["with a study of 240 DICOM files"] = (sunnybrook, "<= 5 s + 3 s")
    figures = []
    for name, (study, target) in launches.items():
        seconds = [launch(study) for _ in range(LAUNCHES)]
        measured = f"first {seconds[0]:.1f} s, median {statistics.median(seconds):.1f} s"
        figures.append(Figure(name, measured, target))
    print_table("From launch until the window can be used", figures)


if __name__ == "__main__":
    main()
