"""What large damage hides, taken from the frames beside it: each is placed where the scene has moved, and only what is
undamaged there is used.

Motion is found by comparing small pictures of two frames within a bounded reach, then finer and finer ones round what
was found. A pixel that is damaged in either frame counts for nothing: under damage, motion is that of its surroundings,
and for the nearest pairs of frames that of the scene between the frame before and the frame after, which both show it.
There is nothing to train here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CELL = 64
"""Side of the pieces that are filled, on a grid of the whole frame, pixels."""
RADIUS = 4
"""Frames on each side in which is looked for what damage hides."""

_PAIRED = 2  # frames apart up to which motion counts as even, so that the frames on both sides tell it
_OFFSETS = tuple(sorted((k for k in range(-RADIUS, RADIUS + 1) if k), key=lambda k: (abs(k) > _PAIRED, k)))
_MARGIN = 16  # pixels round a cell that are compared, too
_AT_ONCE = 16  # cells, to bound the memory
_COARSE = (16, 8)  # pixels of a whole frame that one place stands for, in their order
_FINE = (4, 2, 1)  # the same of a cell
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
        right, bottom = -luma.shape[-1] % _COARSE[0], -luma.shape[-2] % _COARSE[0]
        luma, sound = F.pad(luma, (0, right, 0, bottom), mode="replicate"), F.pad(sound, (0, right, 0, bottom))
        pairs = _Pairs.of(1, luma.device)
        held, flow = _Area.whole(luma, 2 * _COARSE[0], pairs), None
        for pixels in _COARSE:
            area = _Area.whole(luma, pixels, pairs)
            start = _still(area) if flow is None else _expected(flow, held, area)
            flow, _ = _search(_Level.of(luma, sound, pixels), pairs, area, start, _REACH if flow is None else 1)
            held = area
        assert flow is not None
        levels = [_Level.of(luma, sound, pixels) for pixels in _FINE]
        parts = [_found(levels, some, held, flow) for some in cells.split(_AT_ONCE)]
        found, known = (torch.cat(part) for part in zip(*parts))
        return found, known


class _Pairs(NamedTuple):
    """The frame and each of its neighbours, each as often as asked for; numbers in the window."""

    neighbour: Tensor  # `[P]`
    opposite: Tensor  # the frame as far away on the other side, only for the first, which are near: `[Q]`
    weight: Tensor  # what the neighbour counts by its distance, `[P, 1, 1]`

    @classmethod
    def of(cls, count: int, device: torch.device) -> _Pairs:
        offset = torch.tensor(_OFFSETS, device=device).repeat_interleave(count)
        near = offset[: 2 * _PAIRED * count]
        return cls(RADIUS + offset, RADIUS - near, _FARTHER ** offset.abs().view(-1, 1, 1))


class _Area(NamedTuple):
    """Places of a level: lines and columns, `[P, h, w]` int64 each."""

    lines: Tensor
    columns: Tensor

    @classmethod
    def whole(cls, luma: Tensor, pixels: int, pairs: _Pairs) -> _Area:
        """All places of frames of this size, for every pair."""
        height, width = luma.shape[-2] // pixels, luma.shape[-1] // pixels
        shape = (len(pairs.neighbour), height, width)
        lines, columns = torch.arange(height, device=luma.device), torch.arange(width, device=luma.device)
        return cls(lines[:, None].expand(shape), columns.expand(shape))

    @classmethod
    def part(cls, corners: Tensor, pixels: int) -> _Area:
        """The places of cells and their margins, whose first lines and columns `[P, 2]` are given in pixels."""
        side = (CELL + 2 * _MARGIN) // pixels
        axis = torch.arange(side, device=corners.device)
        lines, columns = (torch.div(corners, pixels, rounding_mode="floor")[..., None] + axis).unbind(1)
        shape = (len(corners), side, side)
        return cls(lines[:, :, None].expand(shape), columns[:, None].expand(shape))

    def moved(self, down: Tensor, across: Tensor) -> _Area:
        return _Area(self.lines + down, self.columns + across)


class _Level(NamedTuple):
    """Frames with one place for so many pixels: what is compared, and last whether it is sound, `[T, h, w, C]`."""

    values: Tensor
    pixels: int

    @classmethod
    def of(cls, luma: Tensor, sound: Tensor, pixels: int) -> _Level:
        """Brightness, and at all levels but the finest how it changes across and down."""
        if pixels == 1:
            return cls(torch.cat([luma, sound], 1).permute(0, 2, 3, 1).contiguous(), pixels)
        share = F.avg_pool2d(sound, pixels)
        mean = F.avg_pool2d(luma * sound, pixels) / share.clamp_min(1e-3)
        wider = F.pad(mean, (1, 1, 1, 1), mode="replicate")
        across = wider[..., 1:-1, 2:] - wider[..., 1:-1, :-2]
        down = wider[..., 2:, 1:-1] - wider[..., :-2, 1:-1]
        whole = -F.max_pool2d(-(share > _SOUND).to(luma), 3, 1, 1)  # changes look one place away
        return cls(torch.cat([mean, across, down, whole], 1).permute(0, 2, 3, 1).contiguous(), pixels)

    def read(self, frame: Tensor | int, area: _Area) -> tuple[Tensor, Tensor]:
        """What a frame each (or one for all) shows at these places, `[P, h', w', C - 1]`, and what of it is sound
        `[P, h', w']`: nothing is outside the frame."""
        height, width, channels = self.values.shape[1:]
        inside = (area.lines >= 0) & (area.lines < height) & (area.columns >= 0) & (area.columns < width)
        at = area.lines.clamp(0, height - 1) * width + area.columns.clamp(0, width - 1)
        first = frame.view(-1, 1, 1) if isinstance(frame, Tensor) else frame
        at = at + first * (height * width)
        values = self.values.view(-1, channels).index_select(0, at.flatten()).view(*at.shape, channels)
        return values[..., :-1], values[..., -1] * inside


def _found(levels: list[_Level], cells: Tensor, held: _Area, flow: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Some cells `[N, 2]`, whose motion is known roughly at the places `held` of the whole frame; see `Fill`."""
    pairs = _Pairs.of(len(cells), cells.device)
    corners = cells.repeat(len(_OFFSETS), 1) - _MARGIN
    held = _Area(*(x.repeat_interleave(len(cells), 0) for x in held))
    flow, error = tuple(x.repeat_interleave(len(cells), 0) for x in flow), None
    for level in levels:
        area = _Area.part(corners, level.pixels)
        flow, error = _search(level, pairs, area, _expected(flow, held, area), 1)
        held = area
    assert error is not None
    return _mixed(levels[-1], pairs, held.moved(*flow), error)


