"""The window of a model on a cine, and points and pictures on the way back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import PhaseError, StudyError
from cinema_core.models import ViewSettings
from cinema_core.predict.inputs import model_view, scale_sample, study_sample

GRID = ViewSettings((1.0, 1.0), (64, 96))
Make = Callable[..., Cine]


def long_axis(rows: int = 40, columns: int = 50, spacing_mm: float = 1.5, phases: int = 3, **changes: object) -> Cine:
    affine = np.diag([spacing_mm, spacing_mm, 8.0, 1.0])
    pixels = np.random.default_rng(0).uniform(size=(phases, 1, rows, columns)).astype(np.float32)
    values: dict[str, object] = {"pixels": pixels, "geometry": Geometry.from_affine(affine, 1), "view": View.LAX_4C}
    return Cine(id="four", **(values | changes))  # type: ignore[arg-type]


def test_an_image_that_fits_begins_where_the_window_begins() -> None:
    cine = long_axis(rows=30, columns=40)  # 45 x 60 mm in a window of 96 x 64
    window = model_view(cine, "lax_4c", GRID)
    frames = window.frames([0])
    assert frames.shape == (1, 64, 96)
    assert frames[0, :60, :45].min() >= 0
    assert not frames[0, 61:].any()
    assert not frames[0, :, 46:].any()
    # The outer edges of both first pixels meet: pixel 0 of the window lies at 1 / 1.5 / 2 - 0.5 of the image's.
    np.testing.assert_allclose(window.native_yx(np.array([0.0, 0.0])), [1 / 3 - 0.5] * 2, atol=1e-9)


def test_an_image_that_does_not_fit_is_cut_around_the_heart() -> None:
    cine = long_axis(rows=120, columns=40)
    pixels = np.full(cine.shape, 10.0, dtype=np.float32)
    pixels[..., 80:100, 15:25] += np.array([100, 0, 50], dtype=np.float32)[:, None, None, None]  # what beats
    pixels[..., 0, 0] = 0
    window = model_view(long_axis(rows=120, columns=40, pixels=pixels), "lax_4c", GRID)
    y, _ = window.native_yx(np.array([31.5, 47.5]))
    assert 80 < y < 100


@pytest.mark.parametrize("size", [(30, 40), (120, 100)])
def test_points_and_pictures_go_the_same_way(size: tuple[int, int]) -> None:
    rows, columns = size
    cine = long_axis(rows=rows, columns=columns)
    pixels = np.zeros(cine.shape, dtype=np.float32)
    y, x = rows // 2 + 3, columns // 2 - 5
    pixels[..., y - 5 : y + 6, x - 5 : x + 6] = 1.0
    window = model_view(long_axis(rows=rows, columns=columns, pixels=pixels), "lax_4c", GRID)
    frame = window.frames([0])[0]
    where = np.array(np.nonzero(frame > 0.5)).mean(axis=1)  # (x, y) of the spot on the model's grid
    np.testing.assert_allclose(window.native_yx(where), [y, x], atol=0.5)
    back = window.to_native(frame[None])
    assert back.shape == (1, 1, rows, columns)
    np.testing.assert_allclose(np.array(np.nonzero(back[0, 0] > 0.5)).mean(axis=1), [y, x], atol=0.5)


def test_another_view_is_refused() -> None:
    with pytest.raises(StudyError, match=r"four is taken as 4-chamber; this model looks at 2-chamber.*--view"):
        model_view(long_axis(), "lax_2c", GRID)


def test_a_long_axis_stack_is_refused() -> None:
    pixels = np.ones((2, 3, 40, 50), dtype=np.float32)
    geometry = Geometry.from_affine(np.eye(4), 3)
    with pytest.raises(StudyError, match="four has 3 slices"):
        model_view(long_axis(pixels=pixels, geometry=geometry), "lax_4c", GRID)


def test_a_frame_without_a_picture_is_refused() -> None:
    pixels = long_axis().pixels.copy()
    pixels[1] = 7.0
    window = model_view(long_axis(pixels=pixels), "lax_4c", GRID)
    window.frames([0])
    with pytest.raises(StudyError, match="Phase 2 of the cine four is one grey all over"):
        window.frames([0, 1])


def test_values_that_are_no_numbers_are_refused() -> None:
    pixels = long_axis().pixels.copy()
    pixels[1, 0, 5, 5] = np.nan
    with pytest.raises(StudyError, match="Phase 2 of the cine four holds values that are no numbers"):
        model_view(long_axis(pixels=pixels), "lax_4c", GRID)


def test_one_sample_is_stretched_over_all_its_channels() -> None:
    scaled = scale_sample(np.array([[2.0, 4.0], [6.0, 10.0]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[0.0, 0.25], [0.5, 1.0]])
    assert not scale_sample(np.full((2, 3), 5.0, dtype=np.float32)).any()


def test_a_missing_view_and_a_phase_outside_are_named() -> None:
    with pytest.raises(StudyError, match="also looks at the 2-chamber"):
        study_sample({"lax_4c": long_axis()}, {"lax_4c": GRID, "lax_2c": GRID}, {"lax_4c": (0,)})
    with pytest.raises(PhaseError, match="Phase 4 was asked for; the cine four has phases 1 to 3"):
        study_sample({"lax_4c": long_axis()}, {"lax_4c": GRID}, {"lax_4c": (0, 3)})
