"""The base on its device beside the windows to learn from; every run starts from here and leaves it as it was."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cinema_core.anatomy import FOREGROUND, UNLABELLED, Structure
from cinema_core.cases import TrainingCase, group_of
from cinema_core.learn.augment import Sample
from cinema_core.learn.fit import Batches, Fitted, Source, Weights, fit, optimiser_of, take_step
from cinema_core.learn.frozen import CROP_MM, FrozenPart, PartBatches, State, can_be_kept, heart_of, variants_of
from cinema_core.learn.measuring import Opinion, opinions
from cinema_core.learn.settings import FineTuneSettings, Tier
from cinema_core.learn.tiers import are_few, choose_precision, choose_tier, freeze_all_but
from cinema_core.learn.windows import Window, windows_of
from cinema_core.model_config import mirrors
from cinema_core.models.zoo import choose_device, short_axis_grid
from cinema_core.progress import CancelToken, Progress, no_progress

if TYPE_CHECKING:
    from cinema_core.models.zoo import LoadedModel

VIEW: Final = "sax"

TRIAL_STEPS: Final = 5
TRIAL_SHARE: Final = 0.25
"""Steps taken to learn what one costs, while they spend no more than this share of the budget. The first one is not
counted if there are others: it also pays for memory and kernels being set up, and takes several times as long."""

PREPARED: Final = 0.03
"""Part of the progress bar that the features of a frozen encoder take."""

LOOK_COST: Final = 0.6
"""What asking about a window costs, relative to training on one: no way back, but in full precision."""


LEFT_OUT_SHARE: Final = 0.5
"""Of the usual size of a structure on a slice, what the base has to see of one for its absence to be an omission."""


@dataclass(eq=False)
class Bench:
    """What all runs of one fine-tuning share.

    Attributes
    ----------
    network
        The base, on its device, only parameters of the tier asking for gradients. Never trained itself.
    windows
        Labelled windows on the model's grid, in the order of the cases.
    mirrors
        Axes of (x, y) of the mirror images that the model is shown at prediction, and to be measured.
    base_opinions
        What the base makes of the windows.
    notes
        What the reader should know, one sentence each.
    features_precision
        Precision in which a frozen part was asked; empty if none was.
    """

    network: nn.Module
    pixel_mm: float
    trained: list[str]
    tier: Tier
    windows: list[Window]
    mirrors: tuple[tuple[int, ...], ...]
    settings: FineTuneSettings
    cancel: CancelToken
    base_opinions: list[Opinion]
    notes: list[str]
    features_precision: str = ""

    @classmethod
    def set_up(
        cls,
        cases: Sequence[TrainingCase],
        base: LoadedModel,
        settings: FineTuneSettings,
        cancel: CancelToken,
        progress: Progress = no_progress,
    ) -> Bench:
        """Cut the windows, choose device and tier, and ask the base about every window."""
        grid = short_axis_grid(base)
        windows = []
        for case in cases:
            cancel.raise_if_cancelled()
            windows += windows_of(case, grid)
        device = choose_device(settings.device)
        network = _copy_on(device, base.network).eval()
        tier = choose_tier(network, device, settings.tier, VIEW, few=are_few(cases))
        trained = freeze_all_but(network, tier, VIEW)
        shown = mirrors(base.config)
        bench = cls(network, grid.spacing_mm[0], trained, tier, windows, shown, settings, cancel, [], [])
        depth = grid.patch_size[2]
        frozen = FrozenPart(network, tier, VIEW) if can_be_kept(network, tier, depth, len(windows)) else None
        if frozen is not None:
            bench._keep_looks(frozen, progress)
        bench._ask_the_base()
        if frozen is not None:
            bench._keep_variants(frozen, progress)
        if tier is not settings.tier and settings.tier is not Tier.AUTO:
            bench.notes.append(f"The base model has no part that is called {settings.tier}; all of it was trained.")
        return bench

    @property
    def base_weights(self) -> Weights:
        """Weights of the base, on its device."""
        return dict(self.network.state_dict())

    @property
    def device(self) -> torch.device:
        """Where the runs take place."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """Precision of the activations in training."""
        return str(choose_precision(self.device, self.windows[0].sample.image.shape[-1])).removeprefix("torch.")

    @property
    def patients(self) -> list[str]:
        """Patients with labels, in a fixed order."""
        return sorted({group_of(window.case) for window in self.windows})

    def opinions_of(self, weights: Weights, windows: Sequence[Window], *, whole: bool = False) -> list[Opinion]:
        """Ask the model with these weights about windows; ``whole`` as for :func:`opinions`."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(weights)
        with self._fast():
            return opinions(network, VIEW, windows, self.mirrors, self.cancel, whole=whole)

    def train(
        self, windows: Sequence[Window], steps: int, seed: int, on_step: Callable[[float | None], None]
    ) -> Fitted:
        """Train a copy of the base on windows."""
        network = copy.deepcopy(self.network)
        with self._fast():
            batches = self._batches(windows, seed)
            return fit(network, self.trained, VIEW, batches, steps, self.settings, seed, on_step)

    def time_a_step(self) -> float:
        """Seconds that a training step takes on this machine."""
        network = copy.deepcopy(self.network).train()
        optimiser = optimiser_of({n: p for n, p in network.named_parameters() if p.requires_grad}, self.settings)
        batches = self._batches(self.windows, self.settings.seed)
        took: list[float] = []
        with self._fast():
            while len(took) < TRIAL_STEPS and sum(took) + min(took, default=0) < TRIAL_SHARE * self.settings.budget_s:
                self.cancel.raise_if_cancelled()
                started = time.perf_counter()  # the other clock ticks 64 times a second on Windows
                take_step(network, VIEW, batches.draw(), optimiser, self.settings)
                took.append(time.perf_counter() - started)
        return median(took[1:] or took)

    def measuring_s(self, step_s: float, n_blends: int) -> float:
        """Seconds that asking takes by what a step takes: each blend about all windows, and at last the version."""
        if self.windows[0].looks:  # a step sees a part of the window
            took = [self._time_a_look(whole=whole) for whole in (True, False)]
            return (2 * took[0] + (n_blends - 1) * took[1]) * len(self.windows)
        stacks = self.windows[0].sample.image.shape[-1] > 1
        per_step = 1 if stacks else self.settings.batch_size
        return LOOK_COST * step_s * len(self.mirrors) * len(self.windows) / per_step * (n_blends + 1)

    def _time_a_look(self, *, whole: bool) -> float:
        started = time.perf_counter()
        opinions(self.network, VIEW, self.windows[:1], self.mirrors, self.cancel, whole=whole)
        return time.perf_counter() - started

    @property
    def frozen_recipe(self) -> dict[str, Any]:
        """What the weights also depend on where the frozen part was asked once; for the card."""
        if not self.windows[0].variants:
            return {}
        return {
            "features_precision": self.features_precision,
            "crop_mm": self.crop_mm,
            "variants": len(self.windows[0].variants),
        }

    @property
    def crop_mm(self) -> float:
        """Side of the parts that the decoder learns on."""
        return self.settings.crop_mm or CROP_MM[self.device.type]

    def _keep_looks(self, frozen: FrozenPart, progress: Progress) -> None:
        """Ask the frozen part about every window as it is, in each mirror image that the model is shown."""
        for k, window in enumerate(self.windows):
            what = f"Computing the features of labelled stack {k + 1} of {len(self.windows)}"
            progress(PREPARED * k / len(self.windows), what)
            looks = []
            for axes in self.mirrors:
                self.cancel.raise_if_cancelled()
                looks.append(frozen(window.sample.image.flip(tuple(axes))))
            self.windows[k] = replace(window, looks=tuple(looks))
        self.features_precision = frozen.precision

    def _keep_variants(self, frozen: FrozenPart, progress: Progress) -> None:
        """Ask it about changed images too, with what the base says of the window changed in the same way."""

        def ask(image: Tensor) -> State:
            self.cancel.raise_if_cancelled()
            progress(PREPARED, "Computing the features of the labelled stacks, changed at random")
            return frozen(image)

        plain = self.mirrors.index(()) if () in self.mirrors else None
        known = [ask(window.sample.image) if plain is None else window.looks[plain] for window in self.windows]
        samples = [window.sample for window in self.windows]
        variants = variants_of(samples, known, ask, self.settings.seed, self.pixel_mm, self.device.type)
        self.windows = [
            replace(window, variants=tuple(found)) for window, found in zip(self.windows, variants, strict=True)
        ]

    def _ask_the_base(self) -> None:
        """Keep what the base makes of each window, and leave it alone where the reader said nothing."""
        with self._fast():
            found = opinions(self.network, VIEW, self.windows, self.mirrors, self.cancel, with_probabilities=True)
        self.windows, self.notes = _spare_unlabelled_structures(self.windows, found)
        if self.windows[0].looks:
            self.windows = [
                replace(window, heart=heart_of(window.sample.labels, opinion.probabilities))
                for window, opinion in zip(self.windows, found, strict=True)
                if opinion.probabilities is not None
            ]
        partly = any(bool((window.sample.labels == UNLABELLED).any()) for window in self.windows)
        if partly and self.settings.base_weight > 0:
            self.windows = [
                replace(window, sample=replace(window.sample, base=opinion.probabilities))
                for window, opinion in zip(self.windows, found, strict=True)
            ]
        if self.windows[0].looks:  # every model is asked in the same way
            found = self.opinions_of(self.base_weights, self.windows)
        self.base_opinions = [replace(opinion, probabilities=None) for opinion in found]

    def _batches(self, windows: Sequence[Window], seed: int) -> Source:
        if windows[0].variants:
            side_px = round(self.crop_mm / self.pixel_mm)
            return PartBatches([window.variants for window in windows], seed, side_px)
        stacks = windows[0].sample.image.shape[-1] > 1
        size = 1 if stacks else self.settings.batch_size
        return Batches([window.sample for window in windows], size, seed, self.pixel_mm)

    @contextmanager
    def _fast(self) -> Iterator[None]:
        """Let the few tokens of a window of one slice attend the plain way."""
        if self.windows[0].sample.image.shape[-1] > 1:
            yield
            return
        # The flash kernel's backward pass took an eighth of a step for 144 tokens (two cores).
        with sdpa_kernel(SDPBackend.MATH):
            yield


