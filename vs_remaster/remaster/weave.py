"""What of a film's motion is weave: the film's play in the gate, and not the camera.

Shifts from frame to frame are the sum of three things: the camera, which stands, pans evenly or swings smoothly; the
weave, which comes back to its middle within a few frames; and what was measured wrongly. How much of each a shot has is
not known. So a bank of Gaussian processes, one for each combination, says how likely the shifts are under it and what
weave it expects; these are averaged, each as its likelihood weighs (Rasmussen and Williams 2006, equations 2.23 and
2.30). Nothing is searched for, nothing is iterated, and a shot that has no weave is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product

import numpy as np

from .shifts import Shift

REACH = 40
"""Frames each way that a frame's weave is known by."""
LIMIT = 0.02
"""No more than so much of the picture's shorter side is taken for weave."""

_LINES = 400  # the deviations below are pixels of pictures of so many lines
_PAN = 3.0  # deviation of an even pan, pixels a frame
_SWINGS = ((0.1, 6.0), (0.1, 15.0), (0.3, 6.0), (0.3, 15.0), (1.0, 6.0), (1.0, 15.0), (3.0, 6.0), (3.0, 15.0))
# ... of a swing, pixels a frame, and for how many frames it is about the same
_WEAVES = (0.08, 0.2, 0.5, 1.2)  # ... of the weave, pixels ...
_MEMORIES = (0.0, 0.4, 0.75)  # ... and how much of it is left a frame later
_ERRORS = (0.03, 0.12)  # ... of a shift as measured, pixels
_STANDS = 20.0  # how much likelier than each of its motions it is held that the camera stands
_BESIDE = 2  # frames each way, whose median tells what cannot be true


class _Bank:
    """Every kind of shot that is thought of, for as many shifts as a frame is known by at most."""

    def __init__(self) -> None:
        count = 2 * REACH
        lag = np.arange(count + 1)
        own = (lag == 0).astype(float)
        cameras = [0 * own, _PAN**2 + 0 * own]
        cameras += [_PAN**2 + u**2 * np.exp(-0.5 * (lag / length) ** 2) for u, length in _SWINGS]
        self.weaves = [s**2 * a**lag for s, a in product(_WEAVES, _MEMORIES)] + [0.01**2 * own]
        kinds = list(product(cameras, range(len(self.weaves)), _ERRORS))
        self.weave = np.array([weave for _, weave, _ in kinds])
        made = [camera + _of_shifts(self.weaves[weave]) + error**2 * own for camera, weave, error in kinds]
        apart = np.abs(lag[:count, None] - lag[:count])
        self.prior = np.array([[0.0 if camera.any() else np.log(_STANDS)] for camera, _, _ in kinds])
        factors = np.linalg.cholesky(np.stack(made)[:, apart])
        self.scales = np.log(np.diagonal(factors, axis1=1, axis2=2)).cumsum(1)
        self.whitening = np.linalg.inv(factors).astype(np.float32)


def _of_shifts(weave: np.ndarray) -> np.ndarray:
    """The covariance of the differences of something from its own, both by lag."""
    far = np.append(weave[1:], 0.0)
    near = np.append(weave[1], weave[:-1])
    return 2 * weave - far - near


@cache
def _bank() -> _Bank:
    return _Bank()


@lru_cache(maxsize=4 * REACH)
def _expected(count: int, at: int) -> np.ndarray:
    """What whitened shifts `[count]` say of the weave of frame `at` under each kind, `[kinds, count]`."""
    bank = _bank()
    ahead = np.abs(np.arange(1, count + 1) - at)
    behind = np.abs(np.arange(count) - at)
    shared = np.stack([weave[ahead] - weave[behind] for weave in bank.weaves])[bank.weave]
    return (bank.whitening[:, :count, :count] @ shared[..., None].astype(np.float32))[..., 0]


def weave_at(shifts: Sequence[Shift], at: int, size: tuple[int, int]) -> Shift:
    """The weave of one frame: where its picture lies, seen from where the camera would have put it.

    Args:
        shifts: of each frame of a shot since the one before, pixels; the first one is not looked at.
        at: number of the frame in them. Frames more than `REACH` from it are not looked at.
        size: lines and columns of the frames.

    Returns:
        The weave in pixels, at most `LIMIT` of the shorter side each way.
    """
    first, last = max(0, at - REACH), min(len(shifts) - 1, at + REACH)
    if last == first:
        return Shift(0.0, 0.0)
    unit, limit = min(size) / _LINES, LIMIT * min(size)
    moved = np.array(shifts[first + 1 : last + 1], np.float64)
    moved = _believed(moved, 2 * limit) / unit
    bank, count = _bank(), len(moved)
    seen = bank.whitening[:, :count, :count] @ moved.astype(np.float32)
    weave = np.einsum("kma,km->ka", seen, _expected(count, at - first)).astype(np.float64)
    likely = -0.5 * np.square(seen.astype(np.float64)).sum(1) - bank.scales[:, count - 1, None] + bank.prior
    share = np.exp(likely - likely.max(0))
    found = (share * weave).sum(0) / share.sum(0) * unit
    return Shift(*np.clip(found, -limit, limit).tolist())


def _believed(moved: np.ndarray, most: float) -> np.ndarray:
    """Shifts `[n, 2]`, with the median of those beside in place of what is farther than `most` from it."""
    padded = np.pad(moved, ((_BESIDE, _BESIDE), (0, 0)), mode="reflect" if len(moved) > _BESIDE else "edge")
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _BESIDE + 1, axis=0), axis=-1)
    return np.where(np.abs(moved - median) > most, median, moved)
