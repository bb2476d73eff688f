"""The report as HTML and PDF, from the same content: one page that says all, then what lies behind it."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray
from PIL import Image
from reportlab.graphics.shapes import Drawing

from cinema_core.disk import write_whole
from cinema_core.errors import InputError
from cinema_core.report.content import LIGHT_MARKS, MOST_FINDINGS, ReportContent
from cinema_core.report.figures import bullseye_drawing, curve_drawing, svg_of
from cinema_core.report.pdf import lay_out
from cinema_core.report.result import StudyResult

KINDS: Final = (".html", ".pdf")

CURVE_SIZE: Final = (256.0, 138.0)
BULLSEYE_SIZE: Final = 126.0
"""In points."""


def report_html(result: StudyResult, labels: NDArray[np.uint8]) -> str:
    """Return the report as one HTML file that needs no other.

    Parameters
    ----------
    labels
        That the result was measured from, shape (t, z, y, x).
    """
    content = ReportContent(result, labels)
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        files("cinema_core.report").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        report=content,
        charts=[svg_of(drawing) for drawing in drawings(content)],
        images=[(image.title, _png(image.picture)) for image in content.images],
        marks=LIGHT_MARKS,
        most=MOST_FINDINGS,
    )


def report_pdf(result: StudyResult, labels: NDArray[np.uint8]) -> bytes:
    """Return the report as PDF, A4; the same result gives the same bytes.

    Parameters
    ----------
    labels
        That the result was measured from, shape (t, z, y, x).
    """
    content = ReportContent(result, labels)
    return lay_out(content, drawings(content))


def write_document(path: Path, result: StudyResult, labels: NDArray[np.uint8]) -> None:
    """Write the report as the file's ending says, whole or not at all; a file that is there is replaced.

    Raises
    ------
    InputError
        If the ending is neither .html nor .pdf.
    StorageError
        If it cannot be written; what was there before is still there.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"{path.name} is no report: its ending tells the kind. Choose one of {', '.join(KINDS)}.")
    data = report_pdf(result, labels) if kind == ".pdf" else report_html(result, labels).encode("utf-8")
    write_whole(path, data, "The report")


def drawings(content: ReportContent) -> list[Drawing]:
    """Curve and bullseyes, in the order in which they stand."""
    result = content.result
    found = [curve_drawing(result.measures.function, result.cine.timing.trigger_ms, *CURVE_SIZE)]
    for title, values in content.segments.items():
        found.append(bullseye_drawing(values, title, BULLSEYE_SIZE, 0 if title.endswith("%") else 1))
    return found


def _png(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")
