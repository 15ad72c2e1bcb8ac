"""Folders of pictures: as films that are read, and as what is written."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from ..color.samples import MOST_PIXELS
from ..errors import InputError
from ..system.inputs import check_input
from .containers import reason
from .dpx import LINEAR, LOGARITHMIC, read_header
from .info import VideoInfo, describe_samples, turned
from .planes import PixelLayout, pixel_layout, planes_of
from .rotation import UPRIGHT, Turn, display_matrix, turn_of

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dpx"})
PICTURE_RATE = Fraction(24)
BOUNDED = {"max_pixels": str(MOST_PIXELS)}
"""For decoders of FFmpeg: sizes come from files, and are believed up to here."""


def files_of(folder: Path) -> list[Path]:
    """The pictures of a folder that is a film, in their order; what else lies there is none of its frames."""
    found = (f for f in folder.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES and not f.name.startswith("."))
    return sorted(found, key=_natural)


def gaps(files: Sequence[Path]) -> list[tuple[Path, Path, int]]:
    """Where numbers in the names of pictures leave some out: the picture before, the one after, and how many are
    missing. None where most names are not numbered one by one, as with numbers of seconds."""
    parts = [re.fullmatch(r"(.*?)(\d+)", file.stem) for file in files]
    steps = [
        int(after[2]) - int(before[2])
        for before, after in pairwise(parts)
        if before and after and before[1] == after[1]
    ]
    if len(steps) != len(files) - 1 or 2 * steps.count(1) <= len(steps):
        return []
    return [(*pair, step - 1) for pair, step in zip(pairwise(files), steps) if step > 1]


class PictureFolder:
    """The pictures of a folder as the frames of a film."""

    own_times = True  # a number is enough
    timed = False
    rate = None
    stream = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = files_of(path)
        if not self.files:
            raise InputError(f"{path} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        self._layout: PixelLayout | None = None
        self._turn = UPRIGHT

    def pictures(self) -> Iterator[VideoFrame]:
        return self.pictures_from(0)

    def pictures_from(self, number: int, pts: int = 0, aims: Sequence[int] = ()) -> Iterator[VideoFrame]:
        """The pictures from a number on; they have no times."""
        for file in self.files[number:]:
            yield self._read(file)

    def _read(self, file: Path) -> VideoFrame:
        check_input(file)
        try:
            # from memory: a name with a % in it would be taken for the pattern of a numbered sequence
            with av.open(io.BytesIO(file.read_bytes()), "r", options=BOUNDED) as container:
                container.streams.video[0].codec_context.options = BOUNDED
                if not container.streams.video[0].codec_context.width:
                    most = f"{MOST_PIXELS / 1e6:.0f} million pixels"
                    raise InputError(f"cannot read picture {file} (it is broken, or has more than {most}): remove it")
                picture = next(container.decode(video=0), None)
                self._codec = container.streams.video[0].codec_context.name
                aspect = container.streams.video[0].codec_context.sample_aspect_ratio
        except PermissionError as error:
            raise InputError(f"cannot read picture {file}: permission denied") from error
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            raise InputError(f"cannot read picture {file} ({reason(error)}): repair or remove it") from error
        if picture is None or picture.is_corrupt:
            raise InputError(f"cannot read picture {file} (it is not whole): repair or remove it")
        picture.pts = None
        # Other formats say dots an inch, which is not what is meant.
        known = self._codec == "dpx" and aspect and Fraction(1, 4) < aspect < 4
        self._aspect = Fraction(aspect.numerator, aspect.denominator) if known else Fraction(1)
        return picture

    def at(self, start: int, first: VideoFrame) -> VideoFrame:
        """The picture that a film from number `start` on is described by."""
        return self._read(self.files[start]) if start < len(self.files) else first

    def like_from(self, low: int, start: int) -> int:
        """The first picture from `low` on from which all up to `start` are alike."""
        if not 0 < start < len(self.files):
            return low
        wanted = self._read(self.files[start])
        others = (n for n in range(start - 1, low - 1, -1) if not self._alike(self._read(self.files[n]), wanted))
        return next(others, low - 1) + 1

    def _alike(self, picture: VideoFrame, wanted: VideoFrame) -> bool:
        return self.size(picture) == self.size(wanted) and self.fits(picture)

    def size(self, picture: VideoFrame) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return _turn(picture).pair(picture.width, picture.height)

    def describe(self, first: VideoFrame, fps: Fraction | None = None) -> VideoInfo:
        self._layout, self._turn = pixel_layout(first.format.name), _turn(first)
        rate, timecode, transfer = (None, None, None)
        if self._codec == "dpx":
            rate, timecode, transfer = read_header(self.files[0].read_bytes())
        if transfer in LOGARITHMIC:
            log.warning(
                "%s is %s by its header; its code values are taken as they are: convert it to video first if the "
                "result looks flat", self.files[0], LOGARITHMIC[transfer],
            )  # fmt: skip
        if transfer == LINEAR:
            log.warning(
                "%s is linear by its header; its code values are taken as they are, and the film that is made says "
                "linear too: convert it to video first if the result looks dark", self.files[0],
            )  # fmt: skip
        for before, after, count in gaps(self.files):
            log.warning(
                "%s: after %s comes %s, %d missing; what is there is taken as one frame after the other, so sound and "
                "numbers of later frames may not fit", self.path, before.name, after.name, count,
            )  # fmt: skip
        rate = fps or rate or PICTURE_RATE
        info = VideoInfo(
            path=self.path,
            width=first.width,
            height=first.height,
            sar=self._aspect,
            fps=rate,
            time_base=1 / rate,
            frames=len(self.files),
            is_folder=True,
            timecode=timecode,
            **describe_samples(first, self._layout, self._codec),
        )
        return turned(info, self._turn)

    def fits(self, picture: VideoFrame) -> bool:
        """Writers of PNG store a gray frame of a colour film as gray, or with a palette; pictures may be turned each
        in its own way."""
        layout = pixel_layout(picture.format.name)
        assert self._layout is not None
        chroma = _turn(picture).pair(*layout.subsampling) == self._turn.pair(*self._layout.subsampling)
        return (layout.bits == self._layout.bits and chroma) and (
            layout.kind == self._layout.kind or (layout.kind, self._layout.kind) == ("gray", "rgb")
        )

    def planes(self, picture: VideoFrame) -> list[np.ndarray]:
        planes = _turn(picture).planes(planes_of(picture))
        assert self._layout is not None
        return planes * 3 if self._layout.kind == "rgb" and len(planes) == 1 else planes

    def name(self, number: int) -> str:
        return str(self.files[number])

    def damage(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def _turn(picture: VideoFrame) -> Turn:
    """How a picture is turned by its EXIF."""
    return turn_of(display_matrix(picture)) or UPRIGHT


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name.lower()) if part]
