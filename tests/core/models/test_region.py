"""What a decoder has to compute for a part of the image, and that it is enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cinema_core.models import ConvUNetR, build_model
from cinema_core.models.region import Region, coarsen, grow, plan_decoder, refine, whole


def test_coarsen_covers_and_refine_gives_back_what_is_covered() -> None:
    region = (slice(3, 9), slice(4, 8))
    below = coarsen(region, (4, 2))
    assert below == (slice(0, 3), slice(2, 4))
    assert refine(below, (4, 2)) == (slice(0, 12), slice(4, 8))


def test_growing_stops_at_the_array() -> None:
    assert grow((slice(1, 5), slice(3, 4)), 2, (6, 20)) == (slice(0, 6), slice(1, 6))


def test_the_whole_image_needs_the_whole_of_every_level() -> None:
    sizes = [(2, 2, 4), (4, 4, 4), (8, 8, 4)]
    plan = plan_decoder(whole(sizes[-1]), sizes, 4)
    assert (plan.deepest, *plan.computed) == tuple(whole(size) for size in sizes)
    assert plan.kept == plan.computed


def test_fine_levels_shrink_to_the_window_and_its_reach() -> None:
    sizes = [(n, n, 16) for n in (6, 12, 24, 48, 96, 192)]
    window = (slice(40, 150), slice(48, 144), slice(0, 10))
    plan = plan_decoder(window, sizes, 4)
    assert plan.kept[-1] == window
    assert plan.computed[-1] == (slice(36, 154), slice(44, 148), slice(0, 14))
    assert plan.deepest == whole(sizes[0])


WINDOWS: list[Region] = [
    (slice(24, 40), slice(20, 45), slice(0, 4)),
    (slice(0, 17), slice(47, 64), slice(1, 3)),
    (slice(30, 31), slice(30, 31), slice(0, 1)),
]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_holds_the_numbers_of_the_whole(window: Region, shared_golden: Path) -> None:
    model = build_model(shared_golden / "seg_sax.yaml")
    assert isinstance(model, ConvUNetR)
    torch.manual_seed(0)
    with torch.inference_mode():
        for parameter in model.parameters():  # the norms start as identities, the biases as nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
        encoded = model.encode({"sax": torch.rand(2, 1, 64, 64, 4)})["sax"]
        expected = model.decode("sax", encoded)[(slice(None), slice(None), *window)]
        found = [model.decode("sax", encoded, window)]
        found += [model.finish("sax", model.half_decode("sax", encoded, n_last), window) for n_last in (1, 2, 4)]
    assert expected.std() > 0.01
    for part in found:
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-5)
