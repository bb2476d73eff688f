"""The quick way through the network draws what the plain one does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cinema_core.models import ConvUNetR, UNet, build_model
from cinema_core.models.checkpoint import read_config
from cinema_core.models.convunetr import EncodedView
from cinema_core.models.region import Region
from cinema_core.predict import forward
from cinema_core.predict.forward import WindowedNetwork, choose_precision

CPU = torch.device("cpu")
SIZE = 96


@dataclass
class Calls:
    """Windows that a network, or a copy of it, was asked to decode."""

    windows: list[Region | None] = field(default_factory=list)

    def __deepcopy__(self, _memo: object) -> Calls:
        return self


class BrightHeart(ConvUNetR):
    """Random weights, and a heart wherever the image is bright."""

    calls: Calls

    def decode(self, view: str, encoded: EncodedView, window: Region | None = None) -> Tensor:
        self.calls.windows.append(window)
        logits = super().decode(view, encoded, window).float()
        part = (slice(None), 0, *(window or ()))
        bright = (encoded.image[part] > 0.5).float()  # (b, x, y, z)
        # Which structure is up to the weights; whether there is one, to the image.
        logits = 4 * logits.tanh()
        logits[:, 0] = 20 * (1 - 2 * bright)
        return logits


@pytest.fixture
def network(shared_golden: Path) -> BrightHeart:
    """A small ConvUNetR of random weights that draws every structure."""
    config = dict(read_config(shared_golden / "seg_sax.yaml"))
    config["data"]["sax"]["patch_size"] = [SIZE, SIZE, 4]
    torch.manual_seed(0)
    model = build_model(config)
    model.__class__ = BrightHeart
    found = cast(BrightHeart, model)
    found.calls = Calls()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return found


def beating(n_frames: int = 6, n_slices: int = 3, reach: Mapping[int, int] | None = None) -> np.ndarray:
    """Noise with a bright square; ``reach`` widens it to one side on some frames."""
    frames = 0.4 * np.random.default_rng(0).random((n_frames, SIZE, SIZE, n_slices), dtype=np.float32)
    for t in range(n_frames):
        frames[t, 40 : 56 + (reach or {}).get(t, 0), 36:50] += 0.6
    return frames


def run(network: nn.Module, frames: np.ndarray, depth: int = 4) -> np.ndarray:
    return np.stack(list(WindowedNetwork(network, "sax", depth).probabilities(frames, lambda _share: None)))


def plain(network: BrightHeart, frames: np.ndarray) -> np.ndarray:
    """One frame at a time, padded at the end, as published."""
    missing = 4 - frames.shape[-1]
    with torch.inference_mode():
        found = [
            network({"sax": torch.from_numpy(np.pad(frame, ((0, 0), (0, 0), (0, missing))))[None, None]})["sax"]
            for frame in frames
        ]
    return torch.cat(found).softmax(dim=1).numpy()[..., : frames.shape[-1]]


def test_around_the_heart_the_probabilities_are_those_of_the_plain_loop(network: BrightHeart) -> None:
    frames = beating()
    found, expected = run(network, frames), plain(network, frames)
    assert len(np.unique(expected.argmax(axis=1))) == 4  # the weights draw every structure
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_only_the_scouts_are_decoded_whole(network: BrightHeart) -> None:
    quick = WindowedNetwork(network, "sax", 4)
    list(quick.probabilities(beating(), lambda _share: None))
    everything = (slice(0, SIZE), slice(0, SIZE), slice(0, 3))
    around = (slice(30, 66), slice(26, 60), slice(0, 3))
    batch_frames = forward.CPU_BATCH_VOXELS // (SIZE * SIZE * 4)
    assert batch_frames >= 3  # three scouts in one batch, the other three in one
    assert network.calls.windows == [everything, around]


def test_a_heart_that_leaves_the_window_is_not_cut_off(network: BrightHeart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CPU_BATCH_VOXELS", 1)  # one frame a batch
    frames = beating(reach={3: 30})  # frames 0, 2 and 4 are the scouts
    found = run(network, frames)
    np.testing.assert_allclose(found, plain(network, frames), rtol=0, atol=1e-5)


def test_frames_in_batches_equal_one_at_a_time(network: BrightHeart, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = beating(n_slices=7)  # overlapping windows
    together = run(network, frames)
    monkeypatch.setattr(forward, "CPU_BATCH_VOXELS", 1)
    np.testing.assert_allclose(run(network, frames), together, rtol=0, atol=1e-5)


def test_frames_come_in_order_and_the_share_rises(network: BrightHeart) -> None:
    told: list[float] = []
    frames = beating(n_frames=9)
    found = list(WindowedNetwork(network, "sax", 4).probabilities(frames, told.append))
    np.testing.assert_allclose(np.stack(found), plain(network, frames), rtol=0, atol=1e-5)
    assert told == sorted(told) and told[0] == 0 and told[-1] < 1


def test_bfloat16_draws_the_same(network: BrightHeart, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = beating()
    expected = plain(network, frames)
    monkeypatch.setattr(forward, "choose_precision", lambda *_: torch.bfloat16)
    found = run(network, frames)
    assert np.isfinite(found).all()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.995
    assert np.abs(found - expected).mean() < 0.005


@pytest.mark.parametrize("quick", [True, False])
def test_bfloat16_is_for_large_networks_on_processors_that_multiply_it(
    quick: bool, network: BrightHeart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "multiplies_bfloat16", lambda _device: quick)
    assert choose_precision(network, CPU) is torch.float32
    monkeypatch.setattr(forward, "BFLOAT16_PARAMETERS", 1000)
    assert choose_precision(network, CPU) is (torch.bfloat16 if quick else torch.float32)
    assert choose_precision(network, torch.device("cuda")) is (torch.bfloat16 if quick else torch.float16)


def test_another_network_sees_every_frame_whole_in_float32(
    shared_golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(shared_golden / "unet_sax.yaml")
    assert isinstance(model, UNet)
    monkeypatch.setattr(forward, "BFLOAT16_PARAMETERS", 1)
    assert choose_precision(model, CPU) is torch.float32
    frames = beating(n_frames=2, n_slices=4)
    with torch.inference_mode():
        expected = model({"sax": torch.from_numpy(frames)[:, None]})["sax"].softmax(dim=1).numpy()
    np.testing.assert_allclose(run(model, frames), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mirrored", [(0,), (1,), (0, 1)])
def test_a_mirror_image_is_answered_in_the_place_of_the_true_one(
    mirrored: tuple[int, ...], network: BrightHeart
) -> None:
    frames = beating()
    axes = [1 + axis for axis in mirrored]

    def asked(seen: np.ndarray, mirrored: tuple[int, ...]) -> np.ndarray:
        windowed = WindowedNetwork(network, "sax", 4, mirrored)
        return np.stack(list(windowed.probabilities(seen, lambda _share: None)))  # (t, c, x, y, z)

    found = asked(frames, mirrored)
    # The plain network on a mirror image made by hand, turned back by hand.
    by_hand = np.flip(asked(np.flip(frames, axes).copy(), ()), [1 + axis for axis in axes])
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    assert np.abs(found - asked(frames, ())).max() > 1e-3
