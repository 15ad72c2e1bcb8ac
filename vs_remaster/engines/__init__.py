"""What runs a network: one protocol, so that the code above does not care which."""

from __future__ import annotations

import logging
from collections.abc import Callable

from torch import Tensor

from ..errors import InputError, UnsupportedError
from ..models.fill import Fill
from ..models.network import Network
from .engine import PRECISIONS, Engine, choose_device, choose_precision

__all__ = ["ENGINES", "PRECISIONS", "Engine", "choose_device", "choose_precision", "make_engine", "make_fill"]

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "compile", "onnxruntime", "tensorrt")


def make_engine(net: Network, engine: str, device: str, precision: str) -> Engine:
    """An engine of the kind asked for that runs `net`.

    `torch` runs every network and is what `auto` takes; `compile` is the same through PyTorch's compiler. `onnxruntime`
    runs exported graphs on the CPU or with CUDA, `tensorrt` the same graphs with TensorRT, see `usable_tensorrt`.

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
    if device.startswith(("xpu", "mps")):
        raise InputError(f"engine {engine!r} runs on cpu and cuda, not on {device!r}; use engine torch")
    if engine == "tensorrt" and device == "cpu":
        raise InputError("engine 'tensorrt' is for GPUs; use engine onnxruntime on the CPU")
    provider = "tensorrt" if engine == "tensorrt" else device.partition(":")[0]
    return onnx_engine(net, device, choose_precision(precision, device), provider)


def make_fill(engine: str, device: str) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What fills large damage, see `Fill.forward`, for an engine of the kind that restores.

    In ONNX Runtime where that restores; also with TensorRT it runs there, with CUDA: it has few operators that TensorRT
    could make faster, and thousands for it to prepare. Where that has no CUDA, PyTorch does it. Nothing in it is
    compiled.

    Raises:
        UnsupportedError: a package or a library is not there.
    """
    if engine not in ("onnxruntime", "tensorrt"):
        return Fill().eval()
    from .onnx import OnnxFill
    from .providers import check_provider

    if engine == "tensorrt":
        try:
            check_provider("cuda", int(device.partition(":")[2] or 0))
        except UnsupportedError as error:
            log.info("large damage is filled by PyTorch: %s", error)
            return Fill().eval()

    return OnnxFill(device)
