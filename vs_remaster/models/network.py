"""What every network is to those that run it: a module with facts, and what a colorizer remembers of references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network, and the facts about it that `ModelInfo` hands on. A network states what differs from the defaults.

    Attributes:
        config: its hyper-parameters, a frozen dataclass.
        exact: its parts that compute in float32 in every precision; None: nothing is known of that.
    """

    config: Any
    exact: tuple[str, ...] | None = None
    before: int
    after: int
    block: int
    multiple_of: int
    sees: int | None = None
    fixed_block: bool = False
    scales_references: bool = False
    needs_references: bool = True
    takes_references: bool = True
    weighs_references: bool = False
    lines: int | None = None
    marks_damage: bool = False
    sharpens: bool = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def fuse(self) -> None:
        """Fold what is separate only for training: for inference only. Most networks have nothing to fold."""


class EncodedReferences(Protocol):
    """What a colorizer remembers of its references; to everyone else a thing to hand on."""

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        ...

    def subset(self, chosen: Sequence[int], weights: Sequence[float]) -> Self:
        """Some of the references by their numbers, with weights above 0."""
        ...


@runtime_checkable
class ComparableReferences(EncodedReferences, Protocol):
    """References that frames can be compared with: those of a network that weighs references."""

    def likeness(self, described: Tensor) -> Tensor:
        """How much described frames `[F, P, D]` resemble each of R references: `[F, R]`."""
        ...

    def plus(self, more: Self) -> Self:
        """These references and, behind them, others that the same network encoded; none of them may have weights."""
        ...


class ColorizerNetwork(Network):
    """A network that makes chroma."""

    def encode_all(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> EncodedReferences:
        """Pairs of luma `[1, 1, h, w]` and chroma `[1, 2, h, w]` to what the network remembers of them."""
        raise NotImplementedError

    def describe(self, luma: Tensor) -> Tensor:
        """What frames `[N, 1, H, W]` look like as wholes, `[N, areas, D]`; only where it weighs references."""
        raise NotImplementedError

    def match_map(self, luma: Tensor, memory: Any) -> tuple[Tensor, Tensor]:
        """Each reference's share in each place of frames `[N, 1, H, W]`, `[N, R, H/8, W/8]`, and the cosine of the best
        match, `[N, 1, H/8, W/8]`; only where it weighs references. `memory`: what its own `encode_all` gave."""
        raise NotImplementedError
