"""How much weave is taken out, and how much of the camera's own motion with it.

    python -m export.steadiness --data DATA

The clips of DATA/video/val get weave that is known, grain and flicker, and are steadied. Where the camera stands, all
of the weave is to go. Where it moves, its motion as measured in the clean clip is to stay; what is taken out of the
clean clip itself is its change. All in pixels, root mean square of both directions, but `reach`, which no frame's weave
exceeds. The table is Markdown.
"""

from __future__ import annotations

import argparse
import time
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import torch

from export.damage.chance import Draw
from export.damage.wear import film_grain, weave
from export.evaluation.cases import Source
from export.scores import metrics
from export.tables import progress, table
from vs_remaster.errors import RemasterError
from vs_remaster.remaster.steadiness import Steadier

_SHARES = (0.5, 0.35)  # deviation of the weave by its reach, down and across, as in training damage
_STANDS = 0.1  # pixels a frame of the clean clip, root mean square, up to which its camera stands
_GRAIN_SIZE = 0.9  # sigma, pixels


def rms(x: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(x).mean()))


def steadied(luma: torch.Tensor) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """A clip `[T, 1, H, W]` without its weave, its shifts from frame to frame, and what was taken out, `[2, T]`."""
    made = Steadier().steady([(frame,) for frame in luma])
    frames = torch.stack([frame.planes[0] for frame in made])
    return frames, np.array([frame.shift for frame in made]).T, np.array([frame.weave for frame in made]).T


def damaged(luma: torch.Tensor, reach: float, memory: float, options: argparse.Namespace, draw: Draw):
    """A clip with weave, grain and flicker, and its weave `[2, T]`."""
    count = len(luma)
    path = np.stack([draw.wander(count, reach * share, memory) for share in _SHARES]).clip(-reach, reach)
    gain = torch.from_numpy(1 + options.flicker * draw.standard_normal(count)).float()[:, None, None, None]
    woven = weave(luma[None].clone(), path)[0] * gain
    if options.grain:
        sigma, amount = (np.full(count, value) for value in (_GRAIN_SIZE, options.grain))
        woven = film_grain(woven, sigma, amount, torch.Generator().manual_seed(draw.randint(1 << 30)))
    return woven.clamp(0, 1), path


def rows_of(name: str, luma: torch.Tensor, options: argparse.Namespace) -> list[dict]:
    """The figures of a clip with each weave."""
    _, shifts, taken = steadied(luma)
    speed = rms(shifts[:, 1:])
    rows = []
    for reach, memory in product(options.reach, options.memory):
        draw = Draw(zlib.crc32(f"{name} {reach} {memory}".encode()))
        woven, path = damaged(luma, reach, memory, options, draw)
        start = time.process_time()
        made, _, found = steadied(woven)
        took = time.process_time() - start
        left = path - found
        left -= left.mean(1, keepdims=True)
        rows.append(
            {
                "clip": name,
                "stands": speed < _STANDS,
                "speed": speed,
                "reach": reach,
                "memory": memory,
                "weave": rms(path),
                "left": rms(left),
                "weave_step": rms(np.diff(path)),
                "left_step": rms(np.diff(left)),
                "change": rms(np.diff(taken)),
                "detail": metrics.detail(made, woven).energy,
                "frames_a_second": len(luma) / took,
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m export.steadiness", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder with video/val in it")
    parser.add_argument("--clips-folder", type=Path, nargs="+", default=(), help="other videos, or folders of them")
    parser.add_argument("--clips", type=int, help="at most so many")
    parser.add_argument("--frames", type=int, help="at most so many of each")
    parser.add_argument("--lines", type=int, default=272, help="short edge, pixels (default: %(default)s)")
    parser.add_argument(
        "--reach", type=float, nargs="+", default=(0.3, 1.0, 3.0), help="largest weave, pixels (default: 0.3 1 3)"
    )
    parser.add_argument(
        "--memory", type=float, nargs="+", default=(0.4,), help="its correlation with the frame before (default: 0.4)"
    )
    parser.add_argument("--grain", type=float, default=0.03, help="as a share of white (default: %(default)s)")
    parser.add_argument("--flicker", type=float, default=0.05, help="deviation of the gain (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows: list[dict] = []
    try:
        source = Source(options.data, options.clips_folder, options.clips, options.frames)
        for name, luma in source.read(options.lines, in_color=False):
            rows += rows_of(name, luma, options)
            progress(f"{name}: done")
    except RemasterError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    head = [
        "clip",
        "camera, a frame",
        "reach",
        "memory",
        "weave",
        "left",
        "a frame",
        "left a frame",
        "change",
        "detail",
    ]
    figures = ("weave", "left", "weave_step", "left_step", "change", "detail")
    lines = [
        [row["clip"], f"{row['speed']:.2f}", f"{row['reach']:g}", f"{row['memory']:g}"]
        + [f"{row[figure]:.3f}" for figure in figures]
        for row in rows
    ]
    for label, stands in (("all that stand", True), ("all that move", False)):
        for reach, memory in product(options.reach, options.memory):
            some = [r for r in rows if r["stands"] is stands and (r["reach"], r["memory"]) == (reach, memory)]
            if some:
                means = [f"{np.mean([row[figure] for row in some]):.3f}" for figure in figures]
                lines.append([f"{label} ({len(some)})", "", f"{reach:g}", f"{memory:g}", *means])
    print(table(head, lines))
    pace = np.median([row["frames_a_second"] for row in rows])
    print(f"\nFrames for each second of processor time, median: {pace:.0f}")


if __name__ == "__main__":
    main()
