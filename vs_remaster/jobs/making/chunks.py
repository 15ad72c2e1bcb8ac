"""Chunks as files: FFV1 in the very samples that the encoder will get, and a record of each that is finished.

For chunks in the codec of the output see `final`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ...errors import InputError, RemasterError
from ...output.formats import OutputFormat
from ...system.files import Atomic, named_errors, new_part, settle, write_whole
from ...system.texts import read_bytes
from ...video.containers import media_url
from ...video.info import VideoInfo
from ...video.planes import frame_of, planes_of
from ..planning.checksums import sealed, unsealed
from ..planning.chunking import Chunk
from ..planning.survey import checksum

Shares = Sequence[tuple[int, float]] | None

_FORMATS = {".mkv": "matroska", ".mov": "mov", ".nut": "nut"}
_RATE = Fraction(24)  # of no meaning: times are kept in the plan


@dataclass(frozen=True)
class Record:
    """What is known of a finished chunk.

    Attributes:
        key: see `Chunk`.
        size: bytes of its file.
        checks: `checksum` of every frame in it; of the packet of every frame, where these are kept as they are.
        shares: see `shares_of`, of every frame; the numbers are those of the references of its segment.
        damage: of every frame, the share of its pixels that were repaired, 0..1; None where nothing was restored.
        order: which frame of the chunk each packet holds; empty where frames are kept without loss.
        extradata: the header of the encoder, in hexadecimal.
    """

    key: str
    size: int
    checks: tuple[int, ...]
    shares: tuple[Shares, ...]
    damage: tuple[float | None, ...] = ()
    order: tuple[int, ...] = ()
    extradata: str = ""


def file_of(folder: Path, chunk: Chunk) -> Path:
    """Where the frames of a chunk lie."""
    return folder / f"{chunk.name}{chunk.suffix}"


def record_of(folder: Path, chunk: Chunk) -> Path:
    """Where the record of a chunk lies."""
    return folder / f"{chunk.name}.json"


def recorded(folder: Path, chunk: Chunk) -> Record | None:
    """The record of a chunk, whatever it was made by and whether its file is still there; None without, or where it is
    damaged."""
    try:
        told = unsealed(read_bytes(record_of(folder, chunk)))
        told = {"damage": [None] * chunk.frames, **told}  # older records say nothing of it
        fields: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in told.items()}
        record = Record(**fields)
        lengths = {len(record.checks), len(record.shares), len(record.damage)}
    except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if lengths == {chunk.frames} else None


def finished(folder: Path, chunk: Chunk) -> Record | None:
    """The record of a chunk; None where it has to be made, for the first time or again."""
    record = recorded(folder, chunk)
    return record if record and record.key == chunk.key and is_there(folder, chunk, record) else None


def is_there(folder: Path, chunk: Chunk, record: Record) -> bool:
    """Whether the file of a chunk has the length that its record says."""
    try:
        return file_of(folder, chunk).stat().st_size == record.size
    except OSError:
        return False


def forget(folder: Path, chunk: Chunk) -> bool:
    """Drop a chunk, so that it is made again; whether there was one. The record goes first."""
    there = record_of(folder, chunk).exists()
    record_of(folder, chunk).unlink(missing_ok=True)
    file_of(folder, chunk).unlink(missing_ok=True)
    return there


def take_chunk(folder: Path, chunk: Chunk, record: Record, data: bytes) -> None:
    """Store a chunk that was made where this folder cannot be seen.

    Raises:
        InputError: no space left. RemasterError: it did not come whole.
    """
    if len(data) != record.size:
        raise RemasterError(f"chunk {chunk.name} came with {len(data)} bytes instead of {record.size}: run again")
    write_whole(file_of(folder, chunk), data)
    _write_record(folder, chunk, record)


def _write_record(folder: Path, chunk: Chunk, record: Record) -> None:
    write_whole(record_of(folder, chunk), sealed(asdict(record)))


class ChunkWriter(Atomic):
    """Writes the frames of a chunk; its file and then its record have their names when they are whole.

    Args:
        folder: of the chunks.
        chunk: see `Chunk`.
        info: of the film.
        out: samples of the frames.

    Attributes:
        record: of the finished chunk; None before that.
        shares, damage: of every frame, see `Record`; to be filled beside `write`.

    Raises:
        InputError: no space left, permission denied.
    """

    def __init__(self, folder: Path, chunk: Chunk, info: VideoInfo, out: OutputFormat) -> None:
        self.path, self.chunk, self.info, self.out = file_of(folder, chunk), chunk, info, out
        self.record: Record | None = None
        self.shares: list[Shares] = []
        self.damage: list[float | None] = []
        self.count = 0
        self._folder = folder
        with named_errors(self.path):
            self._part = new_part(self.path)
        self._checks: list[int] = []
        self._container: Any = None
        try:
            with named_errors(self.path):
                self._container = av.open(media_url(self._part), "w", format=_FORMATS[chunk.suffix])
                self._stream = self._add_stream()
        except BaseException:
            self.abort()
            raise

    def _add_stream(self) -> Any:
        stream = self._container.add_stream("ffv1", rate=_RATE, options={"level": "3", "slicecrc": "1", "g": "1"})
        stream.width, stream.height, stream.pix_fmt = self.out.width, self.out.height, self.out.pix_fmt
        stream.time_base = stream.codec_context.time_base = 1 / _RATE
        return stream

    def write(self, planes: list[np.ndarray]) -> None:
        """Add a frame.

        Raises:
            InputError: no space left. RemasterError: the encoder fails.
        """
        with named_errors(self.path):
            self._mux(self._stream.encode(self._picture(planes)))
        self.count += 1

    def _picture(self, planes: list[np.ndarray]) -> av.VideoFrame:
        self._checks.append(checksum(planes))
        picture = frame_of(planes, self.out.pix_fmt)
        picture.pts, picture.time_base = self.count, 1 / _RATE
        return picture

    def _mux(self, packets: list[av.Packet]) -> None:
        self._container.mux(packets)

    def close(self) -> None:
        """Finish the file, count its frames, and record it.

        Raises:
            InputError: no space left. RemasterError: what was written is not what should be there.
        """
        try:
            with named_errors(self.path):
                self._mux(self._stream.encode(None))
                known = self._known()
                self._container.close()
                kept = self._kept()
                if not kept == self.count == self.chunk.frames:
                    raise RemasterError(
                        f"{self.path} should have {self.chunk.frames} frames, {self.count} were made and "
                        f"{kept} can be read: is the disk sound?"
                    )
                record_of(self._folder, self.chunk).unlink(missing_ok=True)
                settle(self._part, self.path)
            size = self.path.stat().st_size
            told = tuple(self._checks), tuple(self.shares), tuple(self.damage)
            self.record = Record(self.chunk.key, size, *told, **known)
            _write_record(self._folder, self.chunk, self.record)
        except BaseException:
            self.abort()
            raise

    def _known(self) -> dict[str, Any]:
        """What else the record says, asked when all frames have been encoded."""
        return {}

    def _kept(self) -> int:
        """How many frames the finished file has."""
        return sum(1 for _ in packets_of(self._part))

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if self._container is not None:
            with contextlib.suppress(Exception):  # the trailer of a file that is thrown away
                self._container.close()
        self._part.unlink(missing_ok=True)


def packets_of(path: Path) -> Iterator[av.Packet]:
    """The packets of a chunk's file, as far as it can be read."""
    with contextlib.suppress(av.FFmpegError, IndexError), av.open(media_url(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


class DamagedChunk(RemasterError):
    """The file of a chunk is not what was written."""


def damaged_chunk(folder: Path, chunk: Chunk) -> DamagedChunk:
    """The error that says so."""
    return DamagedChunk(
        f"{file_of(folder, chunk)} is damaged, is the disk sound? The command of the job makes it again"
    )


def read_chunk(folder: Path, chunk: Chunk, record: Record) -> Iterator[list[np.ndarray]]:
    """The planes of every frame of a finished chunk.

    Raises:
        DamagedChunk: it is not what was written.
    """
    path, damaged = file_of(folder, chunk), damaged_chunk(folder, chunk)
    count = 0
    try:
        with av.open(media_url(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for picture in container.decode(video=0):
                planes = planes_of(picture)
                if count >= len(record.checks) or checksum(planes) != record.checks[count]:
                    raise damaged
                count += 1
                yield planes
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise damaged from error
    if count != chunk.frames:
        raise damaged
