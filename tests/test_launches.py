"""How many kernels a GPU would be asked for: counted on a CPU, made to work in the large steps of a GPU."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vs_remaster.engines import pytorch
from vs_remaster.models import attention, colorizer, detail, layers, registration
from vs_remaster.models.layers import Halo
from vs_remaster.references.reference import Reference
from vs_remaster.remaster import ColorizeOptions, Colorizer, RestoreOptions, Restorer, restorer, worker
from vs_remaster.system.torch_private import has_fast_bf16

BLOCK = 16
# Height and width of the film, lines for colours. Colours of the large one take 43 kernels more.
SMALL, LARGE = (200, 264, 216), (400, 528, 432)
# as half precision on a GPU is; but a CPU that only imitates bfloat16 would take minutes
PRECISION = "bf16" if has_fast_bf16() else "fp32"


class Kernels(TorchDispatchMode):
    """Counts the operations that compute or copy: those that only look at memory in another way do not count."""

    def __init__(self):
        super().__init__()
        self.counted = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        given = {x.untyped_storage().data_ptr() for x in (*args, *(kwargs or {}).values()) if torch.is_tensor(x)}
        first = made[0] if isinstance(made, (tuple, list)) and made else made
        alias = torch.is_tensor(first) and first.untyped_storage().data_ptr() in given
        in_place = name.endswith("_") or "out" in (kwargs or {})
        if not name.startswith(("empty", "new_empty")) and (in_place or not alias):
            self.counted[name] += 1
        return made


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    for module in (attention, colorizer, detail, layers, registration, pytorch, restorer, worker):
        monkeypatch.setattr(module, "in_large_steps", lambda device: True)


def kernels_of_a_block(window, process, height, width):
    """Those of the second of two blocks, with its halo, which the first one has seen a part of."""
    frames = [torch.rand(1, height, width) for _ in range(2 * BLOCK + window.before + window.after)]
    halo = Halo(window.before, window.after)
    process(frames[:-BLOCK], halo)
    with Kernels() as kernels:
        process(frames[BLOCK:], halo)
    return kernels.counted


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.release)])
def test_restoring_a_block(size):
    restore = Restorer(RestoreOptions(model="fast", precision=PRECISION, device="cpu"))
    counted = kernels_of_a_block(restore.window, restore.process, *size[:2])
    assert counted.total() <= 160, counted.most_common()


@pytest.mark.parametrize(("size", "most"), [(SMALL, 457), pytest.param(LARGE, 500, marks=pytest.mark.release)])
def test_colouring_a_block(size, most):
    height, width, lines = size
    colorize = Colorizer(ColorizeOptions(model="fast", precision=PRECISION, device="cpu", lines=lines))
    memory = colorize.encode_references([Reference(str(i), torch.rand(3, height, width)) for i in range(2)])
    counted = kernels_of_a_block(
        colorize.window, lambda frames, halo: colorize.process(frames, memory, halo), height, width
    )
    assert counted.total() <= most, counted.most_common()
