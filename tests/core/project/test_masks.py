"""Masks on their way into the journal and back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cinema_core.anatomy import LabelState
from cinema_core.project import SliceEdit
from cinema_core.project.masks import checked_mask, pack, unpack


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.sampled_from([0, 1, 2, 3, 255])))
def test_a_packed_mask_is_the_same_when_unpacked(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(pack(mask), mask.shape), mask)


def test_a_mask_that_is_not_contiguous_keeps_its_rows(  # napari hands out views of its layer
) -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    edit = SliceEdit("s", 0, 0, labels.T, LabelState.CORRECTED, "brush")
    mask = checked_mask(edit, (1, 1, 6, 4))
    np.testing.assert_array_equal(unpack(pack(mask), (6, 4)), labels.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.bool_])
def test_any_whole_number_type_is_taken(dtype: type) -> None:
    edit = SliceEdit("s", 0, 0, np.eye(3).astype(dtype), LabelState.CORRECTED, "brush")
    mask = checked_mask(edit, (1, 1, 3, 3))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.eye(3))


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"\0" * 8)])
def test_damaged_bytes_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(packed, (3, 3))
