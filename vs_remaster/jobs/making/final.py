"""Chunks in the codec of the output: encoded once, and joined without being decoded.

Every chunk begins with a fresh encoder of the same settings, so with a key frame, and nothing in it refers to another.
Packets are kept as the encoder gave them; when they are to be decoded is settled when all are there (`decode_times`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from ...errors import RemasterError, UnsupportedError
from ...output.formats import OutputFormat
from ...output.writer import IN_ORDER, JoinedWriter
from ...video.info import VideoInfo
from ..planning.chunking import Chunk, Coding
from .chunks import ChunkWriter, Record, damaged_chunk, file_of, forget, packets_of


class FinalChunkWriter(ChunkWriter):
    """Encodes the frames of a chunk as the output will have them; see `ChunkWriter`.

    Args:
        coding: how.

    Raises:
        UnsupportedError: what keeps the chunks does not hold the codec.
    """

    def __init__(self, folder: Path, chunk: Chunk, info: VideoInfo, out: OutputFormat, coding: Coding) -> None:
        self._encoding = coding.encoding
        times = coding.of(chunk.first, chunk.last)
        self._times = [(time - times[0][0], duration) for time, duration in times]
        self._place = {time: place for place, (time, _) in enumerate(self._times)}
        self._order: list[int] = []
        if any(a >= b for (a, _), (b, _) in pairwise(self._times)):
            raise RemasterError(f"frames of {info.path} have the same time: use --chunks lossless")
        super().__init__(folder, chunk, info, out)

    def _add_stream(self) -> Any:
        try:
            return self._encoding.add_to(self._container)
        except ValueError as error:
            raise UnsupportedError(
                f"this FFmpeg does not write {self._encoding.codec} into {self.chunk.suffix}: use --chunks lossless"
            ) from error

    def _picture(self, planes: list[np.ndarray]) -> av.VideoFrame:
        return self._encoding.picture(planes, *self._times[min(self.count, len(self._times) - 1)])

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            place = self._place.get(packet.pts)
            if place is None or (not self._order and not (packet.is_keyframe and place == 0)):
                raise RemasterError(
                    f"the encoder of {self._encoding.codec} does not begin {self.path} with a key frame, or gives "
                    f"times that nobody asked for ({packet.pts}): use --chunks lossless"
                )
            if len(self._times) <= IN_ORDER:
                packet.dts = packet.pts
            self._order.append(place)
            self._checks.append(_check(packet))
            self._container.mux(packet)

    def _known(self) -> dict[str, Any]:
        header = self._stream.codec_context.extradata or b""
        return {"order": tuple(self._order), "extradata": header.hex()}

    def _kept(self) -> int:
        kept = [_check(packet) for packet in packets_of(self._part)]
        return len(kept) if kept == self._checks and sorted(self._order) == list(range(len(kept))) else 0


def _check(packet: av.Packet) -> int:
    return zlib.crc32(bytes(packet), int(packet.is_keyframe))


def read_packets(folder: Path, chunk: Chunk, record: Record) -> Iterator[tuple[bytes, int, bool]]:
    """The packets of a finished chunk in the order of decoding: bytes, frame of the chunk, whether a key frame.

    Raises:
        DamagedChunk: it is not what was written.
    """
    count = 0
    for count, packet in enumerate(packets_of(file_of(folder, chunk)), 1):
        if count > chunk.frames or _check(packet) != record.checks[count - 1]:
            raise damaged_chunk(folder, chunk)
        yield bytes(packet), record.order[count - 1], packet.is_keyframe
    if count != chunk.frames:
        raise damaged_chunk(folder, chunk)


def reorder_of(records: Mapping[Chunk, Record]) -> int:
    """See `decode_times`."""
    return max(index - place for record in records.values() for index, place in enumerate(record.order))


def check_headers(writer: JoinedWriter, records: Mapping[Chunk, Record], folder: Path) -> None:
    """Refuse to join chunks that one decoder could not go through, and drop those that do not fit.

    Raises:
        RemasterError: the encoder of some wrote another header.
    """
    header = writer.extradata.hex()
    other = [chunk for chunk, record in records.items() if record.extradata != header]
    if other:
        for chunk in other:
            forget(folder, chunk)
        raise RemasterError(
            f"{len(other)} of {len(records)} chunks had another header than the output will have, {other[0].name} "
            f"first: another version of {writer.codec} made them; they are dropped, so give all workers one version"
        )
