"""What runs a network: one protocol, so that the code above does not care which."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError, UnsupportedError
from ..models import EncodedReferences
from ..models.layers import Halo
from ..models.restorer import Place

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "compile", "onnxruntime", "tensorrt")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """Runs the networks on one device in one precision.

    Attributes:
        device: `cpu`, `cuda` or `cuda:n`.
        precision: one of `PRECISIONS`.
        home: where pictures come out, the device or `cpu`; those that go in may lie anywhere, and need not be copied
            if they lie there.
    """

    device: str
    precision: str
    home: str

    def restore(
        self, luma: Tensor, thumbs: Tensor, halo: Halo, place: Place | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`luma` `[T, 1, H, W]`, `thumbs` `[T, 1, 36, 48]` to restored luma, mask, toned luma `[T - halo, 1, H, W]`.

        `place` says which part of the frame `luma` is; None: the whole. Frames that the network sees as thumbnails only
        (`ModelInfo.sees`) need not be in `luma`.
        """

    def encode(self, pictures: Iterable[tuple[Tensor, Tensor]]) -> EncodedReferences:
        """Pairs of luma `[1, 1, h, w]` and chroma `[1, 2, h, w]` to what the colorizer remembers of them."""

    def describe(self, luma: Tensor) -> Tensor:
        """What frames `[F, 1, h, w]` look like as wholes, `[F, areas, D]` unit vectors, to compare them with each other
        and with references; only where the network weighs references."""

    def colorize(self, luma: Tensor, memory: EncodedReferences, halo: Halo) -> tuple[Tensor, Tensor]:
        """`luma` `[T, 1, H, W]` to chroma `[T - halo, 2, H, W]` and each reference's share in it `[T - halo, R]`."""


def choose_device(device: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:n` to the device that will be used.

    Raises:
        InputError: the name is none of these. UnsupportedError: that GPU is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", str(device)):
        raise InputError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:0")
    if device != "cpu":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(device.partition(":")[2] or 0) >= count:
            raise UnsupportedError(f"device {device!r} is not there: {count} CUDA devices found; use --device cpu")
    return device


def choose_precision(precision: str, device: str) -> str:
    """`auto` to fp16 on a GPU, bf16 on a CPU that computes in it, fp32 elsewhere (on a GPU its convolutions use TF32).

    Raises:
        InputError: unknown name, or fp16 on a CPU, where it is slow.
    """
    if precision == "auto":
        if device.startswith("cuda"):
            return "fp16"
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bf16" if fast else "fp32"
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; use auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and device == "cpu":
        raise InputError("precision 'fp16' is for GPUs; use bf16 or fp32 on the CPU")
    return precision


def make_engine(net: nn.Module, engine: str, device: str, precision: str) -> Engine:
    """An engine of the kind asked for that runs `net`.

    `torch` runs every network and is what `auto` takes; `compile` is the same through PyTorch's compiler. `onnxruntime`
    runs exported graphs on the CPU or with CUDA, `tensorrt` the same graphs with ONNX Runtime's TensorRT provider.

    Raises:
        InputError: an unknown name, or a device or precision that this engine has not. UnsupportedError: the device, a
            package or a library is not there, or the network cannot be exported.
    """
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}; use {', '.join(ENGINES[:-1])} or {ENGINES[-1]}")
    device = choose_device(device)
    if engine in ("auto", "torch", "compile"):
        from .pytorch import TorchEngine

        if engine == "auto":
            log.info("engine torch: it runs every network and neither exports nor compiles anything first")
        return TorchEngine(net, device, choose_precision(precision, device), compiled=engine == "compile")
    from .onnx import onnx_engine

    if precision == "auto":
        precision = "fp32" if device == "cpu" else "fp16"
    if engine == "tensorrt" and device == "cpu":
        raise InputError("engine 'tensorrt' is for GPUs; use engine onnxruntime on the CPU")
    provider = "tensorrt" if engine == "tensorrt" else device.partition(":")[0]
    return onnx_engine(net, device, choose_precision(precision, device), provider)
