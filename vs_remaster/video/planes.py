"""Pixel formats: from any frame that FFmpeg decodes to planes of native depth, and back to a frame for an encoder.

No sample is computed here: planes hold the code values that the decoder gave. Only formats that hold less than 8 bits
or floats are converted, to 8 and 16 bits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.format import names as FORMATS
from av.video.frame import VideoFrame

from ..color.samples import Kind, plane_sizes
from ..errors import InputError, UnsupportedError

SUBSAMPLINGS: dict[tuple[int, int], str] = {
    (0, 0): "444",
    (1, 0): "422",
    (1, 1): "420",
    (0, 1): "440",
    (2, 0): "411",
    (2, 2): "410",
}
"""FFmpeg's name of each chroma subsampling, by log2 of luma samples per chroma sample (horizontal, vertical)."""

# Order of samples in a group of packed Y'CbCr. swscale is not asked to take these apart: it does not always do so
# exactly.
_PACKED = {
    "yuyv422": "YUYV",
    "uyvy422": "UYVY",
    "yvyu422": "YVYU",
    "uyyvyy411": "UYYVYY",
    "y210": "YUYV",
    "y212": "YUYV",
    "y216": "YUYV",
}


@dataclass
class Frame:
    """One frame as its codec gave it.

    Attributes:
        index: number of the frame in the film, from 0.
        pts: presentation time in ticks of the film's time base, or None for a frame that has yet to be given a time.
        planes: gray: 1; yuv: Y', Cb, Cr, chroma at its own size; rgb: R', G', B'. Each `[h, w]`, uint8 up to 8 bits,
            else uint16.
        duration: in ticks of the time base, None where the file does not say.
    """

    index: int
    pts: int | None
    planes: list[np.ndarray] = field(repr=False)
    duration: int | None = None


@dataclass(frozen=True)
class PixelLayout:
    """What a pixel format holds and how to take it apart.

    Attributes:
        kind: gray, yuv or rgb.
        bits: bits a sample of the planes, 8 to 16.
        subsampling: log2 of luma samples per chroma sample, (horizontal, vertical).
        alpha: it has an alpha channel, which is dropped.
        converted: it holds less than 8 bits or floats, so planes are a conversion.
        via: format that swscale has to make of it first, if any.
        order: order of samples in a group where luma and chroma are packed together.
        shift: bits to shift right; samples of some formats lie in the upper bits of a word.
        swapped: Cr comes before Cb in the second plane.
    """

    kind: Kind
    bits: int
    subsampling: tuple[int, int] = (0, 0)
    alpha: bool = False
    converted: bool = False
    via: str | None = None
    order: str | None = None
    shift: int = 0
    swapped: bool = False


@functools.lru_cache(maxsize=64)
def pixel_layout(name: str) -> PixelLayout:
    """Describe a pixel format.

    Args:
        name: FFmpeg's name of it, "yuv420p10le" for example.

    Returns:
        Its layout.

    Raises:
        UnsupportedError: FFmpeg does not know the format.
    """
    try:
        fmt = VideoFormat(name, 64, 64)
    except ValueError as error:
        raise UnsupportedError(
            f"unknown pixel format {name!r}: convert the film to yuv420p, gray or rgb24 first"
        ) from error
    parts = [c for c in fmt.components if not c.is_alpha]
    alpha = len(parts) < len(fmt.components)
    base = name.removesuffix("le").removesuffix("be")
    palette = name == "pal8"
    kind: Kind = (
        "rgb" if fmt.is_rgb or fmt.is_bayer or palette or base == "xyz12" else "gray" if len(parts) == 1 else "yuv"
    )
    native = max(c.bits for c in parts)
    floats = base.endswith(("f16", "f32")) or native > 16
    bits = 16 if floats or (base.endswith("16") and fmt.is_bayer) else max(8, native)
    converted = floats or native < 8 or fmt.is_bayer or base == "xyz12"
    subsampling = (
        (6 - (parts[1].width).bit_length() + 1, 6 - (parts[1].height).bit_length() + 1) if kind == "yuv" else (0, 0)
    )
    layout = PixelLayout(kind, bits, subsampling, alpha, converted)
    if base in _PACKED:
        return PixelLayout(kind, bits, subsampling, alpha, order=_PACKED[base], shift=16 - bits if bits > 8 else 0)
    planar = len({c.plane for c in parts}) == len(parts) and not (converted or palette or "msb" in name)
    if planar and not (alpha and len({c.plane for c in fmt.components}) < len(fmt.components)):
        return layout
    if kind == "yuv" and parts[0].plane != parts[1].plane and "msb" not in name:
        shift = 16 - bits if base.startswith("p") else 0
        return PixelLayout(kind, bits, subsampling, alpha, shift=shift, swapped=base in ("nv21", "nv42"))
    return PixelLayout(kind, bits, subsampling, alpha, converted, via=planar_format(kind, bits, subsampling))


