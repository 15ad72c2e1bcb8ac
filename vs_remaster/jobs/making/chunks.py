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
from torch import Tensor

from ...errors import InputError, RemasterError
from ...film.mask_writer import mask_codes
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
        masks: `checksum` of the mask of every frame; empty where they are not kept.
        masks_size: bytes of their file.
    """

    key: str
    size: int
    checks: tuple[int, ...]
    shares: tuple[Shares, ...]
    damage: tuple[float | None, ...] = ()
    order: tuple[int, ...] = ()
    extradata: str = ""
    masks: tuple[int, ...] = ()
    masks_size: int = 0

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return self.size + self.masks_size


def file_of(folder: Path, chunk: Chunk) -> Path:
    """Where the frames of a chunk lie."""
    return folder / f"{chunk.name}{chunk.suffix}"


def masks_of(folder: Path, chunk: Chunk) -> Path:
    """Where the masks of a chunk lie, if they are kept: gray of 8 bits, FFV1."""
    return folder / f"{chunk.name}.masks.mkv"


def files_of(folder: Path, chunk: Chunk) -> list[Path]:
    """All files of a chunk but its record."""
    return [file_of(folder, chunk), *([masks_of(folder, chunk)] if chunk.masks else [])]


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
    return record if lengths == {chunk.frames} and len(record.masks) in (0, chunk.frames) else None


def finished(folder: Path, chunk: Chunk) -> Record | None:
    """The record of a chunk; None where it has to be made, for the first time or again."""
    record = recorded(folder, chunk)
    return record if record and record.key == chunk.key and is_there(folder, chunk, record) else None


def is_there(folder: Path, chunk: Chunk, record: Record) -> bool:
    """Whether the files of a chunk have the lengths that its record says."""
    sizes = [record.size, *([record.masks_size] if chunk.masks else [])]
    try:
        return [file.stat().st_size for file in files_of(folder, chunk)] == sizes and len(record.masks) >= chunk.masks
    except OSError:
        return False


def forget(folder: Path, chunk: Chunk) -> bool:
    """Drop a chunk, so that it is made again; whether there was one. The record goes first."""
    there = record_of(folder, chunk).exists()
    record_of(folder, chunk).unlink(missing_ok=True)
    file_of(folder, chunk).unlink(missing_ok=True)
    masks_of(folder, chunk).unlink(missing_ok=True)
    return there


def take_chunk(folder: Path, chunk: Chunk, record: Record, data: Sequence[bytes]) -> None:
    """Store a chunk that was made where this folder cannot be seen; `data`: of each of its files.

    Raises:
        InputError: no space left. RemasterError: it did not come whole.
    """
    if (came := sum(map(len, data))) != record.bytes:
        raise RemasterError(f"chunk {chunk.name} came with {came} bytes instead of {record.bytes}: run again")
    for path, held in zip(files_of(folder, chunk), data, strict=True):
        write_whole(path, held)
    _write_record(folder, chunk, record)


def _write_record(folder: Path, chunk: Chunk, record: Record) -> None:
    write_whole(record_of(folder, chunk), sealed(asdict(record)))


class _MasksFile:
    """Takes the masks of a chunk, for `ChunkWriter`."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path, self.size = path, size
        self.checks: list[int] = []
        self._part = new_part(path)
        self._container: Any = None
        try:
            self._container = av.open(media_url(self._part), "w", format="matroska")
            self._stream = _add_lossless(self._container, size, "gray")
        except BaseException:
            self.abort()
            raise

    def write(self, mask: Tensor | None) -> None:
        """Add the mask of a frame, `[1, H, W]`, 0..1; None: black."""
        codes = mask_codes(mask, self.size)
        self.checks.append(checksum([codes]))
        picture = frame_of([codes], "gray")
        picture.pts, picture.time_base = len(self.checks) - 1, 1 / _RATE
        with named_errors(self.path):
            self._container.mux(self._stream.encode(picture))

    def finish(self) -> int:
        """Write what is left; how many masks the file has."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return sum(1 for _ in packets_of(self._part))

    def settle(self) -> int:
        """Give the file its name; its bytes."""
        settle(self._part, self.path)
        return self.path.stat().st_size

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if self._container is not None:
            with contextlib.suppress(Exception):  # as in `ChunkWriter`
                self._container.close()
        self._part.unlink(missing_ok=True)


def _add_lossless(container: Any, size: tuple[int, int], pix_fmt: str) -> Any:
    stream = container.add_stream("ffv1", rate=_RATE, options={"level": "3", "slicecrc": "1", "g": "1"})
    stream.height, stream.width = size
    stream.pix_fmt = pix_fmt
    stream.time_base = stream.codec_context.time_base = 1 / _RATE
    return stream


class ChunkWriter(Atomic):
    """Writes the frames of a chunk, and its masks where they are kept; its files and then its record have their names
    when they are whole.

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
        self._masks: _MasksFile | None = None
        try:
            if chunk.masks:
                with named_errors(masks_of(folder, chunk)):
                    self._masks = _MasksFile(masks_of(folder, chunk), (out.height, out.width))
            with named_errors(self.path):
                self._container = av.open(media_url(self._part), "w", format=_FORMATS[chunk.suffix])
                self._stream = self._add_stream()
        except BaseException:
            self.abort()
            raise

    def _add_stream(self) -> Any:
        return _add_lossless(self._container, (self.out.height, self.out.width), self.out.pix_fmt)

    def write(self, planes: list[np.ndarray]) -> None:
        """Add a frame.

        Raises:
            InputError: no space left. RemasterError: the encoder fails.
        """
        with named_errors(self.path):
            self._mux(self._stream.encode(self._picture(planes)))
        self.count += 1

    def write_mask(self, mask: Tensor | None) -> None:
        """Add the mask of a frame, `[1, H, W]`, 0..1, None: black; where masks are kept.

        Raises:
            InputError, RemasterError: see `write`.
        """
        if self._masks:
            self._masks.write(mask)

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
                masked = self._masks.finish() if self._masks else self.count
                if not kept == masked == self.count == self.chunk.frames:
                    raise RemasterError(
                        f"{self.path} should have {self.chunk.frames} frames, {self.count} were made and "
                        f"{min(kept, masked)} can be read: is the disk sound?"
                    )
                record_of(self._folder, self.chunk).unlink(missing_ok=True)
                if self._masks:
                    known |= {"masks": tuple(self._masks.checks), "masks_size": self._masks.settle()}
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
        if self._masks:
            self._masks.abort()
        self._part.unlink(missing_ok=True)


