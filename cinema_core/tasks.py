"""The published tasks beside short-axis segmentation: what each looks at and answers. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cinema_core.errors import CheckpointError, InputError
from cinema_core.model_config import MAE, Config, architecture, n_outputs, section_of, view_settings
from cinema_core.view import View


class TaskKind(StrEnum):
    """Form of an answer."""

    SEGMENTATION = "segmentation"
    HEATMAP = "landmark heatmaps"
    COORDINATE = "landmark coordinates"
    CLASS = "class"
    VALUE = "value"
    RECONSTRUCTION = "reconstruction"
    FEATURES = "features"


@dataclass(frozen=True)
class Task:
    """One published task.

    Attributes
    ----------
    name
        As on the command line.
    title
        As the reader sees it.
    views
        Views for which weights were published, the usual one first. Empty: any view of the model.
    columns
        What the checkpoint's config calls its target; a checkpoint with another target is refused.
    published
        (data set, view) to the name of the published models; the usual one first.
    unit
        Of a value.
    note
        What must stand beside the answer.
    """

    name: str
    kind: TaskKind
    title: str
    views: tuple[View, ...] = ()
    columns: tuple[str, ...] = ()
    published: Mapping[tuple[str, View], str] = field(default_factory=dict)
    unit: str = ""
    note: str = ""

    @property
    def answers_once(self) -> bool:
        """Whether there is one answer per study, from its ED and ES phases."""
        return self.kind in {TaskKind.CLASS, TaskKind.VALUE}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets on which models of the task were published, the usual one first."""
        return tuple(dict.fromkeys(dataset for dataset, _ in self.published))

    def published_model(self, view: View, dataset: str | None = None) -> str:
        """Name of the published models, all seeds, for a view.

        Raises
        ------
        InputError
            If none was published for this view and data set.
        """
        for (known, known_view), name in self.published.items():
            if known_view is view and dataset in (None, known):
                return name
        there = ", ".join(f"{known} {known_view.value}" for known, known_view in self.published)
        asked = f"{dataset} {view.value}" if dataset else view.value
        raise InputError(f"No model for {self.name} was published for {asked}; there are: {there}. Or give --model.")


def _both_views(suffix: str) -> dict[tuple[str, View], str]:
    return {
        ("acdc", View.SAX): f"acdc-sax-{suffix}",
        ("mnms", View.SAX): f"mnms-sax-{suffix}",
        ("mnms2", View.SAX): f"mnms2-sax-{suffix}",
        ("mnms2", View.LAX_4C): f"mnms2-lax4c-{suffix}",
    }


def _landmarks(suffix: str) -> dict[tuple[str, View], str]:
    return {
        ("landmark", View.LAX_4C): f"lax4c-landmark-{suffix}",
        ("landmark", View.LAX_2C): f"lax2c-landmark-{suffix}",
    }


MODEL_DEFINED_EF: Final = (
    "EF as the model defines it: what it was trained on is not published, and its mean (28 to 40 %) is not that of "
    "the left ventricle. Not an LVEF; measure that from contours."
)
_ALL: Final = (
    Task(
        "segment-sax",
        TaskKind.SEGMENTATION,
        "Segmentation, short axis",
        (View.SAX,),
        published={key: name for key, name in _both_views("seg").items() if key[1] is View.SAX},
    ),
    Task(
        "segment-lax-4c",
        TaskKind.SEGMENTATION,
        "Segmentation, 4-chamber",
        (View.LAX_4C,),
        published={("mnms2", View.LAX_4C): "mnms2-lax4c-seg"},
    ),
    Task(
        "landmarks-heatmap",
        TaskKind.HEATMAP,
        "Landmarks (heatmap)",
        (View.LAX_4C, View.LAX_2C),
        published=_landmarks("heatmap"),
    ),
    Task(
        "landmarks-coordinate",
        TaskKind.COORDINATE,
        "Landmarks (coordinates)",
        (View.LAX_4C, View.LAX_2C),
        published=_landmarks("coordinate"),
    ),
    Task(
        "ef-regression",
        TaskKind.VALUE,
        "EF (model-defined, not LVEF)",
        (View.SAX, View.LAX_4C),
        ("ef",),
        _both_views("ef"),
        "%",
        MODEL_DEFINED_EF,
    ),
    Task(
        "disease",
        TaskKind.CLASS,
        "Disease",
        (View.SAX, View.LAX_4C),
        ("pathology",),
        _both_views("disease"),
        note="Probabilities among the classes of the training data: every heart falls into one of them.",
    ),
    Task("sex", TaskKind.CLASS, "Sex", (View.SAX,), ("sex",), {("mnms", View.SAX): "mnms-sax-sex"}),
    Task(
        "vendor",
        TaskKind.CLASS,
        "Scanner vendor",
        (View.SAX, View.LAX_4C),
        ("vendor", "vendor_name"),
        {("mnms2", View.SAX): "mnms2-sax-vendor", ("mnms2", View.LAX_4C): "mnms2-lax4c-vendor"},
    ),
    Task("age", TaskKind.VALUE, "Age", (View.SAX,), ("age",), {("mnms", View.SAX): "mnms-sax-age"}, "years"),
    Task(
        "bmi", TaskKind.VALUE, "Body mass index", (View.SAX,), ("bmi",), {("acdc", View.SAX): "acdc-sax-bmi"}, "kg/m2"
    ),
    Task("reconstruct", TaskKind.RECONSTRUCTION, "Reconstruction of masked images"),
    Task("features", TaskKind.FEATURES, "Features"),
)
TASKS: Final[Mapping[str, Task]] = MappingProxyType({task.name: task for task in _ALL})

PRETRAINED: Final = "cinema-mae"
"""Published masked autoencoder: for reconstruction and features."""


N_LANDMARKS: Final = 3
N_STRUCTURES: Final = 4
"""Background, RV cavity, myocardium, LV cavity."""


def kind_of(config: Config) -> TaskKind:
    """Form of a model's answers, by its config.

    Raises
    ------
    CheckpointError
        If the config is incomplete.
    """
    name = architecture(config)
    if name == MAE:
        return TaskKind.RECONSTRUCTION
    data, outputs = section_of(config, "data"), n_outputs(config)
    if name in {"convunetr", "unet"}:
        return TaskKind.HEATMAP if outputs == N_LANDMARKS else TaskKind.SEGMENTATION
    if data.get("class_column"):
        return TaskKind.CLASS
    if data.get("regression_column") or outputs != 2 * N_LANDMARKS:
        return TaskKind.VALUE
    return TaskKind.COORDINATE


def target_of(config: Config) -> str:
    """Name what a model answers by the target of its config: ``pathology``, ``ef``; empty without one."""
    data = config["data"]
    return str(data.get("class_column") or data.get("regression_column") or "")


def answers(config: Config, task: Task) -> bool:
    """Whether a model of this config answers a task."""
    try:
        kind, views = kind_of(config), set(view_settings(config))
    except CheckpointError:
        return False
    if task.kind is TaskKind.FEATURES:
        return architecture(config) in {MAE, "convvit"}
    if kind is not task.kind or (task.views and not views <= set(task.views)):
        return False
    if kind is TaskKind.SEGMENTATION:
        return n_outputs(config) == N_STRUCTURES
    return not task.columns or target_of(config) in task.columns


def task_of(name: str) -> Task:
    """Task by its name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in TASKS:
        raise InputError(f"There is no task {name!r}. Tasks: {', '.join(TASKS)}.")
    return TASKS[name]
