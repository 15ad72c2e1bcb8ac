"""What in ONNX Runtime runs a graph: its CPU, CUDA and TensorRT providers, or NVIDIA's plug-in, TensorRT for RTX."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from ..errors import UnsupportedError
from .ort import graph_package, runtime

log = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rtx": "NvTensorRTRTXExecutionProvider",
}
PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
_LIBRARIES = {
    "cuda": "the libraries of CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "the libraries of TensorRT, CUDA and cuDNN: pip install 'tensorrt<11' 'onnxruntime-gpu[cuda,cudnn]'",
}
_registering = threading.Lock()


def open_session(
    file: bytes, provider: str, number: int = 0, options: Any = None, settings: dict[str, str] | None = None
) -> Any:
    """A session of ONNX Runtime for a graph.

    Args:
        file: the graph.
        provider: one of `PROVIDERS`.
        number: of the GPU.
        options: `onnxruntime.SessionOptions`.
        settings: the provider's own options.

    Raises:
        UnsupportedError: onnxruntime, the provider, its libraries, the driver or a card that it runs on is missing.
    """
    ort, wanted, settings = runtime(), PROVIDERS[provider], settings or {}
    options = options or ort.SessionOptions()
    options.log_severity_level = 3
    if provider == "rtx":
        options.add_provider_for_devices([rtx_device(number)], settings)
        try:
            session = ort.InferenceSession(file, options)
        except Exception as error:
            raise UnsupportedError(
                f"TensorRT for RTX cannot prepare a graph: {_line(error)}; use engine torch"
            ) from error
    else:
        if wanted not in ort.get_available_providers():
            raise UnsupportedError(
                f"this onnxruntime has no {wanted}: pip uninstall onnxruntime, then pip install onnxruntime-gpu "
                f"and {_LIBRARIES[provider]}"
            )
        chosen: list[Any] = [wanted]
        if provider != "cpu":
            gpu = {"device_id": str(number)}
            cuda = (PROVIDERS["cuda"], gpu | {"use_tf32": "0"})  # what is float32 decides colour and tone
            chosen = [cuda] if provider == "cuda" else [(wanted, gpu | settings), cuda]
        with redirect_stdout(sys.stderr):  # it prints what it misses, and stdout may carry a film
            if provider != "cpu":
                ort.preload_dlls()  # those of CUDA that torch or the nvidia wheels brought
            if provider == "tensorrt" and find_spec("tensorrt"):
                import_module("tensorrt")  # which loads its libraries
            session = ort.InferenceSession(file, options, providers=chosen)
    if session.get_providers()[0] != wanted:  # it goes on with others without an error
        needs = f"it needs {_LIBRARIES[provider]}" if provider in _LIBRARIES else "use engine torch"
        raise UnsupportedError(f"onnxruntime cannot load its {wanted}; {needs}")
    session.disable_fallback()
    return session


def rtx_device(number: int) -> Any:
    """The GPU of this number as TensorRT for RTX sees it; its plug-in is registered the first time.

    Raises:
        UnsupportedError: the package is not installed, onnxruntime too old for plug-ins, the driver missing, or the
            card one that it does not run on.
    """
    ort = runtime()
    if not find_spec(PLUGIN):
        raise UnsupportedError(
            "TensorRT for RTX is the package onnxruntime-ep-nv-tensorrt-rtx, which is not installed: "
            "pip install 'vs-remaster[tensorrt]'"
        )
    if not hasattr(ort, "register_execution_provider_library"):
        raise UnsupportedError(
            f"TensorRT for RTX is a plug-in, which onnxruntime {ort.__version__} does not take: "
            "pip install --upgrade onnxruntime-gpu"
        )
    with _registering:
        _register(ort)
    devices = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDERS["rtx"]]
    cards = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
    fit = [i for i, card in enumerate(cards) if runs_rtx(card)] if cards else list(range(len(devices)))
    if number not in fit or fit.index(number) >= len(devices):
        there = ".".join(map(str, cards[number])) if number < len(cards) else "none that it sees"
        raise UnsupportedError(
            "TensorRT for RTX runs on cards of compute capability 8.6, 8.9, and 12.0 or newer (GeForce RTX 30 to 50), "
            f"and what is there as card {number} has {there}"
        )
    return devices[fit.index(number)]


def runs_rtx(capability: tuple[int, int]) -> bool:
    """Whether TensorRT for RTX runs on cards of a compute capability: its plug-in's list, as of version 0.5."""
    return capability in ((8, 6), (8, 9)) or capability >= (12, 0)


def _register(ort: Any) -> None:
    plugin = import_module(PLUGIN)
    try:
        ort.register_execution_provider_library(PROVIDERS["rtx"], plugin.get_library_path())
    except Exception as error:
        why = _line(error)
        if "already registered" in why:
            return
        if "libcuda." in why or "nvcuda" in why:
            raise UnsupportedError(
                f"TensorRT for RTX needs the driver of an NVIDIA card, which is not installed "
                f"({why.rpartition('error: ')[2]})"
            ) from error
        raise UnsupportedError(
            f"TensorRT for RTX cannot be loaded ({why}): "
            "pip install --force-reinstall onnxruntime-ep-nv-tensorrt-rtx-cu13, or -cu12 where PyTorch has CUDA 12"
        ) from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def check_provider(provider: str, number: int) -> None:
    """Try a provider on a graph that does nothing, so that what is missing is said before the first frame.

    Raises:
        UnsupportedError: see `open_session`.
    """
    if provider == "rtx":  # which would compile it
        rtx_device(number)
        return
    onnx = graph_package()
    there, back = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["a"], ["b"])], "nothing", [there], [back])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 18)])
    settings = {"trt_min_subgraph_size": "2"} if provider == "tensorrt" else {}
    open_session(model.SerializeToString(), provider, number, settings=settings)


def usable_tensorrt(number: int) -> str:
    """Which provider runs what TensorRT shall run: TensorRT for RTX, the TensorRT that onnxruntime was built for, or
    CUDA, which is said in the log.

    Raises:
        UnsupportedError: none of them; with the reasons.
    """
    reasons = []
    for provider in ("rtx", "tensorrt", "cuda"):
        try:
            check_provider(provider, number)
        except UnsupportedError as error:
            reasons.append(str(error))
            continue
        if provider == "cuda":
            log.warning("engine tensorrt: TensorRT cannot run here, so CUDA runs the graphs. %s", "; ".join(reasons))
        else:
            log.info("engine tensorrt: %s runs the graphs", PROVIDERS[provider])
        return provider
    raise UnsupportedError(f"engine 'tensorrt' cannot run here: {'; '.join(reasons[:2])}; use engine torch")


def binds_on_gpu(provider: str) -> bool:
    """Whether tensors on the GPU can be handed to ONNX Runtime; else it copies what comes from memory."""
    return provider != "cpu" and PROVIDERS["cuda"] in runtime().get_available_providers()
