"""The published CineMA models: a readable name for every file of the repository. Never imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from cinema_core.errors import InputError

REPOSITORY: Final = "mathpluscode/CineMA"
"""On Hugging Face."""
HUB: Final = "https://huggingface.co"
LICENCE: Final = "MIT"
PRETRAINED: Final = "cinema-mae"
SEEDS: Final = (0, 1, 2)

_SEGMENTATION: Final = ("acdc sax", "mnms sax", "mnms2 sax", "mnms2 lax_4c")
_LANDMARKS: Final = ("landmark lax_2c", "landmark lax_4c")

_DATASETS: Final[Mapping[str, str]] = {
    "acdc": "ACDC",
    "mnms": "M&Ms",
    "mnms2": "M&Ms-2",
    "landmark": "long-axis landmarks",
    "ukb": "UK Biobank",
}
_VIEWS: Final[Mapping[str, str]] = {"sax": "short axis", "lax_2c": "2-chamber", "lax_4c": "4-chamber"}


@dataclass(frozen=True)
class PublishedModel:
    """One set of published weights and where it lies in the repository."""

    name: str
    """Such as ``acdc-sax-seg/0``; the masked autoencoder, ``cinema-mae``, has no seed."""
    task: str
    """One of ``pretrained``, ``segmentation``, ``disease``, ``sex``, ``vendor``, ``ef``, ``bmi``, ``age``,
    ``landmark-heatmap``, ``landmark-coordinate``."""
    dataset: str
    view: str
    """``sax``, ``lax_2c`` or ``lax_4c``; ``all`` for the masked autoencoder."""
    seed: int | None
    weights: str
    """Path in the repository."""
    config: str
    """Path in the repository; the seeds of a family share it."""
    description: str

    @property
    def family(self) -> str:
        """Name without the seed."""
        return self.name.partition("/")[0]

    @property
    def trained_on(self) -> list[str]:
        """Data that the weights have seen, the pretraining first."""
        learned = [] if self.task == "pretrained" else [_DATASETS[self.dataset]]
        return [f"{_DATASETS['ukb']} (pretraining)", *learned]


@dataclass(frozen=True)
class _Task:
    """How a task is called here and in the repository, and for which data and views it was published."""

    name: str
    suffix: str
    folder: str
    what: str
    trained: tuple[str, ...]


_TASKS: Final = (
    _Task("segmentation", "seg", "segmentation", "Draws RV, myocardium and LV", _SEGMENTATION),
    _Task("disease", "disease", "classification_cvd", "Names the disease from ED and ES", _SEGMENTATION),
    _Task("sex", "sex", "classification_sex", "Tells the sex from ED and ES", ("mnms sax",)),
    _Task(
        "vendor",
        "vendor",
        "classification_vendor",
        "Tells the scanner's maker from ED and ES",
        ("mnms2 sax", "mnms2 lax_4c"),
    ),
    _Task("ef", "ef", "regression_ef", "Estimates the ejection fraction from ED and ES", _SEGMENTATION),
    _Task("bmi", "bmi", "regression_bmi", "Estimates the body mass index from ED and ES", ("acdc sax",)),
    _Task("age", "age", "regression_age", "Estimates the age from ED and ES", ("mnms sax",)),
    _Task(
        "landmark-heatmap",
        "landmark-heatmap",
        "landmark_heatmap",
        "Marks valve plane and apex by heatmaps",
        _LANDMARKS,
    ),
    _Task(
        "landmark-coordinate",
        "landmark-coordinate",
        "landmark_coordinate",
        "Marks valve plane and apex by coordinates",
        _LANDMARKS,
    ),
)


def _models() -> Iterator[PublishedModel]:
    yield PublishedModel(
        name=PRETRAINED,
        task="pretrained",
        dataset="ukb",
        view="all",
        seed=None,
        weights="pretrained/cinema.safetensors",
        config="pretrained/config.yaml",
        description="Masked autoencoder of all four views, the start of every other model",
    )
    for task in _TASKS:
        for trained in task.trained:
            dataset, view = trained.split()
            for seed in SEEDS:
                yield _model_of(task, dataset, view, seed)


def _model_of(task: _Task, dataset: str, view: str, seed: int) -> PublishedModel:
    # Landmark models were trained on one collection, which their names and folders leave out.
    landmarks = dataset == "landmark"
    short_view = view.replace("_", "")
    stem = view if landmarks else f"{dataset}_{view}"
    folder = f"finetuned/{task.folder}/{stem}"
    return PublishedModel(
        name=f"{short_view}-{task.suffix}/{seed}" if landmarks else f"{dataset}-{short_view}-{task.suffix}/{seed}",
        task=task.name,
        dataset=dataset,
        view=view,
        seed=seed,
        weights=f"{folder}/{stem}_{seed}.safetensors",
        config=f"{folder}/config.yaml",
        description=f"{task.what} ({_VIEWS[view]}, {_DATASETS[dataset]})",
    )


PUBLISHED: Final[Mapping[str, PublishedModel]] = MappingProxyType({model.name: model for model in _models()})
"""Every published model by its full name."""


def families() -> dict[str, list[PublishedModel]]:
    """Group the published models by their name without the seed, in the order of the table."""
    found: dict[str, list[PublishedModel]] = {}
    for model in PUBLISHED.values():
        found.setdefault(model.family, []).append(model)
    return found


def published(name: str) -> list[PublishedModel]:
    """One model for a full name, all seeds for a name without seed.

    Raises
    ------
    InputError
        If nothing of that name was published; names that are near are told.
    """
    if name in PUBLISHED:
        return [PUBLISHED[name]]
    by_family = families()
    if name in by_family:
        return by_family[name]
    near = get_close_matches(name, [*by_family, *PUBLISHED], n=3, cutoff=0.7)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"No published model is called {name!r}. {hint}See all with: cinema models list --published")


def address(path: str, revision: str = "main", endpoint: str | None = None) -> str:
    """Where a file of the repository lies on the hub, for a browser."""
    return f"{(endpoint or HUB).rstrip('/')}/{REPOSITORY}/resolve/{revision}/{path}"


def by_hand(model: PublishedModel) -> str:
    """One sentence: how to bring a model to a computer that cannot reach the hub."""
    return (
        f"Without internet: save {address(model.weights)} and the config.yaml of the same folder on another computer, "
        f"copy both here, and run: cinema models add WEIGHTS CONFIG --name {model.name}"
    )
