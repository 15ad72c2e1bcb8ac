"""Which frames of a film are worth colouring by hand: a sharp one of each shot.

Two steps, so that memory does not depend on the pictures: `survey_sharpness` looks at every frame once and
keeps two numbers, `choose` picks from those. Whoever wants the pictures reads the film again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..remaster.scenes import CutDetector

_LINES = 256  # grain is averaged away at this height, blur is not
_LIMIT = 0.1  # of the Laplacian, in parts of white: a speck or a scratch counts no more than an edge of the scene
_AROUND = 2  # frames on each side that a frame's sharpness is compared with
EDGE = 4
"""Frames at both ends of a shot that are not picked: splices, flashes and the ends of dissolves lie there."""


@dataclass(frozen=True)
class FilmSharpness:
    """What is known of a film's frames: `sharpness` of each, and the numbers of those that start a shot (without 0)."""

    sharpness: list[float]
    cuts: list[int]


def sharpness(luma: Tensor) -> float:
    """How sharp a frame is: the variance of its Laplacian at 256 lines.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.

    Args:
        luma: `[1, H, W]`, nominally 0..1.

    Returns:
        0 for a flat picture; comparable between frames of one shot, not between shots.

    Raises:
        InputError: another shape or an integer tensor.
    """
    if luma.ndim != 3 or luma.shape[0] != 1 or not luma.numel() or not luma.is_floating_point():
        raise InputError(f"luma must be a float tensor [1, H, W], got {tuple(luma.shape)} {luma.dtype}")
    x = luma[None].float().cpu().nan_to_num(0.0, 1.0, 0.0)
    height, width = x.shape[-2:]
    if height > _LINES:
        size = _LINES, max(1, round(width * _LINES / height))
        x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    around = x[..., 1:-1, :-2] + x[..., 1:-1, 2:] + x[..., :-2, 1:-1] + x[..., 2:, 1:-1]
    laplacian = (around / 4 - x[..., 1:-1, 1:-1]).clamp(-_LIMIT, _LIMIT)
    return float(laplacian.var(correction=0))


def survey_sharpness(lumas: Iterable[Tensor]) -> FilmSharpness:
    """Look at every frame of a film once: luma `[1, H, W]`, nominally 0..1, in order."""
    detector, values = CutDetector(), []
    for luma in lumas:
        detector.push(luma)
        values.append(sharpness(luma))
    detector.finish()
    return FilmSharpness(values, detector.cuts)


def choose(film: FilmSharpness, count: int = 0) -> list[int]:
    """Pick sharp frames.

    A frame that is sharper than its neighbours is more likely dirty than sharp: what counts is how sharp its
    surroundings are, less how far it stands out from them. The ends of a shot are avoided.

    Args:
        film: see `survey_sharpness`.
        count: how many; 0: one of each shot. Fewer than there are shots: one of each of the longest; more: the longer
            shots are divided into equal parts. Never more than there are frames.

    Returns:
        Frame numbers, ascending.

    Raises:
        InputError: no frames, or a negative count.
    """
    length = len(film.sharpness)
    if not length:
        raise InputError("there are no frames to pick from")
    if count < 0:
        raise InputError(f"count must be 0 (one of each shot) or more, got {count}")
    shots = list(pairwise([0, *film.cuts, length]))
    if 0 < count < len(shots):
        shots = sorted(sorted(shots, key=lambda shot: (shot[0] - shot[1], shot))[:count])
    calm = steady(film.sharpness, shots)
    parts = [part for shot, n in zip(shots, _divide(shots, count)) for part in _parts(*_inside(*shot, n), n)]
    return [max(range(*part), key=lambda n: (calm[n], -abs(2 * n + 1 - sum(part)), -n)) for part in parts]


def steady(values: Sequence[float], shots: Sequence[tuple[int, int]]) -> dict[int, float]:
    """The sharpness of a frame's surroundings in its shot (their median), less the distance of its own from that."""
    out = {}
    for start, stop in shots:
        for n in range(start, stop):
            near = sorted(values[max(start, n - _AROUND) : min(stop, n + _AROUND + 1)])
            median = (near[(len(near) - 1) // 2] + near[len(near) // 2]) / 2
            out[n] = median - abs(values[n] - median)
    return out


def _divide(shots: Sequence[tuple[int, int]], count: int) -> list[int]:
    """How many frames to pick of each shot: one, and what is left goes where frames are farthest apart."""
    picks = [1] * len(shots)
    queue = [(-(stop - start) / 2, i) for i, (start, stop) in enumerate(shots)]
    heapq.heapify(queue)
    for _ in range(count - len(shots)):
        while queue:
            _, i = heapq.heappop(queue)
            start, stop = shots[i]
            if picks[i] < stop - start:
                picks[i] += 1
                heapq.heappush(queue, (-(stop - start) / (picks[i] + 1), i))
                break
    return picks


def _inside(start: int, stop: int, picks: int) -> tuple[int, int]:
    """A shot without its ends; a short one keeps half of its frames at least, and as many as are picked."""
    edge = max(0, min(EDGE, (stop - start) // 4, (stop - start - picks) // 2))
    return start + edge, stop - edge


def _parts(start: int, stop: int, count: int) -> list[tuple[int, int]]:
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return list(pairwise(edges))
