"""Training with several processes: what `torchrun` started share their gradients; a process alone is a group of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Group:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0. size: how many there are. device: where it computes.
    """

    rank: int
    size: int
    device: str

    @classmethod
    def join(cls, device: str) -> Group:
        """The group that `torchrun` describes in the environment; every process takes a GPU of its own."""
        if "RANK" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
            return cls(0, 1, device)
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        # The others wait while the first one validates.
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=2))
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    @property
    def first(self) -> bool:
        """The one that validates and writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def agree(self, value: float) -> float:
        """The first process's value."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def gather(self, value: Any) -> list[Any]:
        """Everyone's value, in the order of rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def same(self, net: nn.Module) -> None:
        """Give every process the first one's weights."""
        if self.size > 1:
            for value in net.state_dict().values():
                distributed.broadcast(value, 0)

    def average_gradients(self, net: nn.Module) -> None:
        """Replace gradients by their mean over all processes; one that a process does not have counts as 0.

        Batch norm keeps its own statistics in every process; the first one's are written.
        """
        if self.size == 1:
            return
        learning = [p for p in net.parameters() if p.requires_grad]
        gradients: list[Tensor] = []
        for p in learning:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            gradients.append(p.grad)
        flat: Tensor = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([p.numel() for p in learning]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def leave(self) -> None:
        if self.size > 1:
            distributed.destroy_process_group()
