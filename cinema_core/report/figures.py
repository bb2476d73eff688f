"""Figures of the report, as drawings that become SVG or part of a PDF: volume curves and bullseyes, legible in grey."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing, Line, PolyLine, Rect, String, Wedge
from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from cinema_core.measure.function import VentricularFunction
from cinema_core.measure.segments import N_SEGMENTS

FONT: Final = "Vera"
BOLD: Final = "VeraBd"
"""Fonts that come with reportlab and are put into the PDF, so that it looks the same everywhere."""

INK: Final = HexColor("#1a1a1a")
FAINT: Final = HexColor("#8a8a8a")
WHITE: Final = HexColor("#ffffff")
UNKNOWN: Final = HexColor("#e4e4e4")
LV_INK, RV_INK = HexColor("#9c3f00"), HexColor("#1f6fa8")
"""Darker than on the screen; and the RV's line is dashed, so that grey print tells them apart."""

PALE, DEEP = np.array([237, 244, 250]), np.array([8, 69, 130])
"""Ends of the bullseye's scale: one hue from light to dark."""

DARK_FROM: Final = 0.55
"""Share of the scale from which numbers are written in white."""

_RINGS: Final = ((1.0, 0.7, 6, 0), (0.7, 0.4, 6, 6), (0.4, 0.15, 4, 12))
"""Outer and inner radius, number of segments and the last segment before it: basal, mid, apical."""

_TOP_DEG: Final = 90.0


