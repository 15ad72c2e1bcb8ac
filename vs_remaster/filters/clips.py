"""VapourSynth clips and frames: what their samples mean, and frames made of planes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import vapoursynth as vs

from ..color.chroma import SITINGS
from ..color.matrices import guess_matrix, h273_code, h273_matrix
from ..color.samples import Kind, Samples, decode_luma
from ..errors import InputError, RemasterError, UnsupportedError

_FAMILIES: dict[Any, Kind] = {vs.GRAY: "gray", vs.YUV: "yuv", vs.RGB: "rgb"}


@contextlib.contextmanager
def errors_of(name: str) -> Generator[None]:
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
    """A frame of the template's format and size with these planes and the properties of `source`.

    Where these are the source's, planes of its own are shared, not copied.
    """
    shapes = [(one.format.id, one.width, one.height) for one in (source, template)]
    same = shapes[0] == shapes[1]
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


def of_format(clip: vs.VideoNode, fmt: int) -> vs.VideoNode:
    """A clip of a format with the size, length and rate of `clip`, for a ModifyFrame that makes its frames: `clip`
    itself or a blank one."""
    return clip if clip.format.id == fmt else clip.std.BlankClip(format=fmt, keep=True)


def keep_frames(clip: vs.VideoNode, frames: int) -> None:
    """Let the core keep this many frames of a clip, neither fewer nor, as it may by default, many more."""
    clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=frames)


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
