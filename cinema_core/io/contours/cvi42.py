"""Contours of a cvi42 workspace (``.cvi42wsx``): XML, matched to images by their SOPInstanceUID."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse
from numpy.typing import NDArray

from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.contours.imported import ImportedLabels, Outline, Slice, masks_of_outlines, why_no_outline
from cinema_core.io.study import RefusedFile

ORIGIN: Final = "cvi42"

SUFFIX: Final = ".cvi42wsx"

MAX_BYTES: Final = 256 << 20
"""Workspaces of whole examinations are some 10 MB; parsed, XML takes ten times its size in memory."""

DEFAULT_RESOLUTION: Final = 4
"""cvi42 draws on a grid of 4 x 4 parts of a pixel."""

_HASH: Final = "{http://www.circlecvi.com/cvi42/Workspace/Hash/}"
_LIST: Final = "{http://www.circlecvi.com/cvi42/Workspace/List/}"
_POINT: Final = "{http://www.circlecvi.com/cvi42/Workspace/Point/}"

_OUTLINES: Final = {
    "saendocardialContour": Outline.LV_ENDO,
    "saepicardialContour": Outline.LV_EPI,
    "sarvendocardialContour": Outline.RV_ENDO,
}
_OPEN: Final = re.compile("OpenContour$")


def read_cvi42(path: Path, cine: Cine) -> ImportedLabels:
    """Read the short-axis contours of a workspace onto a cine.

    Contours attach to an image by its SOPInstanceUID alone. Names that are not known are counted, not used.

    Parameters
    ----------
    path
        ``.cvi42wsx``; the binary ``.cvi42ws`` cannot be read.
    cine
        Read from the DICOM files that the workspace was made of.

    Raises
    ------
    LabelError
        If the file is too large, no XML, unsafe, or has no contour of this cine.
    """
    wanted = {source.sop_instance_uid: where for where, source in cine.sources.items() if source.sop_instance_uid}
    outlines: dict[Slice, dict[Outline, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    unknown: Counter[str] = Counter()
    refused: list[RefusedFile] = []
    unmatched = 0
    for uid, contours in _contours_by_image(_root(path)):
        where = wanted.get(uid)
        if where is None:
            unmatched += 1
            continue
        for name, contour in contours:
            plain = re.sub(r"\d{4}$", "", name)
            if _OPEN.search(plain):
                refused.append(RefusedFile(str(path), f"{plain}: an open contour encloses nothing"))
            elif plain not in _OUTLINES:
                unknown[plain] += 1
            else:
                points, reason = _points(contour)
                reason = reason or why_no_outline(points, cine.image_extent(where[1]))
                if reason:
                    refused.append(RefusedFile(str(path), f"{plain}: {reason}"))
                else:
                    outlines[where][_OUTLINES[plain]].append(points)
    if not outlines:
        raise LabelError(
            f"{path} has no contour of the cine {cine.id} ({unmatched} contoured images belong to other series or "
            "studies). Choose the workspace of this study; de-identified images no longer match theirs."
        )
    masks, notes = masks_of_outlines(outlines, cine)
    n_contours = sum(len(points) for drawn in outlines.values() for points in drawn.values())
    return ImportedLabels(ORIGIN, masks, n_contours, unmatched, dict(unknown), tuple(refused), tuple(notes))


def _root(path: Path) -> Element:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise LabelError(
            f"{path} is {size / 2**20:.0f} MB large; workspaces of up to {MAX_BYTES / 2**20:.0f} MB are read. "
            "Export the contours of this study alone."
        )
    try:
        root: Element | None = parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise LabelError(f"{path} holds XML entities, which no workspace needs; it was not read.") from error
    except (ParseError, UnicodeDecodeError, ValueError) as error:
        raise LabelError(f"{path} is not a cvi42 workspace in XML. Export it again as .cvi42wsx.") from error
    if root is None:
        raise LabelError(f"{path} is empty. Export it again as .cvi42wsx.")
    return root


def _contours_by_image(root: Element) -> Iterator[tuple[str, list[tuple[str, Element]]]]:
    """Images with contours: SOPInstanceUID, and the contours by name."""
    for states in root.iter(f"{_HASH}item"):
        if states.get(f"{_HASH}key") != "ImageStates":
            continue
        for image in states.findall(f"{_HASH}item"):
            contours = [
                (str(contour.get(f"{_HASH}key")), contour)
                for group in image.findall(f"{_HASH}item")
                if group.get(f"{_HASH}key") == "Contours"
                for contour in group.findall(f"{_HASH}item")
            ]
            if contours:
                yield str(image.get(f"{_HASH}key")), contours


def _points(contour: Element) -> tuple[NDArray[np.float64], str]:
    """Corners (y, x) in pixels, or why there are none."""
    items = {str(item.get(f"{_HASH}key")): item for item in contour.findall(f"{_HASH}item")}
    listed: list[Any] = []
    try:
        resolution = float(
            (items["SubpixelResolution"].text or "") if "SubpixelResolution" in items else DEFAULT_RESOLUTION
        )
        for item in items["Points"].iter(f"{_LIST}item") if "Points" in items else ():
            listed.append([float(item.findtext(f"{_POINT}{axis}") or "nan") for axis in "yx"])
    except ValueError:
        return np.empty((0, 2)), "its numbers cannot be read"
    if not np.isfinite(resolution) or resolution < 1:
        return np.empty((0, 2)), "its sub-pixel resolution is no number above zero"
    # A value names a part of a pixel, counted from the corner of the image; the point lies in the part's middle.
    points = (np.array(listed, dtype=np.float64).reshape(-1, 2) + 0.5) / resolution - 0.5
    return points, ""
