"""Chunks as files: FFV1 in the very samples that the encoder will get, and a record of each that is finished."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..containers import media_url
from ..errors import RemasterError
from ..film import VideoInfo
from ..output import Atomic, OutputFormat, named_errors, settle, write_whole
from ..planes import frame_of, planes_of
from .plan import Chunk
from .survey import checksum

Shares = Sequence[tuple[int, float]] | None

_RATE = Fraction(24)  # of no meaning: times are kept in the plan


@dataclass(frozen=True)
class Record:
    """What is known of a finished chunk.

    Attributes:
        key: see `Chunk`.
        size: bytes of its file.
        checks: `checksum` of every frame in it.
        shares: see `shares_of`, of every frame; the numbers are those of the references of its segment.
        damage: of every frame, the share of its pixels that were repaired, 0..1; None where nothing was restored.
    """

    key: str
    size: int
    checks: tuple[int, ...]
    shares: tuple[Shares, ...]
    damage: tuple[float | None, ...]


def file_of(folder: Path, chunk: Chunk) -> Path:
    """Where the frames of a chunk lie."""
    return folder / f"{chunk.name}.mkv"


def record_of(folder: Path, chunk: Chunk) -> Path:
    """Where the record of a chunk lies."""
    return folder / f"{chunk.name}.json"


def recorded(folder: Path, chunk: Chunk) -> Record | None:
    """The record of a chunk, whatever it was made by and whether its file is still there; None without."""
    try:
        told = json.loads(record_of(folder, chunk).read_bytes())
        damage = told.get("damage", (None,) * chunk.frames)  # older records say nothing of it
        record = Record(told["key"], told["size"], tuple(told["checks"]), tuple(told["shares"]), tuple(damage))
        lengths = {len(record.checks), len(record.shares), len(record.damage)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
    write_whole(record_of(folder, chunk), json.dumps(asdict(record)).encode())


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
        self.path, self.chunk, self.out = file_of(folder, chunk), chunk, out
        self.record: Record | None = None
        self._folder = folder
        self._part = folder / f".{chunk.name}.{os.getpid()}.part.mkv"
        self._checks: list[int] = []
        self.shares: list[Shares] = []
        self.damage: list[float | None] = []
        self._container: Any = None
        try:
            with named_errors(self.path):
                self._container = av.open(media_url(self._part), "w", format="matroska")
                self._stream = self._container.add_stream(
                    "ffv1", rate=_RATE, options={"level": "3", "slicecrc": "1", "g": "1"}
                )
                self._stream.width, self._stream.height, self._stream.pix_fmt = info.width, info.height, out.pix_fmt
                self._stream.time_base = self._stream.codec_context.time_base = 1 / _RATE
        except BaseException:
            self.abort()
            raise

    def write(self, planes: list[np.ndarray]) -> None:
        """Add a frame.

        Raises:
            InputError: no space left. RemasterError: the encoder fails.
        """
        with named_errors(self.path):
            picture = frame_of(planes, self.out.pix_fmt)
            picture.pts, picture.time_base = len(self._checks), 1 / _RATE
            self._container.mux(self._stream.encode(picture))
        self._checks.append(checksum(planes))

    def close(self) -> None:
        """Finish the file, count its frames, and record it.

        Raises:
            InputError: no space left. RemasterError: what was written is not what should be there.
        """
        try:
            with named_errors(self.path):
                self._container.mux(self._stream.encode(None))
                self._container.close()
                count = _count(self._part)
                if not count == len(self._checks) == self.chunk.frames:
                    raise RemasterError(
                        f"{self.path} should have {self.chunk.frames} frames, {len(self._checks)} were made and "
                        f"{count} can be read: is the disk sound?"
                    )
                record_of(self._folder, self.chunk).unlink(missing_ok=True)
                settle(self._part, self.path)
            told = tuple(self._checks), tuple(self.shares), tuple(self.damage)
            self.record = Record(self.chunk.key, self.path.stat().st_size, *told)
            _write_record(self._folder, self.chunk, self.record)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if self._container is not None:
            with contextlib.suppress(Exception):  # the trailer of a file that is thrown away
                self._container.close()
        self._part.unlink(missing_ok=True)


def _count(path: Path) -> int:
    try:
        with av.open(media_url(path)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.FFmpegError, IndexError):
        return 0


class DamagedChunk(RemasterError):
    """The file of a chunk is not what was written."""


def read_chunk(folder: Path, chunk: Chunk, record: Record) -> Iterator[list[np.ndarray]]:
    """The planes of every frame of a finished chunk.

    Raises:
        DamagedChunk: it is not what was written.
    """
    path = file_of(folder, chunk)
    damaged = DamagedChunk(f"{path} is damaged: is the disk sound?")
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
    except (av.FFmpegError, OSError, IndexError) as error:
        raise damaged from error
    if count != chunk.frames:
        raise damaged
