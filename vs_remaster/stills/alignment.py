"""Lay two copies of a film beside each other by what their frames show.

The other copy may run at another rate, with frames repeated or left out, begin and end elsewhere, lack scenes or have
more of them, and be cropped, faded or coloured; its scenes come in the same order. A first Viterbi search goes over
4,000 frames at most, spread over the film, and finds out roughly where each lies; a second goes frame by frame through
narrow windows round that. What is not in the other copy is left without a counterpart.

For films of N and M frames: 768 (N + M) bytes of fingerprints and some 250 MB at most beside them; time grows
with N + M (4,000 M products of fingerprints in the first search, 50 N in the second).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from ..errors import InputError
from .fingerprints import Fingerprints, Geometry, details, find_geometry


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """What the two searches go by. The values were tried on made-up films, pans of 37 to 90 frames with something that
    crosses them: the copy cropped by 4 % on each side, of less contrast and another size, with a logo in front and
    without one of the shots, at 24 frames for 24, 25 for 24, 24 for 25, 30 for 24, 60 for 24 and 60 for 16; two copies
    full of noise, a standard deviation of 0.25 of the range; and clips of films, copied at 25 frames for 24. Where one
    was set for something besides, it is said.

    Attributes:
        anchors: frames of the first search.
        probes: frames that the geometry is found with, at first.
        probed: frames of the other film that those are compared with.
        scales: sizes of the other copy's picture that are tried first, relative to the film's.
        unlike: likeness below which two frames are never taken for one; so that films with nothing in common are not
            matched.
        relative: the same, as a share of what most frames of these two films reach.
        steps: blocks that the other film goes on by from one anchor to the next, at most, without a jump; for copies of
            five frames for one of the film, as silent film of 12 frames a second has at 60.
        uneven: cost of a step that is not the usual one, in the first search.
        jump: cost of a jump in the first search, if its anchors were neighbours.
        lost: cost of losing the other film, in the second search.
        found: cost of finding it again.
        piece: frames over which the rate is measured.
        pieces: anchors over which it is measured, at least.
        rates: frames a second, of which two make a rate that is likely.
        usual: share of the anchors on the lines of the best rate that a likely one must reach to be taken.
        slowest: rate; its inverse is the quickest. See `steps`.
        reach: frames on each side of where a frame is expected.
        slip: cost of each frame by which the films slip against each other.
        keen: how much the best of a window counts before others, relative to what is wrong even with the best.
        moving: how much less alike frames of a window are, in the same measure, where a picture surely moves; for a
            still camera, where differences are chance.
        steady: frames on each side that a frame must go along with ...
        astray: ... to so many frames.
        pace: frames over which a copy goes on at such a share of its rate at least, and at most, as `paces` says; for
            a still camera, where a copy that lacks frames seems to pause.
        paces: see `pace`.
        short: frames: matched stretches that are shorter are chance.
        batch: frames whose fingerprints are compared at a time; of no influence on what is found.
    """

    anchors: int = 4096
    probes: int = 400
    probed: int = 4096
    scales: tuple[float, ...] = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.18)
    unlike: float = 0.4
    relative: float = 0.6
    steps: int = 7
    uneven: float = 0.02
    jump: float = 2.0
    lost: float = 0.2
    found: float = 1.0
    piece: int = 120
    pieces: int = 4
    rates: tuple[int, ...] = (12, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60)
    usual: float = 0.97
    slowest: float = 0.19
    reach: int = 12
    slip: float = 0.03
    keen: float = 0.6
    moving: float = 0.5
    steady: int = 25
    astray: float = 1.6
    pace: int = 6
    paces: tuple[float, float] = (0.6, 1.6)
    short: int = 5
    batch: int = 256


@dataclass(frozen=True)
class Alignment:
    """Which frames of another copy show what the frames of a film show.

    Attributes:
        frames: `[N]` int64: for each frame of the film the number of the other copy's, -1 where it has none.
        likeness: `[N]` float32, 0..1: how alike the two are; 0 where there is none.
        rate: frames of the other copy for one of the film.
        geometry: where the points of the film's picture lie in the other's.
    """

    frames: np.ndarray
    likeness: np.ndarray
    rate: float
    geometry: Geometry

    @property
    def found(self) -> int:
        """How many frames have a counterpart."""
        return int((self.frames >= 0).sum())

    def missing(self) -> list[tuple[int, int]]:
        """First frame and end of every stretch without a counterpart."""
        return _stretches(self.frames < 0)


def align(film: Fingerprints, other: Fingerprints, settings: AlignmentSettings = AlignmentSettings()) -> Alignment:
    """Find the frames of another copy that show what those of a film show.

    Raises:
        InputError: one of them has no frames.
    """
    if not len(film) or not len(other):
        raise InputError(f"there are no frames to align: the film has {len(film)}, the other {len(other)}")
    geometry = _first_geometry(film, other, settings)
    every = max(1, -(-max(len(film), len(other)) // settings.anchors))
    anchors, places, likeness = _search(film, other, geometry, every, settings)
    if len(anchors):
        best = np.argsort(-likeness, kind="stable")[: max(8, len(likeness) // 2)][: settings.probes]
        geometry = find_geometry(film.thumbs(anchors[best]), other.thumbs(places[best]), geometry)
        anchors, places, likeness = _search(film, other, geometry, every, settings)
    if not len(anchors):
        none = np.full(len(film), -1, np.int64)
        return Alignment(none, np.zeros(len(film), np.float32), 1.0, geometry)
    rate = _rate(anchors, places, every, settings)
    unlike = max(settings.unlike, settings.relative * float(np.median(likeness)))
    windows = _windows(len(film), anchors, places, rate)
    frames, alike = _follow(film, other, geometry, windows, rate, unlike, settings)
    frames = _cleaned(frames, alike, rate, unlike, settings)
    return Alignment(frames, np.where(frames >= 0, alike.clip(0, 1), 0).astype(np.float32), rate, geometry)


def _stretches(wanted: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], wanted.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# How the pictures lie in each other -----------------------------------------------------------------------------------


def _spread(length: int, most: int) -> np.ndarray:
    """Numbers of at most so many frames, evenly spread."""
    count = min(length, most)
    return (np.arange(count) * 2 + 1) * length // (2 * count)


def _first_geometry(film: Fingerprints, other: Fingerprints, settings: AlignmentSettings) -> Geometry:
    """Of several sizes the one at which frames find the best others, and from those pairs the exact one."""
    ours, theirs = _spread(len(film), settings.probes), _spread(len(other), settings.probed)
    thumbs, others = film.thumbs(ours), other.thumbs(theirs)
    best: tuple[float, Geometry, Tensor, Tensor] | None = None
    for scale in settings.scales:
        geometry = Geometry(scale, scale)
        here, there = details(thumbs, seen=geometry, smooth=True), details(others, geometry, smooth=True)
        near, at = (here @ there.T).max(1)
        good = near.argsort(descending=True, stable=True)[: max(8, len(near) // 3)]
        score = float(near[good].mean())
        if best is None or score > best[0]:
            best = score, geometry, good, at[good]
    assert best is not None  # there are sizes
    return find_geometry(thumbs[best[2]], others[best[3]], best[1])


# First search: some frames, anywhere ----------------------------------------------------------------------------------


def _search(
    film: Fingerprints, other: Fingerprints, geometry: Geometry, every: int, settings: AlignmentSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every so many frames of the film those that were found, where, and how alike they are."""
    anchors = np.arange(every // 2, len(film), every)
    table, best = _table(details(film.thumbs(anchors), seen=geometry), other, geometry, every)
    blocks = _path(table, max(0.5, settings.jump / every), settings)
    kept = np.flatnonzero(blocks >= 0)
    places = np.minimum(blocks[kept] * every + best[kept, blocks[kept]], len(other) - 1)
    return anchors[kept], places, table[kept, blocks[kept]].astype(np.float32)


def _table(ours: Tensor, other: Fingerprints, geometry: Geometry, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Likeness `[A, blocks]` of frames to the most alike of each block of the other film, and which in it that is."""
    blocks = -(-len(other) // every)
    hop = 1 if every < 4 else 2
    table = np.empty((len(ours), blocks), np.float16)
    best = np.empty((len(ours), blocks), np.uint16)
    batch = max(1, 2048 * hop // every)
    for start in range(0, blocks, batch):
        stop = min(blocks, start + batch)
        numbers = np.arange(start * every, stop * every).reshape(stop - start, every)[:, ::hop]
        theirs = details(other.thumbs(np.minimum(numbers.ravel(), len(other) - 1)), geometry)
        near, at = (ours @ theirs.T).view(len(ours), stop - start, -1).max(2)
        table[:, start:stop] = near.numpy()
        best[:, start:stop] = at.numpy() * hop
    return table, best


def _path(table: np.ndarray, jump: float, settings: AlignmentSettings) -> np.ndarray:
    """Blocks `[A]` along the best way through the table that never goes back; -1 where there is none.

    For every block there are two states: the anchor shows what the block shows; or it has no counterpart, and that
    block was the last that had one.
    """
    count, blocks = table.shape
    here = np.arange(blocks)
    from_block = np.empty((count, blocks), np.int32)  # where a match came from
    was_lost = np.empty((count, blocks), bool)  # whether from there without a counterpart
    stays_lost = np.empty((count, blocks), bool)
    matched = np.full(blocks, -np.inf)
    lost = np.full(blocks, -np.inf)
    for i, row in enumerate(table):
        gain = row.astype(np.float64) - settings.unlike
        if i == 0:
            from_block[0], was_lost[0], stays_lost[0] = here, True, True
            matched, lost = gain, np.where(here == 0, 0.0, -np.inf)
            continue
        way, came = np.full(blocks, -np.inf), here.copy()
        for step in range(min(settings.steps, blocks)):
            tried = np.full(blocks, -np.inf)
            tried[step:] = matched[: blocks - step] - settings.uneven * abs(step - 1)
            came = np.where(tried > way, here - step, came)
            way = np.maximum(way, tried)
        lost_way = np.zeros(blocks, bool)
        for state, is_lost in ((matched, False), (lost, True)):
            far = np.maximum.accumulate(state)
            where = np.maximum.accumulate(np.where(state == far, here, 0))
            better = far - jump > way
            came = np.where(better, where, came)
            lost_way = np.where(better, is_lost, lost_way)
            way = np.maximum(way, far - jump)
        from_block[i], was_lost[i] = came, lost_way
        stays_lost[i] = lost >= matched - settings.lost
        matched, lost = way + gain, np.maximum(lost, matched - settings.lost)
    blocks_of = np.full(count, -1, np.int64)
    is_lost = lost.max() >= matched.max()
    block = int((lost if is_lost else matched).argmax())
    for i in range(count - 1, -1, -1):
        if is_lost:
            is_lost = bool(stays_lost[i, block])
        else:
            blocks_of[i] = block
            block, is_lost = int(from_block[i, block]), bool(was_lost[i, block])
    return blocks_of


def _rate(anchors: np.ndarray, places: np.ndarray, every: int, settings: AlignmentSettings) -> float:
    """Frames of the other film for one of this: of the slopes between anchors that lie some way apart, and of those
    that two usual rates make, the one on whose lines most anchors lie."""
    width = max(settings.pieces, settings.piece // every)
    parts = [slice(i, i + 2 * width) for i in range(0, len(anchors), width)]

    def on_line(rate: float) -> int:
        total = 0
        for part in parts:
            offsets = np.round(places[part] - rate * anchors[part]).astype(int)
            counts = np.bincount(offsets - offsets.min()) if np.ptp(offsets) < 1 << 16 else np.ones(1, int)
            total += int(np.convolve(counts, np.ones(3, int)).max())
        return total

    slopes = (places[width:] - places[:-width]) / (anchors[width:] - anchors[:-width])
    slopes = slopes[(slopes > settings.slowest) & (slopes < 1 / settings.slowest)]
    found = np.unique(np.quantile(slopes, np.linspace(0.1, 0.9, 17))) if len(slopes) else np.empty(0)
    usual = sorted(
        {a / b for a in settings.rates for b in settings.rates if settings.slowest < a / b < 1 / settings.slowest},
        key=lambda r: abs(r - 1),
    )
    best, likely = max((on_line(rate), rate) for rate in [1.0, *found]), max(usual, key=on_line)
    return likely if on_line(likely) >= settings.usual * best[0] else float(best[1])


# Second search: every frame, near where it is expected ----------------------------------------------------------------


def _windows(length: int, anchors: np.ndarray, places: np.ndarray, rate: float) -> np.ndarray:
    """Where each frame is expected, `[N, 2]`: going on from the anchor before it, and back from the one behind it."""
    numbers = np.arange(length)
    after = np.searchsorted(anchors, numbers, side="right")
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(anchors) - 1)
    return np.stack([np.round(places[at] + rate * (numbers - anchors[at])) for at in (before, after)], 1).astype(int)


def _follow(
    film: Fingerprints,
    other: Fingerprints,
    geometry: Geometry,
    windows: np.ndarray,
    rate: float,
    unlike: float,
    settings: AlignmentSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the other film along the best way, -1 for none, and how alike they are."""
    drift = np.round(rate * np.arange(len(film))).astype(np.int64)
    count = 2 * (2 * settings.reach + 1)
    pointers = np.empty((len(film), count + 1), np.uint8)  # the last state is that of having no counterpart
    candidates = np.empty((len(film), count), np.int32)
    alike = np.empty((len(film), count), np.float16)
    scores: np.ndarray | None = None
    slipped = np.empty(0)
    for i, (places, near, flat) in enumerate(_candidates(film, other, geometry, windows, settings)):
        gains = np.append(_gains(near, flat, unlike, settings), 0.0)
        offsets = places - drift[i]
        if scores is None:
            pointers[i], scores = count, gains
        else:
            ways = scores[:, None] - _costs(slipped, offsets, settings)
            pointers[i] = ways.argmax(0)
            scores = ways[pointers[i], np.arange(count + 1)] + gains
        candidates[i], alike[i], slipped = places, near, offsets
    assert scores is not None  # a film has frames
    state = int(scores.argmax())
    frames, likeness = np.full(len(film), -1, np.int64), np.zeros(len(film), np.float32)
    for i in range(len(film) - 1, -1, -1):
        if state < count:
            frames[i], likeness[i] = candidates[i, state], alike[i, state]
        state = int(pointers[i, state])
    return frames, likeness


def _candidates(
    film: Fingerprints, other: Fingerprints, geometry: Geometry, windows: np.ndarray, settings: AlignmentSettings
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """For every frame the numbers of those it may be, `[K]`, how alike they are (-1: there is none such), and whether
    nothing can be seen on it."""
    around = np.arange(-settings.reach, settings.reach + 1)
    for start in range(0, len(film), settings.batch):
        numbers = np.arange(start, min(start + settings.batch, len(film)))
        places = (windows[numbers][:, :, None] + around).reshape(len(numbers), -1)
        wanted, at = np.unique(places.clip(0, len(other) - 1), return_inverse=True)
        ours, theirs = details(film.thumbs(numbers), seen=geometry), details(other.thumbs(wanted), geometry)
        near = np.take_along_axis((ours @ theirs.T).numpy(), at.reshape(places.shape), 1)
        near[(places < 0) | (places >= len(other))] = -1.0
        flat = (ours.square().sum(1) == 0).numpy()
        yield from zip(places, near, flat)


def _gains(near: np.ndarray, flat: bool, unlike: float, settings: AlignmentSettings) -> np.ndarray:
    """What it is worth to take each candidate: more than nothing only for those alike enough; among these, small
    differences count as far as they stand out from what even the best one lacks, and the less the less the picture
    moves: there they are chance, and the even pace is right."""
    if flat:
        return np.where(near < -0.5, -4.0, 0.0)
    best = float(near.max())
    lacking = 1 - best + 0.02
    window = near.reshape(2, -1)[near.argmax() * 2 // len(near)]
    moves = min(1.0, (best - float(np.median(window))) / (settings.moving * lacking))
    behind = np.minimum((best - near) / lacking, 3.0)
    return np.where(near < -0.5, -4.0, best - unlike - settings.keen * moves * behind)


def _costs(before: np.ndarray, now: np.ndarray, settings: AlignmentSettings) -> np.ndarray:
    """Cost `[K + 1, K + 1]` of going from a candidate to another, by how far they are off the even pace."""
    apart = now[None] - before[:, None]
    steps = np.where(
        np.abs(apart) <= 3, settings.slip * np.abs(apart), np.where(apart > 0, settings.lost + settings.found, np.inf)
    )
    out = np.full((len(before) + 1, len(now) + 1), settings.found)
    out[:-1, :-1] = steps
    out[:-1, -1] = settings.lost
    out[-1, -1] = 0.0
    return out


# What does not hold together ------------------------------------------------------------------------------------------


def _cleaned(
    frames: np.ndarray, alike: np.ndarray, rate: float, unlike: float, settings: AlignmentSettings
) -> np.ndarray:
    """Without frames that stray from those round them, as where a still picture lasts longer in one of the films,
    without stretches that are short or hardly alike, and without those that lie before what came earlier."""
    frames = frames.copy()
    offsets = frames - rate * np.arange(len(frames))
    stray = np.zeros(len(frames), bool)
    for first, stop in _pieces(frames, offsets):
        for n in range(first, stop):
            near = offsets[max(first, n - settings.steady) : min(stop, n + settings.steady + 1)]
            stray[n] = abs(offsets[n] - np.median(near)) > settings.astray
        stray[first:stop] |= ~_keeps_pace(frames[first:stop], rate, settings)
    frames[stray] = -1
    whole = [
        (first, stop)
        for first, stop in _pieces(frames, offsets)
        if stop - first >= settings.short and np.median(alike[first:stop]) >= unlike
    ]
    kept = np.zeros(len(frames), bool)
    for first, stop in _onward(whole, frames):
        kept[first:stop] = True
    return np.where(kept, frames, -1)


def _onward(pieces: Sequence[tuple[int, int]], frames: np.ndarray) -> list[tuple[int, int]]:
    """Of stretches those that never go back and have the most frames."""
    total = np.zeros(len(pieces), np.int64)
    before = np.full(len(pieces), -1)
    begins = np.array([frames[first] for first, _ in pieces])
    ends = np.array([frames[stop - 1] for _, stop in pieces])
    for i, (first, stop) in enumerate(pieces):
        fits = np.where(ends[:i] <= begins[i] + 1, total[:i], -1)
        if len(fits) and fits.max() >= 0:
            before[i] = int(fits.argmax())
        total[i] = stop - first + (total[before[i]] if before[i] >= 0 else 0)
    out = []
    at = int(total.argmax()) if len(pieces) else -1
    while at >= 0:
        out.append(pieces[at])
        at = int(before[at])
    return out


def _keeps_pace(frames: np.ndarray, rate: float, settings: AlignmentSettings) -> np.ndarray:
    """Whether the numbers of a stretch go on at about the usual rate round each of them: they do not where a film
    pauses to make up for what it lacks."""
    if len(frames) <= settings.pace:
        return np.ones(len(frames), bool)
    gone = (frames[settings.pace :] - frames[: -settings.pace]) / rate
    even = (gone >= settings.paces[0] * settings.pace - 0.5) & (gone <= settings.paces[1] * settings.pace + 0.5)
    out = np.ones(len(frames), bool)
    for at in np.flatnonzero(~even):
        out[at : at + settings.pace + 1] = False
    return out


def _pieces(frames: np.ndarray, offsets: np.ndarray) -> Sequence[tuple[int, int]]:
    """Stretches with counterparts that go on without a jump."""
    out = []
    for first, stop in _stretches(frames >= 0):
        jumps = first + 1 + np.flatnonzero(np.abs(np.diff(offsets[first:stop])) > 3.5)
        out += pairwise([first, *jumps.tolist(), stop])
    return out
