"""Volumes over the cycle, and what is read from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.layers import CineLayers
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import LIGHT_COLOURS, MUTED, TEXT, muted
from cinema_core.anatomy import Structure
from cinema_core.cine import View
from cinema_core.measure import VentricularFunction

AFTER_EDIT_MS = 80
"""A burst of edits is measured once; the curve still follows a stroke at once to the eye."""

LV_COLOUR, RV_COLOUR = "#f08c3a", Structure.RV_CAVITY.colour
"""The LV's own vermilion is too dark for a thin line on this background; this is its lighter neighbour."""

AXIS_PX = 38
"""Height of the phases' numbers and name; pyqtgraph's own guess cuts the name's descenders."""

ROWS = (
    ("EF", "%", "ef_pct", 0),
    ("EDV", "ml", "edv_ml", 0),
    ("ESV", "ml", "esv_ml", 0),
    ("SV", "ml", "sv_ml", 0),
)


NEAR_END = 0.1
"""Share of the curve from either end within which a name beside a ring would be cut by the plot."""

RING_PX = 11
"""Diameter of the rings on the RV's curve: large enough to be taken hold of."""

FEW_PHASES = 6
"""Up to here every phase has its number on the axis; pyqtgraph would write 1.2 between phases."""


class _Plot(pg.PlotWidget):
    """A plot that takes the height that is left: pyqtgraph's own wish would push the table off a small screen."""

    def sizeHint(self) -> QSize:
        return QSize(200, 104)

    def minimumSizeHint(self) -> QSize:
        return QSize(100, 90)


