"""Graphs in ONNX Runtime: kept in the user's cache folder, run by one provider with bound inputs and outputs."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import RemasterError, UnsupportedError
from ..models.fill import Fill
from ..models.network import Network
from ..system import folders
from ..system.files import make_folder, write_whole
from ..version import __version__
from .graphs import LISTS, OPSET, facts, fingerprint, graphs, graphs_name, to_onnx
from .ort import runtime
from .providers import PLUGIN, binds_on_gpu, open_session
from .sizes import folded, sizes_of

log = logging.getLogger(__name__)

_KEPT = 4  # sessions of one graph for films of different sizes
_KINDS = {torch.float32: np.float32, torch.float16: np.float16, torch.int64: np.int64}


def cache_folder() -> Path:
    """Where graphs and TensorRT's engines are kept, for every program of this user; it need not exist."""
    return folders.user_folder("cache")


def _code() -> str:
    """Digest of the code that graphs are made from: another version of it makes other graphs."""
    digest = hashlib.sha256()
    models = (Path(__file__).parents[1] / "models").rglob("*.py")
    for path in (*sorted(models), *(Path(__file__).with_name(name) for name in ("graphs.py", "sizes.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def graph_folder(net: Network | Fill, precision: str) -> Path:
    """Where the graphs of a network are kept: named by its weights, the precision, and all versions that matter."""
    versions = f"{__version__}-{_code()}-torch{torch.__version__}-opset{OPSET}"
    return cache_folder() / "onnx" / f"{graphs_name(net)}-{fingerprint(net)[:16]}-{precision}-{versions}"


def load_graphs(net: Network | Fill, precision: str) -> dict[str, bytes]:
    """The files of all graphs of a network, from the cache or made now; a damaged cache is made anew.

    Raises:
        UnsupportedError: the network has no graphs, or what exporting needs is missing.
    """
    folder = graph_folder(net, precision)
    kept = _read(folder)
    if kept:
        return kept
    parts = graphs(net, precision)
    made = {name: folded(to_onnx(part, facts(net, name, precision))) for name, part in parts.items()}
    try:
        make_folder(folder)
        for name, file in made.items():
            write_whole(folder / f"{name}.onnx", file)
        hashes = {name: hashlib.sha256(file).hexdigest() for name, file in made.items()}
        write_whole(folder / "sha256.json", json.dumps(hashes).encode())
        log.info("exported %s to %s", graphs_name(net), folder)
    except RemasterError as error:
        log.warning("cannot keep the exported graphs in %s: %s; they are made again next time", folder, error)
    return made


def _read(folder: Path) -> dict[str, bytes]:
    try:
        hashes = json.loads((folder / "sha256.json").read_bytes())
        files = {name: (folder / f"{name}.onnx").read_bytes() for name in hashes}
    except (OSError, ValueError):
        return {}
    damaged = [name for name, file in files.items() if hashlib.sha256(file).hexdigest() != hashes[name]]
    if damaged:
        log.warning("the exported graphs in %s are damaged and are made again: %s", folder, ", ".join(damaged))
    return {} if damaged else files


class Session:
    """One graph in ONNX Runtime.

    Args:
        file: the graph.
        provider: one of `PROVIDERS`.
        device: `cpu`, `cuda` or `cuda:n`.
        name: what TensorRT's engines of this graph are kept under.
        home: where tensors come out: `cpu` or the device.
        fixed: a session is made for every size of film, in which no sizes are worked out, and the last few are kept;
            else one takes all sizes, which on a CPU is as fast.
        planned: which outputs of operators share memory is worked out ahead: it takes time with the square of their
            number, 30 seconds for thousands, and saves none of it.

    Raises:
        UnsupportedError: onnxruntime, its provider, or the provider's libraries are missing.
    """

    def __init__(
        self,
        file: bytes,
        provider: str,
        device: str,
        name: str,
        home: str = "cpu",
        fixed: bool = False,
        planned: bool = True,
    ) -> None:
        self.file, self.provider, self.name, self.home, self.planned = file, provider, name, home, planned
        self.place = "cuda" if binds_on_gpu(provider) else "cpu"
        self.gpu = int(device.partition(":")[2] or 0)
        self.number = self.gpu if self.place == "cuda" else 0
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()
        if not fixed and provider not in ("tensorrt", "rtx"):  # which have to know the sizes
            self._made[""] = self._create({}, {})

    def _create(self, settings: dict[str, str], sizes: dict[str, int]) -> Any:
        options = runtime().SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.enable_mem_reuse = self.planned
        for name, size in sizes.items():
            options.add_free_dimension_override_by_name(name, size)
        return open_session(self.file, self.provider, self.gpu, options, settings)

    def _for(self, shapes: dict[str, tuple[int, ...]]) -> Any:
        if "" in self._made:
            return self._made[""]
        with self._lock:
            sizes = sizes_of(self.file, shapes)
            settings = {}
            if self.provider == "tensorrt":
                settings = tensorrt_settings(self.name, shapes, self.gpu)
            elif self.provider == "rtx":
                settings = rtx_settings(self.name, self.gpu)
            key = f"{sizes} {[value for name, value in settings.items() if 'shapes' in name]}"
            session = self._made.pop(key, None)
            if session is None:
                if settings:
                    log.info("TensorRT prepares %s for %s; the first time this takes minutes", self.name, shapes)
                session = self._create(settings, sizes)
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = session  # the last one used is the last one here
            return session

    def keep(self, value: Tensor) -> Any:
        """`value` as an OrtValue on the device, to be bound any number of times."""
        return runtime().OrtValue.ortvalue_from_numpy(value.contiguous().cpu().numpy(), self.place, self.number)

    def run(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Run the graph.

        Args:
            inputs: by name, a tensor on the CPU or the device, or an OrtValue on the device.

        Returns:
            All outputs by name, at home.
        """
        tensors = {name: x.contiguous() for name, x in inputs.items() if isinstance(x, Tensor)}
        session = self._for({name: tuple(x.shape() if callable(x.shape) else x.shape) for name, x in inputs.items()})
        binding = session.io_binding()
        for name in (x.name for x in session.get_inputs()):  # a network with parts left out does not need all
            if name in tensors:
                x = tensors[name]
                kind, number = _KINDS[x.dtype], x.device.index or 0
                binding.bind_input(name, x.device.type, number, kind, tuple(x.shape), x.data_ptr())
            else:
                binding.bind_ortvalue_input(name, inputs[name])
        wanted = [x.name for x in session.get_outputs()]
        for name in wanted:
            binding.bind_output(name, self.home.partition(":")[0], 0 if self.home == "cpu" else self.number)
        if any(x.is_cuda for x in tensors.values()):
            torch.cuda.current_stream(self.number).synchronize()  # what PyTorch still does to the inputs
        session.run_with_iobinding(binding)  # which returns when all is done
        return {name: torch.from_dlpack(x) for name, x in zip(wanted, binding.get_outputs())}


def tensorrt_settings(name: str, shapes: dict[str, tuple[int, ...]], number: int) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider for inputs of `shapes`: pictures of just this size, lists of what
    references hold up to the next power of two, so that most other references need no other engine.

    Its engines and timings are kept in folders named by the graph, these shapes, the GPU and all versions. Its fp16
    option stays off: the network is then strongly typed, half only where the graph is half.

    Raises:
        UnsupportedError: the folders cannot be made.
    """
    ranges = {"min": {}, "opt": shapes, "max": {}}
    for key, shape in shapes.items():
        at = LISTS.get(key)
        ranges["min"][key] = tuple(1 if i == at else n for i, n in enumerate(shape))
        ranges["max"][key] = tuple(1 << (n - 1).bit_length() if i == at else n for i, n in enumerate(shape))
    text = {
        kind: ",".join(f"{key}:{'x'.join(map(str, shape))}" for key, shape in sizes.items())
        for kind, sizes in ranges.items()
    }
    profile = hashlib.sha256(f"{text['min']} {text['max']}".encode()).hexdigest()[:12]
    kept = _kept(number, f"trt{_version('tensorrt')}", f"{name}-{profile}")
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(kept),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(kept.parent),
        **{f"trt_profile_{kind}_shapes": value for kind, value in text.items()},
    }


def rtx_settings(name: str, number: int) -> dict[str, str]:
    """Options of TensorRT for RTX: the folder in which it keeps what it compiled for a graph.

    Raises:
        UnsupportedError: the folder cannot be made.
    """
    version = import_module(PLUGIN).__version__
    return {"nv_runtime_cache_path": str(_kept(number, f"rtx{version}", name))}


def _kept(number: int, version: str, name: str) -> Path:
    """A folder for what TensorRT makes, in one that is named by the GPU and all versions."""
    gpu = re.sub(r"\W+", "-", torch.cuda.get_device_name(number)) if torch.cuda.is_available() else "gpu"
    folder = cache_folder() / "tensorrt" / f"{gpu}-ort{runtime().__version__}-{version}" / name
    try:
        make_folder(folder)
    except RemasterError as error:
        raise UnsupportedError(f"cannot keep TensorRT's engines in {folder}: {error}; set XDG_CACHE_HOME") from error
    return folder


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-of-the-system"
