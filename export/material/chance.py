"""Random numbers out of a generator on the CPU; None: PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(generator: torch.Generator | None, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform numbers from `low` to `high`."""
    return torch.rand(*shape, generator=generator) * (high - low) + low


def rand(generator: torch.Generator | None) -> float:
    """One uniform number from 0 to 1."""
    return float(torch.rand((), generator=generator))


def between(generator: torch.Generator | None, low: float, high: float) -> float:
    """One uniform number from `low` to `high`."""
    return low + (high - low) * rand(generator)


def integer(generator: torch.Generator | None, below: int) -> int:
    """A whole number from 0 to less than `below`, which counts as at least 1."""
    return int(torch.randint(max(1, below), (), generator=generator))
