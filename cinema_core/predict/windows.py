"""Images larger than a model's size: overlapping windows and the mean of what it says of each, as published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema_core.errors import GeometryError


class Merge(StrEnum):
    """How the answers of windows are averaged."""

    SOFTMAX = "softmax"
    """Mean probability of exclusive classes; its logarithm is returned (segmentation, classification)."""
    SIGMOID = "sigmoid"
    """Mean probability of independent channels; its logit is returned (heatmaps)."""
    PLAIN = "plain"
    """Mean of the values (regression)."""


def window_starts(n: int, size: int) -> tuple[int, ...]:
    """First index of each window along an axis: half of it overlaps the next, and the last ends with the axis."""
    if n <= size:
        return (0,)
    step = size - size // 2
    return (*range(0, n - size, step), n - size)


def pad_end(x: Tensor, size: Sequence[int]) -> Tensor:
    """Zeros at the end of each axis of (b, c, *spatial) up to ``size``, as published; never cut."""
    missing = [max(0, wanted - found) for found, wanted in zip(x.shape[2:], size, strict=True)]
    return F.pad(x, [n for gap in reversed(missing) for n in (0, gap)])


def predict_windows(
    network: nn.Module, images: Mapping[str, Tensor], sizes: Mapping[str, Sequence[int]], merge: Merge
) -> dict[str, Tensor] | Tensor:
    """Ask a network about images of any size.

    Smaller images are padded with zeros at the end, and what is drawn on them is cut back. One view may be
    larger than its size: it is cut into windows, and the other views are shown whole with each.

    Parameters
    ----------
    images
        View key to (b, c, x, y[, z]), values 0 to 1.
    sizes
        View key to the size (x, y[, z]) that the network takes.
    merge
        How answers are averaged where windows overlap.

    Returns
    -------
    dict or Tensor
        As the network gives: by view (b, out, x, y[, z]), or (b, out). With more than one window, logarithms of
        the mean probabilities take the place of logits.

    Raises
    ------
    GeometryError
        If more than one view is larger than its size.
    """
    padded = {view: pad_end(image, sizes[view]) for view, image in images.items()}
    large = [view for view, image in padded.items() if tuple(image.shape[2:]) != tuple(sizes[view])]
    if len(large) > 1:
        raise GeometryError(f"The images of {', '.join(large)} are larger than the model takes; only one may be.")
    if not large:
        found = network(padded)
        return {v: _cut(x, images[v]) for v, x in found.items()} if isinstance(found, dict) else found
    (view,) = large
    answers = [
        (where, network({**padded, view: padded[view][_last(where)]}))
        for where in _windows(padded[view].shape[2:], sizes[view])
    ]
    if not isinstance(answers[0][1], dict):
        return _average(torch.stack([_probabilities(answer, merge) for _, answer in answers]).mean(dim=0), merge)
    return {v: _cut(_merged(answers, v, padded[v], v == view, merge), images[v]) for v in answers[0][1]}


def _windows(shape: Sequence[int], size: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    starts = [window_starts(n, wanted) for n, wanted in zip(shape, size, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(first, first + wanted) for first, wanted in zip(corner, size, strict=True))


def _merged(
    answers: Sequence[tuple[tuple[slice, ...], Mapping[str, Tensor]]],
    view: str,
    image: Tensor,
    is_cut: bool,
    merge: Merge,
) -> Tensor:
    first = answers[0][1][view]
    total = first.new_zeros(*first.shape[:2], *image.shape[2:])
    seen = first.new_zeros(image.shape[2:])
    for where, answer in answers:
        inside = where if is_cut else (slice(None),) * seen.ndim
        total[_last(inside)] += _probabilities(answer[view], merge)
        seen[inside] += 1
    return _average(total / seen, merge)


def _probabilities(answer: Tensor, merge: Merge) -> Tensor:
    if merge is Merge.SOFTMAX:
        return answer.softmax(dim=1)
    return answer.sigmoid() if merge is Merge.SIGMOID else answer


def _average(mean: Tensor, merge: Merge) -> Tensor:
    if merge is Merge.SOFTMAX:
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
    return mean.logit(eps=1e-7) if merge is Merge.SIGMOID else mean


def _cut(x: Tensor, image: Tensor) -> Tensor:
    return x[_last(slice(0, n) for n in image.shape[2:])]


def _last(where: Iterable[slice]) -> tuple[Any, ...]:
    """Index of the last axes; any before them are taken whole."""
    return (..., *where)
