"""What of a film's motion is weave: the film's play in the gate, and not the camera.

Shifts from frame to frame are the sum of three things: the camera, which stands, pans evenly or swings smoothly; the
weave, which comes back to its middle within a few frames; and what was measured wrongly. How much of each a shot has is
not known. So a bank of Gaussian processes, one for each combination, says how likely the shifts are under it and what
weave it expects; these are averaged, each as its likelihood weighs (Rasmussen and Williams 2006, equations 2.23 and
2.30). A shot that has no weave is left alone.

A Gaussian process knows no events: a pan that begins from one frame to the next, a splice where the picture jumps, a
shift measured wrongly. So each kind of shot is also asked how likely it is with one event, at each place it can have;
the likeliest is then held to have happened, and one more is asked for. Frames shown twice are none of that: they are
set right before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product

import numpy as np

from .shifts import Shift

REACH = 60
"""Frames each way that a frame's weave is known by."""
LIMIT = 0.02
"""No more than so much of the picture's shorter side is taken for weave."""

_LINES = 400  # the deviations below are pixels of pictures of so many lines
_PAN = 5.0  # deviation of an even pan, pixels a frame
_SWINGS = ((0.03, 15.0), (0.1, 6.0), (0.1, 15.0), (0.3, 6.0), (0.3, 15.0), (1.0, 6.0), (1.0, 15.0), (3.0, 6.0))
# ... of a swing, pixels a frame, and for how many frames it is about the same
_WEAVES = (0.08, 0.2, 0.5, 1.2, 3.0)  # ... of the weave, pixels ...
_MEMORIES = (0.1, 0.6)  # ... and how much of it is left a frame later
_ERRORS = (0.03, 0.12)  # ... of a shift as measured, pixels
_STANDS = 20.0  # how much likelier than each of its motions it is held that the camera stands
_EVENT = _PAN  # deviation of an event: of the change of an even pan, or of a jump
_CHANCES = (1e-3, 1e-4)  # of a pan's change at a frame, and of a jump
_EVENTS = 3  # in a frame's surroundings, at most
_NOTHING = 10.0  # likelihoods so much lower than another's logarithm count no more
_SAME = 0.06  # pixels that a frame moves at most that is shown once more ...
_MOVES = 0.25  # ... between others that move farther than this ...
_TIMES = 2  # ... and so many times at most
_ALONG = 0.5  # cosine of two shifts in about the same direction


class _Bank:
    """Every kind of shot that is thought of, for as many shifts as a frame is known by at most (`n`).

    Attributes:
        weaves: covariances of the weave by lag, `[weaves, n + 1]`.
        weave: which of them each kind has, `[kinds]`.
        prior: logarithm of how likely each kind is held, but for a constant, `[kinds]`.
        whitening: inverse Cholesky factor of its shifts' covariance, `[kinds, n, n]`; that of fewer is its corner.
        scales: logarithm of the determinant of the other factor, up to each shift, `[kinds, n]`.
        events: whitened events: first `n` by which all shifts from one on are larger, then `n` of one shift alone;
            `[kinds, n, 2 n]`.
        powers: their squared length up to each shift, `[n, kinds, 2 n]`.
    """

    def __init__(self) -> None:
        count = 2 * REACH
        lag = np.arange(count + 1)
        own = (lag == 0).astype(float)
        cameras = [0 * own, _PAN**2 + 0 * own]
        cameras += [_PAN**2 + u**2 * np.exp(-0.5 * (lag / length) ** 2) for u, length in _SWINGS]
        self.weaves = np.stack([s**2 * a**lag for s, a in product(_WEAVES, _MEMORIES)] + [0.01**2 * own])
        kinds = list(product(cameras, range(len(self.weaves)), _ERRORS))
        self.weave = np.array([weave for _, weave, _ in kinds])
        made = [camera + _of_shifts(self.weaves[weave]) + error**2 * own for camera, weave, error in kinds]
        apart = np.abs(lag[:count, None] - lag[:count])
        self.prior = np.array([0.0 if camera.any() else np.log(_STANDS) for camera, _, _ in kinds])
        factors = np.linalg.cholesky(np.stack(made)[:, apart])
        self.scales = np.log(np.diagonal(factors, axis1=1, axis2=2)).cumsum(1)
        whitening = np.linalg.inv(factors)
        begun = np.flip(np.cumsum(np.flip(whitening, 2), 2), 2)
        self.whitening = whitening.astype(np.float32)
        self.events = np.concatenate([begun, whitening], 2).astype(np.float32)
        self.powers = np.square(self.events).cumsum(1).transpose(1, 0, 2).copy()


