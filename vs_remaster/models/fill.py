"""What large damage hides, taken from the frames beside it: each is placed where the scene has moved, and only what is
undamaged there is used.

Motion is found by comparing small pictures of two frames within a bounded reach, then finer and finer ones round what
was found. A pixel that is damaged in either frame counts for nothing: under damage, motion is that of its surroundings,
and for the nearest pairs of frames that of the scene between the frame before and the frame after, which both show it.
There is nothing to train here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 64
"""Side of the pieces that are filled, on a grid of the whole frame, pixels."""
RADIUS = 4
"""Frames on each side in which is looked for what damage hides."""
AT_ONCE = 16
"""Cells filled at once, to bound the memory."""
FINE = (4, 2, 1)
"""Pixels of a cell that one place stands for, in their order."""

_PAIRED = 2  # frames apart up to which motion counts as even, so that the frames on both sides tell it
_OFFSETS = tuple(sorted((k for k in range(-RADIUS, RADIUS + 1) if k), key=lambda k: (abs(k) > _PAIRED, k)))
_NEAR = 2 * _PAIRED  # of them
_MARGIN = 16  # pixels round a cell that are compared, too
_COARSE = (16, 8)  # the same of a whole frame
_REACH = 4  # places each way at the first level, 1 at the others
_SCALES = {16: 1.0, 8: 1.0, 4: 1.5, 2: 2.0, 1: 3.0}  # places over which errors are summed
_ANYWHERE = 1e-4  # what the farthest line or column counts, for where nothing near is sound
_FROM = {8: (4, 2), 4: (6, 3, 1), 2: (8, 4, 2)}  # places away whose motion is tried, too
_EVENED = {4: 2, 2: 3, 1: 4}  # radius over which the start is averaged, places
_SOUND = 0.9  # share of sound pixels from which a place counts as sound
_PAIR = 0.25  # what their error counts beside that of the frame itself
_AWAY = 1e-5  # cost of a place away from where motion was expected, for its distance squared
_DOUBT = 2e-3  # mean squared error at which a neighbour counts for 1/e
_FARTHER = 0.85  # what a neighbour counts beside one that is a frame nearer


class Fill(nn.Module):
    """Finds what lies under damage. Source: our own."""

    def forward(self, luma: Tensor, sound: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Fill cells of a frame.

        Args:
            luma: restored frames `[2 * RADIUS + 1, 1, H, W]`, 0..1: the frame in the middle and its neighbours.
            sound: 1 where a pixel is undamaged, else 0, as it is all over a neighbour that does not exist; like `luma`.
            cells: their first lines and columns, `[N, 2]` int64. They may reach over the frame's edges.

        Returns:
            The luma found, `[N, 1, CELL, CELL]`, and how well it is known, 0 or 1: 0 where no frame shows it.
        """
        seen = self.look(luma, sound)
        found, known = (torch.cat(part) for part in zip(*(self.find(seen, some) for some in cells.split(AT_ONCE))))
        return found, known

    def look(self, luma: Tensor, sound: Tensor) -> Seen:
        """What is found once for a frame, however many of its cells are filled; see `forward`."""
        right, bottom = -luma.shape[-1] % _COARSE[0], -luma.shape[-2] % _COARSE[0]
        luma, sound = F.pad(luma, (0, right, 0, bottom), mode="replicate"), F.pad(sound, (0, right, 0, bottom))
        motion = None
        for pixels in _COARSE:
            level = _Level.of(luma, sound, pixels)
            area = _Area.whole(level)
            still = torch.zeros_like(area.lines)
            start = motion.expected(area) if motion else (still, still)
            motion, _ = _search(level, area, start, 1 if motion else _REACH)
        assert motion is not None
        return Seen(*(_Level.of(luma, sound, pixels).values for pixels in FINE), motion.down, motion.across)

    def find(self, seen: Seen, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Fill cells of a frame all at once; see `forward`. `seen`: what `look` found."""
        motion = _Motion.whole(seen.down, seen.across)
        levels = [_Level(values, pixels) for values, pixels in zip(seen, FINE)]
        for level in levels:
            area = _Area.part(cells - _MARGIN, level.pixels)
            motion, error = _search(level, area, motion.expected(area), 1)
        return _mixed(levels[-1], area.moved(motion.down, motion.across), error)


class Seen(NamedTuple):
    """What `Fill.look` finds, H and W whole multiples of 16.

    Attributes:
        quarter, half, whole: the frames with one place for so many pixels as `FINE` says, and one more place at each
            side, `[2 * RADIUS + 1, H/n + 2, W/n + 2, C]`, see `_Level`.
        down, across: how far the scene lies in each neighbour, in the order of `_OFFSETS`, for places of 8 pixels, in
            such places, `[2 * RADIUS, 1, H/8, W/8]` int64.
    """

    quarter: Tensor
    half: Tensor
    whole: Tensor
    down: Tensor
    across: Tensor


class _Area(NamedTuple):
    """Places of a level for each of N cells, or for whole frames: lines and columns, `[K, N, h, w]` int64 each, for
    each of the K neighbours, or 1 for all of them."""

    lines: Tensor
    columns: Tensor

    @classmethod
    def whole(cls, level: _Level) -> _Area:
        """All places of frames, for every neighbour."""
        lines, columns = (torch.arange(side, device=level.values.device) for side in level.size)
        shape = (len(_OFFSETS), 1, *level.size)
        return cls(lines[:, None].expand(shape), columns.expand(shape))

    @classmethod
    def part(cls, corners: Tensor, pixels: int) -> _Area:
        """The places of cells and their margins, whose first lines and columns `[N, 2]` are given in pixels."""
        side = (CELL + 2 * _MARGIN) // pixels
        axis = torch.arange(side, device=corners.device)
        lines, columns = (torch.div(corners, pixels, rounding_mode="floor")[..., None] + axis).unbind(1)
        shape = (len(_OFFSETS), corners.shape[0], side, side)
        return cls(lines[:, :, None].expand(shape), columns[:, None].expand(shape))

    def moved(self, down: Tensor, across: Tensor) -> _Area:
        return _Area(self.lines + down, self.columns + across)


class _Motion(NamedTuple):
    """How far the scene lies in each neighbour down and across at the places of areas, in places of their level, `[K,
    N, h, w]` int64; and the first line and column of each area, `[K, N, 1, 1]`."""

    down: Tensor
    across: Tensor
    top: Tensor
    left: Tensor

    @classmethod
    def whole(cls, down: Tensor, across: Tensor) -> _Motion:
        """That of whole frames."""
        first = torch.zeros_like(down[..., :1, :1])
        return cls(down, across, first, first)

    def expected(self, area: _Area) -> tuple[Tensor, Tensor]:
        """This motion as it is expected at the places `area` of the next level, in its own places."""
        height, width = self.down.shape[-2:]
        line = torch.div(area.lines, 2, rounding_mode="floor") - self.top
        column = torch.div(area.columns, 2, rounding_mode="floor") - self.left
        first = torch.arange(len(_OFFSETS) * self.down.shape[1], device=line.device).view(len(_OFFSETS), -1, 1, 1)
        at = (first * height + line.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
        return 2 * self.down.take(at), 2 * self.across.take(at)


class _Level(NamedTuple):
    """Frames with one place for so many pixels, and one unsound place more at each side: what is compared, and last
    whether it is sound, `[T, h + 2, w + 2, C]`."""

    values: Tensor
    pixels: int

    @classmethod
    def of(cls, luma: Tensor, sound: Tensor, pixels: int) -> _Level:
        """Brightness, and at all levels but the finest how it changes across and down."""
        if pixels == 1:
            parts = [luma, sound]
        else:
            share = F.avg_pool2d(sound, pixels)
            mean = F.avg_pool2d(luma * sound, pixels) / share.clamp_min(1e-3)
            wider = F.pad(mean, (1, 1, 1, 1), mode="replicate")
            across = wider[..., 1:-1, 2:] - wider[..., 1:-1, :-2]
            down = wider[..., 2:, 1:-1] - wider[..., :-2, 1:-1]
            whole = -F.max_pool2d(-(share > _SOUND).to(luma), 3, 1, 1)  # changes look one place away
            parts = [mean, across, down, whole]
        return cls(F.pad(torch.cat(parts, 1), (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous(), pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Lines and columns."""
        return self.values.shape[1] - 2, self.values.shape[2] - 2

    def reader(self, frames: Tensor) -> Callable[[_Area], tuple[Tensor, Tensor]]:
        """Tells what of these frames, one for each neighbour `[K]`, stands at places: `[K, N, h', w', C - 1]`, and
        what of it is sound, `[K, N, h', w']`: nothing is outside the frame."""
        height, width = self.size
        rows = self.values.flatten(0, 2)
        first = (frames.view(-1, 1, 1, 1) * (height + 2) + 1) * (width + 2) + 1

        def read(area: _Area) -> tuple[Tensor, Tensor]:
            at = area.lines.clamp(-1, height) * (width + 2) + area.columns.clamp(-1, width) + first
            found = F.embedding(at, rows)
            return found[..., :-1], found[..., -1]

        return read


def _search(level: _Level, area: _Area, start: tuple[Tensor, Tensor], reach: int) -> tuple[_Motion, Tensor]:
    """The best motion near where it starts, lines and columns `[K, N, h, w]` each, and its error, the same.

    Tried are all places within `reach` of the start, then what places farther off have found: under damage, one that
    sees more may know better. In cells the start is averaged: what lay halfway between two places at the level before
    was a mixture of both there, and is a place of its own here.
    """
    if level.pixels in _EVENED:
        start = _evened(start[0], _EVENED[level.pixels]), _evened(start[1], _EVENED[level.pixels])
    offsets = torch.tensor(_OFFSETS, device=area.lines.device)
    near = _Area(*(x[:_NEAR] for x in area))
    here, here_sound = level.reader(torch.full_like(offsets[:1], RADIUS))(_Area(*(x[:1] for x in area)))
    neighbour, opposite = level.reader(RADIUS + offsets), level.reader(RADIUS - offsets[:_NEAR])
    fading = [_fading(side, _SCALES[level.pixels], here.device) for side in area.lines.shape[-2:]]
    down, across = start
    best = torch.full_like(area.lines, torch.inf, dtype=here.dtype)

    def consider(moved: tuple[Tensor, Tensor], penalty: float = 0.0) -> None:
        nonlocal down, across, best
        there, there_sound = neighbour(area.moved(*moved))
        beyond, beyond_sound = opposite(_Area(*(x - way[:_NEAR] for x, way in zip(near, moved))))
        own = here_sound * there_sound
        both = _PAIR * there_sound[:_NEAR] * beyond_sound
        terms = torch.stack([own * _apart(here, there), own], 2)
        pair = torch.stack([both / 2 * _apart(there[:_NEAR], beyond), both], 2)
        terms = torch.cat([terms[:_NEAR] + pair, terms[_NEAR:]])
        error, weight = (fading[0] @ terms @ fading[1]).unbind(2)
        cost = error / (weight + 1e-9) + penalty
        less = cost < best
        best = torch.where(less, cost, best)
        down, across = torch.where(less, moved[0], down), torch.where(less, moved[1], across)

    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    steps.sort(key=lambda step: step[0] ** 2 + step[1] ** 2)
    for y, x in steps:
        consider((start[0] + y, start[1] + x), _AWAY * (y * y + x * x))
    for far in _FROM.get(level.pixels, ()):
        for y, x in ((-far, 0), (far, 0), (0, -far), (0, far)):
            consider((_beside(down, y, x), _beside(across, y, x)))
    return _Motion(down, across, *(x[..., :1, :1] for x in area)), best


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance over the last dimension."""
    error = a - b
    return error[..., 0].square() if error.shape[-1] == 1 else error.square().sum(-1)


def _evened(x: Tensor, radius: int) -> Tensor:
    """Means of whole numbers `[K, N, h, w]` over squares, rounded."""
    padded = F.pad(x.float(), (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, 1).round().long()


def _beside(x: Tensor, down: int, across: int) -> Tensor:
    """`x` `[K, N, h, w]` as it is so many places lower, or to the right; at the edge the last ones."""
    dim, step = (-2, down) if down else (-1, across)
    at = torch.arange(x.shape[dim], device=x.device) + step
    return x.index_select(dim, at.clamp(0, x.shape[dim] - 1))


def _fading(side: int, scale: float, device: torch.device) -> Tensor:
    """What each place of a line counts for each other one `[side, side]`: 1/e if it is `scale` places away, and a
    little everywhere."""
    at = torch.arange(side, device=device)
    return torch.exp(-(at[:, None] - at).abs() / scale) + _ANYWHERE


def _mixed(level: _Level, area: _Area, error: Tensor) -> tuple[Tensor, Tensor]:
    """What the neighbours of each cell show, the likeliest and nearest counting most."""
    offsets = torch.tensor(_OFFSETS, device=error.device)
    there, sound = level.reader(RADIUS + offsets)(area)
    nearness = _FARTHER ** offsets.abs().view(-1, 1, 1, 1)
    weight = (torch.exp(-error / _DOUBT) + 1e-6) * nearness * sound
    inner = slice(_MARGIN, _MARGIN + CELL)
    weight, seen = (x[..., inner, inner][:, :, None] for x in (weight, there[..., 0]))
    total = weight.sum(0)
    return (weight * seen).sum(0) / total.clamp_min(1e-12), (total > 0).to(total)
