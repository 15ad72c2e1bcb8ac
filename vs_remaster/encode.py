"""Writing film: encoders, containers and folders of pictures; the output has its name only when it is complete."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from .codecs import CONTAINERS, TABLE, codec_info
from .color import SITINGS, h273_code
from .containers import media_url, reason, set_matroska_aspect
from .errors import InputError, UnsupportedError
from .film import VideoInfo
from .mxf import ConstantTiming, check_constant, mxf_rate, set_mxf_aspect
from .output import NO_SPACE, Atomic, OutputFormat, check_output, named_errors
from .pictures import PictureWriter
from .planes import Frame, frame_of
from .remux import StreamCopier, kept_metadata, warn_of_lost_tags
from .timecode import KEY, first_timecode

if TYPE_CHECKING:
    from .video import VideoReader

log = logging.getLogger(__name__)

DEFAULT_CRF = {name: row.crf for name, row in TABLE.items() if row.crf is not None}

# A clock that starts later belongs to a broadcast or a tape, not to the film; players would show black until then.
_LATEST_START = 10


def open_writer(
    path: Path | str,
    reader: VideoReader,
    out: OutputFormat,
    *,
    codec: str,
    crf: float | None = None,
    overwrite: bool = False,
    timecode: str | None = None,
) -> VideoWriter | PictureWriter:
    """Open the writer that a codec needs, a container or a folder of pictures.

    Args and errors are those of `VideoWriter` and `PictureWriter`.
    """
    if codec_info(codec).is_folder:
        first = first_timecode(reader.info, reader.start, timecode)
        return PictureWriter(path, reader.info, out, codec=codec, overwrite=overwrite, timecode=first)
    return VideoWriter(path, reader, out, codec=codec, crf=crf, overwrite=overwrite, timecode=timecode)


class _Timing:
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


class VideoWriter(Atomic):
    """Encodes frames into a container and carries over everything else that was in the film's file.

    Times are those of the source in its own time base, exactly in MP4 and MOV; Matroska stores whole milliseconds, MXF
    a rate and no times. A part cut out of a film begins at 0, and so do MXF and a film whose clock starts later than
    ten seconds.

    Args:
        path: ends in one of `CONTAINERS`.
        reader: the film the frames come from: times, tags, sound and so on are taken from it.
        out: the samples of the frames, from `output_format`.
        codec: one of `CODECS` that is no folder of pictures.
        crf: quality of x264 (0..51, default 17) and x265 (0..51, default 19), lower is better; not used by the others.
        overwrite: replace an output that exists.
        timecode: of the first frame that is written; None: what it has in the film, if anything.

    Raises:
        InputError: see `check_output`; a crf out of range; a timecode that does not exist; MXF of a film whose rate
            varies; while writing: no space left, permission denied.
        UnsupportedError: the encoder cannot take such frames.
    """

    def __init__(
        self,
        path: Path | str,
        reader: VideoReader,
        out: OutputFormat,
        *,
        codec: str = "x264",
        crf: float | None = None,
        overwrite: bool = False,
        timecode: str | None = None,
    ) -> None:
        self.path, self.reader, self.out, self.codec = Path(path), reader, out, codec
        check_output(self.path, codec, overwrite, reader.info.path)
        self._row = codec_info(codec)
        if self._row.is_folder:
            raise InputError(f"codec {codec} writes a folder of pictures: use PictureWriter")
        if crf is not None and not 0 <= crf <= 51:
            raise InputError(f"crf must lie in 0..51, got {crf}")
        if crf is not None and codec not in DEFAULT_CRF:
            log.warning("codec %s has no crf; it is ignored", codec)
        self.crf = DEFAULT_CRF.get(codec, 0) if crf is None else crf
        self._format = CONTAINERS[self.path.suffix.lower()]
        self._timecode = first_timecode(reader.info, reader.start, timecode)
        self._rate = reader.info.fps
        if self._format == "mxf":
            self._rate = mxf_rate(reader.info)
            if reader.stream is not None:
                check_constant(reader.info, reader.stream.index, self._rate, reader.start, reader.end)
        self._part = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._copier: StreamCopier | None = None
        self._container: Any = None
        self._done = False
        with named_errors(self.path):
            self._part.touch()
        try:
            with named_errors(self.path):
                options = {"max_interleave_delta": "1000000"}
                if self._format == "mxf":
                    options["strict"] = "unofficial"  # rates of silent film
                self._container = av.open(media_url(self._part), "w", format=self._format, container_options=options)
                self._stream = self._add_picture()
        except BaseException:
            self.abort()
            raise

    def _add_picture(self) -> Any:
        info, out = self.reader.info, self.out
        if out.pix_fmt not in {f.name for f in av.codec.Codec(self._row.encoder, "w").video_formats or ()}:
            raise UnsupportedError(f"{self.codec} cannot take {out.pix_fmt}: try other --bits, or another --codec")
        try:
            stream = self._container.add_stream(self._row.encoder, rate=self._rate, options=self._options())
        except ValueError as error:
            raise UnsupportedError(f"this FFmpeg does not write {self.codec} into {self.path.suffix}") from error
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, out.pix_fmt
        context.sample_aspect_ratio = info.sar
        context.color_primaries, context.color_trc = info.tags.primaries, info.tags.transfer
        self._tags = self._color_tags()
        context.colorspace, context.color_range = self._tags
        if out.kind == "yuv" and any(out.subsampling):
            context.chroma_sample_location = SITINGS.index(out.siting) + 1
        if self.codec == "x265" and self._format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the only one Apple's players take
        context.flags |= av.codec.context.Flags.frame_duration
        if info.display_matrix and self._format == "mxf":
            log.warning("how the picture is turned for display is left out: mxf cannot hold it")
        elif info.display_matrix:
            stream.set_display_matrix(info.display_matrix)
        return stream

    def _options(self) -> dict[str, str]:
        return dict(self._row.options) | ({} if self._row.crf is None else {"crf": f"{self.crf:g}"})

    def _color_tags(self) -> tuple[int, int]:
        """(matrix, range) as written: what the file said, unless the samples are no longer that."""
        info, out = self.reader.info, self.out
        if out.kind == "rgb":
            return 0, 2
        kept = info.kind == "yuv" and info.tags.matrix not in (0, 2) and out.matrix == info.matrix
        return info.tags.matrix if kept else h273_code(out.matrix), 2 if out.full_range else 1

    def _start(self, first: Frame) -> None:
        """Settle the time of the first frame, add what is copied and write the header."""
        info, reader = self.reader.info, self.reader
        first_time = (first.pts or 0) * info.time_base
        constant = self._format == "mxf"
        cut = constant or bool(reader.start)
        self._first_time = first_time
        self._shift = (first.pts or 0) if cut or first_time > _LATEST_START else 0
        self._timing: _Timing | ConstantTiming = (
            ConstantTiming(info, self._rate, first.pts or 0)
            if constant
            else _Timing(info, self._format, first.pts or 0, self._shift)
        )
        self._stream.time_base = self._stream.codec_context.time_base = self._timing.base
        if not info.is_folder:
            source = reader.stream
            if constant:
                warn_of_lost_tags(source, self._format)
            else:
                self._stream.metadata.update(kept_metadata(source.metadata, track=True))
            if source.disposition:
                self._stream.disposition = source.disposition
            start = first_time if cut else None
            self._copier = StreamCopier(
                info.path,
                self._container,
                self._format,
                start=start,
                shift=self._shift * info.time_base,
                picture=source.index,
            )
            end = (reader.end - reader.start) / info.fps + first_time if reader.end is not None else None
            chapters = self._copier.chapters(end)
            if not constant:
                self._container.set_chapters(chapters)
            elif chapters:
                log.warning("%d chapters are left out: mxf cannot hold them", len(chapters))
        if self._timecode:
            self._stream.metadata[KEY] = str(self._timecode)
        try:
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) in NO_SPACE:
                raise
            raise UnsupportedError(
                f"{self.codec} in {self.path.suffix} cannot take {info.width}x{info.height} {self.out.pix_fmt} "
                f"({reason(error)}): try another --codec"
            ) from error

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Args:
            frame: planes as `out` says, with the time of the frame it was made of.

        Raises:
            InputError: planes of another size or depth, no space left. RemasterError: the encoder or the container
                fails.
        """
        with named_errors(self.path):
            if self._copier is None and not self._container.streams[0].codec_context.is_open:
                self._start(frame)
            picture = frame_of(frame.planes, self.out.pix_fmt)
            picture.time_base = self._timing.base
            picture.pts, picture.duration = self._timing(frame)
            picture.colorspace, picture.color_range = self._tags
            tags = self.reader.info.tags
            picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer  # ProRes writes what frames say
            self._mux(self._stream.encode(picture))

    def _mux(self, packets: list[Any]) -> None:
        shift = self._shift * self.reader.info.time_base
        for packet in packets:
            if self._copier:
                self._copier.advance(packet.dts * self._timing.base + shift)
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            InputError: no frame was written, no space left.
        """
        if self._done:
            return
        try:
            with named_errors(self.path):
                if not self._stream.codec_context.is_open:
                    raise InputError(f"no frames for {self.path}: nothing is written")
                self._mux(self._stream.encode(None))
                if self._copier:
                    end = self.reader.end_pts * self.reader.info.time_base if self.reader.cut else None
                    if isinstance(self._timing, ConstantTiming):
                        end = self._first_time + self._timing.count * self._timing.base
                    self._copier.advance(end, end)
                    if end is not None:
                        self._copier.finish_sound(end, self.reader.cut)
                    self._copier.close()
                self._container.close()
                self._finish_header()
                os.replace(self._part, self.path)
        except BaseException:
            self.abort()
            raise
        self._done = True

    def _finish_header(self) -> None:
        """Add what FFmpeg or PyAV do not, and name the metadata that a container has dropped silently."""
        info = self.reader.info
        if self._format == "mxf" and not set_mxf_aspect(self._part, info):
            log.warning("the sample aspect ratio %s could not be stored in %s", info.sar, self.path)
        if self._format == "matroska":
            written = info.sar == 1 or set_matroska_aspect(self._part, info.width, info.height, info.sar)
            if not written and self.codec not in DEFAULT_CRF:  # those store it in the picture as well
                log.warning("the sample aspect ratio %s could not be stored in %s", info.sar, self.path)
            return
        with av.open(media_url(self._part)) as container:
            there = {key.lower() for key in container.metadata}
        lost = [key for key in self._copier.metadata if key.lower() not in there] if self._copier else []
        if lost:
            log.warning("metadata %s left out: %s cannot hold it", ", ".join(lost), self._format)

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if self._done:
            return
        self._done = True
        if self._copier:
            self._copier.close()
        if self._container is not None:
            with contextlib.suppress(Exception):  # the trailer of a file that is thrown away
                self._container.close()
        self._part.unlink(missing_ok=True)
