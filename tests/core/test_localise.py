"""The heart is found by its beat, without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.io import load_study
from cinema_core.io.nifti import read_labels
from cinema_core.localise import find_heart
from cinema_core.phantom import PhantomStudy

WINDOW_MM = 192.0


def middle_of(labels: np.ndarray) -> np.ndarray:
    *_, y, x = np.nonzero(labels == Structure.LV_CAVITY)
    return np.array([y.mean(), x.mean()])


def test_a_heart_off_centre_is_found(phantom_study: PhantomStudy) -> None:
    cine = phantom_study.cine
    shift = (-30, 25)
    moved = replace(cine, pixels=np.roll(cine.pixels, shift, axis=(2, 3)))
    found = np.array(find_heart(moved).centre_yx)
    off = (found - middle_of(phantom_study.labels) - shift) * cine.geometry.pixel_spacing_mm
    assert np.hypot(*off) < 30  # within the ventricles


def test_a_still_cine_gives_the_image_centre_without_confidence(phantom_study: PhantomStudy) -> None:
    cine = phantom_study.cine
    still = replace(cine, pixels=np.repeat(cine.pixels[:1], 6, axis=0))
    region = find_heart(still)
    assert region.centre_yx == ((cine.shape[2] - 1) / 2, (cine.shape[3] - 1) / 2)
    assert region.confidence == 0


def test_noise_does_not_pass_for_a_heart(phantom_study: PhantomStudy) -> None:
    cine = phantom_study.cine
    noise = np.random.default_rng(0).normal(0, 15, cine.shape)
    noisy = replace(cine, pixels=cine.pixels + noise)
    off = np.subtract(find_heart(noisy).centre_yx, find_heart(cine).centre_yx) * cine.geometry.pixel_spacing_mm
    assert np.hypot(*off) < 15


@pytest.mark.parametrize("patient", ["patient003", "patient035", "patient042", "patient091"])
def test_both_ventricles_of_a_real_pair_lie_in_the_models_window(patient: str, shared_data: Path) -> None:
    folder = shared_data / "acdc" / patient
    cine: Cine = load_study(folder).best("sax")
    labels = np.concatenate([read_labels(path) for path in sorted(folder.glob("*_gt.nii.gz"))])
    *_, y, x = np.nonzero(labels)
    centre, spacing = find_heart(cine).centre_yx, cine.geometry.pixel_spacing_mm
    inside = (abs(y - centre[0]) * spacing[0] < WINDOW_MM / 2) & (abs(x - centre[1]) * spacing[1] < WINDOW_MM / 2)
    assert inside.mean() > 0.999
