"""Writing film: encoders, containers and folders of pictures; the output has its name only when it is complete."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from ..errors import InputError, UnsupportedError
from ..system.files import NO_SPACE, Atomic, Part, named_errors
from ..video.containers import check_aspect, media_url, reason, set_matroska_aspect
from ..video.planes import Frame
from ..video.timecode import KEY, first_timecode
from .codecs import CONTAINERS, TABLE, codec_info
from .copying import StreamCopier, warn_of_lost_tags
from .encoding import Encoding
from .formats import OutputFormat, check_output
from .mxf import ConstantTiming, check_constant, mxf_rate, set_mxf_aspect
from .pictures import PictureWriter
from .tracks import kept_metadata

if TYPE_CHECKING:
    from ..video.reader import VideoReader

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
    joined: bool = False,
) -> VideoWriter | PictureWriter:
    """Open the writer that a codec needs, a container or a folder of pictures.

    Args and errors are those of `VideoWriter` and `PictureWriter`; with `joined` it is a `JoinedWriter`.
    """
    if joined:
        return JoinedWriter(path, reader, out, codec=codec, crf=crf, overwrite=overwrite, timecode=timecode)
    if codec_info(codec).is_folder:
        first = first_timecode(reader.info, reader.start, timecode)
        return PictureWriter(path, reader.info, out, codec=codec, overwrite=overwrite, timecode=first)
    return VideoWriter(path, reader, out, codec=codec, crf=crf, overwrite=overwrite, timecode=timecode)


IN_ORDER = 2
"""Frames of a film so short that they are shown as they are decoded. Its decoding times x265 takes out of memory that
nobody has written to."""


class VideoWriter(Atomic):
    """Encodes frames into a container and carries over everything else that was in the film's file.

    Times are those of the source in its own time base, exactly in MP4 and MOV; Matroska stores whole milliseconds, MXF
    a rate and no times. A part cut out of a film begins at 0, and so do MXF and a film whose clock starts later than
    ten seconds.

    Args:
        path: ends in one of `CONTAINERS`.
        reader: the film the frames come from: times, tags, sound and so on are taken from it.
        out: what the frames are, from `output_format`.
        codec: one of `CODECS` that is no folder of pictures.
        crf: quality of x264 (0..51, default 17) and x265 (0..51, default 19), lower is better; not used by the others.
        overwrite: replace an output that exists.
        timecode: of the first frame that is written; None: what it has in the film, if anything.

    Attributes:
        encoding: the settings of its encoder.
        part: where the file lies until it has its name.

    Raises:
        InputError: see `check_output`; a crf out of range; a timecode that does not exist; MXF of a film whose rate
            varies; while writing: no space left, permission denied.
        UnsupportedError: the encoder cannot take such frames.
    """

    joined = False  # see `Encoding`

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
        if codec_info(codec).is_folder:
            raise InputError(f"codec {codec} writes a folder of pictures: use PictureWriter")
        if crf is not None and not 0 <= crf <= 51:
            raise InputError(f"crf must lie in 0..51, got {crf}")
        if crf is not None and codec not in DEFAULT_CRF:
            log.warning("codec %s has no crf; it is ignored", codec)
        self._format = CONTAINERS[self.path.suffix.lower()]
        self._timecode = first_timecode(reader.info, reader.start, timecode)
        self._rate = reader.info.fps
        if self._format == "mxf":
            self._rate = mxf_rate(reader.info)
            if reader.stream is not None and reader.timed:
                check_constant(reader.info, reader.stream.index, self._rate, reader.start, reader.end)
        self.encoding = Encoding.of(
            reader.info,
            out,
            codec,
            DEFAULT_CRF.get(codec) if crf is None or codec not in DEFAULT_CRF else crf,
            container=self._format,
            rate=self._rate,
            joined=self.joined,
        )
        self.encoding.check()
        self._copier: StreamCopier | None = None
        self._container: Any = None
        self._done = False
        self._count = 0
        self._output = Part(self.path, overwrite=overwrite)
        self.part = self._output.place
        try:
            with named_errors(self.path):
                options = {"max_interleave_delta": "1000000"}
                if self._format == "mxf":
                    options["strict"] = "unofficial"  # rates of silent film
                self._container = av.open(media_url(self.part), "w", format=self._format, container_options=options)
                self._stream = self._add_picture()
        except BaseException:
            self.abort()
            raise

    def _add_picture(self) -> Any:
        info = self.reader.info
        try:
            stream = self.encoding.add_to(self._container)
        except ValueError as error:
            raise UnsupportedError(f"this FFmpeg does not write {self.codec} into {self.path.suffix}") from error
        if self.codec == "x265" and self._format in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # the only one Apple's players take
        if info.display_matrix and self._format == "mxf":
            log.warning("how the picture is turned for display is left out: mxf cannot hold it")
        elif info.display_matrix:
            stream.set_display_matrix(info.display_matrix)
        return stream

    def _start(self, first: Frame) -> None:
        """Settle the time of the first frame, add what is copied and write the header."""
        info, reader = self.reader.info, self.reader
        first_time = (first.pts or 0) * info.time_base
        constant = self._format == "mxf"
        cut = constant or bool(reader.start)
        self._first_time = first_time
        self._shift = (first.pts or 0) if cut or first_time > _LATEST_START else 0
        self._timing = self.encoding.timing(info, first.pts or 0, self._shift)
        if (source := reader.stream) is not None:
            if constant:
                warn_of_lost_tags(source, self._format)
            else:
                self._stream.metadata.update(kept_metadata(source.metadata, track=True))
            if source.disposition:
                self._stream.disposition = source.disposition
            start = first_time if cut else None
            self._copier = StreamCopier(
                info,
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
                f"{self.codec} in {self.path.suffix} cannot take {self.out.width}x{self.out.height} {self.out.pix_fmt} "
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
            self._count += 1
            self._mux(self._stream.encode(self.encoding.picture(frame.planes, *self._timing(frame))))

    def _mux(self, packets: list[Any]) -> None:
        shift = self._shift * self.reader.info.time_base
        for packet in packets:
            if self._copier:
                self._copier.advance(packet.dts * self._timing.base + shift)
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            InputError: no frame was written, no space left; something has got that name meanwhile, see `Part`.
        """
        if self._done:
            return
        try:
            with named_errors(self.path):
                if not self._stream.codec_context.is_open:
                    raise InputError(f"no frames for {self.path}: nothing is written")
                rest = self._stream.encode(None)
                if self._count <= IN_ORDER:
                    for packet in rest:
                        packet.dts = packet.pts
                self._mux(rest)
                if self._copier:
                    end = self.reader.end_pts * self.reader.info.time_base if self.reader.cut else None
                    if isinstance(self._timing, ConstantTiming):
                        end = self._first_time + self._timing.count * self._timing.base
                    self._copier.advance(end, end)
                    self._copier.finish(end, self.reader.cut)
                    self._copier.close()
                self._container.close()
                self._finish_header()
            self._output.settle()
        except BaseException:
            self.abort()
            raise
        self._done = True

    def _finish_header(self) -> None:
        """Add what FFmpeg or PyAV do not, and name the metadata that a container has dropped silently."""
        info = self.reader.info
        if self._format == "mxf":
            self._check_aspect(set_mxf_aspect(self.part, info))
        if self._format == "matroska":
            if info.sar != 1:
                stored = self.codec in DEFAULT_CRF  # those store it in the picture as well
                self._check_aspect(set_matroska_aspect(self.part, self.out.width, self.out.height, info.sar), stored)
            return
        with av.open(media_url(self.part)) as container:
            there = {key.lower() for key in container.metadata}
        lost = [key for key in self._copier.metadata if key.lower() not in there] if self._copier else []
        if lost:
            log.warning("metadata %s left out: %s cannot hold it", ", ".join(lost), self._format)

    def _check_aspect(self, written: bool, stored: bool = False) -> None:
        """See that the header says it; `stored`: if not, it stands elsewhere."""
        sar = self.reader.info.sar
        if written:
            check_aspect(self.part, sar, self.path)
        elif not stored:
            log.warning("the sample aspect ratio %s could not be stored in %s", sar, self.path)

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
        self._output.discard()


