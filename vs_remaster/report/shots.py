"""One shot of a film while its frames pass by, and what is known of it in the end."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from statistics import median

import numpy as np
from torch import Tensor

from ..video.planes import Frame
from .drift import Drift, Thumbnail
from .measures import Curve, Flicker

_EDGE = 4  # frames at both ends of a shot that do not stand for it: splices and the ends of dissolves lie there
_SHARES = 3  # references that are named with how much they gave
_AROUND = 2  # frames on each side that a frame's sharpness is compared with


@dataclass(frozen=True)
class Moment:
    """A frame of both films and what was measured on it; `small` is the result, `look` a description of
    it."""

    frame: int
    time: float
    before: Frame = field(repr=False)
    after: Frame = field(repr=False)
    tiles: tuple[np.ndarray, np.ndarray]
    damage: float
    small: Thumbnail
    saturation: float
    sharpness: float
    shares: Sequence[tuple[str, float]] | None
    look: Tensor | None


@dataclass(frozen=True)
class ShotFacts:
    """What is known of a shot.

    Attributes:
        number: from 1.
        first: its first frame.
        frames: how many it has.
        start, end: in seconds.
        frame: the one that stands for it, and its time in seconds, `time`.
        flicker_before, flicker_after: root mean square of the jumps of brightness from frame to frame, in parts of
            white.
        damage: share of the pixels that were repaired, 0..1.
        drift: how far the colours of what it shows wander, root mean square, in parts of white.
        saturation: mean distance from gray.
        coverage: how well the references show it, 0..1; None without references.
        reference: the one that shows most of it; None without references.
        shares: the references that gave most of its colour, by name, and how much of it, 0..1; empty where that is not
            known.
    """

    number: int
    first: int
    frames: int
    start: float
    end: float
    frame: int
    time: float
    flicker_before: float
    flicker_after: float
    damage: float
    drift: float
    saturation: float
    coverage: float | None
    reference: str | None
    shares: list[tuple[str, float]]


class ShotInProgress:
    """Sums up the frames of a shot and keeps the one that stands for it.

    Args:
        number: of the shot, from 1.
        first: its first frame.
        curves: `flicker_before` and `flicker_after` take the squares of the jumps.
    """

    def __init__(self, number: int, first: Moment, curves: Mapping[str, Curve]) -> None:
        self.number, self._first = number, (first.frame, first.time)
        self._flickers = [Flicker(), Flicker()]
        self._curves = [curves["flicker_before"], curves["flicker_after"]]
        self._jumps = [0, 0]
        self._squares = [0.0, 0.0]
        self._count = 0
        self._damage = self._saturation = 0.0
        self._drift = Drift()
        self._covers: list[float] = []
        self._best = Counter[str]()
        self._shares: defaultdict[str, float] = defaultdict(float)
        self._earlier: deque[float] = deque(maxlen=_AROUND)
        self._late: deque[Moment] = deque()
        self._key: tuple[float, Moment] | None = None

    def push(self, moment: Moment) -> None:
        """Take the next frame."""
        for side, flicker in enumerate(self._flickers):
            self._count_jumps(side, flicker.push(moment.tiles[side]))
        self._count += 1
        self._damage += moment.damage
        self._saturation += moment.saturation
        self._drift.push(moment.small)
        for name, share in moment.shares or ():
            self._shares[name] += share
        self._late.append(moment)
        if len(self._late) > _EDGE:
            self._judge(self._late.popleft())

    def cover(self, coverage: float, reference: str | None) -> None:
        """Note how well the references show a frame of this shot, and which does best."""
        self._covers.append(coverage)
        if reference is not None:
            self._best[reference] += 1

    def finish(self) -> Moment:
        """End the shot; return the frame that stands for it."""
        for side, flicker in enumerate(self._flickers):
            self._count_jumps(side, flicker.finish())
        if self._key is None:  # a short shot, all of it an edge
            self._key = (0.0, self._late[len(self._late) // 2])
        return self._key[1]

    def facts(self, end: float) -> ShotFacts:
        """What is known of the shot, which ends at `end` seconds; after `finish`."""
        assert self._key is not None
        most = heapq.nlargest(_SHARES, self._shares.items(), key=itemgetter(1))
        before, after = (math.sqrt(s / n) if n else 0.0 for s, n in zip(self._squares, self._jumps))
        return ShotFacts(
            number=self.number,
            first=self._first[0],
            frames=self._count,
            start=self._first[1],
            end=end,
            frame=self._key[1].frame,
            time=self._key[1].time,
            flicker_before=before,
            flicker_after=after,
            damage=self._damage / self._count,
            drift=self._drift.distance,
            saturation=self._saturation / self._count,
            coverage=sum(self._covers) / len(self._covers) if self._covers else None,
            reference=max(self._best, key=self._best.__getitem__, default=None),
            shares=[(name, share / self._count) for name, share in most],
        )

    def _count_jumps(self, side: int, jumps: list[float]) -> None:
        for jump in jumps:
            self._curves[side].add(self._first[0] + self._jumps[side], jump * jump)
            self._jumps[side] += 1
            self._squares[side] += jump * jump

    def _judge(self, moment: Moment) -> None:
        """See whether a frame is a better one to stand for the shot: sharp, and no sharper than its neighbours, for
        that is dirt more often."""
        near = [*self._earlier, moment.sharpness, *(later.sharpness for later in list(self._late)[:_AROUND])]
        self._earlier.append(moment.sharpness)
        if moment.frame - self._first[0] < _EDGE:
            return
        middle = median(near)
        score = middle - abs(moment.sharpness - middle)
        if self._key is None or score > self._key[0]:
            self._key = (score, moment)
