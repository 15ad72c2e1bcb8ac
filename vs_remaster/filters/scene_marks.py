"""Where the scenes of a clip begin, as frame properties say or as is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
import vapoursynth as vs

from ..errors import InputError
from ..remaster.scenes import AFTER, BEFORE, HEIGHT, WIDTH, is_cut, thumbnail
from .clips import errors_of, keep_frames, luma_of, shifted, whole_numbers

Scenes = Literal["detect", "props"] | None | Sequence[int]
"""Where scenes begin: found by the filter, given by other filters' `_SceneChangePrev` and `_SceneChangeNext`, nowhere,
or frame numbers."""

START, NUMBER = "RemasterSceneStart", "RemasterSceneFrame"
"""Properties that `detect` leaves on frames for the filters that follow: 1 where a scene starts, and the frame's number
at that time, which tells whether it still follows the frame before it."""

_MARGIN = 16  # thumbnails kept beyond what one frame needs


def with_scenes(clip: vs.VideoNode, scenes: Scenes, name: str) -> tuple[vs.VideoNode, Callable[[int, Any, Any], bool]]:
    """A clip to read from, and a function that says whether frame n starts a scene, by n, the properties of the frame
    before and its own."""
    if isinstance(scenes, str) and scenes == "detect":
        return mark_scenes(clip, name), lambda n, before, own: bool(own[START])
    if isinstance(scenes, str) and scenes == "props":
        return clip.std.CopyFrameProps(clip), lambda n, before, own: bool(
            own.get("_SceneChangePrev", 0) or before.get("_SceneChangeNext", 0)
        )
    numbers = [] if scenes is None else whole_numbers(scenes)
    if numbers is None:
        raise InputError(f"scenes must be 'detect', 'props', None or a list of frame numbers, got {scenes!r}")
    starts = frozenset(numbers)
    return clip.std.CopyFrameProps(clip), lambda n, before, own: n in starts


def mark_scenes(clip: vs.VideoNode, name: str) -> vs.VideoNode:
    """The clip with `START` and `NUMBER` on every frame; between frames that a filter before has marked one after the
    other its finding stands."""
    length = clip.num_frames
    blank = vs.core.std.BlankClip(None, WIDTH, HEIGHT, vs.GRAYS, length, keep=True)
    dot = vs.core.std.BlankClip(None, 1, 1, vs.GRAY8, length, keep=True)

    def shrink(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out = f[0].copy()
        with errors_of(name):
            np.copyto(np.asarray(out[0]), thumbnail(luma_of(f[1])).numpy())
        for mark in (START, NUMBER):
            if mark in f[1].props:
                out.props[mark] = f[1].props[mark]
        return out

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out, thumbs = f[0].copy(), f[1:]
        own, before = thumbs[BEFORE].props, thumbs[BEFORE - 1].props
        if n == 0:
            found = True
        elif START in own and isinstance(before.get(NUMBER), int) and own.get(NUMBER) == before[NUMBER] + 1:
            found = bool(own[START])
        else:
            near = range(max(0, n - BEFORE), min(length, n + AFTER + 1))
            pictures = np.stack([np.asarray(thumbs[i - n + BEFORE][0]) for i in near])
            found = is_cut(torch.from_numpy(pictures), min(n, BEFORE))
        out.props[START] = int(found)
        return out

    def mark(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out = f[0].copy()
        out.props[START], out.props[NUMBER] = f[1].props[START], n
        return out

    thumbs = blank.std.ModifyFrame([blank, clip], shrink)
    keep_frames(thumbs, BEFORE + AFTER + 1 + 2 * _MARGIN)
    decided = dot.std.ModifyFrame([dot, *(shifted(thumbs, k, length) for k in range(-BEFORE, AFTER + 1))], decide)
    return clip.std.ModifyFrame([clip, decided], mark)
