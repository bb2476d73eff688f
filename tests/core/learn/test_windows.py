from collections.abc import Callable

import numpy as np
import pytest

from cinema_core.anatomy import UNLABELLED
from cinema_core.cases import TrainingCase
from cinema_core.cine import Geometry
from cinema_core.learn.windows import windows_of
from cinema_core.models.zoo import ViewSettings

SLICES = ViewSettings(spacing_mm=(1.0, 1.0, 10.0), patch_size=(64, 64, 1))
STACKS = ViewSettings(spacing_mm=(1.0, 1.0, 10.0), patch_size=(64, 64, 4))


def ramp_case(step_mm: float = 10.0, n_slices: int = 3, slices: tuple[int, ...] = (1,)) -> TrainingCase:
    """An off-centre heart whose LV is bright; 2 mm along y, 1 mm along x."""
    labels = np.full((n_slices, 60, 120), UNLABELLED, dtype=np.uint8)
    labels[list(slices)] = 0
    labels[list(slices), 35:45, 80:100] = 3
    image = np.zeros(labels.shape, dtype=np.float32)
    image[:, 35:45, 80:100] = 100 * (1 + np.arange(n_slices))[:, None, None]
    geometry = Geometry.from_affine(np.diag([1.0, 2.0, step_mm, 1.0]), n_slices)
    return TrainingCase("a", "a", "a", image, labels, geometry)


def test_a_slice_model_gets_one_window_per_labelled_slice() -> None:
    windows = windows_of(ramp_case(slices=(0, 2)), SLICES)
    assert [window.planes for window in windows] == [((0, 0),), ((2, 0),)]
    assert all(window.sample.image.shape == (64, 64, 1) for window in windows)


def test_the_window_is_centred_on_the_heart_with_x_first_at_the_models_spacing() -> None:
    (window,) = windows_of(ramp_case(), SLICES)
    x, y, _ = np.nonzero(window.sample.labels.numpy() == 3)
    assert (np.ptp(x) + 1, np.ptp(y) + 1) == pytest.approx((20, 20), abs=1)  # 20 mm along x, 10 x 2 mm along y
    assert (x.mean(), y.mean()) == pytest.approx((31.5, 31.5), abs=0.6)


def test_image_and_labels_lie_on_each_other_and_the_image_spans_0_to_1() -> None:
    (window,) = windows_of(ramp_case(slices=(2,)), SLICES)
    image, labels = window.sample.image.numpy(), window.sample.labels.numpy()
    assert image[labels == 3].mean() > 0.95
    assert image[labels == 0].mean() < 0.05
    assert 0 <= image.min() <= image.max() <= 1


def test_outside_the_image_nothing_is_known() -> None:
    (window,) = windows_of(ramp_case(), ViewSettings((1.0, 1.0, 10.0), (192, 192, 1)))
    labels = window.sample.labels.numpy()
    assert (labels == UNLABELLED).sum() == 192 * 192 - (labels != UNLABELLED).sum()
    assert (labels != UNLABELLED).sum() == pytest.approx(120 * 120, rel=0.03)


def test_a_stack_model_gets_the_stack_with_255_on_other_slices_and_beyond_its_end() -> None:
    (window,) = windows_of(ramp_case(), STACKS)
    assert window.planes == ((1, 1),)
    known = (window.sample.labels.numpy() != UNLABELLED).any(axis=(0, 1))
    assert known.tolist() == [False, True, False, False]
    assert window.sample.image.numpy()[..., 3].max() == 0


def test_a_stack_is_resampled_to_the_models_slice_distance() -> None:
    (window,) = windows_of(ramp_case(step_mm=5.0, n_slices=6, slices=(2, 3)), STACKS)
    # 6 slices of 5 mm are 3 planes of 10 mm; the first lies between native slices 0 and 1, the next 2 and 3.
    assert (window.sample.labels.numpy()[32, 32] == 3).tolist() == [False, True, False, False]
    first, second = window.sample.image.numpy()[32, 32, :2]
    assert second / first == pytest.approx(350 / 150, rel=0.01)


def test_a_tall_stack_becomes_several_windows(make_case: Callable[..., TrainingCase]) -> None:
    windows = windows_of(ramp_case(n_slices=6, slices=(0, 5)), STACKS)
    assert [window.planes for window in windows] == [((0, 0),), ((5, 1),)]
