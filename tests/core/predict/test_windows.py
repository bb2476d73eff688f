"""Windows over large images, as the published evaluation lays and averages them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from cinema_core.errors import GeometryError
from cinema_core.predict.windows import Merge, pad_end, predict_windows, window_starts


@pytest.mark.parametrize(
    ("n", "size", "starts"),
    [(10, 16, (0,)), (16, 16, (0,)), (17, 16, (0, 1)), (24, 16, (0, 8)), (30, 16, (0, 8, 14)), (7, 3, (0, 2, 4))],
)
def test_half_a_window_overlaps_and_the_last_ends_with_the_axis(n: int, size: int, starts: tuple[int, ...]) -> None:
    assert window_starts(n, size) == starts


class Draws(nn.Module):
    """Logits 3 and 0 for each pixel, plus what the window holds at its first pixel: windows differ."""

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {view: torch.cat([3 * x + x[:, :, :1, :1], -x], dim=1) for view, x in images.items()}


class Answers(nn.Module):
    def forward(self, images: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([sum(x.amax(dim=(1, 2, 3)) for x in images.values()), torch.zeros(1)], dim=1)


def test_a_smaller_image_is_padded_at_the_end_and_cut_back() -> None:
    image = torch.rand(1, 1, 3, 5)
    seen = []

    class Keeps(nn.Module):
        def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
            seen.append(images["lax_4c"])
            return dict(images)

    found = predict_windows(Keeps(), {"lax_4c": image}, {"lax_4c": (4, 8)}, Merge.SOFTMAX)
    assert isinstance(found, dict)
    assert torch.equal(found["lax_4c"], image)
    assert torch.equal(seen[0], pad_end(image, (4, 8)))
    assert seen[0][..., 3:, :].sum() == 0


@pytest.mark.parametrize(
    ("merge", "to_probability", "back"),
    [
        (Merge.SOFTMAX, lambda x: x.softmax(1), lambda p: p.log()),
        (Merge.SIGMOID, torch.sigmoid, torch.logit),
        (Merge.PLAIN, lambda x: x, lambda x: x),
    ],
)
def test_overlaps_are_the_mean_of_what_each_window_says(merge, to_probability, back) -> None:  # type: ignore[no-untyped-def]
    image = torch.rand(1, 1, 6, 4)
    found = predict_windows(Draws(), {"lax_4c": image}, {"lax_4c": (4, 4)}, merge)
    assert isinstance(found, dict)
    first = to_probability(Draws()({"x": image[..., :4, :]})["x"])
    last = to_probability(Draws()({"x": image[..., 2:, :]})["x"])
    expected = torch.cat([first[..., :2, :], (first[..., 2:, :] + last[..., :2, :]) / 2, last[..., 2:, :]], dim=2)
    torch.testing.assert_close(found["lax_4c"], back(expected))


@pytest.mark.parametrize("merge", [Merge.SOFTMAX, Merge.PLAIN])
def test_answers_of_windows_are_averaged_with_the_other_view_whole(merge: Merge) -> None:
    images = {"lax_4c": torch.rand(1, 1, 6, 4), "lax_2c": torch.rand(1, 1, 4, 4)}
    sizes = {"lax_4c": (4, 4), "lax_2c": (4, 4)}
    found = predict_windows(Answers(), images, sizes, merge)
    each = torch.stack(
        [Answers()({**images, "lax_4c": images["lax_4c"][..., start : start + 4, :]}) for start in (0, 2)]
    )
    expected = each.mean(0) if merge is Merge.PLAIN else each.softmax(-1).mean(0).log()
    torch.testing.assert_close(found, expected)


def test_two_large_views_are_refused() -> None:
    images = {view: torch.rand(1, 1, 6, 4) for view in ("lax_4c", "lax_2c")}
    with pytest.raises(GeometryError, match="lax_4c, lax_2c are larger"):
        predict_windows(Answers(), images, dict.fromkeys(images, (4, 4)), Merge.PLAIN)
