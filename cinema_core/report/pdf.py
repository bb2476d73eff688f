"""The report on A4: everything on the first page, then every figure, finding and origin."""

from __future__ import annotations

import io
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, Image, PageBreak, PageTemplate, Paragraph, Spacer, Table

from cinema_core.report.content import LIGHT_MARKS, MOST_FINDINGS, Cell, ReportContent, Row
from cinema_core.report.figures import BOLD, FAINT, FONT, INK, use_fonts

MARGIN: Final = 10 * mm
WIDTH: Final = A4[0] - 2 * MARGIN
GAP: Final = 8.0
RULE: Final = HexColor("#c4c4c4")

BODY: Final = ParagraphStyle("body", fontName=FONT, fontSize=7.2, leading=9, textColor=INK)
SMALL: Final = ParagraphStyle("small", parent=BODY, fontSize=6.4, leading=7.8)
HEADING: Final = ParagraphStyle("heading", parent=BODY, fontName=BOLD, fontSize=8.6, leading=11, spaceBefore=4)
RIGHT: Final = ParagraphStyle("right", parent=BODY, fontName=BOLD, fontSize=7, leading=9)

_FIGURE_COLUMNS: Final = tuple(share * WIDTH for share in (0.2, 0.14, 0.1, 0.14, 0.16, 0.1, 0.16))


def lay_out(content: ReportContent, drawings: list[Drawing]) -> bytes:
    """Return the PDF; dates and identifiers that would differ from run to run are left out of its structure."""
    use_fonts()
    out = io.BytesIO()
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        title=f"{content.title}: {content.result.study_id}",
        author="napari-cinema",
        invariant=1,  # the time stands in the text alone
        pageTemplates=[PageTemplate("page", [_frame()], onPage=lambda canvas, _: _furnish(canvas, content))],
    )
    document.build([*_summary(content, drawings), PageBreak(), *_appendix(content)])
    return out.getvalue()


def _frame() -> Frame:
    top = 15 * mm
    return Frame(MARGIN, MARGIN + 4 * mm, WIDTH, A4[1] - MARGIN - top - 8 * mm, 0, 0, 0, 0)


def _furnish(canvas: Canvas, content: ReportContent) -> None:
    """Heading, status, use and page number, on every page."""
    top = A4[1] - MARGIN
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 11)
    canvas.drawString(MARGIN, top - 9, content.title)
    canvas.setFont(BOLD, 10)
    width = canvas.stringWidth(content.status, BOLD, 10) + 12
    canvas.setStrokeColor(INK)
    canvas.rect(A4[0] - MARGIN - width, top - 12, width, 14, fill=0 if content.is_draft else 1)
    canvas.setFillColor(INK if content.is_draft else HexColor("#ffffff"))
    canvas.drawCentredString(A4[0] - MARGIN - width / 2, top - 8.5, content.status)
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 7)
    canvas.drawString(MARGIN, top - 19, content.use)
    canvas.line(MARGIN, top - 23, A4[0] - MARGIN, top - 23)
    canvas.setFont(FONT, 6)
    canvas.setFillColor(FAINT)
    canvas.drawString(MARGIN, MARGIN, f"{content.result.study_id} · {content.made}")
    canvas.drawRightString(A4[0] - MARGIN, MARGIN, f"{content.use}  Page {canvas.getPageNumber()}")


def _summary(content: ReportContent, drawings: list[Drawing]) -> list[Any]:
    person, method = (_pairs(pairs, 22 * mm) for pairs in (content.person, content.method))
    left = 0.38 * WIDTH
    story: list[Any] = [_side_by_side([person, method], [left, WIDTH - left])]
    for title, rows, also in (
        ("Left ventricle", content.lv, content.also_lv),
        ("Right ventricle", content.rv, content.also_rv),
    ):
        story += [Paragraph(title, HEADING), _figures(rows), Paragraph(_safe(also), SMALL)]
    story += [Spacer(1, 4), _side_by_side(drawings, [drawing.width + GAP for drawing in drawings])]
    if content.images:
        story += [Spacer(1, 3), _images(content)]
    story.append(Paragraph(f"Quality: {LIGHT_MARKS[content.light]}", HEADING))
    story.append(_pairs([(LIGHT_MARKS[light], text) for light, text in content.findings[:MOST_FINDINGS]], 22 * mm))
    if (more := len(content.findings) - MOST_FINDINGS) > 0:
        story.append(Paragraph(f"{more} more on the next page.", SMALL))
    story += [Paragraph(_safe(sentence), SMALL) for sentence in content.drivers]
    story += [Spacer(1, 2), Paragraph(_safe(content.reference), SMALL)]
    story += [Spacer(1, 3), Paragraph(_safe(content.approval), RIGHT)]
    return story


def _appendix(content: ReportContent) -> list[Any]:
    figures = [
        (value.title, f"{value.text} {value.unit}" if value.text else f"– {value.reason}") for value in content.figures
    ]
    half = (len(figures) + 1) // 2
    columns = [_pairs(part, 52 * mm) for part in (figures[:half], figures[half:])]
    return [
        Paragraph("Every figure, as in report.csv", HEADING),
        _side_by_side(columns, [WIDTH / 2, WIDTH / 2]),
        Paragraph("Every finding", HEADING),
        _pairs([(LIGHT_MARKS[light], text) for light, text in content.findings], 22 * mm),
        Paragraph("Where it comes from", HEADING),
        _pairs(content.provenance, 26 * mm),
    ]


def _pairs(pairs: Any, name_width: float) -> Table:
    """Names and texts in two columns; the second takes what is left."""
    rows = [[Paragraph(_safe(name), BODY), Paragraph(_safe(text), BODY)] for name, text in pairs]
    return Table(rows, colWidths=[name_width, None], style=[*_TIGHT, ("TEXTCOLOR", (0, 0), (0, -1), FAINT)])


def _figures(rows: tuple[Row, ...]) -> Table:
    heading = [Paragraph(text, SMALL) for text in ("", "value", "range", "", "by body surface", "range", "")]
    body = [[Paragraph(row.title, BODY), *_cells(row.absolute), *_cells(row.indexed)] for row in rows]
    return Table(
        [heading, *body], colWidths=_FIGURE_COLUMNS, style=[*_TIGHT, ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE)]
    )


def _cells(cell: Cell) -> list[Paragraph]:
    texts = [_safe(text) for text in (cell.value, cell.range, cell.verdict)]
    if cell.stands_out:
        texts[0], texts[2] = f"<b>{texts[0]}</b>", f"<b>{texts[2]}</b>"
    return [Paragraph(text, BODY) for text in texts]


def _images(content: ReportContent) -> Table:
    """All key images in one row, each with its words below."""
    n = len(content.images)
    width = WIDTH / max(n, 6)
    pictures, words = [], []
    for image in content.images:
        data = io.BytesIO()
        image.picture.save(data, format="PNG")
        side = width - 4
        height = side * image.picture.height / image.picture.width
        pictures.append(Image(data, side, height))
        words.append(Paragraph(_safe(image.title), SMALL))
    return Table([pictures, words], colWidths=[width] * n, style=_TIGHT, hAlign="LEFT")


def _side_by_side(things: list[Any], widths: list[float]) -> Table:
    return Table([things], colWidths=widths, style=[*_TIGHT, ("VALIGN", (0, 0), (-1, -1), "TOP")])


_TIGHT: Final = [
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 3),
    ("TOPPADDING", (0, 0), (-1, -1), 0.6),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0.6),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]


def _safe(text: str) -> str:
    """Text for a paragraph, whose own marks begin with <."""
    return escape(text)