def _of_shifts(weave: np.ndarray) -> np.ndarray:
    """The covariance of the differences of something from its own, both by lag."""
    far = np.append(weave[1:], 0.0)
    near = np.append(weave[1], weave[:-1])
    return 2 * weave - far - near


@cache
def _bank() -> _Bank:
    return _Bank()


@lru_cache(maxsize=8)
def _room(count: int) -> tuple[np.ndarray, np.ndarray]:
    """For `count` shifts: how much each event's precision grows by them, and the logarithm of what that costs."""
    room = _bank().powers[count - 1] + np.float32(_EVENT**-2)
    return 1 / room, 0.5 * np.log(room * _EVENT**2)


@cache
def _chances() -> np.ndarray:
    """The logarithm of how likely each event is held, `[2 n]`."""
    return np.repeat(np.log(_CHANCES), 2 * REACH).astype(np.float32)


def weave_at(shifts: Sequence[Shift], at: int, size: tuple[int, int]) -> Shift:
    """The weave of one frame, see `weaves`."""
    return weaves(shifts, range(at, at + 1), size)[0]


def weaves(shifts: Sequence[Shift], frames: range, size: tuple[int, int]) -> list[Shift]:
    """The weave of frames: where a picture lies, seen from where the camera would have put it.

    Args:
        shifts: of each frame of a shot since the one before, pixels; the first one is not looked at.
        frames: numbers of frames in them. Shifts more than `REACH` from a frame say nothing of it.
        size: lines and columns of the frames.

    Returns:
        The weave of each in pixels, at most `LIMIT` of the shorter side each way.
    """
    unit, limit = min(size) / _LINES, LIMIT * min(size)
    bank, longest = _bank(), 2 * REACH
    moved = np.array(shifts, np.float64).reshape(-1, 2) / unit
    seen = np.zeros((len(frames), 2, longest))
    counts, places = np.zeros(len(frames), int), np.zeros(len(frames), int)
    for number, at in enumerate(frames):
        first, last = max(0, at - REACH), min(len(shifts) - 1, at + REACH)
        some, places[number] = _once(moved[first + 1 : last + 1], at - first)
        counts[number] = len(some)
        seen[number, :, : len(some)] = some.T
    # What the shifts and the weave have in common.
    shared = np.diff(bank.weaves[:, np.abs(np.arange(longest + 1) - places[:, None])], axis=-1)
    inside = np.arange(longest) < counts[:, None]
    kinds = len(bank.weave)
    both = np.empty((kinds, len(frames), 3, longest), np.float32)
    both[:, :, :2], both[:, :, 2] = seen, shared[bank.weave]
    both = (both.reshape(kinds, -1, longest) @ bank.whitening.transpose(0, 2, 1)).reshape(both.shape)
    both *= inside[:, None]
    told = (both.reshape(kinds, -1, longest) @ bank.events).reshape(kinds, len(frames), 3, 2 * longest)
    found = np.zeros((len(frames), 2))
    for number, count in enumerate(counts):
        if not count:
            continue
        for way in range(2):
            white, expected = both[:, number, way], both[:, number, 2]
            likely = bank.prior - bank.scales[:, count - 1] - 0.5 * np.einsum("kn,kn->k", white, white)
            weave = np.einsum("kn,kn->k", white, expected)
            found[number, way] = _mean(likely, weave, told[:, number, way], told[:, number, 2], count)
    return [Shift(*way) for way in np.clip(found * unit, -limit, limit).tolist()]