def _copy_on(device: torch.device, network: nn.Module) -> nn.Module:
    """Copy a network to a device, which may be the only one that has room for a copy."""
    with torch.no_grad():
        there: dict[int, object] = {id(buffer): buffer.to(device, copy=True) for buffer in network.buffers()}
        for parameter in network.parameters():
            there[id(parameter)] = nn.Parameter(parameter.to(device, copy=True), parameter.requires_grad)
    return copy.deepcopy(network, there)  # what it finds in its memo is not copied once more


def _spare_unlabelled_structures(windows: Sequence[Window], base: Sequence[Opinion]) -> tuple[list[Window], list[str]]:
    """Keep a structure that no reader ever drew, or that a study's reader left out, as the base has it.

    Where the reader wrote background but the base sees such a structure, nothing is known: the reader did
    not say that it is not there, only never drew it. Nobody who outlined the LV alone in ten studies meant to teach
    that these hearts have no RV because an eleventh study has one.

    Background may also be meant. A study of a single slice at the apex has no RV, and if the base draws one there, the
    reader who took it away should be heard. The two differ in size: what a base invents is a rim or a piece, what a
    reader left out is the whole structure. So in a study whose labelled slices have none of a structure that others
    have, it is spared if the base sees it, on the slice where it is largest, at :data:`LEFT_OUT_SHARE` or more of the
    size that readers usually draw on a slice. Taken wrongly for left out, a slice teaches less; taken wrongly for
    absent, it teaches what is false: so half suffices.

    A study with every structure on some slice is never touched: there, background means background.
    """
    drawn = {study: set[Structure]() for study in (window.case.study_id for window in windows)}
    for window in windows:
        drawn[window.case.study_id] |= window.case.structures
    by_anybody: set[Structure] = set().union(*drawn.values())
    spared: dict[str, list[Structure]] = {study: [] for study in drawn}
    notes = []
    for structure in FOREGROUND:
        if structure not in by_anybody:
            studies = set(drawn)
            notes.append(f"{structure.display_name} is in none of the labels; it was left as the base model draws it.")
        else:
            studies = _left_out(structure, windows, base, drawn)
            if n := len(studies):
                of_them = "1 study" if n == 1 else f"{n} studies"
                notes.append(
                    f"{structure.display_name} is in none of the labels of {of_them}, though the base model sees it; "
                    "there it was left as the base model draws it."
                )
        for study in studies:
            spared[study].append(structure)
    if not notes:
        return list(windows), []
    changed = []
    for window, opinion in zip(windows, base, strict=True):
        labels, missing = window.sample.labels.clone(), spared[window.case.study_id]
        labels[(labels == 0) & torch.from_numpy(np.isin(opinion.labels, missing))] = UNLABELLED
        changed.append(replace(window, sample=Sample(window.sample.image, labels)))
    return changed, notes


def _left_out(
    structure: Structure, windows: Sequence[Window], base: Sequence[Opinion], drawn: Mapping[str, set[Structure]]
) -> set[str]:
    """Studies without a structure that the base sees in them in full; by sizes alone, so that order does not matter."""
    usual: list[int] = []
    largest = {study: 0 for study, found in drawn.items() if structure not in found}
    for window, opinion in zip(windows, base, strict=True):
        study = window.case.study_id
        for _, k in window.planes:
            labels = window.sample.labels[..., k]
            if study in largest:
                seen = int(((labels == 0).numpy() & (opinion.labels[..., k] == structure)).sum())
                largest[study] = max(largest[study], seen)
            elif n := int((labels == structure).sum()):
                usual.append(n)
    # A structure may be on a slice, but on none of the model's grid: then nothing is known of its size.
    least = LEFT_OUT_SHARE * median(usual) if usual else 1
    return {study for study, size in largest.items() if size >= max(least, 1)}