class MeasuresPanel(QWidget):
    """Volume-time curve with ED and ES markers to drag, and the table of volumes."""

    def __init__(self, reading: Reading, layers: CineLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._layers = layers
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(AFTER_EDIT_MS)
        self._soon.timeout.connect(answered(reading, reading.measure))
        self._build()
        self._show(reading.measures)
        self._show_phases()
        self._show_here(*layers.here)
        reading.events.measures_changed.connect(self._show)
        reading.events.phases_changed.connect(self._show_phases)
        reading.events.cine_changed.connect(self._show_phases)
        reading.events.labels_changed.connect(self._labels_changed)
        layers.moved.connect(self._show_here)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._build_curve())
        layout.addLayout(self._build_table())
        self._more = muted()
        layout.addWidget(self._more)

    def _build_curve(self) -> QWidget:
        plot = _Plot(background=None)
        plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.setToolTip(
            "Volume over the cycle. Drag the lines ED and ES, or the rings for those of the RV; click to go to a phase."
        )
        for side in ("bottom", "left"):
            axis = plot.getAxis(side)
            axis.setPen(MUTED)
            axis.setTextPen(TEXT)
        plot.getAxis("left").setLabel("ml", color=TEXT)
        plot.getAxis("left").setWidth(44)
        plot.getAxis("bottom").setLabel("phase", color=TEXT)
        plot.getAxis("bottom").setHeight(AXIS_PX)
        # pyqtgraph lets labels hang out of their axes: room for half a number above, for tails of letters below.
        plot.plotItem.layout.setContentsMargins(1, 7, 1, 7)
        self._lv = plot.plot(
            pen=pg.mkPen(LV_COLOUR, width=2), symbol="o", symbolSize=4, symbolBrush=LV_COLOUR, symbolPen=None
        )
        self._rv = plot.plot(
            pen=pg.mkPen(RV_COLOUR, width=2), symbol="o", symbolSize=4, symbolBrush=RV_COLOUR, symbolPen=None
        )
        for line in (self._lv, self._rv):
            line.setZValue(1)  # above the markers, which lie on two of its points
        self._here = pg.InfiniteLine(pen=pg.mkPen("#ffffff", width=1, style=Qt.PenStyle.DotLine))
        plot.addItem(self._here)
        # The curve is high at ED and low at ES: the name stands where it is not.
        self.ed_marker = self._add_marker(plot, "ED", at_top=False)
        self.es_marker = self._add_marker(plot, "ES", at_top=True)
        self.ed_marker.sigPositionChangeFinished.connect(lambda line: self._dropped(line.value(), "ed_phase"))
        self.es_marker.sigPositionChangeFinished.connect(lambda line: self._dropped(line.value(), "es_phase"))
        self.rv_rings = {name: self._add_ring(plot, name) for name in ("rv_ed_phase", "rv_es_phase")}
        plot.scene().sigMouseClicked.connect(self._clicked)
        self.plot = plot
        return plot

    @staticmethod
    def _add_marker(plot: Any, name: str, *, at_top: bool) -> Any:
        marker = pg.InfiniteLine(
            movable=True,
            pen=pg.mkPen(TEXT, width=1.5),
            hoverPen=pg.mkPen("#ffffff", width=3),
            label=name,
            # Hung from an edge: a name in the middle of its place is cut where the plot is low.
            labelOpts={
                "position": float(at_top),
                "anchors": [(0, 0), (1, 0)] if at_top else [(0, 1), (1, 1)],
                "color": "#ffffff",
                "fill": "#2f6fb3",
                "movable": False,
            },
        )
        plot.addItem(marker)
        return marker

    def _add_ring(self, plot: Any, name: str) -> Any:
        """Add a ring on the RV's curve that says which phase is its ED or ES."""
        ring = pg.TargetItem(
            size=RING_PX,
            symbol="o",
            pen=pg.mkPen(RV_COLOUR, width=2),
            brush=pg.mkBrush("#262930"),
            hoverPen=pg.mkPen("#ffffff", width=2),
            hoverBrush=pg.mkBrush("#262930"),
        )
        ring.setZValue(2)
        ring.sigPositionChanged.connect(lambda ring: self._keep_on_curve(ring))
        ring.sigPositionChangeFinished.connect(lambda ring: self._dropped(ring.pos().x(), name))
        plot.addItem(ring)
        return ring

    def _build_table(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        grid.setHorizontalSpacing(8)
        self._values: dict[tuple[str, str], QLabel] = {}
        for column, (name, *_rest) in enumerate(ROWS, start=1):
            grid.addWidget(_cell(f"{name} {ROWS[column - 1][1]}", MUTED), 0, column)
            grid.setColumnStretch(column, 1)
        grid.addWidget(_cell("mass g", MUTED), 0, len(ROWS) + 1)
        grid.setColumnStretch(len(ROWS) + 1, 1)
        for row, (side, colour) in enumerate((("lv", LV_COLOUR), ("rv", RV_COLOUR)), start=1):
            grid.addWidget(_cell(f"<b style='color:{colour}'>{side.upper()}</b>", TEXT), row, 0)
            for column, (_, _, key, _) in enumerate(ROWS, start=1):
                self._values[side, key] = _cell("–", TEXT, big=key == "ef_pct")
                grid.addWidget(self._values[side, key], row, column)
        self._values["lv", "mass_g"] = _cell("–", TEXT)
        grid.addWidget(self._values["lv", "mass_g"], 1, len(ROWS) + 1)
        return grid

    # ---------------------------------------------------------------- showing

    def _labels_changed(self, slices: tuple[Any, ...]) -> None:
        self._soon.start()

    def _show(self, found: VentricularFunction | None) -> None:
        for (side, key), cell in self._values.items():
            value = None if found is None else getattr(found, f"{side}_{key}")
            cell.setText("–" if value is None else f"{value:.0f}")
        self._show_curve(found)
        self._show_rings()
        self._here.setVisible(found is not None)
        self._more.setText(self._second_line(found))
        measured = self._reading.study_measures
        self._more.setToolTip("\n".join(finding.text for finding in measured.findings) if measured else "")

    def _show_curve(self, found: VentricularFunction | None) -> None:
        for line, name in ((self._lv, "lv_ml"), (self._rv, "rv_ml")):
            volumes = np.zeros(0) if found is None else np.asarray(getattr(found.curve, name))
            # ED and ES alone are two points, not a curve: what lies between them is not known.
            curve = len(volumes) > 2
            joined = "finite" if curve else np.zeros(len(volumes), dtype=np.int32)
            line.setData(np.arange(1, len(volumes) + 1), volumes, connect=joined, symbolSize=4 if curve else 10)
        for side in ("left", "bottom"):
            self.plot.showAxis(side, found is not None)  # axes without a curve look like a fault
        if self._reading.is_open:
            n_phases = self._reading.cine.n_phases
            self.plot.setXRange(1, max(2, n_phases), padding=0.04 if n_phases > 2 else 0.2)
            few = [(t, str(t)) for t in range(1, n_phases + 1)] if n_phases <= FEW_PHASES else None
            self.plot.getAxis("bottom").setTicks(None if few is None else [few])
        if found is not None:
            top = max(np.nanmax(found.curve.lv_ml, initial=1.0), np.nanmax(found.curve.rv_ml, initial=1.0))
            self.plot.setYRange(0, float(top) * 1.15, padding=0)

    def _second_line(self, found: VentricularFunction | None) -> str:
        reading = self._reading
        if not reading.is_open:
            return ""
        if found is None:
            if reading.cine.view is not View.SAX:
                return "Volumes are measured on the short axis."
            if not reading.cine.measurable:
                return "The distance between slices is not known; volumes cannot be measured."
            return "Segment the cine to see its volumes."
        parts = []
        if found.heart_rate_bpm is not None:
            parts.append(f"HR {found.heart_rate_bpm:.0f}/min")
        if found.cardiac_output_l_min is not None:
            parts.append(f"CO {found.cardiac_output_l_min:.1f} l/min")
        if found.bsa_m2 is not None:
            parts.append(f"BSA {found.bsa_m2:.2f} m²")
        parts.append(f"papillaries in {reading.report.choices.papillary.value}")
        measured = reading.study_measures
        if measured is not None and measured.flags:
            parts.append(f"<span style='color:{LIGHT_COLOURS[measured.light]}'>{measured.flags[0]}</span>")
        return " · ".join(parts)

    def _show_phases(self) -> None:
        choice = self._reading.phases
        for marker in (self.ed_marker, self.es_marker):
            marker.setVisible(choice is not None)
        if choice is not None:
            with signals_blocked(self.ed_marker), signals_blocked(self.es_marker):
                self.ed_marker.setValue(choice.ed_phase + 1)
                self.es_marker.setValue(choice.es_phase + 1)
        self._show_rings()

    def _show_rings(self) -> None:
        choice = self._reading.phases
        for name, ring in self.rv_rings.items():
            t = getattr(choice, name, None)
            y = None if t is None else self._rv_at(t)
            ring.setVisible(y is not None)
            if choice is None or t is None or y is None:
                continue
            with signals_blocked(ring):
                ring.setPos(t + 1, y)
            # The line says it already where both ventricles have the same phase.
            is_apart = t != getattr(choice, name.removeprefix("rv_"))
            share = t / max(1, self._reading.cine.n_phases - 1)
            ring.setLabel(f"RV {name[3:5].upper()}" if is_apart else None, ring_label_options(share))

    def _rv_at(self, t: int) -> float | None:
        """Volume of the RV at a phase; None where it is not measured."""
        found = self._reading.measures
        if found is None or not 0 <= t < len(found.curve.rv_ml) or not np.isfinite(found.curve.rv_ml[t]):
            return None
        return float(found.curve.rv_ml[t])

    def _keep_on_curve(self, ring: Any) -> None:
        t = round(ring.pos().x()) - 1
        y = self._rv_at(t)
        if y is not None:
            with signals_blocked(ring):
                ring.setPos(t + 1, y)

    def _show_here(self, t: int, z: int) -> None:
        self._here.setVisible(self._reading.measures is not None)
        self._here.setValue(t + 1)

    # ---------------------------------------------------------------- actions

    def _dropped(self, x: float, which: str) -> None:
        t = min(max(round(float(x)) - 1, 0), self._reading.cine.n_phases - 1)
        answered(self._reading, lambda: self._reading.set_phase_of(which, t))()
        self._show_phases()  # back on a whole phase, or where it was if it was refused

    def _clicked(self, event: Any) -> None:
        if self._reading.is_open and event.button() == Qt.MouseButton.LeftButton:
            x = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos()).x()
            self._layers.go_to(round(x) - 1, self._layers.here[1])


def ring_label_options(share: float) -> dict[str, Any]:
    """How the name of a ring stands above it; beside an end of the curve inwards, so that the plot does not cut it.

    Parameters
    ----------
    share
        Where along the curve it stands, 0 to 1.
    """
    inwards = 0.0 if share < NEAR_END else 1.0 if share > 1 - NEAR_END else 0.5
    return {"color": RV_COLOUR, "offset": (0, 12), "anchor": (inwards, 0.5)}


def _cell(text: str, colour: str, *, big: bool = False) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    label.setStyleSheet(f"color: {colour};" + (" font-weight: 700; font-size: 22px;" if big else ""))
    return label
