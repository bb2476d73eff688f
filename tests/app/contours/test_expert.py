"""A reader who draws with the mouse what an expert drew: the volumes must be the expert's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from cinema_app.reading import Reading
from cinema_app.widgets.workspace import Workspace
from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.io import load_study
from cinema_core.io.contours import import_labels
from cinema_core.measure.volumes import pixel_volumes_ml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EVERY_POINT: Final = 3
"""Of the expert's points, those that the hand passes through; the window paints at each of them."""


def strokes(contours: Path, cine: Cine) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Endocardial contours (y, x) by slice, in pixels whose middles lie at whole numbers."""
    numbers = {int(source.path.stem): where for where, source in cine.sources.items()}
    for file in sorted(contours.glob("*icontour*.txt")):
        number = re.search(r"-(\d+)-icontour", file.name)
        assert number is not None
        yield numbers[int(number[1])], np.loadtxt(file)[::EVERY_POINT, ::-1] - 0.5


def test_an_expert_s_contours_drawn_by_mouse_give_the_expert_s_volumes(
    workspace: Workspace, reading: Reading, hand: Any, qtbot: Any, shared_data: Path
) -> None:
    sunnybrook = shared_data / "sunnybrook_dicom"
    contours = sunnybrook / "contourfiles" / "SC-HF-I-4" / "i-contours"
    study = load_study(sunnybrook / "dicoms" / "SCD0000301")
    reading.show(study)
    cine = reading.cine
    expert = import_labels(contours, cine).masks
    workspace.window().resize(1250, 850)
    for (t, z), points in strokes(contours, cine):
        workspace.layers.go_to(t, z)
        qtbot.wait(30)
        workspace.contours.draw()
        centre = points.mean(axis=0)
        workspace._viewer.scene.camera.center = (0, *(centre * cine.geometry.pixel_spacing_mm))
        workspace._viewer.scene.camera.zoom = 6
        qtbot.wait(30)
        pixels = [hand.point(*point, cine.geometry.pixel_spacing_mm) for point in (*points, points[0])]
        QTest.mouseMove(hand.canvas, pixels[0])
        QTest.mousePress(hand.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixels[0])
        for pixel in pixels[1:]:
            QTest.mouseMove(hand.canvas, pixel)
            qtbot.wait(5)
        QTest.mouseRelease(hand.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixels[-1])
        qtbot.wait(20)
    pixel_ml = pixel_volumes_ml(cine.geometry)
    phases = sorted({t for t, _ in expert})
    assert len(phases) == 2
    for phase in phases:
        slices = [z for t, z in expert if t == phase]
        drawn, wanted = (
            sum(pixel_ml[z] * (labels[phase, z] == Structure.LV_CAVITY).sum() for z in slices)
            for labels in (reading.labels, expert)
        )
        assert drawn == pytest.approx(wanted, rel=0.01)