def _still(area: _Area) -> tuple[Tensor, ...]:
    return torch.zeros_like(area.lines), torch.zeros_like(area.lines)


def _expected(flow: tuple[Tensor, ...], held: _Area, area: _Area) -> tuple[Tensor, ...]:
    """Motion found at places `held`, as it is expected at the places `area` of the next level, in its own places."""
    height, width = held.lines.shape[-2:]
    line = torch.div(area.lines, 2, rounding_mode="floor") - held.lines[:, :1, :1]
    column = torch.div(area.columns, 2, rounding_mode="floor") - held.columns[:, :1, :1]
    at = (line.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
    down, across = (2 * x.flatten(1).gather(1, at).view_as(area.lines) for x in flow)
    return down, across


def _search(
    level: _Level, pairs: _Pairs, area: _Area, start: tuple[Tensor, ...], reach: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The best motion near where it starts, lines and columns `[P, h, w]` each, and its error.

    Tried are all places within `reach` of the start, then what places farther off have found: under damage, one that
    sees more may know better. In cells the start is averaged: what lay halfway between two places at the level before
    was a mixture of both there, and is a place of its own here.
    """
    if level.pixels in _EVENED:
        start = tuple(_evened(x, _EVENED[level.pixels]) for x in start)
    here, here_sound = level.read(RADIUS, area)
    near = _Area(*(x[: len(pairs.opposite)] for x in area))
    (down, across), best = start, torch.full_like(here_sound, torch.inf)

    def consider(moved: tuple[Tensor, ...], penalty: float = 0.0) -> None:
        nonlocal down, across, best
        there, there_sound = level.read(pairs.neighbour, area.moved(*moved))
        opposite, opposite_sound = level.read(pairs.opposite, near.moved(*(-x[: len(near.lines)] for x in moved)))
        own = here_sound * there_sound
        both = _PAIR * there_sound[: len(opposite)] * opposite_sound
        terms = torch.stack([own * _apart(here, there), own], 1)
        terms[: len(both)] += torch.stack([both / 2 * _apart(there[: len(both)], opposite), both], 1)
        error, weight = _summed(terms, _SCALES[level.pixels]).unbind(1)
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
    return (down, across), best


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance over the last dimension."""
    error = a - b
    return error[..., 0].square() if error.shape[-1] == 1 else error.square().sum(-1)


def _evened(x: Tensor, radius: int) -> Tensor:
    """Means of whole numbers `[P, h, w]` over squares, rounded."""
    padded = F.pad(x[:, None].float(), (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, 1)[:, 0].round().long()


def _beside(x: Tensor, down: int, across: int) -> Tensor:
    """`x` `[P, h, w]` as it is so many places lower and to the right; at the edge the last ones."""
    height, width = x.shape[-2:]
    lines = (torch.arange(height, device=x.device) + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=x.device) + across).clamp(0, width - 1)
    return x[:, lines][:, :, columns]


def _summed(x: Tensor, scale: float) -> Tensor:
    """Sums of `x` `[P, C, h, w]` round each place, of which 1/e counts `scale` places away, and a little everywhere."""

    def fading(side: int) -> Tensor:
        at = torch.arange(side, device=x.device)
        return torch.exp(-(at[:, None] - at).abs() / scale) + _ANYWHERE

    return fading(x.shape[-2]) @ x @ fading(x.shape[-1])


def _mixed(level: _Level, pairs: _Pairs, area: _Area, error: Tensor) -> tuple[Tensor, Tensor]:
    """What the neighbours of each cell show, the likeliest and nearest counting most."""
    there, sound = level.read(pairs.neighbour, area)
    weight = (torch.exp(-error / _DOUBT) + 1e-6) * pairs.weight * sound
    inner = slice(_MARGIN, _MARGIN + CELL)
    weight, seen = (x[:, None, inner, inner].unflatten(0, (len(_OFFSETS), -1)) for x in (weight, there[..., 0]))
    total = weight.sum(0)
    return (weight * seen).sum(0) / total.clamp_min(1e-12), (total > 0).to(total)
