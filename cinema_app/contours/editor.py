"""The contours of the viewed slice in a reader's hand. Plain Python: layers show them, the mouse drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from itertools import pairwise
from typing import Final

import numpy as np
from psygnal import Signal

from cinema_app.contours.curve import Contour, Points
from cinema_app.contours.drawing import Curves, Mask, curves_of, region, settled, shown_in_full, written
from cinema_app.contours.fitting import drawn, pulled
from cinema_app.contours.interpolation import between
from cinema_app.contours.propagation import MotionToFollow
from cinema_app.labelling import Slice
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.errors import CinemaError, LabelError
from cinema_core.io.contours import Outline

ORIGIN: Final = "contour"
COPIED: Final = "copied contour"
INTERPOLATED: Final = "interpolated contour"
PROPAGATED: Final = "propagated contour"
"""What the journal calls labels that were made with the contour tool."""

REACH_MM: Final = 15.0
LEAST_REACH_MM: Final = 5.0
MOST_REACH_MM: Final = 40.0
REACH_STEP_MM: Final = 5.0
STEP_MM: Final = 0.5
"""By how much *Larger* and *Smaller* move the contour."""

SLOWEST_SCALE: Final = 0.1
"""A curve that is scaled never gets smaller than this share of itself in one drag."""


class Grip(Enum):
    """What a drag that starts on a contour does."""

    SHAPE = auto()
    MOVE = auto()
    SCALE = auto()


@dataclass(frozen=True, eq=False)
class _Drag:
    border: Outline
    before: Curves
    follow: Callable[[Points], Contour]
    grip: Grip

    def moved_points(self, to: Points) -> int:
        """Control points that the hand moved: one by itself, or those that followed a pull, at least the one it makes.

        A curve that is moved or scaled as a whole has none; nor do curves count that yield, whose points come anew.
        """
        if self.grip is not Grip.SHAPE:
            return 0
        after = {tuple(point) for point in self.follow(to).points}
        return max(1, sum(tuple(point) not in after for point in self.before[self.border].points))


class ContourEditor:
    """Contours and label of a slice kept as one.

    Hidden rules, and why:

    * The control points belong to the label they were drawn with. As long as the slice has that label, also after
      Undo or when the reader comes back, it shows the very same points; so nothing drifts.
    * A label that came otherwise (model, brush, import) is fitted anew, but only those borders that differ.
    * A drag starts from where the contours were at the press. What yielded comes back when the hand goes back.
    """

    changed = Signal()
    """Contours, the one in hand, or what is being drawn differ."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._known: dict[tuple[Slice, bytes], Curves] = {}
        self._latest: dict[Slice, tuple[Mask, Curves]] = {}
        self._drag: _Drag | None = None
        self._in_flight: Curves | None = None
        self._hand: Points = np.zeros(2)
        self._here: Slice = (0, 0)
        self.chosen = Outline.LV_ENDO
        self.reach_mm = REACH_MM
        self.is_drawing = False
        self.stroke: list[Points] = []
        reading.events.cine_changed.connect(self._forget)

    # ---------------------------------------------------------------- what there is

    @property
    def here(self) -> Slice:
        """Phase and slice whose contours are in hand."""
        return self._here

    def go_to(self, t: int, z: int) -> None:
        """Take the contours of another slice in hand."""
        self._drag, self._in_flight, self.stroke = None, None, []
        self._here = (t, z)
        self.changed.emit()

    @property
    def curves(self) -> Curves:
        """Contours of the slice in hand, as the hand has them right now."""
        return self._curves_at(self._here) if self._in_flight is None else self._in_flight

    @property
    def shows_all(self) -> bool:
        """Whether the contours show all of the slice's label; a second piece of a structure has none."""
        return shown_in_full(self._label(self._here), self._curves_at(self._here))

    def choose(self, border: Outline) -> None:
        """Take another contour in hand."""
        self.chosen = border
        self.changed.emit()

    def choose_next(self) -> None:
        """Go round: endocardium, epicardium, RV."""
        borders = list(Outline)
        self.choose(borders[(borders.index(self.chosen) + 1) % len(borders)])

    def change_reach(self, by_mm: float) -> None:
        """Let a pull reach farther along the contour, or less far."""
        self.reach_mm = min(max(self.reach_mm + by_mm, LEAST_REACH_MM), MOST_REACH_MM)
        self._reading.notify(f"A pull reaches {self.reach_mm:g} mm along the contour.")

    def _label(self, where: Slice) -> Mask:
        mask: Mask = self._reading.labels[where]
        return mask

    def _curves_at(self, where: Slice) -> Curves:
        mask = self._label(where)
        key = where, _digest(mask)
        if key not in self._known:
            self._known[key] = self._fitted(where, mask)
        self._latest[where] = mask.copy(), self._known[key]
        return self._known[key]

    def _fitted(self, where: Slice, mask: Mask) -> Curves:
        if where not in self._latest:
            return curves_of(mask)
        before, curves = self._latest[where]
        same = [border for border in Outline if np.array_equal(region(before, border), region(mask, border))]
        anew = {} if len(same) == len(Outline) else curves_of(mask)
        return {
            border: curve
            for border in Outline
            if (curve := (curves if border in same else anew).get(border)) is not None
        }

    def _forget(self) -> None:
        self._known.clear()
        self._latest.clear()
        self.cancel()

    # ---------------------------------------------------------------- the mouse on a contour

    def border_at(self, place: Points, within: float) -> Outline | None:
        """Return the contour at a place, the one in hand first; ``within`` so many pixels."""
        curves = self.curves
        chosen = curves.get(self.chosen)
        if chosen is not None and chosen.point_at(place, within) is not None:
            return self.chosen
        near = {border: curve.nearest(place)[0] for border, curve in curves.items()}
        nearest = min(near, key=lambda border: (near[border], border is not self.chosen), default=None)
        return nearest if nearest is not None and near[nearest] <= within else None

    def press(self, place: Points, within: float, grip: Grip = Grip.SHAPE) -> bool:
        """Take hold of what is at a place; returns whether there is anything."""
        border = self.border_at(place, within)
        if border is None:
            return False
        curve = self.curves[border]
        self._drag = _Drag(border, self.curves, self._follow(curve, place, within, grip), grip)
        self.choose(border)
        return True

    def _follow(self, curve: Contour, place: Points, within: float, grip: Grip) -> Callable[[Points], Contour]:
        if grip is Grip.MOVE:
            return lambda to: curve.shifted(to - place)
        if grip is Grip.SCALE:
            centre = curve.centre
            start = max(float(np.linalg.norm(place - centre)), 1.0)
            return lambda to: curve.scaled(max(float(np.linalg.norm(to - centre)) / start, SLOWEST_SCALE))
        index = curve.point_at(place, within)
        if index is not None:
            offset = curve.points[index] - place
            return lambda to: curve.with_point_moved(index, to + offset)
        reach = self._pixels(self.reach_mm)
        foot = curve.nearest(place)[2]
        return lambda to: pulled(curve, place, to + foot - place, reach)

    def drag(self, place: Points) -> None:
        """Move what is held; contours in its way yield."""
        if self._drag is not None:
            self._hand, held = place, self._drag.border
            self._in_flight = settled({**self._drag.before, held: self._drag.follow(place)}, held)
            self.changed.emit()

    def release(self) -> None:
        """Let go, and write the label."""
        drag, curves = self._drag, self._in_flight
        self._drag = self._in_flight = None
        if drag is not None and curves is not None:
            self._take(drag.before, curves, moved_points=drag.moved_points(self._hand))

    def cancel(self) -> None:
        """Let go and leave everything as it was before."""
        self._drag = self._in_flight = None
        self.is_drawing, self.stroke = False, []
        self.changed.emit()

    def add_or_remove_point(self, place: Points, within: float) -> None:
        """Take the point at a place away, or add one where the contour passes."""
        border = self.border_at(place, within)
        if border is None:
            return
        before, curve = self.curves, self.curves[border]
        index = curve.point_at(place, within) if border is self.chosen else None
        made = curve.with_point_at(place)[0] if index is None else curve.without_point(index)
        self.chosen = border
        self._take(before, settled({**before, border: made}, border))

    # ---------------------------------------------------------------- drawing afresh

    def start_drawing(self) -> None:
        """Let the next stroke or clicks make the chosen contour anew; a second call gives that up."""
        self.is_drawing, self.stroke = not self.is_drawing, []
        self.changed.emit()

    def draw_to(self, place: Points) -> None:
        """Go on with the stroke, or set the next corner."""
        if not self.stroke or np.linalg.norm(self.stroke[-1] - place) > 0:
            self.stroke.append(np.asarray(place, dtype=np.float64))
            self.changed.emit()

    def close_stroke(self, *, by_clicks: bool = False) -> None:
        """Make the contour of what was drawn.

        Parameters
        ----------
        by_clicks
            Each place was clicked and becomes a control point; else they are a stroke of the hand.
        """
        stroke = np.array(self.stroke).reshape(-1, 2)
        self.is_drawing, self.stroke = False, []
        made = Contour(stroke) if by_clicks and len(stroke) >= 4 else drawn(stroke)
        if made is None:
            self._reading.notify("That stroke encloses nothing. Draw around the whole structure in one go.")
            self.changed.emit()
            return
        before = self.curves
        self._take(before, settled({**before, self.chosen: made}, self.chosen), anew=self.chosen)

    # ---------------------------------------------------------------- the whole contour in hand

    def smooth(self) -> None:
        """Even out the contour in hand."""
        self._change(lambda curve: curve.smoothed())

    def grow(self, steps: int) -> None:
        """Move the whole contour in hand outwards by half a millimetre a step; inwards if negative."""
        self._change(lambda curve: curve.grown(self._pixels(steps * STEP_MM)))

    def clear(self) -> None:
        """Take the contour in hand off this slice."""
        before = self.curves
        if self.chosen in before:
            self._take(before, {border: curve for border, curve in before.items() if border is not self.chosen})

    def _change(self, change: Callable[[Contour], Contour]) -> None:
        before = self.curves
        if self.chosen in before:
            self._take(before, settled({**before, self.chosen: change(before[self.chosen])}, self.chosen))

    # ---------------------------------------------------------------- other slices and phases

    def copy_to(self, dt: int, dz: int) -> None:
        """Take the contours along to a slice or phase beside this one, in place of those there, and go there.

        They are predicted there until the reader corrects or accepts them.

        Raises
        ------
        LabelError
            If there is nothing to take along, or no image there.
        """
        t, z = self._here
        n_t, n_z = self._reading.cine.shape[:2]
        there = (t + dt) % n_t, z + dz
        if not 0 <= there[1] < n_z:
            raise LabelError("This is the last slice of the stack: there is none to take the contours to.")
        mask = self._label(self._here).copy()
        if not np.isin(mask, FOREGROUND).any():
            raise LabelError("This slice has no contours to take along. Draw them first.")
        self._remember(there, mask, self._curves_at(self._here))
        was = self._reading.state(*there)
        if self._reading.fill({there: mask}, COPIED) and was.is_teaching:
            self._reading.notify(f"The copy lies over a slice that was {was.value}. Undo brings that back.")
        self._reading.events.go_to.emit(*there)

    def fill_slices(self) -> int:
        """Fill the slices of this phase that lie between two corrected or accepted ones; returns how many.

        Raises
        ------
        LabelError
            If no slice lies between two such.
        """
        t, n_z = self._here[0], self._reading.cine.n_slices
        masks = self._filled([(t, z) for z in range(n_z)])
        if not masks:
            raise LabelError(
                "No slice of this phase lies between two that you corrected or accepted. Correct one on either side."
            )
        return self._reading.fill(masks, INTERPOLATED)

    def fill_phases(self) -> int:
        """Fill the phases of this slice between corrected or accepted ones, around the cycle; returns how many.

        Raises
        ------
        LabelError
            If fewer than two phases of this slice are corrected or accepted, or none lies between them.
        """
        n_t, z = self._reading.cine.n_phases, self._here[1]
        yours = [t for t in range(n_t) if self._reading.state(t, z).is_teaching]
        # From the first of them once around the beat, back to itself.
        around = [((yours[0] + k) % n_t, z) for k in range(n_t + 1)] if len(yours) > 1 else []
        masks = self._filled(around)
        if not masks:
            raise LabelError(
                "This slice needs two phases that you corrected or accepted, with others between them. "
                "Correct it at end-diastole and end-systole."
            )
        return self._reading.fill(masks, INTERPOLATED)

    def _filled(self, row: Sequence[Slice]) -> Mapping[Slice, Mask]:
        """Labels by shape for what lies in a row between corrected or accepted slices."""
        yours = [k for k, where in enumerate(row) if self._reading.state(*where).is_teaching]
        return {
            row[k]: between(self._label(row[first]), self._label(row[last]), (k - first) / (last - first))
            for first, last in pairwise(yours)
            for k in range(first + 1, last)
            if self._reading.cine.has_image(*row[k])
        }

    def motion_to_follow(self) -> MotionToFollow:
        """Return what it takes to follow the heart's motion from the slice in hand through the cycle.

        Raises
        ------
        LabelError
            If the slice has no contours, or a phase has no image.
        """
        (t, z), cine = self._here, self._reading.cine
        mask = self._drawn_at(t, z)
        if not mask.any():
            raise LabelError("This slice has no contours to take along. Draw them first.")
        if missing := [k for k in range(cine.n_phases) if not cine.has_image(k, z)]:
            raise LabelError(f"This slice has no image at phase {missing[0] + 1}: its motion cannot be followed.")
        return self._motion_from(t, z, mask)

    def motions_to_follow(self) -> tuple[MotionToFollow, ...]:
        """Return the same for every slice with contours at this phase; those without an image at some phase stay out.

        Raises
        ------
        LabelError
            If there is no such slice.
        """
        t, cine = self._here[0], self._reading.cine
        whole = [z for z in range(cine.n_slices) if all(cine.has_image(k, z) for k in range(cine.n_phases))]
        drawn = {z: mask for z in whole if (mask := self._drawn_at(t, z)).any()}
        if not drawn:
            raise LabelError("No slice of this phase has contours to take along. Draw them first.")
        return tuple(self._motion_from(t, z, mask) for z, mask in drawn.items())

    def _drawn_at(self, t: int, z: int) -> Mask:
        mask = self._label((t, z)).copy()
        mask[mask > Structure.LV_CAVITY] = Structure.BACKGROUND
        return mask

    def _motion_from(self, t: int, z: int, mask: Mask) -> MotionToFollow:
        cine = self._reading.cine
        return MotionToFollow(self._reading.study_id, z, t, cine.pixels[:, z], mask, cine.geometry.pixel_spacing_mm)

    def take_propagated(self, study_id: str, masks: Mapping[Slice, Mask]) -> int:
        """Take what following the motion gave, but where the reader corrected or accepted; returns how many.

        Parameters
        ----------
        study_id
            Study in which the motion was followed.
        masks
            Labels (y, x) by (t, z).

        Raises
        ------
        LabelError
            If another study is open by now.
        """
        if study_id != self._reading.study_id:
            raise LabelError("The motion was followed in a study that is no longer open; nothing was changed.")
        free = {where: mask for where, mask in masks.items() if not self._reading.state(*where).is_teaching}
        return self._reading.fill(free, PROPAGATED)

    def revert_to_model(self) -> None:
        """Bring back what the model drew on this slice."""
        self._reading.revert_to_model(*self._here)

    # ---------------------------------------------------------------- contours and label are one

    def _take(self, before: Curves, after: Curves, anew: Outline | None = None, moved_points: int = 0) -> None:
        mask = written(self._label(self._here), before, after, anew)
        self._remember(self._here, mask, after)
        try:
            self._reading.correct(*self._here, mask, ORIGIN, moved_points)
        except CinemaError as error:
            # Not saved, so not shown either.
            self._reading.notify(str(error), Severity.ERROR)
        self.changed.emit()

    def _remember(self, where: Slice, mask: Mask, curves: Curves) -> None:
        self._known[where, _digest(mask)] = curves

    def _pixels(self, mm: float) -> float:
        return mm / float(np.mean(self._reading.cine.geometry.pixel_spacing_mm))


def _digest(mask: Mask) -> bytes:
    return blake2b(np.ascontiguousarray(mask).tobytes(), digest_size=16).digest()
