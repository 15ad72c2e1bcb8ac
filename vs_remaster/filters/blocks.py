"""Results made block by block, without any state between calls.

A network makes a block of frames at once. A *block clip* has one frame for each block; its callback is handed every
frame the block depends on (the core fetches them, so nothing waits for a frame inside a callback), computes the block
and hangs the results on its frame as a property. Another callback takes them out one by one. Frame n is therefore a
pure function of the clip and n, whatever is asked for and in whatever order; what is kept and for how long is the
core's business, within bounds set here.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

import vapoursynth as vs

from ..models.layers import Halo
from ..remaster.window import Window
from .clips import errors_of, keep_frames, of_format
from .scene_marks import Scenes, with_scenes

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_TRIM_EVERY = 4  # blocks
_BLOCKS_KEPT = 3  # a filter that follows asks for frames of as many at once


def blocks(
    clip: vs.VideoNode,
    fmt: int,
    window: Window,
    scenes: Scenes,
    process: Callable[[Sequence[vs.VideoFrame], Halo, vs.VideoFrame, int], Sequence[vs.VideoFrame]],
    name: str,
    first: vs.VideoNode | None = None,
    like: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """A clip made block by block.

    Args:
        clip: the source; its frames are handed to `process`.
        fmt: format of the result.
        window: how far the network looks, and how many frames it makes at once.
        scenes: see `Scenes`.
        process: from the frames of a window, its halo, a blank frame of the result's format and the number of the
            first frame to the frames made.
        name: of the filter, for messages.
        first: a clip of one frame that has to be computed before the first block.
        like: a clip of the size of the result; None: that of `clip`.

    Returns:
        A clip of the length and rate of `clip`.

    Raises:
        InputError: `scenes` is none of what it may be.
    """
    length, block = clip.num_frames, window.block
    count = -(-length // block)
    source, starts_scene = with_scenes(clip, scenes, name)
    keep_frames(source, window.before + block + window.after)
    padded = source + source[-1] * (count * block + window.after - length or 1)
    if window.before:
        padded = source[0] * window.before + padded
    _pass(padded)
    like = like or clip
    blank = vs.core.std.BlankClip(None, like.width, like.height, fmt, count, keep=True)
    inputs = [blank]
    if first is not None:
        inputs.append(first.std.Loop(count))
    extra = len(inputs)
    for offset in range(window.before + block + window.after):
        inputs.append(_pass(padded[offset:].std.SelectEvery(block, 0, modify_duration=False)[:count]))

    def make(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        template = f[0]
        origin = n * block - window.before  # number of the first frame that was fetched, also before the film's start
        low, high = window.reach(n, length)
        frames = {i: f[extra + i - origin] for i in range(low, high)}
        made: list[vs.VideoFrame] = []
        with errors_of(name):
            cuts = [i for i in range(low + 1, high) if starts_scene(i, frames[i - 1].props, frames[i].props)]
            for span in window.spans(n, length, cuts):
                made += process([frames[i] for i in range(span.first, span.last)], span.halo, template, span.first)
        carrier = template.copy()
        carrier.props["RemasterBlock"] = made
        if n % _TRIM_EVERY == 0:
            _give_back()
        return carrier

    made = blank.std.ModifyFrame(inputs, make)
    keep_frames(made, _BLOCKS_KEPT)
    spread = _pass(vs.core.std.Interleave([made] * block, modify_duration=False)[:length])
    shape = of_format(like, fmt)
    return _pass(shape.std.ModifyFrame([spread], lambda n, f: _taken(f.props["RemasterBlock"], n % block)))


def _taken(frames: Any, index: int) -> vs.VideoFrame:
    """One of the frames that a property holds; where it holds only one, that is what is read."""
    return frames if isinstance(frames, vs.VideoFrame) else frames[index]


def _give_back() -> None:
    """Return freed memory to the system where the C library is glibc.

    It does not always find a freed frame's memory again for the next, for frames are aligned, and a long clip would
    slowly fill the memory with holes. Costs about 1 % of the time.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _pass(clip: vs.VideoNode) -> vs.VideoNode:
    """Let the core keep nothing of a clip that only passes frames on: they, and whole blocks, would live on in it."""
    clip.std.SetVideoCache(mode=0)
    return clip
