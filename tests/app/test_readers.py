"""napari's own doors: reader, sample data, writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cinema_app.readers import get_reader, read
from cinema_app.sample_data import SAMPLE_ADDRESS, heart_at, is_sample, synthetic_heart
from cinema_app.writers import write_labels_nifti
from cinema_core.errors import LabelError
from cinema_core.io import load_study
from cinema_core.io.nifti import read_labels
from cinema_core.phantom import HeartParameters, PhantomStudy, heart_called, make_phantom, write_phantom


@pytest.mark.parametrize("name", ["study.nii", "study.nii.gz", "STUDY.NII.GZ", "IM1.dcm", SAMPLE_ADDRESS])
def test_studies_are_ours(name: str) -> None:
    assert get_reader(name) is not None


def test_folders_are_ours_and_text_is_not(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is not None
    assert get_reader("notes.txt") is None


def test_without_a_window_a_study_is_a_plain_layer(tmp_path: Path, another_heart: PhantomStudy) -> None:
    path = write_phantom(tmp_path, another_heart)
    ((pixels, meta, kind),) = read(str(path))
    assert kind == "image"
    assert np.array_equal(pixels, another_heart.cine.pixels)
    assert meta["scale"][1] == pytest.approx(20.0)


def test_the_sample_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = make_phantom(HeartParameters(n_slices=3, slice_step_mm=25.0, n_phases=3))
    made: list[int] = []

    def make(*_: Any, **__: Any) -> PhantomStudy:
        made.append(1)
        return small

    monkeypatch.setattr("cinema_core.phantom.make_phantom", make)
    folder = tmp_path / "heart"
    assert synthetic_heart(folder) == synthetic_heart(folder)
    assert made == [1]
    assert load_study(synthetic_heart(folder)).best("sax").shape == small.cine.shape


def test_every_sample_of_the_menu_is_a_heart_that_can_be_made() -> None:
    manifest = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text(encoding="utf-8"))
    addresses = [sample["uri"] for sample in manifest["contributions"]["sample_data"]]
    assert addresses[0] == SAMPLE_ADDRESS
    for address in addresses:
        assert is_sample(address)
        assert heart_called(heart_at(address)).lv_edv_ml > 0


def test_saving_the_labels_layer_keeps_the_geometry(
    workspace: Any, viewer: Any, segmented: Any, tmp_path: Path
) -> None:
    path = tmp_path / "labels.nii.gz"
    viewer.layers.save(str(path), selected=True, plugin="napari-cinema")
    assert np.array_equal(read_labels(path, segmented.cine), segmented.labels)


def test_a_strange_labels_layer_is_refused(workspace: Any, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="does not belong"):
        write_labels_nifti(str(tmp_path / "x.nii.gz"), np.zeros((1, 1, 4, 4)), {"metadata": {}})
