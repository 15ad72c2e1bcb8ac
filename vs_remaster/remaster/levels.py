"""Black point, white point and gamma of a shot: brought to luma, to the chroma it came with, and found in a shot.

A restored film stays as gray as its print has faded. Levels are one curve for a whole shot, so nothing pumps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..color.matrices import fit_gamut
from .options import Levels

HEIGHT, WIDTH = 144, 192
"""Frames are measured at this size at most, where grain and dust are averaged away."""

_BAR, _STRAY = 0.08, 0.02  # luma that hardly any sample of a line or column of a black bar is above; how many may be
_EDGE = 0.05  # of height and width at each side: edges and round corners of the gate
_TAIL = 0.005  # of the samples that may be darker than the dark end, or brighter than the bright one
_FRAMES = 0.1  # of the frames that may reach beyond the ends of the shot
_LIT = 0.85  # of the shot's bright end: a frame below it fades in or out
_FLAT = 0.2  # between both ends: less is no picture that says what was black and white

_BLACK, _WHITE = 0.03, 0.9  # where the ends go: there they are in a good print, and little is clipped
_VEILED, _FOG = 0.2, 0.4  # dark ends: the first is black that has faded, the second is no black at all
_DIM, _NIGHT = 0.65, 0.45  # bright ends: the first is white that has faded, the second is no white at all
_GAIN = 2.0
_LEAST = 1.05  # gain below which a shot is left as it is


def levelled_luma(luma: Tensor, levels: Levels | None) -> Tensor:
    """Luma of any shape, nominally 0..1, with black at `low` and white at `high`; clipped to 0..1."""
    if levels is None:
        return luma
    out = ((luma - levels.low) / (levels.high - levels.low)).clamp(0, 1)
    return out if levels.gamma == 1 else out ** (1 / levels.gamma)


def levelled_chroma(chroma: Tensor, luma: Tensor, levels: Levels | None) -> Tensor:
    """The colours that luma came with, for the luma that was made of it.

    They gain as much contrast as the luma, as if R', G' and B' had been stretched alike, and are made paler where the
    luma cannot show them. Gamma leaves them alone.

    Args:
        chroma: `[..., 2, H, W]`, BT.709.
        luma: `[..., 1, H, W]`, what `levelled_luma` gave.
        levels: see `Levels`.
    """
    if levels is None:
        return chroma
    return fit_gamut(luma, chroma / (levels.high - levels.low))


class Ends(NamedTuple):
    """Luma of the dark and the bright end of a frame, 0..1: the darkest and the brightest half per cent are beyond."""

    dark: float
    bright: float


def measure(luma: Tensor) -> Ends:
    """Look at a frame for `find_levels`: without black bars, edges, grain, and dust.

    Args:
        luma: `[1, H, W]`, nominally 0..1.
    """
    size = min(HEIGHT, luma.shape[-2]), min(WIDTH, luma.shape[-1])
    small = F.adaptive_avg_pool2d(luma.float(), size)[0].cpu().numpy()
    for _ in ("lines", "columns"):
        lit = np.flatnonzero((small > _BAR).mean(1) > _STRAY)
        small = small[lit[0] : lit[-1] + 1].T if len(lit) else small.T
    rows, columns = (round(side * _EDGE) for side in small.shape)
    small = small[rows : small.shape[0] - rows, columns : small.shape[1] - columns]
    return Ends(*np.quantile(small, (_TAIL, 1 - _TAIL)).tolist())


def find_levels(frames: Iterable[Ends]) -> Levels | None:
    """Levels that give a faded shot the contrast of a good print.

    Its dark end goes to 0.03 and its bright end to 0.9, so at each end less than half a per cent of the picture is
    clipped in nine of ten frames, grain and edges left aside. Frames that fade in or out do not count. What may be
    meant stays: black is moved less and less from 0.2 to 0.4 (fog, snow), white from 0.65 to 0.45 (night); contrast is
    doubled at most; gamma is 1.

    Args:
        frames: of the whole shot, see `measure`.

    Returns:
        None where the shot would hardly change, or has no picture.
    """
    ends = np.array(list(frames), dtype=np.float64).reshape(-1, 2)
    lit = ends[ends[:, 1] >= _LIT * np.quantile(ends[:, 1], 1 - _FRAMES)]
    dark, bright = float(np.quantile(lit[:, 0], _FRAMES)), float(np.quantile(lit[:, 1], 1 - _FRAMES))
    if bright - dark < _FLAT:
        return None
    dark = dark if dark <= _VEILED else max(0.0, _VEILED * (_FOG - dark) / (_FOG - _VEILED))
    bright = bright if bright >= _DIM else _WHITE - (_WHITE - _DIM) * max(0.0, bright - _NIGHT) / (_DIM - _NIGHT)
    low = max(0.0, (dark - _BLACK) / (1 - _BLACK))
    high = min(1.0, max(low + (bright - low) / _WHITE, low + 1 / _GAIN))
    return Levels(round(low, 3), round(high, 3)) if high - low < 1 / _LEAST else None


class ShotLevels(NamedTuple):
    """Levels of the frames `first` to `last` (not included); None: they are left as they are."""

    first: int
    last: int
    levels: Levels | None


def levels_at(shots: Sequence[ShotLevels], frame: int) -> Levels | None:
    """Levels of a frame, from shots in order; None also where none holds it."""
    at = bisect_right(shots, frame, key=lambda shot: shot.first) - 1
    return shots[at].levels if at >= 0 and frame < shots[at].last else None
