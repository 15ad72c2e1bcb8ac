"""What decides the packets that an encoder makes: the same for a film in one go and for each of its chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from ..color.chroma import SITINGS
from ..color.matrices import h273_code
from ..errors import UnsupportedError
from ..video.containers import reason
from ..video.info import VideoInfo
from ..video.planes import Frame, frame_of
from .codecs import codec_info, encoder_options
from .formats import OutputFormat
from .mxf import ConstantTiming


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The settings of an encoder; it can be sent to another process.

    Attributes:
        codec: one of `CODECS` that is no folder of pictures.
        crf: quality, None where there is no such setting.
        container: FFmpeg's name of that of the output, which has a say in the times.
        joined: packets of several encoders with these settings are put into one file; then nothing that differs from
            machine to machine is in the headers.
        size: (width, height) in pixels.
        pix_fmt: FFmpeg's name of the pixel format.
        rate: frames a second.
        base: seconds a tick of the times.
        sar: sample aspect ratio.
        primaries: code point of ITU-T H.273, as the next two.
        transfer: see above.
        matrix: see above.
        range: FFmpeg's AVColorRange.
        siting: FFmpeg's AVChromaLocation, 0 where chroma is not subsampled.
    """

    codec: str
    crf: float | None
    container: str
    joined: bool
    size: tuple[int, int]
    pix_fmt: str
    rate: Fraction
    base: Fraction
    sar: Fraction
    primaries: int
    transfer: int
    matrix: int
    range: int
    siting: int

    @classmethod
    def of(
        cls,
        info: VideoInfo,
        out: OutputFormat,
        codec: str,
        crf: float | None,
        *,
        container: str,
        rate: Fraction,
        joined: bool = False,
    ) -> Encoding:
        """The settings for the frames of a film.

        Raises:
            UnsupportedError: the encoder cannot take such frames.
        """
        if out.pix_fmt not in {f.name for f in av.codec.Codec(codec_info(codec).encoder, "w").video_formats or ()}:
            raise UnsupportedError(f"{codec} cannot take {out.pix_fmt}: try other --bits, or another --codec")
        matrix, samples_range = _color_tags(info, out)
        return cls(
            codec=codec,
            crf=crf,
            container=container,
            joined=joined,
            size=(out.width, out.height),
            pix_fmt=out.pix_fmt,
            rate=rate,
            base=_timing(info, container, rate).base,
            sar=info.sar,
            primaries=info.tags.primaries,
            transfer=info.tags.transfer,
            matrix=matrix,
            range=samples_range,
            siting=SITINGS.index(out.siting) + 1 if out.kind == "yuv" and any(out.subsampling) else 0,
        )

    def add_to(self, container: Any) -> Any:
        """Add a stream with such an encoder to a container that is being written, before its header.

        Raises:
            ValueError: the container does not hold the codec.
        """
        options = encoder_options(self.codec, joined=self.joined)
        options |= {} if self.crf is None else {"crf": f"{self.crf:g}"}
        stream = container.add_stream(codec_info(self.codec).encoder, rate=self.rate, options=options)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = *self.size, self.pix_fmt
        stream.time_base = context.time_base = self.base
        context.sample_aspect_ratio = self.sar
        context.color_primaries, context.color_trc = self.primaries, self.transfer
        context.colorspace, context.color_range = self.matrix, self.range
        if self.siting:
            context.chroma_sample_location = self.siting
        context.flags |= av.codec.context.Flags.frame_duration
        return stream

    def check(self) -> None:
        """Open such an encoder and throw it away: what it refuses is to be known before hours of work.

        Raises:
            UnsupportedError: it does not take pictures of this size or format.
        """
        with av.open("null", "w", format="null") as nowhere:
            try:
                self.add_to(nowhere).codec_context.open()
            except (av.FFmpegError, ValueError) as error:
                width, height = self.size
                raise UnsupportedError(
                    f"{self.codec} cannot take {width}x{height} {self.pix_fmt} ({reason(error)}): try another --codec"
                ) from error

    def picture(self, planes: Sequence[np.ndarray], time: int, duration: int) -> av.VideoFrame:
        """A frame as the encoder takes it; time and duration in ticks, 0 for a duration that is not known."""
        picture = frame_of(planes, self.pix_fmt)
        picture.time_base, picture.pts, picture.duration = self.base, time, duration
        picture.colorspace, picture.color_range = self.matrix, self.range
        picture.color_primaries, picture.color_trc = self.primaries, self.transfer  # ProRes writes what frames say
        return picture

    def timing(self, info: VideoInfo, first: int, shift: int) -> Timing | ConstantTiming:
        """What gives the times of a film's frames in the output; see `Timing`."""
        return _timing(info, self.container, self.rate, first, shift)

    def to_json(self) -> dict[str, Any]:
        """All settings, to be compared."""
        told = {name: str(value) if isinstance(value, Fraction) else value for name, value in asdict(self).items()}
        return {**told, "size": list(self.size)}


def _color_tags(info: VideoInfo, out: OutputFormat) -> tuple[int, int]:
    """(matrix, range) as written: what the file said, unless the samples are no longer that."""
    if out.kind == "rgb":
        return 0, 2
    kept = info.kind == "yuv" and info.tags.matrix not in (0, 2) and out.matrix == info.matrix
    return info.tags.matrix if kept else h273_code(out.matrix), 2 if out.full_range else 1


def _timing(info: VideoInfo, container: str, rate: Fraction, first: int = 0, shift: int = 0) -> Timing | ConstantTiming:
    return ConstantTiming(info, rate, first) if container == "mxf" else Timing(info, container, first, shift)


class Timing:
    """Turns a film's times into those of the output.

    Containers that count in milliseconds (Matroska) or 1/90000 s (MPEG-TS) had to round the times of film at 24000/1001
    frames a second. As long as every frame lies within one tick of where the rate puts it, that exact place is used;
    from the first frame that does not, times are taken as they are.

    Args:
        info: the film.
        format_name: FFmpeg's name of the output's container.
        first: time of the first frame, in ticks of the film.
        shift: ticks to subtract from all times.

    Attributes:
        base: seconds a tick of the output.
    """

    def __init__(self, info: VideoInfo, format_name: str, first: int, shift: int) -> None:
        self._source, self._first, self._shift = info.time_base, first, shift
        self._frame = 1 / (info.fps * info.time_base)  # in ticks
        self.base = info.time_base
        self._count = 0
        fine = Fraction(info.time_base.numerator, math.lcm(info.time_base.denominator, info.fps.numerator))
        rounded = self._frame.denominator != 1
        self._on_grid = (
            rounded and format_name != "matroska" and (1 / fine) < 10**8 and (1 / (info.fps * fine)).denominator == 1
        )
        if self._on_grid:
            self.base = fine

    def __call__(self, frame: Frame) -> tuple[int, int]:
        """(time, duration) of the next frame, in ticks of the output; duration 0 for unknown."""
        pts, duration = Fraction(frame.pts or 0), Fraction(frame.duration or 0)
        place = self._first + self._count * self._frame
        self._count += 1
        self._on_grid = self._on_grid and abs(pts - place) < 1
        if self._on_grid:
            pts = place
            duration = self._frame if abs(duration - self._frame) <= 1 else duration
        scale = self._source / self.base
        return round((pts - self._shift) * scale), round(duration * scale)
