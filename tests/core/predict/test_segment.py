"""From a cine to labels on its own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import Cancelled, CheckpointError, PhaseError, StudyError
from cinema_core.io import load_study
from cinema_core.measure.agreement import dice
from cinema_core.models import zoo
from cinema_core.models.ensemble import Ensemble
from cinema_core.models.zoo import LoadedModel
from cinema_core.phantom import PhantomStudy
from cinema_core.predict import segment_cine
from cinema_core.progress import CancelToken

GREY = {Structure.BACKGROUND: 0, Structure.RV_CAVITY: 100, Structure.LV_MYOCARDIUM: 200, Structure.LV_CAVITY: 300}
Make = Callable[..., LoadedModel]


def ball_cine(n_slices: int = 8, step_mm: float = 10.0, spacing_mm: tuple[float, float] = (1.3, 1.5)) -> Cine:
    """A beating ball: LV within myocardium, an RV beside it; the greys are the truth."""
    shape = (3, n_slices, 150, 140)
    z, y, x = np.mgrid[:n_slices, : shape[2], : shape[3]].astype(float)
    along = (z - (n_slices - 1) / 2) * step_mm
    across = (y - 80) * spacing_mm[0], (x - 75) * spacing_mm[1]
    pixels = np.zeros(shape, dtype=np.int16)
    for t, scale in enumerate((1.0, 0.8, 0.9)):
        beside = np.sqrt(along**2 + across[0] ** 2 + (across[1] + 35) ** 2)
        pixels[t][beside < 24] = GREY[Structure.RV_CAVITY]
        radius = np.sqrt(along**2 + across[0] ** 2 + across[1] ** 2)
        pixels[t][radius < 33] = GREY[Structure.LV_MYOCARDIUM]
        pixels[t][radius < 26 * scale] = GREY[Structure.LV_CAVITY]
    geometry = Geometry.from_affine(np.diag([spacing_mm[1], spacing_mm[0], step_mm, 1.0]), n_slices)
    return Cine("sax", pixels, geometry, View.SAX)


def truth_of(cine: Cine) -> np.ndarray:
    truth = np.zeros(cine.shape, dtype=np.uint8)
    for structure, grey in GREY.items():
        truth[cine.pixels == grey] = structure
    return truth


@pytest.mark.parametrize("depth", [1, 16])
def test_labels_lie_on_the_studys_own_pixels(grey_reader: Make, depth: int) -> None:
    cine = ball_cine()
    found = segment_cine(cine, grey_reader(depth))
    assert found.labels.shape == cine.shape
    # The LV cavity's border moves by less than half a pixel. Along the outer border of the myocardium the image
    # is blurred through the grey of the RV, which is this reader's fault and not that of the grids.
    assert dice(found.labels, truth_of(cine), Structure.LV_CAVITY) > 0.97
    for structure in (Structure.RV_CAVITY, Structure.LV_MYOCARDIUM):
        assert dice(found.labels, truth_of(cine), structure) > 0.9


def test_a_stack_deeper_than_the_window_is_covered_by_overlapping_windows(grey_reader: Make) -> None:
    cine = ball_cine(n_slices=11, step_mm=6.0)  # 66 mm: 7 slices of 10 mm in a window of 4
    model = grey_reader(4)
    found = segment_cine(cine, model)
    assert dice(found.labels, truth_of(cine), Structure.LV_CAVITY) > 0.9  # 6 mm slices through a 10 mm grid
    assert set(model.network.depths) == {4}  # type: ignore[arg-type]


def test_volumes_come_from_the_native_geometry(grey_reader: Make) -> None:
    cine = ball_cine()
    volumes = segment_cine(cine, grey_reader(1)).volumes
    voxel_ml = 1.3 * 1.5 * 10 / 1000
    for t in range(3):
        counted = (cine.pixels[t] == GREY[Structure.LV_CAVITY]).sum() * voxel_ml
        assert volumes.lv_ml[t] == pytest.approx(counted, rel=0.03)


def test_only_the_asked_phases_are_segmented(grey_reader: Make) -> None:
    found = segment_cine(ball_cine(), grey_reader(1), phases=[2, 0])
    assert found.phases == (0, 2)
    assert not found.labels[1].any()
    assert np.isnan(found.uncertainty[1]).all() and np.isfinite(found.uncertainty[[0, 2]]).all()


def test_what_is_not_there_is_not_asked_of_the_model(grey_reader: Make) -> None:
    with pytest.raises(PhaseError, match=r"Phase 4 was asked for.*phases 1 to 3"):
        segment_cine(ball_cine(), grey_reader(1), phases=[3])
    with pytest.raises(PhaseError, match="No phase"):
        segment_cine(ball_cine(), grey_reader(1), phases=[])


def test_a_long_axis_cine_is_refused(grey_reader: Make) -> None:
    with pytest.raises(StudyError, match="2-chamber; only the short axis"):
        segment_cine(replace(ball_cine(), view=View.LAX_2C), grey_reader(1))


def test_pixels_that_are_no_numbers_are_refused_with_their_phase(grey_reader: Make) -> None:
    pixels = ball_cine().pixels.astype(np.float32)
    pixels[1, 3, 5, 5] = np.nan
    with pytest.raises(StudyError, match=r"Phase 2 .* no numbers"):
        segment_cine(replace(ball_cine(), pixels=pixels), grey_reader(1))


def test_a_model_of_another_task_is_refused(grey_reader: Make) -> None:
    with pytest.raises(CheckpointError, match="draws 3 structures"):
        segment_cine(ball_cine(), grey_reader(1, out_chans=3))
    with pytest.raises(CheckpointError, match="needs one"):
        segment_cine(ball_cine(), replace(grey_reader(1), config=long_axis_config()))


def long_axis_config() -> dict[str, Any]:
    return {
        "model": {"name": "convunetr", "views": "lax_4c", "out_chans": 4},
        "data": {"lax": {"patch_size": [256, 256], "spacing": [1.0, 1.0], "in_chans": 1}},
    }


def test_a_blank_frame_is_left_blank(grey_reader: Make) -> None:
    pixels = ball_cine().pixels.copy()
    pixels[1] = 7
    found = segment_cine(replace(ball_cine(), pixels=pixels), grey_reader(1))
    assert not found.labels[1].any() and found.labels[0].any()
    found = segment_cine(replace(ball_cine(), pixels=pixels), shown_mirrors(grey_reader(1)))
    assert found.mirrors is not None and not found.mirrors.values[1].any()


def test_cancel_stops_before_the_next_batch(grey_reader: Make) -> None:
    cancel, told = CancelToken(), []

    def progress(fraction: float, message: str) -> None:
        told.append((fraction, message))
        if message.startswith("Segmenting"):
            cancel.cancel()

    with pytest.raises(Cancelled):
        segment_cine(ball_cine(), grey_reader(16), progress=progress, cancel=cancel)
    assert len([message for _, message in told if message.startswith("Segmenting")]) <= 2


def test_progress_rises_to_one(grey_reader: Make) -> None:
    told: list[float] = []
    segment_cine(ball_cine(), grey_reader(1), progress=lambda fraction, _message: told.append(fraction))
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1


def test_a_doubtful_slice_is_more_uncertain_than_a_clear_one(grey_reader: Make) -> None:
    pixels = ball_cine().pixels.copy()
    pixels[0, 4][pixels[0, 4] == GREY[Structure.LV_CAVITY]] = 250  # between myocardium and cavity
    found = segment_cine(replace(ball_cine(), pixels=pixels), grey_reader(1), phases=[0])
    assert found.uncertainty[0].argmax() == 4


def shown_mirrors(model: LoadedModel, network: nn.Module | None = None) -> LoadedModel:
    config = {**model.config, "predict": {"mirrors": [[], [0], [1]]}}
    return replace(model, config=config, network=network or model.network)


class LeftBlind(nn.Module):
    """Sees no RV in the left half of one slice of what it is shown, as a model does that knows hearts one way round."""

    def __init__(self, network: nn.Module, z: int) -> None:
        super().__init__()
        self.network, self.z = network, z

    def forward(self, images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = self.network(images)["sax"].clone()  # (b, c, x, y, z)
        found[:, Structure.RV_CAVITY, : found.shape[2] // 2, :, self.z] = -1e4
        return {"sax": found}


def test_a_model_that_is_shown_no_mirror_images_does_not_disagree_with_itself(grey_reader: Make) -> None:
    assert segment_cine(ball_cine(), grey_reader(1)).mirrors is None


@pytest.mark.parametrize("depth", [1, 16])
def test_a_model_to_which_a_mirror_is_the_same_agrees_with_itself(grey_reader: Make, depth: int) -> None:
    found = segment_cine(ball_cine(), shown_mirrors(grey_reader(depth)), phases=[0, 2])
    assert found.mirrors is not None and found.mirrors.values.shape == (*found.labels.shape[:2], 3)
    np.testing.assert_allclose(found.mirrors.values[[0, 2]], 0, atol=1e-6)
    assert np.isnan(found.mirrors.values[1]).all()


@pytest.mark.parametrize("apex_first", [False, True])
def test_disagreement_lies_on_the_studys_own_slice(grey_reader: Make, apex_first: bool) -> None:
    cine = replace(ball_cine(), apex_first=apex_first)
    model = grey_reader(8)
    found = segment_cine(cine, shown_mirrors(model, LeftBlind(model.network, z=3)), phases=[0])
    assert found.mirrors is not None
    where = 4 if apex_first else 3
    assert np.flatnonzero(found.mirrors.disagreement[0] > 0.05).tolist() == [where]
    assert (found.mirrors.disagreement[0] <= 1).all()
    # Some answers draw the RV, and some no more than a half of it: by so many pixels of the cine's own grid.
    drawn_px = (segment_cine(cine, model, phases=[0]).labels[0, where] == Structure.RV_CAVITY).sum()
    assert 0.3 * drawn_px < found.mirrors.rv_spread_px[0, where] < 1.1 * drawn_px
    assert found.mirrors.rv_spread_px[0].argmax() == where
    assert found.mirrors.lv_spread_px[0, where] < 0.1 * drawn_px


def test_members_of_an_ensemble_that_differ_are_no_mirror_images(grey_reader: Make) -> None:
    model = grey_reader(8)
    both = Ensemble([model.network, LeftBlind(model.network, z=3)])
    assert segment_cine(ball_cine(), replace(model, network=both), phases=[0]).mirrors is None
    one = segment_cine(ball_cine(), shown_mirrors(model, Ensemble([both.networks[1]] * 2)), phases=[0])
    alone = segment_cine(ball_cine(), shown_mirrors(model, LeftBlind(model.network, z=3)), phases=[0])
    assert one.mirrors is not None and alone.mirrors is not None
    np.testing.assert_allclose(one.mirrors.values, alone.mirrors.values, atol=1e-5)
    np.testing.assert_array_equal(one.labels, alone.labels)


def test_the_bundled_model_finds_the_synthetic_heart(phantom_study: PhantomStudy) -> None:
    found = segment_cine(phantom_study.cine, phases=[0, 2])
    for structure in FOREGROUND:
        assert dice(found.labels[[0, 2]], phantom_study.labels[[0, 2]], structure) > 0.8, structure


def test_the_same_cine_gives_the_same_labels(phantom_study: PhantomStudy) -> None:
    model = zoo.load("bundled")
    first, again = (segment_cine(phantom_study.cine, model, phases=[1]).labels for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("patient", "least"), [("patient006", 0.8), ("patient042", 0.7)])
def test_the_bundled_model_finds_a_real_heart(patient: str, least: float, shared_data: Path) -> None:
    from cinema_core.io.nifti import read_labels

    folder = shared_data / "acdc" / patient
    cine = load_study(folder).best("sax")
    truth = np.concatenate([read_labels(path) for path in sorted(folder.glob("*_gt.nii.gz"))])
    assert dice(segment_cine(cine).labels, truth, Structure.LV_CAVITY) > least
