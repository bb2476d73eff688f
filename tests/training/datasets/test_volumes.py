"""What is done to a volume, by itself."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from cinema_core.errors import GeometryError, LabelError
from training.datasets.volumes import (
    array_of,
    as_bytes,
    box_around,
    label_image,
    middle_box,
    planes_meet_mm,
    resample,
    window_at,
)


def image_of(voxels: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    return image


def corner_mm(image: sitk.Image) -> np.ndarray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint((-0.5, -0.5, -0.5)))


def test_resampling_keeps_the_outer_corner_the_type_and_the_volume_of_labels() -> None:
    labels = np.zeros((6, 40, 50), dtype=np.uint8)
    labels[1:5, 10:30, 12:36] = 3
    image = image_of(labels, (1.5, 1.25, 5.0))
    image.SetOrigin((7.0, -3.0, 20.0))
    image.SetDirection((0, 1, 0, 0, 0, 1, 1, 0, 0))
    found = resample(image, (1.0, 1.0, 10.0), labels=True)
    assert found.GetSize() == (75, 50, 3)
    assert found.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(corner_mm(found), corner_mm(image), atol=1e-9)
    assert set(np.unique(array_of(found))) == {0, 3}
    volume = np.count_nonzero(array_of(found)) * 10.0
    assert volume == pytest.approx(np.count_nonzero(labels) * 1.5 * 1.25 * 5.0, rel=0.05)


def test_a_long_axis_view_keeps_its_one_slice() -> None:
    found = resample(image_of(np.ones((1, 20, 20), dtype=np.int16), (2.0, 2.0, 8.0)), (1.0, 1.0))
    assert found.GetSize() == (40, 40, 1)
    assert found.GetSpacing() == (1.0, 1.0, 8.0)


def test_the_window_is_centred_and_moved_inside() -> None:
    mask = np.zeros((2, 100, 30), dtype=bool)
    mask[0, 50:60, 5:9] = True
    x, y = box_around(mask, 40)
    assert (x.start, x.stop) == (0, 30)  # shorter than the window: whole
    assert (y.start, y.stop) == (35, 75)  # centre 54.5
    mask[:] = False
    mask[1, 95:99, 2] = True
    assert box_around(mask, 40)[1] == slice(60, 100)
    with pytest.raises(LabelError, match="not labelled"):
        box_around(np.zeros_like(mask), 40)
    assert middle_box(image_of(mask.astype(np.uint8)), 40) == (slice(0, 30), slice(30, 70))


def test_a_window_beyond_the_border_is_black_and_lies_where_its_pixels_were() -> None:
    voxels = np.arange(1, 26, dtype=np.int16).reshape(1, 5, 5)
    image = image_of(voxels, (2.0, 2.0, 8.0))
    found = window_at(image, np.array([8.0, 8.0, 0.0]), 4)  # about the last pixel
    assert found.GetSize() == (4, 4, 1)
    assert np.count_nonzero(array_of(found)) == 9  # of its 4 x 4 pixels 3 x 3 are inside
    index = np.argwhere(array_of(found)[0] == 25)[0]
    point = found.TransformIndexToPhysicalPoint((int(index[1]), int(index[0]), 0))
    assert point == (8.0, 8.0, 0.0)
    with pytest.raises(GeometryError, match="outside"):
        window_at(image, np.array([800.0, 8.0, 0.0]), 4)


def test_planes_meet_in_the_first_short_axis_slice() -> None:
    sax, two, four = (image_of(np.zeros((1, 4, 4), dtype=np.uint8)) for _ in range(3))
    sax.SetOrigin((0, 0, 12.0))
    two.SetOrigin((5.0, 0, 0))
    two.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))  # normal along x
    four.SetOrigin((0, -7.0, 0))
    four.SetDirection((1, 0, 0, 0, 0, 1, 0, -1, 0))  # normal along y
    np.testing.assert_allclose(planes_meet_mm(sax, two, four), (5.0, -7.0, 12.0))
    with pytest.raises(GeometryError, match="do not cut"):
        planes_meet_mm(sax, two, two)


def test_grey_values_are_cut_to_whole_numbers_between_the_published_percentiles() -> None:
    voxels = np.linspace(0, 1000, 4000, dtype=np.float32).reshape(1, 40, 100)
    (found,) = as_bytes([image_of(voxels)])
    low, high = np.percentile(voxels, (0.95, 99.5))
    expected = (np.clip((voxels - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(array_of(found), expected)
    assert array_of(as_bytes([image_of(np.full((1, 3, 3), 7.0))])[0]).max() == 0


def test_labels_that_do_not_fit_are_refused() -> None:
    like = image_of(np.zeros((2, 5, 6), dtype=np.int16))
    with pytest.raises(LabelError, match="has 5 x 5 x 2 voxels, its image has 6 x 5 x 2"):
        label_image(image_of(np.zeros((2, 5, 5), dtype=np.int16)), like, {0: 0}, "gt")
    with pytest.raises(LabelError, match="holds the label 9"):
        label_image(image_of(np.full((2, 5, 6), 9, dtype=np.int16)), like, {0: 0, 1: 3}, "gt")
    np.testing.assert_array_equal(
        array_of(label_image(image_of(np.ones((2, 5, 6), dtype=np.int16)), like, {1: 3}, "gt")), 3
    )