def planar_format(kind: Kind, bits: int, subsampling: tuple[int, int] = (0, 0)) -> str:
    """Name FFmpeg's planar format of a kind, a depth and a chroma subsampling.

    Args:
        kind: gray, yuv or rgb.
        bits: 8 to 16.
        subsampling: log2, (horizontal, vertical); for yuv.

    Returns:
        "gray10le", "yuv422p", "gbrp16le" and so on; the format need not exist for every depth.
    """
    stem = {"gray": "gray", "rgb": "gbrp"}.get(kind) or f"yuv{SUBSAMPLINGS[subsampling]}p"
    return stem if bits == 8 else f"{stem}{bits}le"


def has_format(kind: Kind, bits: int, subsampling: tuple[int, int] = (0, 0)) -> bool:
    """Whether FFmpeg has a planar format for this, see `planar_format`: turned pictures may ask for one that it has
    not."""
    return subsampling in SUBSAMPLINGS and planar_format(kind, bits, subsampling) in FORMATS


def planes_of(frame: VideoFrame) -> list[np.ndarray]:
    """Copy the planes out of a decoded frame.

    Args:
        frame: any frame in main memory.

    Returns:
        See `Frame.planes`; native byte order, no padding, alpha left out.

    Raises:
        UnsupportedError: a pixel format that cannot be taken apart.
    """
    layout = pixel_layout(frame.format.name)
    if layout.via:
        try:
            frame = frame.reformat(format=layout.via)
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedError(
                f"cannot take pixel format {frame.format.name} apart: convert the film to yuv420p, gray or rgb24 first"
            ) from error
    parts = [c for c in frame.format.components if not c.is_alpha]
    sizes = plane_sizes(layout.kind, frame.width, frame.height, layout.subsampling)
    if layout.order:
        planes = _unpack(_rows(frame, 0, layout.bits), layout.order, sizes)
    elif len({c.plane for c in parts}) < len(parts):
        (height, width), (rows, columns), _ = sizes
        pairs = _rows(frame, 1, layout.bits)[:rows, : 2 * columns].reshape(rows, columns, 2)
        first, second = (1, 0) if layout.swapped else (0, 1)
        planes = [_rows(frame, 0, layout.bits)[:height, :width], pairs[..., first], pairs[..., second]]
    else:
        planes = [_rows(frame, c.plane, layout.bits)[:h, :w] for c, (h, w) in zip(parts, sizes, strict=True)]
    if layout.shift:
        return [plane >> layout.shift for plane in planes]
    native = np.uint8 if layout.bits == 8 else np.uint16
    return [np.array(plane, dtype=native, order="C") for plane in planes]


def _rows(frame: VideoFrame, index: int, bits: int) -> np.ndarray:
    """A view of one plane with its padding, `[rows, samples]`."""
    plane = frame.planes[index]
    line = plane.line_size
    rows = np.frombuffer(plane, np.uint8).reshape(-1, abs(line))
    if line < 0:  # bottom-up pictures of old AVI files
        rows = rows[::-1]
    if bits == 8:
        return rows
    return rows[:, : abs(line) // 2 * 2].view(">u2" if frame.format.is_big_endian else "<u2")


def _unpack(rows: np.ndarray, order: str, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    (height, width), (_, columns), _ = sizes
    luma_at = [i for i, sample in enumerate(order) if sample == "Y"]
    groups = rows[:height, : columns * len(order)].reshape(height, columns, len(order))
    luma = groups[..., luma_at].reshape(height, -1)[:, :width]
    return [luma, groups[..., order.index("U")], groups[..., order.index("V")]]


def frame_of(planes: Sequence[np.ndarray], pix_fmt: str) -> VideoFrame:
    """Put planes into a frame for an encoder.

    Args:
        planes: as many as `pix_fmt` has, in the order of `Frame.planes`.
        pix_fmt: a planar format, or "bgr0" for 8-bit R', G', B'.

    Returns:
        A new frame that holds copies of the planes.

    Raises:
        InputError: planes that do not fit the format.
    """
    height, width = planes[0].shape
    frame = VideoFrame(width, height, "gbrp" if pix_fmt == "bgr0" else pix_fmt)
    parts = frame.format.components
    if len(parts) != len(planes):
        raise InputError(f"{pix_fmt} has {len(parts)} planes, got {len(planes)}")
    for part, plane in zip(parts, planes, strict=True):
        rows = np.asarray(memoryview(frame.planes[part.plane])).reshape(-1, frame.planes[part.plane].line_size)
        rows = rows if part.bits <= 8 else rows.view("<u2")
        if plane.shape != (part.height, part.width) or plane.dtype.itemsize != rows.dtype.itemsize:
            raise InputError(
                f"a plane of {pix_fmt} {width}x{height} must be {part.width}x{part.height} in {rows.dtype}, "
                f"got {plane.shape[1]}x{plane.shape[0]} in {plane.dtype}"
            )
        rows[: part.height, : part.width] = plane
        if rows.shape[1] > part.width:  # encoders may read past the edge: the same input has to give the same file
            rows[: part.height, part.width :] = plane[:, -1:]
    return frame.reformat(format="bgr0") if pix_fmt == "bgr0" else frame
