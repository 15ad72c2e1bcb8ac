"""VapourSynth clips: what their frames mean, and results made block by block without any state between calls.

A network makes a block of frames at once. A *block clip* has one frame for each block; its callback is handed every
frame the block depends on (the core fetches them, so nothing waits for a frame inside a callback), computes the block
and hangs the results on its frame as a property. Another callback takes them out one by one. Frame n is therefore a
pure function of the clip and n, whatever is asked for and in whatever order; what is kept and for how long is the
core's business, within bounds set here.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from .color.chroma import SITINGS
from .color.matrices import guess_matrix, h273_code, h273_matrix
from .color.samples import Samples, decode_luma
from .errors import InputError, RemasterError, UnsupportedError
from .models.layers import Halo
from .remaster.scenes import AFTER, BEFORE, HEIGHT, WIDTH, is_cut, thumbnail
from .remaster.window import Window

try:
    import vapoursynth as vs
except ImportError as error:
    raise ImportError(
        "restore, colorize and merge_lab are VapourSynth filters, and VapourSynth is not installed: "
        "pip install 'vs-remaster[vapoursynth]'; on tensors use vs_remaster.remaster"
    ) from error

Scenes = Literal["detect", "props"] | None | Sequence[int]
"""Where scenes begin: found by the filter, given by other filters' `_SceneChangePrev` and `_SceneChangeNext`, nowhere,
or frame numbers."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

START, NUMBER = "RemasterSceneStart", "RemasterSceneFrame"
"""Properties that `detect` leaves on frames for the filters that follow: 1 where a scene starts, and the frame's number
at that time, which tells whether it still follows the frame before it."""

_FAMILIES = {vs.GRAY: "gray", vs.YUV: "yuv", vs.RGB: "rgb"}
_TRIM_EVERY = 4  # blocks
_BLOCKS_KEPT = 3  # a filter that follows asks for frames of as many at once
_MARGIN = 16  # thumbnails kept beyond what one frame needs


@contextlib.contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Turn what the library raises into errors of the filter `name`."""
    try:
        yield
    except RemasterError as error:
        raise vs.Error(f"{name}: {error}") from error


def check_clip(clip: Any, what: str = "clip") -> None:
    """Refuse what is no clip of one format and size with samples that can be read.

    Raises:
        InputError, UnsupportedError: named, with the value and what to do.
    """
    if not isinstance(clip, vs.VideoNode):
        raise InputError(f"{what} must be a VapourSynth video clip, got {type(clip).__name__}")
    if not clip.format or clip.format.color_family not in _FAMILIES or not clip.width or not clip.height:
        raise UnsupportedError(
            f"{what} has a variable format or size: bring it to one with resize.Bicubic(width=, height=, format=)"
        )
    if clip.num_frames < 1:
        raise InputError(f"{what} has no frames")
    samples_of_format(clip.format, what)


def samples_of_format(fmt: vs.VideoFormat, what: str = "clip") -> Samples:
    """What a format says by itself; the rest lies in the frames' properties.

    Raises:
        UnsupportedError: integers of other than 8 to 16 bits.
    """
    floats = fmt.sample_type == vs.FLOAT
    if not floats and not 8 <= fmt.bits_per_sample <= 16:
        raise UnsupportedError(
            f"{what} has the format {fmt.name}: convert it to 8 to 16 bit integers or to floats with "
            "resize.Bicubic(format=)"
        )
    kind = _FAMILIES[fmt.color_family]
    return Samples(
        kind, fmt.bits_per_sample, (fmt.subsampling_w, fmt.subsampling_h), full_range=kind == "rgb", floats=floats
    )


def samples_of(frame: vs.VideoFrame, matrix: str = "auto", what: str = "clip") -> Samples:
    """What the numbers in a frame's planes mean.

    Args:
        frame: with `_Matrix`, `_Range` (or the older `_ColorRange`) and `_ChromaLocation` where they are known.
        matrix: taken where the frame does not say; `auto`: by its height.
        what: the clip's name in messages.

    Raises:
        UnsupportedError: an interlaced frame, or a matrix that is not known.
    """
    samples = samples_of_format(frame.format, what)
    props = frame.props
    if props.get("_FieldBased", 0):
        raise UnsupportedError(
            f"{what} is interlaced (_FieldBased = {props['_FieldBased']}): deinterlace it, or if its frames are "
            "progressive say so with std.SetFieldBased(0)"
        )
    if "_Range" in props:
        samples = replace(samples, full_range=props["_Range"] == vs.RANGE_FULL)
    elif "_ColorRange" in props:
        samples = replace(samples, full_range=props["_ColorRange"] == 0)
    samples = replace(samples, siting=dict(enumerate(SITINGS)).get(props.get("_ChromaLocation", 0), "left"))
    if samples.kind == "rgb":
        return samples
    code = props.get("_Matrix", vs.MATRIX_UNSPECIFIED)
    if code in (vs.MATRIX_RGB, vs.MATRIX_UNSPECIFIED):
        return replace(samples, matrix=guess_matrix(frame.height) if matrix == "auto" else matrix)
    known = h273_matrix(code, props.get("_Primaries", 2))
    if known is None and samples.kind == "yuv":
        raise UnsupportedError(
            f"{what} has the matrix {_matrix_name(code)} (_Matrix = {code}), which is not supported: if that is wrong, "
            "say the right one with std.SetFrameProps(_Matrix=1), else convert it with resize.Bicubic(matrix_s='709')"
        )
    return replace(samples, matrix=known or guess_matrix(frame.height))


def _matrix_name(code: int) -> str:
    with contextlib.suppress(ValueError):
        return vs.MatrixCoefficients(code).name.removeprefix("MATRIX_")
    return "unknown"


def planes_of(frame: vs.VideoFrame) -> list[np.ndarray]:
    """Views of a frame's planes, `[h, w]` each."""
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def luma_of(frame: vs.VideoFrame, what: str = "clip") -> torch.Tensor:
    """Luma `[1, H, W]` of a frame, nominally 0..1."""
    return decode_luma(planes_of(frame), samples_of(frame, what=what))


