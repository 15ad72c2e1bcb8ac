"""What is known of a film: size, rate, samples, colour description."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from ..color.chroma import SITINGS
from ..color.matrices import guess_matrix, h273_matrix
from ..color.samples import Samples
from .planes import PixelLayout
from .rotation import Turn

# Matrices that are not known here, by code point of ITU-T H.273, which FFmpeg uses too; 12 only where its primaries are
# not known.
INEXACT_MATRIX = {
    11: "SMPTE 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
}
_FULL = 2
# Their gray is coded as Y' of limited range; everything else that stores gray (pictures, FFV1, raw) counts from black
# to white.
_LIMITED_GRAY = frozenset({"h264", "hevc", "vvc", "av1", "libdav1d", "vp9", "mpeg4", "mpeg2video", "mpeg1video"})


@dataclass(frozen=True)
class ColorTags:
    """The colour description as the file gives it, in code points of ITU-T H.273; 2 means unspecified.

    Attributes:
        primaries: colour primaries.
        transfer: transfer characteristics.
        matrix: matrix coefficients.
        range: FFmpeg's AVColorRange: 0 unspecified, 1 limited, 2 full.
        siting: FFmpeg's AVChromaLocation: 0 unspecified, 1 left, 2 center and so on.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    siting: int = 0


@dataclass(frozen=True, kw_only=True)
class VideoInfo(Samples):
    """What is known of a film before its frames are read: what their samples mean, and what follows.

    The matrix is a guess from the height where the file does not say, and "bt709" for rgb.

    Attributes:
        path: the file or folder.
        width: of an upright frame, in pixels, as all that follows.
        height: of a frame, in pixels.
        sar: sample aspect ratio; 1 where the file does not say.
        fps: average frames a second, exact.
        time_base: seconds a tick of `Frame.pts`.
        frames: how many frames the file promises, None if it does not.
        pix_fmt: FFmpeg's name of the pixel format in the file.
        tags: the colour description as written in the file.
        display_matrix: how to turn the picture for display, nine numbers as in FFmpeg, where that is by no multiple of
            90 degrees; None for upright.
        interlaced: fields were coded.
        has_audio: there is sound.
        is_folder: a folder of pictures.
        timecode: of the first frame as written in the file, None if it has none.
    """

    path: Path
    width: int
    height: int
    sar: Fraction = Fraction(1)
    fps: Fraction
    time_base: Fraction
    frames: int | None
    pix_fmt: str
    tags: ColorTags = ColorTags()
    display_matrix: tuple[int, ...] | None = None
    interlaced: bool = False
    has_audio: bool = False
    is_folder: bool = False
    timecode: str | None = None


def describe_samples(picture: VideoFrame, layout: PixelLayout, codec: str) -> dict[str, Any]:
    """The fields of VideoInfo that say what the planes mean."""
    tags = ColorTags(
        primaries=int(picture.color_primaries),
        transfer=int(picture.color_trc),
        matrix=int(picture.colorspace),
        range=int(picture.color_range),
        siting=int(picture.chroma_location),
    )
    jpeg = picture.format.name.startswith("yuvj") or codec == "mjpeg"
    full = tags.range == _FULL or jpeg or layout.kind == "rgb"
    if layout.kind == "gray" and tags.range == 0:
        full = codec not in _LIMITED_GRAY
    matrix = "bt709"
    if layout.kind != "rgb":
        guess = "bt601" if jpeg else guess_matrix(picture.height)
        matrix = h273_matrix(tags.matrix, tags.primaries) or (guess if tags.matrix in (0, 2) else "bt709")
    return {
        "pix_fmt": picture.format.name,
        "kind": layout.kind,
        "bits": layout.bits,
        "subsampling": layout.subsampling,
        "matrix": matrix,
        "full_range": full,
        "siting": dict(enumerate(SITINGS, 1)).get(tags.siting, "center" if jpeg else "left"),
        "tags": tags,
    }


def turned(info: VideoInfo, turn: Turn) -> VideoInfo:
    """What is known of a film when its pictures have been turned."""
    size = info.width, info.height
    width, height = turn.pair(*size)
    return replace(
        info,
        width=width,
        height=height,
        sar=1 / info.sar if turn.transposed else info.sar,
        subsampling=turn.pair(*info.subsampling),
        siting=turn.siting(info.siting, info.subsampling, size),
    )
