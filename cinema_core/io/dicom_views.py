"""Which standard view each stack shows: by its size, its angle to the short axis, and what its series is called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from cinema_core.cine import PARALLEL_TOLERANCE_DEG, View
from cinema_core.io.dicom_stacks import MIN_STACK_SLICES, Stack

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

HINT_AND_ANGLE, HINT_ALONE, HINT_DISPUTED, HINT_UNLIKELY = 0.6, 0.4, 0.3, 0.2
"""Confidence in a long-axis name: it is never certain before someone looked."""

SAX_WITH_HINT, SAX_BY_GEOMETRY, SAX_REPEAT = 0.95, 0.9, 0.6


@dataclass(frozen=True)
class NamedView:
    """A view, how sure it is, and what the reader should check."""

    view: View
    confidence: float
    warnings: tuple[str, ...] = ()


def name_views(stacks: list[Stack]) -> list[NamedView]:
    """Name the view of every stack; the order is that of the stacks."""
    sax = _short_axis(stacks)
    named = [_name(stack, sax) for stack in stacks]
    claims = Counter(view.view for view in named if view.view.value.startswith("lax"))
    return [
        _disputed(stack, view, claims[view.view]) if claims[view.view] > 1 else view
        for stack, view in zip(stacks, named, strict=True)
    ]


def view_hint(text: str) -> View | None:
    """View that a series description speaks of; None if it says nothing."""
    return next((view for view, pattern in _HINTS if pattern.search(text)), None)


def _short_axis(stacks: list[Stack]) -> Stack | None:
    """Return the largest parallel stack that nothing calls a long-axis view."""
    candidates = [
        stack
        for stack in stacks
        if len(stack.tracks) >= MIN_STACK_SLICES and view_hint(stack.first.text) in (None, View.SAX)
    ]
    return max(candidates, key=lambda stack: (len(stack.tracks), stack.n_phases), default=None)


def _name(stack: Stack, sax: Stack | None) -> NamedView:
    hint = view_hint(stack.first.text)
    if stack is sax:
        return NamedView(View.SAX, SAX_WITH_HINT if hint is View.SAX else SAX_BY_GEOMETRY)
    angle = None if sax is None else _angle_deg(stack, sax)
    if hint in (None, View.SAX):
        parallel = angle is not None and angle <= PARALLEL_TOLERANCE_DEG
        if hint is View.SAX or (parallel and len(stack.tracks) >= MIN_STACK_SLICES):
            return NamedView(View.SAX, SAX_REPEAT if angle is None or parallel else HINT_UNLIKELY)
        return NamedView(View.OTHER, 0.0)
    assert hint is not None
    if hint is View.OTHER:
        return NamedView(View.OTHER, HINT_ALONE)
    if angle is None:
        return NamedView(hint, HINT_ALONE)
    if angle < LONG_AXIS_MIN_DEG:
        warning = f"Called {hint.display_name} but it stands {angle:.0f} degrees to the short axis; check the view."
        return NamedView(hint, HINT_UNLIKELY, (warning,))
    return NamedView(hint, HINT_AND_ANGLE)


def _disputed(stack: Stack, view: NamedView, n_claims: int) -> NamedView:
    warning = f"{n_claims} cines are called {view.view.display_name}; they show different planes. Check the view."
    confidence = min(view.confidence, HINT_DISPUTED)
    # A 4-chamber plane holds the body's left-right axis, nearly; of two claimants the other is less likely.
    if view.view is View.LAX_4C and abs(float(stack.normal[0])) > 0.5:
        confidence = min(confidence, HINT_UNLIKELY)
    return NamedView(view.view, confidence, (*view.warnings, warning))


def _angle_deg(a: Stack, b: Stack) -> float:
    """Angle between two stacks' planes, 0 to 90."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(a.normal @ b.normal))))))
