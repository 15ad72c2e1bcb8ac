"""What is measured on the frames of a film: numbers that can be taken while frames pass by."""

from __future__ import annotations

import functools
import math
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..color.samples import Samples, colorless, decode
from ..video.planes import Frame

LINES = 480
"""Shorter edge at which frames are measured; smaller ones as they are."""

_TILES = (8, 6)  # columns and rows for which flicker is measured
_NEAR = 4  # frames on each side that a frame's brightness is compared with: a third of a second in all
_LOCAL = 31  # pixels; what differs over an area as wide is tone, not damage
_CHANGED = 0.06  # of white: the least that counts as repaired ...
_OVER_GRAIN = 4  # ... and how many standard deviations of the grain that was taken off it has to exceed
_MAD = 1.4826  # from the median of absolute values to the standard deviation of normal noise


@dataclass(frozen=True)
class Glance:
    """A frame as it is measured: luma `[h, w]`, 0..1, and chroma `[2, h, w]`, BT.709, -0.5..0.5, None for gray."""

    luma: np.ndarray
    chroma: np.ndarray | None


def shrunk(frame: Frame, samples: Samples, size: tuple[int, int], *, chroma: bool = True) -> Glance:
    """A frame at another size, (width, height).

    Planes are resized before they are converted, which is what keeps large frames cheap.
    """
    colored = chroma and not colorless(frame.planes, samples) and samples.kind != "gray"
    wanted = frame.planes if colored or samples.kind == "rgb" else frame.planes[:1]
    planes = [resized(plane, size) for plane in wanted]
    luma, colors = decode(planes, replace(samples, subsampling=(0, 0)), chroma=colored)
    return Glance(luma[0].numpy(), None if colors is None else colors.numpy())


def glance(frame: Frame, samples: Samples) -> Glance:
    """A frame with a shorter edge of `LINES` pixels at most."""
    height, width = frame.planes[0].shape
    scale = min(1.0, LINES / min(height, width))
    return shrunk(frame, samples, (max(1, round(width * scale)), max(1, round(height * scale))))


def resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plane `[h, w]` at another size, (width, height)."""
    if plane.shape[::-1] == size:
        return plane
    smaller = plane.shape[1] > size[0] or plane.shape[0] > size[1]
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def local_change(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the pixels of luma `[h, w]` that were changed by something local: dust, scratches, stains.

    What changed alike over a whole area is tone, and what is within a few standard deviations of the change is grain.

    Returns:
        0..1; an estimate, for a film whose restorer's mask is not known, and a low one: faint damage is left out (half
        to two thirds of what the masks say, on a synthetic and a real film).
    """
    change = after - before
    size = min(_LOCAL, max(1, min(change.shape) // 4) * 2 + 1)
    change = np.abs(change - cv2.blur(change, (size, size)))
    grain = _MAD * float(np.median(change[::2, ::2]))
    return float((change > max(_CHANGED, _OVER_GRAIN * grain)).mean())


def tiles(luma: np.ndarray) -> np.ndarray:
    """Mean luma of 8 x 6 parts of a picture, `[48]`."""
    return cv2.resize(luma, _TILES, interpolation=cv2.INTER_AREA).astype(np.float64).ravel()


def saturation(chroma: np.ndarray | None) -> float:
    """Mean distance of chroma `[2, h, w]` from gray, 0..0.7; 0 for gray."""
    return 0.0 if chroma is None else float(np.hypot(chroma[0], chroma[1]).mean())


@functools.cache
def _residual(count: int) -> np.ndarray:
    """`[count, count]`: what is left of `count` values beside their straight line, scaled so that noise of standard
    deviation 1 leaves 1 at every place."""
    if count < 3:
        return np.zeros((count, count))
    line = np.stack([np.ones(count), np.arange(count)], 1)
    left = np.eye(count) - line @ np.linalg.pinv(line)
    return left / np.sqrt(np.diag(left))[:, None]


class Flicker:
    """How much brightness jumps from frame to frame within a shot.

    Each part of the picture is compared with the straight line through its neighbours in time, so that fades are none,
    and the frame's jump is the median over all parts, so that things that move are none. Parts count by their light:
    black borders do not flicker.
    """

    def __init__(self) -> None:
        self._near: deque[np.ndarray] = deque(maxlen=2 * _NEAR + 1)
        self._behind = 0  # frames taken that have no value yet

    def push(self, parts: np.ndarray) -> list[float]:
        """Take a frame's `tiles`; return the jumps that are known now, signed, in parts of white."""
        self._near.append(parts)
        self._behind += 1
        return [self._jump(len(self._near) - self._behind)] if self._behind > _NEAR else []

    def finish(self) -> list[float]:
        """End the shot; return the jumps of its last frames."""
        left = [self._jump(len(self._near) - self._behind) for _ in range(self._behind)]
        self._near.clear()
        return left

    def _jump(self, place: int) -> float:
        self._behind -= 1
        near = np.stack(self._near)
        jumps = _residual(len(near))[place] @ near
        order = np.argsort(jumps)
        light = np.cumsum(near[:, order].mean(0).clip(0) + 1e-6)
        return float(jumps[order[np.searchsorted(light, light[-1] / 2)]])


class Spread:
    """Mean and spread of a vector over time (Welford's method)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0

    def push(self, value: np.ndarray) -> None:
        """Take the next value."""
        self.count += 1
        off = value - self.mean
        self.mean = self.mean + off / self.count
        self._squares = self._squares + off * (value - self.mean)

    @property
    def distance(self) -> float:
        """Root of the mean squared distance of the values from their mean."""
        return math.sqrt(float(np.sum(self._squares)) / self.count) if self.count else 0.0


class Curve:
    """A value over time in a bounded number of steps: they become longer as the film does.

    Args:
        most: steps held at most; even.

    Attributes:
        first: number of the frame that the curve begins with.
        step: frames a step.
    """

    def __init__(self, most: int = 600) -> None:
        self.first = 0
        self.step = 1
        self._most = most
        self._sums: list[float] = []
        self._counts: list[int] = []

    def add(self, frame: int, value: float) -> None:
        """Count a frame's value in; frames may be left out, and may come a little late."""
        frame -= self.first
        while frame // self.step >= self._most:
            self.step *= 2
            self._sums = [sum(self._sums[i : i + 2]) for i in range(0, len(self._sums), 2)]
            self._counts = [sum(self._counts[i : i + 2]) for i in range(0, len(self._counts), 2)]
        missing = frame // self.step + 1 - len(self._sums)
        if missing > 0:
            self._sums += [0.0] * missing
            self._counts += [0] * missing
        self._sums[frame // self.step] += value
        self._counts[frame // self.step] += 1

    @property
    def values(self) -> list[float | None]:
        """The mean of each step, None where no frame was counted."""
        return [total / count if count else None for total, count in zip(self._sums, self._counts)]
