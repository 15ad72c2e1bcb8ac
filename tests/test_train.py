"""Training end to end on a handful of made-up clips: it learns, resumes, and its weights load in the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from export.losses import colorize_loss, restore_loss, temporal
from vs_remaster.models.colorizer import ColorizerOutput
from vs_remaster.models.restorer import RestorerOutput
from vs_remaster.weights import load_weights

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Moving coloured gradients as video/train and video/val."""
    root = tmp_path_factory.mktemp("data")
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    for name, seed in (("train/a", 1), ("train/b", 2), ("val/c", 3)):
        path = root / "video" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 2_000_000
            for t in range(12):
                wave = np.sin((x * seed + y * 2 + 5 * t) / 17)
                rgb = np.stack([128 + 90 * wave, 120 + 60 * np.cos(y / 11 + seed), 128 - 80 * wave], 2)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb.clip(0, 255).astype(np.uint8), format="rgb24")))
            out.mux(stream.encode())
    return root


def train(task: str, data: Path, out: Path, *more: str) -> str:
    command = [sys.executable, "-m", "export.train", task, "--data", str(data), "--out", str(out)]
    command += [
        "--size",
        "64",
        "--frames",
        "3",
        "--batch",
        "2",
        "--lines",
        "96",
        "--threads",
        "1",
        "--photo",
        "0",
        *more,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(("task", "network"), [("restore", "restorer"), ("colorize", "colorizer")])
def test_training_writes_weights_that_the_engine_loads_and_resumes(task, network, data, tmp_path):
    train(task, data, tmp_path, "--steps", "3")
    net = load_weights(tmp_path / f"{network}-last.safetensors", network)
    assert all(v.isfinite().all() for v in net.state_dict().values())
    rows = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == 3
    assert any((tmp_path / "pictures").iterdir())
    assert "resumed at step 3" in train(task, data, tmp_path, "--steps", "5", "--resume")
    assert json.loads((tmp_path / "validation.jsonl").read_text().splitlines()[-1])["step"] == 5


def test_an_unknown_setting_is_refused(data, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "export.train", "restore", "--speed", "9"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "--speed" in done.stderr


def test_a_perfect_restoration_has_almost_no_loss_and_a_bad_one_more():
    target, mask = torch.rand(1, 4, 1, 16, 16), (torch.rand(1, 4, 1, 16, 16) > 0.9).float()
    logits = 40 * (mask - 0.5)
    perfect = RestorerOutput(target, mask, target, logits, target)
    good = {k: float(v) for k, v in restore_loss(perfect, target, mask).items()}
    bad = {k: float(v) for k, v in restore_loss(perfect._replace(luma=target.flip(1)), target, mask).items()}
    assert sum(good.values()) < 0.01
    assert bad["pixel"] > 0.1 and bad["temporal"] > 0.05 and bad["mask"] == good["mask"]


def test_colour_that_is_not_in_the_references_is_not_asked_of_the_matching():
    target = torch.rand(2, 2, 2, 16, 16) - 0.5
    small = [torch.zeros(2, 2, 2, s, s) for s in (4, 2, 4)]
    out = ColorizerOutput(target, *small, torch.zeros(2, 2, 1, 2, 2), [])
    both = colorize_loss(out, target, torch.ones(2))
    none = colorize_loss(out, target, torch.zeros(2))
    assert float(none["coarse"]) == float(none["refined"]) == 0 < float(both["coarse"])
    assert float(both["pixel"]) < 0.05


def test_temporal_loss_of_a_constant_error_is_zero():
    target = torch.rand(1, 5, 1, 8, 8)
    assert float(temporal(target + 0.2, target)) < 1e-6
    assert float(temporal(target[:, :1], target[:, :1])) == 0
