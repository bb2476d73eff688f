"""Which standard view each stack shows: from where it lies; what its series is called is a hint only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import PARALLEL_TOLERANCE_DEG, View
from cinema_core.io.dicom_stacks import APEX_DIRECTION, APEX_MIN_COSINE, MIN_STACK_SLICES, Stack

_HINTS: Final = (
    (View.OTHER, re.compile(r"rvot|rv[ _-]?(2|3)[ _-]?ch|aort|la[ _-]?stack", re.IGNORECASE)),
    (View.LAX_4C, re.compile(r"(?<!\d)4[ _-]?(ch|c\b)|four[ _-]?ch|\bhla\b", re.IGNORECASE)),
    (View.LAX_3C, re.compile(r"(?<!\d)3[ _-]?(ch|c\b)|three[ _-]?ch|lvot", re.IGNORECASE)),
    (View.LAX_2C, re.compile(r"(?<!\d)2[ _-]?(ch|c\b)|two[ _-]?ch|\bvla\b", re.IGNORECASE)),
    (View.SAX, re.compile(r"\bsax?\b|(?<![a-z])sax?(?![a-z])|short", re.IGNORECASE)),
)
"""Words of series descriptions, first match wins; technicians write what they planned, not what they got."""

LONG_AXIS_MIN_DEG: Final = 60.0
"""A long-axis plane stands this steep on the short axis (69 to 88 degrees in the Siemens volunteer)."""

TURNED_DEG: Final = {View.LAX_4C: 10.0, View.LAX_2C: 70.0, View.LAX_3C: 130.0}
"""How far a long-axis plane is turned about the axis of the left ventricle, from the patient's right, clockwise seen
from the base. The three planes lie some 60 degrees apart. Measured: 4-chamber 7.7 and 9.6, 2-chamber 66 and 68,
3-chamber 129 degrees (a Siemens volunteer, by its guide points, and M&Ms-2)."""

NEAR_DEG: Final = 20.0
"""A plane this near to one of the three angles shows that view; the next is 60 degrees away."""

BODY_AXIS_DEG: Final = 10.0
"""A stack this near to an axial, coronal or sagittal plane is one; the heart lies oblique to all three."""

HINT_AND_ANGLE, ANGLE_ALONE, HINT_ALONE, HINT_DISPUTED, UNCLEAR = 0.8, 0.6, 0.4, 0.3, 0.2
"""Confidence in a long-axis name: it is never certain before someone looked."""

SAX_WITH_HINT, SAX_BY_GEOMETRY, SAX_REPEAT, SAX_UNUSUAL = 0.95, 0.9, 0.6, 0.4


@dataclass(frozen=True)
class NamedView:
    """A view, how sure it is and why, and what the reader should check."""

    view: View
    confidence: float
    reason: str
    warnings: tuple[str, ...] = ()


def name_views(stacks: list[Stack]) -> list[NamedView]:
    """Name the view of every stack; the order is that of the stacks."""
    sax = _short_axis(stacks)
    return [_short_axis_view(stack) if stack is sax else _name(stack, sax) for stack in stacks]


def view_hint(text: str) -> View | None:
    """View that a series description speaks of; None if it says nothing."""
    return next((view for view, pattern in _HINTS if pattern.search(text)), None)


def turned_deg(plane_normal: NDArray[np.float64], axis: NDArray[np.float64]) -> float:
    """How far a long-axis plane is turned about the axis of the left ventricle.

    Parameters
    ----------
    plane_normal, axis
        Unit vectors (LPS); the axis points from base to apex.

    Returns
    -------
    Degrees from the patient's right, 0 to 180: a plane has no direction.
    """
    to_right = np.array([-1.0, 0.0, 0.0])
    zero = to_right - (to_right @ axis) * axis
    zero /= np.linalg.norm(zero)
    quarter = np.cross(axis, zero)
    along = np.cross(plane_normal, axis)
    return float(np.degrees(np.arctan2(along @ quarter, along @ zero)) % 180)


def _short_axis(stacks: list[Stack]) -> Stack | None:
    """Return the largest parallel stack that can be a short axis; one that is called so goes first."""
    candidates = [stack for stack in stacks if stack.n_slices >= MIN_STACK_SLICES and _can_be_short_axis(stack)]
    return max(
        candidates,
        key=lambda stack: (view_hint(stack.first.text) is View.SAX, stack.n_slices, stack.n_phases),
        default=None,
    )


def _can_be_short_axis(stack: Stack) -> bool:
    hint = view_hint(stack.first.text)
    if hint is View.SAX:
        return True
    return hint is None and _body_plane(stack) is None and _along_heart(stack) >= APEX_MIN_COSINE


def _along_heart(stack: Stack) -> float:
    """Cosine between the stack's axis and that of most hearts."""
    return abs(float(stack.normal @ APEX_DIRECTION))


