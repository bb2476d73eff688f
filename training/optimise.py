"""Which parameter learns how fast, and when: layer decay and the learning rate's course, as published."""

from __future__ import annotations

from math import cos, pi
from typing import Any

from torch import nn

from cinema_core.models.depth import encoder_depth, layer_of
from training.config_files import Behaviour, Epochs
from training.loop import decayed_groups
from training.settings import FineTuneConfig


def parameter_groups(network: nn.Module, config: FineTuneConfig) -> list[dict[str, Any]]:
    """Group the trained parameters as AdamW takes them, each group with its ``lr_scale``.

    Layers near the image learn slower where their weights were pretrained. The published recipe gives a network without
    pretrained weights AdamW's own weight decay of 0.01 for every parameter, whatever its config says.
    """
    train = config.train
    if config.model.ckpt_path is None:
        if config.behaviour is Behaviour.PUBLISHED:
            return [{"params": [p for p in network.parameters() if p.requires_grad], "weight_decay": 0.01}]
        return decayed_groups(network, train.weight_decay)
    depth = encoder_depth(name for name, _ in network.named_parameters())
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, flat = layer_of(name, depth), parameter.ndim <= 1
        group = groups.setdefault(
            (layer, flat),
            {
                "params": [],
                "weight_decay": 0.0 if flat else train.weight_decay,
                "lr_scale": train.layer_decay ** (depth + 1 - layer),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def rate_at(epoch: float, train: Epochs) -> float:
    """Learning rate at a fractional epoch: linear warm-up from 0, then half a cosine down to ``min_lr``."""
    if epoch < train.n_warmup_epochs:
        return train.lr * epoch / train.n_warmup_epochs
    done = min(1.0, (epoch - train.n_warmup_epochs) / (train.n_epochs - train.n_warmup_epochs))
    return train.min_lr + (train.lr - train.min_lr) * (1 + cos(pi * done)) / 2
