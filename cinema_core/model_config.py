"""What a config in the published form says of a model: views, sizes, answers. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cinema_core.errors import CheckpointError
from cinema_core.model_files import read_config_file

Config = Mapping[str, Any]

MAE: Final = "mae"
"""Architecture of a config without a name: the masked autoencoder's."""

ALL_VIEWS: Final = ("sax", "lax_2c", "lax_3c", "lax_4c")
"""Views that the published masked autoencoder is built for."""


@dataclass(frozen=True)
class ViewSettings:
    """What a model expects of one view: spacing in mm and size, both (x, y[, z]), and channels."""

    spacing_mm: tuple[float, ...]
    patch_size: tuple[int, ...]
    in_chans: int = 1


def read_config(config: Path | str | Config) -> Config:
    """Config as a mapping, from a YAML file or as given.

    Raises
    ------
    CheckpointError
        If the file is absent or holds no mapping.
    """
    if isinstance(config, Mapping):
        return config
    return read_config_file(Path(config))


def model_views(config: Config) -> tuple[str, ...]:
    """Name the views of the model, in config order."""
    model = section_of(config, "model")
    views = model.get("views", model.get("view"))  # very old files say `view`
    if views is None and architecture(config) == MAE:
        return ALL_VIEWS
    if isinstance(views, str):
        return (views,)
    if not views:
        raise CheckpointError("The config names no views (model.views). Give the one that came with the weights.")
    return tuple(str(view) for view in views)


def view_settings(config: Config) -> dict[str, ViewSettings]:
    """Spacing, size and channels of each view of the model.

    ``sax`` reads ``data.sax``; long-axis views read ``data.lax``, or ``data.<view>`` where that is missing.
    """
    data = section_of(config, "data")
    found = {}
    for view in model_views(config):
        key = "sax" if view == "sax" else ("lax" if "lax" in data else view)
        section = data.get(key)
        if not isinstance(section, Mapping) or "patch_size" not in section:
            raise CheckpointError(f"The config has no data.{key}.patch_size for the view {view}.")
        size = tuple(int(n) for n in section["patch_size"])
        spacing = tuple(float(s) for s in section.get("spacing", (1.0, 1.0, 10.0)[: len(size)]))
        found[view] = ViewSettings(spacing, size, int(section.get("in_chans", 1)))
    return found


def architecture(config: Config) -> str:
    """Name the network of a config: ``convunetr``, ``convvit``, ``unet``, ``resnet`` or ``mae``.

    The published config of the masked autoencoder carries no name; its sizes lie directly under ``model``.
    """
    model = section_of(config, "model")
    if "name" not in model and "size" in model:
        return MAE
    return str(model.get("name"))


def n_frames(config: Config) -> int:
    """Frames (ED, ES) that one input of the model holds as channels."""
    return int(section_of(config, "model").get("n_frames") or 1)


def n_outputs(config: Config) -> int:
    """Answers of the model: the classes or the value that the data section names, else ``model.out_chans``.

    Raises
    ------
    CheckpointError
        If the config says none of these.
    """
    data = section_of(config, "data")
    if column := data.get("class_column"):
        classes = data.get(column)
        if not isinstance(classes, Sequence) or isinstance(classes, str) or not classes:
            raise CheckpointError(f"The config has no list of classes data.{column}, which data.class_column names.")
        return len(classes)
    if data.get("regression_column"):
        return 1
    out_chans = section_of(config, "model").get("out_chans")
    if out_chans is None:
        raise CheckpointError("The config does not say how many channels come out (model.out_chans).")
    return int(out_chans)


def mirrors(config: Config) -> tuple[tuple[int, ...], ...]:
    """Mirror images that a segmenter is shown at prediction, as the axes of (x, y) to turn round; their mean counts.

    Ours, not published: ``predict.mirrors``. Without it a model sees the image as it is.

    Raises
    ------
    CheckpointError
        If it is no list of lists of the axes 0 and 1.
    """
    wanted = (config.get("predict") or {}).get("mirrors", [[]])
    known = isinstance(wanted, list) and wanted
    if not known or not all(isinstance(axes, list) and set(axes) <= {0, 1} for axes in wanted):
        raise CheckpointError(
            f"The config has predict.mirrors {wanted!r}; it is a list such as [[], [0], [1], [0, 1]]."
        )
    return tuple(tuple(axes) for axes in wanted)


def section_of(config: Config, name: str) -> Config:
    """Section of a config.

    Raises
    ------
    CheckpointError
        If it is not there.
    """
    section = config.get(name)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The config has no section `{name}`. Give the config.yaml that came with the weights.")
    return section