def _body_plane(stack: Stack) -> str | None:
    """Plane of the body that a stack lies in; None for an oblique one."""
    cosines = np.abs(stack.normal)
    k = int(cosines.argmax())
    return ("sagittal", "coronal", "axial")[k] if cosines[k] >= np.cos(np.deg2rad(BODY_AXIS_DEG)) else None


def _short_axis_view(stack: Stack) -> NamedView:
    named = view_hint(stack.first.text) is View.SAX
    usual = _along_heart(stack) >= APEX_MIN_COSINE and _body_plane(stack) is None
    reason = f"the largest stack of parallel slices ({stack.n_slices}) across the heart's usual axis"
    if usual:
        return NamedView(
            View.SAX,
            SAX_WITH_HINT if named else SAX_BY_GEOMETRY,
            f"{reason}{', and called short axis by its series' if named else ''}",
        )
    lies = f"is {_body_plane(stack)}" if _body_plane(stack) else "lies along the heart's usual axis"
    return NamedView(
        View.SAX,
        SAX_UNUSUAL,
        "its series is called short axis",
        (f"Called short axis, but the stack {lies}. Check the view.",),
    )


def _name(stack: Stack, sax: Stack | None) -> NamedView:
    hint = view_hint(stack.first.text)
    if sax is None:
        return _without_short_axis(stack, hint)
    angle = _angle_deg(stack, sax)
    if angle <= PARALLEL_TOLERANCE_DEG:
        if hint in (None, View.SAX) and stack.n_slices >= MIN_STACK_SLICES:
            return NamedView(View.SAX, SAX_REPEAT, "parallel to the short-axis stack, with fewer slices")
        if hint in (None, View.SAX):
            return NamedView(View.SAX, HINT_DISPUTED, "parallel to the short-axis stack, but not one of its slices")
    if angle < LONG_AXIS_MIN_DEG:
        return _oblique(hint, angle)
    if hint is View.OTHER:
        return NamedView(View.OTHER, HINT_ALONE, "its series is called by another view")
    return _long_axis(hint, turned_deg(stack.normal, sax.normal_to_apex))


def _without_short_axis(stack: Stack, hint: View | None) -> NamedView:
    if hint is None:
        plane = _body_plane(stack)
        why = f"an {plane} plane" if plane == "axial" else f"a {plane} plane" if plane else "nothing tells its view"
        return NamedView(View.OTHER, 0.0, why)
    return NamedView(hint, HINT_ALONE, "by the name of its series alone; there is no short-axis stack to compare with")


def _oblique(hint: View | None, angle: float) -> NamedView:
    reason = f"{angle:.0f} degrees to the short axis, neither along it nor across"
    if hint in (None, View.OTHER):
        return NamedView(View.OTHER, 0.0, reason)
    assert hint is not None
    return NamedView(
        hint,
        UNCLEAR,
        f"by the name of its series, although {reason}",
        (f"Called {hint.display_name} but it stands {angle:.0f} degrees to the short axis; check the view.",),
    )


def _long_axis(hint: View | None, turned: float) -> NamedView:
    """View of a plane that holds the axis of the left ventricle, by how far it is turned about it."""
    off = {view: _apart_deg(turned, centre) for view, centre in TURNED_DEG.items()}
    nearest = min(off, key=lambda view: off[view])
    lies = f"turned {turned:.0f} degrees about the left ventricle's axis"
    like = f"{lies}, where a {nearest.display_name} view lies ({TURNED_DEG[nearest]:.0f})"
    is_near = off[nearest] <= NEAR_DEG
    if hint is None and not is_near:
        return NamedView(View.OTHER, UNCLEAR, f"{lies}, between two views, and nothing in its series tells which")
    if hint in (None, View.SAX):
        warnings = ("Called short axis, but the plane lies along the heart; check the view.",) if hint else ()
        return NamedView(nearest, ANGLE_ALONE if is_near and not hint else UNCLEAR, like, warnings)
    assert hint is not None
    if hint is nearest:
        return NamedView(hint, HINT_AND_ANGLE if is_near else HINT_ALONE, f"{like}, and called so by its series")
    if not is_near:
        return NamedView(
            hint, HINT_DISPUTED, f"by the name of its series; {lies}, between two views", (_dispute(hint, nearest),)
        )
    return NamedView(nearest, HINT_DISPUTED, like, (_dispute(hint, nearest),))


def _dispute(hint: View, nearest: View) -> str:
    return (
        f"The series is called {hint.display_name}, but the plane lies more like a {nearest.display_name} view. "
        "Look at it and set the view."
    )


def _apart_deg(a: float, b: float) -> float:
    """Angle between two planes' directions, 0 to 90."""
    difference = abs(a - b) % 180
    return min(difference, 180 - difference)


def _angle_deg(a: Stack, b: Stack) -> float:
    """Angle between two stacks' planes, 0 to 90."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(a.normal @ b.normal))))))
