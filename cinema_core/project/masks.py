"""The mask of one slice: checked on its way into the journal, packed while it lies there."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import OUTSIDE_VALUES, UNLABELLED, Structure
from cinema_core.errors import LabelError
from cinema_core.project.records import SliceEdit

_COMPRESSION: Final = 1
"""Masks are long runs of few values: a 256 x 256 slice packs to 1 kB in 0.1 ms; higher levels gain little."""


def checked_mask(entry: SliceEdit, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return the mask of an edit as uint8 (y, x), if it fits a study of size (t, z, y, x).

    Raises
    ------
    LabelError
        If there is no such slice, or the mask has another shape, type or values.
    """
    n_phases, n_slices, *expected = shape
    where = f"phase {entry.t + 1}, slice {entry.z + 1} of {entry.study_id}"
    if not (0 <= entry.t < n_phases and 0 <= entry.z < n_slices):
        raise LabelError(f"There is no {where}: it has {n_phases} phases of {n_slices} slices.")
    mask = np.asarray(entry.mask)
    if list(mask.shape) != expected:
        found = " x ".join(map(str, mask.shape))
        raise LabelError(
            f"The label of {where} is {found}; the image is {expected[0]} x {expected[1]}. Label the original image."
        )
    if mask.dtype.kind not in "iub":
        raise LabelError(f"The label of {where} holds {mask.dtype} values; labels are whole numbers.")
    if not np.isin(mask, (*Structure, *OUTSIDE_VALUES, UNLABELLED)).all():
        raise LabelError(f"The label of {where} has values other than 0 to {max(Structure):d} and {UNLABELLED}.")
    return mask.astype(np.uint8)


def pack(mask: NDArray[np.uint8]) -> bytes:
    """Compress a mask of shape (y, x)."""
    return zlib.compress(mask.tobytes(), _COMPRESSION)


def unpack(packed: bytes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Undo :func:`pack`; the mask is not writeable.

    Raises
    ------
    ValueError
        If the bytes are damaged (zlib keeps a checksum) or do not fill the shape.
    """
    try:
        return np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(shape)
    except zlib.error as error:
        raise ValueError(str(error)) from error