@cache
def use_fonts() -> None:
    """Tell the writer where its fonts are; once."""
    for name in (FONT, BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    pdfmetrics.registerFontFamily(FONT, normal=FONT, bold=BOLD, italic=FONT, boldItalic=BOLD)


def svg_of(drawing: Drawing) -> str:
    """Return a drawing as an SVG element that is complete by itself."""
    text = str(renderSVG.drawToString(drawing))
    # The writer leaves placeholders, and names a font that only the PDF carries.
    text = text[text.index("<svg") :].replace("<title>...</title>", "").replace("<desc>...</desc>", "")
    for name, style in ((BOLD, "sans-serif; font-weight: bold"), (FONT, "sans-serif")):
        text = text.replace(f"font-family: {name};", f"font-family: {style};")
    return text.replace("fill: None", "fill: none").strip()


def curve_drawing(
    function: VentricularFunction, times_ms: Sequence[float] | None, width: float, height: float
) -> Drawing:
    """Volumes of both ventricles over the beat, with ED and ES.

    Parameters
    ----------
    times_ms
        Of each phase; None to count phases from 1.
    width, height
        In points.
    """
    use_fonts()
    curve = function.curve
    n_phases = len(curve.lv_ml)
    x = np.arange(1, n_phases + 1, dtype=float) if times_ms is None else np.asarray(times_ms, dtype=float)
    known = np.concatenate([v[np.isfinite(v)] for v in (curve.lv_ml, curve.rv_ml)])
    axes = _Axes(x, float(known.max(initial=1.0)) * 1.12, width, height)
    drawing = Drawing(width, height)
    axes.draw(drawing, "phase" if times_ms is None else "ms after the R wave", "ml")
    for t, name in ((function.ed_phase, "ED"), (function.es_phase, "ES")):
        if t is not None:
            at = axes.x(x[t])
            drawing.add(Line(at, axes.bottom, at, axes.top, strokeColor=FAINT, strokeWidth=0.5, strokeDashArray=[1, 2]))
            drawing.add(String(at, axes.top + 1, name, fontName=BOLD, fontSize=6.5, fillColor=INK, textAnchor="middle"))
    for volume, ink, dashes in ((curve.lv_ml, LV_INK, None), (curve.rv_ml, RV_INK, [3, 1.5])):
        _draw_line(drawing, axes, x, volume, ink, dashes)
    right = width - 52
    for k, (name, ink, dashes) in enumerate((("LV", LV_INK, None), ("RV, dashed", RV_INK, [3, 1.5]))):
        y = axes.bottom + 14 - 8 * k
        drawing.add(Line(right, y + 2, right + 12, y + 2, strokeColor=ink, strokeWidth=1.3, strokeDashArray=dashes))
        drawing.add(String(right + 14, y, name, fontName=FONT, fontSize=6, fillColor=INK))
    return drawing


def bullseye_drawing(values: NDArray[np.floating[Any]], title: str, size: float, decimals: int = 1) -> Drawing:
    """One value for each AHA segment: anterior above, septum to the left; grey without a number is not known.

    Parameters
    ----------
    values
        Segments 1 to 17, shape (17,); NaN where not known.
    size
        Width in points.
    """
    use_fonts()
    drawing = Drawing(size, size + 10)
    centre_x, centre_y, radius = size / 2, size / 2, size / 2 - 9
    drawing.add(Rect(0, 0, size, size + 10, fillColor=WHITE, strokeColor=None))  # also in a dark window
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    for outer, inner, n, before in _RINGS:
        for k in range(n):
            middle = _TOP_DEG + 360 / n * k
            value = float(values[before + k])
            share = (value - low) / (high - low) if high > low else 0.5
            drawing.add(
                Wedge(
                    centre_x,
                    centre_y,
                    outer * radius,
                    middle - 180 / n,
                    middle + 180 / n,
                    radius1=inner * radius,
                    fillColor=_shade(share) if np.isfinite(value) else UNKNOWN,
                    strokeColor=WHITE,
                    strokeWidth=0.8,
                )
            )
            if np.isfinite(value):
                at, away = np.deg2rad(middle), (outer + inner) / 2 * radius
                ink = WHITE if share > DARK_FROM else INK
                text = f"{value:.{decimals}f}"
                where = centre_x + away * float(np.cos(at)), centre_y + away * float(np.sin(at)) - 2
                drawing.add(String(*where, text, fontName=FONT, fontSize=6, fillColor=ink, textAnchor="middle"))
    for text, x, y in (("anterior", centre_x, size - 7), ("inferior", centre_x, 1)):
        drawing.add(String(x, y, text, fontName=FONT, fontSize=5.5, fillColor=FAINT, textAnchor="middle"))
    drawing.add(String(2, centre_y - 0.85 * radius, "septal", fontName=FONT, fontSize=5.5, fillColor=FAINT))
    drawing.add(String(centre_x, size + 2, title, fontName=BOLD, fontSize=6.5, fillColor=INK, textAnchor="middle"))
    assert values.shape == (N_SEGMENTS,)
    return drawing


def _shade(share: float) -> HexColor:
    red, green, blue = (PALE + share * (DEEP - PALE)).astype(int)
    return HexColor(f"#{red:02x}{green:02x}{blue:02x}")


def _draw_line(
    drawing: Drawing,
    axes: _Axes,
    x: NDArray[np.floating[Any]],
    volume_ml: NDArray[np.floating[Any]],
    ink: HexColor,
    dashes: list[float] | None,
) -> None:
    """Join what is measured; two phases alone are points, as what lies between is not known."""
    points = [(axes.x(at), axes.y(ml)) for at, ml in zip(x, volume_ml, strict=True) if np.isfinite(ml)]
    if len(points) > 2:
        flat = [value for point in points for value in point]
        drawing.add(PolyLine(flat, strokeColor=ink, strokeWidth=1.3, strokeDashArray=dashes))
    for px, py in points:
        drawing.add(Rect(px - 0.9, py - 0.9, 1.8, 1.8, fillColor=ink, strokeColor=None))


class _Axes:
    """Where values lie on a drawing."""

    def __init__(self, x: NDArray[np.floating[Any]], most: float, width: float, height: float) -> None:
        self.left, self.right, self.bottom, self.top = 26.0, width - 6, 20.0, height - 9
        self._first, self._last, self._most = float(x[0]), float(x[-1]), most

    def x(self, value: float) -> float:
        span = self._last - self._first or 1.0
        return self.left + 4 + (float(value) - self._first) / span * (self.right - self.left - 8)

    def y(self, value: float) -> float:
        return self.bottom + float(value) / self._most * (self.top - self.bottom)

    def draw(self, drawing: Drawing, x_name: str, y_name: str) -> None:
        for line in ((self.left, self.bottom, self.right, self.bottom), (self.left, self.bottom, self.left, self.top)):
            drawing.add(Line(*line, strokeColor=FAINT, strokeWidth=0.6))
        for value in _round_steps(0.0, self._most):
            y = self.y(value)
            drawing.add(Line(self.left - 2, y, self.left, y, strokeColor=FAINT, strokeWidth=0.6))
            drawing.add(_tick(f"{value:g}", self.left - 3, y - 2, "end"))
        least_step = 1.0 if x_name == "phase" else 0.0
        for value in _round_steps(self._first, self._last, least_step):
            x = self.x(value)
            drawing.add(Line(x, self.bottom - 2, x, self.bottom, strokeColor=FAINT, strokeWidth=0.6))
            drawing.add(_tick(f"{value:g}", x, self.bottom - 9, "middle"))
        drawing.add(_tick(x_name, (self.left + self.right) / 2, 2, "middle"))
        drawing.add(_tick(y_name, 2, self.top - 2, "start"))


def _tick(text: str, x: float, y: float, anchor: str) -> String:
    return String(x, y, text, fontName=FONT, fontSize=6, fillColor=INK, textAnchor=anchor)


def _round_steps(low: float, high: float, least_step: float = 0.0) -> list[float]:
    """Five or so round numbers between two values, no closer than the least step."""
    rough = (high - low) / 5 or 1.0
    power = 10 ** np.floor(np.log10(rough))
    step = max(float(min((1, 2, 5, 10), key=lambda k: abs(k * power - rough)) * power), least_step)
    first = float(np.ceil(low / step) * step)
    return [float(value) for value in np.arange(first, high + step * 1e-6, step)]
