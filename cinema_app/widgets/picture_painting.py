"""Paint a slice as a small picture with its contours."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from skimage.filters import gaussian
from skimage.measure import find_contours

from cinema_core.anatomy import BORDERS, UNLABELLED, Structure

SMOOTH_PX: Final = 0.7
"""Blur of a mask before its border is followed: without it the steps of pixels are all that one sees."""


def borders(labels: NDArray[np.uint8]) -> list[tuple[Structure, NDArray[np.float64]]]:
    """Contours of a label, each with the structure whose colour it has.

    Parameters
    ----------
    labels
        Shape (y, x); 255 is no structure.

    Returns
    -------
    Contours as (y, x) of pixel centres, shape (n, 2).
    """
    found = []
    for structure, members in BORDERS:
        inside = np.isin(labels, members) & (labels != UNLABELLED)
        if inside.any() and (labels == structure).any():
            soft = gaussian(np.pad(inside, 2).astype(np.float64), SMOOTH_PX)
            found += [(structure, contour - 2) for contour in find_contours(soft, 0.5)]
    return found


def grey_levels(image: NDArray[np.generic], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Intensities as grey from 0 to 255, black and white at the limits."""
    low, high = limits
    scaled = np.clip((np.asarray(image, dtype=np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return np.ascontiguousarray(scaled * 255, dtype=np.uint8)


def paint_image(painter: QPainter, place: QRectF, grey: NDArray[np.uint8]) -> None:
    """Paint grey levels, shape (y, x), into a rectangle."""
    rows, columns = grey.shape
    image = QImage(grey.data, columns, rows, grey.strides[0], QImage.Format.Format_Grayscale8)
    painter.drawImage(place, image)


def paint_border(painter: QPainter, line: QPolygonF, structure: Structure, width: float = 1.7) -> None:
    """Paint a contour in the structure's colour, on a dark seam that sets it off from bright blood."""
    painter.setPen(QPen(QColor(0, 0, 0, 150), width + 1.5))
    painter.drawPolyline(line)
    painter.setPen(QPen(QColor(structure.colour), width))
    painter.drawPolyline(line)


def polygon(contour: NDArray[np.float64], place: QRectF, scale: tuple[float, float]) -> QPolygonF:
    """Contour (y, x) on a picture.

    Parameters
    ----------
    place
        Where the picture is.
    scale
        Pixels of the screen per pixel of the image along y and x.
    """
    # A pixel's centre lies half a pixel inside the picture's corner.
    return QPolygonF(
        [QPointF(place.x() + (x + 0.5) * scale[1], place.y() + (y + 0.5) * scale[0]) for y, x in contour.tolist()]
    )
