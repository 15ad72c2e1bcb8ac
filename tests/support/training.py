"""Trainings of a few steps on a handful of made-up clips."""

from __future__ import annotations

import json
import runpy
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
import pytest
import torch
from torch.backends import cudnn

from export.train import main
from vs_remaster.models.papers.flow import SpyNet

SMALL = "--size 32 --frames 3 --batch 2 --lines 48 --threads 1 --photo 0 --log-steps 1 --device cpu".split()
WHOLE = "--frames 3 --batch 2 --lines 48 --threads 1 --log-steps 1 --device cpu".split()  # pictures, not crops
NARROW = {
    "ours": [],
    "flicker": [],
    "matching": [],
    "palette": ["--config", json.dumps({"colors": 16, "widths": [16, 16, 16, 16]})],
    "deepremaster": ["--config", json.dumps({"width": 0.125})],
    "rtn": ["--config", json.dumps({"embedding": 8, "heads": [2], "depths": [2], "flow_scale": 4, "shrink": 2})],
}


def write_clips(root: Path, size: tuple[int, int] = (128, 96), frames: int = 12) -> Path:
    """Moving coloured gradients as video/train and video/val."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for name, seed in (("train/a", 1), ("train/b", 2), ("val/c", 3)):
        path = root / "video" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
            for t in range(frames):
                wave = np.sin((x * seed + y * 2 + 5 * t) / 17)
                rgb = np.stack([128 + 90 * wave, 120 + 60 * np.cos(y / 11 + seed), 128 - 80 * wave], 2)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb.clip(0, 255).astype(np.uint8), format="rgb24")))
            out.mux(stream.encode())
    return root


def write_flow(path: Path) -> Path:
    """SPyNet with random weights, as a file that names its entries as the published one does."""
    parts = ([*key.split(".", 2), value] for key, value in SpyNet().state_dict().items())
    torch.save({f"basic_module.{level}.basic_module.{rest}": value for _, level, rest, value in parts}, path)
    return path


def arguments(task: str, data: Path, out: Path, *more: str) -> list[str]:
    """What `export.train` is given for a small training; what comes later counts."""
    return [task, "--data", str(data), "--out", str(out), *(WHOLE if "matching" in more else SMALL), *more]


def command(task: str, data: Path, out: Path, *more: str) -> list[str]:
    """The same as a program."""
    return [sys.executable, "-m", "export.train", *arguments(task, data, out, *more)]


def train(task: str, data: Path, out: Path, *more: str) -> None:
    """Train in this process, and leave PyTorch as it was."""
    threads, precision, benchmark = torch.get_num_threads(), torch.get_float32_matmul_precision(), cudnn.benchmark
    many = cv2.getNumThreads()
    cv2.setNumThreads(1)  # threads that have worked do not live on in the processes that make batches
    try:
        with torch.random.fork_rng(devices=[]):
            main(arguments(task, data, out, *more))
    finally:
        cv2.setNumThreads(many)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cudnn.benchmark = benchmark


def refused(*argv: object) -> str | int:
    """What the program ends with where it must fail: the line it says, or the status of a command line that is wrong.

    It runs in this process, as `python -m export.train` does."""
    program = [
        patch.object(sys, "argv", ["export.train", *map(str, argv)]),
        patch("vs_remaster.system.process.take_over"),
    ]
    with program[0], program[1], warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        warnings.simplefilter("ignore", RuntimeWarning)  # the module is imported already
        runpy.run_module("export.train", run_name="__main__")
    return end.value.code


def curve(out: Path, file: str = "training") -> list[dict]:
    """The lines of a curve."""
    return [json.loads(line) for line in (out / f"{file}.jsonl").read_text().splitlines()]
