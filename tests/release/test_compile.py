"""The engine `compile`, which takes a minute or more for each network and needs a C++ compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from vs_remaster.engines.pytorch import TorchEngine
from vs_remaster.models.layers import NO_HALO, Halo
from vs_remaster.models.restorer import thumbnails
from vs_remaster.weights import load_model

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")


def test_compiled_restorer_equals_the_plain_one():
    plain, compiled = (TorchEngine(load_model("restorer", "fast"), "cpu", "fp32", c) for c in (False, True))
    luma = torch.rand(44, 1, 48, 64, generator=torch.Generator().manual_seed(1))
    for part, halo in ((luma, NO_HALO), (luma[:41], Halo(20, 20)), (luma, NO_HALO)):
        thumbs = thumbnails(part[None])[0]
        for a, b in zip(plain.restore(part, thumbs, halo), compiled.restore(part, thumbs, halo), strict=True):
            assert (a - b).abs().max() < 1e-4


def test_compiled_colorizer_equals_the_plain_one():
    plain, compiled = (TorchEngine(load_model("colorizer", "fast"), "cpu", "fp32", c) for c in (False, True))
    random = torch.Generator().manual_seed(2)
    luma = torch.rand(6, 1, 48, 64, generator=random)
    pictures = [(torch.rand(1, 1, 48, 64, generator=random), torch.rand(1, 2, 48, 64, generator=random) - 0.5)]
    made = [engine.colorize(luma, engine.encode(pictures), Halo(2, 1)) for engine in (plain, compiled)]
    for a, b in zip(*made, strict=True):
        assert (a - b).abs().max() < 1e-4


def test_without_a_compiler_the_error_says_what_to_install():
    code = (
        "import os; os.environ |= {'CXX': 'no-such-compiler', 'TORCHINDUCTOR_FORCE_DISABLE_CACHES': '1'}\n"
        "import torch\n"
        "from vs_remaster.remaster import RestoreOptions, Restorer\n"
        "Restorer(RestoreOptions(engine='compile', device='cpu')).restore(torch.rand(2, 1, 48, 64))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UnsupportedError: engine 'compile' cannot compile this network here" in told.stderr.splitlines()[-1]
    assert "install a C++ compiler" in told.stderr
