"""The engine tensorrt: which provider runs it, what is said where one is missing, and what each is told.

The plug-in TensorRT for RTX is the real one where it is installed (pip install 'vs-remaster[tensorrt]'). What needs a
card that this machine has not is played by a stand-in here, and runs for real in tests/test_gpu.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

if not (find_spec("onnx") and find_spec("onnxruntime")):
    pytest.skip("needs onnx and onnxruntime: pip install 'vs-remaster[onnx]'", allow_module_level=True)

from export import to_tensorrt
from vs_remaster.engines import make_engine, make_fill, providers, sessions
from vs_remaster.engines.graphs import graphs, to_onnx
from vs_remaster.engines.onnx import onnx_engine
from vs_remaster.engines.ort import runtime
from vs_remaster.engines.providers import PLUGIN, PROVIDERS, check_provider, rtx_device, runs_rtx, usable_tensorrt
from vs_remaster.engines.sizes import film_sizes, folded
from vs_remaster.errors import UnsupportedError
from vs_remaster.models import build
from vs_remaster.models.fill import Fill
from vs_remaster.models.layers import Halo
from vs_remaster.models.restorer import thumbnails
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import RestoreOptions
from vs_remaster.remaster.restorer import Restorer

NO_DRIVER = "Failed to load library /x/lib.so with error: libcuda.so.1: cannot open shared object file: No such file"


class Runtime(SimpleNamespace):
    """ONNX Runtime as far as plug-ins go; everything else is the real one."""

    def __init__(self, error: str = "", devices: int = 0) -> None:
        super().__init__(registered=[], opened=[], error=error, __version__="1.31.1")
        self.devices = [SimpleNamespace(ep_name=PROVIDERS["rtx"], number=i) for i in range(devices)]

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.registered.append((name, path))
        if self.error:
            raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {self.error}")

    def get_ep_devices(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(ep_name="CPUExecutionProvider"), *self.devices]

    def get_available_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def SessionOptions(self) -> SimpleNamespace:
        told = []
        return SimpleNamespace(
            told=told,
            add_provider_for_devices=lambda devices, settings: told.append((devices, settings)),
            add_free_dimension_override_by_name=lambda name, size: told.append((name, size)),
        )

    def InferenceSession(self, file: bytes, options: SimpleNamespace) -> object:
        """Really one of the CPU's, which says that it is the plug-in's."""
        self.opened.append(options.told)
        real = runtime_of_the_machine().SessionOptions()
        real.log_severity_level = 3
        session = runtime_of_the_machine().InferenceSession(file, real, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: [PROVIDERS["rtx"]]
        return session


runtime_of_the_machine = runtime


@pytest.fixture
def plugin(monkeypatch):
    """A stand-in for the package and for ONNX Runtime: `plugin(error=, devices=, cards=)`."""

    def make(cards: tuple = (), **how) -> Runtime:
        module = ModuleType(PLUGIN)
        module.__version__, module.get_library_path = "0.5.0", lambda: "/x/lib.so"
        monkeypatch.setitem(sys.modules, PLUGIN, module)
        monkeypatch.setattr(providers, "find_spec", lambda name: name == PLUGIN or find_spec(name))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: cards[i])
        made = Runtime(**how)
        for module in (providers, sessions):
            monkeypatch.setattr(module, "runtime", lambda: made)
        return made

    return make


def test_the_card_of_that_number_is_taken(plugin):
    ort = plugin(devices=2, cards=((8, 9), (9, 0), (12, 0)))
    assert rtx_device(0).number == 0 and rtx_device(2).number == 1
    assert ort.registered[0] == ("NvTensorRTRTXExecutionProvider", "/x/lib.so")
    with pytest.raises(UnsupportedError, match=r"8\.6, 8\.9, and 12\.0 or newer .*card 1 has 9\.0"):
        rtx_device(1)
    with pytest.raises(UnsupportedError, match="card 3 has none"):
        rtx_device(3)


def test_cards_that_it_runs_on():
    assert [runs_rtx(card) for card in ((8, 6), (8, 9), (12, 0), (12, 1))] == [True] * 4
    assert [runs_rtx(card) for card in ((7, 5), (8, 0), (8, 7), (9, 0), (10, 0))] == [False] * 5


@pytest.mark.parametrize(
    "error, said",
    [
        (NO_DRIVER, r"driver of an NVIDIA card, which is not installed \(libcuda\.so\.1: cannot open"),
        ("Failed to load library with error: libcudart.so.13: cannot open", r"cannot be loaded .*libcudart.*cu12"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_says_why(plugin, error, said):
    plugin(error=error, devices=1, cards=((8, 9),))
    with pytest.raises(UnsupportedError, match=said):
        rtx_device(0)


def test_it_is_registered_once(plugin):
    plugin(error="EP library is already registered under NvTensorRTRTXExecutionProvider", devices=1)
    assert rtx_device(0).number == 0


def test_an_onnxruntime_too_old_for_plugins_is_named(plugin, monkeypatch):
    plugin(devices=1)
    monkeypatch.delattr(Runtime, "register_execution_provider_library")
    with pytest.raises(UnsupportedError, match=r"onnxruntime 1\.31\.1 does not take.*--upgrade"):
        rtx_device(0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(providers, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"ep-nv-tensorrt-rtx.*pip install 'vs-remaster\[tensorrt\]'"):
        rtx_device(0)


@pytest.mark.skipif(not find_spec(PLUGIN), reason=f"needs {PLUGIN}: pip install 'vs-remaster[tensorrt]'")
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: tests/test_gpu.py")
def test_the_real_plugin_says_that_there_is_no_card():
    for _ in range(2):
        with pytest.raises(UnsupportedError, match=r"driver of an NVIDIA card.*libcuda|as card 0 has none"):
            rtx_device(0)


def refuse(*usable: str):
    def check(provider: str, number: int) -> None:
        if provider not in usable:
            raise UnsupportedError(f"no {provider}")

    return check


def test_tensorrt_for_rtx_comes_first_and_cuda_last_and_aloud(monkeypatch, caplog):
    for usable, taken in ((("rtx", "tensorrt", "cuda"), "rtx"), (("tensorrt", "cuda"), "tensorrt")):
        monkeypatch.setattr(providers, "check_provider", refuse(*usable))
        assert usable_tensorrt(0) == taken and not caplog.records
    monkeypatch.setattr(providers, "check_provider", refuse("cuda"))
    assert usable_tensorrt(0) == "cuda"
    assert "CUDA runs the graphs. no rtx; no tensorrt" in caplog.text and caplog.records[0].levelname == "WARNING"
    monkeypatch.setattr(providers, "check_provider", refuse())
    with pytest.raises(UnsupportedError, match="cannot run here: no rtx; no tensorrt; use engine torch"):
        usable_tensorrt(0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: tests/test_gpu.py")
def test_an_engine_without_a_gpu_says_what_is_missing_before_the_first_frame():
    with pytest.raises(UnsupportedError, match=r"'tensorrt' cannot run here: TensorRT for RTX .*use engine torch"):
        onnx_engine(build("restorer"), "cuda", "fp32", "tensorrt")
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(UnsupportedError, match="onnxruntime-gpu"):
            check_provider(provider, 0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_of_the_plugin(plugin, precision, tmp_path, monkeypatch):
    """What it is told: the card, a folder for what it compiles, and sizes; windows are filled up to one length."""
    monkeypatch.setattr(sessions, "cache_folder", lambda: tmp_path)
    ort = plugin(devices=1, cards=((8, 9),))
    engine = onnx_engine(build("restorer"), "cuda", precision, "tensorrt")
    assert not ort.opened and engine.home == "cpu"
    for count in (2, 3, 16):
        luma = torch.rand(count, 1, 48, 64, generator=torch.Generator().manual_seed(0))
        assert engine.restore(luma, thumbnails(luma[None])[0], Halo(0, 0))[0].shape == luma.shape
    ((*sizes, (devices, settings)),) = ort.opened  # one session for all
    net = engine.net
    assert dict(sizes) == {"seen": 16 + 2 * net.spatial_radius, "frames": 16 + 40, "height": 48, "width": 64}
    folder = Path(settings["nv_runtime_cache_path"])
    assert devices == ort.devices and folder.is_dir() and folder.is_relative_to(tmp_path / "tensorrt")
    assert "rtx0.5.0" in folder.parent.name and folder.name.endswith("-restore") and precision in folder.name


def test_a_graph_that_it_cannot_prepare_is_an_error_of_ours(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "cache_folder", lambda: tmp_path)
    plugin(devices=1, cards=((8, 9),))

    def fail(*given):
        raise RuntimeError("[ONNXRuntimeError] : 11 : EP_FAIL : engine cannot be built\nand more")

    monkeypatch.setattr(Runtime, "InferenceSession", fail)
    with pytest.raises(UnsupportedError, match=r"cannot prepare a graph: .*cannot be built; use engine torch$"):
        sessions.Session(b"", "rtx", "cuda", "x")._create({}, {})


def test_filling_runs_in_pytorch_where_onnxruntime_has_no_cuda(monkeypatch):
    monkeypatch.setattr(providers, "check_provider", refuse("rtx"))
    assert isinstance(make_fill("tensorrt", "cuda:0"), Fill)


def test_make_engine_asks_for_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: tests/test_gpu.py")
    with pytest.raises(UnsupportedError, match="'cuda' is not there"):
        make_engine(build("restorer"), "tensorrt", "cuda", "auto")


def test_tensorrt_for_rtx_compiles_the_graphs():
    """For a card with compute capability 8.9, which need not be here."""
    trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install tensorrt-rtx")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    for kind in ("restorer", "sharpener", "colorizer"):
        net = build(kind)
        for part, graph in graphs(net, "fp16").items():
            if part in ("restore", "sharpen", "decode"):
                flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
                network = builder.create_network(flags)
                parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
                file = folded(to_onnx(graph, {}), film_sizes(net, 48, 64, net.block))
                assert parser.parse(file), str(parser.get_error(0))
                settings = builder.create_builder_config()
                settings.num_compute_capabilities = 1
                settings.set_compute_capability(trt.ComputeCapability.SM89, 0)
                assert len(bytes(builder.build_serialized_network(network, settings))) > 100_000


def test_engines_ahead_of_time_are_those_of_the_film(monkeypatch):
    """Film that is enlarged needs the graph that enlarges, and colour is then computed from the larger picture."""
    ran, seen = {}, []

    def on_the_cpu(options):
        ran[type(options)] = options
        return replace(options, device="cpu", engine="torch", precision="fp32")

    class Coloring(Colorizer):
        def __init__(self, options):
            super().__init__(on_the_cpu(options))

        def colorize(self, luma, *rest):
            seen.append(luma.shape[-2:])
            return super().colorize(luma, *rest)

    monkeypatch.setattr(to_tensorrt, "Restorer", lambda options: Restorer(on_the_cpu(options)))
    monkeypatch.setattr(to_tensorrt, "Colorizer", Coloring)
    to_tensorrt.main(["--size", "64x48", "--scale", "2", "--restorer", "fast", "--colorizer", "fast"])
    assert {options.engine for options in ran.values()} == {"tensorrt"}
    assert ran[RestoreOptions].scale == 2 and seen == [(96, 128)]