class JoinedWriter(VideoWriter):
    """Puts packets that other encoders have made into a container; all else is as in a `VideoWriter`.

    Its own encoder is opened, for what the header says of the picture, and given nothing.
    """

    joined = True

    def begin(self, frames: Sequence[Frame], reorder: int) -> None:
        """Write the header.

        Args:
            frames: all there will be, with their times, in the order in which they are shown; planes are not looked at.
            reorder: see `decode_times`, of all packets that will come.

        Raises:
            InputError: no space left. UnsupportedError: the container does not take such pictures.
        """
        with named_errors(self.path):
            self._start(frames[0])
        self._times = [self._timing(frame) for frame in frames]
        self._decoded = iter(decode_times([time for time, _ in self._times], reorder))

    @property
    def extradata(self) -> bytes:
        """The header that packets must have been made for."""
        return self._stream.codec_context.extradata or b""

    def write_packet(self, data: bytes, place: int, keyframe: bool) -> None:
        """Add a packet, in the order of decoding.

        Args:
            data: of one frame.
            place: of that frame among `frames`.
            keyframe: decoding may begin here.

        Raises:
            InputError: no space left. RemasterError: the container fails.
        """
        packet = av.Packet(data)
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, self.encoding.base, keyframe
        packet.pts, packet.duration = self._times[place]
        packet.dts = next(self._decoded)
        with named_errors(self.path):
            self._mux([packet])


def decode_times(times: Sequence[int], reorder: int) -> list[int]:
    """When frames have to be decoded so that each is there when it is shown.

    Args:
        times: at which they are shown, ascending.
        reorder: how many places later than shown a frame is decoded at most.

    Returns:
        For each packet in the order of decoding, ascending and never later than the frame is shown; the first are as
        far before the first frame as that takes.
    """
    if not reorder:
        return list(times)
    early = times[reorder] - times[0]
    return [time - early for time in times[:reorder]] + list(times[: len(times) - reorder])
