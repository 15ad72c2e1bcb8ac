"""How near lost frames that are made anew come to the true ones.

    python -m export.lost_frames --data DATA

Every tenth frame of the clips of DATA/video/val is lost; with `--run 3` three in a row, with `--last` those at the end
of a scene. Beside what is made: the mean of both neighbours, weighted by time (at the end the last frame), and the
neighbours moved by OpenCV's DIS flow (preset MEDIUM) from each to the other. PSNR of luma in dB, the mean over frames,
then over clips. Markdown on stdout.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from export.evaluation.cases import Source
from export.scores import metrics
from export.scores.flow import DenseFlow, to_gray8, warp
from export.tables import progress, table
from vs_remaster.errors import RemasterError
from vs_remaster.models.layers import Halo
from vs_remaster.remaster.lost_frames import MOST, FrameMaker
from vs_remaster.system.process import take_over

_EVERY = 10


def with_flow(first: np.ndarray, last: np.ndarray, share: float) -> np.ndarray:
    """Two frames `[H, W]`, each moved by the flow from the other as far as the time between asks for, and averaged."""
    dense, pictures = DenseFlow(), (to_gray8(first), to_gray8(last))
    forward, back = dense(*pictures), dense(*pictures[::-1])
    return (1 - share) * warp(first, share * back) + share * warp(last, (1 - share) * forward)


def measure(luma: torch.Tensor, run: int, limit: int | None, last: bool = False) -> tuple[list[float], float]:
    """PSNR by method of lost frames of a clip `[T, 1, H, W]`, and the seconds that making one took."""
    maker = FrameMaker(block=run)
    reach = maker.window.before
    scores, took, made = [], 0.0, 0
    for first in range(_EVERY // 2, len(luma) - run, max(_EVERY, run + _EVERY // 2))[:limit]:
        low, high = max(0, first - reach), first + run if last else min(len(luma), first + run + reach)
        lost = range(first, first + run)
        shown = [(torch.zeros_like(luma[n]) if n in lost else luma[n], None, n in lost) for n in range(low, high)]
        started = time.perf_counter()
        ours = maker.process(shown, Halo(first - low, high - first - run))
        took, made = took + time.perf_counter() - started, made + run
        before, after = (luma[n, 0].numpy() for n in (first - 1, first + run))
        for n, (picture, _) in zip(lost, ours, strict=True):
            share = (n - first + 1) / (run + 1)
            if last:
                scores.append([_psnr(before, luma[n]), float("nan"), _psnr(picture[0].numpy(), luma[n])])
                continue
            ways = (1 - share) * before + share * after, with_flow(before, after, share), picture[0].numpy()
            scores.append([_psnr(way, luma[n]) for way in ways])
    return np.mean(scores, 0).tolist(), took / made


def _psnr(made: np.ndarray, truth: torch.Tensor) -> float:
    frame = torch.from_numpy(np.ascontiguousarray(made)).clamp(0, 1)
    return float(metrics.frame_psnr(frame[None, None], truth[None])[0])


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def evaluate(source: Source, options: argparse.Namespace) -> None:
    """Measure all clips and print the table."""
    rows, found = [], []
    for name, luma in source.read(options.lines, False, None, 2 * _EVERY):
        scores, seconds = measure(luma, options.run, options.frames, options.last)
        found.append([*scores, seconds])
        rows.append([name, *map(_shown, found[-1])])
        progress(" ".join(rows[-1]))
    means = np.mean(found, 0)
    rows.append(["mean", *map(_shown, means)])
    print(table(["clip", "mean of neighbours", "DIS flow", "ours", "seconds a frame"], rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends with status 2 where something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m export.lost_frames", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with video/val")
    parser.add_argument("--clips-folder", type=Path, nargs="+", default=[], metavar="PATH", help="clips in its place")
    parser.add_argument("--clips-from", default="val", metavar="NAME", help="folder of DATA/video (default: val)")
    parser.add_argument("--lines", type=int, default=272, metavar="N", help="short edge of the clips (default: 272)")
    parser.add_argument(
        "--run", type=int, choices=range(1, MOST + 1), default=1, help="lost frames in a row (default: 1)"
    )
    parser.add_argument("--last", action="store_true", help="a scene ends with them")
    parser.add_argument("--frames", type=int, metavar="N", help="at most so many gaps of each clip")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        evaluate(Source(options.data, options.clips_folder, folder=options.clips_from), options)
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    take_over()
    main()
