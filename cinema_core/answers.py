"""What the published models answer about a study, as plain values. Never imports torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.cards import ModelCard
from cinema_core.geometry import Array


@dataclass(frozen=True, eq=False)
class ClassAnswer:
    """Which class a study is most like.

    Attributes
    ----------
    classes
        In the order of the checkpoint.
    probabilities
        Mean over the models, as many as classes; they add up to 1.
    spread
        Standard deviation over the models; None with one model.
    cards
        The models.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    spread: NDArray[np.float64] | None
    cards: tuple[ModelCard, ...]

    @property
    def answer(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]


@dataclass(frozen=True, eq=False)
class ValueAnswer:
    """A value that was learned from whole studies.

    Attributes
    ----------
    value
        Mean over the models, in the task's unit.
    spread
        Standard deviation over the models; None with one model.
    """

    value: float
    spread: float | None
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a masked autoencoder made of one view, each (x, y[, z]) with values about 0 to 1.

    Attributes
    ----------
    masked
        True where the image was hidden from the model.
    mse
        Mean squared error over the hidden part.
    """

    image: Array
    masked: NDArray[np.bool_]
    reconstruction: Array
    mse: float

    @property
    def error(self) -> Array:
        """Reconstruction minus image."""
        return self.reconstruction - self.image


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Landmarks of every phase of a cine.

    Attributes
    ----------
    points_yx
        Shape (t, 3, 2), in native pixels, sub-pixel: insertion 1, insertion 2, apex. Mean over the models.
    confidence
        Peak of the heatmap, shape (t, 3), 0 to 1; None for coordinates, which carry none.
    spread_mm
        How far the models are apart, root mean square distance from their mean, shape (t, 3); None with one model.
    cards
        The models.
    """

    points_yx: NDArray[np.float64]
    confidence: NDArray[np.float64] | None
    spread_mm: NDArray[np.float64] | None
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, eq=False)
class LongAxisSegmentation:
    """What models drew on a long-axis cine.

    Attributes
    ----------
    labels
        uint8, shape (t, 1, y, x), on the cine's own grid.
    uncertainty
        float32, shape (t, 1), 0 (sure) to 1.
    areas_mm2
        Area of RV cavity, myocardium and LV cavity of every phase, shape (t, 3).
    cards
        The models.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    areas_mm2: NDArray[np.float64]
    cards: tuple[ModelCard, ...]
