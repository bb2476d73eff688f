"""Make the pictures of README and docs again: play the demo in a window, go on in its project, open a study with gaps.

Example: xvfb-run -a -s "-screen 0 1400x870x24" python scripts/docs_pictures.py, or with the name of one scene.
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
        command = [sys.executable, "-m", "cinema_app.cli", "demo", "--out", OUT, "--close", *sys.argv[2:]]
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
    workspace.review.leading.go_to_next()
    take("next")
    teaching = reading.learning.collect_teaching_set()
    teaching.load()
    reading.learning.finetune(teaching, FineTuneSettings(steps=40))
    wait_while(lambda: reading.work.busy)
    reading.learning.keep_trial(this_study_only=True)
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


def pictures_of_report() -> None:
    """Show the synthetic heart with its true labels, one slice of them spoilt, in the report panel and on the page."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        import pypdfium2
        from qtpy.QtTest import QTest

        from cinema_app.app import Desktop
        from cinema_core.anatomy import LabelState, Structure
        from cinema_core.measure import ReportChoices
        from cinema_core.phantom import HeartParameters, make_phantom, write_phantom
        from cinema_core.project import SliceEdit

        heart = make_phantom(HeartParameters(n_slices=10, n_phases=25), seed=1)
        study = write_phantom(Path(temporary) / "study", heart, kind="dicom")
        desktop = Desktop.open([study], Path(temporary) / "heart.cinema")
        workspace, reading = desktop.workspace, desktop.workspace.reading
        while workspace.is_opening or not reading.is_open:
            QTest.qWait(50)
        labels = heart.sax.labels.copy()
        labels[0, 4, 10:25, 10:30] = Structure.RV_CAVITY
        reading.project.record_many(
            SliceEdit(reading.study_id, t, z, labels[t, z], LabelState.ACCEPTED, "import")
            for t in range(reading.cine.n_phases)
            for z in range(reading.cine.n_slices)
        )
        assert reading.study is not None
        reading.show(reading.study)
        reading.report.choose(ReportChoices(sex="F", age_years=52, height_cm=168, weight_kg=64))
        workspace.show_tab("Report")
        workspace.layers.go_to(0, 4)
        QTest.qWait(800)
        desktop.viewer.screenshot(str(Path(temporary) / "report.png"), canvas_only=False, flash=False)
        with Image.open(Path(temporary) / "report.png") as picture:
            picture.convert("RGB").save(PICTURES / "report.png", optimize=True)
        workspace.report.grab().save(str(PICTURES / "report-panel.png"))  # all of it, also what has to be scrolled to
        workspace.report.choices.preview.click()
        workspace.layers.go_to(0, 5)
        QTest.qWait(800)
        desktop.viewer.screenshot(str(Path(temporary) / "papillary.png"), canvas_only=False, flash=False)
        with Image.open(Path(temporary) / "papillary.png") as picture:
            picture.convert("RGB").save(PICTURES / "papillary.png", optimize=True)
        workspace.report.choices.preview.click()
        reading.correct(0, 4, heart.sax.labels[0, 4])
        reading.name_reader("Reader 7")
        reading.report.approve()
        reading.report.export_document(Path(temporary) / "report.pdf")
        page = pypdfium2.PdfDocument(Path(temporary) / "report.pdf")[0]
        page.render(scale=1.6).to_pil().convert("RGB").save(PICTURES / "report-page.png", optimize=True)
        desktop.close()


def picture_of_contours() -> None:
    """Pull the endocardium of the synthetic heart outwards, as the model drew it."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        import numpy as np
        from qtpy.QtTest import QTest

        from cinema_app.app import Desktop
        from cinema_app.sample_data import synthetic_heart
        from cinema_core.io.contours import Outline

        desktop = Desktop.open([synthetic_heart(Path(temporary) / "study")], Path(temporary) / "heart.cinema")
        workspace, reading = desktop.workspace, desktop.workspace.reading
        while workspace.is_opening or not reading.is_open:
            QTest.qWait(50)
        reading.segment()
        while reading.work.busy:
            QTest.qWait(50)
        workspace.layers.go_to(0, reading.cine.n_slices // 2)
        workspace.contours.take()
        editor = workspace.contour_editor
        curve = editor.curves[Outline.LV_ENDO]
        grip = curve.outline[int(np.argmax(curve.outline[:, 1]))]
        editor.press(grip, 1.0)
        editor.drag(grip + np.array([0.0, 2.5]))
        editor.release()
        QTest.qWait(800)
        path = Path(temporary) / "contours.png"
        desktop.viewer.screenshot(str(path), canvas_only=False, flash=False)
        with Image.open(path) as picture:
            picture.convert("RGB").save(PICTURES / "contours.png", optimize=True)
        desktop.close()


SCENES = {
    "loop": main,
    "import": picture_of_import,
    "report": pictures_of_report,
    "contours": picture_of_contours,
    "views": pictures_of_views,
}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SCENES:
        SCENES[sys.argv[1]]()
    else:
        for scene in SCENES:
            # Each in a process of its own: napari reads where its settings lie once.
            subprocess.run([sys.executable, __file__, scene, *sys.argv[1:]], check=True)
