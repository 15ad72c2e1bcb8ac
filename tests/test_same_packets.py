"""The same frames give the same packets, whatever lies in memory and however many processors there are."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vs_remaster.output.codecs import TABLE
from vs_remaster.video.planes import frame_of

ROOT = Path(__file__).parents[1]
DEPTHS = [f"{codec}:{bits}" for codec, row in TABLE.items() for bits in row.depths if codec != "dpx" or bits == 16]


def panned(path: Path, count: int, size: tuple[int, int]) -> Path:
    """A gray film without loss: grainy noise that moves left, so that vectors point over the edges of the picture."""
    width, height = size
    rng = np.random.default_rng(1)
    wide = rng.normal(0, 1, (height + count, width + 3 * count))
    for axis in (0, 1):
        wide = sum(np.roll(wide, step, axis) for step in range(-4, 5)) / 3
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "gray16le"
        for n in range(count):
            view = wide[n // 2 : n // 2 + height, 2 * n : 2 * n + width] + rng.normal(0, 0.1, (height, width))
            picture = frame_of([np.clip(32768 + 9000 * view, 4096, 60160).astype(np.uint16)], "gray16le")
            picture.pts = n
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def encoded(film: Path, folder: Path, wanted: list[str], perturb: int, processors: int) -> dict[str, str]:
    """What a process of its own makes; glibc fills memory that it hands out and takes back with `perturb`."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.encode_all", film, folder, str(processors), *wanted]
    env = {**os.environ, "MALLOC_PERTURB_": str(perturb)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def differing(film: Path, folder: Path, wanted: list[str], runs: list[tuple[int, int]]) -> dict[str, int]:
    """How many different films each codec made of one, where it is more than one."""
    made = [encoded(film, folder / f"{n}", wanted, *run) for n, run in enumerate(runs)]
    counts = {name: len(Counter(run[name] for run in made)) for name in wanted}
    return {name: count for name, count in counts.items() if count > 1}


def test_the_same_packets_in_any_memory(tmp_path):
    """x264 took some of what it decides by out of memory that nobody had written to, in pictures as wide as this."""
    film = panned(tmp_path / "film.mkv", 16, (162, 114))
    wanted = ["x264:8", "x264:10", "x265:8", "ffv1:16", "prores:10", "png:16", "tiff:16", "dpx:16"]
    assert not differing(film, tmp_path, wanted, [(0, 2), (85, 1)])


@pytest.mark.release
@pytest.mark.parametrize("size", [(322, 242), (321, 241), (640, 480)])
def test_twenty_runs_of_every_codec(tmp_path, size):
    runs = [(perturb, 1 + n % (os.cpu_count() or 1)) for n, perturb in enumerate(range(0, 256, 13))]
    wanted = [name for name in DEPTHS if all(a >= b for a, b in zip(size, TABLE[name.split(":")[0]].smallest))]
    assert not differing(panned(tmp_path / "film.mkv", 10, size), tmp_path, wanted, runs)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="of Intel's and AMD's processors")
@pytest.mark.parametrize("torch_has", [None, "default"])  # what its kernels use may be limited by the environment
def test_x264_without_avx512(torch_has):
    code = (
        "from vs_remaster.output.codecs import encoder_options\n"
        "print(encoder_options('x264', joined=False)['x264-params'])"
    )
    env = {**os.environ, **({"ATEN_CPU_CAPABILITY": torch_has} if torch_has else {})}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    newest = "avx2" if not torch_has and torch.backends.cpu.get_cpu_capability().startswith("AVX") else "ssse3"
    assert told.stdout.strip().split(":")[-1] == f"asm={newest}"
