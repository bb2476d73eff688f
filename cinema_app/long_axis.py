"""How the long-axis views of a study and its short axis cut each other, at the phase and slice on show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_app.labelling import Slice
from cinema_app.reading import Reading
from cinema_core.anatomy import BORDERS, Structure
from cinema_core.cine import Cine, View
from cinema_core.geometry import border_crossings, cut_line, to_pixels

LONG_AXES: Final = (View.LAX_2C, View.LAX_4C, View.LAX_3C)

APART: Final = (
    "This view has another frame of reference than the short axis: the patient or the table was moved in between. "
    "How they lie to each other is not known, so no lines are drawn."
)
APART_IN_PART: Final = (
    "Some short-axis slices have another frame of reference than this view: the patient or the table was moved in "
    "between. No lines are drawn for them."
)

Places = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where the contours of one short-axis slice pass through a long-axis image; places (y, x) in its pixels."""

    z: int
    places: dict[Structure, Places]


class LongAxisViews:
    """The long-axis cines of the open study, and what they share with the short axis on show."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._crossings: dict[tuple[View, int], list[Crossing]] = {}
        self._on_short: dict[tuple[View, int], Places | None] = {}
        self._on_long: dict[tuple[View, int], Places | None] = {}
        self.cines: dict[View, Cine] = {}
        self._find()
        reading.events.cine_changed.connect(self._find)
        reading.events.labels_changed.connect(self._labels_changed)

    def _find(self) -> None:
        self._crossings.clear()
        self._on_short.clear()
        self._on_long.clear()
        self.cines = {}
        study = self._reading.study
        if study is None or not self._reading.is_open or self._reading.cine.view is not View.SAX:
            return
        if not self._reading.cine.geometry.spacing_is_stated:
            return
        at_hand = {cine.view for cine in study.cines if cine.geometry.spacing_is_stated}
        self.cines = {view: study.best(view) for view in LONG_AXES if view in at_hand}

    def _labels_changed(self, slices: tuple[Slice, ...]) -> None:
        changed = {t for t, _ in slices}
        for key in [key for key in self._crossings if key[1] in changed]:
            del self._crossings[key]

    def phase_of(self, view: View, t: int) -> int:
        """Phase of a long-axis cine at the same share of the beat: breath-holds differ in ms, hardly in that."""
        n = self.cines[view].n_phases
        return round(t / self._reading.cine.n_phases * n) % n

    def is_apart(self, view: View, z: int) -> bool:
        """Whether a long-axis image and a short-axis slice lie in coordinate systems that are known to differ."""
        ours, theirs = self._reading.cine.frame_of_reference(z), self.cines[view].frame_of_reference(0)
        return bool(ours and theirs) and ours != theirs

    def why_no_lines(self, view: View) -> str:
        """Tell why a long-axis view and the short axis have no lines on each other; empty if they have."""
        apart = [self.is_apart(view, z) for z in range(self._reading.cine.n_slices)]
        return APART if all(apart) else APART_IN_PART if any(apart) else ""

    def line_on_long_axis(self, view: View, z: int) -> Places | None:
        """Line of a short-axis slice on a long-axis image, its ends (y, x), shape (2, 2); None if they do not meet."""
        if (view, z) not in self._on_long:
            sax, lax = self._reading.cine, self.cines[view]
            self._on_long[view, z] = (
                None
                if self.is_apart(view, z)
                else cut_line(lax.geometry.planes[0], lax.image_extent(0), sax.geometry.planes[z], sax.image_extent(z))
            )
        return self._on_long[view, z]

    def line_on_short_axis(self, view: View, z: int) -> Places | None:
        """Line of a long-axis image on a short-axis slice, its ends (y, x), shape (2, 2); None if they do not meet."""
        if (view, z) not in self._on_short:
            sax, lax = self._reading.cine, self.cines[view]
            self._on_short[view, z] = (
                None
                if self.is_apart(view, z)
                else cut_line(sax.geometry.planes[z], sax.image_extent(z), lax.geometry.planes[0], lax.image_extent(0))
            )
        return self._on_short[view, z]

    def crossings(self, view: View, t: int) -> list[Crossing]:
        """Where the contours of every slice at a phase of the short axis pass through a long-axis image."""
        if (view, t) not in self._crossings:
            found = (self._crossing(view, t, z) for z in range(self._reading.cine.n_slices))
            self._crossings[view, t] = [crossing for crossing in found if crossing.places]
        return self._crossings[view, t]

    def _crossing(self, view: View, t: int, z: int) -> Crossing:
        labels, line = self._reading.labels[t, z], self.line_on_short_axis(view, z)
        places: dict[Structure, Places] = {}
        if line is not None and labels.any():
            from_plane = self._reading.cine.geometry.planes[z]
            to_plane = self.cines[view].geometry.planes[0]
            for structure, members in BORDERS:
                inside = np.logical_or.reduce([labels == member for member in members])
                on_sax = border_crossings(inside, line)
                if len(on_sax):
                    places[structure] = to_pixels(to_plane, from_plane.to_world_mm(on_sax[:, 0], on_sax[:, 1]))
        return Crossing(z, places)

    def slice_at(self, view: View, place: tuple[float, float]) -> int | None:
        """Short-axis slice that lies nearest to a place (y, x) of a long-axis image; None if that is not known."""
        point = self.cines[view].geometry.planes[0].to_world_mm(*place)
        away_mm = {
            z: abs(float((point - plane.origin_mm) @ plane.normal))
            for z, plane in enumerate(self._reading.cine.geometry.planes)
            if not self.is_apart(view, z)
        }
        return min(away_mm, key=away_mm.__getitem__, default=None)