def packets_of(path: Path) -> Iterator[av.Packet]:
    """The packets of a chunk's file, as far as it can be read."""
    with contextlib.suppress(av.FFmpegError, IndexError), av.open(media_url(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


class DamagedChunk(RemasterError):
    """The file of a chunk is not what was written."""


def damaged_chunk(folder: Path, chunk: Chunk) -> DamagedChunk:
    """The error that says so."""
    return _damaged(file_of(folder, chunk))


def _damaged(path: Path) -> DamagedChunk:
    return DamagedChunk(f"{path} is damaged, is the disk sound? The command of the job makes it again")


def read_chunk(folder: Path, chunk: Chunk, record: Record) -> Iterator[list[np.ndarray]]:
    """The planes of every frame of a finished chunk.

    Raises:
        DamagedChunk: it is not what was written.
    """
    yield from _read(file_of(folder, chunk), record.checks, damaged_chunk(folder, chunk))


def read_masks(folder: Path, chunk: Chunk, record: Record) -> Iterator[np.ndarray]:
    """The mask of every frame of a finished chunk that has them, `[H, W]` uint8.

    Raises:
        DamagedChunk: it is not what was written.
    """
    path = masks_of(folder, chunk)
    for (codes,) in _read(path, record.masks, _damaged(path)):
        yield codes


def _read(path: Path, checks: Sequence[int], damaged: DamagedChunk) -> Iterator[list[np.ndarray]]:
    count = 0
    try:
        with av.open(media_url(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for picture in container.decode(video=0):
                planes = planes_of(picture)
                if count >= len(checks) or checksum(planes) != checks[count]:
                    raise damaged
                count += 1
                yield planes
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise damaged from error
    if count != len(checks):
        raise damaged
