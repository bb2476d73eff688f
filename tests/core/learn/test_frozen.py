"""A frozen encoder is asked once; the decoder learns on parts of what it made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cinema_core.anatomy import UNLABELLED
from cinema_core.cases import TrainingCase
from cinema_core.errors import Cancelled
from cinema_core.learn import frozen
from cinema_core.learn.augment import Sample
from cinema_core.learn.bench import Bench
from cinema_core.learn.finetune import finetune
from cinema_core.learn.fit import take_step
from cinema_core.learn.frozen import FrozenPart, PartBatches, State, Variant, finish, heart_of, look
from cinema_core.learn.settings import FineTuneSettings, Tier
from cinema_core.models import ConvUNetR, build_model
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.heart_window import HeartWindow
from cinema_core.progress import CancelToken

Make = Callable[..., TrainingCase]
MakeBase = Callable[..., LoadedModel]

TIERS = pytest.mark.parametrize("tier", [Tier.DECODER, Tier.LAST_BLOCKS])
DEPTH = 4
QUICK = FineTuneSettings(steps=4, fold_min_steps=2, device="cpu", crop_mm=96.0)


def settings_of(tier: Tier) -> FineTuneSettings:
    return QUICK.model_copy(update={"tier": tier})


class Count:
    """Counts how often an encoder is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        true_encode = ConvUNetR.encode

        def encode(network: ConvUNetR, images: dict[str, torch.Tensor]) -> object:
            self.n += 1
            return true_encode(network, images)

        monkeypatch.setattr(ConvUNetR, "encode", encode)


@TIERS
def test_what_was_kept_gives_the_answer_of_the_whole_network(make_base: MakeBase, tier: Tier) -> None:
    network = make_base(depth=DEPTH).network
    image = torch.rand(32, 32, DEPTH)
    with torch.no_grad():
        whole = network({"sax": image[None, None]})["sax"]
        state = FrozenPart(network, tier, "sax")(image)
        part = (slice(5, 20), slice(0, 11), slice(1, 3))
        assert torch.allclose(finish(network, "sax", state), whole, atol=1e-5)
        assert torch.allclose(finish(network, "sax", state, part), whole[(..., *part)], atol=1e-5)


