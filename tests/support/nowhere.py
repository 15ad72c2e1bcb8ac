"""A GPU of which there is only the name: it computes nothing, but it shows what would wait for this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.system.torch_private import map_tensors

NOWHERE = "cuda:7"  # constants that are kept for it are for no device that is there


class Waits(TorchDispatchMode):
    """Notes what no CUDA graph can hold: copies between this machine's memory and a device, and values and sizes that
    have to be known here."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        flat: list[Tensor] = []
        map_tensors(flat.append, (args, kwargs, made))
        name = function._schema.name
        apart = len({x.device.type for x in flat if x.ndim or "copy" in name}) > 1
        if apart or any(word in name for word in ("local_scalar", "nonzero", "masked_select", "unique")):
            self.noted.append(name)
        return made


def waits(run: Callable[[], Any]) -> list[str]:
    """What is noted the second time that work is done: then all that is made once is there."""
    run()
    with Waits() as seen:
        run()
    return seen.noted


def there(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=NOWHERE)


def on_a_gpu(engine: TorchEngine) -> TorchEngine:
    """The same on a device that computes nothing."""
    for layer in engine.net.modules():
        for name, x in layer._parameters.items():
            layer._parameters[name] = x if x is None else nn.Parameter(there(x))
        for name, x in layer._buffers.items():
            layer._buffers[name] = x if x is None else there(x)
    engine.device = engine.home = NOWHERE
    return engine
