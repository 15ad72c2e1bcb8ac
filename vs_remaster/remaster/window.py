"""Temporal windows: which frames a network is fed so that frame n is always the same frame.

Blocks lie on an absolute grid (frame // block). A block is fed with `before` and `after` frames of context; a cut
clips the window, as do the ends of the film. What comes out for frame n therefore depends on the film and on n alone:
not on where decoding began, on the order frames are asked for, or on who asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import InputError
from ..models.layers import Halo


@dataclass(frozen=True)
class Span:
    """Frames `first..last` are fed to the network, frames `start..stop` come out of it (ends exclusive)."""

    first: int
    start: int
    stop: int
    last: int

    @property
    def halo(self) -> Halo:
        """How many of the frames fed are context only."""
        return Halo(self.start - self.first, self.last - self.stop)


@dataclass(frozen=True, kw_only=True)
class Window[Item, Made]:
    """How far a network looks: `before` and `after` frames on each side, `block` frames made at once.

    Raises:
        InputError: a negative reach or a block of less than one frame.
    """

    before: int
    after: int
    block: int

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0 or self.block < 1:
            raise InputError(f"a window needs before >= 0, after >= 0 and block >= 1, got {self}")

    def reach(self, index: int, length: int) -> tuple[int, int]:
        """First and last frame (exclusive) that block `index` of a film of `length` frames can depend on."""
        return max(0, index * self.block - self.before), min(length, (index + 1) * self.block + self.after)

    def fed(self, first: int, last: int | None) -> tuple[int, int | None]:
        """What has to be fed for frames `first` to `last` (not included; None: to the end): the first frame, also where
        the film begins later, and the first behind."""
        before = first // self.block * self.block - self.before
        return before, None if last is None else -(-last // self.block) * self.block + self.after

    def spans(self, index: int, length: int, cuts: Iterable[int]) -> list[Span]:
        """What to compute for block `index`.

        Args:
            index: number of the block on the absolute grid.
            length: frames of the film.
            cuts: numbers of frames that start a scene; only those within `reach` matter.

        Returns:
            One span, or one for each part of the block where cuts divide it.
        """
        low, high = self.reach(index, length)
        begin, end = index * self.block, min((index + 1) * self.block, length)
        edges = [low, *sorted({cut for cut in cuts if low < cut < high}), high]
        parts = []
        for scene_start, scene_end in pairwise(edges):
            start, stop = max(begin, scene_start), min(end, scene_end)
            if start < stop:
                first, last = max(scene_start, start - self.before), min(scene_end, stop + self.after)
                parts.append(Span(first, start, stop, last))
        return parts

    def run(
        self,
        frames: Iterable[tuple[Item, bool]],
        process: Callable[[Sequence[Item], Halo], Sequence[Made]],
        first: int = 0,
    ) -> Iterator[Made]:
        """Push a film through, block by block, holding `before + block + after` frames at most.

        Args:
            frames: every frame in order, and whether it starts a scene.
            process: makes the frames of a window, without its halo.
            first: number of the first frame, for the grid. Context before it does not exist.

        Returns:
            An iterator over what `process` made, one for each frame.
        """
        held: deque[Item] = deque()
        cuts: list[int] = []
        oldest, count = first, first
        index = first // self.block

        def finished(length: int) -> Iterator[Made]:
            nonlocal oldest, index
            for span in self.spans(index, length, cuts):
                span = Span(max(span.first, oldest), max(span.start, oldest), span.stop, span.last)
                if span.start < span.stop:
                    fed = [held[i - oldest] for i in range(span.first, span.last)]
                    yield from process(fed, span.halo)
            index += 1
            keep = max(oldest, index * self.block - self.before)
            while oldest < min(keep, count):
                held.popleft()
                oldest += 1
            cuts[:] = [cut for cut in cuts if cut > oldest]

        for item, starts_scene in frames:
            if starts_scene and count > first:
                cuts.append(count)
            held.append(item)
            count += 1
            while count >= (index + 1) * self.block + self.after:
                yield from finished(count)
        while index * self.block < count:
            yield from finished(count)


def needed(windows: Sequence[Window], first: int, last: int | None) -> list[tuple[int, int | None]]:
    """Which frames each of some windows, one after the other, has to make.

    Args:
        windows: in the order in which frames go through.
        first: first frame that is wanted in the end.
        last: first frame that is not any more; None: all are, to the end.

    Returns:
        The same two numbers for each window.
    """
    found = []
    for window in reversed(windows):
        found.append((first, last))
        first, last = window.fed(first, last)
    return found[::-1]


def stage[Item](
    film: Iterable[tuple[Item, bool]],
    window: Window,
    process: Callable[[Sequence[Item], Halo], Sequence[Item]],
    first: int = 0,
) -> Iterator[tuple[Item, bool]]:
    """`Window.run`, where whether an item starts a scene goes along with what is made of it."""

    def keep_flag(items: Sequence[tuple[Item, bool]], halo: Halo) -> list[tuple[Item, bool]]:
        kept = items[halo.kept(len(items))]
        return list(zip(process([item for item, _ in items], halo), (flag for _, flag in kept)))

    return window.run((((item, flag), flag) for item, flag in film), keep_flag, first)
