"""A frame made from those around it, along the motion of the scene.

Dense optical flow (DIS, Kroeger et al., ECCV 2016, as OpenCV has it) runs between the frames on both sides, both ways.
Each of the two flows is carried to the wanted time by fixed-point iteration, and what they give is averaged. A
polynomial through the places of a point in up to four frames bends its straight path between two (as Xu et al. do in
"Quadratic video interpolation", NeurIPS 2019; four frames make it cubic). Where the frames on both sides disagree, one
of them may show what the other hides: there the motion on one side is continued, if the two frames on that side agree.
Detail in which both sides still disagree is damped, as a Wiener filter does it.

All is computed in float32 on the CPU, with the same result for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import NamedTuple

import cv2
import numpy as np

_LEAST = 16  # pixels of a side: flow needs as many
_STEPS = 5  # of fixed-point iteration
_BEND = 0.5  # how far a bent path may lie from the straight one, as a share of the motion ...
_BEND_PIXELS = 0.1  # ... and in pixels beyond that
_AREA = 3.0  # sigma over which errors are averaged, pixels
_ALONE = 20.0  # what the error of one side alone counts beside that of both sides, ...
_ALONE_ERROR = 5e-4  # ... and what is added to it
_DOUBT = 5e-4  # mean squared error by which the best may be mistaken for another
_REPEATED = 0.15  # change inside a side as a share of that across the gap, below which it is the same frame twice
_BANDS = (1.0, 2.0)  # sigma of the bands in which detail is damped, pixels
_QUIET = 1e-6  # variance of detail that is never damped


class Sound(NamedTuple):
    """A sound frame: when it is, in frames, and its planes `[H, W, C]` float32, luma (0..1) first."""

    time: int
    planes: np.ndarray


class Gap:
    """What lies between sound frames.

    Args:
        before: one or two frames before the gap, the nearest first; none at the start of a scene.
        after: the same after it. One side must have a frame.
    """

    def __init__(self, before: Sequence[Sound], after: Sequence[Sound]) -> None:
        self._before, self._after = before, after
        shown = {sound.time: sound.planes for sound in (*before, *after)}
        self._flows = cache(lambda a, b: _flow(shown[a], shown[b]))

    def at(self, time: int) -> np.ndarray:
        """The frame at a time in the gap, planes as the sound frames have them.

        Where there are frames on one side only, their motion is continued as far as it explains them; a single frame is
        repeated.
        """
        if not self._before or not self._after:
            return self._alone(self._before or self._after, time)
        first, last = self._before[0], self._after[0]
        share = (time - first.time) / (last.time - first.time)
        straight = _carried(self._flow(first, last), share), -_carried(self._flow(last, first), 1 - share)
        pairs = [self._between(time, share, motion) for motion in straight]
        error = np.minimum(*(_error(a, b) for a, b in pairs))
        left, right = (sum(planes) / len(pairs) for planes in zip(*pairs))
        left, right = self._one_sided(time, left, right, error)
        made = _damped(left, right, share)
        ends = np.stack([first.planes, last.planes])
        return np.clip(made, ends.min((0, 1, 2)), ends.max((0, 1, 2)))

    def _between(self, time: int, share: float, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The frames on both sides, moved to a time by the motion across the gap that is seen there `[H, W, 2]`."""
        first, last = self._before[0], self._after[0]
        to_first, to_last = -share * motion, (1 - share) * motion
        places = {first.time: to_first, last.time: to_last}
        for side, place in ((self._before, to_first), (self._after, to_last)):
            for farther in side[1:]:
                places[farther.time] = place + _moved(self._flow(side[0], farther), place, cv2.INTER_LINEAR)
        bend = sum(weight * place for weight, place in zip(_lagrange(tuple(places), time), places.values()))
        most = _BEND * np.linalg.norm(motion, axis=2, keepdims=True) + _BEND_PIXELS
        bend *= np.minimum(1, most / np.maximum(np.linalg.norm(bend, axis=2, keepdims=True), 1e-6))
        return _moved(first.planes, to_first - bend), _moved(last.planes, to_last - bend)

    def _one_sided(
        self, time: int, left: np.ndarray, right: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What both sides show at a time, replaced by what one shows alone where that is likelier."""
        made, errors = [], [error]
        for side in (self._before, self._after):
            if len(side) < 2 or self._repeated(side):
                continue
            near, far = self._continued(side, time)
            made.append(near)
            errors.append(_ALONE * _error(near, far) + _ALONE_ERROR)
        best = np.minimum.reduce(errors)
        weights = [np.exp((best - e) / (best + _DOUBT))[..., None] * (0.5 if n else 1) for n, e in enumerate(errors)]
        alone = sum((weight * planes for weight, planes in zip(weights[1:], made)), np.float32(0))
        total = sum(weights)
        return (weights[0] * left + alone) / total, (weights[0] * right + alone) / total

    def _alone(self, side: Sequence[Sound], time: int) -> np.ndarray:
        """What the frames on one side make likely for a time."""
        still = side[0].planes
        if len(side) < 2:
            return still
        near, far = self._continued(side, time)
        unmoved, moved = _error(still, side[1].planes), _error(near, far)
        made = still + (unmoved / (unmoved + moved + _QUIET))[..., None] * (near - still)
        return np.clip(made, still.min((0, 1)), still.max((0, 1)))

    def _continued(self, side: Sequence[Sound], time: int) -> tuple[np.ndarray, np.ndarray]:
        """Both frames on a side, moved to a time as if the motion between them went on, the nearer one first."""
        near, far = side
        steps = (time - near.time) / (near.time - far.time)
        motion = _carried(self._flow(near, far), -steps)
        return _moved(near.planes, steps * motion), _moved(far.planes, (steps + 1) * motion)

    def _repeated(self, side: Sequence[Sound]) -> bool:
        """Whether both frames on a side are one, of which motion cannot be told."""
        near, far = (_luma(sound.planes) for sound in side)
        return float(np.square(near - far).mean()) <= _REPEATED * self._change

    @cached_property
    def _change(self) -> float:
        first, last = (_luma(side[0].planes) for side in (self._before, self._after))
        return float(np.square(first - last).mean())

    def _flow(self, a: Sound, b: Sound) -> np.ndarray:
        return self._flows(a.time, b.time)


def _flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where in `b` each pixel of `a` lies, from where it is, `[H, W, 2]` in pixels: across and down."""
    height, width = a.shape[:2]
    bottom, right = max(0, _LEAST - height), max(0, _LEAST - width)
    first, second = (np.pad(_bytes(x), ((0, bottom), (0, right)), mode="edge") for x in (_luma(a), _luma(b)))
    return _dis(first, second)[:height, :width]


def _dis(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    # ty: ignore[no-matching-overload] stubs want a flow to begin with, and there may be none
    return dis.calc(a, b, None)


def _luma(planes: np.ndarray) -> np.ndarray:
    return planes[..., 0]


def _bytes(luma: np.ndarray) -> np.ndarray:
    return np.rint(luma * 255).clip(0, 255).astype(np.uint8)


def _moved(planes: np.ndarray, by: np.ndarray, method: int = cv2.INTER_LANCZOS4) -> np.ndarray:
    """What lies so many pixels `[H, W, 2]` across and down from each place, `[H, W, C]`; at the edge what is there."""
    down, across = np.indices(by.shape[:2], np.float32)
    moved = cv2.remap(planes, across + by[..., 0], down + by[..., 1], method, borderMode=cv2.BORDER_REPLICATE)
    return moved.reshape(planes.shape)


def _carried(flow: np.ndarray, share: float) -> np.ndarray:
    """Of the motion of each pixel: that of what is seen at each place after this share of it, `[H, W, 2]`."""
    motion = flow
    for _ in range(_STEPS):
        motion = _moved(flow, -share * motion, cv2.INTER_LINEAR)
    return motion


def _error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of luma round each pixel, `[H, W]`, beyond that of the whole frame."""
    difference = _luma(a) - _luma(b)
    return _blurred(np.square(difference - difference.mean()), _AREA)


def _blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REFLECT).reshape(x.shape)


def _damped(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The mean of two pictures of the same, of which `b` counts `share`; in detail only as far as they agree."""
    weights = np.float32(1 - share), np.float32(share)
    made = np.zeros_like(a)
    for sigma in _BANDS:
        smooth = [_blurred(x, sigma) for x in (a, b)]
        details = [x - y for x, y in zip((a, b), smooth)]
        both = np.maximum(_blurred(details[0] * details[1], 2 * sigma), 0) + _QUIET
        noise = _blurred(np.square(details[0] - details[1]), 2 * sigma) / 2
        gain = both / (both + noise * sum(weight**2 for weight in weights))
        made += gain * (weights[0] * details[0] + weights[1] * details[1])
        a, b = smooth
    return made + weights[0] * a + weights[1] * b


@cache
def _lagrange(times: tuple[int, ...], time: int) -> list[float]:
    """What values at some times count in the polynomial through them, at another time."""
    return [float(np.prod([(time - other) / (own - other) for other in times if other != own])) for own in times]
