"""What an engine is to the code above, so that it need not care which, and on what it may run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InputError, UnsupportedError
from ..models.attention import Known
from ..models.layers import Halo
from ..models.network import EncodedReferences
from ..models.restorer import Place
from ..system.torch_private import has_fast_bf16

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """Runs a network on one device in one precision: `restore` that of a restorer, `sharpen` that of a sharpener, the
    other methods a colorizer's.

    Attributes:
        device: `cpu`, `cuda`, `cuda:n`, `xpu`, `xpu:n` or `mps`.
        precision: one of `PRECISIONS`.
        home: where pictures come out, the device or `cpu`; those that go in may lie anywhere, and need not be copied
            if they lie there.
        tells_places: it has `match_map`, where the network weighs references.
        looks: it has `look` and `render`, so that a frame that lies in two windows is looked at once.
        takes_parts: `encode` takes references that are known in part, where the network weighs references.
    """

    device: str
    precision: str
    home: str
    tells_places: bool
    looks: bool
    takes_parts: bool

    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`luma` `[T, 1, H, W]`, `thumbs` `[T, 1, 36, 48]` to restored luma, mask, toned luma `[T - halo, 1, H, W]`.

        `place` says which part of the frame `luma` is; None: the whole. Frames that the network sees as thumbnails only
        (`ModelInfo.sees`) need not be in `luma`.
        """
        ...

    def sharpen(self, luma: Tensor, figures: Tensor, halo: Halo, scale: int) -> Tensor:
        """What a sharpener adds to restored luma `[T, 1, H, W]`, or at scale 2 to its interpolation: `[T - halo, 1, sH,
        sW]`. `figures`: `softness` of the whole frames, `[T, 7]`."""
        ...

    def encode(
        self, pictures: Iterable[tuple[Tensor, Tensor]], known: Sequence[Known | None] | None = None
    ) -> EncodedReferences:
        """Pairs of luma `[1, 1, h, w]` and chroma `[1, 2, h, w]` to what the colorizer remembers of them.

        `known`, only where the engine `takes_parts`: of each, where it is known, None for all of it.
        """
        ...

    def describe(self, luma: Tensor) -> Tensor:
        """What frames `[F, 1, h, w]` look like as wholes, `[F, areas, D]` unit vectors, to compare them with each other
        and with references; only where the network weighs references."""
        ...

    def match_map(self, luma: Tensor, memory: EncodedReferences) -> tuple[Tensor, Tensor]:
        """Shares of references in frames `[F, 1, h, w]`, place by place, `[F, R, h/8, w/8]`, and the cosine of the best
        match, `[F, 1, h/8, w/8]`; only where the engine `tells_places` and the network weighs references."""
        ...

    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """`luma` `[T, 1, H, W]` to chroma `[T - halo, 2, H, W]` and each reference's share in it `[T - halo, R]`;
        `memory`: what `encode` of this engine gave."""
        ...

    def look(self, luma: Tensor, memory: EncodedReferences) -> list[Any]:
        """The part of `colorize` that each of the frames `[F, 1, H, W]` needs by itself, for `render`; only where the
        engine `looks`."""
        ...

    def render(
        self, luma: Tensor, looks: Sequence[Any], memory: EncodedReferences, halo: Halo
    ) -> tuple[Tensor, Tensor]:
        """The rest of `colorize`; `looks`: what `look` gave for each frame."""
        ...


def choose_device(device: str) -> str:
    """`auto` to `cuda` where there is such a GPU (PyTorch's builds for ROCm call AMD's so), else `cpu`; `cpu`, `cuda`,
    `cuda:n`, `xpu`, `xpu:n` (Intel) and `mps` (Apple) to themselves.

    Raises:
        InputError: the name is none of these. UnsupportedError: that GPU is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:[0-9]+)?", str(device)):
        raise InputError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:0, xpu or xpu:0, or mps")
    kind, _, number = device.partition(":")
    count = 1 if kind == "cpu" else _count(kind)
    if int(number or 0) >= count:
        raise UnsupportedError(
            f"device {device!r} is not there: {count} {kind.upper()} devices found; use --device cpu"
        )
    return device


def _count(kind: str) -> int:
    """How many GPUs of a kind this PyTorch can use."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    backend = getattr(torch, kind)
    return backend.device_count() if backend.is_available() else 0


def choose_precision(precision: str, device: str) -> str:
    """`auto` to fp16 on a GPU (Apple's: fp32), bf16 on a CPU that computes in it, fp32 elsewhere (on a GPU its
    convolutions use TF32).

    Raises:
        InputError: unknown name, or fp16 on a CPU, where it is slow.
    """
    if precision == "auto":
        if device.startswith(("cuda", "xpu")):
            return "fp16"
        return "bf16" if device == "cpu" and has_fast_bf16() else "fp32"
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; use auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and device == "cpu":
        raise InputError("precision 'fp16' is for GPUs; use bf16 or fp32 on the CPU")
    return precision