def _once(moved: np.ndarray, at: int) -> tuple[np.ndarray, int]:
    """Shifts `[n, 2]` between frames and the number of one of the frames, both without frames shown twice. Where these
    took the place of others, so that the next shift is that of several frames, it is spread over them instead."""
    speed = np.abs(moved).max(1)
    still = speed < _SAME
    again, keep, spread = np.zeros(len(moved), bool), np.ones(len(moved), bool), moved.copy()
    edges = np.diff(still.astype(int), prepend=0, append=0)
    for first, stop in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)):
        if stop - first > _TIMES or not 0 < first <= stop < len(moved):
            continue
        before, after = moved[first - 1], moved[stop]
        if min(speed[[first - 1, stop]]) < _MOVES:
            continue
        again[first:stop] = True
        near = slice(max(0, first - 4), stop + 5)
        usual, times = np.median(moved[near][~still[near]], 0), stop - first + 1
        # Weave goes back and forth; only a pan goes on.
        along = before @ after > _ALONG * np.sqrt(before @ before * (after @ after))
        if along and np.square(after - times * usual).sum() < np.square(after - usual).sum():
            spread[first : stop + 1] = after / times
        else:
            keep[first:stop] = False
    while at and again[at - 1]:  # it goes where the frame goes that it repeats
        at -= 1
    return spread[keep], int(keep[:at].sum())


def _mean(likely: np.ndarray, weave: np.ndarray, told: np.ndarray, expected: np.ndarray, count: int) -> float:
    """The weave of a frame, averaged over all kinds of shot and events.

    Args:
        likely: logarithm of the likelihood of each kind without an event, `[kinds]`.
        weave: what each expects then, `[kinds]`.
        told: what the shifts say of each event, `[kinds, 2 n]`.
        expected: what the weave has in common with it, likewise.
        count: shifts known.
    """
    bank = _bank()
    inverse, cost = _room(count)
    gain = likely[:, None] + (0.5 * told * told * inverse - cost + _chances())
    likelihoods, found = [likely], [weave]
    if gain.max() > likely.max() - _NOTHING:
        kinds = np.flatnonzero(gain.max(1) > gain.max() - _NOTHING)
        gain, told, expected, weave = gain[kinds], told[kinds], expected[kinds], weave[kinds]
        power, past = bank.powers[count - 1][kinds], []
        for number in range(_EVENTS):
            room = power + _EVENT**-2
            if number:
                gain = likely[:, None] + 0.5 * told * told / room - 0.5 * np.log(room * _EVENT**2) + _chances()
            likelihoods.append(gain.ravel())
            found.append((weave[:, None] - expected * told / room).ravel())
            top = int(np.argmax(np.exp(gain - gain.max()).sum(0)))
            if number == _EVENTS - 1 or gain.max() < max(some.max() for some in likelihoods) - _NOTHING:
                break
            # That event is known from here on; the others say only what it does not explain.
            likely = gain[:, top]
            events = bank.events[kinds]
            common = np.einsum("kn,kne->ke", events[:, :count, top], events[:, :count])
            common -= sum(some * some[:, top, None] for some in past)
            common /= np.sqrt(room[:, top, None])
            past.append(common)
            own, its = (some[:, top, None] / np.sqrt(room[:, top, None]) for some in (told, expected))
            weave = weave - (own * its)[:, 0]
            told, expected = told - common * own, expected - common * its
            power = np.maximum(power - common * common, 0)
    share = np.concatenate(likelihoods)
    share = np.exp(share - share.max())
    return float(share @ np.concatenate(found) / share.sum())
