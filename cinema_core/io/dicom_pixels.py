"""Last step of opening DICOM: read the pixels of the images that a cine is made of."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from cinema_core.io.dicom_frames import rescale_of_frame
from cinema_core.io.dicom_headers import HEADERS_SHARE, ImageHeader, read_dataset, tolerant_pydicom
from cinema_core.io.files import SourceFile
from cinema_core.progress import CancelToken, Progress

N_THREADS: Final = min(8, (os.cpu_count() or 1) + 2)

Image = NDArray[Any]


class ImageCounter:
    """Tells how many of all images are read, and stops when asked to."""

    def __init__(self, n_images: int, progress: Progress, cancel: CancelToken | None) -> None:
        self._n_images, self._progress, self._cancel, self._n_read = n_images, progress, cancel, 0

    def count(self, n: int) -> None:
        """Count images that were read."""
        if self._cancel is not None:
            self._cancel.raise_if_cancelled()
        if self._n_read // 25 != (self._n_read + n) // 25 or not self._n_read:
            fraction = HEADERS_SHARE + (1 - HEADERS_SHARE) * self._n_read / max(self._n_images, 1)
            self._progress(min(fraction, 1.0), f"Reading image {self._n_read + 1} of {self._n_images}")
        self._n_read += n


def read_images(headers: Iterable[ImageHeader], counter: ImageCounter) -> dict[ImageHeader, Image | str]:
    """Read images, several files at once.

    Returns
    -------
    The pixels (y, x) of every image as its scanner meant them, or why there are none.

    Raises
    ------
    Cancelled
        If the counter was told to stop.
    """
    by_file: dict[SourceFile, list[ImageHeader]] = defaultdict(list)
    for header in dict.fromkeys(headers):
        by_file[header.file].append(header)
    found: dict[ImageHeader, Image | str] = {}
    with tolerant_pydicom(), ThreadPoolExecutor(N_THREADS) as pool:
        try:
            for images in pool.map(_read_file, by_file, by_file.values()):
                counter.count(len(images))
                found |= images
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def _read_file(file: SourceFile, headers: Sequence[ImageHeader]) -> dict[ImageHeader, Image | str]:
    try:
        with file.open() as stream:
            data = read_dataset(stream)
    # A file can be gone or damaged since its header was read.
    except Exception as error:
        return {header: f"its pixels cannot be read ({type(error).__name__})" for header in headers}
    return {header: _decode(data, header) for header in headers}


def _decode(data: pydicom.FileDataset, header: ImageHeader) -> Image | str:
    try:
        is_single = int(data.get("NumberOfFrames") or 1) == 1
        stored = pixel_array(data, index=None if is_single else header.frame)
        pixels = _as_meant(stored, data, header.frame)
    # Each decoder plug-in has its own errors; whichever it is, this image cannot be shown.
    except Exception as error:
        return f"its pixels cannot be decoded ({type(error).__name__})"
    if pixels.shape != (header.rows, header.columns) or not np.isfinite(pixels).all():
        return "its pixels do not make one image of finite numbers"
    return pixels


def _as_meant(stored: Image, data: pydicom.Dataset, frame: int) -> Image:
    """Apply what the header says of the stored numbers: inversion, then rescale."""
    inverted = data.get("PhotometricInterpretation") == "MONOCHROME1" or data.get("PresentationLUTShape") == "INVERSE"
    if inverted:
        # Bright must mean much signal. The mirror of the stored range, so that it is the same for every image.
        top = -1 if int(data.get("PixelRepresentation") or 0) else 2 ** int(data.BitsStored) - 1
        stored = (top - stored.astype(np.int32)).astype(stored.dtype)
    slope, intercept = rescale_of_frame(data, frame)
    if slope == 1 and intercept == 0:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused as such
        return (stored * slope + intercept).astype(np.float32)
