"""Takes the weave of film in the gate out of the picture; pans, tilts and the slow swing of a hand stay.

There are three windows, one after the other. In the first one each frame is compared with the one before (`shifts`).
In the second one the shifts around a frame say what of them is weave (`weave`). In the third one the frame is moved
back by that, once, by a filter that does not soften. Turning is not looked for. What a frame does not show at its
border is taken from the frames beside it, as bright as they are there: flicker is best removed before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from ..errors import InputError
from ..models.layers import Halo
from .options import Edges
from .shifts import NO_SHIFT, Shift, look, shift_between, taps
from .weave import LIMIT, REACH, weaves
from .window import Window

STEP = 64
"""Frames are moved by whole parts of a pixel, of which there are so many; by less than one they are not moved."""
BESIDE = 8
"""Frames each way in which is looked for what a frame does not show."""


class Woven(NamedTuple):
    """A frame whose weave is known.

    Attributes:
        planes: `[C, h, w]` each, moved alike: luma first, then chroma, masks or others, of the luma's size or smaller.
        shift: since the frame before, see `Steadier.measure`.
        weave: see `Steadier.weave`.
    """

    planes: tuple[Tensor, ...]
    shift: Shift
    weave: Shift


def margin(height: int, width: int) -> int:
    """Pixels at each border that a frame of this size may not show itself: a host that crops them shows no filled ones.
    It is the same for a whole film."""
    return math.ceil(LIMIT * min(height, width))


class Steadier:
    """Takes the weave out; the picture's size stays.

    Args:
        strength: how much of it, 0 to 1. At 0 frames come back as they are.
        edges: see `Edges`. With `crop` the frame's own last line or column is repeated, for whoever asked cuts the
            `margin` off.
        block: frames made at once.

    Attributes:
        measuring: the window of `measure`.
        weighing: the window of `weave`.
        moving: the window of `move`.

    Raises:
        InputError: another strength or other edges.
    """

    def __init__(self, strength: float = 1.0, edges: Edges = "fill", block: int = 16) -> None:
        if not 0 <= strength <= 1:
            raise InputError(f"steady must be 0 (off) to 1 (all weave is taken out), got {strength}")
        if edges not in get_args(Edges):
            raise InputError(f"edges must be one of {', '.join(get_args(Edges))}, got {edges!r}")
        self.strength, self.edges = strength, edges
        on, beside = strength > 0, BESIDE if strength and edges == "fill" else 0
        self.measuring: Window[Tensor, Shift] = Window(before=int(on), after=0, block=block)
        self.weighing: Window[Shift, Shift] = Window(before=REACH * on, after=REACH * on, block=block)
        self.moving: Window[Woven, tuple[Tensor, ...]] = Window(before=beside, after=beside, block=block)

    @property
    def windows(self) -> list[Window]:
        """The windows that frames go through, in order."""
        return [self.measuring, self.weighing, self.moving]

    def steady(self, frames: Sequence[tuple[Tensor, ...]], cuts: Sequence[int] = (), first: int = 0) -> list[Woven]:
        """Take the weave out of a whole clip that lies in memory.

        Args:
            frames: planes of each, see `Woven`; luma 0..1.
            cuts: frames that start a scene.
            first: number of the first frame.
        """
        if not frames:
            return []
        starts = [number in frozenset(cuts) for number in range(first, first + len(frames))]
        shifts = list(self.measuring.run(zip((planes[0] for planes in frames), starts), self.measure, first))
        weigh = partial(self.weave, size=(frames[0][0].shape[-2], frames[0][0].shape[-1]))
        weaves = list(self.weighing.run(zip(shifts, starts), weigh, first))
        woven = list(map(Woven, frames, shifts, weaves))
        moved = self.moving.run(zip(woven, starts), self.move, first)
        return [frame._replace(planes=planes) for frame, planes in zip(woven, moved)]

    def measure(self, frames: Sequence[Tensor], halo: Halo) -> list[Shift]:
        """How far each frame of a window moved since the frame before; nothing for the first one of a shot.

        Args:
            frames: luma `[1, H, W]`, 0..1.
            halo: how many frames at either end are context only.
        """
        if not self.strength:
            return [NO_SHIFT] * len(frames[halo.kept(len(frames))])
        looks = [look(frame) for frame in frames[: len(frames) - halo.after]]
        first = [] if halo.before else [NO_SHIFT]
        made = [shift_between(before, after) for before, after in pairwise(looks)]
        return (first + made)[max(0, halo.before - 1) :]

    def weave(self, shifts: Sequence[Shift], halo: Halo, size: tuple[int, int]) -> list[Shift]:
        """The weave that is taken out of each frame of a window, pixels of the luma. What lies at (y, x) without it lay
        at (y + down, x + across): those are the coordinates of the gate.

        Args:
            shifts: what `measure` found.
            halo: how many frames at either end are context only.
            size: height and width of the luma.
        """
        made = range(len(shifts))[halo.kept(len(shifts))]
        found = weaves(shifts, made, size) if self.strength and made else [NO_SHIFT] * len(made)
        return [Shift(*(round(self.strength * way * STEP) / STEP for way in weave)) for weave in found]

    @torch.inference_mode()
    def move(self, frames: Sequence[Woven], halo: Halo) -> list[tuple[Tensor, ...]]:
        """The planes of the frames of a window that are no halo, without their weave; the same objects where there is
        none."""
        return [self._moved(frames, at) for at in range(len(frames))[halo.kept(len(frames))]]

    def _moved(self, frames: Sequence[Woven], at: int) -> tuple[Tensor, ...]:
        planes, _, taken = frames[at]
        if taken == NO_SHIFT:
            return planes
        height, width = planes[0].shape[-2:]
        beside = list(_beside(frames, at)) if self.edges == "fill" else []
        made = []
        for number, plane in enumerate(planes):
            scale = plane.shape[-2] / height, plane.shape[-1] / width
            others = [(frame.planes[number], _sum(taken, far, scale)) for frame, far in beside]
            made.append(_moved(plane, _sum(taken, NO_SHIFT, scale), others))
        return tuple(made)


def _beside(frames: Sequence[Woven], at: int) -> Iterator[tuple[Woven, Shift]]:
    """The frames beside one, nearest first, and how far from where they lie in it things lie in them."""
    steps = {0: NO_SHIFT}
    for k in range(1, BESIDE + 1):
        if at - k >= 0:
            down, across = frames[at - k + 1].shift
            steps[-k] = Shift(steps[1 - k].down - down, steps[1 - k].across - across)
            yield frames[at - k], steps[-k]
        if at + k < len(frames):
            down, across = frames[at + k].shift
            steps[k] = Shift(steps[k - 1].down + down, steps[k - 1].across + across)
            yield frames[at + k], steps[k]


def _sum(a: Shift, b: Shift, scale: tuple[float, float]) -> Shift:
    """The sum of two shifts in a plane of another size."""
    return Shift((a.down + b.down) * scale[0], (a.across + b.across) * scale[1])


def _moved(plane: Tensor, taken: Shift, others: Sequence[tuple[Tensor, Shift]]) -> Tensor:
    """A plane `[C, H, W]` from which this shift is taken out. What it does not show comes from the first of the others
    that shows it, each with the shift to be taken out of it; what none shows, from the plane's own edge."""
    height, width = plane.shape[-2:]
    out = _cut(plane, taken, (0, height), (0, width))
    rows, columns = _shown(height, taken.down), _shown(width, taken.across)
    strips = [
        ((0, rows[0]), (0, width)),
        ((rows[1], height), (0, width)),
        ((rows[0], rows[1]), (0, columns[0])),
        ((rows[0], rows[1]), (columns[1], width)),
    ]
    for (top, bottom), (left, right) in strips:
        if top >= bottom or left >= right:
            continue
        part = out[:, top:bottom, left:right]
        missing = torch.ones(bottom - top, right - left, dtype=torch.bool)
        for other, shift in others:
            (y0, y1), (x0, x1) = _shown(height, shift.down), _shown(width, shift.across)
            here = torch.zeros_like(missing)
            here[max(0, y0 - top) : max(0, y1 - top), max(0, x0 - left) : max(0, x1 - left)] = True
            here &= missing
            if here.any():
                found = _cut(other, shift, (top, bottom), (left, right))
                part[:] = torch.where(here.to(part.device), found.to(part), part)
                missing &= ~here
            if not missing.any():
                break
    return out


def _shown(side: int, taken: float) -> tuple[int, int]:
    """The first line and the one after the last that a frame of `side` lines shows once it is moved."""
    first = min(side, max(0, math.ceil(-taken)))
    return first, max(first, min(side, math.floor(side - 1 - taken) + 1))


def _cut(plane: Tensor, taken: Shift, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """These lines and columns of a plane `[C, H, W]` from which this shift is taken out, its edge repeated."""
    x = plane.float()
    for dim, way, (start, stop) in ((-2, taken.down, rows), (-1, taken.across, columns)):
        side = x.shape[dim]
        whole = math.floor(-way)
        weights = [(k, weight) for k, weight in enumerate(taps(-way - whole).tolist()) if weight]
        at = torch.arange(start - whole - 4, stop - whole + 4, device=x.device).clamp_(0, side - 1)
        source = x.index_select(dim, at)
        parts = [source.narrow(dim, k, stop - start) for k, _ in weights]
        x = parts[0] * weights[0][1]
        for part, (_, weight) in zip(parts[1:], weights[1:]):
            x.add_(part, alpha=weight)
    # Beside hard edges the filter swings beyond what the plane holds.
    return x.clamp_(*(float(value) for value in torch.aminmax(plane))).to(plane.dtype)