@TIERS
def test_the_encoder_is_asked_once_for_every_image(
    make_base: MakeBase, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    count = Count(monkeypatch)
    cases = [make_case("a"), make_case("b", t=3)]
    result = finetune(cases, make_base(depth=DEPTH), settings_of(tier), tmp_path, "v001")
    assert count.n == len(cases) * frozen.VARIANTS["cpu"]
    assert result.card.recipe["tier"] == str(tier)
    assert result.card.recipe["folds"] == 2


@TIERS
def test_only_the_tier_changes_and_the_same_inputs_give_the_same_weights(
    make_base: MakeBase, make_case: Make, tmp_path: Path, tier: Tier
) -> None:
    base = make_base(depth=DEPTH)
    cases = [make_case("a"), make_case("b", t=3)]
    one, two = (finetune(cases, base, settings_of(tier), tmp_path, name) for name in ("one", "two"))
    assert one.card.sha256 == two.card.sha256 != base.card.sha256
    other = finetune(cases, base, settings_of(tier).model_copy(update={"seed": 1}), tmp_path, "three")
    assert other.card.sha256 != one.card.sha256


@TIERS
def test_a_step_changes_what_the_tier_names(make_base: MakeBase, make_case: Make, tier: Tier) -> None:
    bench = Bench.set_up([make_case()], make_base(depth=DEPTH), settings_of(tier), CancelToken())
    tuned = bench.train(bench.windows, 2, 0, lambda _: None).weights
    changed = {name for name, value in tuned.items() if not torch.equal(value, bench.base_weights[name])}
    assert changed == set(bench.trained)


def test_the_decoder_learns_from_parts(make_base: MakeBase, make_case: Make, tmp_path: Path) -> None:
    settings = settings_of(Tier.DECODER).model_copy(update={"steps": 40, "learning_rate": 3e-3})
    result = finetune([make_case()], make_base(depth=DEPTH), settings, tmp_path, "v001")
    assert result.learned_after.loss < 0.9 * result.learned_before.loss


@TIERS
def test_mirror_images_are_kept_too(
    make_base: MakeBase, make_case: Make, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    plain = make_base(depth=DEPTH)
    shown = replace(plain, config={**plain.config, "predict": {"mirrors": [[], [0]]}})
    kept = Bench.set_up([make_case()], shown, settings_of(tier), CancelToken())
    assert [len(window.looks) for window in kept.windows] == [2]
    monkeypatch.setattr(frozen, "MOST_WINDOWS", 0)
    asked = Bench.set_up([make_case()], shown, settings_of(tier), CancelToken())
    assert asked.windows[0].looks == asked.windows[0].variants == ()
    assert kept.base_opinions[0].loss == pytest.approx(asked.base_opinions[0].loss, abs=1e-5)
    assert np.array_equal(kept.base_opinions[0].labels, asked.base_opinions[0].labels)


def test_models_of_single_slices_and_whole_models_are_asked_anew_in_every_step(
    make_base: MakeBase, make_case: Make
) -> None:
    for depth, tier in ((1, Tier.DECODER), (DEPTH, Tier.WHOLE)):
        bench = Bench.set_up([make_case()], make_base(depth=depth), settings_of(tier), CancelToken())
        assert bench.windows[0].looks == bench.windows[0].variants == ()


def test_cancel_stops_between_two_images(make_base: MakeBase, make_case: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    count, cancel = Count(monkeypatch), CancelToken()

    def told(_: float, what: str) -> None:
        if "labelled stack 2 of 3" in what:
            cancel.cancel()

    cases = [make_case(t=t) for t in (0, 2, 4)]
    with pytest.raises(Cancelled):
        Bench.set_up(cases, make_base(depth=DEPTH), settings_of(Tier.DECODER), cancel, told)
    assert count.n == 1


def a_heart(size: int = 64, depth: int = 10, planes: tuple[int, ...] = (2, 7)) -> Sample:
    labels = torch.full((size, size, depth), UNLABELLED, dtype=torch.uint8)
    labels[..., list(planes)] = 0
    labels[20:30, 40:46, list(planes)] = 3
    return Sample(torch.zeros(size, size, depth), labels, torch.rand(4, size, size, depth))


def parts(sample: Sample, n: int, side_px: int, seed: int = 0) -> PartBatches:
    state: State = FrozenPart.__new__(FrozenPart)  # type: ignore[assignment]  # not asked here
    return PartBatches([[Variant(state, sample)]] * n, seed, side_px)


def test_most_parts_hold_the_heart_and_all_hold_a_labelled_slice() -> None:
    batches = parts(a_heart(), 1, side_px=24)
    drawn = [batches.draw() for _ in range(200)]
    for part in drawn:
        x, y, z = part.region
        assert (x.stop - x.start, y.stop - y.start) == (24, 24)
        assert z in (slice(0, 5), slice(5, 10))
        assert part.labels.shape[1:] == (24, 24, 5)
        assert part.base is not None
        assert part.base.shape == (1, 4, 24, 24, 5)
        assert bool((part.labels != UNLABELLED).any())
    whole = [int((part.labels == 3).sum()) == 60 for part in drawn]
    assert 0.7 < np.mean(whole) < 0.95
    assert len({(part.region[0].start, part.region[1].start) for part in drawn}) > 20


def test_parts_lie_anywhere_on_a_heart_that_is_larger() -> None:
    batches = parts(a_heart(), 1, side_px=4)
    starts = {part.region[0].start for part in (batches.draw() for _ in range(200))}
    assert starts >= set(range(20, 27))


def test_a_part_is_no_larger_than_the_window() -> None:
    part = parts(a_heart(size=48), 1, side_px=96).draw()
    assert part.region[:2] == (slice(0, 48), slice(0, 48))


def test_the_same_seed_draws_the_same_parts() -> None:
    one, two, other = (
        [part.region for part in (batches.draw() for _ in range(5))]
        for batches in (parts(a_heart(), 3, 24, seed) for seed in (1, 1, 2))
    )
    assert one == two != other


def test_a_window_that_augmentation_left_without_a_label_teaches_nothing(make_base: MakeBase, make_case: Make) -> None:
    bench = Bench.set_up([make_case()], make_base(depth=DEPTH), settings_of(Tier.DECODER), CancelToken())
    variant = bench.windows[0].variants[0]
    bare = replace(variant.sample, labels=torch.full_like(variant.sample.labels, UNLABELLED), base=None)
    batch = PartBatches([[replace(variant, sample=bare)]], 0, 16).draw()
    optimiser = torch.optim.SGD([p for p in bench.network.parameters() if p.requires_grad], lr=1.0)
    before = {name: value.clone() for name, value in bench.network.state_dict().items()}
    assert take_step(bench.network, "sax", batch, optimiser, QUICK) == 0
    assert all(torch.equal(value, before[name]) for name, value in bench.network.state_dict().items())


def test_labels_are_cut_as_the_answer_is(make_base: MakeBase, make_case: Make) -> None:
    bench = Bench.set_up([make_case()], make_base(depth=DEPTH), settings_of(Tier.LAST_BLOCKS), CancelToken())
    for variant in bench.windows[0].variants:
        batch = PartBatches([[variant]], 0, 16).draw()
        whole = finish(bench.network, "sax", variant.state)
        assert torch.allclose(batch.ask(bench.network, "sax"), whole[(..., *batch.region)], atol=1e-5)
        assert torch.equal(batch.labels[0], variant.sample.labels[batch.region])


@TIERS
@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 1)])
def test_a_look_sees_the_heart_and_all_of_the_window_where_the_drawing_goes_on(
    shared_golden: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier, axes: tuple[int, ...]
) -> None:
    network = build_model(shared_golden / "seg_sax.yaml").eval()
    turned = [2 + axis for axis in axes]
    with torch.no_grad():
        for parameter in network.parameters():  # the norms start as identities, the biases as nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
        image = torch.rand(64, 64, 4)
        state = FrozenPart(network, tier, "sax")(image.flip(axes))
        whole = network({"sax": image[None, None].flip(turned)})["sax"].flip(turned)
        labels = torch.zeros(64, 64, 4, dtype=torch.uint8)
        labels[12:25, 30:37, 1] = 3
        heart = heart_of(labels, torch.ones(4, 64, 64, 4))  # the base sees none
        assert heart.region == (slice(2, 35), slice(20, 47))
        monkeypatch.setattr(HeartWindow, "holds", lambda *_: False)
        assert torch.allclose(look(network, "sax", state, axes, heart), whole, atol=1e-5)
        monkeypatch.setattr(HeartWindow, "holds", lambda *_: True)
        part = look(network, "sax", state, axes, heart)
    inside = (..., *heart.region, slice(None))
    assert torch.allclose(part[inside], whole[inside], atol=1e-5)
    outside = torch.ones_like(part[0, 0], dtype=torch.bool)
    outside[inside] = False
    assert bool((part.argmax(1)[0][outside] == 0).all())
