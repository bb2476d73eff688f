"""What the encoder of a segmenter makes of each slice, as one vector: which slices look alike."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cinema_core.cine import Cine, View
from cinema_core.errors import CheckpointError
from cinema_core.geometry import scale_frames
from cinema_core.models.convunetr import ConvUNetR
from cinema_core.models.zoo import LoadedModel, short_axis_grid
from cinema_core.predict.segment import grid_about_heart


def slice_features(cine: Cine, model: LoadedModel) -> NDArray[np.float32]:
    """Mean over each slice of what the encoder's last convolutions make of it, for a model of single slices.

    Not of its tokens: a small segmenter keeps what it draws in the convolutions, and its tokens take one of two values
    nearly everywhere, so that their mean tells little more than how many take which.

    Parameters
    ----------
    cine
        Short-axis cine.
    model
        ConvUNetR whose window is one slice deep; it is asked where it is.

    Returns
    -------
    Shape (t, z, channel).

    Raises
    ------
    CheckpointError
        If the model is another network, or looks at stacks.
    """
    network, grid = model.network, short_axis_grid(model)
    if not isinstance(network, ConvUNetR) or grid.patch_size[2] != 1:
        raise CheckpointError(
            f"The model {model.card.name} does not look at one slice at a time with an encoder; its slices have no "
            "features of their own. Use the bundled model, or choose another rule."
        )
    shown = cine.for_model()
    frames = grid_about_heart(shown, grid).to_model(scale_frames(shown.pixels))  # (t, x, y, z)
    device = next(network.parameters()).device
    features = []
    with torch.inference_mode():
        for frame in frames:
            images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(frame, -1, 0)))[:, None, ..., None]
            last = network.encode({View.SAX.value: images.to(device)})[View.SAX.value].stages[-1]  # (z, c, x, y, 1)
            features.append(last.flatten(2).mean(dim=2).float().cpu().numpy())
    found = np.stack(features)
    return found[:, ::-1].copy() if cine.apex_first else found
