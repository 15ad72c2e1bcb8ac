"""A film from stdin to stdout, uncompressed: as y4m or as raw frames."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from .color.matrices import MATRICES
from .errors import InputError
from .film.remastering import plan, remaster_frames
from .film.request import Treatment
from .film.writing import ProgressCallback
from .system.files import named_errors
from .usage import PIPE_EXAMPLE
from .video.planes import Frame, planar_format
from .video.rawvideo import MAGIC, Header, RawFormat, raw_format, y4m_format

log = logging.getLogger(__name__)

_MARK = b"FRAME\n"
_LONGEST_LINE = 1024  # bytes
_PIECE = 32 << 20  # bytes that are waited for at once; a frame of 4096 x 2160 in 4:2:0 of 10 bits has 27 million
_PATIENCE = 2.0  # seconds for a read or write that is under way when all ends
# How files begin that are piped in by mistake: (place, bytes, name).
_LOOKS = (
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (4, b"ftyp", "MP4 or MOV"),
    (0, b"RIFF", "AVI"),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream"),
    (0, b"\x47\x40", "an MPEG transport stream"),
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
)


@dataclass(frozen=True, kw_only=True)
class PipeOptions:
    """What comes in and goes out.

    Attributes:
        format: `y4m`, or `raw`: frames alone, one after the other.
        size: of raw frames that come in, (width, height) in pixels; a y4m stream says it.
        pix_fmt: of y4m: the format written, by its y4m name; None: that of the input, and 4:4:4 for gray that is
            coloured. Of raw frames: the format read, by FFmpeg's name; it is written too, but gray that is coloured
            becomes 4:4:4.
        matrix: see `color.MATRICES`; None: a guess from the height.
        full_range: None: what a y4m stream says; else gray and R'G'B' count from black to white, Y'CbCr does not.
    """

    format: Literal["y4m", "raw"] = "y4m"
    size: tuple[int, int] | None = None
    pix_fmt: str | None = None
    matrix: str | None = None
    full_range: bool | None = None

    def __post_init__(self) -> None:
        if self.format not in ("y4m", "raw"):
            raise InputError(f"format must be y4m or raw, got {self.format!r}")
        if self.format == "raw" and not (self.size and self.pix_fmt):
            raise InputError("raw frames do not say what they are: give --size and --pix-fmt")
        if self.format == "y4m" and self.size:
            raise InputError("a y4m stream says its size: leave --size out, or give --format raw")
        if self.matrix not in (None, *MATRICES):
            raise InputError(f"unknown matrix {self.matrix!r}: use one of {', '.join(MATRICES)}")


class ByteSource(Protocol):
    """A stream without a buffer, or one like it; `readinto` may give less than there is room for, none at the end."""

    def read(self, size: int, /) -> bytes | None: ...

    def readinto(self, room: memoryview, /) -> int | None: ...


class ByteSink(Protocol):
    """A stream without a buffer, or one like it; `write` may take less than it is given, and says how much."""

    def write(self, data: memoryview, /) -> int | None: ...


def remaster_pipe(
    source: ByteSource,
    sink: ByteSink,
    options: PipeOptions = PipeOptions(),
    treatment: Treatment | None = None,
    *,
    progress: ProgressCallback = lambda done, total: None,
    **fields: Any,
) -> int:
    """Restore and colour a film that comes in a pipe; each frame goes out as soon as it is made.

    Luma that is not restored keeps its very code values, and frames are those of `film.remaster_film`. When nobody
    takes the frames any more, it ends as if the film did.

    Args:
        source: where the film comes from, see `standard_streams`; `readinto` may give less than there is room for.
        sink: where it goes; `write` may take less than it is given.
        options: see `PipeOptions`.
        treatment: what is done to the frames; None: `fields` are those of a `Treatment`.
        progress: see `film.ProgressCallback`; nobody knows how many frames there will be.
        fields: see `treatment`.

    Returns:
        Frames written.

    Raises:
        InputError: the input is empty, not what it should be, or cut off in a frame; the whole frames before that have
            been written then. UnsupportedError: it is interlaced or of a format that is not known.
    """
    header, info = _describe(source, options)
    treatment = (treatment or Treatment(**fields)).resolved()
    treatment.check(None)
    out = _output(header, treatment.shown(info), options, treatment.colorize is not None, treatment.scale)
    pipeline = treatment.pipeline()
    reader = _Reader(source, info, marked=header is not None)
    written = 0

    def write(frame: Frame) -> None:
        nonlocal written
        data = out.data(frame.planes)
        if header:
            data = (b"" if written else header.line(out)) + _MARK + data
        _write(sink, data)
        written += 1
        progress(written, None)

    # y4m does not hold the matrix: the program that reads it has to be told
    told = f"{f', {out.matrix}' if out.kind == 'yuv' else ''}, {'full' if out.full_range else 'limited'} range"
    log.info("%s", plan(pipeline, info, len(treatment.references), f"{out.pix_fmt}{told}, to stdout"))
    progress(0, None)
    try:
        remaster_frames(reader, write, pipeline, info, out, given=treatment.given(), patience=_PATIENCE)
    except _NobodyReads:
        log.info("the program that reads stdout has ended")
        return written
    if reader.damage:
        raise InputError(f"stdin: {reader.damage}; {written} frames were written")
    beyond = [number for number in treatment.prepare.bad_frames if number >= written]
    if beyond and written:
        log.warning("bad frame %d is not there: the film had %d frames", beyond[0], written)
    if not written:
        raise InputError(f"stdin holds no frames{': its y4m header is all there is' if header else ''}")
    return written


def standard_streams() -> tuple[FileIO, FileIO]:
    """stdin and stdout as bytes, without a buffer: nothing waits in one, and no thread holds its lock at the end.

    On Windows `FileIO` puts them into binary mode.

    Raises:
        InputError: one is closed, a terminal or a folder.
    """
    return _open(sys.stdin, "stdin", "rb"), _open(sys.stdout, "stdout", "wb")


def _open(stream: TextIO | None, name: str, mode: Literal["rb", "wb"]) -> FileIO:
    if stream is None or stream.closed:
        raise InputError(f"{name} is closed: {PIPE_EXAMPLE}")
    if stream.isatty():
        raise InputError(f"{name} is a terminal: {PIPE_EXAMPLE}")
    try:
        if os.name == "posix":  # whoever shares it may have changed that
            os.set_blocking(stream.fileno(), True)
        return open(stream.fileno(), mode, buffering=0, closefd=False)
    except OSError as error:
        raise InputError(f"cannot use {name}: {error.strerror or error}") from error


def _describe(source: ByteSource, options: PipeOptions) -> tuple[Header | None, RawFormat]:
    """The header of the stream, None for raw frames, and the format of its frames."""
    matrix, full_range = options.matrix, options.full_range
    if options.format == "raw":
        assert options.size and options.pix_fmt  # options of raw frames have both
        return None, raw_format(options.pix_fmt, *options.size, matrix=matrix, full_range=full_range)
    try:
        header = _read_header(source)
    except OSError as error:
        raise InputError(f"cannot read stdin: {error.strerror or error}") from error
    if full_range is None:
        full_range = header.full_range
    return header, y4m_format(header.pix_fmt, header.width, header.height, matrix=matrix, full_range=full_range)


def _read_header(source: ByteSource) -> Header:
    start = _read(source, len(MAGIC))
    if not start:
        raise InputError(f"stdin is empty; did the program that feeds it fail? Use: {PIPE_EXAMPLE}")
    if start != MAGIC:
        looks = [f" but looks like {name}" for at, mark, name in _LOOKS if start[at:].startswith(mark)]
        raise InputError(f"stdin is not y4m{''.join(looks[:1])}: {PIPE_EXAMPLE}")
    line = _read_line(source)
    if not line.endswith(b"\n"):
        raise InputError(f"stdin: the y4m header does not end within {_LONGEST_LINE} bytes, or is cut off")
    return Header.parse(bytes(start + line))


def _output(header: Header | None, info: RawFormat, options: PipeOptions, colored: bool, scale: int) -> RawFormat:
    """The format to write."""
    name = info.pix_fmt
    if header and options.pix_fmt:
        name = options.pix_fmt
    elif colored and info.kind == "gray":
        name = planar_format("yuv", info.bits)  # 4:4:4
        if header:
            name = "444" if info.bits == 8 else f"444p{info.bits}"
    named = y4m_format if header else raw_format
    size = scale * info.width, scale * info.height
    out = named(name, *size, matrix=info.matrix, full_range=info.full_range)
    if colored and out.kind == "gray":
        raise InputError(f"{out.pix_fmt} has no place for colours: use 444 or 420, or --no-color")
    return out


class _Reader:
    """Reads frames to the end of the stream, or to where it is broken.

    Attributes:
        damage: what ended the stream, if not its end; known when iteration has ended.
    """

    def __init__(self, stream: ByteSource, info: RawFormat, *, marked: bool) -> None:
        self._stream, self._info, self._marked = stream, info, marked
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        size = self._info.frame_bytes
        for number in count():
            try:
                if self._marked and not self._next_mark(number):
                    return
                data = _read(self._stream, size)
            except OSError as error:
                self.damage = f"frame {number} cannot be read ({error.strerror or error})"
                return
            if len(data) < size:
                if data or self._marked:
                    self.damage = f"frame {number} is cut off: {len(data)} of {size} bytes"
                return
            yield Frame(number, None, self._info.planes(data))

    def _next_mark(self, number: int) -> bool:
        """Read what stands before a frame; False at the end of the stream."""
        mark = _read(self._stream, len(_MARK))
        if mark.startswith(b"FRAME "):  # with parameters, which say nothing of progressive frames
            mark = _MARK if _read_line(self._stream).endswith(b"\n") else mark[:5]
        if mark != _MARK and _MARK.startswith(mark):
            self.damage = f"frame {number} is cut off: 0 of {self._info.frame_bytes} bytes" if mark else None
        elif mark != _MARK:
            self.damage = (
                f"frame {number} does not begin with FRAME: the stream is damaged, or the frame before it was not "
                f"{self._info.width}x{self._info.height} in {self._info.pix_fmt}"
            )
        return mark == _MARK


def _read(stream: ByteSource, size: int) -> bytearray:
    """`size` bytes, fewer only at the end: a pipe gives what there is. Memory is taken as they come, for who says how
    many there will be may be mistaken."""
    data = bytearray()
    while len(data) < size:
        done = len(data)
        data += bytes(min(size - done, _PIECE))
        end = len(data)
        with memoryview(data) as room:
            while done < end and (got := stream.readinto(room[done:])):
                done += got
        if done < end:
            del data[done:]
            break
    return data


def _read_line(stream: ByteSource) -> bytes:
    """Bytes up to the end of a line, of the stream, or of what a line may be."""
    line = b""
    while len(line) < _LONGEST_LINE and not line.endswith(b"\n") and (byte := stream.read(1)):
        line += byte
    return line


class _NobodyReads(Exception):
    """The other end of stdout was closed."""


def _write(stream: ByteSink, data: bytes) -> None:
    with memoryview(data) as rest, named_errors(Path("stdout")):
        done = 0
        while done < len(data):
            try:
                done += stream.write(rest[done:]) or 0
            except OSError as error:
                if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
                    raise _NobodyReads from error
                raise
