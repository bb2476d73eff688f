"""Papillary muscles by a threshold: against drawings with known ones, and against phantoms with and without."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from cinema_core.anatomy import Structure
from cinema_core.errors import InputError, LabelError
from cinema_core.measure import ReportChoices, study_measures
from cinema_core.measure.papillary import find_papillary_muscles, with_papillary_muscles_as_wall
from cinema_core.measure.quality import Flag
from cinema_core.measure.volumes import pixel_volumes_ml
from cinema_core.phantom import HeartParameters, make_phantom

BLOOD, WALL = 300.0, 100.0


def drawn(centre: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, labels and true papillary muscle of one slice in two phases; the ventricle is small in the second."""
    image, labels = np.full((2, 1, 80, 80), 150.0), np.zeros((2, 1, 80, 80), np.uint8)
    truth = np.zeros(labels.shape, bool)
    for t, radius in enumerate((25, 14)):
        labels[t, 0][disk((40, 40), radius + 8)] = Structure.LV_MYOCARDIUM
        labels[t, 0][disk((40, 40), radius)] = Structure.LV_CAVITY
        image[t][labels[t] == Structure.LV_MYOCARDIUM] = WALL
        image[t][labels[t] == Structure.LV_CAVITY] = BLOOD
        if centre is not None:
            truth[t, 0][disk(centre, 5.5)] = True
            image[t][truth[t]] = WALL
    return image, labels, truth


def test_muscle_is_found_as_it_was_drawn_in_every_phase() -> None:
    image, labels, truth = drawn((36, 44))
    found = find_papillary_muscles(image, labels)
    assert np.array_equal(found.pixels, truth)
    assert found.left_alone == ()
    counted = with_papillary_muscles_as_wall(labels, found)
    assert (counted[truth] == Structure.LV_MYOCARDIUM).all()
    assert np.array_equal(counted[~truth], labels[~truth])


def test_half_filled_pixels_of_the_border_are_no_muscle() -> None:
    image, labels, _ = drawn(None)
    inner = np.zeros((80, 80), bool)
    inner[disk((40, 40), 24)] = True
    image[0, 0][(labels[0, 0] == Structure.LV_CAVITY) & ~inner] = 0.4 * BLOOD + 0.6 * WALL
    assert not find_papillary_muscles(image, labels).pixels.any()


def test_the_level_decides_how_dark_muscle_is() -> None:
    image, labels, truth = drawn((36, 44))
    image[truth] = 0.6 * BLOOD + 0.4 * WALL
    assert not find_papillary_muscles(image, labels, level=0.5).pixels.any()
    assert np.array_equal(find_papillary_muscles(image, labels, level=0.7).pixels, truth)
    with pytest.raises(InputError, match="between 0"):
        find_papillary_muscles(image, labels, level=1.2)


def test_a_slice_without_wall_or_contrast_is_left_alone_and_named() -> None:
    image, labels, _ = drawn((36, 44))
    bare = np.where(labels == Structure.LV_MYOCARDIUM, 0, labels).astype(np.uint8)
    assert find_papillary_muscles(image, bare).left_alone == (0,)
    dark_blood = find_papillary_muscles(400 - image, labels)
    assert dark_blood.left_alone == (0,) and not dark_blood.pixels.any()


def test_only_the_phases_that_were_asked_for() -> None:
    image, labels, truth = drawn((36, 44))
    found = find_papillary_muscles(image, labels, phases=[1])
    assert not found.pixels[0].any() and np.array_equal(found.pixels[1], truth[1])


def test_the_report_counts_them_as_mass_and_says_so() -> None:
    heart = make_phantom(HeartParameters(n_phases=4), seed=3)
    as_cavity = study_measures(heart.labels, heart.cine)
    as_mass = study_measures(heart.labels, heart.cine, choices=ReportChoices.of(papillary="mass", papillary_level=0.4))
    muscles = find_papillary_muscles(heart.cine.pixels, heart.labels, level=0.4).pixels
    ed = as_mass.function.ed_phase
    assert ed is not None and as_cavity.function.ed_phase == ed
    moved_ml = float(muscles[ed].sum(axis=(1, 2)) @ pixel_volumes_ml(heart.cine.geometry))
    assert moved_ml > 1
    edv = as_cavity.function.lv_edv_ml, as_mass.function.lv_edv_ml
    mass = as_cavity.function.lv_mass_g, as_mass.function.lv_mass_g
    assert edv[0] is not None and edv[1] == pytest.approx(edv[0] - moved_ml)
    assert mass[0] is not None and mass[1] == pytest.approx(mass[0] + 1.05 * moved_ml)
    assert "threshold at 0.40" in as_mass.function.convention


def test_the_ranges_are_those_of_the_same_convention() -> None:
    heart = make_phantom(HeartParameters(n_phases=2), seed=3)
    who = {"sex": "F", "age_years": 50.0, "height_cm": 168.0, "weight_kg": 64.0}
    limits = []
    for papillary in ("cavity", "mass"):
        found = study_measures(heart.labels, heart.cine, choices=ReportChoices.of(**who, papillary=papillary))
        verdict = found.verdicts["lv_edv_ml"]
        assert verdict.range is not None
        limits.append((verdict.range.convention, verdict.range.lower, verdict.range.upper))
    assert [convention for convention, *_ in limits] == ["smooth", "papillary"]
    assert limits[0][1:] != limits[1][1:]


def test_a_slice_where_they_could_not_be_sought_is_a_finding() -> None:
    heart = make_phantom(HeartParameters(n_phases=2), seed=3)
    labels = heart.labels.copy()
    z = int(np.flatnonzero((labels[0] == Structure.LV_CAVITY).any(axis=(1, 2)))[0])
    labels[:, z][labels[:, z] == Structure.LV_MYOCARDIUM] = 0
    found = study_measures(labels, heart.cine, choices=ReportChoices.of(papillary="mass"))
    assert [f.z for f in found.findings if f.flag is Flag.PAPILLARY_NOT_SOUGHT] == [z]


def test_image_and_labels_of_two_shapes_are_refused() -> None:
    image, labels, _ = drawn(None)
    with pytest.raises(LabelError, match="one shape"):
        find_papillary_muscles(image[:1], labels)


def test_in_a_phantom_muscle_is_found_where_the_image_without_it_is_bright() -> None:
    with_muscle, without = (
        make_phantom(HeartParameters(n_phases=2, papillary_scale=scale), seed=3) for scale in (1.0, 0.0)
    )
    labels = with_muscle.labels
    cavity = labels == Structure.LV_CAVITY
    pixels, bare = with_muscle.cine.pixels.astype(float), without.cine.pixels.astype(float)
    contrast = np.median(bare[cavity]) - np.median(bare[labels == Structure.LV_MYOCARDIUM])
    truth = cavity & (bare - pixels > contrast / 2)
    found = find_papillary_muscles(pixels, labels).pixels
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    assert find_papillary_muscles(bare, labels).pixels.sum() < 0.1 * truth.sum()
