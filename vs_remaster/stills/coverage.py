"""Which frames of a film cover the rest of it best, in the colorizer's own features.

A film is looked at once: of every frame the sharpness is kept, of every few frames what the colorizer sees in it at low
resolution. From those, frames are chosen one by one, each for what it adds (greedy facility location), so that scenes
which return are painted once, and what is like nothing else is not forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..remaster.colorizer import Colorizer
from ..remaster.scenes import CutDetector
from .focus import EDGE, FilmSharpness, sharpness, steady

LINES = 192
"""Height at which frames are compared."""
AROUND = 6
"""Frames on each side of a chosen one of which the best may be taken instead."""
_EVERY = 6  # frames from one that is described to the next, at first
_MOST = 768  # described frames that are kept; when there are more, every second goes, but one of each shot stays
_BLUR = 0.2  # how much less a frame counts that is not sharp at all beside the sharpest of its shot
_AT_EDGE = 0.1  # how much less it counts at the ends of a shot
_EXCHANGES = 3
_A_SHOT = 2  # frames of a shot at most, where each shot gets its own ...
_WELL = 0.75  # ... as long as it is not covered so well
_STRANGERS = 0.05  # of all pairs of frames of different shots: so many at least do not show one scene


@dataclass(frozen=True)
class Described:
    """What is known of a film.

    Attributes:
        survey: sharpness of all frames, and the cuts.
        frames: numbers of the described ones, ascending.
        features: `[N, areas, D]` float16: what they look like, unit vectors.
    """

    survey: FilmSharpness
    frames: list[int]
    features: Tensor

    def shot(self, frame: int) -> tuple[int, int]:
        """First frame and end of the shot that a frame lies in."""
        edges = [0, *self.survey.cuts, len(self.survey.sharpness)]
        at = bisect_right(self.survey.cuts, frame)
        return edges[at], edges[at + 1]


@dataclass(frozen=True)
class Cover:
    """Frames that cover a film.

    Attributes:
        frames: their numbers in the order in which they were chosen: the first few are the best few.
        covered: how well the film is covered by the first 1, 2 ... of them: 0 no better than by a frame of another
            scene, 1 by the very frames.
        shares: for each, the share of the film's frames that it covers best.
    """

    frames: list[int]
    covered: list[float]
    shares: list[float]


def describe(lumas: Iterable[Tensor], colorizer: Colorizer) -> Described:
    """Look at every frame of a film once: luma `[1, H, W]`, nominally 0..1, in order.

    Raises:
        InputError: there are no frames. UnsupportedError: see `Colorizer.describe`.
    """
    detector, values, every = CutDetector(), [], _EVERY
    kept: dict[int, Tensor] = {}
    luma = None
    for number, luma in enumerate(lumas):
        cuts = detector.push(luma)
        values.append(sharpness(luma))
        # A cut is found while the new shot is young, so that every shot has a described frame.
        if number % every == every // 2 or cuts:
            kept[number] = _features(luma, colorizer)
        if len(kept) > max(_MOST, 2 * len(detector.cuts)):
            every *= 2
            kept = _thinned(kept, every, detector.cuts)
    if luma is None:
        raise InputError("there are no frames to pick from")
    detector.finish()
    if not kept:
        kept[len(values) - 1] = _features(luma, colorizer)
    return Described(FilmSharpness(values, detector.cuts), sorted(kept), torch.stack([kept[n] for n in sorted(kept)]))


def _features(luma: Tensor, colorizer: Colorizer) -> Tensor:
    return colorizer.describe(luma, LINES).to("cpu", torch.float16)


def _thinned(kept: dict[int, Tensor], every: int, cuts: Sequence[int]) -> dict[int, Tensor]:
    first = {bisect_right(cuts, number): number for number in reversed(kept)}
    return {n: x for n, x in kept.items() if n % every == every // 2 or first[bisect_right(cuts, n)] == n}


def nearness(features: Tensor) -> Tensor:
    """How well each described frame (column) covers each (row): `[N, N]`, the likeness that the colorizer goes by."""
    count, areas, width = features.shape
    rows = features.float()
    flat = rows.reshape(count * areas, width)
    return torch.stack([(flat @ one.t()).amax(1).view(count, areas).mean(1) for one in rows], 1)


def check_amount(count: int, coverage: float) -> None:
    """Refuse an amount of frames that says nothing.

    Raises:
        InputError: neither or a wrong value.
    """
    if count < 0 or not 0 <= coverage <= 1 or not (count or coverage):
        raise InputError(f"give a count of 1 or more, or a coverage above 0 and up to 1, got {count = }, {coverage = }")


def cover(film: Described, count: int = 0, coverage: float = 0.0, among: Collection[int] | None = None) -> Cover:
    """Choose frames.

    Args:
        film: see `describe`.
        count: how many at most; 0: as many as `coverage` needs.
        coverage: 0..1, see `Cover.covered`; no more frames are chosen once it is reached. 0: `count` are chosen.
        among: numbers of the described frames that may be chosen; None: of all.

    Raises:
        InputError: see `check_amount`; there is no frame to choose.
    """
    check_amount(count, coverage)
    shots, near, useful = _compared(film)
    barred = _barred(film, among)
    stands_for = torch.tensor([(stop - start) / shots.count((start, stop)) for start, stop in shots])
    stands_for = stands_for / stands_for.sum()
    chosen: list[int] = []
    covered: list[float] = []
    most = len(near) - len(barred)
    while len(chosen) < min(count or most, most) and (not covered or covered[-1] < (coverage or 2)):
        best = useful[:, chosen].amax(1) if chosen else torch.zeros(len(near))
        gains = stands_for @ (useful - best[:, None]).clamp_min(0)
        gains[chosen + barred] = -1
        chosen.append(int(gains.argmax()))
        covered.append(float(stands_for @ near[:, chosen].amax(1)))
    if not coverage:
        chosen = _exchanged(chosen, useful, stands_for, barred)
        covered = [float(stands_for @ near[:, chosen[: i + 1]].amax(1)) for i in range(len(chosen))]
    owner = near[:, chosen].argmax(1)
    shares = [float(stands_for[owner == i].sum()) for i in range(len(chosen))]
    return Cover([film.frames[i] for i in chosen], covered, shares)


def sharpest(film: Described, frames: Iterable[int], around: int = AROUND) -> list[int]:
    """The sharpest frame round each of some, within its shot: their numbers, ascending, each once."""
    frames = list(frames)
    sharp = steady(film.survey.sharpness, sorted({film.shot(frame) for frame in frames}))
    found = set()
    for frame in frames:
        first, stop = film.shot(frame)
        near = range(max(first, frame - around), min(stop, frame + around + 1))
        found.add(max(near, key=lambda n: (sharp[n], -abs(n - frame))))
    return sorted(found)


def cover_shots(film: Described, among: Collection[int]) -> list[int]:
    """Of every shot the frame that covers it best, and another where that one does not cover it well.

    Args:
        film: see `describe`.
        among: numbers of the described frames that may be chosen; shots without any are left out.

    Returns:
        Frame numbers, ascending.
    """
    shots, near, useful = _compared(film)
    allowed = set(among)
    chosen = []
    for shot in sorted(set(shots)):
        rows = [i for i, one in enumerate(shots) if one == shot]
        columns = [i for i in rows if film.frames[i] in allowed]
        mine: list[int] = []
        while len(mine) < min(_A_SHOT, len(columns)):
            if mine and float(near[rows][:, mine].amax(1).mean()) >= _WELL:
                break
            best = useful[rows][:, mine].amax(1) if mine else torch.zeros(len(rows))
            left = [i for i in columns if i not in mine]
            gains = (useful[rows][:, left] - best[:, None]).clamp_min(0).mean(0)
            mine.append(left[int(gains.argmax())])
        chosen += [film.frames[i] for i in mine]
    return sorted(chosen)


def stand_ins(film: Described, chosen: Collection[int]) -> set[int]:
    """Of the chosen frames those that resemble the shots most of which none was chosen."""
    own = {film.shot(frame) for frame in chosen}
    lonely = [i for i, frame in enumerate(film.frames) if film.shot(frame) not in own]
    names = sorted(chosen)
    if not lonely or not names:
        return set()
    nearest = [min(range(len(film.frames)), key=lambda i, at=frame: abs(film.frames[i] - at)) for frame in names]
    return {names[i] for i in nearness(film.features)[lonely][:, nearest].argmax(1).unique().tolist()}


def _compared(film: Described) -> tuple[list[tuple[int, int]], Tensor, Tensor]:
    """The shots of the described frames, how well each frame covers each, and the same less what makes it bad to
    paint."""
    shots = [film.shot(frame) for frame in film.frames]
    near = _above_strangers(nearness(film.features), shots)
    return shots, near, near * torch.tensor(_qualities(film, shots))


def _barred(film: Described, among: Collection[int] | None) -> list[int]:
    allowed = None if among is None else set(among)
    barred = [i for i, frame in enumerate(film.frames) if allowed is not None and frame not in allowed]
    if len(barred) == len(film.frames):
        raise InputError("there is no frame to choose")
    return barred


def _above_strangers(near: Tensor, shots: Sequence[tuple[int, int]]) -> Tensor:
    """Nearness with that of frames that have nothing to do with each other taken for 0: any two pictures have something
    in common."""
    starts = torch.tensor([start for start, _ in shots])
    strangers = near[starts[:, None] != starts[None]].sort().values
    # Most shots may show one scene, so it is the least alike pairs of shots that count.
    low = float(strangers[int(_STRANGERS * len(strangers))]) if len(strangers) else float(near.min())
    return ((near - low) / max(1 - low, 1e-6)).clamp(0, 1)


def _qualities(film: Described, shots: Sequence[tuple[int, int]]) -> list[float]:
    """How good each described frame is to paint: sharp, and not at a shot's end."""
    sharp = steady(film.survey.sharpness, sorted(set(shots)))
    top = {shot: max(sharp[n] for n in range(*shot)) for shot in set(shots)}
    out = []
    for frame, shot in zip(film.frames, shots):
        blur = 1 - max(0.0, sharp[frame]) / top[shot] if top[shot] > 0 else 0.0
        edge = min(frame - shot[0], shot[1] - 1 - frame) < min(EDGE, (shot[1] - shot[0]) // 4)
        out.append(1 - _BLUR * blur - _AT_EDGE * edge)
    return out


def _exchanged(chosen: list[int], useful: Tensor, stands_for: Tensor, barred: list[int]) -> list[int]:
    """What was chosen one by one, improved by exchanging single frames while that helps."""
    chosen = list(chosen)
    for _ in range(_EXCHANGES if len(chosen) > 1 else 0):
        before = list(chosen)
        for i in range(len(chosen)):
            others = chosen[:i] + chosen[i + 1 :]
            gains = stands_for @ (useful - useful[:, others].amax(1)[:, None]).clamp_min(0)
            gains[others + barred] = -1
            best = int(gains.argmax())
            if gains[best] > gains[chosen[i]] * (1 + 1e-6):
                chosen[i] = best
        if chosen == before:
            break
    return chosen
