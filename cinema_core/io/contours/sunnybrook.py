"""Contours of the Sunnybrook Cardiac Data (Radau et al., MIDAS Journal, 2009): text files, one contour each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.contours.imported import ImportedLabels, Outline, Slice, masks_of_outlines, why_no_outline
from cinema_core.io.study import RefusedFile

ORIGIN: Final = "sunnybrook"

_NAME: Final = re.compile(r"IM-\d+-(\d+)-(icontour|ocontour|p\d+contour)-(?:manual|auto)\.txt$", re.IGNORECASE)
_OUTLINES: Final = {"icontour": Outline.LV_ENDO, "ocontour": Outline.LV_EPI}

FIRST_PIXEL_AT: Final = 0.5
"""Coordinate of the middle of the first pixel: points count from the corner of the image. Measured: shifted so, the
endocardial contours of SCD0000301 lie where the image's gradient is steepest (0.50 to 0.75 pixels)."""

MAX_BYTES: Final = 1 << 20
"""A contour of 100 points takes 2 kB."""


def is_sunnybrook(path: Path) -> bool:
    """Whether a file has the name of such a contour."""
    return _NAME.search(path.name) is not None


def read_sunnybrook(files: Sequence[Path], cine: Cine) -> ImportedLabels:
    """Read contour files onto the cine of their patient.

    Parameters
    ----------
    files
        ``IM-0001-NNNN-icontour-manual.txt`` (endocardium) and ``ocontour`` (epicardium); NNNN is the number in the
        name of the image, ``N.dcm`` or ``IM-0001-NNNN.dcm``. Papillary contours (``p1contour``) are listed, not used.
    cine
        Read from DICOM files that keep their names.

    Raises
    ------
    LabelError
        If no contour fits the cine.
    """
    numbers = _image_numbers(cine)
    outlines: dict[Slice, dict[Outline, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    refused: list[RefusedFile] = []
    unknown: dict[str, int] = defaultdict(int)
    unmatched: set[int] = set()
    for file in files:
        found = _NAME.search(file.name)
        assert found is not None  # is_sunnybrook chose the files
        number, kind = int(found[1]), found[2].lower()
        if kind not in _OUTLINES:
            unknown[kind] += 1
        elif number not in numbers:
            unmatched.add(number)
        else:
            where = numbers[number]
            try:
                points = _read_points(file)
            except ValueError as error:
                refused.append(RefusedFile(str(file), str(error)))
                continue
            if reason := why_no_outline(points, cine.image_extent(where[1])):
                refused.append(RefusedFile(str(file), reason))
            else:
                outlines[where][_OUTLINES[kind]].append(points)
    if not outlines:
        raise LabelError(
            f"None of {len(files)} Sunnybrook contours fits the cine {cine.id}: "
            f"{refused[0].reason if refused else 'its images have other numbers'}. Choose the contours of this patient."
        )
    masks, notes = masks_of_outlines(outlines, cine)
    n_contours = sum(len(points) for drawn in outlines.values() for points in drawn.values())
    return ImportedLabels(ORIGIN, masks, n_contours, len(unmatched), dict(unknown), tuple(refused), tuple(notes))


def _image_numbers(cine: Cine) -> Mapping[int, Slice]:
    """Slices by the number at the end of their file's name."""
    numbers: dict[int, Slice] = {}
    for where, source in cine.sources.items():
        digits = re.search(r"(\d+)$", source.path.stem)
        if digits is None:
            continue
        number = int(digits[1])
        if number in numbers:
            raise LabelError(
                f"Two images of the cine {cine.id} have the number {number} in their file names, so contours cannot "
                "be matched. Open one series of this patient."
            )
        numbers[number] = where
    if not numbers:
        raise LabelError(
            f"The cine {cine.id} was not read from numbered DICOM files, by which Sunnybrook's contours are matched. "
            "Open the patient's DICOM folder."
        )
    return numbers


def _read_points(file: Path) -> NDArray[np.float64]:
    """Corners (y, x) in pixels, centres at whole numbers; the file lists x and y."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"{file.stat().st_size / 2**20:.0f} MB is too large for a contour")
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        points = np.array([[float(value) for value in row] for row in rows], dtype=np.float64)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error
    except (TypeError, ValueError) as error:
        raise ValueError(str(error) if "too large" in str(error) else "it is no list of x and y") from error
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise ValueError("it is no list of x and y")
    return points.reshape(-1, 2)[:, ::-1] - FIRST_PIXEL_AT
