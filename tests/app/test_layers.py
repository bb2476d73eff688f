"""napari's layers and the reading in step; napari's viewer model needs no window for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from cinema_app.layers import CineLayers, Tool
from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_core.anatomy import LabelState
from cinema_core.errors import StorageError
from cinema_core.phantom import PhantomStudy
from cinema_core.project import Project


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layers(viewer: ViewerModel, segmented: Reading) -> Iterator[CineLayers]:
    made = CineLayers(viewer, segmented)
    yield made
    made.close()


def paint(layers: CineLayers, y: int, x: int, structure: Tool = Tool.MYO) -> None:
    """One dab of the brush on the viewed slice, by napari's own method."""
    layers.use(structure)
    assert layers.labels is not None
    layers.labels.paint((*layers.here, y, x), layers.labels.selected_label)


def test_the_layers_lie_in_millimetres(layers: CineLayers, segmented: Reading) -> None:
    dy, dx = segmented.cine.geometry.pixel_spacing_mm
    for layer in (layers.image, layers.labels):
        assert layer is not None
        assert tuple(layer.scale) == (1.0, pytest.approx(18.0), dy, dx)
        assert layer.data.shape == segmented.cine.shape


def test_another_study_takes_over_the_same_layers(
    layers: CineLayers, viewer: ViewerModel, segmented: Reading, another_heart: PhantomStudy, study: Any
) -> None:
    before = (layers.image, layers.labels)
    segmented.show(study(another_heart, "study-00000002"))
    assert (layers.image, layers.labels) == before
    assert [layer.data.shape for layer in viewer.layers] == [another_heart.cine.shape] * 2


def test_a_renamed_layer_is_still_ours(layers: CineLayers, segmented: Reading) -> None:
    assert layers.labels is not None
    layers.labels.name = "mine"
    paint(layers, 90, 90)
    assert segmented.state(*layers.here) is LabelState.CORRECTED


def test_a_brush_stroke_becomes_a_correction(layers: CineLayers, segmented: Reading, project: Project) -> None:
    layers.go_to(1, 2)
    paint(layers, 90, 90)
    assert segmented.slices_in(LabelState.CORRECTED) == [(1, 2)]
    assert segmented.labels[1, 2, 90, 90] == 2
    assert project.slices(segmented.study_id)[1, 2].mask[90, 90] == 2


def test_the_brush_stays_on_its_slice(layers: CineLayers, segmented: Reading, phantom_study: PhantomStudy) -> None:
    layers.go_to(1, 2)
    paint(layers, 90, 90)
    others = np.delete(
        segmented.labels.reshape(-1, *segmented.labels.shape[2:]), 1 * segmented.cine.n_slices + 2, axis=0
    )
    truth = np.delete(phantom_study.labels.reshape(-1, *segmented.labels.shape[2:]), 1 * 5 + 2, axis=0)
    assert np.array_equal(others, truth)


def test_naparis_own_undo_has_nothing_to_undo(layers: CineLayers, segmented: Reading) -> None:
    paint(layers, 90, 90)
    after = segmented.labels.copy()
    assert layers.labels is not None
    layers.labels.undo()
    assert np.array_equal(layers.labels.data, after)


def test_undo_of_the_reading_is_seen_in_the_layer(
    layers: CineLayers, segmented: Reading, phantom_study: PhantomStudy
) -> None:
    paint(layers, 90, 90)
    segmented.undo()
    assert layers.labels is not None
    assert np.array_equal(layers.labels.data, phantom_study.labels)


def test_labels_that_a_script_puts_into_the_layer_are_taken(layers: CineLayers, segmented: Reading) -> None:
    assert layers.labels is not None
    data = layers.labels.data.copy()
    data[2, 1, 5:9, 5:9] = 1
    data[3, 0, 5:9, 5:9] = 1
    layers.labels.data = data
    assert segmented.slices_in(LabelState.CORRECTED) == [(2, 1), (3, 0)]


def test_a_stroke_that_cannot_be_saved_is_not_shown(
    layers: CineLayers,
    segmented: Reading,
    notices: list[Notice],
    project: Project,
    phantom_study: PhantomStudy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full; nothing was saved.")

    monkeypatch.setattr(project, "record_step", full)
    paint(layers, 90, 90)
    assert layers.labels is not None
    assert np.array_equal(layers.labels.data, phantom_study.labels)
    assert notices[-1] == Notice("The disk is full; nothing was saved.", Severity.ERROR)


def test_removing_the_labels_layer_loses_no_labels(
    layers: CineLayers, viewer: ViewerModel, segmented: Reading, phantom_study: PhantomStudy
) -> None:
    viewer.layers.remove(layers.labels)
    segmented.accept([(0, 0)])
    assert np.array_equal(segmented.labels, phantom_study.labels)


def test_phases_go_round_and_slices_stop(layers: CineLayers, segmented: Reading) -> None:
    n_t, n_z = segmented.cine.shape[:2]
    layers.go_to(n_t - 1, n_z - 1)
    layers.step_phase(1)
    layers.step_slice(1)
    assert layers.here == (0, n_z - 1)


def test_undo_elsewhere_shows_where(layers: CineLayers, segmented: Reading, mask: Callable[[], np.ndarray]) -> None:
    layers.go_to(3, 4)
    segmented.correct(0, 2, mask())
    segmented.undo()
    assert layers.here == (0, 2)


def test_zoom_to_heart_centres_on_the_ventricles(layers: CineLayers, viewer: ViewerModel, segmented: Reading) -> None:
    layers.zoom_to_heart()
    rows, columns = np.nonzero(segmented.labels.any(axis=(0, 1)))
    dy, dx = segmented.cine.geometry.pixel_spacing_mm
    _, y, x = viewer.scene.camera.center
    assert rows.min() * dy < y < rows.max() * dy
    assert columns.min() * dx < x < columns.max() * dx
