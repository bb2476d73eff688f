from dataclasses import replace

import numpy as np
import pytest

from cinema_core.errors import CheckpointError
from cinema_core.models import zoo
from cinema_core.phantom import PhantomStudy
from cinema_core.predict.features import slice_features


def test_slices_that_look_alike_have_features_alike(phantom_study: PhantomStudy) -> None:
    """Of all slices one phase later, the one most like a slice is itself."""
    cine = phantom_study.cine
    features = slice_features(cine, zoo.load("bundled", device="cpu"))
    assert features.shape[:2] == (cine.n_phases, cine.n_slices)
    distances = np.linalg.norm(features[0][:, None] - features[1][None], axis=-1)
    np.testing.assert_array_equal(distances.argmin(axis=1), np.arange(cine.n_slices))


def test_features_of_a_stack_are_refused(phantom_study: PhantomStudy) -> None:
    model = zoo.load("bundled", device="cpu")
    config = {**model.config, "data": {"sax": {**model.config["data"]["sax"], "patch_size": [128, 128, 4]}}}
    with pytest.raises(CheckpointError, match="one slice at a time"):
        slice_features(phantom_study.cine, replace(model, config=config))
