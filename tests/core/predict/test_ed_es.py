"""ED and ES of a cine, found on its middle slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinema_core.errors import PhaseError
from cinema_core.phantom import PhantomStudy
from cinema_core.predict.ed_es import find_ed_es


def test_phases_are_those_of_the_largest_and_smallest_cavity(phantom_study: PhantomStudy) -> None:
    volumes = phantom_study.lv_ml
    assert find_ed_es(phantom_study.cine) == (int(volumes.argmax()), int(volumes.argmin()))


def test_named_phases_are_taken_by_their_names(phantom_study: PhantomStudy) -> None:
    pair = replace(phantom_study.cine, pixels=phantom_study.cine.pixels[:2], phase_names=("es", "ed"))
    assert find_ed_es(pair) == (1, 0)


def test_one_phase_has_neither(phantom_study: PhantomStudy) -> None:
    with pytest.raises(PhaseError, match="has one phase"):
        find_ed_es(replace(phantom_study.cine, pixels=phantom_study.cine.pixels[:1]))


def test_image_without_a_heart_says_so(phantom_study: PhantomStudy) -> None:
    grey = np.full_like(phantom_study.cine.pixels[:2], 100)
    with pytest.raises(PhaseError, match=r"no LV cavity on 2 of 2 phases\. Segment all phases"):
        find_ed_es(replace(phantom_study.cine, pixels=grey))
