"""Where batches come from: made when they are asked for, or by processes beside the training."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vs_remaster.errors import InputError

from .recipe import Recipe, Settings

AHEAD = 4  # batches that each process has ready
POOL = 32  # batches that clips are drawn from while they are used again


class Pair(NamedTuple):
    """What a network gets and what it shall make of it, `[B, T, C, S, S]`."""

    frames: Tensor
    target: Tensor


type Make[Batch] = Callable[[torch.Generator], Batch]


class Stream[Batch](IterableDataset):
    """Batches without end; every process makes its own."""

    def __init__(self, make: Make[Batch], seed: int) -> None:
        self.make, self.seed = make, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None  # a stream runs in the processes of a loader only
        generator = torch.Generator().manual_seed(self.seed + worker.id)
        while True:
            yield self.make(generator)


class Supply[Batch: tuple]:
    """Gives a batch whenever it is called: what `make` makes with a generator, a named tuple of tensors.

    With `workers`, processes make batches on the CPU with seeds drawn once from the generator; they come over to the
    device of the training.
    """

    def __init__(self, make: Make[Batch], s: Settings) -> None:
        if s.workers < 0:
            raise InputError(f"workers must be 0 or more, got {s.workers}; 0 makes batches in between")
        if s.workers and "fork" not in multiprocessing.get_all_start_methods():
            raise InputError(f"workers must be able to fork, and {sys.platform} has no fork; leave --workers out")
        self.make, self.s = make, s
        self.coming: Iterator[Batch] | None = None

    def __call__(self, generator: torch.Generator) -> Batch:
        if not self.s.workers:
            return self.make(generator)
        if self.coming is None:
            seed = int(torch.randint(2**31, (), generator=generator))
            pinned = self.s.device.startswith("cuda")
            self.coming = iter(
                DataLoader(
                    Stream(self.make, seed), batch_size=None, num_workers=self.s.workers, prefetch_factor=AHEAD,
                    pin_memory=pinned, multiprocessing_context="fork",
                )
            )  # fmt: skip
        batch = next(self.coming)
        return type(batch)(*(x.to(self.s.device, non_blocking=True) for x in batch))

    def close(self) -> None:
        """End the processes."""
        self.coming = None


class Pool[Batch: tuple]:
    """A supply of clips `[B, T, C, H, W]` that shows each `reuse` times on average: among others, mirrored, backwards.

    Source: data echoing (Choi et al., 2019), for when the GPU learns faster than the CPU makes clips.
    """

    def __init__(self, supply: Supply[Batch], s: Settings) -> None:
        if s.reuse < 1:
            raise InputError(f"reuse must be 1 or more, got {s.reuse}; 1 shows every clip once")
        self.supply, self.s = supply, s
        self.kind: type[Batch]
        self.kept: list[Tensor] = []
        self.filled = self.next = 0
        self.owed = 1.0

    def __call__(self, generator: torch.Generator) -> Batch:
        if self.s.reuse == 1:
            return self.supply(generator)
        if self.owed >= 1:
            self.keep(self.supply(generator))
            self.owed -= 1
        self.owed += 1 / self.s.reuse
        chosen = torch.randperm(self.filled, generator=generator)[: self.s.batch].to(self.kept[0].device)
        turned = [dim for dim in (1, 4) if torch.rand((), generator=generator) < 0.5]
        return self.kind(*(x[chosen].float().flip(turned) for x in self.kept))

    def close(self) -> None:
        """End the processes of the supply."""
        self.supply.close()

    def keep(self, batch: Batch) -> None:
        """Put a batch in the place of the oldest one."""
        if not self.kept:
            self.kind = type(batch)
            self.kept = [x.new_empty(POOL * len(x), *x.shape[1:], dtype=torch.float16) for x in batch]
        first, count = self.next, len(batch[0])
        for kept, x in zip(self.kept, batch):
            kept[first : first + count] = x
        self.filled = max(self.filled, first + count)
        self.next = (first + count) % len(self.kept[0])


class Supplied(Recipe):
    """Learns from batches that other processes may make."""

    batches: Supply | Pool

    def close(self) -> None:
        self.batches.close()
