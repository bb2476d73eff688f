"""Is this file what it says, and safe to open? Looks at weights and config without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import yaml
from safetensors import SafetensorError, safe_open

from cinema_core.errors import CheckpointError

_PICKLES: Final = {".pt", ".pth", ".ckpt", ".pkl", ".bin"}
_CONVERT: Final = (
    "python -c \"import torch; from safetensors.torch import save_file; save_file(torch.load('{name}', "
    "map_location='cpu', weights_only=True), '{stem}.safetensors')\""
)


def refuse_pickle(path: Path, known_as: str = "") -> None:
    """Make sure that a file is no pickle, by its name and its first bytes; it is not opened further.

    Parameters
    ----------
    known_as
        What the reader calls the file, if that is not its name.

    Raises
    ------
    CheckpointError
        If it is one, with the reason and a way to convert it in isolation.
    """
    with path.open("rb") as file:
        head = file.read(9)
    # A zip ("PK") is torch.save's container, 0x80 starts a bare pickle; both can run code when opened. A safetensors
    # file starts with the length of its JSON header, whose lowest byte is 0x80 in one file of 32.
    a_pickle = head[:2] == b"PK" or (head[:1] == b"\x80" and head[8:] != b"{")
    name = known_as or path.name
    if PurePath(name).suffix.lower() in _PICKLES or a_pickle:
        raise CheckpointError(
            f"{name} is a pickle, which can run any program when it is opened; only .safetensors is read. "
            "Ask for the weights in that form, or convert them in a container without network and patient data "
            f"(docker run --network none): {_CONVERT.format(name=PurePath(name).name, stem=PurePath(name).stem)}"
        )


def check_weights(path: Path, known_as: str = "") -> None:
    """Make sure that a file is a whole safetensors file with tensors in it; only its header is read.

    Parameters
    ----------
    known_as
        What the reader calls the file, if that is not its name.

    Raises
    ------
    CheckpointError
        If it is absent, a pickle, cut short, or empty.
    """
    if not path.is_file():
        raise CheckpointError(f"The weights {path} are not there. Check the path.")
    refuse_pickle(path, known_as)
    name = known_as or path.name
    try:
        with safe_open(path, framework="numpy") as file:
            n_tensors = len(file.keys())
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{name} is not a whole safetensors file ({error}). Download or copy it again.") from None
    if not n_tensors:
        raise CheckpointError(f"{name} holds no tensors. Download or copy it again.")


def read_config_file(path: Path, known_as: str = "") -> Mapping[str, Any]:
    """Config of a model from its YAML file.

    Parameters
    ----------
    known_as
        What the reader calls the file, if that is not its path.

    Raises
    ------
    CheckpointError
        If the file is absent, no YAML, or holds no mapping.
    """
    name = known_as or path
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read as YAML"
        raise CheckpointError(f"The config {name} {reason}. Give the config.yaml that came with the weights.") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"The config {name} is empty or not a mapping. Give the one that came with the weights.")
    return content


def check_config(path: Path, known_as: str = "") -> Mapping[str, Any]:
    """Config of a model, which must have a ``model`` section.

    Parameters
    ----------
    known_as
        What the reader calls the file, if that is not its path.

    Raises
    ------
    CheckpointError
        If it cannot be read, or has none.
    """
    config = read_config_file(path, known_as)
    if not isinstance(config.get("model"), Mapping):
        raise CheckpointError(
            f"The config {known_as or path} has no section `model`. Give the config.yaml that came with the weights."
        )
    return config
