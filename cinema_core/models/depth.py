"""How deep in a network a parameter lies, for learning rates that decay towards the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_FIRST: Final = ("enc_", "encoder.cls_token")
_BLOCKS: Final = "encoder.blocks."


def encoder_depth(names: Iterable[str]) -> int:
    """Return the number of blocks of the transformer, by the names of parameters; 0 without one."""
    return 1 + max((int(name.split(".")[2]) for name in names if name.startswith(_BLOCKS)), default=-1)


def layer_of(name: str, depth: int) -> int:
    """Layer of a parameter: 0 is what sees the image, ``depth`` the last block of the encoder, one more all else."""
    if name.startswith(_FIRST) or "pos_embed" in name or "patch_embed" in name:
        return 0
    if name.startswith(_BLOCKS):
        return int(name.removeprefix(_BLOCKS).split(".")[0]) + 1
    return depth + 1
