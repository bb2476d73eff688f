"""The processes of a training: one alone, or many on one or more machines, through Lightning Fabric.

A step's batches are dealt out to the processes; every batch counts the same wherever it is computed, so that the
losses do not depend on the number of processes. ``ddp`` keeps a copy of the network in each process, ``fsdp`` a part of
it (weights, gradients and moments of the optimiser are sharded, the transformer blocks one by one).
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from cinema_core.errors import InputError
from cinema_core.models.vit import TransformerBlock

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STRATEGIES: Final = ("ddp", "fsdp")


class Processes:
    """One process alone; what several do otherwise is in :class:`FabricProcesses`.

    Attributes
    ----------
    rank, size
        Which process this one is, and of how many.
    device
        Where it computes, if that was given to it.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    def wrap(self, objective: nn.Module) -> nn.Module:
        """Prepare a module for training."""
        return objective

    def together(self, objective: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """Around a backward pass: whether gradients are exchanged in it, or wait for the last batch of the step."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        loss.backward()

    def total(self, value: Tensor) -> float:
        """Sum of a number over all processes."""
        return float(value)

    def number(self, value: Tensor) -> float:
        """Value of a number that may be spread over the processes."""
        return float(self.whole(value))

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """Figures of the first process, in all of them."""
        return figures

    def whole(self, value: Any) -> Any:
        """Gather a tensor from all processes if it is sharded; anything else stays as it is."""
        return value

    def spread(self, value: Tensor, like: Any) -> Tensor:
        """Shard a whole tensor as another is sharded."""
        return value


class FabricProcesses(Processes):
    """Several processes; made by :func:`launch`."""

    def __init__(self, fabric: Fabric, sharded: bool) -> None:
        self._fabric = fabric
        self._sharded = sharded
        self.rank = fabric.global_rank
        self.size = fabric.world_size
        self.device = fabric.device

    def wrap(self, objective: nn.Module) -> nn.Module:
        """Prepare a module for training; sharded, the parameters of the network are other ones afterwards."""
        wrapped: nn.Module = self._fabric.setup_module(objective)
        return wrapped

    def together(self, objective: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """Around a backward pass: whether gradients are exchanged in it, or wait for the last batch of the step."""
        waiting: AbstractContextManager[Any] = self._fabric.no_backward_sync(objective, enabled=not now)
        return waiting

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss; the exchange takes their mean, where the sum is wanted."""
        self._fabric.backward(loss * self.size)

    def total(self, value: Tensor) -> float:
        """Sum of a number over all processes."""
        return float(self._fabric.all_reduce(value, reduce_op="sum"))

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """Figures of the first process, in all of them."""
        return dict(self._fabric.broadcast(figures))

    def whole(self, value: Any) -> Any:
        """Gather a tensor from all processes if it is sharded; anything else stays as it is."""
        return value.full_tensor() if self._sharded and hasattr(value, "full_tensor") else value

    def spread(self, value: Tensor, like: Any) -> Tensor:
        """Shard a whole tensor as another is sharded."""
        if not (self._sharded and hasattr(like, "placements")):
            return value
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(value, like.device_mesh, like.placements)


def shard(objective: nn.Module, mesh: Any) -> nn.Module:
    """Shard the network of an objective in place: each transformer block by itself, then all that is left."""
    from torch.distributed.fsdp import fully_shard

    network = objective.network
    assert isinstance(network, nn.Module)  # an Objective's
    data = mesh["data_parallel"]
    for module in network.modules():
        if isinstance(module, TransformerBlock):
            fully_shard(module, mesh=data)
    fully_shard(network, mesh=data)
    return objective


def launch(given: argparse.Namespace, device: torch.device, *, every_weight_used: bool = True) -> Processes:
    """Start the processes that the command line asks for, or join those that torchrun or SLURM started.

    Parameters
    ----------
    given
        With the options of :func:`add_options`.
    every_weight_used
        Whether every trained weight has a part in every loss; if not, those without are searched in each step.

    Raises
    ------
    InputError
        If Lightning Fabric is wanted and not installed, or the numbers of processes do not fit.
    """
    n_devices, n_nodes = _numbers(given)
    if n_devices * n_nodes == 1:
        return Processes()
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
    except ImportError:
        raise InputError(
            "Several processes need Lightning Fabric. Run: pip install 'napari-cinema[training]'"
        ) from None
    sharded = given.strategy == "fsdp"
    strategy: Strategy = DDPStrategy(find_unused_parameters=not every_weight_used)
    if sharded:
        strategy = ModelParallelStrategy(shard, data_parallel_size=n_devices * n_nodes, tensor_parallel_size=1)
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    try:
        fabric = Fabric(accelerator=accelerator, devices=n_devices, num_nodes=n_nodes, strategy=strategy)
    except (RuntimeError, ValueError) as error:  # how Fabric says that there are fewer devices
        raise InputError(f"{n_devices} x {n_nodes} processes cannot be started: {error}") from error
    fabric.launch()
    if fabric.global_rank:
        logging.getLogger().setLevel(logging.ERROR)  # the first process speaks for all
    return FabricProcesses(fabric, sharded)


def device_of(processes: Processes, device: torch.device) -> torch.device:
    """Device of this process: its own GPU where every process has one."""
    return processes.device or device


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a training command asks about devices."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--devices", type=int, help="processes on each machine, one per GPU; default 1, or what torchrun started"
    )
    parser.add_argument("--nodes", type=int, help="machines; default 1, or what torchrun or SLURM started")
    parser.add_argument("--strategy", choices=STRATEGIES, default="ddp", help="how several processes share a network")


def _numbers(given: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Count the processes on each machine, and the machines."""
    # torchrun tells both; SLURM is asked by Fabric, which compares it with the options.
    local = int(environment.get("LOCAL_WORLD_SIZE", 1))
    everywhere = int(environment["WORLD_SIZE"]) if "LOCAL_WORLD_SIZE" in environment else local
    n_devices = given.devices or local
    n_nodes = given.nodes or everywhere // local
    if n_devices < 1 or n_nodes < 1:
        raise InputError("--devices and --nodes are 1 or more.")
    return n_devices, n_nodes
