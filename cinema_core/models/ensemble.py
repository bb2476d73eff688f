"""Several networks that draw the same, asked together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Mean class probability of networks that differ by the seed of their training.

    Parameters
    ----------
    networks
        Each maps view -> image to view -> logits, of the same classes.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logarithm of the mean probabilities by view, (b, classes, x, y[, z]): it takes the place of logits."""
        answers = [network(images) for network in self.networks]
        found = {}
        for view in answers[0]:
            mean = torch.stack([answer[view].float().softmax(dim=1) for answer in answers]).mean(dim=0)
            found[view] = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        return found