def frame_with(source: vs.VideoFrame, template: vs.VideoFrame, planes: Sequence[np.ndarray]) -> vs.VideoFrame:
    """A frame of the template's format with these planes and the properties of `source`.

    Where the format is the source's, planes of its own are shared, not copied.
    """
    same = source.format.id == template.format.id
    out = (source if same else template).copy()
    if not same:
        out.props.clear()
        out.props.update(source.props)
    for i, plane in enumerate(planes):
        if not (same and np.may_share_memory(plane, np.asarray(source[i]))):
            np.copyto(np.asarray(out[i]), plane)
    return out


def describe(frame: vs.VideoFrame, samples: Samples) -> None:
    """Write into a new frame's properties what its planes mean: `_Matrix`, `_Range`, `_ChromaLocation`."""
    props = frame.props
    if samples.kind == "rgb":
        props["_Matrix"] = vs.MATRIX_RGB
        props["_Range"] = vs.RANGE_FULL
    elif h273_matrix(props.get("_Matrix", 2), props.get("_Primaries", 2)) != samples.matrix:
        props["_Matrix"] = h273_code(samples.matrix)
    if not samples.floats:
        props["_Range"] = vs.RANGE_FULL if samples.full_range else vs.RANGE_LIMITED
    if any(samples.subsampling):
        props["_ChromaLocation"] = SITINGS.index(samples.siting)
    else:
        props.pop("_ChromaLocation", None)


def blocks(
    clip: vs.VideoNode,
    fmt: int,
    window: Window,
    scenes: Scenes,
    process: Callable[[Sequence[vs.VideoFrame], Halo, vs.VideoFrame, int], Sequence[vs.VideoFrame]],
    name: str,
    first: vs.VideoNode | None = None,
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

    Returns:
        A clip of the length and rate of `clip`.

    Raises:
        InputError: `scenes` is none of what it may be.
    """
    length, block = clip.num_frames, window.block
    count = -(-length // block)
    source, starts_scene = _with_scenes(clip, scenes, name)
    keep_frames(source, window.before + block + window.after)
    padded = source + source[-1] * (count * block + window.after - length or 1)
    if window.before:
        padded = source[0] * window.before + padded
    _pass(padded)
    blank = vs.core.std.BlankClip(None, clip.width, clip.height, fmt, count, keep=True)
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
    shape = of_format(clip, fmt)
    return _pass(shape.std.ModifyFrame([spread], lambda n, f: _taken(f.props["RemasterBlock"], n % block)))


def of_format(clip: vs.VideoNode, fmt: int) -> vs.VideoNode:
    """A clip of a format with the size, length and rate of `clip`, for a ModifyFrame that makes its frames: `clip`
    itself or a blank one."""
    return clip if clip.format.id == fmt else clip.std.BlankClip(format=fmt, keep=True)


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


def keep_frames(clip: vs.VideoNode, frames: int) -> None:
    """Let the core keep this many frames of a clip, neither fewer nor, as it may by default, many more."""
    clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=frames)


def _pass(clip: vs.VideoNode) -> vs.VideoNode:
    """Let the core keep nothing of a clip that only passes frames on: they, and whole blocks, would live on in it."""
    clip.std.SetVideoCache(mode=0)
    return clip


def _with_scenes(clip: vs.VideoNode, scenes: Scenes, name: str) -> tuple[vs.VideoNode, Callable[[int, Any, Any], bool]]:
    """A clip to read from, and a function that says whether frame n starts a scene, by n, the properties of the frame
    before and its own."""
    if isinstance(scenes, str) and scenes == "detect":
        return _mark_scenes(clip, name), lambda n, before, own: bool(own[START])
    if isinstance(scenes, str) and scenes == "props":
        return clip.std.CopyFrameProps(clip), lambda n, before, own: bool(
            own.get("_SceneChangePrev", 0) or before.get("_SceneChangeNext", 0)
        )
    numbers = [] if scenes is None else whole_numbers(scenes)
    if numbers is None:
        raise InputError(f"scenes must be 'detect', 'props', None or a list of frame numbers, got {scenes!r}")
    starts = frozenset(numbers)
    return clip.std.CopyFrameProps(clip), lambda n, before, own: n in starts


def whole_numbers(values: Any) -> list[int] | None:
    """A list of numbers of 0 or more, or None where it is none."""
    try:
        numbers = list(values)
    except TypeError:
        return None
    if isinstance(values, str | bytes):
        return None
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in numbers)
    return [int(n) for n in numbers] if whole else None


def shifted(clip: vs.VideoNode, offset: int, length: int) -> vs.VideoNode:
    """A clip of `length` frames whose frame n is frame n + `offset` of the clip; beyond its ends the first or last."""
    if offset < 0:
        clip = clip[0] * -offset + clip
    elif offset:
        clip = clip[min(offset, clip.num_frames - 1) :]
    if clip.num_frames < length:
        clip = clip + clip[-1] * (length - clip.num_frames)
    return clip[:length]


def _mark_scenes(clip: vs.VideoNode, name: str) -> vs.VideoNode:
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
