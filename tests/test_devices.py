"""Names of devices: what each becomes, and one clear error where it is not there.

Intel's and Apple's GPUs are played here; nobody has run the networks on one.
"""

from __future__ import annotations

import pytest
import torch

from vs_remaster.engines import choose_device, choose_precision, engine, make_engine, make_fill
from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.models import build
from vs_remaster.models.fill import Fill
from vs_remaster.models.layers import Halo
from vs_remaster.models.restorer import thumbnails
from vs_remaster.models.sharpener import softness


@pytest.fixture
def there(monkeypatch):
    """`there(cuda=2)`: this machine has these GPUs, and no others."""

    def make(**counts: int) -> None:
        for kind in ("cuda", "xpu"):
            monkeypatch.setattr(getattr(torch, kind), "is_available", lambda kind=kind: kind in counts)
            monkeypatch.setattr(getattr(torch, kind), "device_count", lambda kind=kind: counts.get(kind, 0))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in counts)

    return make


def test_devices_that_are_there(there):
    there(cuda=2, xpu=1, mps=1)
    for device in ("cpu", "cuda", "cuda:1", "xpu", "xpu:0", "mps"):
        assert choose_device(device) == device
    assert choose_device("auto") == "cuda"
    there(xpu=1, mps=1)
    assert choose_device("auto") == "cpu", "what nobody has tried is used when it is named"


@pytest.mark.parametrize(
    "device, said",
    [
        ("cuda:2", "2 CUDA devices found"),
        ("xpu", "0 XPU devices found"),
        ("mps", "0 MPS devices found"),
    ],
)
def test_devices_that_are_not_there(there, device, said):
    there(cuda=2)
    with pytest.raises(UnsupportedError, match=f"device '{device}' is not there: {said}; use --device cpu"):
        choose_device(device)


@pytest.mark.parametrize("device", ["gpu", "mps:0", "xpu:", "cuda:x", "hip", "cpu:0"])
def test_unknown_devices(device):
    with pytest.raises(InputError, match=f"unknown device '{device}'; use auto, cpu, cuda or cuda:0, xpu or"):
        choose_device(device)


def test_precision_of_each(monkeypatch):
    monkeypatch.setattr(engine, "has_fast_bf16", lambda: True)
    chosen = {device: choose_precision("auto", device) for device in ("cpu", "cuda:1", "xpu", "mps")}
    assert chosen == {"cpu": "bf16", "cuda:1": "fp16", "xpu": "fp16", "mps": "fp32"}
    assert choose_precision("fp16", "mps") == "fp16"


@pytest.mark.parametrize("device", ["xpu", "mps"])
@pytest.mark.parametrize("name", ["onnxruntime", "tensorrt"])
def test_onnxruntime_has_no_such_device(there, device, name):
    there(xpu=1, mps=1)
    with pytest.raises(InputError, match=f"engine '{name}' runs on cpu and cuda, not on '{device}'; use engine torch"):
        make_engine(build("restorer"), name, device, "auto")
    assert isinstance(make_fill("torch", device), Fill)


@pytest.mark.parametrize("device, home", [("xpu:1", "cpu"), ("mps", "cpu"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_where_pictures_come_out(device, home, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *there: self)
    assert TorchEngine(build("restorer"), device, "fp32").home == home


def test_what_is_made_comes_home():
    """Played by a device without contents."""
    luma, chroma = torch.rand(3, 1, 48, 64), torch.rand(1, 2, 48, 64) - 0.5
    restorer, sharpener, colorizer = (
        TorchEngine(build(name), "cpu", "fp32") for name in ("restorer", "sharpener", "colorizer")
    )
    restorer.home = sharpener.home = colorizer.home = "meta"
    made = restorer.restore(luma, thumbnails(luma[None])[0], Halo(1, 1))
    changed = sharpener.sharpen(luma, softness(luma[None])[0], Halo(1, 1), 2)
    colored = colorizer.colorize(luma, colorizer.encode([(luma[:1], chroma)]), Halo(1, 1))
    assert {x.device.type for x in (*made, changed, *colored)} == {"meta"}
    assert made[0].shape == (1, 1, 48, 64) and changed.shape == (1, 1, 96, 128) and colored[0].shape == (1, 2, 48, 64)
