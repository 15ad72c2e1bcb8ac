"""How much of a job is done."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ...output.codecs import codec_info
from ...system.sizes import size_text
from ..planning.chunking import Chunk
from ..planning.options import ChunkCoding
from .chunks import Record
from .watch import Watch

Finished = Mapping[Chunk, Record]


def bytes_a_frame(samples: int, chunks: ChunkCoding, codec: str, done: Finished | None = None) -> float:
    """What a frame takes in the chunks: as in those that are done, else what should do.

    Args:
        samples: see `frame_bytes`.
        chunks: see `JobOptions`.
        codec: of the output.
        done: chunks that are there.
    """
    if done:
        return sum(record.bytes for record in done.values()) / sum(chunk.frames for chunk in done)
    return samples * codec_info("ffv1" if chunks == "lossless" else codec).room


def disk_text(frames: int, samples: int, chunks: ChunkCoding, codec: str, done: Finished) -> str:
    """What a job takes on the disk: its chunks, the film beside them at the end, and the other way."""

    def size(way: ChunkCoding) -> str:
        return size_text(frames * bytes_a_frame(samples, way, codec, done if way == chunks else None))

    text = f"disk: about {size(chunks)} for the chunks, then {size('final')} for the film"
    if codec_info(codec).is_folder:
        return text
    other: ChunkCoding = "final" if chunks == "lossless" else "lossless"
    return f"{text}; with --chunks {other} about {size(other)} for the chunks"


class Tally:
    """Counts what is done and tells the watch.

    Args:
        watch: see `Watch`.
        total: frames of all chunks.
        done: what was finished before.
        folder: of the job.
        bytes_a_frame: what a frame is expected to take there, until some are finished.
    """

    def __init__(self, watch: Watch, total: int, done: Finished, folder: Path, bytes_a_frame: float) -> None:
        self._watch, self._total, self._folder = watch, total, folder
        self._done = self._begun = sum(chunk.frames for chunk in done)
        self._kept = self._done  # frames in finished chunks
        self._bytes = sum(record.bytes for record in done.values())
        self._guess = bytes_a_frame

    def frames(self, count: int) -> None:
        """So many more frames are made."""
        if count:
            self._done += count
            self.tell()

    def settle(self) -> None:
        """What is not in finished chunks is lost."""
        self._done = self._kept
        self.tell()

    def finished(self, chunk: Chunk, record: Record) -> None:
        """A chunk is finished; its frames have been counted."""
        self._kept += chunk.frames
        self._bytes += record.bytes
        self._guess = self._bytes / self._kept
        self.tell()

    def tell(self) -> None:
        """Tell the watch."""
        needed = round((self._total - self._kept) * self._guess)
        self._watch.report("frames", self._done, self._total, needed, shutil.disk_usage(self._folder).free)
