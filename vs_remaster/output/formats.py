"""What an output can be: codecs, containers, sample formats, and when it may have its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..color.samples import MOST_PIXELS, Kind, Samples, plane_sizes
from ..errors import InputError
from ..system.files import LEFT_BY_SYSTEMS, check_no_link
from ..video.info import VideoInfo
from ..video.planes import has_format, planar_format
from .codecs import TABLE, check_container, codec_info, either

_PICTURES = "|".join(re.escape(row.extension) for row in TABLE.values() if row.is_folder)
_PICTURE_NAME = re.compile(rf"frame_\d{{6,}}({_PICTURES})")


@dataclass(frozen=True, kw_only=True)
class OutputFormat(Samples):
    """The frames that an output holds: what their samples mean, and how large they are.

    Attributes:
        width: in pixels.
        height: in pixels.
    """

    width: int
    height: int

    @property
    def plane_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each plane."""
        return plane_sizes(self.kind, self.width, self.height, self.subsampling)

    @property
    def frame_bytes(self) -> int:
        """Bytes of the samples of a frame."""
        return sum(rows * columns for rows, columns in self.plane_sizes) * self.dtype.itemsize

    def black(self) -> list[np.ndarray]:
        """Planes of zeros, to try what takes them."""
        return [np.zeros(size, self.dtype) for size in self.plane_sizes]

    @property
    def pix_fmt(self) -> str:
        """FFmpeg's name of the pixel format the encoder is given."""
        return "bgr0" if (self.kind, self.bits) == ("rgb", 8) else planar_format(self.kind, self.bits, self.subsampling)


def output_format(
    info: VideoInfo, codec: str, colored: bool, bits: int | None = None, *, scale: int = 1
) -> OutputFormat:
    """Choose the samples of an output that lose the least of a film's in a codec.

    x264 and x265 store gray as 4:2:0 with neutral chroma and rgb as 4:2:0, which every player shows; where the size is
    odd, chroma is not halved in that direction, for these codecs could not store the last column or row. Samples become
    those of another matrix only in a codec that has one matrix.

    Args:
        info: the film.
        codec: one of `CODECS`.
        colored: chroma is new.
        bits: a sample; None for those of the film, or as near as the codec can.
        scale: how many times as wide and high as the film it is.

    Returns:
        The format.

    Raises:
        InputError: unknown codec; pictures too small for it or larger than any are taken, or bits that it does not
            hold.
    """
    row = codec_info(codec)
    width, height = scale * info.width, scale * info.height
    has = f"{info.path} has {width}x{height}{f' at scale {scale}' if scale > 1 else ''}"
    if width < row.smallest[0] or height < row.smallest[1]:
        raise InputError(
            f"{codec} takes pictures of {row.smallest[0]}x{row.smallest[1]} and more, {has}: use another --codec"
        )
    if scale > 1 and width * height > MOST_PIXELS:
        raise InputError(f"{has}, and pictures of {MOST_PIXELS / 1e6:.0f} million pixels at most are made: use scale 1")
    made = partial(OutputFormat, width=width, height=height)
    kind: Kind = "gray" if info.kind == "gray" and not colored else "rgb"
    depths = (kind == "gray" and row.gray_depths) or row.depths
    if bits is not None and bits not in depths:
        of = f" of {kind}" if row.gray_depths else ""
        raise InputError(f"{codec} holds {either(depths)} bits a sample{of}, not {bits}: give another --bits")
    bits = bits or next((d for d in depths if d >= info.bits), depths[-1])
    if row.is_folder or (codec == "ffv1" and info.kind == "rgb"):
        return made(kind, bits, (0, 0), info.matrix, True)
    full = info.full_range and info.kind != "rgb" and row.full_range
    if codec == "ffv1":
        if info.kind == "gray" and not colored:
            return made("gray", bits, (0, 0), info.matrix, full)
        kept = not colored and has_format("yuv", bits, info.subsampling)
        return made("yuv", bits, info.subsampling if kept else (0, 0), info.matrix, full, info.siting)
    across, down = info.subsampling if info.kind == "yuv" else (1, 1)
    if row.subsampling:
        return made("yuv", bits, row.subsampling, row.matrix or info.matrix, full, info.siting)
    across, down = bool(across) and not width % 2, bool(down) and not height % 2
    if down and not across:  # 4:4:0: they have no such format
        down = False
    return made("yuv", bits, (int(across), int(down)), info.matrix, full, info.siting)


def check_output(path: Path, codec: str, overwrite: bool, source: Path | None = None) -> None:
    """Refuse an output that could not be written in the end, before any work is done.

    Args:
        path: the output.
        codec: one of `CODECS`.
        overwrite: an output that exists may be replaced.
        source: the input, which may not.

    Raises:
        InputError: the folder is missing, the output exists or is a link, codec and name do not fit, the output is the
            input.
    """
    row = codec_info(codec)
    if not path.name:
        raise InputError(f"{path} is no name for an output")
    if not path.parent.is_dir():
        raise InputError(f"output folder does not exist: {path.parent}")
    check_container(path, codec)
    check_no_link(path)
    if source is not None and path.exists() and path.samefile(source):
        raise InputError(f"output is the input: {path}")
    if row.is_folder and path.is_dir():
        if stranger := picture_stranger(path):
            raise InputError(f"output folder {path} holds other files ({stranger}): give a new name")
        if not any(path.iterdir()):
            return
    elif path.is_dir():
        raise InputError(f"output is a folder: {path}")
    if path.exists() and not overwrite:
        raise InputError(f"output exists: {path}: give another name or --overwrite")


def picture_stranger(folder: Path) -> str | None:
    """The name of something in a folder that is none of the pictures that are written here; None where all are."""
    found = {f.name for f in folder.iterdir() if f.name.lower() not in LEFT_BY_SYSTEMS}
    return min((name for name in found if not _PICTURE_NAME.fullmatch(name)), default=None)
