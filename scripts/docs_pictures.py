"""Make the pictures of README and docs again: play the demo in a window, go on in its project, open a study with gaps.

Example: xvfb-run -a -s "-screen 0 1400x870x24" python scripts/docs_pictures.py
With --views-only only those of the views beside the image, the base, the keys and the first steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
OUT = "results"
NAMES = {"segment-again": "read"}


def main() -> None:
    """Play, then write ``docs/images/NAME.png``."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NAPARI_CONFIG": _own_settings(Path(folder), tour_seen=True)}
        # Run there with a relative name: the picture of the export shows where the report went.
        command = [sys.executable, "-m", "cinema_app.cli", "demo", "--out", OUT, "--close", *sys.argv[1:]]
        subprocess.run(command, check=True, env=environment, cwd=folder)
        PICTURES.mkdir(parents=True, exist_ok=True)
        for path in sorted((Path(folder) / OUT).glob("*.png")):
            name = path.stem.split("-", 1)[1]
            with Image.open(path) as picture:
                picture.convert("RGB").save(PICTURES / f"{NAMES.get(name, name)}.png", optimize=True)
        pictures_of_queue_and_lineage(Path(folder) / OUT)


def pictures_of_queue_and_lineage(demo: Path) -> None:
    """Go on where the demo ended: the next slice to check, and a second version below the first."""
    from qtpy.QtTest import QTest

    from cinema_app.app import Desktop
    from cinema_app.sample_data import synthetic_heart
    from cinema_core.learn.settings import FineTuneSettings

    desktop = Desktop.open([synthetic_heart(demo / "study")], demo / "demo.cinema")
    workspace, reading = desktop.workspace, desktop.workspace.reading

    def wait_while(busy: Callable[[], bool]) -> None:
        QTest.qWait(100)
        while busy():
            QTest.qWait(50)

    def take(name: str) -> None:
        QTest.qWait(600)
        path = demo / f"{name}.png"
        desktop.viewer.screenshot(str(path), canvas_only=False, flash=False)
        with Image.open(path) as picture:
            picture.convert("RGB").save(PICTURES / f"{name}.png", optimize=True)

    wait_while(lambda: workspace.is_opening or not reading.is_open)
    workspace.review.go_to_next()
    take("next")
    teaching = reading.collect_teaching_set()
    teaching.load()
    reading.finetune(teaching, FineTuneSettings(steps=40))
    wait_while(lambda: reading.busy)
    reading.keep_trial(this_study_only=True)
    workspace.show_tab("Fine-tune")
    take("models")
    desktop.close()


def pictures_of_views() -> None:
    """Open the sample with its true labels: views beside the image, the base, the keys, the first steps."""
    import numpy as np
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from cinema_app.app import Desktop
    from cinema_app.preferences import preferences
    from cinema_app.sample_data import SAMPLE_SEED, synthetic_heart
    from cinema_core.engine.messages import SegmentOutcome
    from cinema_core.phantom import heart_called, make_phantom

    with tempfile.TemporaryDirectory() as temporary:
        _own_settings(Path(temporary), tour_seen=True)
        desktop = Desktop.open([synthetic_heart(Path(temporary) / "study")], Path(temporary) / "heart.cinema")
        workspace, reading = desktop.workspace, desktop.workspace.reading
        while workspace.is_opening or not reading.is_open:
            QTest.qWait(50)
        labels = make_phantom(heart_called("healthy"), seed=SAMPLE_SEED).labels
        unsure = np.zeros(labels.shape[:2], np.float32)
        outcome = SegmentOutcome(labels, unsure, tuple(range(len(labels))), reading.model_card)
        reading._take_segmentation(outcome, reading._open_labelling)
        workspace.layers.go_to(7, 3)

        def take(name: str) -> None:
            QTest.qWait(600)
            path = Path(temporary) / f"{name}.png"
            desktop.viewer.screenshot(str(path), canvas_only=False, flash=False)
            with Image.open(path) as picture:
                picture.convert("RGB").save(PICTURES / f"{name}.png", optimize=True)

        take("views")
        workspace.review.ask_base()
        QTest.qWait(300)
        # The menu is a window of its own, so it is taken from the screen.
        corner = workspace.mapToGlobal(workspace.rect().topLeft())
        screen = QApplication.primaryScreen()
        shown = screen.grabWindow(0, corner.x(), corner.y(), workspace.width(), workspace.height())
        shown.save(str(PICTURES / "base.png"))
        workspace.review.basal_menu.hide()
        workspace.show_keys()
        QTest.qWait(300)
        workspace.key_help.grab().save(str(PICTURES / "keys.png"))
        workspace.key_help.close()
        preferences().tour.seen = False
        workspace.tour.open_again()
        QTest.qWait(300)
        workspace.grab().save(str(PICTURES / "first-steps.png"))
        desktop.close()


def _own_settings(folder: Path, *, tour_seen: bool) -> str:
    """Keep settings in a folder, so that no size or choice of somebody's own changes a picture; returns the file."""
    settings = folder / "napari.yaml"
    (folder / "napari-cinema.yaml").write_text(f"tour:\n  seen: {str(tour_seen).lower()}\n")
    os.environ["NAPARI_CONFIG"] = str(settings)
    return str(settings)


def picture_of_import() -> None:
    """Open the synthetic heart with a few images missing, and keep the import check."""
    with tempfile.TemporaryDirectory() as temporary:
        _own_settings(Path(temporary), tour_seen=True)
        from qtpy.QtTest import QTest

        from cinema_app.app import Desktop
        from cinema_core.phantom import HeartParameters, make_phantom, write_phantom

        heart = make_phantom(HeartParameters(n_slices=10, n_phases=25), seed=1)
        study = write_phantom(Path(temporary) / "study", heart, kind="dicom")
        for path in sorted(study.iterdir())[95:99]:
            path.unlink()
        desktop = Desktop.open([study], Path(temporary) / "heart.cinema")
        while desktop.workspace.is_opening or desktop.workspace.import_check is None:
            QTest.qWait(50)
        QTest.qWait(500)
        desktop.workspace.import_check.grab().save(str(PICTURES / "import.png"))
        desktop.close()


if __name__ == "__main__":
    if "--views-only" in sys.argv:
        pictures_of_views()
    else:
        main()
        picture_of_import()
        # In a process of its own: napari reads where its settings lie once.
        subprocess.run([sys.executable, __file__, "--views-only"], check=True)
