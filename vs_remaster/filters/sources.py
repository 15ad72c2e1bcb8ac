"""Frames of a clip as the networks see them, and steps of restoring that stay on a device from the first to the last.

Between clips there are only frames in this machine's memory. So where the networks have a device of their own, all
steps are one clip: what they have made of a block is kept there until the blocks beside it have been made.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import torch
import vapoursynth as vs

from ..color.samples import Lifted, Samples, colorless, decode, decode_colors
from ..engines.transfer import Transfer
from ..models.layers import Halo
from ..remaster.restorer import Passing, Step
from ..remaster.window import Span, Window
from .clips import planes_of, samples_of
from .preparing import PROTECT, REPAIR, mask_in, planes_in


class Source:
    """A frame of a clip, prepared or not. What is made of it lies on the device, and is made when it is asked for.

    Args:
        frame: with what it carries.
        transfer: the way to the device.
    """

    def __init__(self, frame: vs.VideoFrame, transfer: Transfer) -> None:
        self.frame, self._transfer = frame, transfer
        planes = planes_of(frame)
        self.planes = planes if transfer.idle else Lifted(planes, transfer)

    @cached_property
    def samples(self) -> Samples:
        """What its planes mean."""
        return samples_of(self.frame)

    @cached_property
    def prepared(self) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        """See `planes_in`."""
        found = planes_in(self.frame)
        if found is None:
            return None
        luma, chroma = map(self._transfer.there, found)
        assert luma is not None
        return luma, chroma

    @cached_property
    def luma(self) -> torch.Tensor:
        """`[1, H, W]`, 0..1, of the prepared frame."""
        return self.prepared[0] if self.prepared else decode(self.planes, self.samples, chroma=False)[0]

    def chroma(self) -> torch.Tensor | None:
        """`[2, H, W]`, BT.709, of the prepared frame; None where it has no colours."""
        if self.prepared:
            return self.prepared[1]
        colored = self.samples.kind != "gray" and not colorless(self.planes, self.samples)
        return decode_colors(self.planes, self.samples) if colored else None

    @cached_property
    def repair(self) -> torch.Tensor | None:
        """See `mask_in`."""
        return self._transfer.there(mask_in(self.frame, REPAIR))

    @cached_property
    def protect(self) -> torch.Tensor | None:
        """See `mask_in`."""
        return self._transfer.there(mask_in(self.frame, PROTECT))


class Sources:
    """Frames of a clip, window by window: a frame that a window before had too is the same `Source`, and has the same
    luma, by which those who work on it know it again.

    Args:
        transfer: the way to the device.
        most: how many frames are kept.
    """

    def __init__(self, transfer: Transfer, most: int) -> None:
        self._transfer, self._most = transfer, most
        self._kept: OrderedDict[int, Source] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, frames: Sequence[vs.VideoFrame], first: int) -> list[Source]:
        """Each frame; `first`: number of the first one."""
        with self._lock:
            kept = self._kept
            found = {
                n: kept[n] if n in kept else Source(frame, self._transfer) for n, frame in enumerate(frames, first)
            }
            kept.update(found)
            for number in found:
                kept.move_to_end(number)
            while len(kept) > self._most:
                kept.popitem(last=False)
        return list(found.values())


class Steps:
    """Several steps, one after the other, on frames that stay on a device.

    What comes out is what the steps would give as clips of their own: the blocks of each lie on its own grid. Blocks
    that are kept are not made twice; where one is no longer there it is made again.

    Args:
        steps: in their order.
        transfer: the way to the device.

    Attributes:
        window: reaches as far as all of them.
    """

    def __init__(self, steps: Sequence[Step], transfer: Transfer) -> None:
        self._steps = steps
        grid = math.lcm(*(step.window.block for step in steps))
        first, last = 0, grid
        self._most: list[int] = []
        for step in reversed(steps):  # as many blocks as the step after it looks at, and one more
            self._most.insert(0, -((first - last) // step.window.block) + 1)
            first, end = step.window.fed(first, last)
            last = last if end is None else end
        self.window: Window = Window(before=-first, after=last - grid, block=grid)
        self._sources = Sources(transfer, last - first + grid)
        self._made: list[OrderedDict[Span, list[Passing]]] = [OrderedDict() for _ in steps]
        self._lock = threading.Lock()  # nothing is made twice at once

    def process(self, frames: Sequence[vs.VideoFrame], halo: Halo, first: int) -> list[tuple[Source, Passing]]:
        """The frames of a window that are no halo, and what was made of each; `first`: number of the first one."""
        sources = self._sources.of(frames, first)
        known = range(first, first + len(frames))
        with self._lock:
            made = self._after(len(self._steps) - 1, known[halo.kept(len(frames))], known, sources)
        return list(zip(sources[halo.kept(len(frames))], made))

    def _after(self, number: int, wanted: range, known: range, sources: Sequence[Source]) -> list[Passing]:
        """Wanted frames as a step leaves them, before the first one as they came; `known`: those of `sources`."""
        if number < 0:
            there = sources[wanted.start - known.start : wanted.stop - known.start]
            return [Passing(source.luma, repair=source.repair) for source in there]
        (window, make), kept = self._steps[number], self._made[number]
        out: list[Passing] = []
        for index in range(wanted.start // window.block, -(-wanted.stop // window.block)):
            start, stop = max(index * window.block, known.start), min((index + 1) * window.block, known.stop)
            span = Span(max(start - window.before, known.start), start, stop, min(stop + window.after, known.stop))
            if span not in kept:
                kept[span] = make(self._after(number - 1, range(span.first, span.last), known, sources), span.halo)
                if len(kept) > self._most[number]:
                    kept.popitem(last=False)
            kept.move_to_end(span)
            out += kept[span][max(wanted.start - start, 0) : wanted.stop - start]
        return out
